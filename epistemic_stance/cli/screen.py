"""`stance screen`: probes and a few answers of a run's base model and checkpoints, to choose what to look at longer."""

from __future__ import annotations

import contextlib
import io
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from epistemic_stance.collection.design import Design, read_design
from epistemic_stance.collection.run import run as collect
from epistemic_stance.evaluation.measures import PRAGMATIC_ONLY, Measure
from epistemic_stance.evaluation.screening import (
    ArmAnswers,
    find_promising,
    measured,
    probe_summary,
    read_answers,
    screened_measures,
)
from epistemic_stance.foundation.console import Printer, duration
from epistemic_stance.foundation.errors import InputError, Problem, RefusedError, StoppedError
from epistemic_stance.foundation.files import folder_lock
from epistemic_stance.foundation.provenance import versions
from epistemic_stance.foundation.reporter import Event, Warned
from epistemic_stance.foundation.settings import DEMO_MODEL, DEMO_NOTICE, CollectSettings, ProbeSettings, ScreenSettings
from epistemic_stance.foundation.signals import StopAtOnce
from epistemic_stance.probing.run import run_probe
from epistemic_stance.probing.targets import Arm, Target, find_target
from epistemic_stance.records.probes import ProbesRecord
from epistemic_stance.records.run_folder import RunFolder, checkpoint_epoch, require_run_folder, write_record
from epistemic_stance.records.screening import ScreenedArmRecord, ScreenedSetRecord, ScreeningRecord
from epistemic_stance.report.screening_table import print_screening
from epistemic_stance.scoring.score import Scorer
from epistemic_stance.stance.load import STANCE_FILE, corpus_digest, load_stance, load_stance_and_pairs, patterns_digest

WARNING = "  warning: "
SILENT_WIDTH = 1000
"""Of a console that nobody sees: a warning is one line."""


@dataclass
class Screening:
    """One `stance screen`."""

    settings: ScreenSettings
    target: Target
    designs: dict[str, Design]
    """Question set -> what of it is asked."""
    scorer: Scorer
    measures: list[Measure]
    printer: Printer
    warned: set[str] = field(default_factory=set)
    spent: list[float] = field(default_factory=list)
    """Seconds of each model that was asked something."""

    @property
    def folder(self) -> Path:
        return RunFolder(self.settings.run).screen

    @property
    def answers(self) -> int:
        return sum(len(design.items) for design in self.designs.values())


def run_screen(settings: ScreenSettings, console: Console) -> ScreeningRecord:
    """Probe, ask, score, write screening.json and print it.

    Raises InputError, RefusedError, StorageError, NumericError; StoppedError on a signal: what was measured and
    answered is kept, and the same command does the rest.
    """
    started = time.perf_counter()
    screening = _prepared(settings, Printer(console))
    target, printer = screening.target, screening.printer
    assert target.base, "a run folder always has a base model"
    printer.header("stance screen", _header_rows(screening))
    if target.base_model == DEMO_MODEL:
        printer.warning(DEMO_NOTICE)
    with folder_lock(screening.folder), _stoppable(screening):
        probes = _probe(screening)
        arms = _screened([target.base, *target.arms], probes, screening)
        best, promising = find_promising(arms)
        record = ScreeningRecord(
            timestamp=datetime.now(UTC).isoformat(timespec="seconds"),
            run=str(settings.run),
            base_model=target.base_model,
            stance=target.stance,
            patterns_digest=patterns_digest(screening.scorer.stance),
            corpus_digest=target.trained.corpus_digest if target.trained else corpus_digest(screening.scorer.pairs),
            seed=settings.seed,
            sets=[_set_record(design) for design in screening.designs.values()],
            arms=arms,
            ranked_by=PRAGMATIC_ONLY,
            best=best,
            promising=promising,
            seconds=round(time.perf_counter() - started, 2),
            versions=versions(),
        )
        path = RunFolder(settings.run).screening
        write_record(path, record)
    print_screening(record, console)
    printer.note(f"Written: {path}")
    return record


# --- before anything is computed ---------------------------------------------------------------------------


def _prepared(settings: ScreenSettings, printer: Printer) -> Screening:
    """Everything that can be wrong with settings, run and stance is found here. Raises InputError or RefusedError."""
    run = settings.run
    require_run_folder(run)
    target = find_target(_probe_settings(settings))
    _require_own_stance(settings, target)
    stance, pairs = load_stance_and_pairs(target.stance)
    names = [name for name, design in stance.designs.items() if design.screen]
    if not names:
        hint = "give a set [question_sets.screen] with temperatures and iterations; the shipped stance shows how"
        what = "no question set has a `screen` part, which says what a first look asks"
        raise InputError([Problem(str(stance.folder / STANCE_FILE), what, hint=hint)])
    scorer = Scorer(stance, pairs)
    measures = screened_measures(scorer)
    if PRAGMATIC_ONLY not in [measure.name for measure in measures]:
        what = "no groups performative and pragmatic, by which a screen ranks checkpoints"
        raise InputError([Problem(str(stance.folder / STANCE_FILE), what, field="patterns")])
    designs = {name: read_design(_collect_settings(settings, target, name)) for name in names}
    return Screening(settings, target, designs, scorer, measures, printer)


def _require_own_stance(settings: ScreenSettings, target: Target) -> None:
    """Raises RefusedError if the stance is another one than the run was trained on."""
    trained_on = target.trained.settings.get("stance") if target.trained else None
    if settings.stance is None or trained_on in (None, settings.stance):
        return
    asked = load_stance(settings.stance).name
    try:
        known = load_stance(trained_on).name
    except InputError:
        known = trained_on
    if asked != known:
        what = f"{settings.run} was trained on the stance {known}, not on {asked}: its answers would say nothing of it"
        raise RefusedError(what, "leave --stance out, or name the stance's folder as it is now")


def _probe_settings(settings: ScreenSettings) -> ProbeSettings:
    return ProbeSettings(
        str(settings.run),
        base=settings.base,
        stance=settings.stance,
        checkpoints=settings.checkpoints,
        choices=settings.choices,
        overwrite=settings.overwrite,
        device=settings.device,
        dtype=settings.dtype,
        threads=settings.threads,
    )


def _collect_settings(
    settings: ScreenSettings, target: Target, questions: str, arm: Arm | None = None
) -> CollectSettings:
    """How every model is asked one set; without an arm only what is asked matters."""
    return CollectSettings(
        model=arm.files.name if arm else CollectSettings.model,
        stance=target.stance,
        questions=questions,
        mode="screen",
        system_prompt=target.trained.system_prompt if target.trained else None,
        seed=settings.seed,
        output_dir=RunFolder(settings.run).screen_answers(arm.name, questions).responses.parent if arm else None,
        overwrite=settings.overwrite and arm is not None,
        device=settings.device,
        dtype=settings.dtype,
        slots=settings.slots,
        threads=settings.threads,
    )


def _header_rows(screening: Screening) -> Sequence[tuple[str, str]]:
    target, sets = screening.target, screening.designs.values()
    asked = ", ".join(
        f"{len(one.questions)} of {one.question_set} x {len(one.items) // len(one.questions)}" for one in sets
    )
    return [
        ("run", f"{screening.settings.run}, of the stance {screening.scorer.stance.name}"),
        ("models", f"{target.base_model} and {len(target.arms)} checkpoints"),
        ("asked", f"{asked} = {screening.answers} answers of each model, to select questions"),
        ("answers", str(screening.folder)),
    ]


# --- stages ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _stoppable(screening: Screening) -> Iterator[None]:
    """A signal between two stages; while a model is probed or asked, these say themselves what they kept."""
    with StopAtOnce() as signals:
        try:
            yield
        except KeyboardInterrupt:
            number = signals.requested or signal.SIGINT
            what = f"stopped by {signal.Signals(number).name}; what was answered lies in {screening.folder}"
            again = "the same command without --overwrite" if screening.settings.overwrite else "the same command"
            raise StoppedError(what, number, f"{again} does the rest") from None


@contextlib.contextmanager
def _unseen(screening: Screening) -> Iterator[Console]:
    """A console that nobody sees; a warning on it is passed on, once for all models."""
    text = io.StringIO()
    try:
        yield Console(file=text, width=SILENT_WIDTH)
    finally:
        for line in text.getvalue().splitlines():
            if line.startswith(WARNING):
                _warn(line.removeprefix(WARNING), screening)


def _warn(text: str, screening: Screening) -> None:
    if DEMO_NOTICE not in text and text not in screening.warned:
        screening.warned.add(text)
        screening.printer.warning(text)


def _probe(screening: Screening) -> Mapping[str, ProbesRecord]:
    """Arm -> its probes; none if the stance has no [probes]."""
    if screening.scorer.stance.probes is None:
        return {}
    started = time.perf_counter()
    screening.printer.note("  probes ...")
    with _unseen(screening) as console:
        found = run_probe(_probe_settings(screening.settings), console)
    screening.printer.note(f"  probes of {len(found)} models: {duration(time.perf_counter() - started)}")
    return found


def _screened(arms: Sequence[Arm], probes: Mapping[str, ProbesRecord], screening: Screening) -> list[ScreenedArmRecord]:
    """Ask and score every model, the base model first, and say of each when it is done."""
    base: ArmAnswers | None = None
    found = []
    for number, arm in enumerate(arms, start=1):
        record, answers = _screen_one(arm, base, probes.get(arm.name), screening)
        base = base or answers
        found.append(record)
        _say(record, len(arms) - number, screening)
    return found


def _screen_one(
    arm: Arm, base: ArmAnswers | None, probes: ProbesRecord | None, screening: Screening
) -> tuple[ScreenedArmRecord, ArmAnswers]:
    started = time.perf_counter()
    asked, paths = _ask(arm, screening)
    all_asked = time.perf_counter()
    answers = read_answers(paths, screening.scorer)
    measures = measured(answers, base, screening.measures, screening.settings.seed)
    seconds = {"ask": all_asked - started, "score": time.perf_counter() - all_asked}
    record = ScreenedArmRecord(
        name=arm.name,
        epoch=checkpoint_epoch(arm.name),
        model=arm.files.name,
        weights_digest=arm.files.digest(),
        answers=answers.answers,
        asked=asked,
        seconds={stage: round(spent, 2) for stage, spent in seconds.items()},
        probe_seconds=probes.seconds if probes else None,
        probes=probe_summary(probes) if probes else None,
        measures=measures,
    )
    return record, answers


def _ask(arm: Arm, screening: Screening) -> tuple[int, list[Path]]:
    """Number of new answers, and the files with all of them."""
    new, paths = 0, []

    def reporter(event: Event) -> None:
        if isinstance(event, Warned):
            _warn(event.text, screening)

    for name in screening.designs:
        settings = _collect_settings(screening.settings, screening.target, name, arm)
        collected = collect(settings, reporter)
        paths.append(collected.path)
        new += collected.asked
    return new, paths


def _say(arm: ScreenedArmRecord, left: int, screening: Screening) -> None:
    """One line a model; the time left is that of the models that were asked something, for all that come."""
    if not arm.asked:
        screening.printer.note(f"  {arm.name:<16} all {arm.answers} answers are there")
        return
    screening.spent.append(sum(arm.seconds.values()))
    mean = sum(screening.spent) / len(screening.spent)
    ahead = f"; about {duration(left * mean)} left" if left else ""
    screening.printer.note(f"  {arm.name:<16} {arm.asked} answers, {duration(screening.spent[-1])}{ahead}")


# --- the record --------------------------------------------------------------------------------------------


def _set_record(design: Design) -> ScreenedSetRecord:
    return ScreenedSetRecord(
        name=design.question_set,
        questions=len(design.questions),
        temperatures=design.temperatures,
        iterations=design.iterations,
        answers=len(design.items),
        questions_digest=design.questions_digest,
    )
