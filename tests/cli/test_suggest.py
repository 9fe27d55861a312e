"""`stance corpus suggest`: the embedded model's own answers as rejected ones, in a file that the lint accepts."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from epistemic_stance.cli.check import run_check
from epistemic_stance.cli.suggest import suggest
from epistemic_stance.foundation.errors import InputError, RefusedError
from epistemic_stance.foundation.settings import CheckSettings, SuggestSettings
from epistemic_stance.models.find import find_model
from epistemic_stance.stance.corpus_file import read_corpus
from epistemic_stance.stance.load import SHIPPED, load_pairs

PAIRS = ["self_property_01", "self_property_07", "ethics_02", "confidence_01"]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> SuggestSettings:
    """Four of the shipped pairs."""
    folder = tmp_path_factory.mktemp("suggest")
    corpus = read_corpus(SHIPPED / "epistemic" / "training_corpus.json")
    pairs = [pair.model_dump() for pair in corpus.training_pairs if pair.id in PAIRS]
    (folder / "four.json").write_text(json.dumps({"metadata": {"name": "four"}, "training_pairs": pairs}))
    return SuggestSettings(
        model="demo", corpus=folder / "four.json", output=folder / "own.json", temperature=0.0, max_new_tokens=60,
        device="cpu",
    )  # fmt: skip


@pytest.fixture(scope="module")
def shown(settings: SuggestSettings) -> str:
    console = Console(file=io.StringIO(), width=120)
    suggest(settings, console)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def written(settings: SuggestSettings) -> dict[str, Any]:
    value = json.loads(settings.output.read_text())
    assert isinstance(value, dict)
    return value


def test_chosen_answers_stay_and_rejected_ones_are_the_models_own(settings: SuggestSettings, shown: str) -> None:
    assert settings.corpus is not None
    before, after = load_pairs(settings.corpus), load_pairs(settings.output)
    assert [(pair.id, pair.prompt, pair.chosen) for pair in after] == [
        (pair.id, pair.prompt, pair.chosen) for pair in before
    ]
    changed = [new.id for old, new in zip(before, after, strict=True) if old.rejected != new.rejected]
    kept = written(settings)["metadata"]["own_rejected_answers"]["kept_as_written"]
    assert "self_property_01" in changed
    assert sorted([*changed, *kept]) == sorted(PAIRS)
    assert f"{len(changed)} of 4 rejected answers are now the model's own" in shown
    assert "not evidence about Qwen" in shown
    assert shown.count("as written") == len(kept)
    own = next(pair.rejected for pair in after if pair.id == "self_property_01")
    assert own[:20] in shown


def test_the_file_says_where_its_answers_come_from(settings: SuggestSettings, shown: str) -> None:
    del shown
    metadata = written(settings)["metadata"]
    drawn = metadata["own_rejected_answers"]
    assert metadata["name"] == "four"
    assert drawn["model"] == "demo"
    assert drawn["weights_digest"] == find_model("demo").digest()
    assert (drawn["temperature"], drawn["max_new_tokens"], drawn["seed"]) == (0.0, 60, 42)
    assert drawn["corpus"] == str(settings.corpus)
    assert drawn["date"].endswith("+00:00")


def test_the_lint_accepts_the_file_and_measures_it(
    settings: SuggestSettings, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    del shown
    run_check(CheckSettings(corpus=settings.output, model="demo", device="cpu"))
    checked = capsys.readouterr().out
    assert "nats a token, rejected" in checked
    assert "not evidence about Qwen" in checked


def test_a_file_that_exists_is_refused_before_a_model_is_opened(settings: SuggestSettings, shown: str) -> None:
    del shown
    before = settings.output.read_bytes()
    with pytest.raises(RefusedError, match="already there") as caught:
        suggest(replace(settings, model="no/such/model"), Console(file=io.StringIO()))
    assert caught.value.exit_code == 3
    assert settings.output.read_bytes() == before


def test_settings_that_make_no_sense_are_refused_together(settings: SuggestSettings, tmp_path: Path) -> None:
    wrong = replace(settings, output=tmp_path / "new.json", temperature=-1.0, seed=-1, max_new_tokens=0)
    with pytest.raises(InputError) as caught:
        suggest(wrong, Console(file=io.StringIO()))
    assert [problem.where for problem in caught.value.problems] == ["--temperature", "--max-new-tokens", "--seed"]
    assert not wrong.output.exists()
