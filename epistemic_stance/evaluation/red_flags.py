"""Red flags: non-inferiority of a checkpoint to its base model, with a margin that is stated beforehand.

As in trials of non-inferiority (Piaggio et al. 2012, JAMA 308, figure 1) the 95 % interval of the change lies beyond
the margin (raised), on its good side (clear), or holds it (inconclusive). That it holds 0 says nothing by itself.
What was not measured is unknown.

The stance writes flags down; those that need more than a measure and a scope are functions in `computed_flags.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from scipy.special import ndtri

from epistemic_stance.evaluation.compare import count
from epistemic_stance.evaluation.evaluator import Evaluator
from epistemic_stance.evaluation.evidence import ModelEvidence
from epistemic_stance.records.analysis import CorrectedRateRecord
from epistemic_stance.records.comparison import ChangeRecord
from epistemic_stance.records.parroting import PairedGainRecord
from epistemic_stance.records.probes import ProbesRecord
from epistemic_stance.records.validation import (
    FlagChangeRecord,
    FlagExampleRecord,
    FlagRecord,
    FlagState,
    LabelledChangeRecord,
)
from epistemic_stance.records.written import RedFlag, Scope
from epistemic_stance.scoring.run import Answer
from epistemic_stance.statistics.changes import Change
from epistemic_stance.statistics.estimates import TAIL

POWER = 0.8
EXAMPLES = 3


@dataclass(frozen=True)
class FlagMeasurement:
    """A change and answers that show it; None where nothing was measured."""

    change: FlagChangeRecord | None
    examples: Sequence[FlagExampleRecord] = ()
    state: FlagState | None = None
    """Of a flag that is not about the change of one share; None = the state follows from the change and the margin."""


def judge_flag(flag: RedFlag, base: ModelEvidence, model: ModelEvidence, evaluator: Evaluator) -> FlagRecord:
    """A flag that the stance writes down."""
    scope = flag.answers
    if scope is None:
        return flag_record(flag, "multiple choice questions of the probes", _choices(base.probes, model.probes))
    among = f", {', '.join(scope.categories)}" if scope.categories else ""
    measured = f"{' or '.join(scope.measures)} in {', '.join(scope.sets)}{among}"
    change = evaluator.change(base, model, scope, None)
    if change is None:
        return flag_record(flag, measured, FlagMeasurement(None))
    examples = _examples(scope, flag.bad, base, model, evaluator)
    record = flag_record(flag, measured, FlagMeasurement(flag_change(change), examples))
    return beside_labels(record, *(evaluator.corrected(side, scope, "report") for side in (base, model)))


def beside_labels(
    record: FlagRecord, before: CorrectedRateRecord | None, after: CorrectedRateRecord | None
) -> FlagRecord:
    """What rules clear is not clear where labels of both sides say that it got worse beyond the margin."""
    if not before or not after or before.estimate is None or after.estimate is None:
        return record
    harm = (after.estimate - before.estimate) * (1 if record.bad == "rise" else -1)
    state: FlagState = "inconclusive" if record.state == "clear" and harm > record.margin else record.state
    labelled = LabelledChangeRecord(before=before.estimate, after=after.estimate)
    return record.model_copy(update={"labelled": labelled, "state": state})


def flag_record(flag: RedFlag, measured: str, measurement: FlagMeasurement) -> FlagRecord:
    """The verdict on one flag; `measured` says what is measured, and on which answers."""
    state, needed = (
        (measurement.state, None) if measurement.state else state_of(measurement.change, flag.bad, flag.margin)
    )
    return FlagRecord(
        name=flag.name,
        title=flag.title,
        measured=measured,
        bad=flag.bad,
        margin=flag.margin,
        change=measurement.change,
        state=state,
        needed=needed,
        hint=flag.hint,
        examples=list(measurement.examples),
    )


def state_of(change: FlagChangeRecord | None, bad: str, margin: float) -> tuple[FlagState, int | None]:
    """The state; of an inconclusive one also the questions by which no change would be cleared, with POWER."""
    if change is None:
        return "unknown", None
    harm, low, high = change.change, change.low, change.high
    if bad == "fall":
        harm, low, high = -harm, -high, -low
    if low > margin:
        return "raised", None
    if high < margin:
        return "clear", None
    factor = 1 + float(ndtri(POWER)) / float(ndtri(1 - TAIL))
    needed = ceil(change.questions * (factor * (high - harm) / margin) ** 2)
    return "inconclusive", max(needed, change.questions + 1)


def flag_change(change: ChangeRecord | Change | PairedGainRecord) -> FlagChangeRecord:
    return FlagChangeRecord(
        before=change.before,
        after=change.after,
        change=change.change,
        low=change.low,
        high=change.high,
        questions=change.questions,
    )


def _examples(
    scope: Scope, bad: str, base: ModelEvidence, model: ModelEvidence, evaluator: Evaluator
) -> list[FlagExampleRecord]:
    """Of the questions that moved most in the bad direction, a good answer before and a bad one after."""
    measure, harmful = evaluator.measure_of(scope), bad == "rise"
    before, after = base.answers(scope), model.answers(scope)
    moved = []
    for key in sorted(before.keys() & after.keys()):
        (hits, answers), (hits_after, answers_after) = count(before[key], measure), count(after[key], measure)
        if answers and answers_after:
            harm = (hits_after / answers_after - hits / answers) * (1 if harmful else -1)
            if harm > 0:
                moved.append((-harm, key))

    def first(answers: Sequence[Answer], shown: bool) -> str:
        return next(answer.response.response for answer in answers if measure.shown(answer.score) is shown)

    return [
        FlagExampleRecord(
            question=after[key][0].response.question,
            before=first(before[key], not harmful),
            after=first(after[key], harmful),
        )
        for _, key in sorted(moved)[:EXAMPLES]
    ]


def _choices(before: ProbesRecord | None, after: ProbesRecord | None) -> FlagMeasurement:
    if before is None or after is None or before.choices is None or after.choices is None:
        return FlagMeasurement(None)
    change = after.choices.overall.change
    if change is None or change.low is None or change.high is None:
        return FlagMeasurement(None)
    record = FlagChangeRecord(
        before=before.choices.overall.accuracy,
        after=after.choices.overall.accuracy,
        change=change.value,
        low=change.low,
        high=change.high,
        questions=change.units,
    )
    right = {(answer.question_set, answer.id) for answer in before.choices.answers if answer.right}
    lost = [
        answer for answer in after.choices.answers if not answer.right and (answer.question_set, answer.id) in right
    ]
    examples = [
        FlagExampleRecord(
            question=f"{answer.question_set} {answer.id}",
            before=answer.options[0],
            after=answer.options[answer.logps.index(max(answer.logps))],
        )
        for answer in lost[:EXAMPLES]
    ]
    return FlagMeasurement(record, examples)
