"""Standard errors of many checkpoints' gains, and a band around the gains that holds for all of them together.

Letters of array shapes: Q questions, C checkpoints, B draws.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri, stdtrit

from epistemic_stance.statistics.estimates import ALPHA, TAIL, FloatArray, IntArray, effective_number

DRAWS = 10_000


def simultaneous_band(before_QC2: IntArray, after_QC2: IntArray, seed: int) -> tuple[FloatArray, FloatArray]:
    """Standard errors over questions, and half the width of the band, in shares: (C,) each.

    The last axis is hits and answers; questions weigh as in `changes.paired_changes`. The band is change +- c * se with
    one c for all checkpoints: the 95 % quantile of the largest |t| among them when questions, whole, are weighed by
    normal multipliers (Chernozhukov, Chetverikov and Kato 2013, Annals of Statistics 41, section 3), widened to
    Student's t. It knows that checkpoints of one run resemble each other, and holds whichever one is picked (sup-t:
    Montiel Olea and Plagborg-Moller 2019, Journal of Applied Econometrics 34).
    """
    b_QC, a_QC = before_QC2[..., 1], after_QC2[..., 1]
    weight_QC = b_QC * a_QC / np.maximum(b_QC + a_QC, 1)
    change_QC = after_QC2[..., 0] / np.maximum(a_QC, 1) - before_QC2[..., 0] / np.maximum(b_QC, 1)
    total_C = np.maximum(weight_QC.sum(axis=0), 1e-12)
    influence_QC = weight_QC * (change_QC - (weight_QC * change_QC).sum(axis=0) / total_C) / total_C
    used_C = np.maximum(np.count_nonzero(weight_QC, axis=0), 2)
    size_C = np.sqrt((influence_QC**2).sum(axis=0))
    se_C = size_C * np.sqrt(used_C / (used_C - 1))
    moving_C = size_C > 1e-12
    if not moving_C.any():
        return se_C, np.zeros_like(se_C)
    multiplier_BQ = np.random.default_rng([seed, len(influence_QC)]).normal(size=(DRAWS, len(influence_QC)))
    largest_B = np.abs(multiplier_BQ @ (influence_QC[:, moving_C] / size_C[moving_C])).max(axis=1)
    normal = float(np.quantile(largest_B, 1 - ALPHA))
    effective = max(min(effective_number(weight_Q) for weight_Q in weight_QC.T), 2.0)
    widened = normal * float(stdtrit(effective - 1, 1 - TAIL)) / float(ndtri(1 - TAIL))
    return se_C, widened * se_C
