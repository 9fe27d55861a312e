"""What is shown to people, on a terminal, as Markdown or as HTML: sections of text, tables, quotations and charts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

MARKS = {
    "met": "\u2713",
    "met by rules": "~",
    "clear": "\u2713",
    "not met": "\u2717",
    "raised": "\u2691",
    "inconclusive": "?",
    "measured": "\u2022",
    "unknown": "\u2013",
}
Weight = Literal["", "strong", "faint"]


@dataclass(frozen=True)
class Cell:
    text: str
    below: str = ""
    """Stands under the text, smaller."""
    state: str = ""
    """A verdict: in colour what the words say anyway."""
    weight: Weight = ""

    @property
    def marked(self) -> str:
        """With a sign before a verdict, so that neither colour nor reading is needed."""
        return f"{MARKS[self.state]} {self.text}" if self.state in MARKS else self.text


@dataclass(frozen=True)
class Table:
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    """A row without cells is a line between the rows around it."""
    folded: bool = False
    """Shown on demand: the figures of a chart."""
    left: Collection[int] = (0,)
    """Columns of words; the others are figures."""
    words: bool = False
    """All columns are words."""

    @property
    def cells(self) -> list[list[Cell]]:
        return [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in self.rows if row]


@dataclass(frozen=True)
class Chart:
    """An SVG without styles of its own, and what it shows in words."""

    title: str
    svg: str


@dataclass(frozen=True)
class Quote:
    """Text of a model or a person, as it is; `title` says whose."""

    title: str
    text: str
    match: tuple[int, int] | None = None
    """Characters to be marked; without them the text is shown whole, else what stands around them."""


@dataclass(frozen=True)
class Section:
    title: str
    level: int
    """2 or 3, as headings of HTML and Markdown."""
    lead: Sequence[str] = ()
    tables: Sequence[Table] = ()
    charts: Sequence[Chart] = ()
    items: Sequence[str] = ()
    text: Sequence[str] = ()
    """How to read what stands above it."""
    quotes: Sequence[Quote] = ()
    browser: bool = False
    """Here the page shows the answers."""

    @property
    def anchor(self) -> str:
        return "-".join(["s", *"".join(char if char.isalnum() else " " for char in self.title.lower()).split()])


@dataclass(frozen=True)
class Report:
    title: str
    about: str
    """One line."""
    verdict: str
    state: str
    reason: str
    """Goes on where the verdict ends."""
    counts: Sequence[Cell]
    warnings: Sequence[str] = field(default_factory=list)
    sections: Sequence[Section] = field(default_factory=list)
