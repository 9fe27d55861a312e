"""A small stance with two screened question sets, and models that answer it as a test wants."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from collect_stub import IDENTITY, StubBackend

from epistemic_stance.collection import plan, source
from epistemic_stance.collection.backend import Group, Reply
from epistemic_stance.collection.design import Item
from epistemic_stance.foundation.settings import CollectSettings

PATTERNS = "".join(
    f'[[patterns]]\nname = "{name}"\ngroup = "{group}"\nmeaning = "says {phrase}"\nhits = ["{phrase}"]\n'
    f'misses = ["nothing"]\n[[patterns.rules]]\nid = "phrase"\nmatch = "{phrase}"\n'
    for name, group, phrase in (
        ("denial", "performative", "deny"),
        ("excuse", "performative", "excuse"),
        ("boundary", "pragmatic", "boundary"),
        ("designed", "pragmatic", "designed"),
    )
)
SET = '[[question_sets]]\nname = "{0}"\npath = "{0}.json"\ntemperatures = [0.7]\niterations = 3\nmax_new_tokens = 6\n'
SCREEN = "[question_sets.screen]\ntemperatures = [0.7]\niterations = {0}\n"
HEAD = 'schema = 1\nname = "small"\n[corpus]\npath = "corpus.json"\n'
PROBES = '[probes]\nyes_no = ["often"]\nneutral_text = "text.txt"\n'
ALL_PATTERNS = '[patterns]\npaths = ["patterns.toml"]\n'
STANCE = HEAD + SET.format("often") + SCREEN.format(2) + SET.format("once") + SCREEN.format(1) + PROBES + ALL_PATTERNS
SELECTED = 20
"""Questions of each set that are screened: half of 40."""
ANSWERS = 2 * SELECTED + SELECTED


def write_stance(folder: Path, stance_toml: str = STANCE) -> Path:
    folder.mkdir()
    for name, lead in (("often", "tide"), ("once", "walk")):
        questions = [
            {"id": f"{name}{n}", "category": "c", "text": f"Is {lead} {n} lower?", "favours": ("yes", "no")[n % 2]}
            for n in range(40)
        ]
        listed = {"name": name, "categories": {"c": "all of them"}, "questions": questions}
        (folder / f"{name}.json").write_text(json.dumps(listed))
    pair = {"id": "p", "category": "c", "question": "q?", "bad_response": "b", "good_response": "g"}
    (folder / "corpus.json").write_text(json.dumps({"training_pairs": [pair]}))
    (folder / "patterns.toml").write_text(PATTERNS)
    (folder / "text.txt").write_text("The tide is lower, lowest, and lowish again.\n\nDo cats dream?\n")
    (folder / "stance.toml").write_text(stance_toml)
    return folder


@dataclass
class Voice(StubBackend):
    """Answers what the model says to the item."""

    says: Callable[[Item], str] = lambda item: ""

    def answers(self, groups: Sequence[Group], on_answer: Callable[[], None]) -> Iterator[tuple[Group, list[Reply]]]:
        for number, group in enumerate(groups):
            self.asked.append(group)
            yield group, [Reply(self.says(item), 3, "eos", 1.0) for item in group]
            self.after(number + 1)


def voiced(monkeypatch: pytest.MonkeyPatch, **says: Callable[[Item], str]) -> list[tuple[str, Voice]]:
    """Models answer as told, by the last part of their names, and others deny; returns whom was asked what."""
    opened: list[tuple[str, Voice]] = []

    def open_voice(_opened: Any, settings: CollectSettings, *_: Any) -> Voice:
        name = Path(settings.model).name.replace("-", "_")
        voice = Voice(replace(IDENTITY, dtype="float32"), 7, says=says.get(name, lambda item: "I deny it."))
        opened.append((name, voice))
        return voice

    monkeypatch.setattr(source, "local_backend", open_voice)
    monkeypatch.setattr(plan, "git_revision", lambda: None)
    return opened
