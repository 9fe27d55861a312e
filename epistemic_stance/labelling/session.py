"""Label in a terminal: one answer after the other, one key per pattern, every answer saved as soon as it is done."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import typer

from epistemic_stance.foundation.signals import StopAtOnce
from epistemic_stance.labelling.folder import LabelFile, now
from epistemic_stance.labelling.label_matching import drawn_places
from epistemic_stance.labelling.labels import offered
from epistemic_stance.labelling.view import STOP_KEY, Marks, Shown, View
from epistemic_stance.records.labels import DrawnAnswer, GivenLabels
from epistemic_stance.records.written import Pattern

KEY = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1bO.|.", re.DOTALL)
"""One key press: a sequence that a function or arrow key sends, or a character."""
CTRL_C, CTRL_D = "\x03", "\x04"
BACK_KEYS = ("<", "\x7f", "\b")
ENTER_KEYS = ("\r", "\n")


Labelled = tuple[str, Sequence[str], Marks]
"""Id of an answer, the patterns on offer, its marks."""


@dataclass(frozen=True)
class Screen:
    """One text to label. Answers that say the same to the same question are shown once."""

    answers: tuple[DrawnAnswer, ...]
    turns: tuple[int, ...]
    """Place of each answer in the annotator's order of all answers, rising."""
    patterns: tuple[str, ...]
    """Those that answers of its category can show."""

    @property
    def ids(self) -> list[str]:
        return [answer.id for answer in self.answers]


def screens_of(drawn: Sequence[DrawnAnswer], patterns: Mapping[str, Pattern], annotator: str) -> list[Screen]:
    """What an annotator is shown: all answers in a random order of their own, each text where it first comes."""
    places = drawn_places(drawn)
    order = sorted(drawn, key=lambda one: hashlib.sha256(f"{annotator}|{places[one.id]}".encode()).digest())
    by_text: dict[tuple[str, str, str], list[tuple[int, DrawnAnswer]]] = {}
    for turn, answer in enumerate(order):
        by_text.setdefault((answer.category, answer.question, answer.response), []).append((turn, answer))
    return [
        Screen(tuple(answer for _, answer in found), tuple(turn for turn, _ in found), offered(category, patterns))
        for (category, _, _), found in by_text.items()
    ]


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
    """One annotator at work.

    A text stands for all answers that say it, but each gets its label only when its turn has come: so the answers
    labelled so far are at any time the first of a random order, and a frequent text has no more weight than it has.
    """

    def __init__(
        self,
        screens: Sequence[Screen],
        given: Mapping[str, GivenLabels],
        view: View,
        save: Callable[[Sequence[Labelled]], None],
    ) -> None:
        self._screens = screens
        self._view = view
        self._save = save
        self._marks: dict[int, Marks] = {
            number: marks_of(given[known[0]])
            for number, screen in enumerate(screens)
            if (known := [identifier for identifier in screen.ids if identifier in given])
        }
        """Those of the texts that are labelled."""
        self._saved = set(given)
        """Ids of answers."""

    @property
    def done(self) -> int:
        return len(self._marks)

    def run(self, keys: Iterator[str]) -> None:
        """Go on from the first answer without labels until all have some or the annotator stops."""
        if not self._marks and not self._guide(keys):
            return
        self._save_due()
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
                self._marks[number] = marks
                self._save_due(number)
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

    def _save_due(self, changed: int | None = None) -> None:
        """Save the answers whose turn has come and that are not saved yet, and again those of the text that changed."""
        first = self._first_without()
        reached = float("inf") if first is None else self._screens[first].turns[0]
        due = [
            (turn, identifier, number)
            for number in self._marks
            for turn, identifier in zip(self._screens[number].turns, self._screens[number].ids, strict=True)
            if (identifier in self._saved and number == changed) or (identifier not in self._saved and turn < reached)
        ]
        if due:
            self._save([(name, self._screens[number].patterns, self._marks[number]) for _, name, number in sorted(due)])
            self._saved.update(name for _, name, _ in due)

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


def saver(file: LabelFile, stop: StopAtOnce) -> Callable[[Sequence[Labelled]], None]:
    """What Enter does: one line per drawn answer on the disk, before the next answer is shown."""

    def save(answers: Sequence[Labelled]) -> None:
        lines = [
            GivenLabels(
                id=identifier,
                labels=[name for name in patterns if marks.get(name) is True],
                unsure=[name for name in patterns if marks.get(name) is False],
                offered=list(patterns),
                timestamp=now(),
            )
            for identifier, patterns, marks in answers
        ]
        with stop.held_back():
            file.append(lines)

    return save
