"""Which library multiplies float32 matrices on a CPU: MKL, as torch has it, or oneDNN, which torch has aboard as well.

torch (2.13) hands float32 products to MKL, and MKL leaves the wide units of AMD processors idle: for 8 to 64 rows
oneDNN is two to three times as fast there. On small matrices its calls cost more than they save. Both compute in
float32 with the weights as they lie, so that weights may change between two calls; the last bits differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from epistemic_stance.records.collection import Products

TIMED_LAYERS = 8
"""Layers of a model that are timed in turn: together they exceed the processor's caches, as a whole model does."""
TIMED_ROUNDS = 10
TIMED_SECONDS = 2.0
"""No further round begins after so long."""
CLEAR_MAJORITY = 0.75
"""torch multiplies if it was faster in this share of the comparisons. Where other work slows down one or the other at
random, or both are as fast, oneDNN does, so that most machines decide alike on every start."""


@torch.inference_mode()
def faster_products(model: Any, rows: int) -> Products:
    """What multiplies this many rows faster in the model's largest layers; off the CPU and off float32, torch."""
    layers = [layer for layer in linear_layers(model) if layer is not model.get_output_embeddings()]
    if model.device.type != "cpu" or model.dtype != torch.float32 or not has_onednn() or not layers:
        return "torch"
    largest = max(layers, key=lambda layer: layer.weight.numel())
    timed = [layer for layer in layers if layer.weight.shape == largest.weight.shape][:TIMED_LAYERS]
    input_BK = torch.rand(rows, largest.in_features)

    def seconds(multiply: Callable[[nn.Linear, Tensor], Tensor]) -> list[float]:
        times = [time.perf_counter()]
        for layer in timed:
            multiply(layer, input_BK)
            times.append(time.perf_counter())
        return [after - before for before, after in pairwise(times)]

    torch_is_faster: list[bool] = []
    begun = time.perf_counter()
    while len(torch_is_faster) < TIMED_ROUNDS * len(timed):
        pairs = zip(seconds(torch_product), seconds(product), strict=True)
        torch_is_faster += [by_torch < by_onednn for by_torch, by_onednn in pairs]
        if time.perf_counter() - begun > TIMED_SECONDS:
            break
    return "torch" if fmean(torch_is_faster) >= CLEAR_MAJORITY else "onednn"


@contextmanager
def multiplying_by(model: Any, products: Products) -> Iterator[None]:
    """Let the linear layers of a model multiply by oneDNN inside, without gradients; "torch" changes nothing."""
    layers = linear_layers(model) if products == "onednn" else []
    changed = [layer for layer in layers if "forward" not in vars(layer)]
    for layer in changed:
        vars(layer)["forward"] = partial(product, layer)
    try:
        yield
    finally:
        for layer in changed:
            del vars(layer)["forward"]


def has_onednn() -> bool:
    return hasattr(torch.ops.mkldnn, "_linear_pointwise")


def linear_layers(model: nn.Module) -> list[nn.Linear]:
    """Exactly nn.Linear: a subclass computes something else."""
    return [module for module in model.modules() if type(module) is nn.Linear]


def product(layer: nn.Linear, input_BK: Tensor) -> Tensor:
    output_BN: Tensor = torch.ops.mkldnn._linear_pointwise(input_BK, layer.weight, layer.bias, "none", [], "")
    return output_BN


def torch_product(layer: nn.Linear, input_BK: Tensor) -> Tensor:
    return functional.linear(input_BK, layer.weight, layer.bias)
