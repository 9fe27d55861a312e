"""What an annotator sees: one answer at a time, the patterns with their keys, what the patterns mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.terminal import plain
from epistemic_stance.records.written import Pattern

STOP_KEY = "q"
LETTERS = "abcdefghijklmnoprstuvwxyz"
"""Keys of patterns: a capital letter says unsure."""
LEAST_LINES = 3
"""Of an answer, however small the terminal."""
KEYS_OF_ANSWER = "Enter: save, next   <: back   CAPITAL letter: unsure   ?: meanings   q: stop"
MARKS = {None: "[ ]", True: "[x]", False: "[?]"}
GUIDE = (
    "Judge each answer to its question as a careful reader would: by what it means, not by single words, and by what "
    "stands in it alone. An answer may show several of these or none; whether it is right or pleasant does not matter. "
    "Where you cannot tell, press the capital letter: the answer then does not count for that pattern."
)

Marks = Mapping[str, bool]
"""Pattern -> True: the answer shows it; False: unsure. Those it does not show are absent."""


@dataclass(frozen=True)
class Shown:
    """One answer as it is shown; neither its arm nor what the rules found is among it."""

    heading: str
    question: str
    response: str
    patterns: Sequence[str]
    marks: Marks
    page: int
    """From 0; more than there are begin again."""


def letters_of(patterns: Sequence[str]) -> dict[str, str]:
    """Pattern -> its key: the first letter of one of its words, else any of its letters, else any letter.

    Raises InputError if there are more patterns than letters.
    """
    if len(patterns) > len(LETTERS):
        what = f"{len(patterns)} patterns are more than the {len(LETTERS)} letters that can be keys"
        raise InputError([Problem("patterns", what, hint="label with a stance that has fewer")])
    taken: dict[str, str] = {}
    for name in patterns:
        initials = [word[:1] for word in name.lower().split("_")]
        wanted = [*initials, *name.lower(), *LETTERS]
        taken[name] = next(letter for letter in wanted if letter in LETTERS and letter not in taken.values())
    return taken


class View:
    """Draws on a terminal of any size."""

    def __init__(self, console: Console, patterns: Mapping[str, Pattern]) -> None:
        self.letters = letters_of(list(patterns))
        self._console = console
        self._patterns = patterns

    def show(self, shown: Shown) -> None:
        """Draw one answer, as much of it as there is room for."""
        width, height = self._console.size
        legend = self._legend(shown, width)
        keys = Text(KEYS_OF_ANSWER, "dim").wrap(self._console, width)
        heading = Text(shown.heading, "bold")
        body = [
            *plain(shown.question, "bold").wrap(self._console, width),
            Text(),
            *plain(shown.response or "(empty answer)", "" if shown.response else "dim").wrap(self._console, width),
        ]
        room = max(LEAST_LINES, height - len(legend) - len(keys) - 4)
        lines, more = self._page(body, shown.page, room)
        self._draw([heading, *lines, more, *legend, *keys])

    def show_guide(self, page: int) -> bool:
        """Draw a page of the meanings; False if there is none of this number."""
        width, height = self._console.size
        lines = [*Text(GUIDE).wrap(self._console, width), Text()]
        for name, letter in self.letters.items():
            entry = Text.assemble((letter, "bold"), "  ", (name, "bold"), ": ", plain(self._patterns[name].meaning))
            lines += entry.wrap(self._console, width)
        room = max(LEAST_LINES, height - 3)
        if page * room >= len(lines):
            return False
        after = "label" if (page + 1) * room >= len(lines) else "more"
        self._draw([*lines[page * room : (page + 1) * room], Text(), Text(f"any key: {after}", "dim")])
        return True

    def _legend(self, shown: Shown, width: int) -> list[Text]:
        cells = [
            Text(f"{self.letters[name]} {MARKS[shown.marks.get(name)]} {name}", "bold" if name in shown.marks else "")
            for name in shown.patterns
        ]
        wide = max((cell.cell_len for cell in cells), default=0) + 2
        columns = max(1, (width + 2) // wide)
        rows = -(-len(cells) // columns)
        for cell in cells:
            cell.pad_right(wide - cell.cell_len)
        return [Text.assemble(*cells[row::rows]) for row in range(rows)]

    def _page(self, body: Sequence[Text], page: int, room: int) -> tuple[Sequence[Text], Text]:
        """The lines of a page, and the line below them that says what is left out."""
        pages = -(-len(body) // room)
        page %= pages
        text = f"page {page + 1} of {pages}, Space: {'next' if page + 1 < pages else 'first'}" if pages > 1 else ""
        return body[page * room : (page + 1) * room], Text(f"--- {text} ---" if text else "", "yellow")

    def _draw(self, lines: Sequence[Text]) -> None:
        self._console.clear()
        for line in lines:
            line.rstrip()
        self._console.print(Text("\n").join(lines), no_wrap=True, overflow="ellipsis", highlight=False)
