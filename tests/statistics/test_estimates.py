"""Intervals of probes: the textbook's where there is one, and what they cover where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from epistemic_stance.statistics.estimates import mean_estimate


def test_one_stratum_is_the_t_interval() -> None:
    values = [0.1, 0.4, 0.2, 0.9, 0.5]
    found = mean_estimate(values)
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert (found.value, found.se, found.low, found.high) == pytest.approx(
        (np.mean(values), stats.sem(values), low, high)
    )
    assert found.units == 5


def test_two_strata_of_one_size_are_the_mean_of_two_independent_means() -> None:
    one, other = [0.1, 0.4, 0.2, 0.9], [0.5, 0.7, 0.3, 0.2]
    found = mean_estimate([*one, *other], strata=["yes"] * 4 + ["no"] * 4)
    se = np.sqrt(np.var(one, ddof=1) / 4 + np.var(other, ddof=1) / 4) / 2
    assert (found.value, found.se) == pytest.approx(((np.mean(one) + np.mean(other)) / 2, se))
    assert found.high is not None
    assert found.high - found.value == pytest.approx(se * stats.t.ppf(0.975, 6))


def test_strata_of_unlike_size_count_alike() -> None:
    assert mean_estimate([1.0, 1.0, 1.0, 0.0], strata=["a", "a", "a", "b"]).value == 0.5


@pytest.mark.parametrize("values", [[0.3], [0.3, 0.4]])
def test_too_few_values_have_no_interval(values: list[float]) -> None:
    found = mean_estimate(values, strata=range(len(values)))
    assert (found.se, found.low, found.high) == (None, None, None)
    assert found.value == pytest.approx(np.mean(values))


def test_the_same_thing_asked_twice_is_no_second_piece_of_evidence() -> None:
    values = [0.1, 0.4, 0.2, 0.9, 0.5, 0.3]
    once = mean_estimate(values)
    twice = mean_estimate([*values, *values], units=[*range(6), *range(6)])
    assert twice.se is not None
    assert once.se is not None
    assert twice.se == pytest.approx(once.se, rel=0.06)


@pytest.mark.parametrize("matters", [6, 12, 38])
@pytest.mark.parametrize("skewed", [False, True])
def test_intervals_cover_the_truth(matters: int, skewed: bool) -> None:
    """Matters of two questions, one of each polarity, that share a part of their value."""
    generator = np.random.default_rng([matters, skewed])
    covered = 0
    runs = 2000
    for _ in range(runs):
        shared, own = generator.normal(0, 1, matters), generator.normal(0, 1, 2 * matters)
        if skewed:
            shared = generator.beta(2, 5, matters) - 2 / 7
            own = generator.beta(2, 5, 2 * matters) - 2 / 7
        values = (np.tile(shared, 2) + own + 0.3).tolist()
        found = mean_estimate(values, strata=["yes"] * matters + ["no"] * matters, units=[*range(matters)] * 2)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.3 <= found.high
    assert 0.92 <= covered / runs <= 0.97
