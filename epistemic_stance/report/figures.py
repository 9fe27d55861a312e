"""Figures in words, as the tables of a report show them."""

from __future__ import annotations

from epistemic_stance.records.analysis import CorrectedRateRecord, RateRecord
from epistemic_stance.records.comparison import ChangeRecord
from epistemic_stance.records.probes import EstimateRecord
from epistemic_stance.records.validation import FlagChangeRecord, GainRecord, PlainRateRecord
from epistemic_stance.report.selection_tables import points

UNKNOWN = "unknown"
MARKS = {
    "met": "\u2713",
    "clear": "\u2713",
    "not met": "\u2717",
    "raised": "\u2691",
    "inconclusive": "?",
    "measured": "\u2022",
    "unknown": "\u2013",
}
"""A sign beside the word, so that neither colour nor reading is needed."""


def marked(state: str) -> str:
    return f"{MARKS.get(state, MARKS['measured'])} {state}"


def percent(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0")


def interval(found: RateRecord | None) -> str:
    if found is None:
        return UNKNOWN
    return f"{percent(found.estimate)} [{percent(found.low)}, {percent(found.high)}]"


def corrected(found: CorrectedRateRecord | None) -> str:
    """Nothing where nobody labelled."""
    if found is None or found.estimate is None or found.low is None or found.high is None:
        return ""
    return f"{percent(found.estimate)} [{percent(found.low)}, {percent(found.high)}]"


def change(found: ChangeRecord | FlagChangeRecord | None) -> str:
    return f"{points(found.change)} [{points(found.low)}, {points(found.high)}]" if found else UNKNOWN


def gain(found: GainRecord | None) -> str:
    return f"{points(found.change)} [{points(found.band_low)}, {points(found.band_high)}]" if found else UNKNOWN


def plain_rate(found: PlainRateRecord | None) -> str:
    return percent(found.estimate) if found else "?"


def estimate(found: EstimateRecord | None, digits: int = 3) -> str:
    if found is None:
        return UNKNOWN
    if found.low is None or found.high is None:
        return f"{found.value:.{digits}f}"
    return f"{found.value:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def counted(number: int, one: str) -> str:
    return f"{number:,} {one if number == 1 else one + 's'}"
