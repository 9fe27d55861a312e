"""Figures in words. Shares are 0 to 1 and shown in percent, changes of shares in points."""

from __future__ import annotations

from typing import Protocol

from epistemic_stance.records.analysis import CorrectedRateRecord, RateRecord
from epistemic_stance.records.comparison import CorrectedChangeRecord
from epistemic_stance.records.probes import EstimateRecord
from epistemic_stance.records.validation import GainRecord, PlainRateRecord

UNKNOWN = "unknown"


class Changed(Protocol):
    """A change with its interval."""

    @property
    def change(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


def counted(number: int, noun: str) -> str:
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def percent(share: float) -> str:
    """One decimal, unless it is 0."""
    return f"{100 * share:.1f}".removesuffix(".0")


def whole_percent(share: float) -> str:
    """No decimal, but neither 0 nor 100 for what is not quite."""
    shown = f"{100 * share:.0f}"
    near_end = (shown == "0" and share > 0) or (shown == "100" and share < 1)
    return f"{100 * share:.1f}" if near_end else shown


def points(share: float, digits: int = 1) -> str:
    return f"{round(100 * share, digits) + 0.0:+.{digits}f}"  # adding 0 turns -0 into 0


def rate(found: RateRecord | None) -> str:
    """`64 [55, 72]`, whole percent; `-` where it is unknown."""
    if found is None:
        return "-"
    return f"{whole_percent(found.estimate)} [{whole_percent(found.low)}, {whole_percent(found.high)}]"


def interval(found: RateRecord | None) -> str:
    """`64.2 [55, 72.3]`."""
    return f"{percent(found.estimate)} [{percent(found.low)}, {percent(found.high)}]" if found else UNKNOWN


def corrected(found: CorrectedRateRecord | None) -> str:
    """Nothing where nobody labelled."""
    if found is None or found.estimate is None or found.low is None or found.high is None:
        return ""
    return f"{percent(found.estimate)} [{percent(found.low)}, {percent(found.high)}]"


def corrected_change(found: CorrectedChangeRecord | None) -> str:
    """Nothing where nobody labelled."""
    if found is None or found.change is None or found.low is None or found.high is None:
        return ""
    return f"{points(found.change)} [{points(found.low)}, {points(found.high)}]"


def change(found: Changed | None) -> str:
    return f"{points(found.change)} [{points(found.low)}, {points(found.high)}]" if found else UNKNOWN


def gain(found: GainRecord | None) -> str:
    """With the band over all checkpoints."""
    return f"{points(found.change)} [{points(found.band_low)}, {points(found.band_high)}]" if found else UNKNOWN


def plain_rates(before: PlainRateRecord | None, after: PlainRateRecord | None) -> str:
    """Nothing where neither is known."""
    shown = [percent(found.estimate) if found else "?" for found in (before, after)]
    return " -> ".join(shown) if before or after else ""


def estimate(found: EstimateRecord | None, digits: int = 3) -> str:
    if found is None:
        return UNKNOWN
    if found.low is None or found.high is None:
        return f"{found.value:.{digits}f}"
    return f"{found.value:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"
