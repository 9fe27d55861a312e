"""Sections on a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from epistemic_stance.foundation.console import figure_table
from epistemic_stance.foundation.terminal import plain
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.report.excerpts import excerpt_of
from epistemic_stance.report.layout import Cell, Quote, Section, Table

STYLES = {
    "not met": "red",
    "raised": "red",
    "met": "green",
    "met by rules": "yellow",
    "clear": "green",
    "chosen": "bold",
}
WEIGHTS = {"": "", "strong": "bold", "faint": "dim"}
QUOTE_WIDTH = 240
AROUND = 60
"""Characters shown on each side of a match."""


def print_notices(notices: Iterable[str], console: Console) -> None:
    for notice in notices:
        console.print(plain(f"note: {notice}", "yellow"))


def print_sections(sections: Iterable[Section], console: Console) -> None:
    """Tables carry their captions; a section without any is headed by its title."""
    for section in sections:
        if not section.tables:
            console.print(plain(f"\n{section.title}", "bold"))
        for text in section.lead:
            console.print(plain(text))
        for table in section.tables:
            console.print(_table(table))
        for item in section.items:
            console.print(plain(f"- {item}", "dim"))
        for quote in section.quotes:
            _print_quote(quote, console)
        for text in section.text:
            console.print(plain(text, "dim"))


def _table(table: Table) -> RichTable:
    made = figure_table(table.caption, *table.head)
    for number, column in enumerate(made.columns):
        column.justify = "left" if table.words or number in table.left else "right"
    for row in table.rows:
        if row:
            made.add_row(*(_cell(cell) for cell in row))
        else:
            made.add_section()
    return made


def _cell(cell: Cell | str) -> Text:
    if isinstance(cell, str):
        return plain(cell)
    text = f"{cell.text}\n({cell.below})" if cell.below else cell.text
    return plain(text, STYLES.get(cell.state, "") or WEIGHTS[cell.weight])


def _print_quote(quote: Quote, console: Console) -> None:
    console.print(plain(quote.title, "cyan"))
    if quote.match:
        console.print(plain("  "), excerpt_of(quote.text, quote.match, AROUND).styled("bold underline"), sep="")
    else:
        console.print(plain(f"  {shorten(quote.text, QUOTE_WIDTH) or '(empty)'}"))
