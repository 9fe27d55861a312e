"""A screening for people: one row a model in 80 columns, what it does not say, and the commands to type next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from epistemic_stance.evaluation.measures import PERFORMATIVE, PRAGMATIC_ONLY
from epistemic_stance.evaluation.screening import FINALISTS, measure_in
from epistemic_stance.foundation.console import figure_table, program
from epistemic_stance.foundation.settings import DEFAULT_STANCE
from epistemic_stance.foundation.terminal import plain
from epistemic_stance.records.probes import EstimateRecord
from epistemic_stance.records.run_folder import RunFolder
from epistemic_stance.records.screening import ScreenedArmRecord, ScreenedMeasureRecord, ScreeningRecord

UNKNOWN = "unknown"
MARK = ">"
HOW_TO_READ = (
    "Percent of answers to `select` questions, and how it moved from the base model. Every answer counts once, and "
    "whole questions are the units: one with four answers weighs as much as four with one each. rose, fell: told "
    "apart from chance, with all rates of a model accounted for. KL: from the base model on the neutral text, in nats "
    "a token. choices: multiple choice questions right; * the 95 % interval of the change leaves out 0.\n"
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
    for arm in record.arms:
        made.add_row(*(plain(cell, "bold" if arm.name in record.promising else "") for cell in _cells(arm, record)))
    console.print(made)
    console.print(plain(HOW_TO_READ, "dim"))
    console.print(plain(f"Highest pragmatic only: {record.best}. Promising: {', '.join(record.promising)}."))
    if not any(_rose(arm) for arm in record.arms if arm.name in record.promising):
        what = "no promising checkpoint is told apart from the base model: these answers cannot tell, or nothing moved"
        console.print(plain(f"note: {what}", "yellow"))
    console.print("Next, all answers of these and of the base model, then the report questions set side by side:")
    for line in next_commands(record):
        console.print(plain(f"  {line}"), soft_wrap=True)


def _cells(arm: ScreenedArmRecord, record: ScreeningRecord) -> Iterator[str]:
    mark = MARK if arm.name in record.promising else " "
    yield f"{mark} {'base' if arm.epoch is None else arm.epoch}"
    main, performative, repetitive = (measure_in(arm, name) for name in (PRAGMATIC_ONLY, PERFORMATIVE, "repetitive"))
    yield _with_interval(main)
    yield _verdict(main)
    yield _rate(performative, 0)
    yield _verdict(performative)
    probes = arm.probes
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
    return "" if measure is None or measure.change is None else measure.change.verdict


def _star(change: EstimateRecord | None) -> str:
    if change is None or change.low is None or change.high is None:
        return ""
    return "*" if change.low > 0 or change.high < 0 else ""


def _rose(arm: ScreenedArmRecord) -> bool:
    measure = measure_in(arm, PRAGMATIC_ONLY)
    return measure is not None and measure.change is not None and "rose" in measure.change.verdict


def next_commands(record: ScreeningRecord) -> Iterator[str]:
    """Full answers of the base model and the promising checkpoints to the first set that was screened."""
    run, name = RunFolder(Path(record.run)), record.sets[0].name
    stance = "" if record.stance == DEFAULT_STANCE else f" --stance {shlex.quote(record.stance)}"
    folders = {arm.name: _quoted(run.answers(arm.name, name).responses.parent) for arm in record.arms}
    chosen = [arm for arm in record.arms if arm.epoch is None or arm.name in record.promising]
    for arm in chosen:
        asked = f"--model {shlex.quote(arm.model)}{stance} --questions {name}"
        yield f"{program()} collect {asked} --output-dir {folders[arm.name]}"
    for arm in chosen[1:]:
        yield f"{program()} analyze {folders[arm.name]}{stance} --split report"
        yield f"{program()} compare {folders[chosen[0].name]} {folders[arm.name]}{stance} --split report"
    if len(record.sets) > 1:
        yield f"and the same with --questions {', '.join(one.name for one in record.sets[1:])}"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
