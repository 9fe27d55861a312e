"""What is done and what is missing, for people: one table, on the terminal and as PHASE2_READY.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from rich.console import Console

from epistemic_stance.foundation.console import figure_table
from epistemic_stance.foundation.terminal import plain
from epistemic_stance.report.markdown import escaped, fenced, table

MARKER = "Written by `stance status`"
"""By which a page of ours is known again."""
BEFORE_TRAINING = ("model", "stance", "baseline")
OPTIONAL = ("screening", "labels")


@dataclass(frozen=True)
class Row:
    """One thing that a run needs or yields."""

    name: str
    state: Literal["done", "missing", "damaged", "unfinished"]
    detail: str
    command: str = ""
    """What to type next; empty if it is done, or if no command mends it."""

    @property
    def is_open(self) -> bool:
        return self.state != "done"


def next_row(rows: Sequence[Row]) -> Row | None:
    """The first that is not done; one without a command comes after those with one, the optional ones last."""
    ordered = sorted(rows, key=lambda row: (row.name in OPTIONAL, not row.command))
    return next((row for row in ordered if row.is_open), None)


def ready(rows: Sequence[Row]) -> str:
    left = [row.name for row in rows if row.is_open and row.name in BEFORE_TRAINING]
    return f"Not ready to train: {', '.join(left)}." if left else "Ready to train."


def print_status(rows: Sequence[Row], run: Path, console: Console) -> None:
    made = figure_table(f"Status of {run}", "what", "state", "details")
    for column in made.columns[1:]:
        column.justify = "left"
    for row in rows:
        style = "yellow" if row.is_open and row.name not in OPTIONAL else ""
        made.add_row(*(plain(cell, style) for cell in (row.name, row.state, row.detail)))
    console.print(made)
    console.print(plain(ready(rows)), soft_wrap=True)
    following = next_row(rows)
    if following is None:
        console.print("Next: nothing is missing.")
        return
    console.print(plain(f"Next: {following.name}: {following.detail}", "bold"), soft_wrap=True)
    if following.command:
        console.print(plain(f"  {following.command}"), soft_wrap=True)


def page(rows: Sequence[Row], run: Path) -> str:
    """PHASE2_READY.md."""
    now, following = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), next_row(rows)
    lines = ["# Ready for phase 2?", "", f"{MARKER} on {now} about the run folder {escaped(str(run))}.", ""]
    action = f"{escaped(following.name)}: {escaped(following.detail)}" if following else "nothing is missing."
    lines += [ready(rows), "", f"**Next:** {action}", ""]
    if following and following.command:
        lines += [fenced(following.command).replace("```text", "```bash", 1), ""]
    cells = ([escaped(text) for text in (row.name, row.state, row.detail, row.command)] for row in rows)
    return "\n".join([*lines, *table(["what", "state", "details", "next command"], cells, align="---")])
