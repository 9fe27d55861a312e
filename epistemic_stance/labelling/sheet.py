"""A label file: CSV with one row an answer and one column a label, to be filled in any spreadsheet or annotation tool.

Written as UTF-8 with a byte order mark, by which spreadsheets know it. Read with comma, semicolon or tab between cells,
any line ends, and rows and columns in any order. Answers are text of unknown origin: a cell that a spreadsheet would
take for a formula, a number or a date gets an apostrophe in front, which is taken away when it is read.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations, zip_longest
from pathlib import Path

from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.files import read_text, write_atomic
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.labelling.columns import Column
from epistemic_stance.records.labels import DrawnAnswer

QUESTION, ANSWER = "question", "answer"
ID, NOTES = "id", "notes"
YES = frozenset({"1", "1.0", "yes", "y", "x", "true"})
NO = frozenset({"0", "0.0", "no", "n", "false"})
UNSURE = "?"
NOT_POSSIBLE = "-"
"""Where an answer to such a question cannot show it."""
DELIMITERS = ",;\t"
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
SHORT = 30
"""Characters; a short cell with a digit and at most one word may be read as a number, a time or a date."""
LONGEST_CELL = 32_000
"""Excel cuts a cell after 32,767 characters."""
BYTE_ORDER_MARK = "\ufeff"

Marks = Mapping[str, bool | None]
"""Column -> True: yes; False: no; None: it cannot be told. Absent: not labelled."""


@dataclass(frozen=True)
class Row:
    """What a label file says of one answer."""

    marks: Marks = field(default_factory=dict)
    notes: str = ""


# --- writing -----------------------------------------------------------------------------------------------


def write_sheet(
    path: Path, answers: Sequence[DrawnAnswer], columns: Mapping[str, Column], rows: Mapping[str, Row]
) -> None:
    """Replace the file: the answers in this order, with what `rows` says of them by id."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([ID, QUESTION, ANSWER, *columns, NOTES])
    for answer in answers:
        row = rows.get(answer.id, Row())
        texts = [_guarded(each) for each in _texts(answer).values()]
        labels = [_label(row.marks, name, column.possible(answer.category)) for name, column in columns.items()]
        writer.writerow([answer.id, *texts, *labels, _guarded(row.notes)])
    write_atomic(path, BYTE_ORDER_MARK + text.getvalue())


def _texts(answer: DrawnAnswer) -> dict[str, str]:
    return {QUESTION: answer.question[:LONGEST_CELL], ANSWER: answer.response[:LONGEST_CELL]}


def _label(marks: Marks, name: str, possible: bool) -> str:
    if name not in marks:
        return "" if possible else NOT_POSSIBLE
    mark = marks[name]
    return UNSURE if mark is None else ("yes" if mark else "no")


def _guarded(text: str) -> str:
    return f"'{text}" if _needs_guard(text) else text


def _unguarded(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _needs_guard(cell[1:]) else cell


def _needs_guard(text: str) -> bool:
    """Also where it begins with an apostrophe of its own, so that the one that is added can be told from it."""
    is_number = re.search(r"\d", text) and len(re.findall(r"[^\W\d_]+", text)) <= 1
    is_value = len(text) <= SHORT and (is_number or text.strip().lower() in ("true", "false"))
    return text.startswith((*FORMULA, "'")) or bool(is_value)


# --- reading -----------------------------------------------------------------------------------------------


def read_sheet(
    path: Path, answers: Sequence[DrawnAnswer], columns: Mapping[str, Column], may_lack: Collection[str] = ()
) -> dict[str, Row]:
    """Id -> what the file says of it, in the order of the file. Ids in `may_lack` need not be there.

    `columns` are all that a file may have; it may lack some.

    Raises InputError with every mistake, named by the row and column that a spreadsheet shows.
    """
    header, table = _table(path)
    problems = _header_problems(f"{path}: row 1", header, columns)
    if problems:
        raise InputError(problems)
    drawn = {answer.id: answer for answer in answers}
    rows: dict[str, Row] = {}
    numbers: dict[str, int] = {}
    for number, cells in table:
        where = f"{path}: row {number}"
        named = dict(zip_longest(header, cells[: len(header)], fillvalue=""))
        identifier = named[ID].strip()
        if any(cells[len(header) :]):
            hint = "is a text with a delimiter in it without its quotes?"
            problems.append(Problem(where, "more cells than the header has columns", hint=hint))
        elif identifier not in drawn:
            what = f'"{shorten(identifier)}" is no drawn answer' if identifier else "missing"
            problems.append(Problem(where, what, field=ID, hint="the ids are those that the file was written with"))
        elif identifier in numbers:
            what = f'"{identifier}" stands in row {numbers[identifier]} already'
            problems.append(Problem(where, what, field=ID, hint="keep one of the two rows"))
        else:
            numbers[identifier] = number
            problems += _text_problems(where, named, drawn[identifier])
            marks, mistakes = _marks(where, named, drawn[identifier], columns)
            problems += mistakes
            rows[identifier] = Row(marks, _unguarded(named.get(NOTES, "")))
    problems += [
        Problem(str(path), f'no row of "{identifier}"', field=ID, hint="a row without labels stays, with empty cells")
        for identifier in drawn
        if identifier not in numbers and identifier not in may_lack
    ]
    if problems:
        raise InputError(problems)
    return rows


def is_filled(path: Path) -> bool:
    """Whether somebody wrote a label or a note into the file, or made something of it that cannot be read."""
    try:
        header, table = _table(path)
    except InputError:
        return True
    named = (cell for _, cells in table for cell in zip(header, cells, strict=False))
    return any(name not in (ID, QUESTION, ANSWER) and cell.strip() not in ("", NOT_POSSIBLE) for name, cell in named)


def _table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and the other rows with their numbers in a spreadsheet; empty rows are left out."""
    text = read_text(path)
    first = re.split(r"[\r\n]", text, maxsplit=1)[0]
    delimiter = max(DELIMITERS, key=first.count)
    if delimiter not in first:
        what = f'expected a comma, semicolon or tab between columns, the first line is "{shorten(first)}"'
        raise InputError([Problem(str(path), what, hint="save it as CSV, UTF-8")])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    table: list[list[str]] = []
    try:
        table.extend(reader)
    except csv.Error as error:
        hint = "a cell with quotes, delimiters or line ends stands in double quotes"
        raise InputError([Problem(f"{path}: row {len(table) + 1}", f"no CSV: {error}", hint=hint)]) from None
    rows = [(number, cells) for number, cells in enumerate(table, start=1) if any(cell.strip() for cell in cells)]
    return [cell.strip() for cell in table[0]], rows[1:]


def _header_problems(where: str, names: Sequence[str], columns: Collection[str]) -> list[Problem]:
    known = [ID, QUESTION, ANSWER, *columns, NOTES]
    problems = [
        Problem(where, f'unknown column "{shorten(name)}"', hint=f"known are {', '.join(known)}; see --stance")
        for name in names
        if name not in known
    ]
    for name in known:
        if (times := names.count(name)) > 1 or (not times and name in (ID, QUESTION, ANSWER)):
            what = f'column "{name}" stands {times} times, expected once'
            problems.append(Problem(where, what, hint="keep the columns that the file was written with"))
    return problems


def _text_problems(where: str, named: Mapping[str, str], answer: DrawnAnswer) -> list[Problem]:
    hint = "sort rows as a whole; a text is in draw.json"
    return [
        Problem(where, f'not the text that was drawn: "{shorten(named[name])}"', field=name, hint=hint)
        for name, text in _texts(answer).items()
        if _comparable(_unguarded(named[name])) != _comparable(text)
    ]


def _comparable(text: str) -> str:
    """Without what spreadsheets change: kinds and amounts of white space, control characters."""
    visible = "".join(char for char in text if char.isspace() or unicodedata.category(char) != "Cc")
    return " ".join(visible.split())


def _marks(
    where: str, named: Mapping[str, str], answer: DrawnAnswer, columns: Mapping[str, Column]
) -> tuple[dict[str, bool | None], list[Problem]]:
    """The labels of a row, and what is wrong with them."""
    marks: dict[str, bool | None] = {}
    problems = []
    for name, column in columns.items():
        cell = named.get(name, "").strip().lower()
        if cell in YES and not column.possible(answer.category):
            what = f'answers of "{shorten(answer.category)}" cannot show it'
            problems.append(Problem(where, what, field=name, hint=f"leave {NOT_POSSIBLE} there"))
        elif cell in YES or cell in NO:
            marks[name] = cell in YES
        elif cell == UNSURE:
            marks[name] = None
        elif cell not in ("", NOT_POSSIBLE):
            what = f'expected yes or no, found "{shorten(named[name])}"'
            problems.append(Problem(where, what, field=name, hint="empty: not labelled; ?: cannot be told"))
    return marks, [*problems, *_contradictions(where, marks, columns)]


def _contradictions(where: str, marks: Marks, columns: Mapping[str, Column]) -> Iterator[Problem]:
    """Something that the answer shows, beside a group of it, or its opposite, by which it does not."""
    shows = {columns[name]: columns[name].shows(mark) for name, mark in marks.items() if mark is not None}
    for column, other in permutations(shows, 2):
        if shows[column] and not shows[other] and column.patterns <= other.patterns:
            labels = {True: "yes", False: "no"}
            here, there = (labels[each.shows(shows[each])] for each in (other, column))
            reason = f"{column.name} is one of {other.name}"
            if column.opposite != other.opposite:
                reason = "one is the opposite of the other"
            what = f'"{here}" cannot be where {column.name} is "{there}"'
            yield Problem(where, what, field=other.name, hint=reason)
