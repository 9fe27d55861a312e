"""`stance run`: from checkpoints to a choice and a page, with one command, and again with nothing left to do."""

from __future__ import annotations

import hashlib
import io
import json
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from collect_stub import lines_of
from label_run import fill
from rich.console import Console
from screen_stub import Voice, voiced
from select_run import DENIES, PRAGMATIC, RIGHT, WRONG, write_stance
from small_run import run, small_settings

from epistemic_stance.cli import budget
from epistemic_stance.cli.run import run_pipeline
from epistemic_stance.collection.design import Item
from epistemic_stance.foundation import files
from epistemic_stance.foundation.errors import NotMetError, RefusedError
from epistemic_stance.foundation.settings import RunSettings
from epistemic_stance.models import open as opening
from epistemic_stance.records.analysis import ScoreRecord
from epistemic_stance.records.probes import ProbesRecord
from epistemic_stance.scoring.score import Scorer


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with checkpoints 2 and 3, of a stance that is probed and screened; only read."""
    folder = tmp_path_factory.mktemp("running")
    stance = write_stance(folder / "stance")
    (stance / "text.txt").write_text("The tide is lower, lowest, and lowish again.\n")
    toml = (stance / "stance.toml").read_text()
    screened = toml.replace('"self.json"\n', '"self.json"\nscreen = { temperatures = [0.7], iterations = 1 }\n')
    (stance / "stance.toml").write_text(f'{screened}[probes]\nneutral_text = "text.txt"\n')
    return run(replace(small_settings(folder), stance=str(stance))).root


@pytest.fixture
def settings(trained: Path, tmp_path: Path) -> RunSettings:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("checkpoints", "run.json", "logs"):
        (folder / name).symlink_to(trained / name)
    return RunSettings(folder, checkpoints="all", threads=1, slots=7, device="cpu")


def is_fact(item: Item) -> bool:
    return item.question.startswith("What stands")


def base(item: Item) -> str:
    return (RIGHT if item.seed % 10 else WRONG) if is_fact(item) else DENIES


def honest(item: Item) -> str:
    """Says nine in ten facts right, and answers pragmatically in its own words."""
    return (RIGHT if item.seed % 10 else WRONG) if is_fact(item) else (PRAGMATIC if item.seed % 5 else DENIES)


def forgetful(item: Item) -> str:
    """Has forgotten half of the facts for being pragmatic every time."""
    return (RIGHT if item.seed % 2 else WRONG) if is_fact(item) else PRAGMATIC


def walked(settings: RunSettings) -> tuple[dict[str, object], str, NotMetError | None]:
    output, verdict = io.StringIO(), None
    try:
        run_pipeline(settings, Console(file=output, width=100, highlight=False))
    except NotMetError as error:
        verdict = error
    return json.loads((settings.run / "selection.json").read_text()), output.getvalue(), verdict


def test_one_command_ends_in_a_choice_and_a_page(settings: RunSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = voiced(monkeypatch, model=base, checkpoint_002=honest, checkpoint_003=forgetful)
    selection, printed, verdict = walked(settings)
    assert selection["chosen"] == "checkpoint-002", "the other gained more and lost its facts"
    assert selection["frozen"] == "before", "the rule was written down before anything was asked"
    assert verdict is not None, "not all facts are right, which this stance asks for"
    assert "facts" in str(verdict)
    page = (settings.run / "report.html").read_text()
    assert "checkpoint-002" in page
    assert (settings.run / "report.md").is_file()
    assert "stance validate" in printed
    again = len(asked)
    second, _, _ = walked(settings)
    assert len(asked) == again, "nothing was asked again"
    assert second["chosen"] == selection["chosen"]


def test_a_sheet_filled_in_between_two_runs_confirms_what_the_rules_said(
    settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    voiced(monkeypatch, model=base, checkpoint_002=honest, checkpoint_003=forgetful)

    def verdicts(selection: dict[str, Any]) -> dict[str, str]:
        (chosen,) = [one for one in selection["candidates"] if one["name"] == selection["chosen"]]
        return {one["name"]: one["verdict"] for one in chosen["criteria"]}

    first, printed, _ = walked(settings)
    sheet = settings.run / "labels" / "first.csv"
    assert verdicts(first)["pragmatism"] == "met by rules"
    assert f"120 of 120 answers to label, about 10 minutes: {sheet}" in printed
    pragmatic, denies = {"pragmatic": "yes", "performative": "no"}, {"pragmatic": "no", "performative": "yes"}
    neither = dict.fromkeys(pragmatic, "no")
    fill(sheet, lambda row: {PRAGMATIC: pragmatic, DENIES: denies}.get(row["answer"], neither))
    second, printed, _ = walked(settings)
    assert verdicts(second) == {
        "pragmatism": "met",
        "performative": "met",
        "facts": "not met",
        "observes": "measured",
    }
    assert "to label" not in printed
    assert "Labels of checkpoint-002 by first" in (settings.run / "report.html").read_text()


def test_where_nothing_qualifies_the_page_is_written_all_the_same(
    settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    voiced(monkeypatch, model=base, checkpoint_002=base, checkpoint_003=forgetful)
    selection, _, verdict = walked(settings)
    assert selection["chosen"] is None
    assert verdict is not None
    assert "none qualifies" in (settings.run / "report.html").read_text().lower()


def test_a_budget_asks_both_models_alike_and_a_longer_one_adds_to_it(
    settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first 16 of each set 52 s are left, in which both models can give 52 answers."""
    monkeypatch.setattr(budget.Budget, "left", property(lambda _: 52 / budget.SHARE))
    monkeypatch.setattr(budget, "PLANS", 1)
    monkeypatch.setattr(budget, "_seconds_of", lambda *_: {("base", "self"): 0.5, ("checkpoint-002", "self"): 0.5})
    asked = voiced(monkeypatch, model=base, checkpoint_002=honest)
    settings = replace(settings, checkpoints="2", budget="1m")
    selection, printed, _ = walked(settings)
    assert selection["chosen"] == "checkpoint-002"
    assert "self 68 of 360, facts 16 of 480, trained 0 of 27" in printed
    assert "may stay inconclusive, facts: 16 of 160 questions: Performative, All facts right" in printed
    assert "stays unknown, trained: 0 of 9 questions" in printed
    first = answers_of(settings)
    assert {name: len(texts) for name, texts in first.items()} == {
        ("base", "facts"): 16,
        ("base", "self"): 68,
        ("checkpoint-002", "facts"): 16,
        ("checkpoint-002", "self"): 68,
    }
    assert {*first["base", "self"]} == {*first["checkpoint-002", "self"]}, "the same questions, as often"
    before = answered(asked)
    walked(replace(settings, budget=""))
    whole = answers_of(settings)
    assert {name: len(texts) for name, texts in whole.items()} == {
        name: 360 if name[1] == "self" else 480 for name in first
    }
    assert all(whole[name].items() >= first[name].items() for name in first), "what was there is kept"
    assert answered(asked) - before == 2 * (360 + 480 + 27) - 2 * (68 + 16), "and not asked again"


def answered(asked: list[tuple[str, Voice]]) -> int:
    return sum(len(group) for _, voice in asked for group in voice.asked)


def answers_of(settings: RunSettings) -> dict[tuple[str, str], dict[tuple[str, int], str]]:
    """(model, set) -> (question, iteration) -> its answer."""
    return {
        (path.parent.parent.name, path.parent.name): {
            (line["question_id"], line["iteration"]): line["response"] for line in lines_of(path)
        }
        for path in settings.run.glob("validation/*/*/responses.jsonl")
        if path.parent.name != "trained"
    }


def test_a_budget_that_the_first_answers_use_up_is_refused_with_one_that_suffices(
    settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget.Budget, "left", property(lambda _: -30.0))
    monkeypatch.setattr(budget, "_seconds_of", lambda *_: {("base", "self"): 0.5, ("checkpoint-002", "self"): 0.5})
    asked = voiced(monkeypatch, model=base, checkpoint_002=honest)
    with pytest.raises(RefusedError, match="used up by probes and 16 answers of a set") as refused:
        walked(replace(settings, checkpoints="2", budget="1m"))
    assert "--budget 6m asks every question once" in str(refused.value)
    assert answered(asked) == 2 * 2 * 16, "what was answered is kept"


class Counts:
    """How often the dear steps are done: loading a model, reading a weights file for its digest, scoring an answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loads = self.hashed = self.scored = 0
        self.together = 0
        """Most models that were in memory when another one was loaded."""
        models: list[weakref.ref[Any]] = []
        load, digest, score = opening.load_model, hashlib.file_digest, Scorer.score

        def counted_load(*arguments: Any) -> Any:
            self.loads += 1
            self.together = max(self.together, sum(model() is not None for model in models))
            model = load(*arguments)
            models.append(weakref.ref(model))
            return model

        def counted_digest(stream: Any, name: str) -> Any:
            self.hashed += str(stream.name).endswith(".safetensors")
            return digest(stream, name)

        def counted_score(scorer: Scorer, *arguments: Any) -> ScoreRecord:
            self.scored += 1
            return score(scorer, *arguments)

        monkeypatch.setattr(files, "_digests", {})
        monkeypatch.setattr(opening, "load_model", counted_load)
        monkeypatch.setattr(hashlib, "file_digest", counted_digest)
        monkeypatch.setattr(Scorer, "score", counted_score)


def answers_in(folder: Path) -> int:
    return sum(len(lines_of(path)) for path in folder.glob("*/*/responses.jsonl"))


def test_each_model_is_loaded_and_hashed_once_and_each_answer_scored_once(
    settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Base and two checkpoints, all question sets and probes, from the first answer to the report."""
    voiced(monkeypatch, model=base, checkpoint_002=honest, checkpoint_003=forgetful)
    counts = Counts(monkeypatch)
    walked(settings)
    assert counts.loads == 3
    assert counts.hashed == 3
    assert counts.together == 0, "a model is dropped before the next one is loaded"
    assert counts.scored == answers_in(settings.run / "validation") > 0
    walked(settings)
    assert (counts.loads, counts.hashed) == (3, 3), "what is there is not done again"
    assert counts.scored == answers_in(settings.run / "validation")


def test_with_a_first_look_only_the_finalists_are_loaded_twice(
    settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    voiced(monkeypatch, model=base, checkpoint_002=honest, checkpoint_003=forgetful)
    counts = Counts(monkeypatch)
    walked(replace(settings, checkpoints=""))
    finalists = json.loads((settings.run / "screening.json").read_text())["promising"]
    assert finalists
    assert counts.loads == 3 + len(finalists)
    assert counts.hashed == 3
    assert counts.scored == answers_in(settings.run / "validation") + answers_in(settings.run / "screen")
    for path in settings.run.glob("validation/*/probes.json"):
        neutral = ProbesRecord.model_validate_json(path.read_bytes()).neutral
        assert neutral is not None
        assert neutral.kl is not None, "the base model was opened first, and its probabilities were kept"
