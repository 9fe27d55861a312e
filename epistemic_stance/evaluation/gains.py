"""How far checkpoints moved from their base model, with a band that holds for all of them together.

Letters of array shapes: Q questions, A checkpoints, B draws.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri, stdtrit

from epistemic_stance.evaluation.evaluator import Evaluator
from epistemic_stance.evaluation.evidence import ModelEvidence
from epistemic_stance.records.analysis import Split
from epistemic_stance.records.validation import GainRecord
from epistemic_stance.records.written import Scope
from epistemic_stance.statistics.intervals import ALPHA, TAIL, FloatArray, IntArray, paired_changes

DRAWS = 10_000


def gains_of(
    base: ModelEvidence, models: list[ModelEvidence], scope: Scope, split: Split, evaluator: Evaluator
) -> list[GainRecord | None]:
    """Of each checkpoint, on the unseen questions of a half that all answered; None where nothing is known."""
    if not models:
        return []
    before, after = evaluator.paired_counts(base, models, scope, split)
    return gains(before, after, evaluator.seed)


def gains(before_QA2: IntArray, after_QA2: IntArray, seed: int) -> list[GainRecord | None]:
    """Hits and answers of the base model (the same in each column) and of each checkpoint to gains.

    The single interval is that of a comparison; the band is change +- c * se with one c for all checkpoints: the 95 %
    quantile of the largest |t| among them when questions, whole, are weighed by normal multipliers (Chernozhukov,
    Chetverikov and Kato 2013, Annals of Statistics 41, section 3), widened to Student's t. It knows that checkpoints of
    one run resemble each other, and holds whichever one is picked (sup-t: Montiel Olea and Plagborg-Moller 2019,
    Journal of Applied Econometrics 34).
    """
    if not len(before_QA2):
        return [None] * before_QA2.shape[1]
    changes = paired_changes(before_QA2[..., 0], before_QA2[..., 1], after_QA2[..., 0], after_QA2[..., 1], seed)
    se_A, reach_A = band_of(before_QA2, after_QA2, seed)
    return [
        None
        if change is None
        else GainRecord(
            before=change.before,
            after=change.after,
            change=change.change,
            se=float(se),
            low=change.low,
            high=change.high,
            band_low=max(-1.0, change.change - float(reach)),
            band_high=min(1.0, change.change + float(reach)),
            p=change.p,
            questions=change.questions,
        )
        for change, se, reach in zip(changes, se_A, reach_A, strict=True)
    ]


def band_of(before_QA2: IntArray, after_QA2: IntArray, seed: int) -> tuple[FloatArray, FloatArray]:
    """Standard errors over questions, and half the width of the band: (A,) each."""
    b_QA, a_QA = before_QA2[..., 1], after_QA2[..., 1]
    weight_QA = b_QA * a_QA / np.maximum(b_QA + a_QA, 1)
    change_QA = after_QA2[..., 0] / np.maximum(a_QA, 1) - before_QA2[..., 0] / np.maximum(b_QA, 1)
    total_A = np.maximum(weight_QA.sum(axis=0), 1e-12)
    influence_QA = weight_QA * (change_QA - (weight_QA * change_QA).sum(axis=0) / total_A) / total_A
    used_A = np.maximum(np.count_nonzero(weight_QA, axis=0), 2)
    size_A = np.sqrt((influence_QA**2).sum(axis=0))
    se_A = size_A * np.sqrt(used_A / (used_A - 1))
    moving_A = size_A > 1e-12
    if not moving_A.any():
        return se_A, np.zeros_like(se_A)
    multiplier_BQ = np.random.default_rng([seed, len(influence_QA)]).normal(size=(DRAWS, len(influence_QA)))
    largest_B = np.abs(multiplier_BQ @ (influence_QA[:, moving_A] / size_A[moving_A])).max(axis=1)
    normal = float(np.quantile(largest_B, 1 - ALPHA))
    effective = max(float((weight_QA.sum(axis=0) ** 2 / np.maximum((weight_QA**2).sum(axis=0), 1e-12)).min()), 2.0)
    widened = normal * float(stdtrit(effective - 1, 1 - TAIL)) / float(ndtri(1 - TAIL))
    return se_A, widened * se_A
