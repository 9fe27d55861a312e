"""The equations of preference training, and nothing else.

B: pairs in the batch. All log-probabilities are natural logs summed over the tokens of an answer.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import assert_never

import torch
import torch.nn.functional as F
from torch import Tensor

from epistemic_stance.foundation.settings import LossName, TrainSettings


@dataclass(frozen=True)
class Objective:
    """What is minimised: the part of the settings that the equations use. Their help texts explain each."""

    loss: LossName = TrainSettings.loss
    beta: float = TrainSettings.beta
    label_smoothing: float = TrainSettings.label_smoothing
    length_normalize: bool = TrainSettings.length_normalize
    nll_weight: float = TrainSettings.nll_weight
    dpop_weight: float = TrainSettings.dpop_weight
    anchor_weight: float = TrainSettings.anchor_weight

    @classmethod
    def of(cls, settings: TrainSettings) -> Objective:
        return cls(**{field.name: getattr(settings, field.name) for field in fields(cls)})

    def __str__(self) -> str:
        """Loss, beta and every other term that is not off, for the header of a run."""
        terms = [f"{self.loss}, beta {self.beta:g}"]
        for field in fields(self)[2:]:
            name, value = field.name.replace("_", " "), getattr(self, field.name)
            terms += [name if value is True else f"{name} {value:g}"] if value else []
        return ", ".join(terms)


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

    x is beta times the difference of the two log-ratios.

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
    if objective.length_normalize or objective.loss == "ipo":
        chosen_ratio_B = chosen_ratio_B / chosen_tokens_B
        rejected_ratio_B = rejected_ratio_B / rejected_tokens_B
        dpop_penalty_B = dpop_penalty_B / chosen_tokens_B
    delta_B = chosen_ratio_B - rejected_ratio_B - dpop_penalty_B

    match objective.loss:
        case "sigmoid":
            keep, flip = 1 - objective.label_smoothing, objective.label_smoothing
            loss_B = -keep * F.logsigmoid(objective.beta * delta_B) - flip * F.logsigmoid(-objective.beta * delta_B)
        case "ipo":
            loss_B = (delta_B - 1 / (2 * objective.beta)) ** 2
        case "hinge":
            loss_B = torch.relu(1 - objective.beta * delta_B)
        case unknown:
            assert_never(unknown)

    loss_B = loss_B + objective.nll_weight * -policy.chosen_B / chosen_tokens_B
    return PairLosses(loss_B, chosen_reward_B, rejected_reward_B)


def anchor_term(logps_N: Tensor, tokens: int, objective: Objective) -> Tensor:
    """One anchor answer's share of anchor_weight * (mean negative log-likelihood per token) of a step's answers.

    The answers y are samples of the base model q to neutral prompts x, drawn once. KL(q || p) of the policy p over
    answers is E_q[log q(y|x)] - E_q[log p(y|x)], and the first term does not depend on p. So the gradient of
    -log p(y|x), y ~ q, is in expectation that of KL(q || p): the forward KL, which grows wherever the policy gives up
    something that the base said. Cutting an answer after n tokens leaves this true of the first n tokens, since both
    are sums over positions. Divided by tokens it is the KL per token. The samples are fixed, so that over a long run
    the likelihood of these very answers rises above the base's, where the KL of new samples would not fall.

    Args:
        logps_N: log-probabilities of the answer's tokens under the policy.
        tokens: of all anchor answers of the step, so that the mean does not depend on how the step is split.
    """
    return objective.anchor_weight * -logps_N.sum() / tokens
