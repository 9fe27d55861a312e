"""What a person sees of a training run: header, progress, a line per epoch, summary. Plain lines in a log file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

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

from epistemic_stance.records.training import BestRecord, EpochRecord, StepRecord, WatchRecord
from epistemic_stance.terminal import plain

LOSS_TARGET, LOSS_BEST = 0.3, 0.2
ACCURACY_TARGET, ACCURACY_BEST = 0.70, 0.80
"""The guide's targets for training loss and accuracy."""


class UnfailingStream:
    """A text stream for rich whose output goes nowhere after the first failure: closed pipe or terminal, full disk.

    What is behind the stream's descriptor is replaced as well, so that Python's flush at exit does not fail.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._broken = False
        self.encoding = getattr(stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        writable = text.encode(self.encoding, "backslashreplace").decode(self.encoding)
        if not self._broken:
            try:
                self._stream.write(writable)
            except OSError:
                self._give_up()
        return len(text)

    def flush(self) -> None:
        if not self._broken:
            try:
                self._stream.flush()
            except OSError:
                self._give_up()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def _give_up(self) -> None:
        self._broken = True
        with contextlib.suppress(OSError), Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())


class Display:
    """Prints to one console, which from then on cannot fail; the progress bar appears only on a terminal."""

    def __init__(self, console: Console) -> None:
        if not isinstance(console.file, UnfailingStream):
            console.file = cast("IO[str]", UnfailingStream(console.file))
        self._console = console
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

    def header(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        self._console.print(plain(title, "bold"))
        for name, value in rows:
            self.note(f"  {name:<12} {value}")

    def note(self, message: str, style: str = "") -> None:
        """One line, however long: a log file is not wrapped at the width of a terminal it does not have."""
        self._console.print(plain(message, style), soft_wrap=True)

    def warning(self, message: str) -> None:
        self.note(f"  warning: {message}", "yellow")

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
