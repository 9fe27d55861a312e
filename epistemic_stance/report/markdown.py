"""Markdown around text of unknown origin: whatever a model wrote, it stays text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from epistemic_stance.foundation.terminal import visible

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&!])")
BACKTICKS = re.compile("`+")
BLOCK_MARK = re.compile(r"^(\d+)([.)])(?=\s|$)|^([-+=])(?=\s|$|[-=]+$)")


def escaped(text: str) -> str:
    """The text on one line of a paragraph or table.

    What would open a list at the start of a line, or make a heading of the line above, does not.
    """
    line = SPECIAL.sub(r"\\\1", " ".join(visible(text).split()))
    return BLOCK_MARK.sub(lambda match: f"{match[1]}\\{match[2]}" if match[1] else f"\\{match[3]}", line)


def fenced(text: str) -> str:
    """A block that shows the text as it is; its fence is longer than any run of backticks inside."""
    fence = "`" * max(3, 1 + max((len(run) for run in BACKTICKS.findall(text)), default=0))
    return f"{fence}text\n{visible(text)}\n{fence}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], align: str = "---:") -> Iterator[str]:
    """Lines of a table, the first column left and the others right, or as `align` says; the cells are Markdown."""
    yield f"| {' | '.join(header)} |"
    yield f"|{'|'.join(['---', *[align] * (len(header) - 1)])}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""
