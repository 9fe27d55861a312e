"""What a report consists of, whether it becomes HTML or Markdown: sections of text, tables and charts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cell:
    """`below` stands under the text, smaller; `state` is a verdict, in colour what the words say anyway."""

    text: str
    below: str = ""
    state: str = ""


@dataclass(frozen=True)
class Table:
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    folded: bool = False
    """Shown on demand: the figures of a chart."""
    left: Collection[int] = (0,)
    """Columns of words; the others are figures."""
    words: bool = False
    """All columns are words."""

    @property
    def cells(self) -> list[list[Cell]]:
        return [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in self.rows]


@dataclass(frozen=True)
class Chart:
    """An SVG without styles of its own, and what it shows in words."""

    title: str
    svg: str


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
