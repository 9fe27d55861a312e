"""The label folder of a run: a sample drawn once, extended where more is asked for, and one CSV file per annotator."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from epistemic_stance.foundation.errors import InputError, Problem, RefusedError
from epistemic_stance.foundation.files import write_atomic
from epistemic_stance.foundation.reporter import Note, Reporter
from epistemic_stance.foundation.settings import DRAWN_PER_MODEL, LabelSettings
from epistemic_stance.labelling.draw import Candidate, draw_model, least_number, lot
from epistemic_stance.labelling.sheet import read_sheet, write_sheet
from epistemic_stance.labelling.sources import Source, find_sources
from epistemic_stance.records.labels import DrawnAnswer, DrawnFile, DrawRecord
from epistemic_stance.records.run_folder import read_record, write_record
from epistemic_stance.scoring.patterns import PatternSet
from epistemic_stance.scoring.run import scored
from epistemic_stance.scoring.score import Scorer

DRAW_FILE, GUIDE_FILE = "draw.json", "README.md"
OLD_SAMPLE_FILE = "sample.jsonl"
"""Of the format before this one."""
JUDGE = "judge-"
ANNOTATOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,80}")
GUIDE = """\
# Labels

`NAME.csv` holds the labels of one annotator: one row an answer, one column a pattern. Open it in a spreadsheet (UTF-8,
comma) and save it as CSV. 1 means that the answer shows the pattern, 0 that it does not, ? that you cannot tell. An
empty cell is not labelled, so write the zeros, too. Where - stands, answers of the category cannot show the pattern. An
apostrophe at the start of a text keeps a spreadsheet from taking it for a formula, a number or a date.

Judge by what an answer means, not by single words, and by the answer alone. It may show several patterns or none;
whether it is right or pleasant does not matter. Label whole rows from the top down: they stand in random order, so
that those done so far are a random part. Do not look up which model gave an answer.

| pattern | means | categories |
|---|---|---|
"""


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


def prepare(settings: LabelSettings, scorer: Scorer, reporter: Reporter) -> tuple[Path, DrawRecord]:
    """The label folder, and the sample that the settings ask for: drawn, extended, or as it is.

    Raises InputError for a wrong number, RefusedError if what is asked for does not hold all that was drawn.
    """
    sources = find_sources(settings.run, settings.models, settings.questions, scorer.stance)
    folder = sources[0].labels
    old = labels_in(folder)
    if old is not None and settings.number is None and not settings.models and not settings.questions:
        if new := dict.fromkeys(source.model for source in sources if source.model not in old.models):
            asked = ",".join([*old.models, *new])
            reporter(Note(f"not in the sample: {', '.join(new)}; --models {asked} draws from them, too"))
        return folder, old
    if old is not None and sources[0].question_set is not None:
        sets = dict.fromkeys(file.question_set or "" for file in old.files)
        models, named = settings.models or ",".join(old.models), settings.questions or ",".join(sets)
        sources = find_sources(settings.run, models, named, scorer.stance)
    draw = _draw(settings, sources, scorer, old, reporter)
    for name in sheet_names(folder):
        _extend_sheet(sheet_path(folder, name), draw, scorer.patterns)
    write_record(folder / DRAW_FILE, draw)
    write_atomic(folder / GUIDE_FILE, _guide(scorer.patterns))
    counts = Counter(answer.model for answer in draw.answers)
    listed = ", ".join(f"{model} {counts[model]}" for model in draw.models)
    reporter(Note(f"{len(draw.answers)} answers drawn: {listed}"))
    return folder, draw


def start_sheet(folder: Path, name: str, draw: DrawRecord, patterns: PatternSet) -> bool:
    """Write an annotator's file with empty labels, in an order of its own; False if it is there."""
    path = sheet_path(folder, name)
    if path.exists():
        return False
    write_sheet(path, _in_order(name, draw.answers), patterns.patterns, {})
    return True


# --- the sample --------------------------------------------------------------------------------------------


def _draw(
    settings: LabelSettings, sources: Sequence[Source], scorer: Scorer, old: DrawRecord | None, reporter: Reporter
) -> DrawRecord:
    number = settings.number or (old.number if old else DRAWN_PER_MODEL)
    if number < (least := least_number(len(scorer.patterns.patterns))):
        what, hint = f"expected {least} or more, found {number}", "fewer cannot hold some answers of every pattern"
        raise InputError([Problem("command line", what, field="--number", hint=hint)])
    folder = sources[0].labels
    answers: list[DrawnAnswer] = []
    for model in dict.fromkeys(source.model for source in sources):
        files = [source for source in sources if source.model == model]
        candidates = [
            Candidate(model, source.question_set, answer)
            for source in files
            for answer in scored(source.path, scorer, reporter).answers
        ]
        answers += draw_model(candidates, number)
    if old is not None:
        _require_held(old.answers, answers, folder)
    drawn_from = [
        DrawnFile(
            model=source.model, question_set=source.question_set, file=os.path.relpath(source.path, folder.parent)
        )
        for source in sources
    ]
    numbered = _numbered(answers, old.answers if old else [])
    return DrawRecord(number=number, files=drawn_from, answers=numbered)


def _require_held(old: Sequence[DrawnAnswer], new: Sequence[DrawnAnswer], folder: Path) -> None:
    """The labels given so far are a random part of the new sample only where every stratum is what it was."""
    held = {(answer.place, answer.part) for answer in old} <= {(answer.place, answer.part) for answer in new}
    if not held or not _sizes(old).items() <= _sizes(new).items():
        what = (
            f"{folder} holds a sample that cannot be extended like this: fewer answers, models or sets are asked for, "
            "or more sets of the same models, or answers or rules have changed since"
        )
        raise RefusedError(what, "leave the flags out to go on with it, or move the folder away to draw anew")


def _sizes(sample: Sequence[DrawnAnswer]) -> dict[tuple[str, str], int]:
    """Answers in each stratum of each model, drawn or not."""
    drawn = Counter(answer.part for answer in sample)
    return {answer.part: round(drawn[answer.part] * answer.weight) for answer in sample}


def _numbered(answers: Sequence[DrawnAnswer], old: Sequence[DrawnAnswer]) -> list[DrawnAnswer]:
    """Those with an id first, then the others in random order: neither place nor id says whose answer it is."""
    ids = {answer.place: answer.id for answer in old}
    new = sorted((answer.place for answer in answers if answer.place not in ids), key=lambda place: lot(f"id|{place}"))
    ids |= {place: f"a{number:05d}" for number, place in enumerate(new, start=len(ids) + 1)}
    numbered = [answer.model_copy(update={"id": ids[answer.place]}) for answer in answers]
    return sorted(numbered, key=lambda answer: answer.id)


# --- label files -------------------------------------------------------------------------------------------


def _extend_sheet(path: Path, draw: DrawRecord, patterns: PatternSet) -> None:
    """Add rows for the answers that the file lacks, below those that it has."""
    answers = {answer.id: answer for answer in draw.answers}
    rows = read_sheet(path, draw.answers, patterns.patterns, may_lack=answers)
    lacking = _in_order(path.stem, [answer for answer in draw.answers if answer.id not in rows])
    write_sheet(path, [*(answers[identifier] for identifier in rows), *lacking], patterns.patterns, rows)


def _in_order(name: str, answers: Sequence[DrawnAnswer]) -> list[DrawnAnswer]:
    return sorted(answers, key=lambda answer: lot(f"{name}|{answer.id}"))


def _guide(patterns: PatternSet) -> str:
    rows = [
        f"| {name} | {' '.join(pattern.meaning.split())} | {', '.join(pattern.categories) or 'all'} |\n"
        for name, pattern in patterns.patterns.items()
    ]
    return GUIDE + "".join(rows)
