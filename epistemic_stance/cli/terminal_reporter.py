"""Events of a stage on a terminal, or as plain lines where there is none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, assert_never, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from epistemic_stance.foundation.console import duration
from epistemic_stance.foundation.reporter import Epoch, Event, Finished, Note, Progress, Saved, Started, Warned
from epistemic_stance.foundation.streams import UnfailingStream
from epistemic_stance.foundation.terminal import plain

BAR_WIDTH = 20
"""Leaves room for counts, rate and time left in 80 columns."""
SECONDS_TO_FIRST_LINE = 5.0
SECONDS_BETWEEN_LINES = 20.0
MOST_SECONDS_BETWEEN_LINES = 300.0
"""Where there is no terminal to draw a bar on. The first line tells how long it will take; then they get rarer."""
LINES_GET_RARER = 1.5


@contextmanager
def unfailing(console: Console) -> Iterator[None]:
    """Inside, the console cannot fail: the work goes on without a reader."""
    stream = console.file
    if not isinstance(stream, UnfailingStream):
        console.file = cast("IO[str]", UnfailingStream(stream))
    try:
        yield
    finally:
        console.file = stream


@contextmanager
def terminal_reporter(console: Console) -> Iterator[TerminalReporter]:
    """A reporter on a console that cannot fail meanwhile."""
    reporter = TerminalReporter(console)
    with unfailing(console):
        try:
            yield reporter
        finally:
            reporter.close()


class TerminalReporter:
    """Prints events. `terminal_reporter` makes one and closes its bar."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._pace: _Pace | None = None
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def __call__(self, event: Event) -> None:
        match event:
            case Started():
                self.close()
                self._console.print(plain(event.title, "bold"))
                for name, value in event.rows:
                    self._line(f"  {name:<12} {value}")
            case Progress():
                self._progress(event)
            case Note():
                self._line(event.text)
            case Warned():
                self._line(f"  warning: {event.text}", "yellow")
            case Epoch() | Saved():
                self._line(_training_line(event))
                if event.evaluation:
                    self._line(f"    {event.evaluation}", "cyan")
            case Finished():
                self.close()
                for line in event.lines:
                    self._line(line)
            case _:
                assert_never(event)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
        self._pace = self._bar = self._task = None

    def _line(self, text: str, style: str = "") -> None:
        """One line, however long: a log file is not wrapped at the width of a terminal it does not have."""
        self._console.print(plain(text, style), soft_wrap=True)

    def _progress(self, event: Progress) -> None:
        if self._pace is None or self._pace.unit != event.unit or event.done < self._pace.begun_at:
            self.close()
            self._pace = _Pace(event.unit, event.done)
        said = self._pace.said(event)
        if self._console.is_terminal:
            if self._bar is None:
                columns = (
                    BarColumn(BAR_WIDTH),
                    MofNCompleteColumn(),
                    TimeElapsedColumn(),
                    TextColumn("{task.fields[said]}"),
                )
                self._bar = Bar(*columns, console=self._console, transient=True)
                self._task = self._bar.add_task("", total=event.total, said="")
                self._bar.start()
            assert self._task is not None
            self._bar.update(self._task, total=event.total, completed=event.done, said=said)
        elif self._pace.is_due() and event.done < event.total:
            self._line(f"{event.done} of {event.total} {event.unit}; {said}")


class _Pace:
    """How fast the work goes, judged by what was done since the first event, and when to say so."""

    def __init__(self, unit: str, begun_at: int) -> None:
        self.unit, self.begun_at = unit, begun_at
        self._started = time.monotonic()
        self._wait = SECONDS_BETWEEN_LINES
        self._next_line = self._started + SECONDS_TO_FIRST_LINE

    def said(self, event: Progress) -> str:
        done, seconds = event.done - self.begun_at, max(time.monotonic() - self._started, 1e-9)
        if not done:
            return event.detail
        per_minute, left = 60 * done / seconds, duration(seconds / done * (event.total - event.done))
        rate = f"{per_minute:.0f}" if per_minute >= 10 else f"{per_minute:.1f}"
        return "; ".join([f"{rate} {event.unit}/min, about {left} left", *([event.detail] if event.detail else [])])

    def is_due(self) -> bool:
        now = time.monotonic()
        if now < self._next_line:
            return False
        self._next_line = now + self._wait
        self._wait = min(self._wait * LINES_GET_RARER, MOST_SECONDS_BETWEEN_LINES)
        return True


def _training_line(event: Epoch | Saved) -> str:
    known = event.figures
    parts = [f"epoch {event.number:>4}" if isinstance(event, Epoch) else f"step {event.step:>5}"]
    parts += [f"loss {known['avg_loss']:.4f}"] if "avg_loss" in known else []
    parts += [f"accuracy {known['avg_accuracy']:4.0%}"] if "avg_accuracy" in known else []
    parts += [f"prefers chosen {known['absolute_preference']:4.0%}"] if "absolute_preference" in known else []
    parts += [f"margin {known['avg_margin']:+7.2f}"] if "avg_margin" in known else []
    parts += [f"{known['seconds']:5.1f} s"] if "seconds" in known else []
    return "  ".join(parts) + (f"  -> {event.checkpoint}" if event.checkpoint else "")
