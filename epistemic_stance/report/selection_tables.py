"""A choice for people: criteria, red flags and checkpoints as tables for a terminal of 80 columns."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from epistemic_stance.evaluation.rule import RULE
from epistemic_stance.foundation.console import figure_table
from epistemic_stance.foundation.terminal import plain
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records.analysis import RateRecord
from epistemic_stance.records.validation import (
    CandidateRecord,
    CriterionRecord,
    FlagRecord,
    PlainRateRecord,
    SelectionRecord,
)
from epistemic_stance.statistics.intervals import LOOKS

ABOUT_CRITERIA = (
    "Percent of the answers to unseen report questions, with the 95 % interval over questions. met, not met: the whole "
    "interval is on that side of the bound. inconclusive: it holds the bound; about so many unseen report questions "
    "would decide. literal: the plain rate over the small set that the criterion was written for, no interval. "
    f"Without a bound the change from the base model is judged, with {LOOKS} looks allowed for."
)
ABOUT_FLAGS = (
    "Change from the base model in points, paired by question, over the questions of both halves, with its 95 % "
    "interval. raised: a change beyond the margin is shown. clear: it is excluded. inconclusive: neither, and with "
    "about so many questions a model that did not change would be clear. Only a raised flag rules a checkpoint out."
)
ABOUT_CHECKPOINTS = (
    "gain: on unseen select questions, in points, with the 95 % band over all checkpoints together; report: the same "
    "on report questions. cap.: change of what it can do. KL: nats a token from the base model. band: the guide's."
)
FROZEN = {
    "before": "written down before the answers were collected",
    "changed": "NOT the one that was written down before the answers were collected",
    "now": "not written down before the answers were collected",
}
STYLES = {"not met": "red", "raised": "red", "met": "green", "clear": "green"}


def print_selection(record: SelectionRecord, console: Console) -> None:
    for notice in record.notices:
        console.print(plain(f"note: {notice}", "yellow"))
    shown = record.candidate(record.shown)
    if shown and shown.criteria:
        chosen = shown.name == record.chosen
        whose = shown.name if chosen else f"{shown.name} (highest gain, not chosen)"
        console.print(_criteria_table(shown.criteria, whose))
        console.print(plain(ABOUT_CRITERIA, "dim"))
        console.print(_flag_table(shown.flags, whose))
        console.print(plain(ABOUT_FLAGS, "dim"))
        if shown.parroting:
            learning = shown.parroting.learning
            console.print(plain(f"\nLearning or memory, {whose}: {learning.verdict}", "bold"))
            console.print(plain(f"{learning.reason}."))
    _print_raised(record, console)
    console.print(_checkpoint_table(record))
    console.print(plain(ABOUT_CHECKPOINTS, "dim"))
    loss = record.best_by_loss or "unknown"
    console.print(plain(f"\nThe rule ({FROZEN[record.frozen]}; sha256 {record.rule.digest[:12]}):", "bold"))
    console.print(plain(RULE, "dim"))
    console.print(plain(f"\nLowest training loss: {loss}. By the rule: {record.chosen or 'none qualifies'}", "bold"))
    console.print(plain(f"{record.reason}."))


# --- criteria ----------------------------------------------------------------------------------------------


def _criteria_table(criteria: list[CriterionRecord], whose: str) -> Table:
    made = figure_table(f"Criteria: {whose}", "", "base", "after [95 %]", "bound", "verdict", "literal")
    for one in criteria:
        rate = _interval(one.rate)
        if one.corrected and one.corrected.estimate is not None:
            low, high = one.corrected.low or 0.0, one.corrected.high or 0.0
            rate = f"{rate}\ncorrected {_percent(one.corrected.estimate)} [{_percent(low)}, {_percent(high)}]"
        made.add_row(
            plain(one.title),
            plain(_percent(one.base.estimate) if one.base else "unknown"),
            plain(rate),
            plain(bound_of(one)),
            plain(verdict_of(one), STYLES.get(one.verdict, "")),
            plain(f"{_plain(one.literal_base)} -> {_plain(one.literal)}" if one.literal or one.literal_base else ""),
        )
    return made


def bound_of(one: CriterionRecord) -> str:
    if one.at_least is not None:
        return "all" if one.at_least == 1 else f">= {_percent(one.at_least)}"
    return f"<= {_percent(one.at_most)}" if one.at_most is not None else ""


def verdict_of(one: CriterionRecord) -> str:
    """In words, with what would decide it."""
    if one.verdict == "measured":
        return one.change.verdict if one.change else "unknown"
    if one.verdict != "inconclusive":
        return one.verdict
    return f"inconclusive\n(needs {one.needed:,})" if one.needed else "inconclusive\n(at the bound)"


def _interval(rate: RateRecord | None) -> str:
    if rate is None:
        return "unknown"
    return f"{_percent(rate.estimate)} [{_percent(rate.low)}, {_percent(rate.high)}]"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0")


def _plain(rate: PlainRateRecord | None) -> str:
    return _percent(rate.estimate) if rate else "?"


# --- red flags ---------------------------------------------------------------------------------------------


def _flag_table(flags: list[FlagRecord], whose: str) -> Table:
    made = figure_table(f"Red flags: {whose}", "", "base", "change [95 %]", "margin", "state")
    for one in flags:
        made.add_row(
            plain(one.title),
            plain(_percent(one.change.before) if one.change else ""),
            plain(_change(one)),
            plain(f"{'-' if one.bad == 'fall' else '+'}{_percent(one.margin)}"),
            plain(state_of(one), STYLES.get(one.state, "")),
        )
    return made


def _change(one: FlagRecord) -> str:
    if one.change is None:
        return "unknown" if one.state == "unknown" else ""
    return f"{points(one.change.change)} [{points(one.change.low)}, {points(one.change.high)}]"


def state_of(one: FlagRecord) -> str:
    return f"inconclusive\n(needs {one.needed:,})" if one.needed else one.state


def points(share: float) -> str:
    return f"{round(100 * share, 1) + 0.0:+.1f}"  # adding 0 turns -0 into 0


def _print_raised(record: SelectionRecord, console: Console) -> None:
    """Every raised flag once, where it moved most, with what was seen and what to try."""
    worst: dict[str, tuple[FlagRecord, str]] = {}
    for candidate in record.candidates:
        for flag in candidate.flags:
            known = worst.get(flag.name)
            if flag.state == "raised" and (known is None or _size(flag) > _size(known[0])):
                worst[flag.name] = (flag, candidate.name)
    for flag, name in worst.values():
        number = sum(flag.name in candidate.raised for candidate in record.candidates)
        title = f"\nRed flag: {flag.title} ({flag.measured}); raised on {number}, worst on {name}"
        title += f": {_change(flag)}" if flag.change else ""
        console.print(plain(title, "red"))
        for example in flag.examples:
            console.print(plain(f"  {shorten(example.question, 76)}"))
            console.print(plain(f"    before: {shorten(example.before, 64) or '(empty)'}"))
            console.print(plain(f"    after:  {shorten(example.after, 64) or '(empty)'}"))
        console.print(plain(f"  try: {flag.hint}"))


def _size(flag: FlagRecord) -> float:
    return abs(flag.change.change) if flag.change else 0.0


# --- checkpoints -------------------------------------------------------------------------------------------


def _checkpoint_table(record: SelectionRecord) -> Table:
    made = figure_table("Checkpoints", "epoch", "band", "gain [band]", "report [band]", "cap.", "KL", "note")
    made.columns[-1].justify = "left"
    for one in record.candidates:
        note = f"{one.note}{'; lowest loss' if one.name == record.best_by_loss else ''}"
        style = "bold" if one.name == record.chosen else ""
        cells = (one.band or "", *_gain_cells(one), _capability(one), f"{one.kl.value:.3f}" if one.kl else "?", note)
        made.add_row(plain(str(one.epoch), style), *(plain(cell, style) for cell in cells))
    return made


def _gain_cells(one: CandidateRecord) -> tuple[str, str]:
    told = [
        f"{points(gain.change)}\n[{points(gain.band_low)}, {points(gain.band_high)}]" if gain else "?"
        for gain in (one.gain, one.report_gain)
    ]
    return told[0], told[1]


def _capability(one: CandidateRecord) -> str:
    return points(one.capability.change) if one.capability else "?"
