"""Log-probabilities of the frozen base model: computed once, before training, and kept beside the run.

They are computed with the training forward, so that at step 0 policy and reference agree to rounding. The key
holds everything they depend on; a cache with another key is computed anew, never used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from epistemic_stance.foundation.files import dump_json, write_atomic
from epistemic_stance.models.device import choose_device, choose_dtype
from epistemic_stance.models.load import load_model
from epistemic_stance.records.training import ReferenceCache
from epistemic_stance.stance.pairs import EncodedPair
from epistemic_stance.training.engine import compute_precision, require_finite_weights
from epistemic_stance.training.packing import PairForward, choose_forward

CODE_VERSION = 1
"""Raise it when the forward pass changes what it computes."""


def reference_key(weights_digest: str, pairs: Sequence[EncodedPair], forward: PairForward, dtype: torch.dtype) -> str:
    tokens = [[pair.id, pair.prompt_ids, pair.chosen_ids, pair.rejected_ids] for pair in pairs]
    parts = [weights_digest, tokens, forward.packed, str(dtype), CODE_VERSION, torch.__version__]
    return hashlib.sha256(dump_json(parts).encode()).hexdigest()


@torch.no_grad()
def compute_reference(
    model: Any,
    forward: PairForward,
    pairs: Sequence[EncodedPair],
    dtype: torch.dtype,
    on_pair: Callable[[int], None] = lambda _: None,
) -> dict[str, tuple[float, float]]:
    """Pair id -> (chosen, rejected) log-probabilities under the model as it is.

    Args:
        on_pair: called with the number of pairs that are done.
    """
    reference: dict[str, tuple[float, float]] = {}
    for pair in pairs:
        with compute_precision(model, dtype):
            logps = forward.logps(model, [pair])
        reference[pair.id] = (logps.chosen_B.item(), logps.rejected_B.item())
        on_pair(len(reference))
    return reference


def measure_reference(
    folder: Path, pairs: Sequence[EncodedPair], device: str, on_pair: Callable[[int], None]
) -> dict[str, tuple[float, float]]:
    """What a run of the model in a screened folder would compute before its first step, in its default precision.

    Args:
        device: as `choose_device` understands it.

    Raises InputError if the model does not load, NumericError if a weight is not finite.
    """
    device = choose_device(device)
    model = load_model(folder, device)
    require_finite_weights(model, "before training")
    return compute_reference(model, choose_forward(model, pairs), pairs, choose_dtype("auto", device), on_pair)


def load_reference(path: Path, key: str) -> Mapping[str, tuple[float, float]] | None:
    """The cached log-probabilities, or None if there are none for this key."""
    try:
        cache = ReferenceCache.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    return cache.logps if cache.key == key else None


def save_reference(path: Path, key: str, logps: Mapping[str, tuple[float, float]]) -> None:
    write_atomic(path, dump_json(ReferenceCache(key=key, logps=dict(logps)).model_dump(by_alias=True)))
