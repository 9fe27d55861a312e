"""Rates corrected for the rules' errors: arithmetic by hand, refusals, properties, simulations with a known truth."""

from __future__ import annotations

import time
from dataclasses import astuple, replace
from typing import Any

import numpy as np
import pytest
from checkout import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from epistemic_stance.statistics.changes import PairedChange, paired_changes
from epistemic_stance.statistics.detector import (
    MIN_POSITIVES,
    MIN_QUESTIONS,
    LabelledCounts,
    Refused,
    corrected_changes,
    corrected_rate,
    detector_error,
)
from epistemic_stance.statistics.estimates import ALPHA, Estimate
from epistemic_stance.statistics.rates import rate_interval

BENCHMARKS = ROOT / "benchmarks"


def labelled(
    true_found: int,
    false_found: int,
    true_missed: int,
    false_passed: int,
    weights: tuple[float, float] = (4.0, 3.0),
    hits: int = 2,
    questions: int = 40,
) -> LabelledCounts:
    """`hits` of 5 answers to each question found; as many labels as are said, over the questions in turn."""
    found, passed = true_found + false_found, true_missed + false_passed
    return LabelledCounts(
        hits_Q=np.full(questions, hits),
        answers_Q=np.full(questions, 5),
        truth_N=np.repeat([True, False, True, False], [true_found, false_found, true_missed, false_passed]),
        found_N=np.repeat([True, False], [found, passed]),
        weight_N=np.repeat(weights, [found, passed]),
        question_N=np.concatenate([np.arange(found), np.arange(passed)]) % questions,
    )


def rate(of: LabelledCounts) -> Estimate:
    found = corrected_rate(of)
    assert isinstance(found, Estimate), found
    return found


def refusal(of: LabelledCounts) -> str:
    found = corrected_rate(of)
    assert isinstance(found, Refused)
    return found.reason


def change_of(before: LabelledCounts, after: LabelledCounts) -> PairedChange:
    found = corrected_changes([(before, after)])[0]
    assert isinstance(found, PairedChange), found
    return found


# --- arithmetic --------------------------------------------------------------------------------------------


def test_a_rate_is_what_is_found_rightly_and_what_is_missed() -> None:
    """Found 40 %, 18 of 20 rightly; of the other 60 %, 6 of 40 show it: .4 x .9 + .6 x .15 = .45."""
    found = rate(labelled(18, 2, 6, 34))
    assert found.estimate == pytest.approx(0.45)
    assert found.low < 0.4 < 0.45 < found.high


def test_sensitivity_and_specificity_give_the_same_rate_by_rogan_and_gladens_formula() -> None:
    """Se = .4 x .9 / .45, Sp = .6 x .85 / .55."""
    error = detector_error(labelled(18, 2, 6, 34))
    assert error.precision
    assert error.precision.estimate == pytest.approx(18 / 20)
    assert 0.6 < error.precision.low < 0.85 < 0.95 < error.precision.high < 1
    assert error.sensitivity
    assert error.specificity
    assert error.sensitivity.estimate == pytest.approx(0.36 / 0.45)
    assert error.specificity.estimate == pytest.approx(0.51 / 0.55)
    assert (error.true_found, error.false_found, error.true_missed, error.false_passed) == (18, 2, 6, 34)
    assert (error.positives, error.negatives) == (24, 36)
    sensitivity, specificity = error.sensitivity.estimate, error.specificity.estimate
    assert (0.4 + specificity - 1) / (sensitivity + specificity - 1) == pytest.approx(0.45)


def test_a_label_counts_by_its_weight() -> None:
    """Of the finds 18 true ones weigh 4 and 2 others 36: half are right. Kish: (18 x 4)^2 / (18 x 16) = 18."""
    of = labelled(18, 2, 6, 34)
    of = replace(of, weight_N=np.where(of.found_N & ~of.truth_N, 36.0, of.weight_N))
    assert rate(of).estimate == pytest.approx(0.4 * 0.5 + 0.6 * 0.15)
    positives = 18 * 4.0 + 6 * 3.0
    assert detector_error(of).effective_positives == pytest.approx(positives**2 / (18 * 16 + 6 * 9))


def test_a_change_is_the_difference_of_two_corrected_rates() -> None:
    """.45 before; .4 x .95 + .6 x .5 = .68 after."""
    found = change_of(labelled(18, 2, 6, 34), labelled(19, 1, 20, 20))
    assert found.before == pytest.approx(0.45)
    assert found.after == pytest.approx(0.68)
    assert found.change == pytest.approx(0.23)
    assert 0 < found.low < 0.23 < found.high
    assert found.questions == 40


def test_in_a_change_only_questions_answered_on_both_sides_count_and_with_them_their_labels() -> None:
    """Twenty questions more before, with other answers and labels, move nothing; twelve labels more do not help."""
    before, after = labelled(18, 2, 6, 34), labelled(19, 1, 20, 20)
    more = LabelledCounts(
        hits_Q=np.append(before.hits_Q, np.full(20, 5)),
        answers_Q=np.append(before.answers_Q, np.full(20, 5)),
        truth_N=np.append(before.truth_N, np.full(12, True)),
        found_N=np.append(before.found_N, np.full(12, True)),
        weight_N=np.append(before.weight_N, np.full(12, 4.0)),
        question_N=np.append(before.question_N, np.arange(40, 52)),
    )
    wider = replace(
        after,
        hits_Q=np.append(after.hits_Q, np.zeros(20, int)),
        answers_Q=np.append(after.answers_Q, np.zeros(20, int)),
    )
    assert astuple(change_of(more, wider)) == pytest.approx(astuple(change_of(before, after)))

    few = replace(more, truth_N=np.append(np.arange(60) < 8, np.full(12, True)))
    assert few.truth_N.sum() == MIN_POSITIVES
    refused = corrected_changes([(few, wider)])[0]
    assert isinstance(refused, Refused)
    assert refused.reason == "before: needs 20 labelled answers that show it: 8"


def test_unequal_numbers_of_answers_weigh_as_in_a_raw_change() -> None:
    """With rules that never err, the corrected rates are those of `paired_changes`."""
    generator = np.random.default_rng(3)
    sides = []
    for _ in range(2):
        answers = generator.integers(1, 9, 40)
        hits = generator.binomial(answers, 0.5)
        question = np.repeat(np.arange(40), answers)
        found = np.arange(len(question)) - np.repeat(np.cumsum(answers) - answers, answers) < hits[question]
        sides.append(LabelledCounts(hits, answers, found, found, np.ones(len(found)), question))
    before, after = sides
    counts = [side[:, None] for of in sides for side in (of.hits_Q, of.answers_Q)]
    raw = paired_changes(counts[0], counts[1], counts[2], counts[3], 1)[0]
    found_change = change_of(before, after)
    assert raw
    assert found_change.before == pytest.approx(raw.before)
    assert found_change.after == pytest.approx(raw.after)
    assert found_change.low == pytest.approx(raw.low, abs=0.03)
    assert found_change.high == pytest.approx(raw.high, abs=0.03)


def test_p_values_are_adjusted_over_the_changes_that_are_not_refused() -> None:
    """Holm: the smallest of three p values counts three times, the next twice, none less than one before it."""
    before = labelled(18, 2, 6, 34)
    pairs = [
        (before, labelled(18, 2, 9, 31)),
        (before, labelled(18, 2, 18, 22)),
        (before, labelled(1, 1, 1, 30)),
        (before, before),
    ]
    found = corrected_changes(pairs)
    assert isinstance(found[2], Refused)
    small, smallest, same = (change for change in found if isinstance(change, PairedChange))
    assert smallest.p < small.p < same.p == 1
    assert smallest.adjusted_p == pytest.approx(3 * smallest.p)
    assert small.adjusted_p == pytest.approx(min(1, 2 * small.p))
    assert same.adjusted_p == 1


# --- what the labels cannot tell ---------------------------------------------------------------------------


def test_below_twenty_labels_nothing_is_corrected() -> None:
    assert refusal(labelled(4, 5, 4, 6)) == "needs 20 labelled answers: 19"
    assert rate(labelled(4, 5, 4, 7))


def test_a_change_needs_twenty_labels_that_show_it_on_both_sides() -> None:
    few, enough = labelled(15, 5, 4, 36), labelled(15, 5, 5, 35)
    refused = corrected_changes([(enough, few)])[0]
    assert isinstance(refused, Refused)
    assert refused.reason == "after: needs 20 labelled answers that show it: 19"
    assert change_of(enough, enough).change == 0


def test_where_few_labels_are_with_a_find_or_without_the_rate_is_their_weighted_share() -> None:
    """Finds weigh 4 and the others 3. With four of a kind the rules are left out: (25 x 4 + 3) / (30 x 4 + 4 x 3).

    With five they are not: 40 % are found, 25 of 30 rightly, and one in five of the rest shows it.
    """
    assert rate(labelled(25, 5, 1, 3)).estimate == pytest.approx(103 / 132)
    assert rate(labelled(25, 5, 1, 4)).estimate == pytest.approx(0.4 * 25 / 30 + 0.6 / 5)
    assert rate(labelled(3, 1, 20, 20)).estimate == pytest.approx((3 * 4 + 20 * 3) / (4 * 4 + 40 * 3))
    assert detector_error(labelled(3, 1, 20, 20)).sensitivity is None


def test_a_side_without_answers_needs_no_labels() -> None:
    assert rate(labelled(25, 5, 0, 0, hits=5)).estimate == pytest.approx(25 / 30)
    assert rate(labelled(0, 0, 30, 10, hits=0)).estimate == pytest.approx(0.75)


def test_few_questions_are_refused() -> None:
    few = MIN_QUESTIONS - 1
    assert refusal(labelled(10, 2, 10, 8, questions=few)) == f"needs {MIN_QUESTIONS} questions with answers: {few}"


def test_without_answers_the_error_is_unknown() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    empty = LabelledCounts(np.zeros(3, int), np.zeros(3, int), nothing > 0, nothing > 0, nothing.astype(float), nothing)
    error = detector_error(empty)
    assert (error.sensitivity, error.specificity, error.effective_positives) == (None, None, 0)
    assert refusal(empty)


def test_no_error_among_the_labels_is_not_taken_for_none_at_all() -> None:
    """Jeffreys for 0 of 60 labels that stand for the other 120 answers: up to 4 % of them (2.5 of 60) may be missed."""
    found = rate(labelled(40, 0, 0, 60, weights=(2.0, 2.0)))
    assert found.estimate == pytest.approx(0.4)
    assert 0.36 < found.low < 0.395
    assert 0.405 < found.high < 0.44
    error = detector_error(labelled(40, 0, 0, 60, weights=(2.0, 2.0)))
    assert error.sensitivity
    assert error.specificity
    assert error.sensitivity.estimate == error.sensitivity.high == 1
    assert 0.9 < error.sensitivity.low < 0.97
    assert 0.9 < error.specificity.low < 0.99


def test_labels_have_to_be_among_the_answers_that_are_counted() -> None:
    of = labelled(18, 2, 6, 34)
    with pytest.raises(ValueError, match="same finds"):
        replace(of, hits_Q=np.zeros(40, int))
    with pytest.raises(ValueError, match="one of the questions"):
        replace(of, question_N=of.question_N + 40)
    with pytest.raises(ValueError, match="above 0"):
        replace(of, weight_N=of.weight_N * 0)
    with pytest.raises(ValueError, match="each label needs"):
        replace(of, truth_N=of.truth_N[1:])
    with pytest.raises(ValueError, match="0 <= hits <= answers"):
        replace(of, hits_Q=of.hits_Q + 4)


# --- properties --------------------------------------------------------------------------------------------

tables = st.tuples(st.integers(12, 30), st.integers(0, 20), st.integers(8, 30), st.integers(12, 30))


@given(cells=tables, order=st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_the_order_of_labels_and_of_questions_decides_nothing(cells: tuple[int, int, int, int], order: Any) -> None:
    of = labelled(*cells)
    labels = np.array(order.sample(range(len(of.truth_N)), len(of.truth_N)))
    shuffled = LabelledCounts(
        of.hits_Q, of.answers_Q, of.truth_N[labels], of.found_N[labels], of.weight_N[labels], of.question_N[labels]
    )
    assert corrected_rate(shuffled) == corrected_rate(of)
    assert detector_error(shuffled) == detector_error(of)
    questions = np.array(order.sample(range(40), 40))
    moved, same = rate(replace(of, question_N=questions[of.question_N])), rate(of)
    assert (moved.estimate, moved.low, moved.high) == pytest.approx((same.estimate, same.low, same.high))


@given(cells=tables, factor=st.floats(1e-3, 1e3))
@settings(max_examples=25, deadline=None)
def test_only_the_proportions_of_weights_count(cells: tuple[int, int, int, int], factor: float) -> None:
    of = labelled(*cells)
    scaled, same = rate(replace(of, weight_N=of.weight_N * factor)), rate(of)
    assert (scaled.estimate, scaled.low, scaled.high) == pytest.approx((same.estimate, same.low, same.high), abs=0.01)


@given(cells=tables)
@settings(max_examples=25, deadline=None)
def test_the_corrected_rate_of_the_contrary_is_the_rest(cells: tuple[int, int, int, int]) -> None:
    of = labelled(*cells)
    contrary = replace(of, hits_Q=of.answers_Q - of.hits_Q, truth_N=~of.truth_N, found_N=~of.found_N)
    found = corrected_rate(contrary)
    if isinstance(found, Estimate):
        assert found.estimate == pytest.approx(1 - rate(of).estimate)
    first, second = detector_error(of), detector_error(contrary)
    assert first.sensitivity
    assert second.specificity
    assert first.sensitivity.estimate == pytest.approx(second.specificity.estimate)


def test_rules_that_never_err_leave_the_rate_and_nearly_its_interval() -> None:
    """Every answer is labelled, and as the rules say: within a point of the interval over questions alone."""
    hits = np.random.default_rng(5).binomial(20, np.random.default_rng(6).beta(0.9, 2.1, 67))
    found = (np.arange(20) < hits[:, None]).ravel()
    question = np.repeat(np.arange(67), 20)
    corrected = rate(LabelledCounts(hits, np.full(67, 20), found, found, np.ones(len(found)), question))
    raw = rate_interval(hits, np.full(67, 20))
    assert raw
    assert corrected.estimate == pytest.approx(raw.estimate)
    assert (corrected.low, corrected.high) == pytest.approx((raw.low, raw.high), abs=0.01)


# --- simulations with a known truth ------------------------------------------------------------------------


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import corrected_rates

    return corrected_rates


@pytest.mark.parametrize(
    ("questions", "answers", "labels", "true", "sensitivity", "specificity"),
    [(67, 20, 150, 0.3, 0.8, 0.95), (67, 20, 150, 0.7, 0.6, 0.9), (170, 3, 150, 0.3, 0.95, 0.99)],
)
def test_intervals_of_corrected_rates_cover_what_they_claim(
    simulation: Any, questions: int, answers: int, labels: int, true: float, sensitivity: float, specificity: float
) -> None:
    """92 to 97 %, and 2 points for chance: two standard errors of a coverage of 95 % in 400 runs are 2.2."""
    generator = np.random.default_rng([questions, int(10 * true)])
    design, rules = simulation.Design(questions, answers, 0.35, labels), simulation.Rules(sensitivity, specificity)
    found = [corrected_rate(simulation.simulated_rate(generator, design, rules, true)) for _ in range(400)]
    held = [interval.low <= true <= interval.high for interval in found if isinstance(interval, Estimate)]
    assert len(held) == 400
    assert 0.90 <= np.mean(held) <= 0.99


def test_intervals_of_corrected_changes_cover_what_they_claim(simulation: Any) -> None:
    """A recall of .9 before and .6 after, nothing else changes: raw rates fall, corrected ones nearly never.

    92 to 97 %, and 2.5 points for chance: two standard errors of a coverage of 95 % in 300 runs.
    """
    generator = np.random.default_rng(8)
    rules = (simulation.Rules(0.9, 0.97), simulation.Rules(0.6, 0.97))
    pairs = [
        simulation.simulated_pair(generator, simulation.Design(67, 20, 0.3, 150), rules, (0.3, 0.3)) for _ in range(300)
    ]
    found = [change_of(before, after) for before, after in pairs]
    assert 0.895 <= np.mean([change.low <= 0 <= change.high for change in found]) <= 0.995
    assert np.mean([change.p <= ALPHA for change in found]) <= 0.08


def test_the_sign_is_right_where_the_rules_lose_recall(simulation: Any) -> None:
    """Truth 49 to 53 %, recall .95 to .45: raw rates fall, and are shown to, in every run; corrected ones rise.

    A rise of 4 points cannot be shown with 300 labels; that it is no fall can, but for one run in forty.
    """
    generator = np.random.default_rng(9)
    rules = (simulation.Rules(0.95, 0.98), simulation.Rules(0.45, 0.98))
    raw, corrected = [], []
    for _ in range(100):
        design = simulation.Design(67, 20, 0.3, 300)
        before, after = simulation.simulated_pair(generator, design, rules, (0.49, 0.53))
        raw.append(after.hits_Q.mean() / 20 - before.hits_Q.mean() / 20)
        corrected.append(change_of(before, after))
    assert max(raw) < 0
    changes = [change.change for change in corrected]
    assert np.mean(changes) == pytest.approx(0.04, abs=0.02)
    assert np.mean(np.array(changes) > 0) > 0.7
    assert np.mean([change.high < 0 for change in corrected]) <= 0.05


def test_a_rate_is_corrected_in_less_than_fifty_milliseconds(simulation: Any) -> None:
    """The fastest of five, so that a busy machine does not decide."""
    design = simulation.Design(170, 20, 0.3, 300)
    of = simulation.simulated_rate(np.random.default_rng(1), design, simulation.Rules(0.8, 0.95), 0.3)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        corrected_rate(of)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.05


def test_a_share_is_inside_its_interval(simulation: Any) -> None:
    generator = np.random.default_rng(2)
    for _ in range(20):
        of = simulation.simulated_rate(generator, simulation.Design(20, 5, 0.5, 40), simulation.Rules(0.95, 0.99), 0.5)
        error = detector_error(of)
        for share in (error.sensitivity, error.specificity):
            assert isinstance(share, Estimate)
            assert 0 <= share.low <= share.estimate <= share.high <= 1
