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


def rate(rate: RateRecord | None) -> str:
    """`64 [55, 72]`, whole percent; `-` where it is unknown."""
    if rate is None:
        return "-"
    return f"{whole_percent(rate.estimate)} [{whole_percent(rate.low)}, {whole_percent(rate.high)}]"


def interval(rate: RateRecord | None) -> str:
    """`64.2 [55, 72.3]`."""
    return f"{percent(rate.estimate)} [{percent(rate.low)}, {percent(rate.high)}]" if rate else UNKNOWN


def corrected(rate: CorrectedRateRecord | None) -> str:
    """Nothing where nobody labelled."""
    if rate is None or rate.estimate is None or rate.low is None or rate.high is None:
        return ""
    return f"{percent(rate.estimate)} [{percent(rate.low)}, {percent(rate.high)}]"


def corrected_change(change: CorrectedChangeRecord | None) -> str:
    """Nothing where nobody labelled."""
    if change is None or change.change is None or change.low is None or change.high is None:
        return ""
    return f"{points(change.change)} [{points(change.low)}, {points(change.high)}]"


def change(changed: Changed | None) -> str:
    return f"{points(changed.change)} [{points(changed.low)}, {points(changed.high)}]" if changed else UNKNOWN


def gain(gain: GainRecord | None) -> str:
    """With the band over all checkpoints."""
    return f"{points(gain.change)} [{points(gain.band_low)}, {points(gain.band_high)}]" if gain else UNKNOWN


def plain_rates(before: PlainRateRecord | None, after: PlainRateRecord | None) -> str:
    """Nothing where neither is known."""
    shown = [percent(each.estimate) if each else "?" for each in (before, after)]
    return " -> ".join(shown) if before or after else ""


def estimate(estimate: EstimateRecord | None, digits: int = 3) -> str:
    if estimate is None:
        return UNKNOWN
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.{digits}f}"
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"
