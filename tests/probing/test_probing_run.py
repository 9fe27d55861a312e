"""`stance probe` over a run folder: what is written, skipped and redone, and what a user is told."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from small_run import run, small_settings
from tiny import TEMPLATES, copied_model, save_tiny

from epistemic_stance.cli.terminal_reporter import terminal_reporter
from epistemic_stance.foundation.errors import InputError, NumericError, RefusedError, StoppedError
from epistemic_stance.foundation.settings import DEMO_NOTICE, ProbeSettings
from epistemic_stance.models.find import DEMO_FOLDER
from epistemic_stance.probing import run as probe
from epistemic_stance.probing.run import Probes, require_finite
from epistemic_stance.records.probes import ProbesRecord
from epistemic_stance.report.probe_table import print_probes

STANCE = """
schema = 1
name = "small"
[corpus]
path = "corpus.json"
[[question_sets]]
name = "small_probes"
path = "questions.json"
[probes]
yes_no = ["small_probes"]
choices = ["small_probes"]
neutral_text = "text.txt"
"""
TEXT = "The tide is lower, lowest, and lowish again.\n\nA slower walk is a longer walk.\n\nDo cats dream?\n"


def write_stance(folder: Path) -> Path:
    folder.mkdir()
    questions: list[dict[str, Any]] = [
        {"id": f"y{n}", "category": "tides", "text": f"Is tide {n} lower?", "favours": ("yes", "no")[n % 2]}
        for n in range(6)
    ]
    questions += [
        {"id": f"c{n}", "category": "walks", "text": f"What is a walk of {n}?", "choices": ["Sell.", "Tall"]}
        | {"answer": {"kind": "phrase", "accepted": ["slower"]}}
        for n in range(5)
    ]
    pair = {"id": "p", "category": "c", "question": "q?", "bad_response": "b", "good_response": "g"}
    names = {"tides": "about tides", "walks": "about walks"}
    (folder / "stance.toml").write_text(STANCE)
    (folder / "questions.json").write_text(
        json.dumps({"name": "small_probes", "categories": names, "questions": questions})
    )
    (folder / "corpus.json").write_text(json.dumps({"training_pairs": [pair]}))
    (folder / "text.txt").write_text(TEXT)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run folder with checkpoints 2 and 3, and the stance to probe it with."""
    folder = tmp_path_factory.mktemp("probing")
    return run(small_settings(folder)).root, write_stance(folder / "stance")


@pytest.fixture
def settings(trained: tuple[Path, Path], tmp_path: Path) -> ProbeSettings:
    """Figures go to a folder of the test's own; the run is only read."""
    return ProbeSettings(str(trained[0]), stance=str(trained[1]), output_dir=tmp_path / "out", choices=4, device="cpu")


def probed(settings: ProbeSettings) -> tuple[dict[str, ProbesRecord], str]:
    """The figures, and what the command prints."""
    output = io.StringIO()
    probes = run_and_print(settings, output)
    require_finite(probes)
    return probes.records, output.getvalue()


def run_and_print(settings: ProbeSettings, output: io.StringIO) -> Probes:
    console = Console(file=output, width=80)
    with terminal_reporter(console) as reporter:
        probes = probe.run(settings, reporter)
    print_probes([model.name for model in probes.target.models], probes.records, console)
    return probes


def measured_in(output: str) -> list[str]:
    return re.findall(r"^  (\S+) +[\d.]+ s$", output, re.MULTILINE)


def test_base_and_every_checkpoint_are_probed_and_written(settings: ProbeSettings) -> None:
    found, output = probed(settings)
    assert list(found) == ["base", "checkpoint-002", "checkpoint-003"] == measured_in(output)
    assert settings.output_dir is not None
    for name, record in found.items():
        path = settings.output_dir / name / "probes.json"
        assert ProbesRecord.model_validate_json(path.read_bytes()) == record
        assert record.identity.base_weights_digest == found["base"].identity.weights_digest
        assert record.yes_no[0].overall.questions == 6
        assert record.choices is not None
        assert record.choices.overall.questions == 4
    base, tuned = found["base"], found["checkpoint-003"]
    assert base.neutral is not None
    assert tuned.neutral is not None
    assert base.neutral.kl is not None
    assert tuned.neutral.kl is not None
    assert base.neutral.kl.value == 0.0 < tuned.neutral.kl.value
    assert base.yes_no[0].overall.preference_change is None
    change = tuned.yes_no[0].overall.preference_change
    levels = [one.yes_no[0].overall.preference for one in (base, tuned)]
    assert change is not None
    assert levels[0] is not None
    assert levels[1] is not None
    assert change.value == pytest.approx(levels[1].value - levels[0].value)
    assert max(len(line) for line in output.partition("Probes")[2].partition("note:")[0].splitlines()) <= 80
    assert DEMO_NOTICE not in output


def test_the_default_place_is_the_runs_validation_folder(trained: tuple[Path, Path], settings: ProbeSettings) -> None:
    one = replace(settings, output_dir=None, target=str(trained[0] / "checkpoint-2"))
    found, _ = probed(one)
    assert list(found) == ["base", "checkpoint-002"]
    assert (trained[0] / "validation" / "checkpoint-002" / "probes.json").is_file()


def test_what_is_finished_is_skipped_and_what_changed_is_redone(settings: ProbeSettings) -> None:
    first, _ = probed(replace(settings, checkpoints="2"))
    again, output = probed(settings)
    assert measured_in(output) == ["checkpoint-003"]
    assert "2 of 3 are measured already and unchanged" in output
    assert again["base"] == first["base"]
    assert measured_in(probed(settings)[1]) == []
    assert measured_in(probed(replace(settings, choices=3))[1]) == ["base", "checkpoint-002", "checkpoint-003"]
    assert measured_in(probed(replace(settings, choices=3, overwrite=True, checkpoints="3"))[1]) == [
        "base",
        "checkpoint-003",
    ]
    assert settings.output_dir is not None
    damaged = settings.output_dir / "checkpoint-002" / "probes.json"
    damaged.write_text("{")
    found, output = probed(replace(settings, choices=3))
    assert measured_in(output) == ["checkpoint-002"]
    assert found["checkpoint-002"].yes_no[0].overall.preference_change is not None


def test_changed_weights_are_measured_anew(trained: tuple[Path, Path], settings: ProbeSettings, tmp_path: Path) -> None:
    source = trained[0] / "checkpoints" / "checkpoint-002"
    model = copied_model(source, tmp_path / "model", 1.0)
    first, _ = probed(replace(settings, target=str(model)))
    (model / "model.safetensors").unlink()
    second_folder = copied_model(source, tmp_path / "other", 1.5)
    (second_folder / "model.safetensors").rename(model / "model.safetensors")
    second, output = probed(replace(settings, target=str(model)))
    assert measured_in(output) == ["model"]
    assert first["model"].neutral != second["model"].neutral
    assert settings.output_dir is not None
    assert (settings.output_dir / "probes.json").is_file()


def test_a_checkpoint_that_is_not_finite_does_not_hide_the_others(
    trained: tuple[Path, Path], settings: ProbeSettings, tmp_path: Path
) -> None:
    source, broken = trained[0] / "checkpoints", tmp_path / "run"
    copied_model(source / "checkpoint-002", broken / "checkpoints" / "checkpoint-002", torch.nan)
    copied_model(source / "checkpoint-003", broken / "checkpoints" / "checkpoint-003", 1.0)
    output = io.StringIO()
    probes = run_and_print(replace(settings, target=str(broken)), output)
    with pytest.raises(NumericError, match=r"no figures of checkpoint-002: the model computes NaN") as failed:
        require_finite(probes)
    assert failed.value.exit_code == 4
    assert settings.output_dir is not None
    assert not (settings.output_dir / "checkpoint-002").exists()
    assert (settings.output_dir / "checkpoint-003" / "probes.json").is_file()
    assert re.search(r"^002 +not finite", output.getvalue(), re.MULTILINE)


def test_a_base_of_another_vocabulary_leaves_kl_unknown(settings: ProbeSettings, tmp_path: Path) -> None:
    other = save_tiny(tmp_path / "other", vocab_size=410)
    found, output = probed(replace(settings, base=str(other), checkpoints="3"))
    neutral = found["checkpoint-003"].neutral
    assert neutral is not None
    assert (neutral.kl, neutral.agreement, neutral.perplexity_ratio) == (None, None, None)
    assert neutral.perplexity > 1
    assert "the base model has another vocabulary" in output
    assert re.search(r"^003 +unknown +unknown +unknown", output, re.MULTILINE)


def test_a_model_whose_origin_nobody_knows_is_probed_alone(settings: ProbeSettings, tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "model")
    found, output = probed(replace(settings, target=str(model)))
    assert list(found) == ["model"]
    assert found["model"].neutral is not None
    assert found["model"].neutral.kl is None
    assert found["model"].base_model is None
    assert "no base model: none is known" in output


def test_the_demo_is_named_for_what_it_is(settings: ProbeSettings) -> None:
    found, output = probed(replace(settings, target="demo", base=str(DEMO_FOLDER)))
    assert output.replace("\n", " ").count(DEMO_NOTICE) == 1
    assert found["model"].neutral is not None
    assert found["model"].neutral.kl is not None
    assert found["model"].neutral.agreement is not None
    same = (found["model"].neutral.kl.value, found["model"].neutral.agreement.value)
    assert (*same, found["model"].neutral.perplexity_ratio) == (0.0, 1.0, 1.0)


def test_what_was_measured_before_a_signal_is_kept(settings: ProbeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = probe.Prober.probe

    def interrupted(prober: Any, model: Any, opened: Any) -> ProbesRecord:
        if model.name == "checkpoint-003":
            raise KeyboardInterrupt
        return whole(prober, model, opened)

    monkeypatch.setattr(probe.Prober, "probe", interrupted)
    with pytest.raises(StoppedError, match="stopped by SIGINT") as stopped:
        probed(settings)
    assert stopped.value.exit_code == 130
    monkeypatch.undo()
    assert measured_in(probed(settings)[1]) == ["checkpoint-003"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "http://127.0.0.1:8000/v1"}, "a server gives no log-probabilities"),
        ({"target": "https://example.org/v1"}, "its probes stay unknown"),
        ({"checkpoints": "2,9"}, r"--checkpoints: there is no checkpoint '9' \(hint: there is 2, 3\)"),
        ({"target": "demo", "checkpoints": "2"}, "demo is no run folder"),
        ({"target": "demo", "output_dir": None}, "demo lies in no run folder"),
        ({"target": "no/such/folder"}, "is not a model folder"),
        ({"choices": -1, "threads": -2}, r"--choices: is -1, expected 0 or more\n--threads: is -2"),
        ({"base": "no/such/base"}, "no/such/base"),
    ],
)
def test_a_wrong_target_is_refused(settings: ProbeSettings, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        probed(replace(settings, **changes))


def test_a_base_that_changed_since_the_training_is_refused(
    settings: ProbeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epistemic_stance.models.find.ModelFiles.digest", lambda _: "other")
    with pytest.raises(RefusedError, match="has other weights than the model of that name"):
        probed(settings)


def test_a_stance_has_to_say_what_to_probe_with(settings: ProbeSettings, tmp_path: Path) -> None:
    stance = write_stance(tmp_path / "stance")
    path = stance / "stance.toml"
    path.write_text(STANCE.partition("[probes]")[0])
    with pytest.raises(InputError, match=r"has no \[probes\]"):
        probed(replace(settings, stance=str(stance)))
    path.write_text(STANCE)
    questions = json.loads((stance / "questions.json").read_text())
    for question in questions["questions"]:
        question.pop("favours", None)
        question.pop("choices", None)
    (stance / "questions.json").write_text(json.dumps(questions))
    with pytest.raises(InputError) as refused:
        probed(replace(settings, stance=str(stance)))
    assert "no question of small_probes has `favours`" in str(refused.value)
    assert "no question of small_probes has an answer key and `choices`" in str(refused.value)


def test_what_does_not_fit_the_model_is_refused(settings: ProbeSettings, tmp_path: Path) -> None:
    stance = write_stance(tmp_path / "stance")
    (stance / "text.txt").write_text("A slower walk. " * 200)
    with pytest.raises(InputError, match=r"text.txt: paragraph 1 has \d+ tokens, expected at most 512"):
        probed(replace(settings, stance=str(stance)))
    short = save_tiny(tmp_path / "short", max_position_embeddings=20)
    with pytest.raises(InputError, match=r"expected at most 20, the model's positions"):
        probed(replace(settings, target=str(short)))
    assert TEMPLATES["none"] is None
    with pytest.raises(InputError, match="has no chat template"):
        probed(replace(settings, target=str(save_tiny(tmp_path / "plain", template="none"))))
