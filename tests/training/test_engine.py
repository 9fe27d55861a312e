"""One optimizer step: exact means however a batch is split, the schedule, and stopping before a bad update."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import PACKED_FAMILIES, tiny_encoded, tiny_model

from epistemic_stance.foundation.errors import NumericError
from epistemic_stance.foundation.files import dump_json
from epistemic_stance.foundation.settings import TrainSettings
from epistemic_stance.records.training import StepRecord
from epistemic_stance.stance.pairs import EncodedPair
from epistemic_stance.training import packing
from epistemic_stance.training.dpo import Objective
from epistemic_stance.training.engine import (
    Engine,
    evaluate,
    learning_rate_at,
    make_optimizer,
    optimizer_step,
    require_finite_weights,
)
from epistemic_stance.training.packing import PairForward, choose_forward
from epistemic_stance.training.reference import compute_reference, load_reference, reference_key, save_reference

SIGMOID = Objective("sigmoid", beta=0.1)
SETTINGS = TrainSettings(learning_rate=1e-3, weight_decay=0.1, max_grad_norm=1.0)
PAIRS = tiny_encoded(5)


def engine_for(model: Any, pairs: Sequence[EncodedPair] = PAIRS, **changes: Any) -> Engine:
    forward = choose_forward(model, pairs)
    engine = Engine(
        model=model,
        forward=forward,
        objective=SIGMOID,
        reference=compute_reference(model, forward, pairs, torch.float32),
        optimizer=make_optimizer(model, SETTINGS),
        batch_size=len(PAIRS),
        compute_dtype=torch.float32,
        max_grad_norm=1.0,
        scaler=None,
    )
    return replace(engine, **changes)


def weights_of(model: Any) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def same_weights(first: Sequence[torch.Tensor], second: Sequence[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


# --- step 0 ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [*PACKED_FAMILIES, "bloom"])
def test_first_loss_is_ln_2_and_rewards_are_zero(family: str) -> None:
    """One pair a forward, as the reference was computed: exactly. Five pairs: to the rounding of a larger matmul."""
    engine = engine_for(tiny_model(family))
    for pair in PAIRS:
        (record,) = evaluate(engine, [pair])
        assert record.loss == pytest.approx(math.log(2), abs=1e-6)
        assert abs(record.chosen_reward) <= 1e-6
        assert abs(record.rejected_reward) <= 1e-6
    together = evaluate(engine, PAIRS)
    assert [record.id for record in together] == [pair.id for pair in PAIRS]
    for record in together:
        assert record.loss == pytest.approx(math.log(2), abs=1e-5)
        assert abs(record.chosen_reward) <= 1e-5
        assert abs(record.rejected_reward) <= 1e-5


def test_record_of_a_step_is_from_before_its_update() -> None:
    engine = engine_for(tiny_model("qwen2"))
    before = evaluate(engine, PAIRS)
    step = optimizer_step(engine, PAIRS, epoch=3, step=7, rate=2e-3)
    assert (step.epoch, step.step, step.learning_rate) == (3, 7, 2e-3)
    assert step.pairs == before
    assert step.loss == pytest.approx(sum(record.loss for record in before) / 5)
    assert [record.chosen_tokens for record in step.pairs] == [len(pair.chosen_ids) for pair in PAIRS]
    assert [record.rejected_tokens for record in step.pairs] == [len(pair.rejected_ids) for pair in PAIRS]
    after = evaluate(engine, PAIRS)
    assert sum(record.loss for record in after) < sum(record.loss for record in before)
    assert all(record.margin > 0 for record in after)


# --- the mean over pairs -----------------------------------------------------------------------------------

OBJECTIVES = [SIGMOID, replace(SIGMOID, loss="ipo"), replace(SIGMOID, nll_weight=1.0, dpop_weight=5.0)]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=["sigmoid", "ipo", "nll and dpop"])
def test_update_does_not_depend_on_the_split(objective: Objective, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five pairs in one forward, in five, in 2 + 2 + 1: every pair weighs 1/5, also the one left over."""
    updated, steps = [], []
    for batch_size, limit, expected in ((5, 2048, [5]), (1, 2048, [1] * 5), (2, 2048, [2, 2, 1]), (5, 250, [3, 2])):
        monkeypatch.setattr(packing, "MAX_PACKED_TOKENS", limit)
        engine = engine_for(tiny_model("qwen2"), objective=objective, batch_size=batch_size)
        assert [len(group) for group in engine.forward.groups(PAIRS, engine.batch_size)] == expected
        steps += [optimizer_step(engine, PAIRS, 1, step, 1e-3) for step in (1, 2)][1:]
        updated.append(weights_of(engine.model))
    start = weights_of(tiny_model("qwen2"))
    for weights, step in zip(updated[1:], steps[1:], strict=True):
        assert step.loss == pytest.approx(steps[0].loss, rel=1e-5)
        assert step.grad_norm == pytest.approx(steps[0].grad_norm, rel=1e-5)
        moved = sum((a - b).square().sum() for a, b in zip(updated[0], start, strict=True)).sqrt()
        apart = sum((a - b).square().sum() for a, b in zip(updated[0], weights, strict=True)).sqrt()
        assert apart < 1e-3 * moved


def test_gradient_is_the_mean_of_the_pairs_gradients() -> None:
    """Against autograd on one pair at a time and a plain average, without packing and without the engine's loop."""
    model = tiny_model("qwen2")
    total = [torch.zeros_like(parameter) for parameter in model.parameters()]
    reference = compute_reference(model, PairForward(False, "", None), PAIRS, torch.float32)
    for pair in PAIRS:
        logps = packing.plain_logps(model, [pair])
        chosen, rejected = logps.chosen_B[0] - reference[pair.id][0], logps.rejected_B[0] - reference[pair.id][1]
        loss = torch.log1p(torch.exp(-0.1 * (chosen - rejected)))
        gradients = torch.autograd.grad(loss / len(PAIRS), list(model.parameters()))
        total = [mean + gradient for mean, gradient in zip(total, gradients, strict=True)]
    expected = math.sqrt(sum(mean.double().square().sum().item() for mean in total))
    engine = engine_for(model, max_grad_norm=0.0)
    assert optimizer_step(engine, PAIRS, 1, 1, 1e-3).grad_norm == pytest.approx(expected, rel=1e-5)
    for parameter, mean in zip(model.parameters(), total, strict=True):
        torch.testing.assert_close(parameter.grad, mean, rtol=1e-4, atol=1e-5 * mean.abs().max().item())


def test_gradients_of_the_last_step_are_gone() -> None:
    """At rate 0 nothing changes, so a second step must find the same gradient and not twice it."""
    engine = engine_for(tiny_model("qwen2"))
    norms = [optimizer_step(engine, PAIRS, 1, step, 0.0).grad_norm for step in (1, 2)]
    assert norms[0] == norms[1] > 0


# --- clipping ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_norm", [0.05, 1.0, 1e6])
def test_clipping_is_torchs(max_norm: float) -> None:
    clipped, unclipped = (engine_for(tiny_model("qwen2"), max_grad_norm=limit) for limit in (max_norm, 0.0))
    norm = optimizer_step(clipped, PAIRS, 1, 1, 0.0).grad_norm
    assert optimizer_step(unclipped, PAIRS, 1, 1, 0.0).grad_norm == norm, "the norm is logged before clipping"
    parameters = list(unclipped.model.parameters())
    assert torch.nn.utils.clip_grad_norm_(parameters, max_norm).item() == pytest.approx(norm, rel=1e-6)
    for ours, torchs in zip(clipped.model.parameters(), parameters, strict=True):
        torch.testing.assert_close(ours.grad, torchs.grad, rtol=1e-6, atol=0)
    after = torch.nn.utils.get_total_norm([parameter.grad for parameter in clipped.model.parameters()]).item()
    assert after == pytest.approx(min(norm, max_norm), rel=1e-4)


# --- schedule and optimizer --------------------------------------------------------------------------------


def rates(total: int, **changes: Any) -> list[float]:
    settings = replace(SETTINGS, learning_rate=1.0, **changes)
    return [learning_rate_at(step, total, settings) for step in range(1, total + 1)]


def test_linear_schedule() -> None:
    """Warm-up 2 of 6 steps: 1/2, 1, then down over the 4 left: 4/4, 3/4, 2/4, 1/4."""
    assert rates(6, warmup_steps=2, lr_schedule="linear") == [0.5, 1, 1, 0.75, 0.5, 0.25]
    assert rates(4, warmup_steps=0, lr_schedule="linear") == [1, 0.75, 0.5, 0.25]


def test_constant_schedule() -> None:
    assert rates(5, warmup_steps=2, lr_schedule="constant") == [0.5, 1, 1, 1, 1]
    assert rates(3, warmup_steps=0, lr_schedule="constant") == [1, 1, 1]


def test_warm_up_longer_than_the_run() -> None:
    assert rates(3, warmup_steps=10) == [0.1, 0.2, 0.3]


@given(st.integers(1, 300), st.integers(0, 400), st.sampled_from(["linear", "constant"]))
def test_every_step_moves(total: int, warmup: int, schedule: str) -> None:
    schedule_rates = rates(total, warmup_steps=warmup, lr_schedule=schedule)
    assert all(0 < rate <= 1 for rate in schedule_rates)
    peak = min(warmup, total)
    assert schedule_rates[:peak] == sorted(schedule_rates[:peak])
    assert schedule_rates[peak:] == sorted(schedule_rates[peak:], reverse=True)


def test_rate_reaches_the_optimizer() -> None:
    """Adam's first update is rate * sign(gradient) wherever epsilon is negligible, so the step is the rate."""
    engine = engine_for(tiny_model("qwen2"))
    before = weights_of(engine.model)
    optimizer_step(engine, PAIRS, 1, 1, 3e-4)
    assert {group["lr"] for group in engine.optimizer.param_groups} == {3e-4}
    norms = dict(engine.model.named_parameters())["model.norm.weight"]
    index = [name for name, _ in engine.model.named_parameters()].index("model.norm.weight")
    torch.testing.assert_close((norms.detach() - before[index]).abs(), torch.full_like(norms, 3e-4), rtol=1e-2, atol=0)


def test_decay_shrinks_matrices_only() -> None:
    """With zero gradients AdamW multiplies by 1 - rate * decay = 1 - 0.5 * 0.1 where it decays."""
    model = tiny_model("qwen2")
    before = weights_of(model)
    optimizer = make_optimizer(model, replace(SETTINGS, learning_rate=0.5))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for (name, parameter), old in zip(model.named_parameters(), before, strict=True):
        factor = 1.0 if name.endswith("bias") or "norm" in name else 0.95
        torch.testing.assert_close(parameter.detach(), factor * old, msg=name)
    assert {parameter.ndim for parameter in model.parameters()} == {1, 2}


def test_frozen_parameters_are_left_out() -> None:
    model = tiny_model("qwen2")
    model.model.embed_tokens.weight.requires_grad_(False)
    engine = engine_for(model)
    assert all(parameter.requires_grad for parameter in engine.parameters)
    before = model.model.embed_tokens.weight.clone()
    optimizer_step(engine, PAIRS, 1, 1, 1e-3)
    assert torch.equal(model.model.embed_tokens.weight, before)


# --- stopping before a bad update --------------------------------------------------------------------------


def test_non_finite_loss_stops_before_the_update() -> None:
    engine = engine_for(tiny_model("qwen2"))
    engine.reference = {**engine.reference, "pair-3": (math.nan, -1.0)}
    before = weights_of(engine.model)
    with pytest.raises(
        NumericError, match=r"the loss is not finite at step 12, pairs pair-3; stopped before"
    ) as caught:
        optimizer_step(engine, PAIRS, 1, 12, 1e-3)
    assert caught.value.exit_code == 4
    assert "--learning-rate" in caught.value.hint
    assert same_weights(weights_of(engine.model), before)
    assert not engine.optimizer.state, "the optimizer's moments are untouched too"


def test_non_finite_gradient_stops_before_the_update() -> None:
    """A finite loss whose gradient is not: a hook makes it so, as an overflowing backward does."""
    engine = engine_for(tiny_model("qwen2"))
    before = weights_of(engine.model)
    engine.model.model.norm.weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(
        NumericError, match=r"the gradient is not finite .* at step 5, pairs pair-1, pair-2; "
    ) as caught:
        optimizer_step(engine, PAIRS[:2], 1, 5, 1e-3)
    assert caught.value.exit_code == 4
    assert same_weights(weights_of(engine.model), before)
    assert not engine.optimizer.state


def test_non_finite_gradient_stops_without_clipping_too() -> None:
    engine = engine_for(tiny_model("qwen2"), max_grad_norm=0.0)
    engine.model.model.norm.weight.register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(NumericError):
        optimizer_step(engine, PAIRS, 1, 1, 1e-3)


def test_weights_that_are_not_finite_are_named() -> None:
    model = tiny_model("qwen2")
    require_finite_weights(model, "after epoch 1")
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 4] = math.nan
    with pytest.raises(
        NumericError, match=r"weight model\.layers\.1\.mlp\.up_proj\.weight is not finite after epoch 1"
    ):
        require_finite_weights(model, "after epoch 1")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_parameters_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(NumericError) as caught:
        make_optimizer(tiny_model("qwen2").to(dtype), SETTINGS)
    assert caught.value.exit_code == 4
    assert str(dtype) in str(caught.value)
    assert "model.embed_tokens.weight" in str(caught.value)
    assert "load the model in float32" in caught.value.hint


def test_one_half_precision_parameter_is_refused() -> None:
    model = tiny_model("qwen2")
    model.model.norm.half()
    with pytest.raises(NumericError, match=r"1 of 26 trainable tensors are not float32 \(first: model\.norm\.weight"):
        make_optimizer(model, SETTINGS)


def test_float16_weights_under_plain_adam_stop_at_step_2() -> None:
    """The failure this project started from: such a run logs `loss 0.0, grad_norm nan` from step 2 and ends with 0.

    In float16 Adam's epsilon of 1e-8 is 0, and so is the square of a gradient below 2e-4: the update is 0 / 0.
    """
    model = tiny_model("qwen2").half()
    plain = PairForward(False, "for this test", None)
    engine = Engine(
        model=model,
        forward=plain,
        objective=SIGMOID,
        reference=compute_reference(model, plain, PAIRS, torch.float32),
        optimizer=torch.optim.AdamW(model.parameters(), lr=1e-5, foreach=False, fused=False),
        batch_size=len(PAIRS),
        compute_dtype=torch.float32,
        max_grad_norm=1.0,
        scaler=None,
    )
    first = optimizer_step(engine, PAIRS, 1, 1, 1e-5)
    assert first.loss == pytest.approx(math.log(2), abs=1e-3)
    assert math.isfinite(first.grad_norm)
    with pytest.raises(NumericError, match=r"the loss is not finite at step 2, pairs pair-1") as caught:
        optimizer_step(engine, PAIRS, 1, 2, 1e-5)
    assert caught.value.exit_code == 4
    with pytest.raises(NumericError, match="is not finite before saving"):
        require_finite_weights(model, "before saving")


# --- the loss scale of float16 compute ---------------------------------------------------------------------


def test_overflow_under_a_loss_scale_skips_updates_until_the_scale_is_1() -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    engine = engine_for(tiny_model("qwen2"), scaler=scaler)
    before = weights_of(engine.model)
    engine.model.model.norm.weight.register_hook(lambda gradient: gradient * math.inf)
    for step, scale in ((1, 2.0), (2, 1.0)):
        record = optimizer_step(engine, PAIRS, 1, step, 1e-3)
        assert record.grad_norm is None
        assert StepRecord.model_validate_json(dump_json(record.model_dump(mode="json"))).grad_norm is None
        assert record.loss == pytest.approx(math.log(2), abs=1e-5)
        assert scaler.get_scale() == scale
    with pytest.raises(NumericError, match="the gradient is not finite"):
        optimizer_step(engine, PAIRS, 1, 3, 1e-3)
    assert same_weights(weights_of(engine.model), before)


def test_loss_scale_changes_neither_norm_nor_update() -> None:
    scaled = engine_for(tiny_model("qwen2"), scaler=torch.amp.GradScaler("cpu", init_scale=2.0**10))
    plain = engine_for(tiny_model("qwen2"))
    norms = [optimizer_step(engine, PAIRS, 1, 1, 1e-3).grad_norm for engine in (scaled, plain)]
    assert norms[0] == pytest.approx(norms[1], rel=1e-6)
    for a, b in zip(scaled.model.parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_compute_precision_leaves_master_weights_and_losses_in_float32(dtype: torch.dtype) -> None:
    model = tiny_model("qwen2")
    engine = engine_for(model, compute_dtype=dtype)
    engine.reference = compute_reference(model, engine.forward, PAIRS, dtype)
    losses = [optimizer_step(engine, PAIRS, 1, step, 1e-3).loss for step in range(1, 9)]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-2)
    assert losses[-1] < 0.8 * losses[0]
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert {parameter.grad.dtype for parameter in model.parameters()} == {torch.float32}


# --- the reference -----------------------------------------------------------------------------------------

PACKED, PLAIN = PairForward(True, "", None), PairForward(False, "", None)
KEY = reference_key("digest", PAIRS, PACKED, torch.float32)


@pytest.mark.parametrize(
    "other",
    [
        reference_key("another", PAIRS, PACKED, torch.float32),
        reference_key("digest", PAIRS[:4], PACKED, torch.float32),
        reference_key("digest", [replace(PAIRS[0], chosen_ids=[5, *PAIRS[0].chosen_ids[1:]])], PACKED, torch.float32),
        reference_key("digest", [replace(PAIRS[0], id="other"), *PAIRS[1:]], PACKED, torch.float32),
        reference_key("digest", PAIRS, PACKED, torch.bfloat16),
        reference_key("digest", PAIRS, PLAIN, torch.float32),
    ],
    ids=["weights", "fewer pairs", "tokens", "ids", "dtype", "forward"],
)
def test_reference_key_holds_what_it_depends_on(other: str) -> None:
    assert other != KEY


def test_reference_key_does_not_depend_on_the_reason() -> None:
    forward = replace(PACKED, reason="packed and separate forwards agree to 3e-07")
    assert reference_key("digest", list(PAIRS), forward, torch.float32) == KEY


def test_tokens_cannot_move_between_prompt_and_answers_under_one_key() -> None:
    pair = PAIRS[0]
    moved = replace(pair, prompt_ids=[*pair.prompt_ids, pair.chosen_ids[0]], chosen_ids=pair.chosen_ids[1:])
    keys = {reference_key("digest", [p], PACKED, torch.float32) for p in (pair, moved)}
    assert len(keys) == 2


def test_reference_cache_returns_the_very_numbers(tmp_path: Path) -> None:
    model = tiny_model("qwen2")
    logps = compute_reference(model, PACKED, PAIRS, torch.float32)
    path = tmp_path / "reference.json"
    save_reference(path, KEY, logps)
    assert load_reference(path, KEY) == logps


def test_stale_or_broken_reference_cache_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "reference.json"
    assert load_reference(path, KEY) is None
    save_reference(path, KEY, {"pair-1": (-1.0, -2.0)})
    assert load_reference(path, "another key") is None
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert load_reference(path, KEY) is None
    path.write_text('{"schema": 1, "key": "' + KEY + '", "logps": {"pair-1": [null, -2.0]}}')
    assert load_reference(path, KEY) is None


def test_reference_takes_no_gradient_and_changes_nothing() -> None:
    model = tiny_model("qwen2")
    before = weights_of(model)
    compute_reference(model, PACKED, PAIRS, torch.float32)
    assert same_weights(weights_of(model), before)
    assert all(parameter.grad is None for parameter in model.parameters())
