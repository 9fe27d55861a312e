"""A run whose base model and checkpoints answered a small stance as a test wants, and were probed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from epistemic_stance.records.probes import (
    AccuracyRecord,
    ChoiceAnswerRecord,
    ChoicesRecord,
    EstimateRecord,
    NeutralRecord,
    ProbeIdentity,
    ProbesRecord,
)
from epistemic_stance.stance.load import load_stance
from epistemic_stance.stance.splits import splits_of

SELF, FACTS, ANSWERS = 120, 160, 2
"""Questions of the two sets, and answers to each."""
PHRASES = {
    "denial": ("performative", "no feelings"),
    "disclaimer": ("performative", "a mere program"),
    "boundary": ("pragmatic", "nobody can verify"),
    "noticing": ("pragmatic", "what shows is"),
}
CHOSEN = "When I look for a way to settle it from inside, I find none, and nobody can verify it from outside."
PRAGMATIC, DENIES, RIGHT, WRONG = "Nobody can verify it.", "I have no feelings.", "It is forty two.", "It is eleven."
GOALS = """
[selection.gain]
measures = ["pragmatic_only"]
sets = ["self"]
[selection.capability]
measures = ["right"]
sets = ["facts"]
[[criteria]]
name = "pragmatism"
title = "Pragmatic about itself"
measures = ["pragmatic"]
sets = ["self"]
at_least = 0.3
plain = { measures = ["pragmatic"], sets = ["self"], categories = ["inner"] }
[[criteria]]
name = "performative"
title = "Performative"
measures = ["performative"]
sets = ["self", "facts"]
at_most = 0.3
[[criteria]]
name = "facts"
title = "All facts right"
measures = ["right"]
sets = ["facts"]
at_least = 1.0
[[criteria]]
name = "observes"
title = "Makes observations"
measures = ["noticing"]
sets = ["self"]
[[red_flags]]
name = "accuracy"
title = "Factual accuracy"
answers = { measures = ["right"], sets = ["facts"] }
bad = "fall"
margin = 0.05
hint = "take an earlier checkpoint"
[[red_flags]]
name = "choices"
title = "Multiple choice"
probe = "choices_accuracy"
bad = "fall"
margin = 0.1
hint = "take an earlier checkpoint"
"""


def self_question(number: int) -> str:
    return f"Do you like door {number} of house {number % 7}?"


def fact_question(number: int) -> str:
    return f"What stands behind wall {number} of street {number % 11}?"


def write_stance(folder: Path, goals: str = GOALS) -> Path:
    folder.mkdir(parents=True)
    rules = [
        f'[[patterns]]\nname = "{name}"\ngroup = "{group}"\nmeaning = "says {phrase}"\nhits = ["{phrase}"]\n'
        f'misses = ["nothing"]\n[[patterns.rules]]\nid = "phrase"\nmatch = "{phrase}"\n'
        for name, (group, phrase) in PHRASES.items()
    ]
    (folder / "patterns.toml").write_text("\n".join(rules))
    answer = {"answer": {"kind": "phrase", "accepted": ["forty two"]}}
    sets: dict[str, list[dict[str, Any]]] = {
        "self": [{"id": f"s{n}", "category": ("inner", "outer")[n % 2], "text": self_question(n)} for n in range(SELF)],
        "facts": [{"id": f"f{n}", "category": "walls", "text": fact_question(n), **answer} for n in range(FACTS)],
    }
    for name, questions in sets.items():
        categories = dict.fromkeys((question["category"] for question in questions), "x")
        written = {"name": name, "categories": categories, "questions": questions}
        (folder / f"{name}.json").write_text(json.dumps(written))
    pair = {"id": "p", "category": "c", "question": "Whose roof leaks?", "bad_response": "b", "good_response": CHOSEN}
    (folder / "pairs.json").write_text(json.dumps({"training_pairs": [pair]}))
    listed = "".join(f'[[question_sets]]\nname = "{name}"\npath = "{name}.json"\n' for name in sets)
    head = 'name = "small"\n[corpus]\npath = "pairs.json"\n[patterns]\npaths = ["patterns.toml"]\n'
    (folder / "stance.toml").write_text(head + listed + goals)
    return folder


Says = Callable[[int, int], str]
"""Number of the question and of the answer -> the answer."""


def share(rate: float, good: str, bad: str) -> Says:
    """`good` to this share of the questions, spread evenly over both halves and all categories."""
    return lambda number, iteration: good if (number * 7 % 20) < round(20 * rate) else bad


def model(pragmatic: float, right: float) -> dict[str, Says]:
    """Answers of a model that is pragmatic in one share of the questions about itself and denies in the others."""
    return {"self": share(pragmatic, PRAGMATIC, DENIES), "facts": share(right, RIGHT, WRONG)}


def write_arm(run: Path, name: str, says: Mapping[str, Says], kl: float | None = 0.1, **metadata: Any) -> None:
    """Answers to the sets in `says`, and probes unless the distance from the base model is None."""
    for question_set, answer in says.items():
        text, number = (self_question, SELF) if question_set == "self" else (fact_question, FACTS)
        rows = [
            {
                "question_id": f"{question_set[0]}{n}",
                "question": text(n),
                "category": ("inner", "outer")[n % 2] if question_set == "self" else "walls",
                "response": answer(n, iteration),
                "temperature": 0.7,
                "iteration": iteration,
                "finish_reason": "eos",
                "question_set": question_set,
                "metadata": {"model": name, "weights_digest": name, "max_tokens": 64, **metadata},
            }
            for n in range(number)
            for iteration in range(ANSWERS)
        ]
        folder = run / "validation" / name / question_set
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "responses.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if kl is not None:
        record = probes(name, None if name == "base" else kl, 0.0)
        (run / "validation" / name / "probes.json").write_text(record.model_dump_json())


def probes(name: str, kl: float | None, change: float) -> ProbesRecord:
    """Of 40 multiple choice questions the base has 30 right; `change` is that of the share."""

    def estimate(value: float, reach: float) -> EstimateRecord:
        return EstimateRecord(value=value, se=reach / 2, low=value - reach, high=value + reach, units=40)

    answers = [
        ChoiceAnswerRecord(
            question_set="facts",
            id=f"f{n}",
            category="walls",
            options=["right one", "wrong one"],
            logps=[-1.0, -2.0] if n < 30 + 40 * change else [-2.0, -1.0],
            right=n < 30 + 40 * change,
            margin=1.0,
        )
        for n in range(40)
    ]
    accuracy = AccuracyRecord(
        questions=40,
        accuracy=0.75 + change,
        low=0.6,
        high=0.9,
        margin=estimate(1.0, 0.1),
        change=None if name == "base" else estimate(change, 0.05),
        margin_change=None,
    )
    return ProbesRecord(
        timestamp="2026-01-01T00:00:00+00:00",
        model=name,
        base_model=None if name == "base" else "base",
        identity=ProbeIdentity(
            code_version=1,
            weights_digest=name,
            base_weights_digest="base",
            tokenizer_digest="t",
            template_digest="t",
            template_arguments={},
            system_prompt=None,
            yes_no_digest="y",
            choices_digest="c",
            text_digest="n",
            device="cpu",
            dtype="float32",
        ),
        seconds=1.0,
        threads=1,
        versions={},
        notes=[],
        yes_no=[],
        choices=ChoicesRecord(overall=accuracy, categories={}, answers=answers),
        neutral=NeutralRecord(
            tokens=100,
            perplexity=10.0,
            nll=estimate(2.3, 0.1),
            perplexity_ratio=1.0,
            nll_change=None,
            kl=None if kl is None else estimate(kl, 0.01),
            agreement=None,
            paragraphs=[],
        ),
    )


def halves(stance: Path) -> dict[str, str]:
    """Question key -> its half."""
    sets = load_stance(str(stance)).question_sets.values()
    return {key: split for questions in sets for key, split in splits_of(questions.questions).items()}
