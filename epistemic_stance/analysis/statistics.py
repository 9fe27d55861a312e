"""Rates, changes and their uncertainty, where answers to one question are not independent: questions are the unit.

Letters of array shapes: Q questions, R rows of a comparison, B resamples, A angles and C correlations of a grid.
How the methods were chosen, and what they were measured to cover, stands in docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, ndtr, ndtri, stdtrit

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
Method = Literal["bootstrap", "beta-binomial"]
ChangeMethod = Literal["bootstrap", "combined"]

ALPHA = 0.05
TAIL = ALPHA / 2
LOOKS = 20
"""Comparisons that a verdict allows for: the recipe saves twenty checkpoints, and each is held against the base."""
VERDICT_LEVEL = ALPHA / LOOKS
RESAMPLES = 2000
FEW_QUESTIONS = 15
"""With fewer questions that ever show a thing, or that ever fail to, resampling them is too narrow (measured)."""
MU_PRIOR = 0.75
"""Beta(3/4, 3/4) on the rate: between Jeffreys (1/2) and uniform (1), whose coverage lies on either side of 95 %."""
GRID_ANGLES = 200
GRID_CORRELATIONS = 20
FEW_CHANGES = 30
"""With fewer questions that did not all change alike, a change's interval is put together from the two rates'."""
FLIPS = 10_000
"""Sign flips drawn; up to 13 questions all of them (at most 8,192) are taken instead, and the p value is exact."""
LARGEST_WEIGHTS = 1000
"""Questions up to which one matrix of resampling weights is kept for all rates of a file (16 MB)."""


@dataclass(frozen=True)
class Interval:
    """A share in 0 to 1 with its 95 % interval for questions like these."""

    estimate: float
    """Answers that show it / answers."""
    low: float
    high: float
    questions: int
    answers: int
    method: Method


def rate_interval(hits_Q: IntArray, answers_Q: IntArray, seed: int) -> Interval | None:
    """Share of answers that show something, with a 95 % interval over whole questions.

    `hits_Q` of `answers_Q` answers to each question show it; questions without answers do not count. None without any
    answer: unknown is not zero. The same counts and seed give the same interval, in whatever order the questions stand.

    Questions are resampled whole (BCa, Efron and Tibshirani 1993, equations 14.9 to 14.15, the tails widened to
    Student's t, Hesterberg 2015) where at least FEW_QUESTIONS of them show it and as many fail to; else the interval is
    the equal-tailed posterior of a Beta-Binomial model (Skellam 1948), in which each question has a rate of its own.
    """
    hits_Q, answers_Q = _counted(hits_Q, answers_Q)
    if not len(answers_Q):
        return None
    estimate = float(hits_Q.sum() / answers_Q.sum())
    if min(np.count_nonzero(hits_Q), np.count_nonzero(hits_Q < answers_Q)) >= FEW_QUESTIONS:
        method: Method = "bootstrap"
        low, high = _resampled_rate(hits_Q, answers_Q, seed)
    else:
        method = "beta-binomial"
        low, high = _beta_binomial(hits_Q, answers_Q)
    low = 0.0 if estimate == 0 else min(low, estimate)
    high = 1.0 if estimate == 1 else max(high, estimate)
    return Interval(estimate, low, high, len(answers_Q), int(answers_Q.sum()), method)


def _counted(hits_Q: IntArray, answers_Q: IntArray) -> tuple[IntArray, IntArray]:
    """Questions with answers, sorted by their counts so that the order of a file decides nothing."""
    if hits_Q.shape != answers_Q.shape or np.any(hits_Q < 0) or np.any(hits_Q > answers_Q):
        raise ValueError("each question needs 0 <= hits <= answers")
    kept = answers_Q > 0
    hits_Q, answers_Q = hits_Q[kept], answers_Q[kept]
    order = np.lexsort((hits_Q, answers_Q))
    return hits_Q[order], answers_Q[order]


@dataclass(frozen=True)
class Change:
    """How a share moved between two sets of answers to the same questions."""

    before: float
    after: float
    low: float
    high: float
    """95 % interval of after - before, of this change alone, however many others are looked at."""
    questions: int
    """Answered on both sides."""
    moved: int
    """Of these, how many have another share after than before."""
    p: float
    """Of this change alone, two-sided."""
    adjusted_p: float
    """Where nothing changed, any column of a call is at or below 0.05 in at most 5 % of calls."""
    method: ChangeMethod

    @property
    def change(self) -> float:
        return self.after - self.before


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

    Interval: questions resampled (BCa as in `rate_interval`) where at least FEW_CHANGES of them changed otherwise
    than most, which mostly means: changed; else the two rates' own intervals, combined with their correlation over
    questions (MOVER: Newcombe 1998, method 10; Zou and Donner 2008).

    The p values flip, for whole questions, which side is which: exact for identical models that were asked equally
    often. They are adjusted over the columns by step-down max T (Westfall and Young 1993, algorithm 4.1; Ge, Dudoit
    and Speed 2003, box 2), which knows that patterns overlap.
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
        method: ChangeMethod = "bootstrap" if _otherwise_than_most(after_Q - before_Q) >= FEW_CHANGES else "combined"
        if method == "bootstrap":
            low, high = _resampled_change(weight_Q, after_Q - before_Q, seed)
        else:
            before = rate_interval(before_hits_QR[used, column], before_answers_QR[used, column], seed)
            after = rate_interval(after_hits_QR[used, column], after_answers_QR[used, column], seed)
            assert before is not None
            assert after is not None
            low, high = _combined(before, after, _correlation(weight_Q, before_Q, after_Q))
        rate_before, rate_after = (float(weight_Q @ share_Q / weight_Q.sum()) for share_Q in (before_Q, after_Q))
        changes.append(
            Change(
                before=rate_before,
                after=rate_after,
                low=max(-1.0, min(low, rate_after - rate_before)),
                high=min(1.0, max(high, rate_after - rate_before)),
                questions=len(weight_Q),
                moved=int(np.count_nonzero(before_Q != after_Q)),
                p=p,
                adjusted_p=adjusted_p,
                method=method,
            )
        )
    return changes


def _otherwise_than_most(change_Q: FloatArray) -> int:
    """Questions that did not change as the largest number of them did alike."""
    return len(change_Q) - int(np.unique(change_Q.round(9), return_counts=True)[1].max())


def _resampled_change(weight_Q: FloatArray, change_Q: FloatArray, seed: int) -> tuple[float, float]:
    order = np.lexsort((change_Q, weight_Q))
    weight_Q, change_Q = weight_Q[order], change_Q[order]
    sums_B2 = _resampled_sums(np.stack([weight_Q * change_Q, weight_Q], axis=1), seed)
    estimate = float(weight_Q @ change_Q / weight_Q.sum())
    return _bca(sums_B2[:, 0] / sums_B2[:, 1], estimate, weight_Q * (change_Q - estimate))


def _correlation(weight_Q: FloatArray, before_Q: FloatArray, after_Q: FloatArray) -> float:
    """Of the two shares over questions, at least 0 and shrunk by (Q - 1) / Q: a few questions cannot show more."""
    before_Q = before_Q - np.average(before_Q, weights=weight_Q)
    after_Q = after_Q - np.average(after_Q, weights=weight_Q)
    spread = float(np.sqrt((weight_Q @ before_Q**2) * (weight_Q @ after_Q**2)))
    correlation = float(weight_Q @ (before_Q * after_Q)) / spread if spread > 0 else 0.0
    return max(correlation, 0.0) * (len(weight_Q) - 1) / len(weight_Q)


def _combined(before: Interval, after: Interval, correlation: float) -> tuple[float, float]:
    def reach(one: float, other: float) -> float:
        return float(np.sqrt(max(one**2 + other**2 - 2 * correlation * one * other, 0.0)))

    change = after.estimate - before.estimate
    low = reach(after.estimate - after.low, before.high - before.estimate)
    high = reach(after.high - after.estimate, before.estimate - before.low)
    return change - low, change + high


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
    p_R[order_R] = alone_R / drawn
    p_adjusted_R[order_R] = np.maximum.accumulate(adjusted_R / drawn)
    return p_R, p_adjusted_R


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


# --- resampling questions ----------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _weights(questions: int, seed: int) -> FloatArray:
    """How often each question is drawn in each resample, (B, Q)."""
    generator = np.random.default_rng([seed, questions])
    return generator.multinomial(questions, np.full(questions, 1 / questions), RESAMPLES).astype(np.float64)


def _resampled_sums(columns_QK: FloatArray, seed: int) -> FloatArray:
    """Column sums over each resample of the rows, (B, K)."""
    questions = len(columns_QK)
    if questions <= LARGEST_WEIGHTS:
        return _weights(questions, seed) @ columns_QK
    # Rows that are alike are drawn together: a file may hold 100,000 questions, but few different counts.
    rows_KK, counts = np.unique(columns_QK, axis=0, return_counts=True)
    drawn = np.random.default_rng([seed, questions]).multinomial(questions, counts / questions, RESAMPLES)
    return np.asarray(drawn @ rows_KK, dtype=np.float64)


def _resampled_rate(hits_Q: IntArray, answers_Q: IntArray, seed: int) -> tuple[float, float]:
    estimate = hits_Q.sum() / answers_Q.sum()
    sums_B2 = _resampled_sums(np.stack([hits_Q, answers_Q], axis=1).astype(np.float64), seed)
    return _bca(sums_B2[:, 0] / sums_B2[:, 1], float(estimate), hits_Q - estimate * answers_Q)


def _bca(values_B: FloatArray, estimate: float, influence_Q: FloatArray) -> tuple[float, float]:
    """Ends of the bias-corrected and accelerated interval, its tails widened to Student's t with Q - 1 degrees.

    `influence_Q` is, up to a factor, how the estimate moves with each question (the infinitesimal jackknife).
    """
    values_B = np.sort(values_B)
    questions, resamples = len(influence_Q), len(values_B)
    tolerance = 1e-12
    below = np.count_nonzero(values_B < estimate - tolerance)
    equal = np.count_nonzero(np.abs(values_B - estimate) <= tolerance)
    share = np.clip((below + equal / 2) / resamples, 0.5 / resamples, 1 - 0.5 / resamples)
    bias = float(ndtri(share))
    acceleration = float((influence_Q**3).sum() / (6 * (influence_Q**2).sum() ** 1.5))
    reach = float(np.sqrt(questions / (questions - 1)) * stdtrit(questions - 1, 1 - TAIL))

    def end(z: float) -> float:
        level = ndtr(bias + (bias + z) / (1 - acceleration * (bias + z)))
        return float(np.interp(level * (resamples + 1) - 1, np.arange(resamples), values_B))

    return end(-reach), end(reach)


# --- Beta-Binomial -----------------------------------------------------------------------------------------


def _beta_binomial(hits_Q: IntArray, answers_Q: IntArray) -> tuple[float, float]:
    """Equal-tailed 95 % posterior interval of the mean rate, each question's own rate being Beta around it.

    The mean has a Beta(MU_PRIOR, MU_PRIOR) prior, the correlation of two answers to one question a uniform one, which
    is integrated out. The grid is even in the arcsine of the root of the mean, where every rate is equally sharp; it
    is laid once over 0 to 1, and again over the posterior where that is narrow.
    """
    pairs, counts = np.unique(np.stack([hits_Q, answers_Q], axis=1), axis=0, return_counts=True)
    start, stop = 0.0, np.pi / 2
    while True:
        logs_AC = sum(
            int(count) * _log_likelihood(int(hits), int(answers), start, stop)
            for (hits, answers), count in zip(pairs, counts, strict=True)
        )
        edges = np.linspace(start, stop, GRID_ANGLES + 1)
        angles_A = (edges[1:] + edges[:-1]) / 2
        posterior_A = np.exp(logs_AC - np.max(logs_AC)).sum(axis=1)
        posterior_A *= np.sin(2 * angles_A) ** (2 * MU_PRIOR - 1)
        cumulative = np.concatenate([[0.0], np.cumsum(posterior_A) / posterior_A.sum()])
        low, high, first, last = np.interp([TAIL, 1 - TAIL, 1e-9, 1 - 1e-9], cumulative, edges)
        if high - low > 20 * (edges[1] - edges[0]):
            return float(np.sin(low) ** 2), float(np.sin(high) ** 2)
        start, stop = float(first), float(last)


@lru_cache(maxsize=2048)
def _log_likelihood(hits: int, answers: int, start: float, stop: float) -> FloatArray:
    """Log Beta-Binomial probability of one question's hits over the grid of angles and correlations, (A, C)."""
    angles_A = start + (np.arange(GRID_ANGLES) + 0.5) * (stop - start) / GRID_ANGLES
    mean_AC = np.sin(angles_A)[:, None] ** 2
    correlation_C = (np.arange(GRID_CORRELATIONS) + 0.5) / GRID_CORRELATIONS
    total_C = 1 / correlation_C - 1
    a_AC, b_AC = mean_AC * total_C, (1 - mean_AC) * total_C
    return np.asarray(
        gammaln(hits + a_AC) - gammaln(a_AC) + gammaln(answers - hits + b_AC) - gammaln(b_AC)
        - gammaln(answers + total_C) + gammaln(total_C)
    )  # fmt: skip
