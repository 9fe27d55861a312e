"""Rates corrected for the errors of the rules, from labelled answers; one interval for labels and questions together.

Letters of array shapes: Q questions, N labelled answers, S the three shares p, v and m below.

Which estimator. Rogan and Gladen (American Journal of Epidemiology 107, 1978) correct a found rate p to
(p + Sp - 1) / (Se + Sp - 1). The labelled answers are drawn by what the rules found in the very answers whose rate is
corrected, so what can be estimated well is not Se and Sp but how often a find is right (v) and how often an answer
without one shows it all the same (m). From these, Begg and Greenes (Biometrics 39, 1983) get Se = p v / t and
Sp = (1 - p)(1 - m) / (1 - t) with t = p v + (1 - p) m; put into Rogan and Gladen's formula they give t itself, the
estimator of two-phase sampling (Cochran, Sampling techniques, 1977, chapter 12). So the corrected rate is taken as t:
the same number, without a division by Se + Sp - 1, always in 0 to 1, and of use even where the rules are bad.

Which interval. As in Lang and Reiczigel (Preventive Veterinary Medicine 113, 2014) and Lee et al. (arXiv 2511.21140)
the uncertainty of p and of the calibration are in one interval. Theirs take the two for independent, which here would
give up to two and a half times the width: labels and rate come from the same answers. So the variance is that over
whole questions, each with all its answers and labels, of the linearised rate (Cochran 1977, chapter 6), and the
interval is that of a Beta distribution with this variance. To each of p, v and m half an effective answer of either
outcome is added, which for independent answers is Jeffreys' prior, so that no error among thirty labels does not pass
for no error ever. Measured in docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtr, stdtrit

from epistemic_stance.statistics.changes import PairedChange
from epistemic_stance.statistics.estimates import (
    TAIL,
    BoolArray,
    Estimate,
    FloatArray,
    IntArray,
    effective_number,
)
from epistemic_stance.statistics.rates import beta_interval

MIN_LABELLED = 20
"""Labelled answers of a model; with fewer no rate is corrected. The intervals were measured to hold from here on."""
MIN_POSITIVES = 20
"""The same of those that show it, for a change, whose interval is a normal one."""
MIN_LABELS = 5
"""Labelled answers with a find, and without, or all there are; with fewer they say nothing about the rules."""
MIN_QUESTIONS = 7
"""Questions with answers; the same."""
PRIOR = 0.5
"""Answers of either outcome that are added to each share: Jeffreys."""


@dataclass(frozen=True)
class LabelledCounts:
    """What the rules found in all answers of one model, and what people said of some of them, for one pattern."""

    hits_Q: IntArray
    answers_Q: IntArray
    truth_N: BoolArray
    found_N: BoolArray
    """By the same rules as the hits."""
    weight_N: FloatArray
    """Answers that a labelled one stands for; only their proportions count. Above 0."""
    question_N: IntArray
    """Rows of `hits_Q`: the labelled answers have to be among those that are counted."""

    def __post_init__(self) -> None:
        if self.hits_Q.shape != self.answers_Q.shape or np.any(self.hits_Q < 0) or np.any(self.hits_Q > self.answers_Q):
            raise ValueError("each question needs 0 <= hits <= answers")
        if not self.truth_N.shape == self.found_N.shape == self.weight_N.shape == self.question_N.shape:
            raise ValueError("each label needs a truth, a find, a weight and a question")
        if not np.all(self.weight_N > 0):
            raise ValueError("weights are above 0")
        if not np.all((self.question_N >= 0) & (self.question_N < len(self.answers_Q))):
            raise ValueError("each label belongs to one of the questions")
        for kind_N, most_Q in ((self.found_N, self.hits_Q), (~self.found_N, self.answers_Q - self.hits_Q)):
            if np.any(np.bincount(self.question_N[kind_N], minlength=len(most_Q)) > most_Q):
                raise ValueError("labelled answers have to be among those that are counted, with the same finds")


@dataclass(frozen=True)
class DetectorError:
    """How the rules err on one model's answers, as Begg and Greenes weigh the labels."""

    true_found: int
    true_missed: int
    false_found: int
    false_passed: int
    """Labelled answers that do not show it and in which nothing was found."""
    effective_positives: float
    """Labelled answers of equal weight that would say as much (Kish 1965)."""
    effective_negatives: float
    precision: Estimate | None
    """Share of the finds that are right; None where no labelled answer has one, or there is too little."""
    sensitivity: Estimate | None
    """Share found of the answers that show it; None where no labelled answer does, or there is too little."""
    specificity: Estimate | None
    """Share passed of the answers that do not show it; None where no labelled answer is such, or as above."""

    @property
    def positives(self) -> int:
        return self.true_found + self.true_missed

    @property
    def negatives(self) -> int:
        return self.false_found + self.false_passed


@dataclass(frozen=True)
class Refused:
    """Why nothing is corrected: what is needed, a colon, and how much of it there is."""

    reason: str


def detector_error(counts: LabelledCounts) -> DetectorError:
    """How the rules err on this model, with 95 % intervals for questions and labels like these."""
    truth_N, found_N = counts.truth_N, counts.found_N
    precision = sensitivity = specificity = None
    if _first_lack([_questions(counts), *_both_kinds(counts)]) is None:
        shares = _Shares(counts, np.ones(len(counts.answers_Q)))
        if found_N.any():
            precision = shares.interval(_precision)
        if truth_N.any():
            sensitivity = shares.interval(_sensitivity)
        if not truth_N.all():
            specificity = shares.interval(_specificity)
    return DetectorError(
        true_found=int(np.count_nonzero(truth_N & found_N)),
        true_missed=int(np.count_nonzero(truth_N & ~found_N)),
        false_found=int(np.count_nonzero(~truth_N & found_N)),
        false_passed=int(np.count_nonzero(~truth_N & ~found_N)),
        effective_positives=effective_number(counts.weight_N[truth_N]),
        effective_negatives=effective_number(counts.weight_N[~truth_N]),
        precision=precision,
        sensitivity=sensitivity,
        specificity=specificity,
    )


def corrected_rate(counts: LabelledCounts) -> Estimate | Refused:
    """The rate as people would label it, with the 95 % interval for questions and labels like these.

    Where too few labels are with a find, or without, to say how the rules err, their finds are left out: the rate is
    the weighted share of the labels. Refused where there are too few labels at all.
    """
    reason = _first_lack([_questions(counts), ("labelled answers", len(counts.truth_N), MIN_LABELLED)])
    if reason is not None:
        return Refused(reason)
    if _first_lack(_both_kinds(counts)) is not None:
        counts = replace(counts, hits_Q=np.zeros_like(counts.hits_Q), found_N=np.zeros_like(counts.found_N))
    return _Shares(counts, np.ones(len(counts.answers_Q))).interval(_rate)


def corrected_changes(pairs: Sequence[tuple[LabelledCounts, LabelledCounts]]) -> list[PairedChange | Refused]:
    """Changes of corrected rates, each side with errors of its own, paired by question.

    Row q of both sides of a pair is the same question. Questions answered on one side only do not count, nor do their
    labels; the others weigh as in `changes.paired_changes`. Interval and p value are Student's t over the standard
    error of the difference by question. Refused where a side has too
    few labels, or too few that show it; such pairs do not enter Holm's adjustment.
    """
    changes = [_corrected_change(before, after) for before, after in pairs]
    adjusted = iter(_holm([change.p for change in changes if isinstance(change, PairedChange)]))
    return [
        replace(change, adjusted_p=next(adjusted)) if isinstance(change, PairedChange) else change for change in changes
    ]


def _corrected_change(before: LabelledCounts, after: LabelledCounts) -> PairedChange | Refused:
    if len(before.answers_Q) != len(after.answers_Q):
        raise ValueError("row q of both sides is the same question")
    both_Q = (before.answers_Q > 0) & (after.answers_Q > 0)
    before, after = _only(before, both_Q), _only(after, both_Q)
    for name, counts in (("before", before), ("after", after)):
        positives = ("labelled answers that show it", int(np.count_nonzero(counts.truth_N)), MIN_POSITIVES)
        reason = _first_lack([_questions(counts), positives, *_both_kinds(counts)])
        if reason is not None:
            return Refused(f"{name}: {reason}")
    weight_Q = before.answers_Q * after.answers_Q / np.maximum(before.answers_Q + after.answers_Q, 1)
    first, second = (_Shares(counts, weight_Q / np.maximum(counts.answers_Q, 1)) for counts in (before, after))
    (centre, slope_S), (centre_after, slope_after_S) = _rate(first.smoothed_S), _rate(second.smoothed_S)
    moved_Q = second.influence_QS @ slope_after_S - first.influence_QS @ slope_S
    prior_variance = slope_S**2 @ first.prior_variance_S + slope_after_S**2 @ second.prior_variance_S
    se = _standard_error(moved_Q, prior_variance, first.questions)
    reach = float(stdtrit(first.questions - 1, 1 - TAIL)) * se
    rate, rate_after = _rate(first.plain_S)[0], _rate(second.plain_S)[0]
    p = float(2 * stdtr(first.questions - 1, -abs(rate_after - rate) / se))
    return PairedChange(
        before=rate,
        after=rate_after,
        low=max(-1.0, min(centre_after - centre - reach, rate_after - rate)),
        high=min(1.0, max(centre_after - centre + reach, rate_after - rate)),
        questions=first.questions,
        p=p,
        adjusted_p=p,
    )


def _only(counts: LabelledCounts, kept_Q: BoolArray) -> LabelledCounts:
    kept_N = kept_Q[counts.question_N]
    return LabelledCounts(
        counts.hits_Q * kept_Q,
        counts.answers_Q * kept_Q,
        counts.truth_N[kept_N],
        counts.found_N[kept_N],
        counts.weight_N[kept_N],
        counts.question_N[kept_N],
    )


def _holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values, in the order given."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * np.asarray(p_values)[order]), 1.0)
    return [float(p) for p in adjusted]


# --- refusals ----------------------------------------------------------------------------------------------


Need = tuple[str, int, int]
"""What is needed, how much of it there is, and how much is needed."""


def _questions(counts: LabelledCounts) -> Need:
    return "questions with answers", int(np.count_nonzero(counts.answers_Q)), MIN_QUESTIONS


def _both_kinds(counts: LabelledCounts) -> list[Need]:
    """Labels with a find and without, by which the errors of the rules are known."""
    found, hits = int(np.count_nonzero(counts.found_N)), int(counts.hits_Q.sum())
    passed, rest = len(counts.found_N) - found, int(counts.answers_Q.sum()) - hits
    return [
        ("labelled answers in which the rules found it", found, min(MIN_LABELS, hits)),
        ("labelled answers in which the rules found nothing", passed, min(MIN_LABELS, rest)),
    ]


def _first_lack(needs: Sequence[Need]) -> str | None:
    return next((f"needs {needed} {what}: {number}" for what, number, needed in needs if number < needed), None)


# --- the three shares --------------------------------------------------------------------------------------


class _Shares:
    """p, v and m of one model, where an answer to question q weighs scale_Q[q], and how each question moves them."""

    def __init__(self, counts: LabelledCounts, scale_Q: FloatArray) -> None:
        # Sorted, so that the order of the labels decides nothing, not even in the last digit.
        order = np.lexsort((counts.found_N, counts.truth_N, counts.weight_N, counts.question_N))
        truth_N, found_N, question_N = counts.truth_N[order], counts.found_N[order], counts.question_N[order]
        weight_N = (counts.weight_N / np.sort(counts.weight_N).mean())[order] * scale_Q[question_N]
        answers_Q = scale_Q * counts.answers_Q
        parts_Q, wholes_Q = [scale_Q * counts.hits_Q], [answers_Q]
        singles = [float((scale_Q * answers_Q).sum() / answers_Q.sum())]
        for kind_N in (found_N, ~found_N):
            parts_Q.append(np.bincount(question_N, weight_N * (kind_N & truth_N), len(scale_Q)).astype(np.float64))
            wholes_Q.append(np.bincount(question_N, weight_N * kind_N, len(scale_Q)).astype(np.float64))
            singles.append(float((weight_N[kind_N] ** 2).sum() / weight_N[kind_N].sum()) if kind_N.any() else 1.0)
        unit_S = np.array([_unit(*given) for given in zip(parts_Q, wholes_Q, singles, strict=True)])
        part_QS, whole_QS = np.stack(parts_Q, axis=1), np.stack(wholes_Q, axis=1)
        part_S, whole_S = part_QS.sum(axis=0), whole_QS.sum(axis=0)
        smoothed_whole_S = whole_S + 2 * PRIOR * unit_S
        self.questions = int(np.count_nonzero(answers_Q))
        self.plain_S = part_S / np.where(whole_S > 0, whole_S, 1)
        self.smoothed_S = (part_S + PRIOR * unit_S) / smoothed_whole_S
        """With PRIOR effective answers of either outcome."""
        self.influence_QS = (part_QS - self.smoothed_S * whole_QS) / smoothed_whole_S
        squares_S = (1 - self.smoothed_S) ** 2 + self.smoothed_S**2
        self.prior_variance_S = PRIOR * squares_S * (unit_S / smoothed_whole_S) ** 2

    def interval(self, value_of: Callable[[FloatArray], tuple[float, FloatArray]]) -> Estimate:
        """Of a share made of the three; `value_of` gives it and its slope for each of them."""
        estimate, _ = value_of(self.plain_S)
        centre, slope_S = value_of(self.smoothed_S)
        se = _standard_error(self.influence_QS @ slope_S, slope_S**2 @ self.prior_variance_S, self.questions)
        low, high = beta_interval(centre, se, self.questions - 1, added=0)
        return Estimate(estimate, min(low, estimate), max(high, estimate))


def _standard_error(moved_Q: FloatArray, prior_variance: float, questions: int) -> float:
    return float(np.sqrt(moved_Q @ moved_Q * questions / (questions - 1) + prior_variance))


def _unit(part_Q: FloatArray, whole_Q: FloatArray, single: float) -> float:
    """Weight that one independent answer would have: part_Q of whole_Q over questions, an answer's being `single`.

    It is a single answer's times the design effect (Kish 1965), and at most a whole question's. Where no answer differs
    from the others the design effect is unknown, and the middle is taken.
    """
    if not whole_Q.any():
        return single
    total = float(whole_Q.sum())
    most = max(float((whole_Q**2).sum()) / total, single)
    share = float(part_Q.sum()) / total
    if not 0 < share < 1:
        return (single + most) / 2
    spread = float(((part_Q - share * whole_Q) ** 2).sum())
    return float(np.clip(spread / (share * (1 - share) * total), single, most))


# --- what is made of the shares: its value, and its slope for each of them ----------------------------------


def _rate(share_S: FloatArray) -> tuple[float, FloatArray]:
    """Of all answers what is true: t."""
    p, v, m = share_S
    return float(p * v + (1 - p) * m), np.array([v - m, p, 1 - p])


def _precision(share_S: FloatArray) -> tuple[float, FloatArray]:
    return float(share_S[1]), np.array([0.0, 1.0, 0.0])


def _sensitivity(share_S: FloatArray) -> tuple[float, FloatArray]:
    """p v / t."""
    p, v, m = share_S
    t, _ = _rate(share_S)
    return float(p * v / t), np.array([v * m, p * (1 - p) * m, -p * v * (1 - p)]) / t**2


def _specificity(share_S: FloatArray) -> tuple[float, FloatArray]:
    """(1 - p)(1 - m) / (1 - t): the sensitivity for not showing it."""
    value, slope_S = _sensitivity(1 - share_S[[0, 2, 1]])
    return value, -slope_S[[0, 2, 1]]
