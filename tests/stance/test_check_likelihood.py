"""The warning of chosen answers that a model would hardly ever give, on figures worked by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from epistemic_stance.stance.check_likelihood import PairLikelihood, check_likelihoods, pair_likelihoods
from epistemic_stance.stance.pairs import EncodedPair, Pair


def pair(number: int) -> Pair:
    return Pair(f"p{number}", "c", "Why?", "Because.", "So.", f"f.json:{number}")


def messages(chosen: Sequence[float]) -> list[str]:
    likelihoods = [PairLikelihood(pair(number), value, -2.0) for number, value in enumerate(chosen)]
    return [str(finding.problem) for finding in check_likelihoods(likelihoods)]


def test_a_likelihood_is_the_mean_over_the_tokens_of_an_answer() -> None:
    encoded = [EncodedPair("p0", [1], [2, 3, 4], [5]), EncodedPair("p1", [1], [2, 3], [4, 5, 6, 7])]
    first, second = pair_likelihoods([pair(0), pair(1)], encoded, {"p1": (-5.0, -8.0), "p0": (-6.0, -1.5)})
    assert (first.pair.id, first.chosen, first.rejected) == ("p0", -2.0, -1.5)
    assert (second.pair.id, second.chosen, second.rejected) == ("p1", -2.5, -2.0)


def test_answers_that_a_model_can_say_are_not_warned_of() -> None:
    assert messages([-3.9, -2.0, -4.0]) == []
    assert messages([-2.0, -4.004]) == []  # shown as -4.00
    assert messages([-3.5, -3.5]) == []


def test_the_pairs_below_the_bound_are_named_the_least_likely_first() -> None:
    (message,) = messages([-2.0, -4.1, -1.0, -5.25])
    assert message.startswith("f.json: chosen: ")
    assert "2 of 4 answers are below -4: p3 -5.25, p1 -4.10; " in message
    assert "mean" not in message
    assert "loses its sentences within an epoch (hint: say the same in plainer words" in message


def test_a_mean_below_its_bound_is_warned_of_without_any_such_pair() -> None:
    (message,) = messages([-3.6, -3.7])
    assert "the mean is -3.65, expected at least -3.5; " in message
    assert "are below" not in message


@pytest.mark.parametrize(("number", "ending"), [(10, "p9 -5.00; "), (12, "p9 -5.00 and 2 more; ")])
def test_one_warning_names_ten_pairs_at_most(number: int, ending: str) -> None:
    (message,) = messages([-5.0] * number)
    assert "the mean is -5.00" in message
    assert ending in message
