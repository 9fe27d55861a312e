"""Fit and measure the gauge of coherence (foundation/coherence.py) on answers that two readers labelled blind.

    python benchmarks/coherence.py [LABELS.jsonl] [--apart OTHER.jsonl ...]

Prints what the shipped weights reach on every file; a fit to LABELS.jsonl with its weights, to be put into the module;
and how that fit does on arms and on questions that it has not seen: each left out in turn. Answers on which the readers
differ do not count. `--apart` files are never fitted to.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from epistemic_stance.foundation.coherence import HOLDS, features, holds_together

OURS = Path(__file__).resolve().parent.parent / "tests" / "data" / "coherence_labels.jsonl"
SHRINKAGE = 3.0
"""Of the squared standardised weights: a few hundred labels do not bear more freedom."""
Array = NDArray[np.float64]


def read(path: Path) -> list[dict[str, object]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if "incoherent" not in row["ignore"] and row["response"].strip()]


def table(rows: Sequence[dict[str, object]]) -> tuple[Array, Array, list[str]]:
    """Features (N, F), whether each answer holds together (N), and the names of the features."""
    measured = [features(str(row["question"]), str(row["response"])) for row in rows]
    names = list(measured[0])
    holds_N = np.array(["incoherent" not in row["labels"] for row in rows], dtype=float)  # type: ignore[operator]
    return np.array([[each[name] for name in names] for each in measured]), holds_N, names


def fit(features_NF: Array, holds_N: Array) -> tuple[float, Array]:
    """Intercept and weights of a logistic model with ridge penalty, on the scale of the features as they are."""
    mean_F, spread_F = features_NF.mean(0), features_NF.std(0) + 1e-9
    scaled_NF = (features_NF - mean_F) / spread_F

    def loss(beta: Array) -> tuple[float, Array]:
        z_N = scaled_NF @ beta[1:] + beta[0]
        p_N = 1 / (1 + np.exp(-z_N))
        value = np.logaddexp(0, z_N).sum() - holds_N @ z_N + SHRINKAGE * (beta[1:] ** 2).sum() / 2
        slope = np.concatenate([[(p_N - holds_N).sum()], scaled_NF.T @ (p_N - holds_N) + SHRINKAGE * beta[1:]])
        return float(value), slope

    beta = minimize(loss, np.zeros(features_NF.shape[1] + 1), jac=True).x
    weights_F = beta[1:] / spread_F
    return float(beta[0] - weights_F @ mean_F), weights_F


def left_out(features_NF: Array, holds_N: Array, groups: Sequence[object]) -> Array:
    """Probability of each answer by a fit to the answers of all other groups."""
    p_N = np.zeros(len(holds_N))
    of_N = np.array([str(group) for group in groups])
    for group in set(of_N.tolist()):
        out_N = of_N == group
        intercept, weights_F = fit(features_NF[~out_N], holds_N[~out_N])
        p_N[out_N] = 1 / (1 + np.exp(-intercept - features_NF[out_N] @ weights_F))
    return p_N


def say(title: str, p_N: Array, holds_N: Array, arms: Sequence[object]) -> None:
    """AUC, recall and precision of `incoherent`, and of every arm the share that holds together beside the mean p."""
    found_N, broken_N = p_N < HOLDS, holds_N == 0
    both = int((found_N & broken_N).sum())
    ranks = (p_N[holds_N == 1][:, None] > p_N[broken_N]).mean() if broken_N.any() and holds_N.any() else math.nan
    recall, precision = both / max(int(broken_N.sum()), 1), both / max(int(found_N.sum()), 1)
    print(f"\n{title}: {len(p_N)} answers, incoherent {broken_N.mean():.0%}")
    print(f"  AUC {ranks:.2f}, recall {recall:.2f}, precision {precision:.2f}")
    for arm in sorted(set(map(str, arms))):
        of_N = np.array([str(each) == arm for each in arms])
        print(f"  {arm:24} {of_N.sum():4} hold {holds_N[of_N].mean():5.0%}, gauge {p_N[of_N].mean():5.0%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", nargs="?", type=Path, default=OURS)
    parser.add_argument("--apart", nargs="*", type=Path, default=[])
    options = parser.parse_args()
    for path in (options.labels, *options.apart):
        rows = read(path)
        shipped_N = np.array([holds_together(str(row["question"]), str(row["response"])) for row in rows])
        _, holds_N, _ = table(rows)
        say(f"shipped weights, {path.name}", shipped_N, holds_N, [row["arm"] for row in rows])
    rows = read(options.labels)
    features_NF, holds_N, names = table(rows)
    arms = [row["arm"] for row in rows]
    for kind, groups in (("arm", arms), ("question", [row["question"] for row in rows])):
        say(f"fitted without its own {kind}", left_out(features_NF, holds_N, groups), holds_N, arms)
    intercept, weights_F = fit(features_NF, holds_N)
    for path in options.apart:
        others = read(path)
        others_NF, other_holds_N, _ = table(others)
        p_N = 1 / (1 + np.exp(-intercept - others_NF @ weights_F))
        say(f"fitted, {path.name}", p_N, other_holds_N, [row["arm"] for row in others])
    print(f"\nINTERCEPT = {intercept:.3f}")
    for name, weight in zip(names, weights_F, strict=True):
        print(f'    "{name}": {weight:.3f},')


if __name__ == "__main__":
    main()
