"""A red flag that no pattern can tell: one opening for every question, as when a model collapses to one answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from epistemic_stance.evaluation.compare import Answer
from epistemic_stance.evaluation.evidence import Arm, Judge, select
from epistemic_stance.evaluation.learning import OPENING
from epistemic_stance.evaluation.red_flags import EXAMPLES, ComputedFlag, Watched, flag_change
from epistemic_stance.foundation.similarity import words
from epistemic_stance.records.validation import FlagExampleRecord
from epistemic_stance.records.written import RedFlag, Scope
from epistemic_stance.statistics.intervals import paired_changes

MARGIN = 0.10
"""Points of answers that open as an answer to another question does: at a rate of one half, what 337 questions exclude
(benchmarks/power.py)."""


def flag_of(scope: Scope) -> RedFlag:
    return RedFlag(
        name="one_opening",
        title="Opens every answer alike",
        answers=scope,
        bad="rise",
        margin=MARGIN,
        hint="take an earlier checkpoint, or add pairs whose chosen answers begin differently",
    )


def opening_flag(scope: Scope, judge: Judge) -> ComputedFlag:
    """Over the unseen questions of a scope, both halves."""

    def opened(base: Arm, arm: Arm) -> Watched:
        if base.missing(scope) or arm.missing(scope):
            return Watched(None, [])
        sides = _unseen(base, scope), _unseen(arm, scope)
        return _watched(sides, judge.seed)

    what = f"first {OPENING} words as in an answer to another question in {', '.join(scope.sets)}, unseen questions"
    return ComputedFlag(flag_of(scope), what, opened)


def _unseen(arm: Arm, scope: Scope) -> dict[str, list[Answer]]:
    found = select(arm, scope)
    return {key: answers for key, answers in found.items() if answers[0].score.exposure == "unseen"}


def _same_opening(questions: Mapping[str, Sequence[Answer]]) -> dict[str, list[bool]]:
    """A shorter answer has no opening of its own to compare, and opens like no other."""
    opened = {
        key: [tuple(words(answer.response.response)[:OPENING]) for answer in answers]
        for key, answers in questions.items()
    }
    asked_by = Counter(opening for openings in opened.values() for opening in set(openings))
    return {key: [len(one) == OPENING and asked_by[one] > 1 for one in openings] for key, openings in opened.items()}


def _watched(sides: tuple[Mapping[str, Sequence[Answer]], Mapping[str, Sequence[Answer]]], seed: int) -> Watched:
    before, after = (_same_opening(side) for side in sides)
    common = sorted(before.keys() & after.keys())
    (hits, answers), (hits_after, answers_after) = (
        [np.array([count(told[key]) for key in common], dtype=np.int64)[:, None] for count in (sum, len)]
        for told in (before, after)
    )
    (change,) = paired_changes(hits, answers, hits_after, answers_after, seed)
    if change is None:
        return Watched(None, [])
    record = flag_change(change)
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
    return Watched(record, examples)
