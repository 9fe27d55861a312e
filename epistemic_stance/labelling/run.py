"""`stance label RUN`: draw a sample of a run's answers, have it labelled, say how far the patterns can be trusted."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

from epistemic_stance.foundation.console import Printer, program
from epistemic_stance.foundation.errors import InputError, Problem, StoppedError
from epistemic_stance.foundation.settings import LabelSettings
from epistemic_stance.foundation.signals import StopAtOnce
from epistemic_stance.labelling.folder import begin_or_continue, label_file
from epistemic_stance.labelling.labels import ANNOTATOR, JUDGE, SAMPLE_FILE, read_label_folder, read_labels, read_sample
from epistemic_stance.labelling.session import Session, key_presses, saver, screens_of
from epistemic_stance.labelling.sources import find_sources
from epistemic_stance.labelling.view import View
from epistemic_stance.records.labels import GivenLabels
from epistemic_stance.scoring.patterns import PatternSet, load_patterns
from epistemic_stance.stance.load import load_stance


def run_label(settings: LabelSettings, console: Console) -> None:
    """Draw or continue, label in the terminal or by a judge, report.

    Raises InputError for wrong settings, files, or where there is no terminal; RefusedError if labels of another
    sample would be lost or the annotator is at work elsewhere; StoppedError for a signal, with everything saved;
    what open_judge and ask_judge raise.
    """
    _require_sound(settings)
    stance = load_stance(settings.stance)
    patterns = load_patterns(stance)
    printer = Printer(console)
    sources = find_sources(settings, stance)
    folder = sources.labels
    if settings.report:
        if not (folder / SAMPLE_FILE).is_file():
            hint = f"label answers first: {program()} label {settings.run}"
            raise InputError([Problem(str(folder), "nothing was drawn yet", hint=hint)])
    else:
        if settings.judge is None:
            _require_terminal(console)
        begin_or_continue(settings, sources, patterns, printer.note)
        read_label_folder(folder, patterns)  # what is wrong in it is said before work is added to it
        if settings.judge is not None:
            _judge(settings, folder, patterns, console, printer)
        elif not _label(settings, folder, patterns, console, printer):
            return
    from epistemic_stance.report.label_report import print_report

    print_report(read_label_folder(folder, patterns), patterns, console)


def _require_sound(settings: LabelSettings) -> None:
    problems = []
    sample = Path(SAMPLE_FILE).stem
    if (
        not ANNOTATOR.fullmatch(settings.annotator)
        or settings.annotator.startswith(JUDGE)
        or settings.annotator.lower() == sample
    ):
        what = f"expected a name of letters, digits and . _ - that is not {sample} and does not begin with {JUDGE}"
        problems.append(Problem("command line", what, field="--annotator", hint="for example --annotator second"))
    if settings.report and (settings.redraw or settings.judge is not None):
        what = "--report only reads: it neither draws nor asks a judge"
        problems.append(Problem("command line", what, field="--report", hint="leave out one of the two"))
    if settings.judge_model and settings.judge is None:
        what = "a judge model needs the address of its server"
        problems.append(Problem("command line", what, field="--judge-model", hint="give --judge"))
    if problems:
        raise InputError(problems)


def _require_terminal(console: Console) -> None:
    if not (sys.stdin.isatty() and console.file.isatty()):
        what = "labelling needs a keyboard and a screen, and one of them is redirected"
        hint = "start it in a terminal; --report prints what is labelled, --judge asks a model"
        raise InputError([Problem("terminal", what, hint=hint)])


def _label(settings: LabelSettings, folder: Path, patterns: PatternSet, console: Console, printer: Printer) -> bool:
    """Let the annotator label until all is done (True) or they stop (False)."""
    again = f"{program()} label {settings.run} --annotator {settings.annotator}"
    with label_file(folder, settings.annotator) as file, StopAtOnce() as stop:
        given = {name: labels for name, (_, labels) in read_labels(file.path, GivenLabels).items()}
        screens = screens_of(read_sample(folder), patterns.patterns, settings.annotator)
        session = Session(screens, given, View(console, patterns.patterns), saver(file, stop))
        try:
            session.run(key_presses())
        except KeyboardInterrupt:
            what = f"stopped; {session.done} of {len(screens)} answers are labelled, and saved in {file.path}"
            raise StoppedError(what, stop.requested or signal.SIGINT, f"go on with: {again}") from None
    if session.done == len(screens):
        return True
    printer.note(f"{session.done} of {len(screens)} answers are labelled, and saved in {file.path}")
    printer.note(f"go on with: {again}")
    printer.note(f"what they say so far: {program()} label {settings.run} --report")
    return False


def _judge(settings: LabelSettings, folder: Path, patterns: PatternSet, console: Console, printer: Printer) -> None:
    """Ask the judge about every answer that it has not been asked about."""
    from epistemic_stance.labelling.judge import ask_judge, judge_file, open_judge, unjudged

    backend = open_judge(settings, lambda what: printer.note(f"  {what}"))
    drawn = read_sample(folder)
    with label_file(folder, judge_file(settings.judge_model.strip())) as file, StopAtOnce() as stop:
        left = unjudged(file, drawn, patterns.patterns)
        printer.note(f"judge {settings.judge_model}: {len(left)} of {len(drawn)} answers to ask about")
        progress = Progress(BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(), console=console, transient=True)
        unreadable = 0
        try:
            with progress:
                for labels in progress.track(ask_judge(backend, file, left, patterns.patterns, stop), len(left)):
                    unreadable += not labels.readable
        except KeyboardInterrupt:
            what, number = f"stopped; what was said is in {file.path}", stop.requested or signal.SIGINT
            raise StoppedError(what, number, "the same command asks about the rest") from None
    if unreadable:
        printer.warning(f"{unreadable} of {len(left)} replies cannot be read and count as unknown")
    if backend.note:
        printer.note(backend.note)
