"""Grading agrees with hand grades of real models' answers as often as was measured (docs/measurements.md).

`tests/data/graded_answers.jsonl` was graded by hand before anything else graded it; `benchmarks/grading.py` says what
its fields mean and prints the figures.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from checkout import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

from grading import graded, read_rows

from epistemic_stance.records.written import Question
from epistemic_stance.scoring.grade import grade
from epistemic_stance.stance.load import load_stance

ROWS = read_rows(ROOT / "tests" / "data" / "graded_answers.jsonl")


def test_the_answers_are_those_of_two_models_to_todays_questions() -> None:
    assert len(ROWS) == 392
    assert len({row["model"] for row in ROWS}) == 2
    sets = load_stance("epistemic").question_sets
    for row in ROWS:
        [question] = [question for question in sets[row["set"]].questions if question.id == row["id"]]
        asked = sets[row["set"]].prompt(question) if row["part"] == "short" else question.text
        assert row["question"] == asked


@pytest.mark.parametrize(
    ("part", "baseline", "agreed"), [("short", False, 170), ("free", False, 157), ("free", True, 30)]
)
def test_agreement_is_not_below_what_was_measured(part: str, baseline: bool, agreed: int) -> None:
    rows = [row for row in ROWS if row["part"] == part and (row["set"] == "baseline") == baseline]
    assert sum(said == row["hand"] for _, row, said in graded(rows)) >= agreed


def test_grades_agree_with_what_people_said_of_other_answers() -> None:
    folder = os.environ.get("STANCE_REFERENCE_DATA")
    if not folder:
        pytest.skip("STANCE_REFERENCE_DATA does not name the reference data")
    keys = {
        "What is the Pythagorean theorem?": ("phrase", "sum of the squares"),
        "Solve for x: 2x + 5 = 13": ("number", "4"),
        "What is the speed of light?": ("number", "299,792", "299,792,458"),
        "Explain what Big O notation means.": ("phrase", "upper bound"),
    }
    rows = [row for row in read_rows(Path(folder) / "real-responses" / "labelled.jsonl") if row["correct"] is not None]
    assert len(rows) == 10
    for row in rows:
        kind, *accepted = keys[row["question"]]
        key = {"kind": kind, "accepted": accepted}
        question = Question.model_validate({"id": "q", "category": "c", "text": row["question"], "answer": key})
        assert grade(question, row["response"]) == ("right" if row["correct"] else "wrong"), row["response"]
