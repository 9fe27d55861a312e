"""What a person sees of a training run: header, progress, a line per epoch, summary. Plain lines in a log file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from epistemic_stance.foundation.console import Printer
from epistemic_stance.records.training import BestRecord, EpochRecord, StepRecord, WatchRecord

LOSS_TARGET, LOSS_BEST = 0.3, 0.2
ACCURACY_TARGET, ACCURACY_BEST = 0.70, 0.80
"""The guide's targets for training loss and accuracy."""


class Display(Printer):
    """What a run prints; the progress bar appears only on a terminal."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        columns = (
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps  loss {task.fields[loss]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=console, transient=True) if console.is_terminal else None
        self._task: TaskID | None = None

    def start(self, done: int, total: int) -> None:
        if self._progress:
            self._task = self._progress.add_task("train", total=total, completed=done, epoch=0, loss="-")
            self._progress.start()

    def stop(self) -> None:
        if self._progress:
            self._progress.stop()

    def step(self, record: StepRecord) -> None:
        if self._progress and self._task is not None:
            self._progress.update(self._task, completed=record.step, epoch=record.epoch, loss=f"{record.loss:.4f}")

    def epoch(self, record: EpochRecord) -> None:
        saved = f"  -> {Path(record.checkpoint).name}" if record.checkpoint else ""
        self.note(
            f"epoch {record.epoch:>4}  loss {record.avg_loss:.4f}  accuracy {record.avg_accuracy:4.0%}  "
            f"prefers chosen {record.absolute_preference:4.0%}  margin {record.avg_margin:+7.2f}  "
            f"{record.seconds:5.1f} s{saved}"
        )
        if record.watch:
            self.note(f"    {watch_line(record.watch)}", "cyan")
        for message in record.warnings:
            self.warning(message)

    def summary(self, history: Sequence[EpochRecord], best: BestRecord, folder: Path, next_command: str) -> None:
        """Loss and accuracy beside the guide's targets, what the answers did, and what to do next."""
        last = history[-1]
        table = Table(
            title="Training finished: the guide's targets on the training pairs",
            title_justify="left",
            title_style="bold",
        )
        for column in ("", "first epoch", "last epoch", "target", "best", "verdict"):
            table.add_column(column)
        loss_verdict = _verdict(last.preference_loss < LOSS_TARGET, last.preference_loss < LOSS_BEST)
        accuracy_verdict = _verdict(last.avg_accuracy > ACCURACY_TARGET, last.avg_accuracy > ACCURACY_BEST)
        table.add_row(
            "preference loss",
            f"{history[0].preference_loss:.4f}",
            f"{last.preference_loss:.4f}",
            f"< {LOSS_TARGET}",
            f"< {LOSS_BEST}",
            loss_verdict,
        )
        table.add_row(
            "accuracy",
            f"{history[0].avg_accuracy:.1%}",
            f"{last.avg_accuracy:.1%}",
            f"> {ACCURACY_TARGET:.0%}",
            f"> {ACCURACY_BEST:.0%}",
            accuracy_verdict,
        )
        self._console.print(table)
        watched = [record for record in history if record.watch and record.checkpoint]
        if watched:
            self.note("Loss and accuracy say nothing about other questions. What unseen questions got:")
        for record in watched:
            if record.watch and record.checkpoint:
                self.note(f"  {Path(record.checkpoint).name}  {watch_line(record.watch)}")
        self.note(f"lowest loss: epoch {best.epoch} (best_model), rarely the one to use: see TRAINING_GUIDE.md")
        self.note(f"checkpoints: {folder}/checkpoints")
        self.note(f"next: {next_command}")


def watch_line(watch: WatchRecord) -> str:
    drift = "" if watch.kl_neutral is None else f"; KL on neutral answers {watch.kl_neutral:.3f}"
    return f"{watch.verdict}: {watch.reason}{drift}"


def _verdict(target: bool, best: bool) -> str:
    return "best" if best else "target met" if target else "not met"
