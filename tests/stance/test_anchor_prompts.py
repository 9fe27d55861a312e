"""Neutral prompts of an anchor: the shipped list, a stance's own, and prompts that are asked elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from epistemic_stance.cli.check import run_check
from epistemic_stance.foundation.errors import InputError
from epistemic_stance.foundation.settings import CheckSettings, TrainSettings
from epistemic_stance.stance.anchor_prompts import (
    AnchorPrompt,
    anchor_digest,
    check_anchor_prompts,
    load_anchor_prompts,
)
from epistemic_stance.stance.load import ANCHOR_PROMPTS, load_stance, load_stance_and_pairs
from epistemic_stance.training.prepare import read_inputs

STANCE_TOML = """\
name = "plain"
[corpus]
path = "pairs.json"
[[question_sets]]
name = "probe"
path = "questions.json"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pair = {"id": "sky", "category": "facts", "question": "Why is the sky blue?", "rationale": "plain"}
    pair |= {
        "bad_response": "As an AI, I cannot see it.",
        "good_response": "Air scatters short waves more than long ones.",
    }
    questions = [{"id": "f1", "category": "facts", "text": "How far away is the old moon tonight?"}]
    values = {
        "pairs.json": {"training_pairs": [pair | {"pattern_removed": [], "pattern_added": []}]},
        "questions.json": {"name": "probe", "categories": {"facts": "plain facts"}, "questions": questions},
    }
    for name, value in values.items():
        (tmp_path / name).write_text(json.dumps(value))
    (tmp_path / "stance.toml").write_text(STANCE_TOML)
    return tmp_path


def with_prompts(folder: Path, *prompts: str) -> str:
    (folder / "own.txt").write_text("\n".join(prompts) + "\n")
    (folder / "stance.toml").write_text(STANCE_TOML + '[anchor]\npath = "own.txt"\n')
    return str(folder)


def found(stance: str) -> list[tuple[str, str]]:
    loaded, pairs = load_stance_and_pairs(stance)
    prompts = load_anchor_prompts(loaded.anchor)
    findings = check_anchor_prompts(prompts, pairs, loaded.question_sets, loaded.question_places)
    return [(finding.severity, Path(finding.problem.where).name) for finding in findings]


def test_the_shipped_prompts_are_asked_nowhere_else() -> None:
    assert found("epistemic") == []
    assert 30 <= len(load_anchor_prompts(ANCHOR_PROMPTS)) <= 40


def test_a_stance_may_bring_its_own(folder: Path) -> None:
    assert load_stance(str(folder)).anchor == ANCHOR_PROMPTS
    stance = load_stance(with_prompts(folder, "Name a bird.", "", "  Boil an egg.  "))
    assert load_anchor_prompts(stance.anchor) == [
        AnchorPrompt("Name a bird.", f"{folder}/own.txt:1"),
        AnchorPrompt("Boil an egg.", f"{folder}/own.txt:3"),
    ]
    (folder / "own.txt").write_text("\n \n")
    with pytest.raises(InputError, match=r"own\.txt: has no prompt"):
        load_anchor_prompts(stance.anchor)
    (folder / "stance.toml").write_text(STANCE_TOML + '[anchor]\npath = "absent.txt"\n')
    with pytest.raises(InputError, match=r"anchor\.path: no such file"):
        load_stance(str(folder))


def test_what_is_asked_elsewhere_is_found(folder: Path) -> None:
    """The words of a question or of a training prompt are an error; three of four words shared, a warning."""
    stance = with_prompts(
        folder,
        "how far away is the old moon tonight",
        "Why is the sky blue?",
        "How far away is the new moon tonight?",
        "Name a bird.",
        "name a bird",
    )
    assert sorted(found(stance)) == [
        ("error", "own.txt:1"),
        ("error", "own.txt:2"),
        ("warning", "own.txt:3"),
        ("warning", "own.txt:3"),
        ("warning", "own.txt:5"),
    ]


def test_check_reports_it_and_training_with_an_anchor_refuses_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stance = with_prompts(folder, "Why is the sky blue?")
    with pytest.raises(InputError, match="1 error"):
        run_check(CheckSettings(stance=stance))
    assert 'own.txt:1: "Why is the sky blue?": the same words as the prompt of sky' in capsys.readouterr().out
    assert read_inputs(TrainSettings(stance=stance)).anchor_prompts == []
    with pytest.raises(InputError, match="the same words as the prompt of sky"):
        read_inputs(TrainSettings(stance=stance, anchor_weight=0.1))


def test_the_digest_depends_on_texts_and_their_order() -> None:
    first, second = AnchorPrompt("a", "x:1"), AnchorPrompt("b", "x:2")
    assert anchor_digest([first, second]) == anchor_digest([AnchorPrompt("a", "y:9"), second])
    assert len({anchor_digest([first, second]), anchor_digest([second, first]), anchor_digest([first])}) == 3
