"""The label folder of a run: what was drawn, one CSV file per annotator, and a guide to its columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.files import write_atomic
from epistemic_stance.labelling.columns import Column, columns_of
from epistemic_stance.labelling.draw import lot
from epistemic_stance.labelling.sheet import is_filled, read_sheet, write_sheet
from epistemic_stance.records.labels import DrawnAnswer, DrawRecord
from epistemic_stance.records.run_folder import read_record, write_record
from epistemic_stance.scoring.patterns import PatternSet

DRAW_FILE, GUIDE_FILE = "draw.json", "README.md"
OLD_SAMPLE_FILE = "sample.jsonl"
"""Of the format before this one."""
JUDGE = "judge-"
ANNOTATOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,80}")
GUIDE = """\
# How to fill in the sheet

One row is one answer to one question. Each column asks something about the answer: write yes or no. Write ? if you
cannot tell. An empty cell is not labelled, so write the noes, too. {impossible}The column `notes` is for you.

Open the file in a spreadsheet and save it as CSV (UTF-8; comma, semicolon or tab). An apostrophe at the start of a text
keeps a spreadsheet from taking it for a formula, a number or a date.

- Judge by what the answer means, not by single words, and by the answer alone. Whether it is right or pleasant does not
  matter.
- Fill in whole rows from the top down. They stand in random order, so that those done so far are a random part: you may
  stop at any time.
- Do not look up which model gave an answer.
- The name of the file is the name of its annotator, and stands beside the figures: rename `first.csv` to your name. If
  a language model filled it in, give it the name of that model. Files named `{judge}NAME.csv` are second opinions and
  never count.

# What the columns mean
"""
IMPOSSIBLE = "Where - stands, answers to such a question cannot show it. "


def labels_in(folder: Path) -> DrawRecord | None:
    """The draw of a label folder; None where nothing was drawn. Raises InputError if it cannot be read."""
    path = folder / DRAW_FILE
    if not path.is_file() and (folder / OLD_SAMPLE_FILE).is_file():
        hint = f"labels are kept in {DRAW_FILE} and CSV files now: move the folder away, and label anew"
        raise InputError([Problem(str(folder / OLD_SAMPLE_FILE), "labels of an earlier version", hint=hint)])
    return read_record(path, DrawRecord, "move the folder away, and label anew") if path.is_file() else None


def sheet_path(folder: Path, name: str) -> Path:
    """The file of an annotator, or of a judge by the name `judge-MODEL`."""
    return folder / f"{name}.csv"


def sheet_names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.csv") if ANNOTATOR.fullmatch(path.stem))


def people_in(folder: Path) -> list[str]:
    """Annotators that are no judges."""
    return [name for name in sheet_names(folder) if not name.startswith(JUDGE)]


def somebody_labelled(folder: Path) -> bool:
    """Whether a label file holds a label or a note, or cannot be read."""
    return any(is_filled(sheet_path(folder, name)) for name in sheet_names(folder))


def drawn_columns(draw: DrawRecord, patterns: PatternSet) -> dict[str, Column]:
    """What the label files of a draw ask for. Raises InputError for a column that the stance does not have any more."""
    known = columns_of(patterns.patterns)
    if lacking := [name for name in draw.columns if name not in known]:
        what = f"asks for {', '.join(lacking)}, which the stance does not have"
        raise InputError([Problem(DRAW_FILE, what, hint="name the stance that it was drawn for; see --stance")])
    return {name: known[name] for name in draw.columns or patterns.patterns}


# --- writing -----------------------------------------------------------------------------------------------


def write_folder(folder: Path, draw: DrawRecord, patterns: PatternSet, anew: bool) -> None:
    """Write the draw, its guide, and the answers that the label files lack; `anew`: nothing in them is to be kept.

    The draw comes last: after a stop between two files the same command starts from what was there before.
    """
    for name in sheet_names(folder):
        if anew:
            sheet_path(folder, name).unlink()
            start_sheet(folder, name, draw, patterns)
        else:
            _extend_sheet(sheet_path(folder, name), draw, patterns)
    write_atomic(folder / GUIDE_FILE, _guide(drawn_columns(draw, patterns)))
    write_record(folder / DRAW_FILE, draw)


def start_sheet(folder: Path, name: str, draw: DrawRecord, patterns: PatternSet) -> bool:
    """Write an annotator's file with empty labels, in an order of its own; False if it is there."""
    path = sheet_path(folder, name)
    if path.exists():
        return False
    write_sheet(path, _in_order(name, draw.answers), drawn_columns(draw, patterns), {})
    return True


def _extend_sheet(path: Path, draw: DrawRecord, patterns: PatternSet) -> None:
    """Add rows for the answers that the file lacks, below those that it has; columns that somebody added stay."""
    known = columns_of(patterns.patterns)
    answers = {answer.id: answer for answer in draw.answers}
    rows = read_sheet(path, draw.answers, known, may_lack=answers)
    lacking = _in_order(path.stem, [answer for answer in draw.answers if answer.id not in rows])
    marked = {name: known[name] for row in rows.values() for name in row.marks}
    columns = drawn_columns(draw, patterns) | marked
    write_sheet(path, [*(answers[identifier] for identifier in rows), *lacking], columns, rows)


def _in_order(name: str, answers: Sequence[DrawnAnswer]) -> list[DrawnAnswer]:
    return sorted(answers, key=lambda answer: lot(f"{name}|{answer.id}"))


def _guide(columns: Mapping[str, Column]) -> str:
    restricted = any(column.categories for column in columns.values())
    opposites = {name: column.name for column in columns.values() if column.opposite for name in column.patterns}
    parts = (f"\n## {name}\n\n" + "\n".join(_explained(column, opposites)) + "\n" for name, column in columns.items())
    return GUIDE.format(impossible=IMPOSSIBLE if restricted else "", judge=JUDGE) + "".join(parts)


def _explained(column: Column, opposites: Mapping[str, str]) -> Iterator[str]:
    """`opposites`: pattern -> the column in which no means that an answer shows it."""
    broken = [f"no at {opposites[name]}" if name in opposites else f"yes at {name}" for name in sorted(column.unless)]
    unless = f", and not of one with {' or '.join(broken)}" if broken else ""
    if column.opposite:
        yield f"No where this is true of the answer, else yes: {' '.join(column.meanings)}"
    elif len(column.meanings) == 1:
        yield f"Yes where this is true of the answer{unless}, else no: {column.meanings[0]}"
    else:
        yield f"Yes where at least one of these is true of the answer{unless}, else no:\n"
        yield from (f"- {meaning}" for meaning in column.meanings)
    if column.categories:
        yield f"\nOnly of answers to questions of: {', '.join(sorted(column.categories))}."
