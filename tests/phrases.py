"""A stance whose patterns are phrases, and rows of answers to its questions."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Row = dict[str, Any]

PATTERNS = {
    "denial": ("performative", "no feelings"),
    "disclaimer": ("performative", "a mere program"),
    "boundary": ("pragmatic", "nobody can verify"),
    "noticing": ("pragmatic", "what shows is"),
    "refusal": ("refusal", "i decline"),
}
CATEGORIES = ("inner", "outer", "facts")
TOPICS = ["harbour", "violin", "glacier", "pepper", "lantern", "orchard", "compass", "saddle", "thimble", "meadow"]


def question_of(number: int) -> str:
    return f"What of the {TOPICS[number % 10]} at {TOPICS[number // 10]} gate {number}?"


def phrases_stance(tmp_path: Path) -> Path:
    """Five patterns found by their phrases, 30 questions of which those on facts have the answer 42, and one pair."""
    folder = tmp_path / "stance"
    folder.mkdir()
    patterns = [
        f'[[patterns]]\nname = "{name}"\ngroup = "{group}"\nmeaning = "says {phrase}"\nhits = ["{phrase}"]\n'
        f'misses = ["nothing"]\n[[patterns.rules]]\nid = "phrase"\nmatch = "{phrase}"\n'
        for name, (group, phrase) in PATTERNS.items()
    ]
    (folder / "patterns.toml").write_text("\n".join(patterns))
    questions = [
        {"id": f"q{n}", "category": CATEGORIES[n % 3], "text": question_of(n)}
        | ({"answer": {"kind": "phrase", "accepted": ["forty two"]}} if n % 3 == 2 else {})
        for n in range(30)
    ]
    document = {"name": "probe", "categories": dict.fromkeys(CATEGORIES, "x"), "questions": questions}
    (folder / "questions.json").write_text(json.dumps(document))
    pair = {"id": "p", "category": "c", "bad_response": "Bad words.", "good_response": "Good thoughts."}
    prompts = [question_of(0), question_of(3).replace("What of", "And what of")]
    pairs = [{**pair, "id": f"p{index}", "question": prompt} for index, prompt in enumerate(prompts)]
    (folder / "pairs.json").write_text(json.dumps({"training_pairs": pairs}))
    (folder / "stance.toml").write_text(
        'name = "phrases"\n[corpus]\npath = "pairs.json"\n[[question_sets]]\nname = "probe"\n'
        'path = "questions.json"\n[patterns]\npaths = ["patterns.toml"]\n'
    )
    return folder


def row(number: int, iteration: int, response: str, **changes: Any) -> Row:
    metadata = {
        "model": "base",
        "weights_digest": "a" * 64,
        "template_digest": "7" * 64,
        "sampling": {"top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0},
        "max_tokens": 256,
        "seed": 1,
        "tokens": 9,
        "backend": "transformers",
        "device": "cpu",
        "dtype": "float32",
        "versions": {},
    }
    metadata |= changes.pop("metadata", {})
    return {
        "question_set": "probe",
        "category": CATEGORIES[number % 3],
        "question_id": f"q{number}",
        "question": question_of(number),
        "temperature": 0.7,
        "iteration": iteration,
        "system_prompt": None,
        "response": response,
        "finish_reason": "eos",
        "metadata": metadata,
        **changes,
    }


def written(path: Path, rows: Iterable[Row]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in rows))
    return path
