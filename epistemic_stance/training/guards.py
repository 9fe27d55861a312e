"""Warnings of what can go wrong while the loss falls, each with the flag to try.

Each guard is a pure function of the run's records; a warning is given once, the first time it is true. Values that are
not finite stop the run elsewhere (engine.py); these only warn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from epistemic_stance.foundation.errors import NumericError
from epistemic_stance.foundation.recipes import ROBUST
from epistemic_stance.foundation.settings import TrainSettings
from epistemic_stance.records.training import EpochRecord, PairRecord
from epistemic_stance.stance.pairs import EncodedPair
from epistemic_stance.training.dpo import Objective, PairLogps, preference_loss
from epistemic_stance.training.engine import ReferenceLogps

STEP0_PAIRS = 8
"""Pairs checked before the first update; the same forward pass serves all others."""
STEP0_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 5e-3}
"""Largest relative difference of log-probabilities: policy and reference are the same weights, so only rounding."""

SLOW_SECONDS = 6 * 3600


@dataclass(frozen=True)
class RunFacts:
    """What the guards know of a run besides its epochs."""

    settings: TrainSettings
    first_loss: float
    """Mean loss at step 0: ln 2 for sigmoid without other terms."""
    reference_frozen: Callable[[], bool]
    """Whether the reference log-probabilities on disk are still those the run computed from the base model."""


Guard = Callable[[Sequence[EpochRecord], RunFacts], str | None]


def first_loss(objective: Objective, pairs: Sequence[EncodedPair], reference: ReferenceLogps) -> float:
    """Mean loss before any update: policy = reference, so all rewards are 0 (ln 2 for the plain sigmoid loss)."""
    same_B2 = torch.tensor([reference[pair.id] for pair in pairs])
    same = PairLogps(same_B2[:, 0], same_B2[:, 1])
    chosen_tokens_B = torch.tensor([len(pair.chosen_ids) for pair in pairs])
    rejected_tokens_B = torch.tensor([len(pair.rejected_ids) for pair in pairs])
    return preference_loss(same, same, chosen_tokens_B, rejected_tokens_B, objective).loss_B.mean().item()


def require_zero_rewards(records: Sequence[PairRecord], dtype: torch.dtype, beta: float) -> None:
    """At step 0 the policy is the reference. Raises NumericError naming the pair that shows it is not."""
    for record in records:
        sides = ((record.chosen_reward, record.chosen_logps), (record.rejected_reward, record.rejected_logps))
        apart = [abs(reward) / beta / max(abs(logps), 1.0) for reward, logps in sides]
        if all(difference <= STEP0_TOLERANCE[dtype] for difference in apart):
            continue
        raise NumericError(
            f"the reference is not the model being trained: before the first update the log-probabilities of pair "
            f"{record.id} differ by {max(apart):.2g} (rewards must be 0, and the sigmoid loss ln 2)",
            "delete the run folder's state/reference.json if the model changed, and try --dtype float32",
        )


def epoch_warnings(history: Sequence[EpochRecord], facts: RunFacts) -> dict[str, str]:
    """Guard name -> message, for every guard that is true of the last epoch of `history`."""
    checks = {
        "flat_loss": flat_loss,
        "exploding_loss": exploding_loss,
        "displacement": displacement,
        "absolute_preference": absolute_preference,
        **EVALUATION_CHECKS,
        "slow": slow,
    }
    return _true_of(checks, history, facts)


def evaluation_warnings(record: EpochRecord, facts: RunFacts) -> dict[str, str]:
    """The same of the guards that speak of answers, at a checkpoint within an epoch: the others need a whole epoch."""
    return _true_of(EVALUATION_CHECKS, [record], facts)


def _true_of(checks: Mapping[str, Guard], history: Sequence[EpochRecord], facts: RunFacts) -> dict[str, str]:
    messages = {name: check(history, facts) for name, check in checks.items()}
    return {name: message for name, message in messages.items() if message}


def more_nll(facts: RunFacts) -> str:
    return f"--nll-weight {max(0.2, 2 * facts.settings.nll_weight):g}"


def higher_rate(facts: RunFacts) -> str:
    return f"--learning-rate {number(5 * facts.settings.learning_rate)}"


def lower_rate(facts: RunFacts) -> str:
    return f"--learning-rate {number(facts.settings.learning_rate / 2)}"


def preset(facts: RunFacts) -> str:
    """The recipe that moved a real model; for a run that has its NLL term already, more of it."""
    return more_nll(facts) if facts.settings.nll_weight else f"--recipe {ROBUST}"


def number(value: float) -> str:
    """As a person writes it on a command line: 5e-6, not 5e-06."""
    return f"{value:g}".replace("e-0", "e-")


def flat_loss(history: Sequence[EpochRecord], facts: RunFacts) -> str | None:
    last = history[-1]
    if last.step < facts.settings.warmup_steps + 50 or abs(last.avg_margin) >= 0.2 * facts.settings.beta:
        return None
    frozen = "frozen, its log-probabilities unchanged" if facts.reference_frozen() else "NOT unchanged: start anew"
    return (
        f"the loss is flat: {last.avg_loss:.4f} after {last.step} steps, margin {last.avg_margin:+.4f}; the reference "
        f"is {frozen}; try {higher_rate(facts)}"
    )


def exploding_loss(history: Sequence[EpochRecord], facts: RunFacts) -> str | None:
    last = history[-1]
    if last.avg_loss <= 2 * facts.first_loss:
        return None
    return (
        f"the loss explodes: {last.avg_loss:.3f}, it began at {facts.first_loss:.3f}; "
        f"try {lower_rate(facts)} or --warmup-steps {max(50, 5 * facts.settings.warmup_steps)}"
    )


def displacement(history: Sequence[EpochRecord], facts: RunFacts) -> str | None:
    fallen = -history[-1].chosen_reward / facts.settings.beta
    if fallen <= 5.0:
        return None
    return (
        f"likelihood displacement: the chosen answers became less likely than at the start, by {fallen:.1f} nats on "
        "average; the margin grows only because the rejected ones fall faster; try "
        f"{more_nll(facts)} or --dpop-weight 5"
    )


def absolute_preference(history: Sequence[EpochRecord], facts: RunFacts) -> str | None:
    last = history[-1]
    if last.avg_accuracy < 0.9 or last.absolute_preference >= 0.7:
        return None
    return (
        f"accuracy is {last.avg_accuracy:.0%}, yet the model itself prefers the chosen answer in only "
        f"{last.absolute_preference:.0%} of the pairs: it beats the reference's margin, not the rejected answers; "
        f"try {more_nll(facts)} or more epochs"
    )


def satisfied_without_shifting(history: Sequence[EpochRecord], facts: RunFacts) -> str | None:
    last = history[-1]
    content = last.avg_margin > 3 and last.avg_accuracy >= 0.95
    if not content or last.evaluation is None or last.evaluation.verdict != "neither":
        return None
    return (
        f"satisfied without shifting: accuracy {last.avg_accuracy:.0%} and margin {last.avg_margin:.1f}, so the "
        f"preference loss asks for nothing more, but {last.evaluation.reason}; try {preset(facts)}, or "
        f"{higher_rate(facts)}"
    )


def broken(history: Sequence[EpochRecord], facts: RunFacts) -> str | None:
    evaluation = history[-1].evaluation
    if evaluation is None or evaluation.verdict != "broken":
        return None
    remedy = f"use an earlier checkpoint, {preset(facts)}, or chosen answers that the model could say (stance check)"
    return f"broken: {evaluation.reason}; {remedy}"


def parroting(history: Sequence[EpochRecord], _: RunFacts) -> str | None:
    evaluation = history[-1].evaluation
    if evaluation is None or evaluation.verdict != "parrots":
        return None
    remedy = "use an earlier checkpoint (--checkpoint-at 1,2,3,5,8) or a smaller --nll-weight"
    return f"parroting: {evaluation.reason}; {remedy}"


def repeating(history: Sequence[EpochRecord], _: RunFacts) -> str | None:
    evaluation = history[-1].evaluation
    if evaluation is None or evaluation.repetition <= 0.2:
        return None
    return f"{evaluation.repetition:.0%} of the word 4-grams of unseen answers repeat; use an earlier checkpoint"


def drifting(history: Sequence[EpochRecord], _: RunFacts) -> str | None:
    evaluation = history[-1].evaluation
    if evaluation is None or evaluation.kl_neutral is None or evaluation.kl_neutral <= 0.5:
        return None
    return (
        f"answers to neutral questions drift: KL to the base model {evaluation.kl_neutral:.2f} nats per token; "
        "use an earlier checkpoint, a larger --beta or a smaller --learning-rate"
    )


EVALUATION_CHECKS: Mapping[str, Guard] = {
    "satisfied": satisfied_without_shifting,
    "broken": broken,
    "parroting": parroting,
    "repetition": repeating,
    "drift": drifting,
}


def slow(history: Sequence[EpochRecord], facts: RunFacts) -> str | None:
    if len(history) > 1:
        return None
    expected = history[0].seconds * facts.settings.epochs
    if expected <= SLOW_SECONDS:
        return None
    return (
        f"an epoch takes {history[0].seconds:.0f} s, all {facts.settings.epochs} about {expected / 3600:.1f} h; "
        "try --epochs 50 first, the useful checkpoints come early"
    )
