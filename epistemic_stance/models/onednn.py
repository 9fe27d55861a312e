"""float32 matrix products on a CPU by oneDNN, which torch has aboard and does not use for them.

torch (2.13) hands float32 products to MKL, and MKL leaves the AVX-512 units of AMD processors idle: for 8 to 64
rows oneDNN is two to three times as fast there, with the weights as they lie. Both compute in float32; the last bits
differ.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn


def use_onednn(model: Any) -> None:
    """Let every linear layer of a model multiply by oneDNN; without effect off the CPU and off float32."""
    if model.device.type != "cpu" or model.dtype != torch.float32 or not has_onednn():
        return
    for layer in linear_layers(model):
        vars(layer)["forward"] = partial(product, layer)


def use_torch(model: Any) -> None:
    """Undo `use_onednn`."""
    for layer in linear_layers(model):
        vars(layer).pop("forward", None)


def has_onednn() -> bool:
    return hasattr(torch.ops.mkldnn, "_linear_pointwise")


def linear_layers(model: nn.Module) -> list[nn.Linear]:
    """Exactly nn.Linear: a subclass computes something else."""
    return [module for module in model.modules() if type(module) is nn.Linear]


def product(layer: nn.Linear, input_BK: Tensor) -> Tensor:
    output_BN: Tensor = torch.ops.mkldnn._linear_pointwise(input_BK, layer.weight, layer.bias, "none", [], "")
    return output_BN
