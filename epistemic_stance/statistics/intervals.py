"""Rates, changes and their uncertainty, where answers to one question are not independent: questions are the unit.

Letters of array shapes: Q questions, K kinds of them, R rows of a comparison, B resamples, A angles and C correlations
of a grid.
How the methods were chosen, and what they were measured to cover, stands in docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, log2
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
    if hits_Q.shape != answers_Q.shape or np.any(hits_Q < 0) or np.any(hits_Q > answers_Q):
        raise ValueError("each question needs 0 <= hits <= answers")
    kept = answers_Q > 0
    if not kept.any():
        return None
    return _weighted_interval(hits_Q[kept], answers_Q[kept], answers_Q[kept].astype(np.float64), seed)


def _weighted_interval(hits_Q: IntArray, answers_Q: IntArray, weight_Q: FloatArray, seed: int) -> Interval:
    """Mean of the questions' shares with these weights, and the interval of that mean; all have answers."""
    # Sorted, so that the order of a file decides nothing.
    order = np.lexsort((hits_Q, answers_Q, weight_Q))
    hits_Q, answers_Q, weight_Q = hits_Q[order], answers_Q[order], weight_Q[order]
    shown_Q = weight_Q / answers_Q * hits_Q
    estimate = float(shown_Q.sum() / weight_Q.sum())
    enough = min(np.count_nonzero(hits_Q), np.count_nonzero(hits_Q < answers_Q)) >= FEW_QUESTIONS
    if enough and np.ptp(hits_Q / answers_Q) > 0:  # where all questions are alike, resampling them shows no spread
        method: Method = "bootstrap"
        low, high = _resampled_mean(shown_Q, weight_Q, seed)
    else:
        method = "beta-binomial"
        low, high = _beta_binomial(hits_Q / answers_Q, answers_Q, weight_Q)
    low = min(low, estimate) if hits_Q.any() else 0.0
    high = max(high, estimate) if np.any(hits_Q < answers_Q) else 1.0
    return Interval(estimate, low, high, len(answers_Q), int(answers_Q.sum()), method)


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
    than most, which mostly means: changed; else the intervals of the two rates, weighted as they are, combined with
    their correlation over questions (MOVER: Newcombe 1998, method 10; Zou and Donner 2008).

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
        before, after = (float(weight_Q @ share_Q / weight_Q.sum()) for share_Q in (before_Q, after_Q))
        method: ChangeMethod = "bootstrap" if _otherwise_than_most(after_Q - before_Q) >= FEW_CHANGES else "combined"
        if method == "bootstrap":
            low, high = _resampled_change(weight_Q, after_Q - before_Q, seed)
        else:
            first, second = (
                _weighted_interval(hits_QR[used, column], answers_QR[used, column], weight_Q, seed)
                for hits_QR, answers_QR in ((before_hits_QR, before_answers_QR), (after_hits_QR, after_answers_QR))
            )
            low, high = _combined(first, second, _correlation(weight_Q, before_Q, after_Q))
        changes.append(
            Change(
                before=before,
                after=after,
                low=max(-1.0, min(low, after - before)),
                high=min(1.0, max(high, after - before)),
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
    return _resampled_mean(weight_Q * change_Q, weight_Q, seed)


def _correlation(weight_Q: FloatArray, before_Q: FloatArray, after_Q: FloatArray) -> float:
    """Of the two shares over questions, at least 0 and shrunk by (Q - 1) / Q: a few questions cannot show more.

    Q is the effective number of questions.
    """
    before_Q = before_Q - np.average(before_Q, weights=weight_Q)
    after_Q = after_Q - np.average(after_Q, weights=weight_Q)
    spread = float(np.sqrt((weight_Q @ before_Q**2) * (weight_Q @ after_Q**2)))
    correlation = float(weight_Q @ (before_Q * after_Q)) / spread if spread > 0 else 0.0
    return max(correlation, 0.0) * (1 - 1 / _effective(weight_Q))


def _effective(weight_Q: FloatArray) -> float:
    """Questions of equal weight that would say as much as these (Kish 1965)."""
    return float(weight_Q.sum() ** 2 / (weight_Q**2).sum())


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


def _resampled_mean(weighted_Q: FloatArray, weight_Q: FloatArray, seed: int) -> tuple[float, float]:
    """Interval of sum of weighted values / sum of weights."""
    sums_B2 = _resampled_sums(np.stack([weighted_Q, weight_Q], axis=1), seed)
    estimate = float(weighted_Q.sum() / weight_Q.sum())
    return _bca(sums_B2[:, 0] / sums_B2[:, 1], estimate, weighted_Q - estimate * weight_Q)


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


def _beta_binomial(share_Q: FloatArray, answers_Q: IntArray, weight_Q: FloatArray) -> tuple[float, float]:
    """Equal-tailed 95 % posterior interval of the mean rate, each question's own rate being Beta around it.

    The mean has a Beta(MU_PRIOR, MU_PRIOR) prior, the correlation of two answers to one question a uniform one, which
    is integrated out. The grid is even in the arcsine of the root of the mean, where every rate is equally sharp; it
    is laid once over 0 to 1, and again over the posterior where that is narrow.

    Weights enter as powers of each question's likelihood, which add up to the effective number of questions. All
    questions count as asked equally often, so that the posterior lies around the weighted mean even where the number
    of answers goes with the rate; that number gives the weighted mean the variance that the real ones give it.
    """
    answers = round(float((weight_Q**2).sum() / (weight_Q**2 / answers_Q).sum()), 9)
    hits_K, kind_Q = np.unique((answers * share_Q).round(9), return_inverse=True)
    power_K = np.bincount(kind_Q, weight_Q) * _effective(weight_Q) / weight_Q.sum()
    start, stop = 0.0, np.pi / 2
    while True:
        logs_AC = sum(
            power * _log_likelihood(hits, answers, start, stop)
            for hits, power in zip(hits_K.tolist(), power_K.tolist(), strict=True)
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
def _log_likelihood(hits: float, answers: float, start: float, stop: float) -> FloatArray:
    """Log Beta-Binomial probability of one question's hits over the grid of angles and correlations, (A, C).

    But for a constant; hits and answers need not be whole.
    """
    angles_A = start + (np.arange(GRID_ANGLES) + 0.5) * (stop - start) / GRID_ANGLES
    mean_AC = np.sin(angles_A)[:, None] ** 2
    correlation_C = (np.arange(GRID_CORRELATIONS) + 0.5) / GRID_CORRELATIONS
    total_C = 1 / correlation_C - 1
    a_AC, b_AC = mean_AC * total_C, (1 - mean_AC) * total_C
    return np.asarray(
        gammaln(hits + a_AC) - gammaln(a_AC) + gammaln(answers - hits + b_AC) - gammaln(b_AC)
        - gammaln(answers + total_C) + gammaln(total_C)
    )  # fmt: skip
