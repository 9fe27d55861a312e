"""Every guard with a run that it must warn of and a healthy run that it must not; each names the flag to try."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from epistemic_stance.foundation.errors import NumericError
from epistemic_stance.foundation.settings import TrainSettings
from epistemic_stance.records.training import CheckpointEvaluationRecord, EpochRecord, PairRecord
from epistemic_stance.stance.pairs import EncodedPair
from epistemic_stance.training.dpo import Objective
from epistemic_stance.training.guards import RunFacts, epoch_warnings, first_loss, require_zero_rewards

FACTS = RunFacts(TrainSettings(), first_loss=math.log(2), reference_frozen=lambda: True)


def evaluation(**changes: Any) -> CheckpointEvaluationRecord:
    values: dict[str, Any] = {
        "verdict": "shifted",
        "reason": "as measured",
        "crossed": 0.5,
        "wording_change": 0.5,
        "wording_change_low": 0.4,
        "wording_change_high": 0.6,
        "chosen_wording_change": 0.1,
        "distance_from_base": 0.6,
        "distance_from_chosen": 0.6,
        "copied": 0.1,
        "repetition": 0.0,
        "kl_neutral": 0.01,
        "answers": [],
    }
    return CheckpointEvaluationRecord(**(values | changes))


def epoch(number: int = 4, **changes: Any) -> EpochRecord:
    """A healthy fourth epoch: learning, chosen answers more likely than at the start."""
    values: dict[str, Any] = {
        "epoch": number,
        "step": 25 * number,
        "avg_loss": 0.2,
        "avg_accuracy": 1.0,
        "absolute_preference": 0.9,
        "absolute_preference_per_token": 0.9,
        "avg_margin": 5.0,
        "chosen_reward": 1.0,
        "rejected_reward": -4.0,
        "chosen_logps": -60.0,
        "rejected_logps": -90.0,
        "chosen_nll": 1.5,
        "preference_loss": 0.2,
        "grad_norm": 1.0,
        "max_grad_norm": 2.0,
        "learning_rate": 1e-5,
        "seconds": 60.0,
        "tokens_per_second": 40.0,
        "evaluation": evaluation(),
    }
    return EpochRecord(**(values | changes))


def test_a_healthy_run_is_left_in_peace() -> None:
    for number in range(1, 6):
        history = [epoch(earlier) for earlier in range(1, number + 1)]
        assert epoch_warnings(history, FACTS) == {}


@pytest.mark.parametrize(
    ("guard", "sick", "flag"),
    [
        ("flat_loss", {"avg_loss": 0.6931, "avg_margin": 0.0004, "avg_accuracy": 0.5}, "--learning-rate 5e-5"),
        ("exploding_loss", {"avg_loss": 1.5, "avg_margin": -8.0, "avg_accuracy": 0.3}, "--learning-rate 5e-6"),
        ("exploding_loss", {"avg_loss": 1.5, "avg_margin": -8.0, "avg_accuracy": 0.3}, "--warmup-steps 50"),
        ("displacement", {"chosen_reward": -0.6}, "--nll-weight"),
        ("absolute_preference", {"absolute_preference": 0.4}, "--nll-weight"),
        ("satisfied", {"evaluation": evaluation(verdict="neither")}, "--recipe robust"),
        ("broken", {"evaluation": evaluation(verdict="broken")}, "--recipe robust"),
        ("satisfied", {"evaluation": evaluation(verdict="neither")}, "--learning-rate"),
        ("parroting", {"evaluation": evaluation(verdict="parrots")}, "earlier checkpoint"),
        ("repetition", {"evaluation": evaluation(repetition=0.4)}, "earlier checkpoint"),
        ("drift", {"evaluation": evaluation(kl_neutral=0.9)}, "--beta"),
    ],
)
def test_each_guard_speaks_and_names_what_to_try(guard: str, sick: dict[str, Any], flag: str) -> None:
    warnings = epoch_warnings([epoch(1), epoch(4, **sick)], FACTS)
    assert flag in warnings[guard]
    assert guard not in epoch_warnings([epoch(1), epoch(4)], FACTS)


def test_advice_goes_beyond_what_is_already_set() -> None:
    tried = replace(FACTS, settings=TrainSettings(nll_weight=0.5, learning_rate=1e-4))
    satisfied = epoch_warnings([epoch(1), epoch(4, evaluation=evaluation(verdict="neither"))], tried)["satisfied"]
    assert "--nll-weight 1," in satisfied
    assert "--learning-rate 0.0005" in satisfied


def test_a_flat_loss_is_not_called_so_during_warm_up() -> None:
    flat = epoch(1, step=25, avg_loss=0.6931, avg_margin=0.0)
    assert "flat_loss" not in epoch_warnings([flat], FACTS)


def test_a_flat_loss_says_whether_the_reference_is_frozen() -> None:
    flat = epoch(4, avg_loss=0.6931, avg_margin=0.0)
    assert "frozen, its log-probabilities unchanged" in epoch_warnings([flat], FACTS)["flat_loss"]
    moved = replace(FACTS, reference_frozen=lambda: False)
    assert "NOT unchanged" in epoch_warnings([flat], moved)["flat_loss"]


def test_a_slow_run_is_told_after_its_first_epoch() -> None:
    slow = epoch_warnings([epoch(1, seconds=120.0)], FACTS)["slow"]
    assert "--epochs 50" in slow
    assert "6.7 h" in slow  # 120 s * 200 epochs / 3600
    assert "slow" not in epoch_warnings([epoch(1, seconds=60.0)], FACTS)


def encoded() -> list[EncodedPair]:
    return [EncodedPair("a", [1, 2], [3, 4], [5]), EncodedPair("b", [1], [2, 3, 4, 5], [6])]


@pytest.mark.parametrize(
    ("loss", "nll_weight", "expected"),
    [
        ("sigmoid", 0.0, math.log(2)),
        ("ipo", 0.0, 25.0),  # (0 - 1 / (2 * 0.1)) ** 2
        ("hinge", 0.0, 1.0),
        ("sigmoid", 1.0, math.log(2) + (10 / 2 + 12 / 4) / 2),
    ],
)
def test_first_loss_is_known_before_the_first_step(loss: Any, nll_weight: float, expected: float) -> None:
    objective = Objective(loss, beta=0.1, nll_weight=nll_weight)
    reference = {"a": (-10.0, -3.0), "b": (-12.0, -20.0)}
    assert first_loss(objective, encoded(), reference) == pytest.approx(expected, rel=1e-6)


def pair_record(reward: float) -> PairRecord:
    return PairRecord(
        id="pair_7",
        loss=0.69,
        chosen_logps=-10.0,
        rejected_logps=-12.0,
        chosen_reward=reward,
        rejected_reward=0.0,
        chosen_tokens=5,
        rejected_tokens=5,
    )


@pytest.mark.parametrize("reward", [0.01, -0.3, math.nan])
def test_a_moved_reference_stops_the_run_at_step_0(reward: float) -> None:
    with pytest.raises(NumericError, match="pair_7"):
        require_zero_rewards([pair_record(reward)], torch.float32, 0.1)


def test_the_step_0_check_is_in_nats_whatever_beta_is() -> None:
    """A reference wrong by 1 nat of 10 stops at beta 0.001; rounding of 1e-5 nats passes at beta 100."""
    with pytest.raises(NumericError):
        require_zero_rewards([pair_record(0.001)], torch.float32, 0.001)
    require_zero_rewards([pair_record(0.001)], torch.float32, 100.0)


def test_rounding_is_no_moved_reference() -> None:
    require_zero_rewards([pair_record(1e-5)], torch.float32, 0.1)
