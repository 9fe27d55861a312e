"""Where to train and in which precision to multiply."""

from __future__ import annotations

import torch

from epistemic_stance.foundation.errors import InputError, Problem


def choose_device(name: str) -> str:
    """The device of `--device`: auto takes CUDA, then MPS, then the CPU. Raises InputError if it is not there."""
    present = ["cpu"]
    if torch.backends.mps.is_available():
        present.insert(0, "mps")
    if torch.cuda.is_available():
        present.insert(0, "cuda")
    if name == "auto":
        return present[0]
    if name not in present:
        raise InputError(
            [Problem("--device", f"{name} is not available to torch here", hint=f"there is: {', '.join(present)}")]
        )
    return name


def choose_dtype(name: str, device: str) -> torch.dtype:
    """The precision of `--dtype` for matrix products; master weights, log-probabilities and loss stay float32.

    auto: bfloat16 on CUDA GPUs that have it (compute capability 8.0 or newer), float16 on older ones (the engine
    scales the loss), float32 elsewhere. Raises InputError for float16 on a CPU.
    """
    if name == "auto":
        if device != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.get_device_capability() >= (8, 0) else torch.float16
    if name == "float16" and device == "cpu":
        hint = "use float32, or bfloat16 on a CPU with AMX"
        raise InputError([Problem("--dtype", "float16 needs a GPU: a CPU has no fast float16 products", hint=hint)])
    dtype = getattr(torch, name)
    assert isinstance(dtype, torch.dtype)
    return dtype
