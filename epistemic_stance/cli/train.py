"""`stance train`: train, write the model cards, show what came of it."""

from __future__ import annotations

import shlex

from rich.console import Console

from epistemic_stance.cli.terminal_reporter import terminal_reporter
from epistemic_stance.foundation.console import program
from epistemic_stance.foundation.errors import NumericError, StoppedError
from epistemic_stance.foundation.reporter import Reporter, to_all
from epistemic_stance.foundation.settings import TrainSettings
from epistemic_stance.foundation.terminal import plain
from epistemic_stance.records.run_folder import RunFolder
from epistemic_stance.report.cards import write_cards
from epistemic_stance.report.training_table import checkpoint_lines, training_table
from epistemic_stance.training.run import run


def train(settings: TrainSettings, console: Console) -> RunFolder | None:
    """The run's folder, or None if nothing was trained. Raises what `training.run.run` raises.

    A run that stops early gets its cards, too: its checkpoints may be used.
    """
    with terminal_reporter(console) as terminal:
        reporters: list[Reporter] = [terminal]
        try:
            folder = run(settings, to_all(reporters))
        except (StoppedError, NumericError):
            write_cards(RunFolder(settings.output_dir))
            raise
        if folder is not None:
            write_cards(folder)
            _print_summary(folder, settings, console)
    return folder


def _print_summary(folder: RunFolder, settings: TrainSettings, console: Console) -> None:
    epochs = folder.epochs()
    console.print(training_table(epochs, settings.loss))
    tuned = folder.root / folder.checkpoint(epochs[-1].epoch).name
    next_command = f"{program()} answers --model {shlex.quote(str(tuned))} --base {shlex.quote(settings.model)}"
    for line in (*checkpoint_lines(epochs, folder.within_epochs()), f"next: {next_command}"):
        console.print(plain(line), soft_wrap=True)
