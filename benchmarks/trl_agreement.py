"""Largest differences between our engine and TRL's DPOTrainer on tiny models, as a table.

    python benchmarks/trl_agreement.py

Log-probabilities, loss and gradient norm: largest relative difference over all optimizer steps (and pairs).
Weights: distance after the last step relative to the distance moved. `clipped`: steps whose gradient was clipped.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import conftest  # noqa: F401  (one thread, no network)
import torch
import transformers
import trl
from trl_oracle import CASES, STEPS, agreement


def main() -> None:
    warnings.simplefilter("ignore", FutureWarning)
    transformers.logging.set_verbosity_error()
    print(f"TRL {trl.__version__}, transformers {transformers.__version__}, torch {torch.__version__}, {STEPS} steps")
    print("| case | tokens | log-probs | loss | grad norm | weights | clipped | first to last loss |")
    print("|---|---|---|---|---|---|---|---|")
    for case in CASES:
        result = agreement(case)
        numbers = " | ".join(f"{value:.1e}" for value in (result.logps, result.loss, result.grad_norm, result.weights))
        tokens = "same" if result.same_tokens else "DIFFER"
        losses = f"{result.loss_before:.4g} to {result.loss_after:.4g}"
        print(f"| {case} | {tokens} | {numbers} | {result.clipped} | {losses} |", flush=True)


if __name__ == "__main__":
    main()
