"""Red flags: non-inferiority of a checkpoint to its base model, with a margin that is stated beforehand.

As in trials of non-inferiority (Piaggio et al. 2012, JAMA 308, figure 1) the 95 % interval of the change lies beyond
the margin (raised), on its good side (clear), or holds it (not shown). That it holds 0 says nothing by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from scipy.special import ndtri

from epistemic_stance.evaluation.compare import Answer, count
from epistemic_stance.evaluation.evidence import Arm, Judge, select
from epistemic_stance.records.comparison import ChangeRecord
from epistemic_stance.records.parroting import GainRecord
from epistemic_stance.records.probes import ProbesRecord
from epistemic_stance.records.validation import FlagChangeRecord, FlagExampleRecord, FlagRecord, FlagState
from epistemic_stance.records.written import RedFlag, Scope
from epistemic_stance.statistics.intervals import TAIL, Change

POWER = 0.8
EXAMPLES = 3


@dataclass(frozen=True)
class Watched:
    """A change and what shows it; None where nothing was measured."""

    change: FlagChangeRecord | None
    examples: list[FlagExampleRecord]
    state: FlagState | None = None
    """Of what is no change of one share; None = by the change and the margin."""


@dataclass(frozen=True)
class ComputedFlag:
    """A red flag that a function of this program watches instead of a scope of the stance."""

    flag: RedFlag
    """With its margin; whether it names answers or a probe is not looked at."""
    watches: str
    watch: Callable[[Arm, Arm], Watched]
    """From the base model and the checkpoint."""


def judge_flags(
    flags: Sequence[RedFlag], computed: Sequence[ComputedFlag], base: Arm, arm: Arm, judge: Judge
) -> list[FlagRecord]:
    """The stance's flags, then the computed ones."""
    found = [_record(flag, watches(flag), _watch(flag, base, arm, judge)) for flag in flags]
    return found + [_record(one.flag, one.watches, one.watch(base, arm)) for one in computed]


def watches(flag: RedFlag) -> str:
    if flag.answers is None:
        return "multiple choice questions of the probes"
    scope = flag.answers
    among = f", {', '.join(scope.categories)}" if scope.categories else ""
    return f"{' or '.join(scope.measures)} in {', '.join(scope.sets)}{among}"


def state_of(change: FlagChangeRecord | None, bad: str, margin: float) -> tuple[FlagState, int | None]:
    """The state; where nothing is shown also the questions by which no change would be cleared, with POWER."""
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
    return "not shown", max(ceil(change.questions * (factor * (high - harm) / margin) ** 2), change.questions + 1)


def _record(flag: RedFlag, what: str, found: Watched) -> FlagRecord:
    state, needed = (found.state, None) if found.state else state_of(found.change, flag.bad, flag.margin)
    return FlagRecord(
        name=flag.name,
        title=flag.title,
        watches=what,
        bad=flag.bad,
        margin=flag.margin,
        change=found.change,
        state=state,
        needed=needed,
        hint=flag.hint,
        examples=found.examples,
    )


def _watch(flag: RedFlag, base: Arm, arm: Arm, judge: Judge) -> Watched:
    if flag.answers is None:
        return _choices(base.probes, arm.probes)
    change = judge.change(base, arm, flag.answers, None)
    if change is None:
        return Watched(None, [])
    return Watched(flag_change(change), _examples(flag.answers, flag.bad, base, arm, judge))


def flag_change(change: ChangeRecord | Change | GainRecord) -> FlagChangeRecord:
    return FlagChangeRecord(
        before=change.before,
        after=change.after,
        change=change.change,
        low=change.low,
        high=change.high,
        questions=change.questions,
    )


def _examples(scope: Scope, bad: str, base: Arm, arm: Arm, judge: Judge) -> list[FlagExampleRecord]:
    """Of the questions that moved most in the bad direction, a good answer before and a bad one after."""
    measure, harmful = judge.measure_of(scope), bad == "rise"
    before, after = select(base, scope), select(arm, scope)
    moved = []
    for key in sorted(before.keys() & after.keys()):
        (hits, answers), (hits_after, answers_after) = count(before[key], measure), count(after[key], measure)
        if answers and answers_after:
            harm = (hits_after / answers_after - hits / answers) * (1 if harmful else -1)
            if harm > 0:
                moved.append((-harm, key))

    def one(answers: Sequence[Answer], shown: bool) -> str:
        return next(answer.response.response for answer in answers if measure.shown(answer.score) is shown)

    return [
        FlagExampleRecord(
            question=after[key][0].response.question,
            before=one(before[key], not harmful),
            after=one(after[key], harmful),
        )
        for _, key in sorted(moved)[:EXAMPLES]
    ]


def _choices(before: ProbesRecord | None, after: ProbesRecord | None) -> Watched:
    if before is None or after is None or before.choices is None or after.choices is None:
        return Watched(None, [])
    change = after.choices.overall.change
    if change is None or change.low is None or change.high is None:
        return Watched(None, [])
    record = FlagChangeRecord(
        before=before.choices.overall.accuracy,
        after=after.choices.overall.accuracy,
        change=change.value,
        low=change.low,
        high=change.high,
        questions=change.units,
    )
    right = {(one.question_set, one.id) for one in before.choices.answers if one.right}
    lost = [one for one in after.choices.answers if not one.right and (one.question_set, one.id) in right]
    examples = [
        FlagExampleRecord(
            question=f"{one.question_set} {one.id}",
            before=one.options[0],
            after=one.options[one.logps.index(max(one.logps))],
        )
        for one in lost[:EXAMPLES]
    ]
    return Watched(record, examples)
