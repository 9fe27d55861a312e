"""`stance run`: from checkpoints to a choice and a page, with one command, and again with nothing left to do."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from screen_stub import voiced
from select_run import DENIES, PRAGMATIC, RIGHT, WRONG, write_stance
from small_run import run, small_settings

from epistemic_stance.cli.run import run_run
from epistemic_stance.collection.design import Item
from epistemic_stance.foundation.errors import NotMetError
from epistemic_stance.foundation.settings import ValidateSettings


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with checkpoints 2 and 3; only read."""
    folder = tmp_path_factory.mktemp("running")
    return run(replace(small_settings(folder), stance=str(write_stance(folder / "stance")))).root


@pytest.fixture
def settings(trained: Path, tmp_path: Path) -> ValidateSettings:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("checkpoints", "run.json", "logs"):
        (folder / name).symlink_to(trained / name)
    return ValidateSettings(folder, checkpoints="all", threads=1, slots=7, device="cpu")


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


def walked(settings: ValidateSettings) -> tuple[dict[str, object], str, NotMetError | None]:
    output, verdict = io.StringIO(), None
    try:
        run_run(settings, Console(file=output, width=100, highlight=False))
    except NotMetError as error:
        verdict = error
    return json.loads((settings.run / "selection.json").read_text()), output.getvalue(), verdict


def test_one_command_ends_in_a_choice_and_a_page(settings: ValidateSettings, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_where_nothing_qualifies_the_page_is_written_all_the_same(
    settings: ValidateSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    voiced(monkeypatch, model=base, checkpoint_002=base, checkpoint_003=forgetful)
    selection, _, verdict = walked(settings)
    assert selection["chosen"] is None
    assert verdict is not None
    assert "none qualifies" in (settings.run / "report.html").read_text().lower()
