"""A rate with its interval: arithmetic by hand, known posteriors, properties, simulated coverage."""

from __future__ import annotations

import time
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaincinv
from scipy.stats import beta, sem, t

from epistemic_stance.statistics.estimates import IntArray
from epistemic_stance.statistics.rates import FEW_QUESTIONS, Rate, rate_interval


def rate(hits: list[int], answers: list[int]) -> Rate:
    interval = rate_interval(np.array(hits), np.array(answers))
    assert interval
    return interval


def test_a_rate_is_the_share_of_all_answers() -> None:
    interval = rate([3, 0, 20, 0], [20, 0, 20, 4])
    assert interval.estimate == 23 / 44
    assert (interval.questions, interval.answers) == (3, 44)


def test_without_answers_a_rate_is_unknown() -> None:
    assert rate_interval(np.array([0, 0]), np.array([0, 0])) is None
    assert rate_interval(np.array([], dtype=int), np.array([], dtype=int)) is None


@pytest.mark.parametrize(("hits", "answers"), [([2], [1]), ([-1], [1]), ([1, 1], [1])])
def test_impossible_counts_are_refused(hits: list[int], answers: list[int]) -> None:
    with pytest.raises(ValueError, match="0 <= hits <= answers"):
        rate_interval(np.array(hits), np.array(answers))


@pytest.mark.parametrize(("shown", "questions"), [(1, 1), (3, 10), (1, 40), (11, 100_000)])
def test_with_one_answer_each_the_posterior_is_a_beta(shown: int, questions: int) -> None:
    """Then two answers to one question never meet, the correlation drops out and the model is conjugate."""
    interval = rate([1] * shown + [0] * (questions - shown), [1] * questions)
    a, b = 0.75 + shown, 0.75 + questions - shown
    if shown < questions:
        assert interval.high == pytest.approx(betaincinv(a, b, 0.975), rel=0.02)
    assert interval.low == pytest.approx(betaincinv(a, b, 0.025), rel=0.02)


def test_the_ends_of_nothing_and_of_everything_are_closed() -> None:
    never, always = rate([0] * 7, [20] * 7), rate([20] * 7, [20] * 7)
    assert (never.low, never.estimate) == (0, 0)
    assert (always.high, always.estimate) == (1, 1)
    # Seven questions are few, however often each is asked: 140 independent answers would give 0.026.
    assert 0.15 < never.high < 0.3
    assert always.low == pytest.approx(1 - never.high, abs=1e-6)


def korn_graubard(mean: float, se: float, questions: int) -> tuple[float, float]:
    """Clopper and Pearson's interval of as many answers as would have this standard error, by scipy's distributions."""
    size = mean * (1 - mean) / se**2 * (1.959964 / t.ppf(0.975, questions - 1)) ** 2
    low, high = (
        beta.ppf(0.025, mean * size, size - mean * size + 1),
        beta.ppf(0.975, mean * size + 1, size - mean * size),
    )
    return float(low), float(high)


def test_a_rate_by_hand() -> None:
    """Forty questions, half at 1/4 and half at 3/4: se = .25 / sqrt(39) = .0400, so .25 / .0400^2 = 156 independent
    answers would say as much; (1.960 / 2.0227)^2 of them, 146.5, for Student's t: 73.2 of 146.5."""
    interval = rate([1] * 20 + [3] * 20, [4] * 40)
    assert interval.low == pytest.approx(beta.ppf(0.025, 73.24, 74.24), abs=1e-4)
    assert interval.high == pytest.approx(beta.ppf(0.975, 74.24, 73.24), abs=1e-4)
    assert interval.estimate == 0.5


def test_unequal_numbers_of_answers_weigh_their_questions() -> None:
    """Of 30 questions half are asked four times and half once; the error is that of a weighted mean of shares."""
    hits, answers = np.array([1, 2, 3] * 5 + [0] * 8 + [1] * 7), np.array([4] * 15 + [1] * 15)
    interval = rate(hits.tolist(), answers.tolist())
    mean = hits.sum() / answers.sum()
    se = np.sqrt((((hits - mean * answers) / answers.sum()) ** 2).sum() * 30 / 29)
    assert (interval.low, interval.high) == pytest.approx(korn_graubard(mean, se, 30), abs=1e-6)


def test_answers_that_repeat_each_other_add_nothing() -> None:
    """Each question always or never shows it: twenty answers say what one says."""
    once = rate([1] * 20 + [0] * 30, [1] * 50)
    often = rate([20] * 20 + [0] * 30, [20] * 50)
    assert (often.low, often.high) == pytest.approx((once.low, once.high))


def test_where_few_questions_ever_show_it_the_posterior_takes_over() -> None:
    def is_by_spread(hits: list[int]) -> bool:
        interval, shares = rate(hits, [10] * 60), np.array(hits) / 10
        return (interval.low, interval.high) == pytest.approx(korn_graubard(shares.mean(), sem(shares), 60), abs=1e-6)

    assert is_by_spread([5] * FEW_QUESTIONS + [0] * (60 - FEW_QUESTIONS))
    assert not is_by_spread([5] * (FEW_QUESTIONS - 1) + [0] * (61 - FEW_QUESTIONS))
    assert not is_by_spread([10] * 46 + [5] * 14)


counted = st.lists(
    st.integers(0, 12).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=1, max_size=60
)


@given(counted, st.randoms(use_true_random=False))
@settings(max_examples=200)
def test_properties_of_an_interval(questions: list[tuple[int, int]], random: Random) -> None:
    hits, answers = (list(column) for column in zip(*questions, strict=True))
    interval = rate_interval(np.array(hits), np.array(answers))
    if not sum(answers):
        assert interval is None
        return
    assert interval
    assert 0 <= interval.low <= interval.estimate <= interval.high <= 1
    assert interval.low < interval.high
    random.shuffle(questions)
    hits, answers = (list(column) for column in zip(*questions, strict=True))
    assert rate_interval(np.array(hits), np.array(answers)) == interval


@given(counted.filter(lambda questions: len(questions) < FEW_QUESTIONS and sum(n for _, n in questions) > 0))
def test_showing_and_not_showing_mirror_each_other(questions: list[tuple[int, int]]) -> None:
    hits, answers = (np.array(column) for column in zip(*questions, strict=True))
    shown, lacking = rate_interval(hits, answers), rate_interval(answers - hits, answers)
    assert shown
    assert lacking
    assert (shown.low, shown.high) == pytest.approx((1 - lacking.high, 1 - lacking.low), abs=1e-6)


@given(st.integers(1, 6), st.integers(1, 20))
def test_more_questions_of_the_same_kind_narrow_it(hits: int, answers: int) -> None:
    few, many = ([min(hits, answers), 0] * times for times in (3, 30))
    narrow, wide = rate(many, [answers] * 60), rate(few, [answers] * 6)
    assert narrow.high - narrow.low < wide.high - wide.low


def test_all_rates_of_a_run_take_less_than_half_a_second() -> None:
    generator = np.random.default_rng(1)
    hits = generator.binomial(20, generator.beta(0.3, 0.7, (14, 67)))
    asked = np.full(67, 20)
    start = time.process_time()
    for pattern in hits:
        for part in range(25):
            kept = np.arange(67) % 17 == part if part < 17 else np.arange(67) >= 0
            rate_interval(pattern[kept] // (1 + part % 4), asked[kept])
    assert time.process_time() - start < 0.5


def test_questions_that_are_all_alike_have_an_interval_all_the_same() -> None:
    interval = rate_interval(np.full(40, 6), np.full(40, 12))
    assert interval
    assert 0.4 < interval.low < 0.5 < interval.high < 0.6


# --- coverage ----------------------------------------------------------------------------------------------


def simulated(runs: int, questions: int, answers: int, true: float, icc: float) -> IntArray:
    """Answers to questions whose rates are Beta around the true one; (runs, questions) counts."""
    generator = np.random.default_rng([questions, answers, int(1000 * true), int(10 * icc)])
    total = 1 / icc - 1
    return np.asarray(generator.binomial(answers, generator.beta(true * total, (1 - true) * total, (runs, questions))))


def covered(runs: int, questions: int, answers: int, true: float, icc: float) -> float:
    asked = np.full(questions, answers)
    found = [rate_interval(hits, asked) for hits in simulated(runs, questions, answers, true, icc)]
    return float(np.mean([interval is not None and interval.low <= true <= interval.high for interval in found]))


MAIN_DESIGNS = [(67, 20), (50, 3)]
SMALL_DESIGNS = [(10, 20), (7, 20), (8, 3), (6, 3)]


@pytest.mark.parametrize("true", [0.05, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("icc", [0.2, 0.5])
@pytest.mark.parametrize(("questions", "answers"), MAIN_DESIGNS + SMALL_DESIGNS)
def test_intervals_cover_what_they_claim(questions: int, answers: int, true: float, icc: float) -> None:
    """800 runs: chance alone moves a coverage of 95 % by up to 2 points."""
    assert 0.91 <= covered(800, questions, answers, true, icc) <= 0.985


@pytest.mark.slow
@pytest.mark.parametrize("true", [0.05, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("icc", [0.2, 0.5])
@pytest.mark.parametrize(("questions", "answers"), MAIN_DESIGNS)
def test_intervals_of_the_main_designs_cover_92_to_97_percent(
    questions: int, answers: int, true: float, icc: float
) -> None:
    """6,000 runs: chance moves a coverage by up to half a point."""
    assert 0.92 <= covered(6000, questions, answers, true, icc) <= 0.975
