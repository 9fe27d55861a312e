"""Changes paired by question: arithmetic by hand, p values counted out, properties, simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaincinv

from epistemic_stance.statistics.changes import Change, difference, fewest_moved, paired_changes, verdict_of
from epistemic_stance.statistics.estimates import ALPHA, Estimate, FloatArray, IntArray

SEED = 42


def changes(before: list[list[int]], after: list[list[int]], answers: int = 1, seed: int = SEED) -> list[Change]:
    """Questions by columns; the same number of answers everywhere."""
    first, second = np.array(before), np.array(after)
    asked = np.full(first.shape, answers)
    found = paired_changes(first, asked, second, asked, seed)
    assert all(found)
    return [change for change in found if change]


def change_of(before: list[int], after: list[int], answers: int) -> Change:
    return changes([[count] for count in before], [[count] for count in after], answers)[0]


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


@pytest.mark.parametrize(("level", "questions"), [(0.0025, 10), (ALPHA, 6), (0.0625, 5), (0.06, 6)])
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


def test_a_verdict_needs_the_p_value_and_the_interval() -> None:
    assert verdict_of(0.2, 0.1, 0.3, 0.05) == "rose"
    assert verdict_of(-0.2, -0.3, -0.1, 0.001) == "fell"
    assert verdict_of(0.2, 0.1, 0.3, 0.051) == "inconclusive"
    assert verdict_of(0.2, 0.0, 0.4, 0.001) == "inconclusive"


def test_identical_models_rarely_get_a_verdict() -> None:
    least = least_adjusted_p(families=4, models=20, questions=50, answers=3)
    assert np.mean(least <= ALPHA) <= 0.11  # 80 comparisons: 9 of them in less than 2 % of cases


@pytest.mark.slow
@pytest.mark.parametrize(("questions", "answers"), [(67, 20), (50, 3)])
def test_of_many_comparisons_of_identical_models_few_get_a_verdict(questions: int, answers: int) -> None:
    least = least_adjusted_p(families=50, models=20, questions=questions, answers=answers)
    assert np.mean(least <= ALPHA) <= 0.07


def test_the_difference_of_two_estimates_by_hand() -> None:
    """Half-widths 3 and 4 give 5 if the two are independent; with correlation 1/2 the root of 9 + 16 - 12."""
    before, after = Estimate(0.20, 0.16, 0.24), Estimate(0.50, 0.47, 0.53)
    assert difference(before, after) == pytest.approx((0.30, 0.25, 0.35))
    reach = np.sqrt(13) / 100
    assert difference(before, after, 0.5) == pytest.approx((0.30, 0.30 - reach, 0.30 + reach))
