"""Our engine against TRL's DPOTrainer: same tokens, log-probabilities, losses, gradients and weights, 24 steps long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from tiny import PACKED_FAMILIES, tiny_model
from transformers import Trainer
from trl_oracle import CASES, MERGING_PAIRS, SETTINGS, Case, agreement, tokenizer_of

from epistemic_stance.models.chat_template import encode_pair
from epistemic_stance.training.engine import make_optimizer

TOLERANCE = 1e-4
"""Relative; float32 rounding over 24 optimizer steps leaves less than a tenth of it."""

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing. is deprecated:FutureWarning"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_engine_agrees_with_trl(case: Case, record_property: Callable[[str, Any], None]) -> None:
    result = agreement(case)
    for name, value in asdict(result).items():
        record_property(name, value)
    assert result.same_tokens
    assert result.logps < TOLERANCE
    assert result.loss < TOLERANCE
    assert result.grad_norm < TOLERANCE
    assert result.weights < 1e-3
    assert result.loss_after < 0.9 * result.loss_before, "both must have learned, or they agree on nothing"


def test_merging_pairs_do_merge() -> None:
    tokenizer = tokenizer_of(Case(data="merging text"))
    for pair in MERGING_PAIRS:
        assert len(encode_pair(tokenizer, pair).prompt_ids) < len(tokenizer(pair.prompt)["input_ids"])


@pytest.mark.parametrize("family", PACKED_FAMILIES)
def test_weight_decay_groups_match_hugging_face(family: str) -> None:
    model = tiny_model(family)
    decayed, others = (
        {id(parameter) for parameter in group["params"]} for group in make_optimizer(model, SETTINGS).param_groups
    )
    names = Trainer.get_decay_parameter_names(None, model)  # a tied head goes by two names
    assert decayed == {id(model.get_parameter(name)) for name in names}
    assert len(decayed) + len(others) == len(list(model.parameters()))
