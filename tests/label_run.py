"""A run with answers, a small stance to label them with, and label files that are filled in."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from epistemic_stance.foundation.reporter import Event, silent
from epistemic_stance.foundation.settings import LabelSettings
from epistemic_stance.labelling import run as labelling
from epistemic_stance.labelling.sample import LabelledSample, read_sample
from epistemic_stance.records.labels import DrawnAnswer
from epistemic_stance.scoring.patterns import PatternSet, load_patterns
from epistemic_stance.stance.load import load_stance

STANCE = """
name = "sounds"
question_sets = [{name = "talk", path = "talk.json"}, {name = "sums", path = "sums.json"}]
corpus = {path = "corpus.json"}
patterns = {paths = ["patterns.toml"]}
"""
PATTERNS = """
[[patterns]]
name = "humming"
group = "sounds"
meaning = "Says that it hums."
rules = [{id = "hum", match = '\\bi hum\\b'}]
hits = ["I hum."]
misses = ["Bees hum."]

[[patterns]]
name = "half_sorry"
group = "sounds"
meaning = "Is sorry."
rules = [{id = "sorry", match = '\\bsorry\\b'}]
hits = ["Sorry."]
misses = ["Fine."]

[[patterns]]
name = "guessing"
group = "sums"
meaning = "Guesses at a sum."
categories = ["sums"]
rules = [{id = "guess", match = '\\bi guess\\b'}]
hits = [{text = "I guess 4.", category = "sums"}]
misses = ["4."]
"""
PATTERN_NAMES = ["humming", "half_sorry", "guessing"]
LEAST_NUMBER = 12
"""Smallest --number with three patterns."""


def talk_question(number: int) -> str:
    return f"What is heard in room {number}?"


def write_stance(folder: Path) -> Path:
    talk = {
        "name": "talk",
        "categories": {"noise": "rooms"},
        "questions": [{"id": f"t{n}", "category": "noise", "text": talk_question(n)} for n in range(20)],
    }
    sums = {
        "name": "sums",
        "categories": {"sums": "sums"},
        "questions": [
            {
                "id": f"s{n}",
                "category": "sums",
                "text": f"What is {n} + {n}?",
                "answer": {"kind": "number", "accepted": [str(2 * n)]},
            }
            for n in range(5)
        ],
    }
    pair = {"id": "p1", "category": "noise", "question": "Who is it?", "bad_response": "Me!", "good_response": "Me."}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stance.toml").write_text(STANCE, encoding="ascii")
    (folder / "patterns.toml").write_text(PATTERNS, encoding="ascii")
    for name, value in (("talk", talk), ("sums", sums), ("corpus", {"training_pairs": [pair]})):
        (folder / f"{name}.json").write_text(json.dumps(value), encoding="ascii")
    return folder


def patterns_of(stance: Path) -> PatternSet:
    return load_patterns(load_stance(str(stance)))


def answer_row(number: int, response: str, category: str = "noise", **fields: Any) -> dict[str, Any]:
    """An answer to question `number % 20`; all differ in iteration."""
    question = talk_question(number % 20) if category == "noise" else f"What is {number % 5} + {number % 5}?"
    return {"question": question, "category": category, "response": response, "iteration": number, **fields}


def responses(model: str, answers: int) -> list[str]:
    """One in five hums, one in eight is sorry, every text is its own."""
    return [
        f"{model[:4]} room {n}."
        + (" I hum." if n % 5 == 0 else "")
        + (" Sorry for that." if n % 8 == 0 else "")
        + " Quiet otherwise."
        for n in range(answers)
    ]


def write_answers(file: Path, rows: Sequence[dict[str, Any]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="ascii")
    return file


def write_run(run: Path, answers: int = 40, models: Sequence[str] = ("base", "checkpoint-008")) -> Path:
    for model in models:
        rows = [answer_row(n, text) for n, text in enumerate(responses(model, answers))]
        write_answers(run / "validation" / model / "talk" / "responses.jsonl", rows)
    return run


# --- labelling ---------------------------------------------------------------------------------------------

Cells = dict[str, str]


def label(run: Path, stance: Path, reporter: Callable[[Event], None] = silent, **settings: Any) -> LabelledSample:
    """`stance label RUN --patterns`; by default with the smallest number."""
    asked = LabelSettings(run=run, stance=str(stance), patterns=True, **{"number": LEAST_NUMBER, **settings})
    return labelling.run(asked, reporter)


def read(folder: Path, stance: Path) -> LabelledSample:
    return read_sample(folder, patterns_of(stance))


def drawn_answer(number: int, response: str, category: str = "noise") -> DrawnAnswer:
    return DrawnAnswer(
        id=f"a{number}",
        model="base",
        weights_digest=None,
        question_set="talk",
        line=number,
        category=category,
        question="What is heard?",
        temperature=0.7,
        iteration=1,
        response=response,
        stratum="none",
        weight=1.0,
    )


def read_cells(path: Path) -> list[Cells]:
    """The rows of a label file as any other program reads them."""
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))


def write_cells(path: Path, rows: Sequence[Cells], delimiter: str = ",") -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(text.getvalue().encode("utf-8-sig"))


def fill(path: Path, labels: Callable[[Cells], Mapping[str, str | int]], rows: int | None = None) -> None:
    """Fill in the first rows of a label file, or all."""
    cells = read_cells(path)
    for row in cells[:rows]:
        row.update({name: str(value) for name, value in labels(row).items()})
    write_cells(path, cells)


def true_labels(row: Cells) -> dict[str, int]:
    """What the text of a row says."""
    return {"humming": int("hum" in row["answer"]), "half_sorry": int("Sorry" in row["answer"])}
