"""One optimizer step: forward, loss, guards, backward, clip, update. The loop around it is trainer.py."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from epistemic_stance.foundation.errors import NumericError
from epistemic_stance.foundation.settings import TrainSettings
from epistemic_stance.records.training import AnchorAnswer, PairRecord, StepRecord
from epistemic_stance.stance.pairs import EncodedPair
from epistemic_stance.training.dpo import Objective, PairLogps, PairLosses, anchor_term, preference_loss
from epistemic_stance.training.packing import PairForward, answer_logps

ReferenceLogps = Mapping[str, tuple[float, float]]
"""Pair id -> log-probability of chosen and of rejected under the frozen base model."""


NON_FINITE_HINT = "what was saved is intact; try half the --learning-rate, more --warmup-steps, or --dtype float32"


@dataclass(frozen=True)
class Anchor:
    """Answers of the base model that are kept likely, in the order in which the steps take them."""

    answers: Sequence[AnchorAnswer]
    per_step: int
    """Pairs of a full step."""

    def of_step(self, step: int, count: int) -> list[AnchorAnswer]:
        """`count` answers for step `step` (from 1): the next ones in turn, a function of the step number alone."""
        start = (step - 1) * self.per_step
        return [self.answers[(start + number) % len(self.answers)] for number in range(count)]


@dataclass
class Engine:
    """What a step needs. `model` holds float32 master weights; `compute_dtype` is what matmuls run in."""

    model: Any
    forward: PairForward
    objective: Objective
    reference: ReferenceLogps
    optimizer: torch.optim.Optimizer
    batch_size: int
    """Pairs per forward pass; how a step is split changes its memory, not its result."""
    compute_dtype: torch.dtype
    max_grad_norm: float
    scaler: torch.amp.GradScaler | None
    """Only for float16: scales the loss so that small gradients survive."""
    anchor: Anchor | None = None

    @property
    def parameters(self) -> list[Tensor]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]


def compute_precision(model: Any, dtype: torch.dtype) -> contextlib.AbstractContextManager[Any]:
    """Autocast to `dtype`; nothing for float32."""
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(model.device.type, dtype=dtype)


def make_optimizer(model: Any, settings: TrainSettings) -> torch.optim.AdamW:
    """AdamW over the trainable parameters, weight decay on matrices only (biases and norms are vectors).

    Raises NumericError for half-precision parameters: Adam's epsilon (1e-8) and squared gradients are 0 in
    float16 and most updates round away in bfloat16. This is the failure that logs `loss 0.0, grad_norm nan`.
    """
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    half = [name for name, parameter in trainable.items() if parameter.dtype != torch.float32]
    if half:
        raise NumericError(
            f"{len(half)} of {len(trainable)} trainable tensors are not float32 "
            f"(first: {half[0]}, {trainable[half[0]].dtype}); a plain optimizer cannot train them: "
            "in float16 its epsilon and squared gradients are zero and step 2 is NaN, in bfloat16 updates round away",
            "load the model in float32; --dtype bfloat16 or float16 sets the compute precision only",
        )
    matrices = [parameter for parameter in trainable.values() if parameter.ndim >= 2]
    vectors = [parameter for parameter in trainable.values() if parameter.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    fused = next(iter(trainable.values())).device.type in ("cpu", "cuda")
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.learning_rate,
        betas=(0.9, 0.999),
        eps=1e-8,
        fused=fused,
    )


def learning_rate_at(step: int, total_steps: int, settings: TrainSettings) -> float:
    """Rate of optimizer step `step` (from 1): linear warm-up from peak / warmup, then constant or linear to 0."""
    warmup = settings.warmup_steps
    if step <= warmup:
        return settings.learning_rate * step / warmup
    if settings.lr_schedule == "constant":
        return settings.learning_rate
    return settings.learning_rate * (total_steps - step + 1) / (total_steps - warmup)


def group_losses(engine: Engine, group: Sequence[EncodedPair]) -> tuple[PairLogps, PairLosses]:
    """Forward pass and per-pair losses of one group, in the compute precision; logps and losses are float32."""
    with compute_precision(engine.model, engine.compute_dtype):
        policy = engine.forward.logps(engine.model, group)
    device = policy.chosen_B.device
    reference_B2 = torch.tensor([engine.reference[pair.id] for pair in group], device=device)
    losses = preference_loss(
        policy,
        PairLogps(reference_B2[:, 0], reference_B2[:, 1]),
        torch.tensor([len(pair.chosen_ids) for pair in group], device=device),
        torch.tensor([len(pair.rejected_ids) for pair in group], device=device),
        engine.objective,
    )
    return policy, losses


def pair_records(group: Sequence[EncodedPair], policy: PairLogps, losses: PairLosses) -> list[PairRecord]:
    columns = torch.stack(
        [losses.loss_B, policy.chosen_B, policy.rejected_B, losses.chosen_reward_B, losses.rejected_reward_B]
    )
    return [
        PairRecord(
            id=pair.id,
            loss=loss,
            chosen_logps=chosen,
            rejected_logps=rejected,
            chosen_reward=chosen_reward,
            rejected_reward=rejected_reward,
            chosen_tokens=len(pair.chosen_ids),
            rejected_tokens=len(pair.rejected_ids),
        )
        for pair, (loss, chosen, rejected, chosen_reward, rejected_reward) in zip(
            group, columns.detach().T.tolist(), strict=True
        )
    ]


@torch.no_grad()
def evaluate(engine: Engine, pairs: Sequence[EncodedPair]) -> list[PairRecord]:
    """Losses of all pairs under the weights as they are, without training."""
    records = []
    for group in engine.forward.groups(pairs, engine.batch_size):
        records += pair_records(group, *group_losses(engine, group))
    return records


def optimizer_step(engine: Engine, pairs: Sequence[EncodedPair], epoch: int, step: int, rate: float) -> StepRecord:
    """Update the weights with the mean gradient over `pairs`, however they are split into forward passes.

    With an anchor, the gradient of its term on as many of its answers as there are pairs is added.
    Raises NumericError before the update if a loss or the gradient is not finite.
    """
    engine.optimizer.zero_grad(set_to_none=True)
    records: list[PairRecord] = []
    for group in engine.forward.groups(pairs, engine.batch_size):
        policy, losses = group_losses(engine, group)
        group_records = pair_records(group, policy, losses)
        require_finite_losses(group_records, step)
        records += group_records
        mean_share = losses.loss_B.sum() / len(pairs)
        backward(engine, mean_share)
    anchored = engine.anchor.of_step(step, len(pairs)) if engine.anchor else []
    anchor_nll = anchor_backward(engine, anchored, step) if anchored else None
    for parameter_group in engine.optimizer.param_groups:
        parameter_group["lr"] = rate
    return StepRecord(
        epoch=epoch,
        step=step,
        loss=sum(record.loss for record in records) / len(records),
        anchor_nll=anchor_nll,
        anchor_base_nll=nll_per_token([answer.base_logps for answer in anchored]) if anchored else None,
        grad_norm=apply_gradient(engine, pairs, step),
        learning_rate=rate,
        pairs=records,
    )


def backward(engine: Engine, share: Tensor) -> None:
    (engine.scaler.scale(share) if engine.scaler else share).backward()  # type: ignore[no-untyped-call]


def anchor_backward(engine: Engine, answers: Sequence[AnchorAnswer], step: int) -> float:
    """Add the gradient of the anchor's term, one answer at a time; returns its mean NLL in nats per token.

    Raises NumericError if that is not finite.
    """
    tokens = sum(len(answer.answer_ids) for answer in answers)
    logps = []
    for answer in answers:
        with compute_precision(engine.model, engine.compute_dtype):
            logps_N = answer_logps(engine.model, answer.prompt_ids, answer.answer_ids)
        backward(engine, anchor_term(logps_N, tokens, engine.objective))
        logps.append(logps_N.detach().tolist())
    nll = nll_per_token(logps)
    if not math.isfinite(nll):
        raise NumericError(
            f"the loss of the anchor is not finite at step {step}; stopped before the update", NON_FINITE_HINT
        )
    return nll


def nll_per_token(logps: Sequence[Sequence[float]]) -> float:
    """Mean over all tokens of all answers."""
    return -sum(map(sum, logps)) / sum(map(len, logps))


def apply_gradient(engine: Engine, pairs: Sequence[EncodedPair], step: int) -> float | None:
    """Clip and update; returns the gradient norm before clipping, or None if float16 overflowed: nothing is applied."""
    if engine.scaler:
        engine.scaler.unscale_(engine.optimizer)
    gradients = [parameter.grad for parameter in engine.parameters if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients).item()
    if not math.isfinite(norm):
        if engine.scaler and engine.scaler.get_scale() > 1:
            # An overflow of the loss scale, not of the model: skip the update, halve the scale, go on.
            engine.scaler.step(engine.optimizer)
            engine.scaler.update()
            return None
        ids = ", ".join(pair.id for pair in pairs)
        raise NumericError(
            f"the gradient is not finite ({norm}) at step {step}, pairs {ids}; stopped before the update",
            NON_FINITE_HINT,
        )
    if 0 < engine.max_grad_norm < norm:
        torch.nn.utils.clip_grads_with_norm_(engine.parameters, engine.max_grad_norm, torch.tensor(norm))
    if engine.scaler:
        engine.scaler.step(engine.optimizer)
        engine.scaler.update()
    else:
        engine.optimizer.step()
    return norm


def require_finite_losses(records: Sequence[PairRecord], step: int) -> None:
    broken = [record.id for record in records if not math.isfinite(record.loss)]
    if broken:
        raise NumericError(
            f"the loss is not finite at step {step}, pairs {', '.join(broken)}; stopped before the update",
            NON_FINITE_HINT,
        )


def require_finite_weights(model: torch.nn.Module, when: str) -> None:
    """Raises NumericError naming the first tensor that holds NaN or infinity."""
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise NumericError(f"weight {name} is not finite {when}; nothing was written")
