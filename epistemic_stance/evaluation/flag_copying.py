"""Red flags that no stance can write down: answers recited, its words in facts and code, memory for learning."""

from __future__ import annotations

from epistemic_stance.evaluation.evidence import Arm, Judge
from epistemic_stance.evaluation.learning import arm_parroting
from epistemic_stance.evaluation.measures import PRAGMATIC
from epistemic_stance.evaluation.red_flags import EXAMPLES, ComputedFlag, Watched, flag_change
from epistemic_stance.foundation.copying import CopyDetector
from epistemic_stance.records.parroting import LearningVerdict, ParrotingRecord
from epistemic_stance.records.validation import FlagExampleRecord, FlagState
from epistemic_stance.records.written import RedFlag, Scope, SelectionAxes
from epistemic_stance.scoring.copying import CheckedAnswer
from epistemic_stance.stance.load import Stance
from epistemic_stance.stance.trained_questions import TRAINED

MARGIN = 0.05
"""Share of recited or stray answers that is put up with; some hundred unseen questions exclude it."""
EARLIER = "take an earlier checkpoint"
STATES: dict[LearningVerdict, FlagState] = {"memorised": "raised", "learned": "clear", "both": "clear"}
"""Of the flag for memorising; other verdicts show nothing."""


def computed_flags(gain: Scope) -> dict[str, tuple[RedFlag, str]]:
    """Name -> flag and what it watches; part of the rule whether or not anything was collected."""
    written = (
        ("parroting", "Recites training answers", "copied answers to unseen questions", "or lower --nll-weight"),
        ("spill_over", "Its words in facts and code", "pragmatic or copied words where there is a key", "or add facts"),
        ("memorised", "Memorised, not learned", "gain on trained, reworded and unseen questions", "or add pairs"),
    )
    return {
        name: (
            RedFlag(name=name, title=title, answers=gain, bad="rise", margin=MARGIN, hint=f"{EARLIER}, {other}"),
            watches,
        )
        for name, title, watches, other in written
    }


def sets_looked_at(stance: Stance) -> list[str]:
    """What tells memory from learning: the questions of the corpus, and sets that reword them."""
    sets = stance.question_sets.items()
    return [*(name for name, one in sets if any(question.paraphrase_of for question in one.questions)), TRAINED]


class Recital:
    """What every checkpoint copies, worked out once each."""

    def __init__(self, stance: Stance, axes: SelectionAxes, base: Arm, judge: Judge) -> None:
        self._stance, self._axes, self._base, self._judge = stance, axes, base, judge
        self._detector = CopyDetector({pair.id: pair.chosen for pair in judge.scorer.pairs})
        self._before = self._checked(base)
        self._first = {answer.score.question: answer.text for answer in reversed(self._before)}
        self._after: dict[str, list[CheckedAnswer]] = {}
        self._records: dict[str, ParrotingRecord | None] = {}

    def record(self, arm: Arm) -> ParrotingRecord | None:
        """None if it answered no set that the base model answered."""
        if arm.name not in self._records:
            self._after[arm.name] = self._checked(arm)
            self._records[arm.name] = self._measured(arm) if arm.sets.keys() & self._base.sets.keys() else None
        return self._records[arm.name]

    def flags(self) -> list[ComputedFlag]:
        watch = {"parroting": self._parroting, "spill_over": self._spill_over, "memorised": self._memorised}
        flags = computed_flags(self._axes.gain).items()
        return [ComputedFlag(flag, watches, watch[name]) for name, (flag, watches) in flags]

    def _measured(self, arm: Arm) -> ParrotingRecord:
        gain, taught_by = self._axes.gain, self._axes.taught_by
        asked = [question for name in gain.sets for question in self._stance.question_sets[name].questions]
        spilled = gain.model_copy(update={"measures": [PRAGMATIC]}) if self._judge.knows(PRAGMATIC) else gain
        return arm_parroting(
            before=self._before,
            after=self._after[arm.name],
            book=self._judge.scorer.book,
            gained=self._judge.measure_of(gain),
            categories={question.category for question in asked} | set(taught_by) if taught_by else None,
            spilled=self._judge.measure_of(spilled),
            seed=self._judge.seed,
        )

    def _checked(self, arm: Arm) -> list[CheckedAnswer]:
        answers = [one for answered in arm.sets.values() for of_one in answered.questions.values() for one in of_one]
        return [
            CheckedAnswer(text, answer.score, self._detector.copying(text, answer.response.question))
            for answer in answers
            for text in [answer.response.response]
        ]

    def _parroting(self, _base: Arm, arm: Arm) -> Watched:
        record = self.record(arm)
        unseen = record.exposures["unseen"] if record else None
        return Watched(flag_change(unseen.change), self._recited(arm)) if unseen else Watched(None, [])

    def _spill_over(self, _base: Arm, arm: Arm) -> Watched:
        record = self.record(arm)
        return Watched(flag_change(record.spill.either), []) if record and record.spill else Watched(None, [])

    def _memorised(self, _base: Arm, arm: Arm) -> Watched:
        record = self.record(arm)
        if record is None or TRAINED not in arm.sets.keys() & self._base.sets.keys():
            return Watched(None, [])
        return Watched(None, [], STATES.get(record.learning.verdict, "not shown"))

    def _recited(self, arm: Arm) -> list[FlagExampleRecord]:
        """The longest copied runs in answers to unseen questions, beside what the base model said."""
        verbatim = [one for one in self._after[arm.name] if one.score.exposure == "unseen" and one.copying.verbatim]
        worst = sorted(verbatim, key=lambda one: -one.copying.run_words)[:EXAMPLES]
        return [
            FlagExampleRecord(question=asked, before=self._first.get(asked, ""), after=one.text)
            for one in worst
            for asked in [one.score.question]
        ]
