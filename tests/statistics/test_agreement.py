"""Agreement of two sides: figures by hand, and what is undefined."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epistemic_stance.statistics.agreement import Agreement, JudgedAnswer, agreement, agreements, by_group

NAMES = ["apple", "pear"]
FIGURES = ("positives", "precision", "recall", "f1", "kappa")


def answer(labels: str = "", found: str = "", ignore: str = "", group: str | None = None) -> JudgedAnswer:
    return JudgedAnswer(group, *(frozenset(names.split()) for names in (labels, ignore, found)))


def test_figures_by_hand() -> None:
    """20 right, 5 missed, 10 too many, 15 rightly left alone, of 50.

    Kappa: observed 35/50 = .7; by chance (25 * 30 + 25 * 20) / 2500 = .5; (.7 - .5) / (1 - .5) = .4.
    """
    table = Agreement(both=20, labelled_only=5, found_only=10, neither=15)
    assert table.positives == 25
    assert table.precision == pytest.approx(2 / 3)
    assert table.recall == pytest.approx(0.8)
    assert table.f1 == pytest.approx(40 / 55)
    assert table.kappa == pytest.approx(0.4)


def test_agreement_worse_than_chance_has_a_negative_kappa() -> None:
    """Observed 0; by chance (2 * 2 + 2 * 2) / 16 = .5; (0 - .5) / .5 = -1."""
    table = Agreement(both=0, labelled_only=2, found_only=2, neither=0)
    assert (table.precision, table.recall, table.f1, table.kappa) == (0, 0, 0, -1)


@pytest.mark.parametrize(
    ("cells", "figures"),
    [
        # both, labelled only, found only, neither -> positives, precision, recall, F1, kappa
        ((0, 0, 0, 0), (0, None, None, None, None)),
        ((0, 0, 0, 9), (0, None, None, None, None)),  # nothing to find, nothing found: chance explains it all
        ((9, 0, 0, 0), (9, 1, 1, 1, None)),
        ((0, 3, 0, 7), (3, None, 0, 0, 0)),  # all missed
        ((0, 0, 2, 8), (0, 0, None, None, 0)),  # nothing to find, two found
        ((3, 0, 0, 7), (3, 1, 1, 1, 1)),
    ],
)
def test_a_figure_that_is_undefined_is_none(cells: tuple[int, ...], figures: tuple[float | None, ...]) -> None:
    table = Agreement(*cells)
    assert tuple(getattr(table, name) for name in FIGURES) == figures


@given(st.tuples(*[st.integers(0, 30)] * 4))
def test_figures_stay_in_their_ranges(cells: tuple[int, int, int, int]) -> None:
    table = Agreement(*cells)
    for name in ("precision", "recall", "f1"):
        assert getattr(table, name) is None or 0 <= getattr(table, name) <= 1
    assert table.kappa is None or -1 <= table.kappa <= 1
    if table.f1 is not None and table.precision and table.recall:
        harmonic = 2 / (1 / table.precision + 1 / table.recall)
        assert table.f1 == pytest.approx(harmonic)
    swapped = Agreement(table.both, table.found_only, table.labelled_only, table.neither)
    assert (swapped.precision, swapped.recall, swapped.kappa) == (table.recall, table.precision, table.kappa)


def test_an_ignored_label_leaves_the_answer_out_for_that_label_alone() -> None:
    answers = [
        answer("apple pear", "apple"),
        answer("apple", "pear", ignore="pear"),
        answer("", "apple pear", ignore="apple pear"),
        answer("pear", "", ignore="pear"),  # labelled and in doubt: in doubt
    ]
    assert agreement(answers, "apple") == Agreement(both=1, labelled_only=1, found_only=0, neither=1)
    assert agreement(answers, "pear") == Agreement(both=0, labelled_only=1, found_only=0, neither=0)


def test_groups_share_out_the_answers_that_have_one() -> None:
    answers = [
        answer("apple", "apple", group="b"),
        answer("apple", group="a"),
        answer("apple"),
        answer("", "", group="b"),
    ]
    groups = by_group(answers)
    assert list(groups) == ["b", "a"]
    assert agreements(groups["b"], NAMES)["apple"] == Agreement(1, 0, 0, 1)
    assert agreements(groups["a"], NAMES)["apple"] == Agreement(0, 1, 0, 0)
    assert agreement(answers, "apple").positives == 3
