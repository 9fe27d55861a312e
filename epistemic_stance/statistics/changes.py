"""How a share moved between two models' answers to the same questions: interval, p value and verdict.

Letters of array shapes: Q questions, R rows of a comparison, F flips.
How the methods were chosen, and what they were measured to cover, stands in docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, log2, sqrt

import numpy as np

from epistemic_stance.records.comparison import Verdict
from epistemic_stance.statistics.estimates import ALPHA, Estimate, FloatArray, IntArray, effective_number
from epistemic_stance.statistics.rates import weighted_rate

FLIPS = 10_000
"""Sign flips drawn; up to 13 questions all of them (at most 8,192) are taken instead, and the p value is exact."""


@dataclass(frozen=True)
class PairedChange:
    """How a share moved between two sets of answers to the same questions."""

    before: float
    after: float
    low: float
    high: float
    """95 % interval of after - before, of this change alone, however many others are looked at."""
    questions: int
    """Answered on both sides."""
    p: float
    """Of this change alone, two-sided."""
    adjusted_p: float
    """Where nothing changed, any change of a call is at or below 0.05 in at most 5 % of calls."""

    @property
    def change(self) -> float:
        return self.after - self.before

    @property
    def verdict(self) -> Verdict:
        return verdict_of(self.change, self.low, self.high, self.adjusted_p)


@dataclass(frozen=True)
class Change(PairedChange):
    """A change of shares that were counted."""

    moved: int
    """Questions with another share after than before."""


def verdict_of(change: float, low: float, high: float, adjusted_p: float) -> Verdict:
    """Rose or fell if the adjusted p value is at most ALPHA and the interval excludes 0: the two have to agree."""
    if adjusted_p > ALPHA or low <= 0 <= high:
        return "inconclusive"
    return "rose" if change > 0 else "fell"


def paired_changes(
    before_hits_QR: IntArray,
    before_answers_QR: IntArray,
    after_hits_QR: IntArray,
    after_answers_QR: IntArray,
    seed: int,
) -> list[Change | None]:
    """Changes of R shares, paired by question; None for a column that no question has answers to on both sides.

    Row q of all four arrays is the same question. With b answers before and a after, a question weighs ab / (a + b)
    on both sides (Mantel and Haenszel's weights; Greenland and Robins 1985), so that a different mix of questions is
    never taken for a change; with equally many answers everywhere both rates are the plain shares.

    The intervals of the two rates, weighted as they are, are combined with their correlation over questions
    (`difference`).

    The p values flip, for whole questions, which side is which: exact for identical models that were asked equally
    often. They are adjusted over the columns by step-down max T (Westfall and Young 1993, algorithm 4.1; Ge, Dudoit
    and Speed 2003, box 2), which knows that patterns overlap. `seed` is that of the drawn flips.
    """
    weights_QR = before_answers_QR * after_answers_QR / np.maximum(before_answers_QR + after_answers_QR, 1)
    before_QR = before_hits_QR / np.maximum(before_answers_QR, 1)
    after_QR = after_hits_QR / np.maximum(after_answers_QR, 1)
    p_R, adjusted_R = _flip_tests(weights_QR * (after_QR - before_QR), seed)
    changes: list[Change | None] = []
    for column, (p, adjusted_p) in enumerate(zip(p_R.tolist(), adjusted_R.tolist(), strict=True)):
        used = weights_QR[:, column] > 0
        if not used.any():
            changes.append(None)
            continue
        weight_Q, before_Q, after_Q = (array[used, column] for array in (weights_QR, before_QR, after_QR))
        before, after = (
            weighted_rate(hits_QR[used, column], answers_QR[used, column], weight_Q, added=0)
            for hits_QR, answers_QR in ((before_hits_QR, before_answers_QR), (after_hits_QR, after_answers_QR))
        )
        change, low, high = difference(before, after, _correlation(weight_Q, before_Q, after_Q))
        changes.append(
            Change(
                before=before.estimate,
                after=after.estimate,
                low=max(-1.0, min(low, change)),
                high=min(1.0, max(high, change)),
                questions=len(weight_Q),
                moved=int(np.count_nonzero(before_Q != after_Q)),
                p=p,
                adjusted_p=adjusted_p,
            )
        )
    return changes


def difference(before: Estimate, after: Estimate, correlation: float = 0.0) -> Estimate:
    """after - before, its interval put together from theirs (MOVER: Newcombe 1998, method 10; Zou and Donner 2008)."""

    def reach(one: float, other: float) -> float:
        return sqrt(max(one**2 + other**2 - 2 * correlation * one * other, 0.0))

    change = after.estimate - before.estimate
    low = reach(after.estimate - after.low, before.high - before.estimate)
    high = reach(after.high - after.estimate, before.estimate - before.low)
    return Estimate(change, change - low, change + high)


def _correlation(weight_Q: FloatArray, before_Q: FloatArray, after_Q: FloatArray) -> float:
    """Of the two shares over questions, at least 0 and shrunk by (Q - 1) / Q: a few questions cannot show more.

    Q is the effective number of questions.
    """
    before_Q = before_Q - np.average(before_Q, weights=weight_Q)
    after_Q = after_Q - np.average(after_Q, weights=weight_Q)
    spread = float(np.sqrt((weight_Q @ before_Q**2) * (weight_Q @ after_Q**2)))
    correlation = float(weight_Q @ (before_Q * after_Q)) / spread if spread > 0 else 0.0
    return max(correlation, 0.0) * (1 - 1 / effective_number(weight_Q))


def _flip_tests(shifts_QR: FloatArray, seed: int) -> tuple[FloatArray, FloatArray]:
    """Two-sided p values of each column's sum under flips of whole rows: (R,) alone, (R,) adjusted over the columns.

    The statistic is |sum| / root of the sum of squares; a flip leaves the latter as it is.
    """
    size_R = np.sqrt((shifts_QR**2).sum(axis=0))
    moving_QR = shifts_QR[np.any(shifts_QR != 0, axis=1)] / np.where(size_R > 0, size_R, 1)
    observed_R = np.abs(moving_QR.sum(axis=0)) - 1e-9
    order_R = np.argsort(-observed_R, kind="stable")
    alone_R, adjusted_R = np.zeros(len(size_R)), np.zeros(len(size_R))
    drawn = 0
    for signs_FQ in _flips(len(moving_QR), seed):
        flipped_FR = np.abs(signs_FQ @ moving_QR)[:, order_R]
        alone_R += (flipped_FR >= observed_R[order_R]).sum(axis=0)
        largest_FR = np.maximum.accumulate(flipped_FR[:, ::-1], axis=1)[:, ::-1]
        adjusted_R += (largest_FR >= observed_R[order_R]).sum(axis=0)
        drawn += len(signs_FQ)
    p_R, p_adjusted_R = np.ones(len(size_R)), np.ones(len(size_R))
    # No flip at all and the flip of all are always as extreme; drawn flips may hold fewer such than their share.
    least_R = np.exp2(1.0 - np.maximum(np.count_nonzero(moving_QR, axis=0), 1))[order_R]
    p_R[order_R] = np.maximum(alone_R / drawn, least_R)
    p_adjusted_R[order_R] = np.maximum.accumulate(np.maximum(adjusted_R / drawn, least_R))
    return p_R, p_adjusted_R


def fewest_moved(level: float) -> int:
    """Questions that have to move for a p value at or below `level`: two of their 2**n flips are as extreme as any."""
    return 1 + ceil(-log2(level))


def _flips(questions: int, seed: int) -> Iterator[FloatArray]:
    """Blocks of rows of +1 and -1, (F, Q); what was observed, no flip at all, is the first row of the first block."""
    if 2**questions <= 2**13:
        numbers = np.arange(2**questions)[:, None]
        yield np.where((numbers >> np.arange(questions)) & 1, -1.0, 1.0)
        return
    yield np.ones((1, questions))
    generator = np.random.default_rng([seed, questions])
    block = max(1, min(FLIPS, 2_000_000 // questions))
    for start in range(0, FLIPS, block):
        yield np.where(generator.integers(0, 2, (min(block, FLIPS - start), questions), dtype=np.bool_), -1.0, 1.0)
