"""LoRA adapters inside the model, for devices that cannot hold the optimizer state of all weights.

The adapters are injected in place (the model keeps its class and forward), and a checkpoint holds the merged
weights, so that whatever loads the base model loads the tuned one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from epistemic_stance.foundation.errors import InputError, Problem


def add_lora(model: Any, rank: int, seed: int) -> None:
    """Freeze the model and add adapters (alpha = 2 * rank) to every linear layer but the output head.

    Raises InputError if the model has none (GPT-2 is made of Conv1D).
    """
    from peft import LoraConfig, inject_adapter_in_model

    linear = {
        name.rsplit(".", 1)[-1]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not model.get_output_embeddings()
    }
    if not linear:
        what = f"{type(model).__name__} has no linear layers to put adapters on"
        raise InputError([Problem("--lora-rank", what, hint="leave it out to train all weights, or use another model")])
    config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=sorted(linear))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model)


def merged_state_dict(model: Any) -> dict[str, Tensor]:
    """The state dict of the base architecture, adapters added in; the model's own tensors are left alone."""
    from peft.tuners.lora import LoraLayer

    deltas = {
        f"{name}.base_layer.weight": module.get_delta_weight("default")
        for name, module in model.named_modules()
        if isinstance(module, LoraLayer)
    }
    merged: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        if ".lora_" in name:
            continue
        merged[name.replace(".base_layer.", ".")] = tensor + deltas[name] if name in deltas else tensor
    return merged
