"""A rate and its 95 % interval, where answers to one question are not independent: questions are the unit.

Letters of array shapes: Q questions, K kinds of them, A angles and C correlations of a grid.
How the methods were chosen, and what they were measured to cover, stands in docs/statistics.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import betaincinv, gammaln, ndtri, stdtrit

from epistemic_stance.statistics.estimates import (
    TAIL,
    Estimate,
    FloatArray,
    IntArray,
    effective_number,
    mean_estimate,
)

FEW_QUESTIONS = 15
"""With fewer questions that ever show a thing, or that ever fail to, their spread says too little (measured)."""
MU_PRIOR = 0.75
"""Beta(3/4, 3/4) on the rate: between Jeffreys (1/2) and uniform (1), whose coverage lies on either side of 95 %."""
GRID_ANGLES = 200
GRID_CORRELATIONS = 20


@dataclass(frozen=True)
class Rate:
    """A share in 0 to 1 with its 95 % interval for questions like these."""

    estimate: float
    """Answers that show it / answers."""
    low: float
    high: float
    questions: int
    answers: int


def rate_interval(hits_Q: IntArray, answers_Q: IntArray) -> Rate | None:
    """Share of answers that show something, with a 95 % interval over whole questions.

    `hits_Q` of `answers_Q` answers to each question show it; questions without answers do not count. None without any
    answer: unknown is not zero. The order of the questions does not matter.

    Where at least FEW_QUESTIONS questions show it and as many fail to, Korn and Graubard's interval with the standard
    error over questions; else the equal-tailed posterior interval of a Beta-Binomial model (Skellam 1948), in which
    each question has a rate of its own.
    """
    if hits_Q.shape != answers_Q.shape or np.any(hits_Q < 0) or np.any(hits_Q > answers_Q):
        raise ValueError("each question needs 0 <= hits <= answers")
    kept = answers_Q > 0
    if not kept.any():
        return None
    hits_Q, answers_Q = hits_Q[kept], answers_Q[kept]
    rate = weighted_rate(hits_Q, answers_Q, answers_Q.astype(np.float64), added=1)
    return Rate(*rate, questions=len(answers_Q), answers=int(answers_Q.sum()))


def weighted_rate(hits_Q: IntArray, answers_Q: IntArray, weight_Q: FloatArray, added: float) -> Estimate:
    """Mean of the questions' shares with these weights, and its interval; all questions have answers.

    `added` as in `beta_interval`.
    """
    # Sorted, so that the order of a file decides nothing, not even in the last digit.
    order = np.lexsort((hits_Q, answers_Q, weight_Q))
    hits_Q, answers_Q, weight_Q = hits_Q[order], answers_Q[order], weight_Q[order]
    share_Q = hits_Q / answers_Q
    estimate = float((weight_Q / answers_Q * hits_Q).sum() / weight_Q.sum())
    enough = min(np.count_nonzero(hits_Q), np.count_nonzero(hits_Q < answers_Q)) >= FEW_QUESTIONS
    if enough and np.ptp(share_Q) > 0:  # questions that are all alike show no spread
        low, high = beta_interval(estimate, _standard_error(share_Q, weight_Q), len(share_Q) - 1, added)
    else:
        low, high = _beta_binomial(share_Q, answers_Q, weight_Q)
    low = min(low, estimate) if hits_Q.any() else 0.0
    high = max(high, estimate) if np.any(hits_Q < answers_Q) else 1.0
    return Estimate(estimate, low, high)


def _standard_error(share_Q: FloatArray, weight_Q: FloatArray) -> float:
    se = mean_estimate(share_Q, weights=weight_Q).se
    assert se is not None, "at least FEW_QUESTIONS"
    return se


def beta_interval(share: float, se: float, degrees: int, added: float) -> tuple[float, float]:
    """95 % interval of a share with this standard error, as if of n = share (1 - share) / se**2 independent answers.

    n is lowered for Student's t. With `added` 1 the ends are Clopper and Pearson's (Korn and Graubard 1998). With 0
    they are those of the Beta distribution itself, for shares that hold a prior already and for parts of a difference.
    """
    widening = float(stdtrit(degrees, 1 - TAIL) / ndtri(1 - TAIL))
    n = share * (1 - share) / (se * widening) ** 2
    low = betaincinv(share * n, (1 - share) * n + added, TAIL)
    return float(low), float(betaincinv(share * n + added, (1 - share) * n, 1 - TAIL))


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
    power_K = np.bincount(kind_Q, weight_Q) * effective_number(weight_Q) / weight_Q.sum()
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
