"""How a stage talks to the person who started it: a header, notes, the command to type next."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

from rich import box
from rich.console import Console
from rich.table import Table

from epistemic_stance.foundation.streams import UnfailingStream
from epistemic_stance.foundation.terminal import plain


class Printer:
    """Prints to one console, which from then on cannot fail."""

    def __init__(self, console: Console) -> None:
        if not isinstance(console.file, UnfailingStream):
            console.file = cast("IO[str]", UnfailingStream(console.file))
        self._console = console

    def header(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        self._console.print(plain(title, "bold"))
        for name, value in rows:
            self.note(f"  {name:<12} {value}")

    def note(self, message: str, style: str = "") -> None:
        """One line, however long: a log file is not wrapped at the width of a terminal it does not have."""
        self._console.print(plain(message, style), soft_wrap=True)

    def warning(self, message: str) -> None:
        self.note(f"  warning: {message}", "yellow")


def figure_table(title: str, *headers: str) -> Table:
    """A table of figures for 80 columns: the first column left, the others right; headers break at underscores."""
    made = Table(box=box.SIMPLE_HEAD, title=f"\n{title}", title_justify="left", title_style="bold", pad_edge=False)
    made.show_edge = False
    made.padding = (0, 1, 0, 0)
    for number, header in enumerate(headers):
        made.add_column(
            plain(header.replace("_", "\n") if number else header),
            justify="left" if number == 0 else "right",
            overflow="fold",
        )
    return made


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def program() -> str:
    """How to call this command from here: by its name, or by its path in an environment that is not activated."""
    if shutil.which("stance"):
        return "stance"
    path = Path(sys.executable).with_name("stance")
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
