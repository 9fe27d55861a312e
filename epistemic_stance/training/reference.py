"""Log-probabilities of the frozen base model: computed once, before training, and kept beside the run.

They are computed with the training forward, so that at step 0 policy and reference agree to rounding. The key
holds everything they depend on; a cache with another key is computed anew, never used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from epistemic_stance.foundation.files import dump_json, write_atomic
from epistemic_stance.records.training import ReferenceCache
from epistemic_stance.stance.pairs import EncodedPair
from epistemic_stance.training.engine import compute_precision
from epistemic_stance.training.packing import PairForward

CODE_VERSION = 1
"""Raise it when the forward pass changes what it computes."""


def reference_key(weights_digest: str, pairs: Sequence[EncodedPair], forward: PairForward, dtype: torch.dtype) -> str:
    tokens = [[pair.id, pair.prompt_ids, pair.chosen_ids, pair.rejected_ids] for pair in pairs]
    parts = [weights_digest, tokens, forward.packed, str(dtype), CODE_VERSION, torch.__version__]
    return hashlib.sha256(dump_json(parts).encode()).hexdigest()


@torch.no_grad()
def compute_reference(
    model: Any, forward: PairForward, pairs: Sequence[EncodedPair], dtype: torch.dtype
) -> dict[str, tuple[float, float]]:
    """Pair id -> (chosen, rejected) log-probabilities under the model as it is."""
    reference: dict[str, tuple[float, float]] = {}
    for pair in pairs:
        with compute_precision(model, dtype):
            logps = forward.logps(model, [pair])
        reference[pair.id] = (logps.chosen_B.item(), logps.rejected_B.item())
    return reference


def load_reference(path: Path, key: str) -> Mapping[str, tuple[float, float]] | None:
    """The cached log-probabilities, or None if there are none for this key."""
    try:
        cache = ReferenceCache.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    return cache.logps if cache.key == key else None


def save_reference(path: Path, key: str, logps: Mapping[str, tuple[float, float]]) -> None:
    write_atomic(path, dump_json(ReferenceCache(key=key, logps=dict(logps)).model_dump(by_alias=True)))
