"""`stance validate`: full passes over the base model and a few checkpoints, analysed and compared with the base."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from epistemic_stance.cli.evaluate import write_analysis, write_comparison
from epistemic_stance.cli.screen import run_screen
from epistemic_stance.cli.terminal_reporter import BAR_WIDTH
from epistemic_stance.collection.design import Design, read_design
from epistemic_stance.collection.run import Collected
from epistemic_stance.collection.run import run as collect
from epistemic_stance.evaluation.rule import freeze_rule, rule_of
from epistemic_stance.foundation.console import Printer, duration, program
from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.reporter import Event, Progress, Warned, silent
from epistemic_stance.foundation.settings import (
    DEMO_MODEL,
    DEMO_NOTICE,
    AnalyzeSettings,
    CollectSettings,
    CompareSettings,
    ProbeSettings,
    ScreenSettings,
    ValidateSettings,
)
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.probing.run import run_probe
from epistemic_stance.probing.targets import Arm, Target, find_target
from epistemic_stance.records.run_folder import RunFolder, require_run_folder
from epistemic_stance.records.screening import ScreeningRecord
from epistemic_stance.stance.load import Stance, load_stance
from epistemic_stance.stance.trained_questions import TRAINED

ALL = "all"


@dataclass(frozen=True)
class Pass:
    """One model and one question set."""

    arm: str
    design: Design
    collection: CollectSettings
    folder: Path


def run_validate(settings: ValidateSettings, console: Console) -> Path:
    """Screen, probe, collect, analyse, compare; returns the folder of it all.

    What is finished and unchanged is not done again. Raises what the stages raise; whatever was answered is kept, and
    the same command does the rest.
    """
    printer = Printer(console)
    require_run_folder(settings.run)
    checkpoints, pace = settings.checkpoints if settings.checkpoints != ALL else "", None
    stance = load_stance(find_target(_probe_settings(settings, checkpoints)).stance)
    names = _sets(settings, stance)
    freeze_rule(RunFolder(settings.run), rule_of(stance))
    if not settings.checkpoints:
        screening = run_screen(_screen_settings(settings), console)
        checkpoints, pace = ",".join(screening.promising), _pace(screening)
        if not checkpoints:
            what = "the screen found no checkpoint to look at longer"
            raise InputError([Problem(str(settings.run), what, hint="name some with --checkpoints, or all")])
    probes = _probe_settings(settings, checkpoints)
    target = find_target(probes)
    passes = _passes(settings, target, names)
    _print_header(settings, target, passes, pace, printer)
    if stance.probes is not None:
        with _silence() as nobody:
            run_probe(probes, nobody)
    _collect(passes, console, printer)
    printer.note("analysing and comparing ...")
    for one in passes:
        write_analysis(AnalyzeSettings(one.folder, stance=target.stance), silent)
    for one in passes:
        if one.arm != passes[0].arm:
            before = target.folder / passes[0].arm / one.design.question_set
            write_comparison(CompareSettings(before, one.folder, stance=target.stance), silent)
    printer.note(f"answers, analyses and comparisons: {target.folder}")
    printer.note(f"next: {program()} select {settings.run}")
    return target.folder


def _screen_settings(settings: ValidateSettings) -> ScreenSettings:
    return ScreenSettings(
        settings.run,
        base=settings.base,
        stance=settings.stance,
        choices=settings.choices,
        seed=settings.seed,
        device=settings.device,
        dtype=settings.dtype,
        threads=settings.threads,
        slots=settings.slots,
    )


def _probe_settings(settings: ValidateSettings, checkpoints: str) -> ProbeSettings:
    return ProbeSettings(
        str(settings.run),
        base=settings.base,
        stance=settings.stance,
        checkpoints=checkpoints,
        choices=settings.choices,
        device=settings.device,
        dtype=settings.dtype,
        threads=settings.threads,
    )


def _sets(settings: ValidateSettings, stance: Stance) -> list[str]:
    """Raises InputError for a set that the stance does not have."""
    names = [part.strip() for part in settings.questions.split(",") if part.strip()]
    problems = [
        Problem("--questions", f"{shorten(name)} is no question set of the stance", hint=f"it has {known}")
        for known in [", ".join(stance.question_sets)]
        for name in names
        if name not in (*stance.question_sets, TRAINED)
    ]
    if problems:
        raise InputError(problems)
    return names or [*(name for name, design in stance.designs.items() if design.sampled and name != TRAINED), TRAINED]


def _passes(settings: ValidateSettings, target: Target, names: Sequence[str]) -> list[Pass]:
    """Every set of every model, the base model first."""
    assert target.base, "a run folder always has a base model"
    passes = []
    for arm in (target.base, *target.arms):
        for name in names:
            collection = _collect_settings(settings, target, arm, name)
            passes.append(Pass(arm.name, read_design(collection), collection, target.folder / arm.name / name))
    return passes


def _collect_settings(settings: ValidateSettings, target: Target, arm: Arm, questions: str) -> CollectSettings:
    return CollectSettings(
        model=arm.files.name,
        stance=target.stance,
        questions=questions,
        corpus=_corpus(target) if questions == TRAINED else None,
        system_prompt=target.trained.system_prompt if target.trained else None,
        seed=settings.seed,
        output_dir=target.folder / arm.name / questions,
        device=settings.device,
        dtype=settings.dtype,
        slots=settings.slots,
        threads=settings.threads,
    )


def _pace(screening: ScreeningRecord) -> float | None:
    """Seconds an answer took in the screen; None if all were there already."""
    asked = sum(arm.asked for arm in screening.arms)
    return sum(arm.seconds["ask"] for arm in screening.arms) / asked if asked else None


def _corpus(target: Target) -> Path | None:
    """The pairs that the run was trained on, where they are not the stance's."""
    written = target.trained.settings.get("corpus") if target.trained else None
    return Path(written) if written else None


def _print_header(
    settings: ValidateSettings, target: Target, passes: Sequence[Pass], pace: float | None, printer: Printer
) -> None:
    sets = list(dict.fromkeys(one.design.question_set for one in passes))
    total = sum(len(one.design.items) for one in passes)
    models = 1 + len(target.arms)
    rows = [
        ("run", str(settings.run)),
        ("models", f"{target.base_model} and {', '.join(arm.name for arm in target.arms)}"),
        ("asked", f"{', '.join(sets)}: {total // models:,} answers of each of {models} models = {total:,}"),
        ("time", f"about {duration(pace * total)}, at the pace of the screen" if pace else "known after the first set"),
        ("answers", str(target.folder)),
    ]
    printer.header("stance validate", rows)
    if target.base_model == DEMO_MODEL:
        printer.warning(DEMO_NOTICE)


@contextmanager
def _silence() -> Iterator[Console]:
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        yield Console(file=nowhere)


# --- one view over all collections -------------------------------------------------------------------------


def _collect(passes: Sequence[Pass], console: Console, printer: Printer) -> None:
    overall = _Overall(console, sum(len(one.design.items) for one in passes))
    with overall.shown():
        for one in passes:
            part = _Part(printer, overall, f"{one.arm} {one.design.question_set}")
            part.finished(collect(one.collection, part))
    printer.note(f"{overall.done:,} answers, {overall.asked:,} of them now, in {duration(overall.seconds)}")


class _Overall:
    """Answers of all collections, with the time left at the pace so far."""

    def __init__(self, console: Console, total: int) -> None:
        columns = (
            BarColumn(BAR_WIDTH),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[now]}"),
        )
        self._progress = Bar(*columns, console=console, transient=True) if console.is_terminal else None
        self._task = self._progress.add_task("answers", total=total, now="") if self._progress else None
        self.total, self.done, self.asked = total, 0, 0
        self.warned: set[str] = set()
        """Each is said once; that of the demo stands in the header."""
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun

    @contextmanager
    def shown(self) -> Iterator[None]:
        if self._progress is None:
            yield
            return
        with self._progress:
            yield

    def add(self, answers: int, asked: int, what: str) -> None:
        self.done += answers
        self.asked += asked
        if self._progress and self._task is not None:
            self._progress.update(self._task, completed=self.done, now=f"{self.left}; {what}")

    @property
    def left(self) -> str:
        """Judged by the answers that were asked for now; those that were there took no time."""
        if not self.asked:
            return "time left unknown"
        return f"about {duration(self.seconds / self.asked * (self.total - self.done))} left"


class _Part:
    """A reporter of one collection as a part of all: only what goes wrong is said, and one line when it is done."""

    def __init__(self, printer: Printer, overall: _Overall, what: str) -> None:
        self._printer, self._overall, self._what = printer, overall, what
        self._done: int | None = None
        self._started = time.monotonic()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress):
            added = event.done - (self._done or 0)
            self._overall.add(added, 0 if self._done is None else added, self._what)
            self._done = event.done
        elif isinstance(event, Warned) and event.text not in self._overall.warned and DEMO_NOTICE not in event.text:
            self._overall.warned.add(event.text)
            self._printer.warning(f"{self._what}: {event.text}")

    def finished(self, collected: Collected) -> None:
        total = collected.plan.responses
        self._overall.add(total - (self._done or 0), 0, self._what)
        spent = (
            f"{collected.asked} now, {duration(time.monotonic() - self._started)}" if collected.asked else "all there"
        )
        left = f"; {self._overall.left}" if self._overall.done < self._overall.total else ""
        self._printer.note(f"  {self._what}: {total} answers, {spent}{left}")
