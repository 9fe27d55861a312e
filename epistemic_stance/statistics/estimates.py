"""What all statistics share (level, array types), and the t interval of a mean over questions."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from epistemic_stance.records.probes import EstimateRecord

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

ALPHA = 0.05
TAIL = ALPHA / 2


class Estimate(NamedTuple):
    """A value with its 95 % interval."""

    estimate: float
    low: float
    high: float


def effective_number(weights: FloatArray) -> float:
    """Values of equal weight that would say as much as these (Kish 1965); 0 of none."""
    return float(weights.sum() ** 2 / (weights**2).sum()) if weights.any() else 0.0


def mean_estimate(
    values: Sequence[float] | FloatArray,
    *,
    weights: Sequence[float] | FloatArray | None = None,
    strata: Sequence[Hashable] | None = None,
    units: Sequence[Hashable] | None = None,
) -> EstimateRecord:
    """Mean of the strata's weighted means, each stratum counting the same, with a 95 % t interval over units.

    The standard error is the cluster-robust one of a linear estimate with the small-sample factor
    G / (G - 1) * (N - 1) / (N - K) for G units, N values and K strata (Cameron and Miller 2015, "A practitioner's
    guide to cluster-robust inference", equations 11 and 12). For units of one value each it is the textbook's: one
    stratum gives s / sqrt(n), two of equal size the standard error of the mean of two independent means. Student's t
    has G - 1 degrees of freedom, and one less for every further stratum as long as no unit has values in two of them.

    Args:
        values: one a question; at least one.
        weights: of the values inside their stratum; default: equal.
        strata: of each value; default: one stratum.
        units: of each value; default: each value is one.
    """
    value_N = np.asarray(values, dtype=np.float64)
    weight_N = np.ones(len(value_N)) if weights is None else np.asarray(weights, dtype=np.float64)
    stratum_N = _numbered(strata, len(value_N))
    unit_N = np.arange(len(value_N)) if units is None else _numbered(units, len(value_N))
    total_K = np.bincount(stratum_N, weight_N)
    mean_K = np.bincount(stratum_N, weight_N * value_N) / total_K
    influence_N = weight_N * (value_N - mean_K[stratum_N]) / total_K[stratum_N] / len(mean_K)
    influence_G = np.bincount(unit_N, influence_N)
    value, count, groups, kinds = float(mean_K.mean()), len(value_N), len(influence_G), len(mean_K)
    shared = kinds > 1 and len(set(zip(unit_N.tolist(), stratum_N.tolist(), strict=True))) > groups
    degrees = groups - 1 if shared else groups - kinds
    if degrees < 1 or count <= kinds:
        return EstimateRecord(value=value, se=None, low=None, high=None, units=groups)
    variance = float(influence_G @ influence_G) * groups / (groups - 1) * (count - 1) / (count - kinds)
    se = float(np.sqrt(variance))
    reach = se * float(stdtrit(degrees, 1 - TAIL))
    return EstimateRecord(value=value, se=se, low=value - reach, high=value + reach, units=groups)


def _numbered(labels: Sequence[Hashable] | None, count: int) -> IntArray:
    """Labels as numbers from 0 in order of first occurrence; without labels all are 0."""
    if labels is None:
        return np.zeros(count, dtype=np.int64)
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.int64)
