"""The losses against numbers worked out by hand; each docstring shows the working."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from epistemic_stance.foundation.settings import LossName, TrainSettings
from epistemic_stance.training.dpo import Objective, PairLogps, PairLosses, preference_loss

PLAIN = Objective("sigmoid", beta=0.5)
LN3 = 1.0986122886681098


def losses_of(
    objective: Objective,
    policy: tuple[float, float],
    reference: tuple[float, float],
    tokens: tuple[int, int] = (4, 2),
) -> PairLosses:
    """Losses of a single pair; each tuple is (chosen, rejected)."""
    sides = [PairLogps(*(torch.tensor([side], dtype=torch.float64) for side in logps)) for logps in (policy, reference)]
    return preference_loss(*sides, torch.tensor([tokens[0]]), torch.tensor([tokens[1]]), objective)


def loss_of(*arguments: Any, **keywords: Any) -> float:
    return losses_of(*arguments, **keywords).loss_B.item()


def test_sigmoid() -> None:
    """Ratios ln 9 - 1 and -1, so delta = 2 ln 3 and beta delta = ln 3.

    s(ln 3) = 3 / (3 + 1) = 3/4, and -ln(3/4) = ln 4 - ln 3 = 1.386294 - 1.098612 = 0.287682.
    """
    losses = losses_of(PLAIN, policy=(-20 + 2 * LN3 - 1, -31), reference=(-20, -30))
    assert losses.loss_B.item() == pytest.approx(0.287682, abs=1e-6)
    assert losses.chosen_reward_B.item() == pytest.approx(0.5 * (2.197225 - 1), abs=1e-6)
    assert losses.rejected_reward_B.item() == pytest.approx(-0.5, abs=1e-6)
    assert losses.margin_B.item() == pytest.approx(1.098612, abs=1e-6)


def test_label_smoothing() -> None:
    """At beta delta = ln 3: -ln s(x) = 0.287682, -ln s(-x) = ln 4 = 1.386294.

    With e = 1/4: 3/4 * 0.287682 + 1/4 * 1.386294 = 0.215762 + 0.346574 = 0.562335, the entropy of a 1:3 coin,
    and since s(x) = 1 - e this is the minimum: the gradient is zero.
    """
    objective = replace(PLAIN, label_smoothing=0.25)
    policy = PairLogps(torch.tensor([2 * LN3 - 21], requires_grad=True), torch.tensor([-31.0]))
    reference = PairLogps(torch.tensor([-20.0]), torch.tensor([-30.0]))
    loss_B = preference_loss(policy, reference, torch.tensor([4]), torch.tensor([2]), objective).loss_B
    assert loss_B.item() == pytest.approx(0.562335, abs=1e-6)
    (gradient_B,) = torch.autograd.grad(loss_B.sum(), policy.chosen_B)
    assert gradient_B.item() == pytest.approx(0, abs=1e-6)


def test_ipo() -> None:
    """beta = 1/4, so the target 1 / (2 beta) is 2.

    Chosen ratio 2 over 4 tokens = 0.5, rejected ratio -3 over 2 tokens = -1.5: delta 2, loss 0.
    Chosen ratio 6 over 4 tokens = 1.5: delta 3, loss 1. Beyond the target costs again, unlike sigmoid.
    Rewards stay sums: 1/4 * 6 = 1.5 and 1/4 * -3 = -0.75.
    """
    objective = replace(PLAIN, loss="ipo", beta=0.25)
    assert loss_of(objective, (-18, -33), (-20, -30)) == pytest.approx(0, abs=1e-12)
    beyond = losses_of(objective, (-14, -33), (-20, -30))
    assert beyond.loss_B.item() == pytest.approx(1)
    assert beyond.chosen_reward_B.item() == pytest.approx(1.5)
    assert beyond.rejected_reward_B.item() == pytest.approx(-0.75)


def test_hinge() -> None:
    """beta = 1/2. Ratios 1 and 0.5: 1 - 0.25 = 0.75. Ratios 3 and 1: margin 1, loss 0. Ratios -1 and 1: 1 + 1 = 2."""
    objective = replace(PLAIN, loss="hinge")
    assert loss_of(objective, (-19, -29.5), (-20, -30)) == pytest.approx(0.75)
    assert loss_of(objective, (-17, -29), (-20, -30)) == 0
    assert loss_of(objective, (-21, -29), (-20, -30)) == pytest.approx(2)


def test_dpop() -> None:
    """lambda = 5, beta = 0.1, chosen fell by 2, rejected by 6.

    delta = -2 + 6 - 5 * 2 = -6, so x = -0.6. Hinge: 1 + 0.6 = 1.6.
    Sigmoid: ln(1 + e^0.6) = ln(1 + 1.822119) = ln 2.822119 = 1.037488.
    Where chosen rose by 2 nothing is added: delta = 2 + 6 = 8, hinge 1 - 0.8 = 0.2.
    """
    hinge = replace(PLAIN, loss="hinge", beta=0.1, dpop_weight=5.0)
    assert loss_of(hinge, (-22, -36), (-20, -30)) == pytest.approx(1.6)
    assert loss_of(replace(hinge, loss="sigmoid"), (-22, -36), (-20, -30)) == pytest.approx(1.037488, abs=1e-6)
    assert loss_of(hinge, (-18, -36), (-20, -30)) == pytest.approx(0.2)


def test_nll() -> None:
    """Weight 1/2, chosen log-probability -8 over 4 tokens: 1/2 * 8 / 4 = 1 on top of ln 2 at equal ratios.

    The reference plays no part in it: with both models at -8 the rest is ln 2 = 0.693147.
    """
    objective = replace(PLAIN, nll_weight=0.5)
    assert loss_of(objective, (-8, -30), (-8, -30)) == pytest.approx(1.693147, abs=1e-6)
    assert loss_of(objective, (-8, -30), (-8, -30), tokens=(8, 2)) == pytest.approx(1.193147, abs=1e-6)


def test_length_normalisation() -> None:
    """beta = 1, chosen ratio 4 ln 3 over 4 tokens, rejected ratio 0: x = ln 3 per token, loss ln(4/3) = 0.287682.

    Not normalised x = 4 ln 3 = ln 81: s = 81/82, loss ln(82/81) = 0.012270. Rewards are the same in both.
    """
    objective = replace(PLAIN, beta=1.0, length_normalize=True)
    normalised = losses_of(objective, (-20 + 4 * LN3, -30), (-20, -30))
    summed = losses_of(replace(objective, length_normalize=False), (-20 + 4 * LN3, -30), (-20, -30))
    assert normalised.loss_B.item() == pytest.approx(0.287682, abs=1e-6)
    assert summed.loss_B.item() == pytest.approx(0.012270, abs=1e-6)
    assert normalised.margin_B.item() == summed.margin_B.item() == pytest.approx(4.394449, abs=1e-6)


def test_an_objective_is_made_of_settings_and_names_the_terms_that_are_on() -> None:
    settings = TrainSettings(loss="hinge", beta=0.2, length_normalize=True, nll_weight=0.25)
    objective = Objective.of(settings)
    assert objective == Objective("hinge", 0.2, length_normalize=True, nll_weight=0.25)
    assert str(objective) == "hinge, beta 0.2, length normalize, nll weight 0.25"
    assert str(Objective.of(TrainSettings())) == "sigmoid, beta 0.1"


def test_length_normalised_dpop() -> None:
    """lambda = 5, beta = 1/2, hinge; chosen fell by 2 over 4 tokens, rejected by 6 over 3.

    delta = -2/4 + 6/3 - 5 * 2/4 = -0.5 + 2 - 2.5 = -1, loss 1 + 0.5 = 1.5.
    """
    objective = replace(PLAIN, loss="hinge", length_normalize=True, dpop_weight=5.0)
    assert loss_of(objective, (-22, -36), (-20, -30), tokens=(4, 3)) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("objective", "value"),
    [
        (PLAIN, 0.6931471805599453),
        (replace(PLAIN, label_smoothing=0.3), 0.6931471805599453),
        (replace(PLAIN, length_normalize=True), 0.6931471805599453),
        (replace(PLAIN, dpop_weight=50.0), 0.6931471805599453),
        (replace(PLAIN, loss="hinge"), 1.0),
        (replace(PLAIN, loss="ipo"), 1.0),
        (replace(PLAIN, loss="ipo", beta=0.1), 25.0),
    ],
)
def test_value_before_the_first_update(objective: Objective, value: float) -> None:
    """Policy = reference: ln 2 for sigmoid, 1 for hinge, 1 / (4 beta^2) for ipo (beta 1/2: 1; beta 1/10: 25)."""
    losses = losses_of(objective, (-17.25, -40.5), (-17.25, -40.5))
    assert losses.loss_B.item() == pytest.approx(value, rel=1e-12)
    assert losses.chosen_reward_B.item() == losses.rejected_reward_B.item() == losses.margin_B.item() == 0


def gradients(objective: Objective, policy: tuple[float, float]) -> tuple[float, float]:
    """d loss / d policy log-probability of chosen and of rejected; the reference is (-20, -30)."""
    chosen_B, rejected_B = (torch.tensor([side], dtype=torch.float64, requires_grad=True) for side in policy)
    reference = PairLogps(torch.tensor([-20.0]), torch.tensor([-30.0]))
    losses = preference_loss(
        PairLogps(chosen_B, rejected_B), reference, torch.tensor([4]), torch.tensor([2]), objective
    )
    assert not losses.margin_B.requires_grad
    chosen, rejected = torch.autograd.grad(losses.loss_B.sum(), [chosen_B, rejected_B])
    return chosen.item(), rejected.item()


@pytest.mark.parametrize(
    ("objective", "policy", "chosen", "rejected"),
    [
        (PLAIN, (-20, -30), -0.25, 0.25),  # -beta * s(0)
        (PLAIN, (-20 + 2 * LN3, -30), -0.125, 0.125),  # -beta * s(-ln 3) = -1/2 * 1/4
        (replace(PLAIN, length_normalize=True), (-20, -30), -0.0625, 0.125),  # over 4 and over 2 tokens
        (replace(PLAIN, loss="hinge"), (-20, -30), -0.5, 0.5),  # -beta
        (replace(PLAIN, loss="hinge"), (-17, -31), 0.0, 0.0),  # x = 2, beyond the hinge
        (replace(PLAIN, loss="ipo"), (-20, -30), -0.5, 1.0),  # 2 * (0 - 1) over 4 and over 2 tokens
        (replace(PLAIN, loss="hinge", dpop_weight=5.0), (-22, -36), -3.0, 0.5),  # -beta * (1 + lambda)
        (replace(PLAIN, nll_weight=2.0), (-20, -30), -0.75, 0.25),  # -1/4 - 2/4
    ],
)
def test_gradients_raise_chosen_and_lower_rejected(
    objective: Objective, policy: tuple[float, float], chosen: float, rejected: float
) -> None:
    assert gradients(objective, policy) == pytest.approx((chosen, rejected), abs=1e-12)


def test_batch_is_its_pairs() -> None:
    objective = replace(PLAIN, loss="ipo", nll_weight=0.3, dpop_weight=2.0)
    policy, reference = [(-5.0, -9.0), (-7.5, -3.0)], [(-6.0, -8.0), (-7.0, -4.0)]
    tokens = [(3, 5), (2, 1)]
    columns = [torch.tensor(rows, dtype=torch.float64).unbind(1) for rows in (policy, reference, tokens)]
    together = preference_loss(PairLogps(*columns[0]), PairLogps(*columns[1]), *columns[2], objective)
    apart = [losses_of(objective, *row) for row in zip(policy, reference, tokens, strict=True)]
    assert together.loss_B.tolist() == pytest.approx([losses.loss_B.item() for losses in apart])
    assert together.margin_B.tolist() == pytest.approx([losses.margin_B.item() for losses in apart])


logps = st.tuples(st.floats(-300, -1), st.floats(-300, -1))
objectives = st.builds(
    Objective,
    loss=st.sampled_from(get_args(LossName)),
    beta=st.floats(0.01, 2),
    label_smoothing=st.floats(0, 0.49),
    length_normalize=st.booleans(),
    nll_weight=st.floats(0, 2),
    dpop_weight=st.floats(0, 50),
)


@given(objectives, logps, logps)
def test_swapping_the_answers_mirrors_the_rewards(
    objective: Objective, policy: tuple[float, float], reference: tuple[float, float]
) -> None:
    losses = losses_of(objective, policy, reference)
    swapped = losses_of(objective, policy[::-1], reference[::-1])
    assert swapped.margin_B.item() == -losses.margin_B.item()
    assert swapped.chosen_reward_B.item() == losses.rejected_reward_B.item()


@given(st.floats(0, 1), st.floats(0.01, 2), logps, logps)
def test_swapping_the_answers_is_smoothing_with_the_other_share(
    share: float, beta: float, policy: tuple[float, float], reference: tuple[float, float]
) -> None:
    objective = replace(PLAIN, beta=beta, label_smoothing=share)
    mirrored = replace(objective, label_smoothing=1 - share)
    swapped = loss_of(mirrored, policy[::-1], reference[::-1])
    assert swapped == pytest.approx(loss_of(objective, policy, reference), rel=1e-9, abs=1e-9)


@given(objectives, logps, logps, st.floats(0.01, 50))
def test_a_more_likely_rejected_answer_never_pays(
    objective: Objective, policy: tuple[float, float], reference: tuple[float, float], rise: float
) -> None:
    """Without smoothing, a loss falls with the margin; ipo does up to its target, so it is left out."""
    assume(objective.loss != "ipo")
    objective = replace(objective, label_smoothing=0.0, nll_weight=0.0)
    before = loss_of(objective, policy, reference)
    after = loss_of(objective, (policy[0], policy[1] + rise), reference)
    assert after > before or after == 0 or before < 1e-12


@given(objectives, logps, logps, st.floats(-100, 100))
def test_only_the_ratio_to_the_reference_counts(
    objective: Objective, policy: tuple[float, float], reference: tuple[float, float], shift: float
) -> None:
    objective = replace(objective, nll_weight=0.0)
    shifted = losses_of(objective, (policy[0] + shift, policy[1]), (reference[0] + shift, reference[1]))
    assert shifted.loss_B.item() == pytest.approx(loss_of(objective, policy, reference), rel=1e-6, abs=1e-6)


@given(objectives, logps, logps)
def test_dpop_only_adds(objective: Objective, policy: tuple[float, float], reference: tuple[float, float]) -> None:
    objective = replace(objective, loss="sigmoid", label_smoothing=0.0)
    without = loss_of(replace(objective, dpop_weight=0.0), policy, reference)
    with_penalty = loss_of(objective, policy, reference)
    if policy[0] >= reference[0]:
        assert with_penalty == without
    else:
        assert with_penalty >= without
