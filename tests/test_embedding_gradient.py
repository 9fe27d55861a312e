"""The input embedding's gradient, kept as rows until it joins that of the tied head, is the gradient autograd gives."""

from __future__ import annotations

import pytest
import torch
from tiny import tiny_encoded, tiny_model

from epistemic_stance.settings import TrainSettings
from epistemic_stance.training.engine import make_optimizer
from epistemic_stance.training.packing import packed_logps, plain_logps


def gradients(model: torch.nn.Module, passes: int, *, packed: bool) -> dict[str, torch.Tensor]:
    for _ in range(passes):
        logps = (packed_logps if packed else plain_logps)(model, tiny_encoded(3))
        (logps.chosen_B - logps.rejected_B).sum().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("family", ["qwen2", "gemma3"])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("passes", [1, 2])
def test_a_tied_embedding_gets_the_same_dense_gradient(family: str, packed: bool, passes: int) -> None:
    expected = gradients(tiny_model(family), passes, packed=packed)
    model = tiny_model(family)
    make_optimizer(model, TrainSettings())
    assert model.get_input_embeddings().sparse
    found = gradients(model, passes, packed=packed)
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        assert gradient.layout == torch.strided, name
        scale = expected[name].abs().max().item()
        torch.testing.assert_close(gradient, expected[name], rtol=1e-5, atol=1e-6 * scale)


def test_an_embedding_of_its_own_keeps_its_dense_gradient() -> None:
    model = tiny_model("llama")
    make_optimizer(model, TrainSettings())
    assert not model.get_input_embeddings().sparse
