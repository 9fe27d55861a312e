"""Label in a terminal: one answer after the other, one key per pattern, every answer saved as soon as it is done."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import typer

from epistemic_stance.labelling.folder import LabelFile, now, same_text
from epistemic_stance.labelling.view import STOP_KEY, Marks, Shown, View
from epistemic_stance.records.labels import DrawnAnswer, GivenLabels
from epistemic_stance.records.written import Pattern
from epistemic_stance.signals import StopAtOnce

KEY = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1bO.|.", re.DOTALL)
"""One key press: a sequence that a function or arrow key sends, or a character."""
CTRL_C, CTRL_D = "\x03", "\x04"
BACK_KEYS = ("<", "\x7f", "\b")
ENTER_KEYS = ("\r", "\n")


@dataclass(frozen=True)
class Screen:
    """One text to label. Answers that say the same to the same question are labelled together."""

    answers: tuple[DrawnAnswer, ...]
    patterns: tuple[str, ...]
    """Those that answers of its category can show."""

    @property
    def ids(self) -> list[str]:
        return [answer.id for answer in self.answers]


def screens_of(drawn: Sequence[DrawnAnswer], patterns: Mapping[str, Pattern], annotator: str) -> list[Screen]:
    """What an annotator is shown, in an order of their own, in which a text that was drawn often comes no earlier."""
    by_text: defaultdict[tuple[str, str, str], list[DrawnAnswer]] = defaultdict(list)
    for answer in drawn:
        by_text[same_text(answer)].append(answer)
    order = sorted(by_text, key=lambda text: hashlib.sha256("|".join((annotator, *text)).encode()).digest())
    return [Screen(tuple(by_text[text]), offered(text[0], patterns)) for text in order]


def offered(category: str, patterns: Mapping[str, Pattern]) -> tuple[str, ...]:
    """The patterns that an answer of a category can show."""
    return tuple(name for name, pattern in patterns.items() if not pattern.categories or category in pattern.categories)


def key_presses() -> Iterator[str]:
    """Keys as they are pressed. Ctrl-C raises KeyboardInterrupt; Ctrl-D and the end of the terminal end it."""
    while True:
        try:
            typed = typer.getchar()
        except (EOFError, OSError):
            return
        if not typed:
            return
        for key in KEY.findall(typed):
            if key == CTRL_C:
                raise KeyboardInterrupt
            if key == CTRL_D:
                return
            yield key


class Session:
    """One annotator at work."""

    def __init__(
        self,
        screens: Sequence[Screen],
        given: Mapping[str, GivenLabels],
        view: View,
        save: Callable[[Screen, Marks], None],
    ) -> None:
        self._screens = screens
        self._view = view
        self._save = save
        self._marks: dict[int, Marks] = {
            number: marks_of(given[screen.ids[0]])
            for number, screen in enumerate(screens)
            if all(identifier in given for identifier in screen.ids)
        }
        """Those that are saved."""

    @property
    def done(self) -> int:
        return len(self._marks)

    def run(self, keys: Iterator[str]) -> None:
        """Go on from the first answer without labels until all have some or the annotator stops."""
        if not self._marks and not self._guide(keys):
            return
        number = self._first_without()
        while number is not None:
            step = self._label(number, keys)
            if step is None:
                return
            number = max(0, number - 1) if step < 0 else self._after(number)

    def _first_without(self) -> int | None:
        return next((number for number in range(len(self._screens)) if number not in self._marks), None)

    def _after(self, number: int) -> int | None:
        """The next answer, labelled before or not, so that one who went back comes forward again; None if all are."""
        last = number + 1 == len(self._screens) or self.done == len(self._screens)
        return self._first_without() if last else number + 1

    def _label(self, number: int, keys: Iterator[str]) -> int | None:
        """Let one answer be labelled; 1 = on, it is saved; -1 = back; None = stop."""
        screen, marks, page = self._screens[number], dict(self._marks.get(number, {})), 0
        by_key = {self._view.letters[name]: name for name in screen.patterns}
        self._show(number, marks, page)
        for key in keys:
            if key in ENTER_KEYS:
                self._save(screen, marks)
                self._marks[number] = marks
                return 1
            if key in BACK_KEYS:
                return -1
            if key.lower() == STOP_KEY:
                return None
            if key == "?":
                if not self._guide(keys):
                    return None
            elif key == " ":
                page += 1
            elif key.lower() in by_key:
                marks = toggled(marks, by_key[key.lower()], sure=key.islower())
            else:
                continue
            self._show(number, marks, page)
        return None

    def _show(self, number: int, marks: Marks, page: int) -> None:
        screen = self._screens[number]
        heading = f"Answer {number + 1} of {len(self._screens)}, {self.done} labelled"
        if number in self._marks:
            heading += "; this one is, Enter saves it again"
        answer = screen.answers[0]
        self._view.show(Shown(heading, answer.question, answer.response, screen.patterns, marks, page))

    def _guide(self, keys: Iterator[str]) -> bool:
        """Show the meanings, page by page; False if the annotator stops there."""
        page = 0
        while self._view.show_guide(page):
            key = next(keys, STOP_KEY)
            if key.lower() == STOP_KEY:
                return False
            page += 1
        return True


def toggled(marks: Marks, pattern: str, sure: bool) -> dict[str, bool]:
    """The marks after a key: on, off again, or from unsure to sure and back."""
    others = {name: mark for name, mark in marks.items() if name != pattern}
    return others if marks.get(pattern) == sure else {**others, pattern: sure}


def marks_of(given: GivenLabels) -> dict[str, bool]:
    return {**dict.fromkeys(given.labels, True), **dict.fromkeys(given.unsure, False)}


def saver(file: LabelFile, stop: StopAtOnce) -> Callable[[Screen, Marks], None]:
    """What Enter does: one line per drawn answer on the disk, before the next answer is shown."""

    def save(screen: Screen, marks: Marks) -> None:
        common = {
            "labels": [name for name in screen.patterns if marks.get(name) is True],
            "unsure": [name for name in screen.patterns if marks.get(name) is False],
        }
        with stop.held_back():
            file.append(
                [
                    GivenLabels(id=identifier, offered=list(screen.patterns), timestamp=now(), **common)
                    for identifier in screen.ids
                ]
            )

    return save
