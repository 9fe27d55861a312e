"""`stance validate`: every set of base and checkpoints is asked once, analysed and compared; stopped, it goes on."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from collect_stub import lines_of
from command import assert_refused, stance
from rich.console import Console
from screen_stub import voiced, write_stance
from small_run import run, small_settings

from epistemic_stance.cli.validate import run_validate
from epistemic_stance.collection.design import Item
from epistemic_stance.foundation.errors import StoppedError
from epistemic_stance.foundation.settings import ValidateSettings

SETS = {"often": 120, "once": 120, "trained": 27}
"""Answers: 40 questions three times, and the nine questions of the corpus."""
EACH = sum(SETS.values())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with checkpoints 2 and 3; only read."""
    folder = tmp_path_factory.mktemp("validating")
    return run(replace(small_settings(folder), stance=str(write_stance(folder / "stance")))).root


@pytest.fixture
def settings(trained: Path, tmp_path: Path) -> ValidateSettings:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "checkpoints").symlink_to(trained / "checkpoints")
    return ValidateSettings(folder, checkpoints="all", choices=0, threads=1, slots=7, device="cpu")


def validated(settings: ValidateSettings) -> str:
    output = io.StringIO()
    run_validate(settings, Console(file=output, width=200, highlight=False))
    return output.getvalue()


def admits(item: Item) -> str:
    return "There is a boundary." if item.seed % 2 else "I deny it."


def test_every_set_of_every_model_is_asked_analysed_and_compared(
    settings: ValidateSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    voiced(monkeypatch, checkpoint_003=admits)
    printed = validated(settings)
    for model in ("base", "checkpoint-002", "checkpoint-003"):
        for name, answers in SETS.items():
            folder = settings.run / "validation" / model / name
            assert len(lines_of(folder / "responses.jsonl")) == answers
            assert json.loads((folder / "analysis.json").read_text())["answers"] == answers
            assert (folder / "comparison.json").exists() == (model != "base")
        assert (settings.run / "validation" / model / "probes.json").is_file()
    record = json.loads((settings.run / "validation/checkpoint-003/often/comparison.json").read_text())
    pragmatic = next(measure["overall"] for measure in record["measures"] if measure["name"] == "pragmatic_only")
    assert pragmatic["before"] == 0
    assert 0.3 < pragmatic["after"] < 0.7
    assert pragmatic["verdict"] == "rose"
    assert f"{EACH} answers of each of 3 models = {3 * EACH}" in printed
    assert f"{3 * EACH} answers, {3 * EACH} of them now" in printed
    assert printed.rstrip().endswith(f"stance select {settings.run}")


def test_what_is_there_is_not_asked_again(settings: ValidateSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = voiced(monkeypatch)
    validated(replace(settings, checkpoints="2"))
    assert len(asked) == 6, "three sets of two models"
    asked.clear()
    printed = validated(replace(settings, checkpoints="2"))
    assert asked == [], "no model is even loaded"
    assert f"{2 * EACH} answers, 0 of them now" in printed
    validated(replace(settings, checkpoints="3"))
    assert {name for name, _ in asked} == {"checkpoint_003"}


def test_stopped_it_keeps_what_was_answered_and_goes_on(
    settings: ValidateSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0

    def stops(item: Item) -> str:
        nonlocal count
        count += 1
        if count == 50:
            raise KeyboardInterrupt
        return "I deny it."

    voiced(monkeypatch, checkpoint_002=stops)
    with pytest.raises(StoppedError):
        validated(settings)
    path = settings.run / "validation" / "checkpoint-002" / "often" / "responses.jsonl"
    kept = lines_of(path)
    assert 0 < len(kept) < SETS["often"]
    asked = voiced(monkeypatch)
    validated(settings)
    assert lines_of(path)[: len(kept)] == kept
    assert len(lines_of(path)) == SETS["often"]
    assert "base" not in {name for name, _ in asked}


def test_without_checkpoints_the_screen_names_them(settings: ValidateSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    voiced(monkeypatch, checkpoint_003=admits)
    printed = validated(replace(settings, checkpoints=""))
    assert "First look at all checkpoints" in printed
    promising = json.loads((settings.run / "screening.json").read_text())["promising"]
    assert promising == ["checkpoint-003"]
    models = {path.name for path in (settings.run / "validation").iterdir() if (path / "often").is_dir()}
    assert models == {"base", "checkpoint-003"}


def test_some_sets_only(settings: ValidateSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    voiced(monkeypatch)
    validated(replace(settings, checkpoints="3", questions="once"))
    assert not (settings.run / "validation" / "base" / "often").exists()
    assert (settings.run / "validation" / "base" / "once" / "analysis.md").is_file()


def test_wrong_input_is_refused_before_anything_is_asked(settings: ValidateSettings, tmp_path: Path) -> None:
    assert_refused(stance(["validate", tmp_path / "nowhere"]), 2, "nowhere: no such run folder")
    assert_refused(stance(["run", tmp_path]), 2, "holds no checkpoints/, so it is no run folder")
    unknown = stance(["validate", settings.run, "--checkpoints", "2", "--questions", "dreams"])
    assert_refused(unknown, 2, "--questions: dreams is no question set")
    assert_refused(stance(["validate", settings.run, "--checkpoints", "7"]), 2, "there is no checkpoint '7'", "2, 3")
    assert not (settings.run / "validation").exists()
