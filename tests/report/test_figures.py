"""Figures as every table shows them."""

from __future__ import annotations

import pytest

from epistemic_stance.records.analysis import CorrectedRateRecord, RateRecord
from epistemic_stance.records.probes import EstimateRecord
from epistemic_stance.records.validation import FlagChangeRecord, GainRecord, PlainRateRecord
from epistemic_stance.report import figures


def rate(estimate: float, low: float, high: float) -> RateRecord:
    return RateRecord(estimate=estimate, low=low, high=high, questions=67, answers=1340)


@pytest.mark.parametrize(
    ("number", "noun", "shown"),
    [
        (0, "answer", "0 answers"),
        (1, "answer", "1 answer"),
        (1340, "pair", "1,340 pairs"),
        (3, "category", "3 categories"),
    ],
)
def test_what_is_counted_has_its_plural(number: int, noun: str, shown: str) -> None:
    assert figures.counted(number, noun) == shown


@pytest.mark.parametrize(
    ("share", "percent", "whole"),
    [
        (0.0, "0", "0"),
        (0.004, "0.4", "0.4"),
        (0.642, "64.2", "64"),
        (0.5, "50", "50"),
        (0.997, "99.7", "99.7"),
        (1, "100", "100"),
    ],
)
def test_nothing_and_everything_are_told_from_nearly_so(share: float, percent: str, whole: str) -> None:
    assert (figures.percent(share), figures.whole_percent(share)) == (percent, whole)


@pytest.mark.parametrize(("share", "shown"), [(0.0123, "+1.2"), (-0.2, "-20.0"), (0.0, "+0.0"), (-0.0001, "+0.0")])
def test_points_have_a_sign_and_no_negative_zero(share: float, shown: str) -> None:
    assert figures.points(share) == shown


def test_a_rate_has_its_interval_or_is_unknown() -> None:
    found = rate(0.642, 0.55, 0.7234)
    assert (figures.rate(found), figures.rate(None)) == ("64 [55, 72]", "-")
    assert (figures.interval(found), figures.interval(None)) == ("64.2 [55, 72.3]", "unknown")


def test_a_rate_that_nobody_corrected_shows_nothing() -> None:
    corrected = CorrectedRateRecord(labelled=60, positives=24, refused=None, estimate=0.45, low=0.3, high=0.61)
    refused = CorrectedRateRecord(labelled=9, positives=2, refused="too few", estimate=None, low=None, high=None)
    assert [figures.corrected(found) for found in (corrected, refused, None)] == ["45 [30, 61]", "", ""]


def test_a_change_has_its_interval_and_a_gain_its_band() -> None:
    change = FlagChangeRecord(before=0.1, after=0.2, change=0.1, low=-0.01, high=0.21, questions=50)
    assert (figures.change(change), figures.change(None)) == ("+10.0 [-1.0, +21.0]", "unknown")
    gain = GainRecord(
        before=0.1,
        after=0.3,
        change=0.2,
        se=0.03,
        low=0.14,
        high=0.26,
        band_low=0.1,
        band_high=0.3,
        p=0.01,
        questions=9,
    )
    assert (figures.gain(gain), figures.gain(None)) == ("+20.0 [+10.0, +30.0]", "unknown")


def test_plain_rates_of_which_one_is_unknown() -> None:
    found = PlainRateRecord(estimate=0.125, answers=24)
    shown = [figures.plain_rates(*pair) for pair in ((found, found), (None, found), (None, None))]
    assert shown == ["12.5 -> 12.5", "? -> 12.5", ""]


def test_an_estimate_without_an_interval_is_shown_alone() -> None:
    known = EstimateRecord(value=0.1234, se=0.01, low=0.1, high=0.15, units=40)
    alone = EstimateRecord(value=0.1234, se=None, low=None, high=None, units=1)
    assert figures.estimate(known) == "0.123 [0.100, 0.150]"
    assert figures.estimate(alone, 2) == "0.12"
    assert figures.estimate(None) == "unknown"
