"""Rates and changes with their uncertainty: arithmetic by hand, known posteriors, properties, simulated coverage."""

from __future__ import annotations

import time
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaincinv
from scipy.stats import bootstrap

from epistemic_stance.statistics.intervals import (
    ALPHA,
    FEW_QUESTIONS,
    VERDICT_LEVEL,
    Change,
    FloatArray,
    IntArray,
    Interval,
    fewest_moved,
    paired_changes,
    rate_interval,
)

SEED = 42


def rate(hits: list[int], answers: list[int], seed: int = SEED) -> Interval:
    interval = rate_interval(np.array(hits), np.array(answers), seed)
    assert interval
    return interval


def changes(before: list[list[int]], after: list[list[int]], answers: int = 1, seed: int = SEED) -> list[Change]:
    """Questions by columns; the same number of answers everywhere."""
    first, second = np.array(before), np.array(after)
    asked = np.full(first.shape, answers)
    found = paired_changes(first, asked, second, asked, seed)
    assert all(found)
    return [change for change in found if change]


def change_of(before: list[int], after: list[int], answers: int) -> Change:
    return changes([[count] for count in before], [[count] for count in after], answers)[0]


# --- one rate ----------------------------------------------------------------------------------------------


def test_a_rate_is_the_share_of_all_answers() -> None:
    interval = rate([3, 0, 20, 0], [20, 0, 20, 4])
    assert interval.estimate == 23 / 44
    assert (interval.questions, interval.answers) == (3, 44)


def test_without_answers_a_rate_is_unknown() -> None:
    assert rate_interval(np.array([0, 0]), np.array([0, 0]), SEED) is None
    assert rate_interval(np.array([], dtype=int), np.array([], dtype=int), SEED) is None


@pytest.mark.parametrize(("hits", "answers"), [([2], [1]), ([-1], [1]), ([1, 1], [1])])
def test_impossible_counts_are_refused(hits: list[int], answers: list[int]) -> None:
    with pytest.raises(ValueError, match="0 <= hits <= answers"):
        rate_interval(np.array(hits), np.array(answers), SEED)


@pytest.mark.parametrize(("shown", "questions"), [(1, 1), (3, 10), (1, 40), (11, 100_000)])
def test_with_one_answer_each_the_posterior_is_a_beta(shown: int, questions: int) -> None:
    """Then two answers to one question never meet, the correlation drops out and the model is conjugate."""
    interval = rate([1] * shown + [0] * (questions - shown), [1] * questions)
    assert interval.method == "beta-binomial"
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


def test_many_questions_are_resampled_as_scipy_does() -> None:
    generator = np.random.default_rng(3)
    hits = generator.binomial(20, generator.beta(0.6, 1.4, 400))
    interval = rate(hits.tolist(), [20] * 400)
    assert interval.method == "bootstrap"
    oracle = bootstrap((hits / 20,), np.mean, n_resamples=20_000, method="BCa", rng=generator).confidence_interval
    assert interval.low == pytest.approx(oracle.low, abs=0.004)
    assert interval.high == pytest.approx(oracle.high, abs=0.004)


def test_a_skewed_interval_leans_as_scipy_says() -> None:
    """Most questions rarely show it and a few often: there is more room above the rate than below."""
    generator = np.random.default_rng(4)
    hits = generator.binomial(200, generator.beta(0.25, 2.25, 60))
    interval = rate(hits.tolist(), [200] * 60)
    assert interval.method == "bootstrap"
    oracle = bootstrap((hits / 200,), np.mean, n_resamples=20_000, method="BCa", rng=generator).confidence_interval
    lean = (oracle.high - interval.estimate) / (interval.estimate - oracle.low)
    assert lean > 1.3
    assert (interval.high - interval.estimate) / (interval.estimate - interval.low) == pytest.approx(lean, rel=0.12)


def test_answers_that_repeat_each_other_add_nothing() -> None:
    """Each question always or never shows it: twenty answers say what one says."""
    once = rate([1] * 20 + [0] * 30, [1] * 50)
    often = rate([20] * 20 + [0] * 30, [20] * 50)
    assert (often.low, often.high) == pytest.approx((once.low, once.high))


def test_where_few_questions_ever_show_it_resampling_gives_way() -> None:
    def method(questions: int) -> str:
        return rate([5] * questions + [0] * (60 - questions), [10] * 60).method

    assert method(FEW_QUESTIONS) == "bootstrap"
    assert method(FEW_QUESTIONS - 1) == "beta-binomial"
    assert rate([10] * 46 + [5] * 14, [10] * 60).method == "beta-binomial"


counted = st.lists(
    st.integers(0, 12).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=1, max_size=60
)


@given(counted, st.randoms(use_true_random=False))
@settings(max_examples=200)
def test_properties_of_an_interval(questions: list[tuple[int, int]], random: Random) -> None:
    hits, answers = (list(column) for column in zip(*questions, strict=True))
    interval = rate_interval(np.array(hits), np.array(answers), SEED)
    if not sum(answers):
        assert interval is None
        return
    assert interval
    assert 0 <= interval.low <= interval.estimate <= interval.high <= 1
    assert interval.low < interval.high
    random.shuffle(questions)
    hits, answers = (list(column) for column in zip(*questions, strict=True))
    assert rate_interval(np.array(hits), np.array(answers), SEED) == interval


@given(counted.filter(lambda questions: len(questions) < FEW_QUESTIONS and sum(n for _, n in questions) > 0))
def test_showing_and_not_showing_mirror_each_other(questions: list[tuple[int, int]]) -> None:
    hits, answers = (np.array(column) for column in zip(*questions, strict=True))
    shown, lacking = rate_interval(hits, answers, SEED), rate_interval(answers - hits, answers, SEED)
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
            rate_interval(pattern[kept] // (1 + part % 4), asked[kept], SEED)
    assert time.process_time() - start < 0.5


# --- coverage ----------------------------------------------------------------------------------------------


def simulated(runs: int, questions: int, answers: int, true: float, icc: float) -> IntArray:
    """Answers to questions whose rates are Beta around the true one; (runs, questions) counts."""
    generator = np.random.default_rng([questions, answers, int(1000 * true), int(10 * icc)])
    total = 1 / icc - 1
    return np.asarray(generator.binomial(answers, generator.beta(true * total, (1 - true) * total, (runs, questions))))


def covered(runs: int, questions: int, answers: int, true: float, icc: float) -> float:
    asked = np.full(questions, answers)
    found = [rate_interval(hits, asked, SEED) for hits in simulated(runs, questions, answers, true, icc)]
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


# --- changes -----------------------------------------------------------------------------------------------


def test_a_change_is_the_difference_of_the_rates() -> None:
    change = change_of([2, 4, 0], [1, 4, 3], answers=4)
    assert (change.before, change.after) == pytest.approx((6 / 12, 8 / 12))
    assert change.change == pytest.approx(2 / 12)
    assert (change.questions, change.moved) == (3, 2)


def test_another_mix_of_questions_is_no_change() -> None:
    """Every question keeps its share, but the easy one is asked more often before and the hard one after."""
    columns = ([[18], [1]], [[20], [10]], [[9], [2]], [[10], [20]])
    (change,) = paired_changes(*(np.array(column) for column in columns), SEED)
    assert change
    assert change.change == pytest.approx(0)
    assert change.p == 1


def test_questions_weigh_what_both_sides_can_carry() -> None:
    """Weights 4 * 12 / 16 = 3 and 4 * 4 / 8 = 2; shares .5 and 1 before, .25 and 1 after."""
    columns = ([[2], [4]], [[4], [4]], [[3], [4]], [[12], [4]])
    (change,) = paired_changes(*(np.array(column) for column in columns), SEED)
    assert change
    assert change.before == pytest.approx((3 * 0.5 + 2 * 1) / 5)
    assert change.after == pytest.approx((3 * 0.25 + 2 * 1) / 5)


def test_a_question_that_one_side_lacks_does_not_count() -> None:
    columns = ([[1], [1]], [[2], [2]], [[2], [0]], [[2], [0]])
    (change,) = paired_changes(*(np.array(column) for column in columns), SEED)
    assert change
    assert (change.questions, change.before, change.after) == (1, 0.5, 1.0)
    lacking = [np.array(column) for column in ([[1]], [[2]], [[0]], [[0]])]
    assert paired_changes(*lacking, SEED) == [None]


@pytest.mark.parametrize(
    ("before", "after", "p"),
    [
        ([0, 0, 0, 0, 0], [2, 2, 2, 2, 2], 2 / 32),
        ([0, 0, 0], [3, 1, 1], 2 / 8),  # sums 5, 3, 3, 1 and their negatives
        ([0, 0, 1], [1, 1, 0], 1.0),  # every sum is at least 1 in size
        ([1, 2, 3], [1, 2, 3], 1.0),
    ],
)
def test_the_p_value_counts_flips(before: list[int], after: list[int], p: float) -> None:
    change = change_of(before, after, answers=3)
    assert change.p == pytest.approx(p)
    assert change.adjusted_p == pytest.approx(p)


def test_adjusted_p_counts_the_largest_of_all_columns() -> None:
    """Two columns, each moved on five questions of its own: 1 - (1 - 2/32)^2 of the flips reach either."""
    after = [[1, 0]] * 5 + [[0, 1]] * 5
    first, second = changes([[0, 0]] * 10, after)
    assert (first.p, second.p) == pytest.approx((2 / 32, 2 / 32))
    assert (first.adjusted_p, second.adjusted_p) == pytest.approx((1 - (30 / 32) ** 2,) * 2)


def test_the_same_change_twice_costs_nothing() -> None:
    first, second = changes([[0, 0]] * 8, [[1, 1]] * 8)
    assert first.adjusted_p == second.adjusted_p == first.p == 2 / 2**8


def test_a_step_down_spares_the_weaker_change() -> None:
    """Once the stronger is told apart it is out of the way of the weaker."""
    after = [[1, 0]] * 10 + [[0, 1]] * 5
    strong, weak = changes([[0, 0]] * 15, after)
    assert strong.adjusted_p < 0.01
    assert weak.adjusted_p == pytest.approx(weak.p, abs=0.01)
    assert strong.adjusted_p <= weak.adjusted_p


def test_many_flips_are_drawn_close_to_the_exact_p_value() -> None:
    """18 of 24 questions up, 6 down: twice the tail of a fair coin beyond 18 of 24 is 0.0227."""
    change = change_of([0] * 18 + [1] * 6, [1] * 18 + [0] * 6, answers=1)
    assert change.p == pytest.approx(0.0227, abs=0.005)


def test_no_p_value_is_zero() -> None:
    """What was observed is one of the flips: 1 of 10,001 where none of the drawn is as extreme."""
    change = change_of([0] * 40, [1] * 40, answers=1)
    assert change.p == change.adjusted_p == 1 / 10_001


def test_nothing_moved_is_not_nothing_known() -> None:
    change = change_of([3, 0, 7, 2], [3, 0, 7, 2], answers=10)
    assert change.change == 0
    assert change.low < 0 < change.high


def test_all_moved_alike_is_not_certainty() -> None:
    change = change_of([0] * 67, [20] * 67, answers=20)
    assert change.change == 1
    assert 0.8 < change.low < 1
    assert change.high == 1


def test_a_question_that_kept_its_share_leaves_the_interval_around_nothing() -> None:
    """Half the questions are right half the time and half always; which side asked which more often is swapped."""
    hits, answers = [10] * 10 + [4] * 10, [20] * 10 + [4] * 10
    hits_after, answers_after = [2] * 10 + [20] * 10, [4] * 10 + [20] * 10
    columns = (np.array(counts)[:, None] for counts in (hits, answers, hits_after, answers_after))
    (change,) = paired_changes(*columns, SEED)
    assert change
    assert (change.moved, change.p) == (0, 1)
    assert change.change == pytest.approx(0)
    assert change.low == pytest.approx(-change.high, abs=0.03)
    assert change.high < 0.2


def test_an_interval_of_a_change_lies_around_the_weighted_rates() -> None:
    """Every other question is answered six times and the others twice, so their weights are 3 to 1."""
    asked, before, after = (np.array(pair * 6)[:, None] for pair in ([6, 2], [6, 0], [0, 2]))
    (change,) = paired_changes(before, asked, after, asked, SEED)
    assert change
    assert (change.before, change.after) == pytest.approx((0.75, 0.25))
    assert change.low + 0.1 < -0.5 < change.high - 0.1


def test_a_few_moved_questions_have_the_p_value_of_their_flips_however_many_are_drawn() -> None:
    """Nine questions moved: 2 of 512 flips are as extreme, however few of the 10,000 drawn ones are."""
    after = [[int(number < 9), number % 2] for number in range(40)]
    found = [changes([[0, 0]] * 40, after, seed=seed)[0] for seed in range(30)]
    assert min(change.p for change in found) == 2 / 2**9
    assert min(change.adjusted_p for change in found) >= 2 / 2**9


@pytest.mark.parametrize(("level", "questions"), [(VERDICT_LEVEL, 10), (ALPHA, 6), (0.0625, 5), (0.06, 6)])
def test_the_fewest_questions_that_can_be_told_apart(level: float, questions: int) -> None:
    assert fewest_moved(level) == questions
    assert change_of([0] * questions, [1] * questions, answers=1).p <= level
    assert change_of([0] * (questions - 1), [1] * (questions - 1), answers=1).p > level


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40))
@settings(max_examples=100)
def test_properties_of_a_change(questions: list[tuple[int, int]]) -> None:
    before, after = (list(column) for column in zip(*questions, strict=True))
    there, back = change_of(before, after, answers=5), change_of(after, before, answers=5)
    assert -1 <= there.low <= there.change <= there.high <= 1
    assert 0 < there.p <= there.adjusted_p <= 1
    assert back.change == pytest.approx(-there.change)
    assert back.p == pytest.approx(there.p)
    if there.method == "combined":
        assert (back.low, back.high) == pytest.approx((-there.high, -there.low))


def sides(runs: int, questions: int, answers: int, true: tuple[float, float], icc: float) -> list[IntArray]:
    """Before and after of the same questions: whichever is higher before is higher after; (questions, runs) counts."""
    generator = np.random.default_rng([questions, answers, int(1000 * true[0]), int(10 * icc)])
    total, level = 1 / icc - 1, generator.random((questions, runs))
    counts = []
    for share in true:
        rates: FloatArray = betaincinv(share * total, (1 - share) * total, np.clip(level, 1e-9, 1 - 1e-9))
        counts.append(np.asarray(generator.binomial(answers, np.clip(rates, 0, 1))))
    return counts


@pytest.mark.parametrize("true", [(0.3, 0.3), (0.3, 0.1), (0.7, 0.1)])
@pytest.mark.parametrize(("questions", "answers", "icc"), [(67, 20, 0.2), (67, 20, 0.5), (50, 3, 0.2), (50, 3, 0.5)])
def test_intervals_of_changes_cover_what_they_claim(
    questions: int, answers: int, icc: float, true: tuple[float, float]
) -> None:
    before, after = sides(400, questions, answers, true, icc)
    asked = np.full(before.shape, answers)
    found = [change for change in paired_changes(before, asked, after, asked, SEED) if change]
    held = np.mean([change.low <= true[1] - true[0] <= change.high for change in found])
    assert 0.91 <= held <= 0.99


def uneven_coverage(design: str, true: tuple[float, float], icc: float, questions: int = 20, runs: int = 400) -> float:
    """How often the interval holds the change where questions are answered unequally often.

    swapped: 20 answers before and 3 after, or the other way round. tied: of 20 answers those count that can be
    parsed, which before are those to the questions mostly answered rightly, and after those to the others.
    """
    generator = np.random.default_rng([len(design), int(1000 * true[1]), int(10 * icc)])

    def drawn(questions: int, runs: int) -> tuple[FloatArray, FloatArray, IntArray, IntArray]:
        total, level = 1 / icc - 1, np.clip(generator.random((questions, runs)), 1e-9, 1 - 1e-9)
        before, after = (np.clip(betaincinv(share * total, (1 - share) * total, level), 0, 1) for share in true)
        if design == "swapped":
            asked = np.repeat(np.where(np.arange(questions) % 2, 20, 3)[:, None], runs, axis=1)
            return before, after, asked, 23 - asked
        return before, after, generator.binomial(20, 0.1 + 0.85 * before), generator.binomial(20, 0.95 - 0.85 * after)

    before, after, asked, asked_after = drawn(200_000, 1)
    weights = asked * asked_after / np.maximum(asked + asked_after, 1)
    change = float((weights * (after - before)).sum() / weights.sum())
    before, after, asked, asked_after = drawn(questions, runs)
    counts = generator.binomial(asked, before), generator.binomial(asked_after, after)
    found = paired_changes(counts[0], asked, counts[1], asked_after, SEED)
    return float(np.mean([item is not None and item.low <= change + 1e-9 and change <= item.high for item in found]))


@pytest.mark.parametrize("design", ["swapped", "tied"])
@pytest.mark.parametrize("true", [(0.3, 0.3), (0.5, 0.5), (0.7, 0.3)])
@pytest.mark.parametrize("icc", [0.2, 0.5])
def test_intervals_of_changes_cover_where_answers_are_unequal_in_number(
    design: str, true: tuple[float, float], icc: float
) -> None:
    assert uneven_coverage(design, true, icc) >= 0.92


def least_adjusted_p(families: int, models: int, questions: int, answers: int) -> FloatArray:
    """The smallest adjusted p of each of `models` comparisons with one base that all equal; (families, models).

    Twenty-two measures, rare and common ones, the last four being unions of others as groups are.
    """
    generator = np.random.default_rng([questions, answers])
    least = np.ones((families, models))
    shape = (questions, 18)
    for family in range(families):
        means = generator.choice([0.02, 0.05, 0.1, 0.3, 0.6], 18)
        rates = generator.beta(means * 3, (1 - means) * 3, shape)

        def ask(rates: FloatArray = rates) -> IntArray:
            shown = generator.random((answers, *shape)) < rates
            unions = [shown[..., start : start + 4].any(axis=2) for start in range(0, 16, 4)]
            return np.concatenate([shown, np.stack(unions, axis=2)], axis=2).sum(axis=0)

        base = ask()
        asked = np.full(base.shape, answers)
        for model in range(models):
            found = paired_changes(base, asked, ask(), asked, SEED)
            least[family, model] = min(change.adjusted_p for change in found if change)
    return least


def test_twenty_identical_models_rarely_get_a_verdict() -> None:
    least = least_adjusted_p(families=4, models=20, questions=50, answers=3)
    assert np.mean(least <= ALPHA) <= 0.11  # 80 comparisons: 9 of them in less than 2 % of cases
    assert np.sum((least <= VERDICT_LEVEL).any(axis=1)) <= 1  # of 4 families: two in less than 2 % of cases


@pytest.mark.slow
@pytest.mark.parametrize(("questions", "answers"), [(67, 20), (50, 3)])
def test_of_many_families_of_twenty_identical_models_few_get_a_verdict(questions: int, answers: int) -> None:
    """If the true share of families is 5 %, 7 or more of 50 get a verdict in 1 % of cases."""
    least = least_adjusted_p(families=50, models=20, questions=questions, answers=answers)
    assert np.sum((least <= VERDICT_LEVEL).any(axis=1)) <= 6
    assert np.mean(least <= VERDICT_LEVEL) <= 0.006
    assert np.mean(least <= ALPHA) <= 0.07


def test_questions_that_are_all_alike_have_an_interval_all_the_same() -> None:
    rate = rate_interval(np.full(40, 6), np.full(40, 12), 1)
    assert rate
    assert rate.method == "beta-binomial"
    assert 0.4 < rate.low < 0.5 < rate.high < 0.6
