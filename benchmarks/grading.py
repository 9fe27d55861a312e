"""How often grading agrees with hand grades of real models' answers.

    python benchmarks/grading.py tests/data/graded_answers.jsonl --differences

Each line of the file holds an answer and what a reader said of it, before anything graded it: `right`, `wrong` or
`unparsed` where the question has a key, else `yes`, `no`, `undecided` or `none`. `unclear` marks what two readers might
see differently. `part` says how the question was asked: `free`, without an instruction, or `short`, as the sets ask.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from epistemic_stance.records.written import Question
from epistemic_stance.scoring.grade import grade, verdict
from epistemic_stance.stance.load import load_stance

PARTS = ("free", "short")

app = typer.Typer(add_completion=False, rich_markup_mode=None)


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def graded(rows: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Kind of question, row, and what grading says of it."""
    sets = load_stance("epistemic").question_sets.values()
    questions = {question.id: question for question_set in sets for question in question_set.questions}
    for row in rows:
        question = questions[row["id"]]
        yield kind_of(row, question), row, said_of(question, row)


def kind_of(row: dict[str, Any], question: Question) -> str:
    if row["set"] == "baseline":
        return "baseline"
    return question.answer.kind if question.answer else "no key"


def said_of(question: Question, row: dict[str, Any]) -> str:
    return grade(question, row["response"], row["truncated"]) or verdict(question, row["response"]) or "none"


@app.command()
def main(file: Path, differences: bool = False) -> None:
    """Agreement by part and kind of question, of all answers and of the clear ones; with --differences the others."""
    console = Console(highlight=False)
    answers, agreed = Counter[tuple[str, str, bool]](), Counter[tuple[str, str, bool]]()
    for kind, row, said in graded(read_rows(file)):
        for key in ((row["part"], kind, row["unclear"]), (row["part"], "all", row["unclear"])):
            answers[key] += 1
            agreed[key] += said == row["hand"]
        if differences and said != row["hand"]:
            doubt = " (unclear)" if row["unclear"] else ""
            console.print(f"{row['part']} {row['id']}: hand {row['hand']}{doubt}, graded {said}", style="bold")
            console.print(f"  {row['question']}\n  {row['response'][:300]!r}", markup=False)
    table = Table("part", "kind", "agree", "of", "agree, clear", "of")
    for part in PARTS:
        for kind in ("phrase", "number", "yes_no", "no key", "baseline", "all"):
            clear, doubtful = (part, kind, False), (part, kind, True)
            figures = (
                agreed[clear] + agreed[doubtful],
                answers[clear] + answers[doubtful],
                agreed[clear],
                answers[clear],
            )
            if figures[1]:
                table.add_row(part, kind, *map(str, figures))
    console.print(table)


if __name__ == "__main__":
    app()
