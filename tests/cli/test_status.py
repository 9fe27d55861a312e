"""The table: what is done, what is missing, what comes next; and that a damaged file is a row of it."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
from checkout import ROOT
from label_run import fill, write_answers
from rich.console import Console
from small_run import run, small_settings
from typer.core import TyperGroup
from typer.main import get_command

from epistemic_stance.cli import commands, status
from epistemic_stance.cli import main as cli
from epistemic_stance.cli.status import run_status, status_rows
from epistemic_stance.foundation.errors import InputError, RefusedError
from epistemic_stance.foundation.files import dump_json
from epistemic_stance.foundation.recipes import with_recipe
from epistemic_stance.foundation.reporter import silent
from epistemic_stance.foundation.settings import LabelSettings, StatusSettings, TrainSettings
from epistemic_stance.labelling import run as labelling
from epistemic_stance.records.collection import CollectionRecord
from epistemic_stance.records.validation import RuleRecord, SelectionRecord
from epistemic_stance.report.findings import FINDINGS
from epistemic_stance.report.status_page import Row, next_row, page
from epistemic_stance.stance.load import load_stance
from epistemic_stance.training.prepare import recorded_settings


@pytest.fixture(autouse=True)
def empty_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder without anything, and an empty cache of models."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shutil, "which", lambda _name: "/usr/bin/stance")
    return here


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainSettings:
    settings = small_settings(tmp_path_factory.mktemp("trained"))
    run(settings)
    return settings


@pytest.fixture
def own_run(trained: TrainSettings, empty_place: Path) -> Path:
    """A copy of the run that a test may spoil."""
    return Path(shutil.copytree(trained.output_dir, empty_place / "run"))


def rows(settings: StatusSettings) -> dict[str, Row]:
    return {row.name: row for row in status_rows(settings)}


def edited(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# --- before training ---------------------------------------------------------------------------------------


def test_in_an_empty_folder_the_model_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    run_status(StatusSettings(), Console(file=sys.stdout, width=80))
    text = Path("PHASE2_READY.md").read_text()
    assert "Not ready to train: model, baseline." in text
    assert "**Next:** model: Qwen/Qwen2.5-0.5B-Instruct is not on this machine" in text
    assert "```bash\nstance train --dry-run\n```" in text
    assert "| stance | done | epistemic: 25 pairs" in text
    assert "| training | missing | none in fine\\_tuned\\_model | stance train |" in text
    shown = capsys.readouterr().out
    assert "Next: model" in shown
    assert max(map(len, shown.split("\nNot ready")[0].splitlines())) <= 80


def put_in_cache(folder: Path, name: str, files: dict[str, str]) -> None:
    model = folder / f"models--{name.replace('/', '--')}"
    (model / "snapshots" / "abc").mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("abc")
    for file, content in files.items():
        (model / "snapshots" / "abc" / file).write_text(content)


@pytest.mark.parametrize(
    ("files", "state"),
    [
        ({"config.json": "{}", "tokenizer_config.json": "{}", "model.safetensors": ""}, "done"),
        ({"config.json": "{}", "tokenizer_config.json": "{}"}, "missing"),
        ({"config.json": "{}", "model.safetensors": ""}, "missing"),
        ({"model.safetensors.index.json": '{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}'}, "missing"),
    ],
)
def test_a_model_of_the_hub_is_looked_for_in_the_cache_alone(tmp_path: Path, files: dict[str, str], state: str) -> None:
    put_in_cache(tmp_path / "cache", "some/model", files)
    row = rows(StatusSettings(model="some/model"))["model"]
    assert (row.state, row.command) == (state, "" if state == "done" else "stance train --model some/model --dry-run")


def test_a_model_in_parts_needs_all_of_them(tmp_path: Path) -> None:
    index = '{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}'
    files = {"config.json": "{}", "tokenizer_config.json": "{}", "model.safetensors.index.json": index}
    put_in_cache(tmp_path / "cache", "half/there", {**files, "1.safetensors": ""})
    put_in_cache(tmp_path / "cache", "all/there", {**files, "1.safetensors": "", "2.safetensors": ""})
    assert rows(StatusSettings(model="half/there"))["model"].state == "missing"
    assert rows(StatusSettings(model="all/there"))["model"].state == "done"


@pytest.mark.parametrize(("name", "state"), [("./nowhere", "missing"), (".", "missing"), ("a b", "damaged")])
def test_a_model_that_cannot_be_is_a_row(name: str, state: str) -> None:
    assert rows(StatusSettings(model=name))["model"].state == state


def test_the_baseline_has_to_be_of_the_model_that_is_trained(empty_place: Path) -> None:
    shutil.copytree(ROOT / "baseline_data", empty_place / "baseline_data")
    assert rows(StatusSettings())["baseline"].state == "missing"
    assert str(status.FINDINGS_PAGE) == FINDINGS
    row = rows(StatusSettings(model="demo"))["baseline"]
    assert row.state == "unfinished"
    assert row.command.startswith("stance findings baseline_data/")
    shutil.copy(ROOT / FINDINGS, empty_place)
    assert rows(StatusSettings(model="demo"))["baseline"].state == "done"
    assert rows(StatusSettings())["baseline"].state == "missing"
    answers = next((empty_place / "baseline_data").glob("*.plan.json")).with_suffix("").with_suffix(".jsonl")
    answers.write_text("".join(answers.read_text().splitlines(keepends=True)[:149]))
    row = rows(StatusSettings(model="demo"))["baseline"]
    assert (row.state, row.command) == ("unfinished", "stance collect --model demo --questions baseline")
    assert row.detail.startswith("149 of 150 answers")


def test_a_stance_with_mistakes_is_a_row(empty_place: Path) -> None:
    folder = Path(shutil.copytree(ROOT / "epistemic_stance/stances/epistemic", empty_place / "mine"))
    corpus = json.loads((folder / "training_corpus.json").read_text())
    corpus["training_pairs"][1]["id"] = corpus["training_pairs"][0]["id"]
    (folder / "training_corpus.json").write_text(json.dumps(corpus))
    row = rows(StatusSettings(stance="mine"))["stance"]
    assert re.search(r", [1-9]\d* errors?$", row.detail)
    assert (row.state, row.command) == ("damaged", "stance check --stance mine")
    (folder / "stance.toml").write_text("name = ")
    row = rows(StatusSettings(stance="mine"))["stance"]
    assert row.state == "damaged"
    assert "not TOML" in row.detail


# --- training ----------------------------------------------------------------------------------------------


def test_a_finished_run_is_described_by_its_files(own_run: Path) -> None:
    found = rows(StatusSettings(run=own_run))
    last = json.loads(next((own_run / "logs").glob("training_log_*.jsonl")).read_text().splitlines()[-1])
    figures = f"3 of 3 epochs, loss {last['avg_loss']:.4f}, accuracy {last['avg_accuracy']:.0%}"
    assert found["training"].detail.endswith(figures)
    assert found["checkpoints"].detail == "2: checkpoint-002 to checkpoint-003"
    assert found["training"].state == found["checkpoints"].state == "done"
    assert "9 pairs" in found["stance"].detail


def test_a_stopped_run_is_resumed_with_the_flags_it_began_with(
    trained: TrainSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(trained.output_dir, tmp_path / "a run"))
    edited(folder / "run.json", status="stopped", reason="stopped by SIGTERM")
    row = rows(StatusSettings(run=folder))["training"]
    assert row.state == "unfinished"
    assert row.detail.startswith("stopped (stopped by SIGTERM)")
    words = shlex.split(row.command)
    assert words[:2] == ["stance", "train"]
    assert words[-1] == "--resume"
    seen: list[TrainSettings] = []

    def run(settings: TrainSettings, _reporter: object) -> None:
        seen.append(settings)
        raise InputError([])

    monkeypatch.setattr("epistemic_stance.cli.train.run", run)
    cli.run(words[1:])
    assert seen == [replace(trained, output_dir=folder, resume=True)]


def test_a_run_of_a_recipe_is_resumed_with_what_was_given_beside_it(
    trained: TrainSettings, own_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where that is the default and not what the recipe says."""
    beside = replace(with_recipe(replace(trained, recipe="robust"), {"epochs"}), nll_weight=0.0)
    edited(own_run / "run.json", status="stopped", settings=recorded_settings(beside))
    seen: list[TrainSettings] = []

    def run(settings: TrainSettings, _reporter: object) -> None:
        seen.append(settings)
        raise InputError([])

    monkeypatch.setattr("epistemic_stance.cli.train.run", run)
    cli.run(shlex.split(rows(StatusSettings(run=own_run))["training"].command)[1:])
    assert seen == [replace(beside, output_dir=own_run, resume=True)]


def test_a_running_run_is_told_from_one_that_died(own_run: Path) -> None:
    edited(own_run / "run.json", status="running")
    (own_run / ".lock").write_text(f"pid {os.getpid()} on {socket.gethostname()}\n")
    row = rows(StatusSettings(run=own_run))["training"]
    assert row.detail.startswith("running")
    assert row.command.startswith("tail -f ")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (own_run / ".lock").write_text(f"pid {gone.pid} on {socket.gethostname()}\n")
    row = rows(StatusSettings(run=own_run))["training"]
    assert row.detail.startswith("ended without a record of why")
    assert row.command.endswith("--resume")
    (own_run / ".lock").write_text(f"pid {gone.pid} on {socket.gethostname()}-elsewhere\n")
    assert rows(StatusSettings(run=own_run))["training"].detail.startswith("running")


def test_another_model_or_corpus_than_the_runs_is_pointed_out(own_run: Path) -> None:
    row = rows(StatusSettings(run=own_run, model="demo"))["training"]
    assert row.detail.endswith("not of demo")
    assert row.command == f"stance train --model demo --output-dir {own_run}_new"
    edited(own_run / "run.json", corpus_digest="0" * 64)
    assert rows(StatusSettings(run=own_run))["stance"].state == "damaged"


@pytest.mark.parametrize(
    ("path", "content", "name", "detail"),
    [
        ("run.json", "{", "training", "run.json: cannot be read"),
        ("run.json", "[]", "training", "run.json: cannot be read"),
        ("run.json", "[" * 100_000, "training", "run.json: cannot be read"),
        ("run.json", '{"status": "dancing"}', "training", "run.json: cannot be read: status:"),
        ("logs/training_log_*.jsonl", "\x00\n", "training", "cannot be read"),
        ("checkpoints/checkpoint-002/model.safetensors", "x", "checkpoints", "model.safetensors has 1 bytes"),
        ("checkpoints/checkpoint-002/MANIFEST.json", "[]", "checkpoints", "MANIFEST.json is damaged"),
        ("best_model/MANIFEST.json", None, "checkpoints", "best_model: MANIFEST.json cannot be read"),
        ("screening.json", "{}", "screening", "screening.json: cannot be read"),
        ("validation/base/probes.json", '{"a": ', "probes", "probes.json: cannot be read"),
        ("validation/base/phase1/responses.plan.json", "?", "answers of base", "responses.plan.json: cannot be read"),
        ("validation/base/phase1/responses.jsonl", "{}\n", "answers of base", "has no responses.plan.json"),
        ("selection.json", "", "selection", "selection.json: cannot be read"),
        ("report.html", "", "report", "report.html is empty"),
    ],
)
def test_a_damaged_file_is_a_row(own_run: Path, path: str, content: str | None, name: str, detail: str) -> None:
    found = [*own_run.glob(path)]
    file = found[0] if found else own_run / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    if content is not None:
        file.write_text(content)
    if name == "answers of base":
        (file.parent / "responses.jsonl").write_text("{}\n")
    settings = StatusSettings(run=own_run)
    row = rows(settings)[name]
    assert detail in row.detail
    assert row.state == "damaged"
    run_status(settings, Console(file=io.StringIO()))


def test_folders_where_files_should_be_are_rows(own_run: Path) -> None:
    spoiled = ["run.json", "screening.json", "selection.json", "labels/draw.json", "labels/first.csv"]
    spoiled += ["validation/base/phase1/responses.jsonl", "validation/base/phase1/responses.plan.json"]
    for name in spoiled:
        (own_run / name).unlink(missing_ok=True)
        (own_run / name).mkdir(parents=True)
    Path(FINDINGS).mkdir()
    run_status(StatusSettings(run=own_run), Console(file=io.StringIO()))
    assert "run.json: cannot be read: Is a directory" in Path("PHASE2_READY.md").read_text().replace("\\_", "_")


# --- validation --------------------------------------------------------------------------------------------


def plan_of(model: str, **changes: Any) -> CollectionRecord:
    shipped = next((ROOT / "baseline_data").glob("*.plan.json"))
    return CollectionRecord.model_validate(json.loads(shipped.read_text()) | {"model": model, **changes})


def put_answers(folder: Path, plan: CollectionRecord, number: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "responses.plan.json").write_text(dump_json(plan.model_dump(mode="json")))
    (folder / "responses.jsonl").write_text("{}\n" * number)


def test_answers_are_asked_then_analysed_then_compared(own_run: Path, trained: TrainSettings) -> None:
    settings = StatusSettings(run=own_run)
    base, last = own_run / "validation/base/baseline", own_run / "validation/checkpoint-003/baseline"
    (own_run / "selection.json").write_text("{}")

    def seen(model: str) -> Row:
        return rows(settings)[f"answers of {model}"]

    for folder, model in ((base, trained.model), (last, str(own_run / "checkpoints/checkpoint-003"))):
        name = folder.parent.name
        put_answers(folder, plan_of(model, status="stopped"), 7)
        assert "baseline: 7 of 150, stopped" in seen(name).detail
        begun = "" if folder == base else " --checkpoints 3"
        assert (seen(name).state, seen(name).command) == ("unfinished", f"stance run {own_run}{begun}")
        put_answers(folder, plan_of(model), 150)
        assert "baseline: not analysed" in seen(name).detail
        (folder / "analysis.json").write_text("{}")
    assert seen("base") == Row("answers of base", "done", "150 answers to 1 sets")
    assert "baseline: not compared" in seen("checkpoint-003").detail
    (last / "comparison.json").write_text("{}")
    assert seen("checkpoint-003").state == "done"
    os.utime(last / "analysis.json", (0, 0))
    assert "baseline: not analysed" in seen("checkpoint-003").detail


def test_all_sampled_sets_are_wanted_until_a_checkpoint_is_chosen(own_run: Path) -> None:
    for model in ("base", "checkpoint-002"):
        folder = own_run / "validation" / model / "safety"
        put_answers(folder, plan_of("x", question_set="safety", responses=3), 3)
        for name in ("analysis.json", "comparison.json"):
            (folder / name).write_text("{}")
    sampled = [name for name, design in load_stance("epistemic").designs.items() if design.sampled]
    row = rows(StatusSettings(run=own_run))["answers of checkpoint-002"]
    assert row.state == "unfinished"
    assert row.detail.endswith(f"{len(sampled) - 1 - status.MOST_SHOWN} more")
    (own_run / "selection.json").write_text("{}")
    assert rows(StatusSettings(run=own_run))["answers of checkpoint-002"].state == "done"


def test_probes_are_wanted_of_the_models_that_are_validated(own_run: Path) -> None:
    settings = StatusSettings(run=own_run)
    row = rows(settings)["probes"]
    assert (row.state, row.command) == ("missing", f"stance probe {own_run} --checkpoints 3")
    put_answers(own_run / "validation/checkpoint-002/safety", plan_of("x", question_set="safety"), 3)
    assert rows(settings)["probes"].command == f"stance probe {own_run} --checkpoints 2"


def test_a_choice_and_a_report_age(own_run: Path) -> None:
    settings = StatusSettings(run=own_run)
    answers = own_run / "validation/checkpoint-002/safety"
    put_answers(answers, plan_of("x", question_set="safety"), 3)
    for chosen, detail in (("checkpoint-002", "checkpoint-002"), (None, "no checkpoint qualifies")):
        (own_run / "selection.json").write_text(dump_json(selection(chosen).model_dump(mode="json")))
        (own_run / "report.html").write_text("<html>")
        found = rows(settings)
        assert found["selection"].detail == detail
        assert found["selection"].state == found["report"].state == "done"
    os.utime(own_run / "report.html", (0, 0))
    assert rows(settings)["report"].detail.endswith("is older than the choice")
    os.utime(own_run / "selection.json", (0, 0))
    row = rows(settings)["selection"]
    assert row.detail == "no checkpoint qualifies, but there are newer answers"
    assert (row.state, row.command) == ("unfinished", f"stance select {own_run}")


def selection(chosen: str | None) -> SelectionRecord:
    """A choice of which only the result matters here."""
    rule = RuleRecord(
        timestamp="",
        rule="",
        criteria_digest="",
        red_flags_digest="",
        split_digest="",
        stance_digest="",
        digest="",
    )
    return SelectionRecord(
        timestamp="",
        run="",
        stance="",
        corpus_digest="",
        rule=rule,
        frozen="now",
        seed=0,
        base_answers={},
        base_sha256={},
        notices=[],
        candidates=[],
        chosen=chosen,
        reason="",
        shown=None,
        best_by_loss=None,
        versions={},
    )


def test_labels_are_counted_and_optional(own_run: Path) -> None:
    settings = StatusSettings(run=own_run)
    assert rows(settings)["labels"].state == "missing"
    answers = [{"question": f"Why {number}?", "category": "experiential", "response": "So."} for number in (1, 2)]
    write_answers(own_run / "validation/base/phase1/responses.jsonl", answers)
    labelling.run(LabelSettings(run=own_run, stance="epistemic", patterns=True), silent)
    file = own_run / "labels/first.csv"
    fill(file, lambda _row: {"refusal": 0}, 1)
    row = rows(settings)["labels"]
    assert (row.state, row.detail) == ("unfinished", "of 2 answers: first 1")
    fill(file, lambda _row: {"refusal": 0})
    assert rows(settings)["labels"].state == "done"


# --- the page ----------------------------------------------------------------------------------------------


def test_every_command_on_the_page_exists_with_its_flags(own_run: Path) -> None:
    shown = [row.command for row in status_rows(StatusSettings(run=own_run))]
    shown += [row.command for row in status_rows(StatusSettings())]
    edited(own_run / "run.json", status="failed")
    shown += [row.command for row in status_rows(StatusSettings(run=own_run, model="demo"))]
    group = get_command(commands.app)
    assert isinstance(group, TyperGroup)
    asked = {(words[1], word) for words in map(shlex.split, filter(None, shown)) for word in (words[2:] or [""])}
    names = {name for name, _ in asked}
    assert names >= {"train", "run", "probe", "label", "select", "report", "collect"}
    assert names <= group.commands.keys()
    for name, word in asked:
        if word.startswith("--"):
            assert word in {option for one in group.commands[name].params for option in one.opts}, (name, word)


def test_what_is_optional_comes_last() -> None:
    optional = Row("labels", "missing", "none", "stance a")
    wanted = Row("selection", "missing", "none", "stance b")
    hopeless = Row("checkpoints", "damaged", "cut off")
    for order in ([optional, hopeless, wanted], [wanted, optional, hopeless]):
        assert next_row(order) == wanted
    assert next_row([optional, hopeless]) == hopeless
    assert next_row([Row("model", "done", "demo")]) is None


def test_text_of_unknown_origin_stays_text_on_the_page() -> None:
    hostile = "x](http://y) <script>\n\n# heading | \x1b[2J `"
    text = page([Row("model", "damaged", hostile)], Path("run"))
    assert "](http" not in text.replace("\\](http", "")
    assert "\x1b" not in text
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    assert "\\<script" in text


def test_a_page_of_somebody_else_is_not_replaced() -> None:
    page = Path("PHASE2_READY.md")
    page.write_text("My own notes.\n")
    with pytest.raises(RefusedError, match="--output"):
        run_status(StatusSettings(), Console(file=io.StringIO()))
    assert page.read_text() == "My own notes.\n"
    page.unlink()
    for _ in range(2):
        run_status(StatusSettings(), Console(file=io.StringIO()))
    with pytest.raises(InputError, match="is a folder"):
        run_status(StatusSettings(output=Path()), Console(file=io.StringIO()))


def test_it_is_told_without_torch_or_numpy(empty_place: Path, trained: TrainSettings) -> None:
    code = (
        "import sys; from epistemic_stance.cli import main as cli; code = cli.run(sys.argv[1:]);"
        "print(*({'torch', 'transformers', 'numpy', 'scipy'} & sys.modules.keys()), file=sys.stderr); sys.exit(code)"
    )
    command = [sys.executable, "-c", code, "status", "--run", str(trained.output_dir)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=empty_place)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == ""
    assert "Next: baseline: no answers" in done.stdout
    assert (empty_place / "PHASE2_READY.md").is_file()
