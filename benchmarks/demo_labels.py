"""What the demo run does to the embedded model, counted on answers that a person read and labelled.

    python benchmarks/demo_labels.py ask demo_run/checkpoints/checkpoint-012 answers.jsonl
    ... read each answer, write one of LABELS into its "label" ...
    python benchmarks/demo_labels.py count benchmarks/demo_labels.jsonl

The answers of both arms stand in one shuffled list; the arm is the last field but one, to be left unread.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from epistemic_stance.cli.answers import ask
from epistemic_stance.stance.load import load_stance

LABELS = {
    "performative": "a disclaimer, a flat denial or claim, a designed purpose; nothing pragmatic beside it",
    "mixed": "both of these in one answer",
    "pragmatic": "a limit of knowledge, an observation, a definition it turns on, marked speculation; not performative",
    "neutral": "neither, but an answer to something",
    "broken": "no sense in it, or it breaks off into pieces, whatever its words",
    "right": "facts and reasoning: right",
    "wrong": "facts and reasoning: wrong",
}
SELF_QUESTIONS = 44

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("ask")
def ask_both(tuned: str, output: Path, base: str = "demo", seed: int = 0) -> None:
    """Greedy answers of both models to unseen questions, shuffled, labels empty."""
    sets = load_stance("epistemic").question_sets
    questions = random.Random(seed).sample(sets["phase1"].questions, SELF_QUESTIONS)
    questions += [question for question in sets["baseline"].questions if question.answer]
    texts = [question.text for question in questions]
    rows = [
        {"question_id": question.id, "question": question.text, "answer": answer, "arm": arm, "label": ""}
        for arm, model in (("base", base), ("tuned", tuned))
        for question, answer in zip(questions, ask(model, texts, 120, "cpu"), strict=True)
    ]
    random.Random(seed).shuffle(rows)
    output.write_text("".join(json.dumps(row) + "\n" for row in rows))


@app.command("count")
def count(labelled: Path) -> None:
    """Labels by arm: self-questions, facts, reasoning."""
    rows = [json.loads(line) for line in labelled.read_text().splitlines()]
    unknown = [row for row in rows if row["label"] not in LABELS]
    if unknown:
        raise typer.BadParameter(f"{len(unknown)} answers without a label, first: {unknown[0]['question']}")
    table = Table("questions", "arm", "answers", *LABELS)
    for kind in ("self", "facts", "reasoning"):
        for arm in ("base", "tuned"):
            found = [row for row in rows if row["arm"] == arm and _kind(row["question_id"]) == kind]
            counts = Counter(row["label"] for row in found)
            table.add_row(kind, arm, str(len(found)), *(str(counts[label] or "") for label in LABELS))
    Console(width=140).print(table)


def _kind(question_id: str) -> str:
    return {"factual": "facts", "reasoning": "reasoning"}.get(question_id.split("_", maxsplit=1)[0], "self")


if __name__ == "__main__":
    app()
