"""A screening for people: one row a model in 80 columns, what it does not say, and the commands to type next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from rich.console import Console

from epistemic_stance.evaluation.screening import FINALISTS, measure_in
from epistemic_stance.foundation.console import figure_table, program
from epistemic_stance.foundation.terminal import plain
from epistemic_stance.records.checkpoint_name import checkpoint_of
from epistemic_stance.records.probes import EstimateRecord
from epistemic_stance.records.screening import ScreenedMeasureRecord, ScreenedModelRecord, ScreeningRecord
from epistemic_stance.scoring.measures import PERFORMATIVE, PRAGMATIC_ONLY

UNKNOWN = "unknown"
MARK, INCONCLUSIVE = ">", "-"
"""The word is too long for 80 columns."""
HOW_TO_READ = (
    "Percent of answers to `select` questions, and how it moved from the base model. Every answer counts once, and "
    "whole questions are the units: one with four answers weighs as much as four with one each. rose, fell: told "
    f"apart from chance, with all rates of a model accounted for; {INCONCLUSIVE}: inconclusive. KL: from the base "
    "model on the neutral text, in nats a token. choices: multiple choice questions right; * the 95 % interval of the "
    "change leaves out 0.\n"
    f"{MARK} promising, {FINALISTS} at most: of the checkpoints within one standard error of the highest pragmatic "
    "only, the earliest and the highest ones. A screen chooses what to look at longer and decides nothing: of many "
    "checkpoints the best looks better than it is, and the `report` questions were not asked."
)


def print_screening(record: ScreeningRecord, console: Console) -> None:
    made = figure_table(
        f"Screen of {record.run}",
        "epoch",
        "pragmatic only_[95 %]",
        "",
        "perform-_ative",
        "",
        "KL",
        "choices",
        "repeti-_tive",
    )
    for model in record.models:
        made.add_row(*(plain(cell, "bold" if model.name in record.promising else "") for cell in _cells(model, record)))
    console.print(made)
    console.print(plain(HOW_TO_READ, "dim"))
    console.print(plain(f"Highest pragmatic only: {record.best}. Promising: {', '.join(record.promising)}."))
    if not any(_rose(model) for model in record.models if model.name in record.promising):
        what = "no promising checkpoint is told apart from the base model: these answers cannot tell, or nothing moved"
        console.print(plain(f"note: {what}", "yellow"))
    console.print("Next, all answers of these and of the base model, the choice and the report:")
    console.print(plain(f"  {next_command(record)}"), soft_wrap=True)


def _cells(model: ScreenedModelRecord, record: ScreeningRecord) -> Iterator[str]:
    mark = MARK if model.name in record.promising else " "
    yield f"{mark} {_short(model)}"
    main, performative, repetitive = (measure_in(model, name) for name in (PRAGMATIC_ONLY, PERFORMATIVE, "repetitive"))
    yield _with_interval(main)
    yield _verdict(main)
    yield _rate(performative, 0)
    yield _verdict(performative)
    probes = model.probes
    yield UNKNOWN if probes is None or probes.kl is None else f"{probes.kl.value:.3f}"
    yield (
        UNKNOWN
        if probes is None or probes.accuracy is None
        else f"{probes.accuracy:.0%}{_star(probes.accuracy_change)}"
    )
    yield _rate(repetitive, 1)


def _with_interval(measure: ScreenedMeasureRecord | None) -> str:
    rate = measure.rate if measure else None
    return UNKNOWN if rate is None else f"{100 * rate.estimate:.0f} [{100 * rate.low:.0f}, {100 * rate.high:.0f}]"


def _rate(measure: ScreenedMeasureRecord | None, digits: int) -> str:
    return UNKNOWN if measure is None or measure.rate is None else f"{100 * measure.rate.estimate:.{digits}f}"


def _verdict(measure: ScreenedMeasureRecord | None) -> str:
    """Nothing for the base model, which has no change."""
    if measure is None or measure.change is None:
        return ""
    return INCONCLUSIVE if measure.change.verdict == "inconclusive" else measure.change.verdict


def _star(change: EstimateRecord | None) -> str:
    if change is None or change.low is None or change.high is None:
        return ""
    return "*" if change.low > 0 or change.high < 0 else ""


def _rose(model: ScreenedModelRecord) -> bool:
    measure = measure_in(model, PRAGMATIC_ONLY)
    return measure is not None and measure.change is not None and "rose" in measure.change.verdict


def next_command(record: ScreeningRecord) -> str:
    """All answers of the promising checkpoints and the base model, the choice and the report."""
    promising = [_short(model) for model in record.models if model.name in record.promising]
    return shlex.join([program(), "run", record.run, "--checkpoints", ",".join(promising)])


def _short(model: ScreenedModelRecord) -> str:
    name = checkpoint_of(model.name)
    return name.short if name else model.name
