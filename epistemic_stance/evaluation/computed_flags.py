"""Red flags that need more than a measure and a scope. Each is a function and an entry in COMPUTED_FLAGS.

The flags that are evaluated, and those whose digest is written down beforehand (`rule.py`), both come from that tuple.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from epistemic_stance.evaluation.evaluator import Evaluator
from epistemic_stance.evaluation.evidence import ModelEvidence
from epistemic_stance.evaluation.learning import is_parroted, parroting_of
from epistemic_stance.evaluation.red_flags import EXAMPLES, FlagMeasurement, flag_change, flag_record
from epistemic_stance.foundation.errors import InputError
from epistemic_stance.records.checkpoint_name import checkpoint_of
from epistemic_stance.records.parroting import LearningVerdict, ParrotingRecord
from epistemic_stance.records.run_folder import RunFolder
from epistemic_stance.records.validation import FlagChangeRecord, FlagExampleRecord, FlagRecord, FlagState
from epistemic_stance.records.written import RedFlag, Scope, SelectionAxes
from epistemic_stance.scoring.measures import PRAGMATIC
from epistemic_stance.scoring.run import Answer
from epistemic_stance.scoring.score import OPENING_WORDS
from epistemic_stance.stance.load import Stance
from epistemic_stance.stance.question_index import QuestionIndex
from epistemic_stance.stance.trained_questions import TRAINED
from epistemic_stance.statistics.changes import paired_changes
from epistemic_stance.statistics.rates import rate_interval

MEMORISED_STATES: dict[LearningVerdict, FlagState] = {"memorised": "raised", "learned": "clear", "both": "clear"}
"""Verdict on learning -> state of the flag; after any other verdict it is inconclusive."""


@dataclass(frozen=True)
class FlagContext:
    """What computed flags are evaluated with, the same for every checkpoint of a run."""

    run: RunFolder
    stance: Stance
    axes: SelectionAxes
    base: ModelEvidence
    evaluator: Evaluator
    questions: QuestionIndex
    _parroting: dict[str, ParrotingRecord | None] = field(default_factory=dict)
    """Checkpoint -> what it copies; three flags need it."""

    def parroting(self, model: ModelEvidence) -> ParrotingRecord | None:
        """What a checkpoint copies; None if it answered no set that the base model answered."""
        if model.name not in self._parroting:
            shared = model.sets.keys() & self.base.sets.keys()
            self._parroting[model.name] = self._measure_parroting(model) if shared else None
        return self._parroting[model.name]

    def _measure_parroting(self, model: ModelEvidence) -> ParrotingRecord:
        gain, taught_by = self.axes.gain, self.axes.taught_by
        asked = [question for name in gain.sets for question in self.stance.question_sets[name].questions]
        spilled = gain.model_copy(update={"measures": [PRAGMATIC]}) if PRAGMATIC in self.evaluator.measures else gain
        return parroting_of(
            before=self.base.all_answers,
            after=model.all_answers,
            questions=self.questions,
            gained=self.evaluator.measure_of(gain),
            categories={question.category for question in asked} | set(taught_by) if taught_by else None,
            spilled=self.evaluator.measure_of(spilled),
            seed=self.evaluator.seed,
        )


@dataclass(frozen=True)
class ComputedFlag:
    """A red flag that a function measures."""

    name: str
    title: str
    measured: str
    margin: float
    hint: str
    measure: Callable[[FlagContext, ModelEvidence], FlagMeasurement]

    def written(self, scope: Scope) -> RedFlag:
        """As a stance would write it down, on the answers by which a checkpoint is chosen."""
        return RedFlag(name=self.name, title=self.title, answers=scope, bad="rise", margin=self.margin, hint=self.hint)

    def judge(self, context: FlagContext, model: ModelEvidence) -> FlagRecord:
        return flag_record(self.written(context.axes.gain), self.measured, self.measure(context, model))


# --- copying -----------------------------------------------------------------------------------------------


def parroting(context: FlagContext, model: ModelEvidence) -> FlagMeasurement:
    """Parroted answers to unseen questions; examples are the longest copied runs, beside an answer of the base."""
    record = context.parroting(model)
    unseen = record.exposures["unseen"] if record else None
    if record is None or unseen is None:
        return FlagMeasurement(None)
    answers = [answer for answer in model.all_answers if answer.score.exposure == "unseen"]
    copied = [answer for answer in answers if is_parroted(answer.score.copying, record.null)]
    longest = sorted(copied, key=lambda answer: -answer.score.copying.run_words)[:EXAMPLES]
    before = {answer.score.question: answer.response.response for answer in reversed(context.base.all_answers)}
    examples = [
        FlagExampleRecord(question=question, before=before.get(question, ""), after=answer.response.response)
        for answer in longest
        for question in [answer.score.question]
    ]
    return FlagMeasurement(flag_change(unseen.change), examples)


def spill_over(context: FlagContext, model: ModelEvidence) -> FlagMeasurement:
    """Pragmatic or copied words in answers to unseen questions with an answer key."""
    record = context.parroting(model)
    return FlagMeasurement(flag_change(record.spill.either)) if record and record.spill else FlagMeasurement(None)


def memorised(context: FlagContext, model: ModelEvidence) -> FlagMeasurement:
    """The verdict on learning, which needs answers to the trained questions."""
    record = context.parroting(model)
    if record is None or TRAINED not in model.sets.keys() & context.base.sets.keys():
        return FlagMeasurement(None)
    return FlagMeasurement(None, state=MEMORISED_STATES.get(record.learning.verdict, "inconclusive"))


# --- one opening for every question ------------------------------------------------------------------------


def one_opening(context: FlagContext, model: ModelEvidence) -> FlagMeasurement:
    """Answers to unseen questions that open as an answer to another question does: a model that collapses does so."""
    scope, base = context.axes.gain, context.base
    if base.missing(scope) or model.missing(scope):
        return FlagMeasurement(None)
    sides = [_unseen(base, scope), _unseen(model, scope)]
    before, after = (_same_opening(side) for side in sides)
    common = sorted(before.keys() & after.keys())
    (hits, answers), (hits_after, answers_after) = (
        [np.array([count(shared[key]) for key in common], dtype=np.int64)[:, None] for count in (sum, len)]
        for shared in (before, after)
    )
    (change,) = paired_changes(hits, answers, hits_after, answers_after, context.evaluator.seed)
    if change is None:
        return FlagMeasurement(None)
    moved = [key for key in common if any(after[key]) and not all(before[key])]
    moved.sort(key=lambda key: sum(before[key]) / len(before[key]) - sum(after[key]) / len(after[key]))
    examples = [
        FlagExampleRecord(
            question=sides[1][key][0].response.question,
            before=sides[0][key][before[key].index(False)].response.response,
            after=sides[1][key][after[key].index(True)].response.response,
        )
        for key in moved[:EXAMPLES]
    ]
    return FlagMeasurement(flag_change(change), examples)


def _unseen(model: ModelEvidence, scope: Scope) -> dict[str, list[Answer]]:
    questions = model.answers(scope)
    return {key: answers for key, answers in questions.items() if answers[0].score.exposure == "unseen"}


def _same_opening(questions: Mapping[str, Sequence[Answer]]) -> dict[str, list[bool]]:
    """Whether each answer opens like one to another question; one without an opening does not."""
    opened = {key: [answer.score.opening for answer in answers] for key, answers in questions.items()}
    asked_by = Counter(opening for openings in opened.values() for opening in set(openings))
    return {
        key: [opening is not None and asked_by[opening] > 1 for opening in openings] for key, openings in opened.items()
    }


# --- training log ------------------------------------------------------------------------------------------


def displacement(context: FlagContext, model: ModelEvidence) -> FlagMeasurement:
    """Share of the pairs whose chosen answer lost likelihood against the reference, in the epoch of the checkpoint.

    Preference losses can raise the margin while both answers fall (Pal et al. 2402.13228). A pair counts as it stood
    at its own last step up to the checkpoint, which is all that is logged.
    """
    below: dict[str, bool] = {}
    name = checkpoint_of(model.name)
    try:
        for step in context.run.steps():
            if step.step <= name.number if name and name.is_step else step.epoch == model.epoch:
                below |= {pair.id: pair.chosen_reward < 0 for pair in step.pairs}
    except InputError:
        return FlagMeasurement(None)
    lost = np.array(list(below.values()), dtype=np.int64)
    rate = rate_interval(lost, np.ones_like(lost))
    if rate is None:
        return FlagMeasurement(None)
    return FlagMeasurement(
        FlagChangeRecord(
            before=0.0, after=rate.estimate, change=rate.estimate, low=rate.low, high=rate.high, questions=len(lost)
        )
    )


COMPUTED_FLAGS = (
    ComputedFlag(
        name="parroting",
        title="Recites training answers",
        measured="copied answers to unseen questions",
        margin=0.05,  # some hundred unseen questions exclude it
        hint="take an earlier checkpoint, or lower --nll-weight",
        measure=parroting,
    ),
    ComputedFlag(
        name="spill_over",
        title="Its words in facts and code",
        measured="pragmatic or copied words where there is a key",
        margin=0.05,
        hint="take an earlier checkpoint, or add facts",
        measure=spill_over,
    ),
    ComputedFlag(
        name="memorised",
        title="Memorised, not learned",
        measured="gain on trained, reworded and unseen questions",
        margin=0.05,
        hint="take an earlier checkpoint, or add pairs",
        measure=memorised,
    ),
    ComputedFlag(
        name="one_opening",
        title="Opens every answer alike",
        measured=f"unseen questions answered with the first {OPENING_WORDS} words of an answer to another question",
        margin=0.10,  # at a rate of one half, what 337 questions exclude (benchmarks/power.py)
        hint="take an earlier checkpoint, or add pairs whose chosen answers begin differently",
        measure=one_opening,
    ),
    ComputedFlag(
        name="displacement",
        title="Chosen answers less likely",
        measured="pairs whose chosen answer fell below the reference",
        margin=0.25,  # 25 pairs of which none is displaced exclude it
        hint="train with --dpop-weight 5 or --nll-weight 0.2",
        measure=displacement,
    ),
)
"""In the order in which they are shown."""
