"""The equations of preference training, and nothing else.

B: pairs in the batch. All log-probabilities are natural logs summed over the tokens of an answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from epistemic_stance.foundation.settings import LossName


@dataclass(frozen=True)
class Objective:
    """What is minimised, in the symbols of the papers."""

    kind: LossName
    beta: float
    label_smoothing: float
    length_normalize: bool
    nll_weight: float
    dpop_weight: float


@dataclass(frozen=True)
class PairLogps:
    """Log-probabilities of the two answers of each pair under one model, shapes (B,), float32."""

    chosen_B: Tensor
    rejected_B: Tensor


@dataclass(frozen=True)
class PairLosses:
    """Shapes (B,). Rewards and margins are detached: they are for the log."""

    loss_B: Tensor
    chosen_reward_B: Tensor
    rejected_reward_B: Tensor

    @property
    def margin_B(self) -> Tensor:
        return self.chosen_reward_B - self.rejected_reward_B


def preference_loss(
    policy: PairLogps,
    reference: PairLogps,
    chosen_tokens_B: Tensor,
    rejected_tokens_B: Tensor,
    objective: Objective,
) -> PairLosses:
    """Loss of each pair; the caller takes the mean over pairs.

    sigmoid  Rafailov et al. 2305.18290, eq. 7; with label smoothing e the conservative form of Mitchell,
             "A note on DPO with noisy preferences", eq. 3: -(1 - e) log s(x) - e log s(-x).
    ipo      Azar et al. 2310.12036, eq. 17, log-ratios per token as its authors confirmed to TRL.
    hinge    Zhao et al. 2305.10425 (SLiC), eq. 1 on rewards: max(0, 1 - x).
    dpop     Pal et al. 2402.13228, eq. 3: lambda * max(0, log ref(chosen) - log policy(chosen)) inside x / beta.
    nll      Pang et al. 2404.19733, eq. 1: + weight * -log policy(chosen) / |chosen|.

    Args:
        policy, reference: log-probabilities of the answers under the trained and the frozen model.
        chosen_tokens_B, rejected_tokens_B: completion tokens of each answer, template tail included.
    """
    chosen_ratio_B = policy.chosen_B - reference.chosen_B
    rejected_ratio_B = policy.rejected_B - reference.rejected_B
    chosen_reward_B = objective.beta * chosen_ratio_B.detach()
    rejected_reward_B = objective.beta * rejected_ratio_B.detach()

    dpop_penalty_B = objective.dpop_weight * torch.relu(-chosen_ratio_B)
    if objective.length_normalize or objective.kind == "ipo":
        chosen_ratio_B = chosen_ratio_B / chosen_tokens_B
        rejected_ratio_B = rejected_ratio_B / rejected_tokens_B
        dpop_penalty_B = dpop_penalty_B / chosen_tokens_B
    delta_B = chosen_ratio_B - rejected_ratio_B - dpop_penalty_B

    if objective.kind == "sigmoid":
        keep, flip = 1 - objective.label_smoothing, objective.label_smoothing
        loss_B = -keep * F.logsigmoid(objective.beta * delta_B) - flip * F.logsigmoid(-objective.beta * delta_B)
    elif objective.kind == "ipo":
        loss_B = (delta_B - 1 / (2 * objective.beta)) ** 2
    else:
        loss_B = torch.relu(1 - objective.beta * delta_B)

    loss_B = loss_B + objective.nll_weight * -policy.chosen_B / chosen_tokens_B
    return PairLosses(loss_B, chosen_reward_B, rejected_reward_B)
