"""The checklist: what is there, what is missing, what comes next; and that a broken file is a finding."""

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
from rich.console import Console
from small_run import run, small_settings
from typer.core import TyperGroup
from typer.main import get_command

from epistemic_stance.cli import commands
from epistemic_stance.cli import main as cli
from epistemic_stance.cli.status import training, validation
from epistemic_stance.cli.status.check import Check, Section
from epistemic_stance.cli.status.command import look, run_status
from epistemic_stance.cli.status.page import markdown, next_of
from epistemic_stance.collection import run as collecting
from epistemic_stance.collection.design import read_design
from epistemic_stance.evaluation import analyze
from epistemic_stance.foundation.errors import InputError, RefusedError
from epistemic_stance.foundation.files import dump_json
from epistemic_stance.foundation.reporter import Reporter, silent
from epistemic_stance.foundation.settings import AnalyzeSettings, CollectSettings, StatusSettings, TrainSettings
from epistemic_stance.records.collection import CollectionRecord
from epistemic_stance.records.validation import RuleRecord, SelectionRecord
from epistemic_stance.report.findings import FINDINGS
from epistemic_stance.stance.load import load_stance


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


def checks(settings: StatusSettings) -> dict[str, Check]:
    return {f"{section.title}/{check.name}": check for section in look(settings) for check in section.checks}


def edited(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# --- before training ---------------------------------------------------------------------------------------


def test_in_an_empty_folder_the_model_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    run_status(StatusSettings(), Console(file=sys.stdout, width=200))
    page = Path("PHASE2_READY.md").read_text()
    first = page.index("**Next:** model: Qwen/Qwen2.5-0.5B-Instruct, not on this machine yet")
    assert first < page.index("## Machine")
    assert "```bash\nstance train --dry-run\n```" in page
    assert "- [x] corpus: 25 pairs (self\\_property\\_epistemic 10," in page
    assert "- [x] lint: 0 errors, 0 warnings" in page
    assert "- [ ] answers: none yet" in page
    assert "- [ ] run: none in fine\\_tuned\\_model; `stance train`" in page
    assert "Not ready to train: 3 of 6 things" in page
    shown = capsys.readouterr().out
    assert "Next: model" in shown
    assert max(map(len, shown.split("\n\n")[0].splitlines())) <= 80


def put_in_cache(folder: Path, name: str, files: dict[str, str]) -> None:
    model = folder / f"models--{name.replace('/', '--')}"
    (model / "snapshots" / "abc").mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("abc")
    for file, content in files.items():
        (model / "snapshots" / "abc" / file).write_text(content)


@pytest.mark.parametrize(
    ("files", "there"),
    [
        ({"config.json": "{}", "tokenizer_config.json": "{}", "model.safetensors": ""}, True),
        ({"config.json": "{}", "tokenizer_config.json": "{}"}, False),
        ({"config.json": "{}", "model.safetensors": ""}, False),
        ({"model.safetensors.index.json": '{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}'}, False),
    ],
)
def test_a_model_of_the_hub_is_looked_for_in_the_cache_alone(
    tmp_path: Path, files: dict[str, str], there: bool
) -> None:
    put_in_cache(tmp_path / "cache", "some/model", files)
    check = checks(StatusSettings(model="some/model"))["Model/model"]
    assert check.done is there
    assert check.command == "stance train --model some/model --dry-run"


def test_a_model_in_parts_needs_all_of_them(tmp_path: Path) -> None:
    index = '{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}'
    files = {"config.json": "{}", "tokenizer_config.json": "{}", "model.safetensors.index.json": index}
    put_in_cache(tmp_path / "cache", "half/there", {**files, "1.safetensors": ""})
    put_in_cache(tmp_path / "cache", "all/there", {**files, "1.safetensors": "", "2.safetensors": ""})
    assert checks(StatusSettings(model="half/there"))["Model/model"].done is False
    assert checks(StatusSettings(model="all/there"))["Model/model"].done is True


@pytest.mark.parametrize(
    ("name", "found"), [("./nowhere", "no such folder"), ("a b", "cannot be read"), ("", "folder")]
)
def test_a_model_that_cannot_be_is_a_finding(name: str, found: str) -> None:
    model = [check for place, check in checks(StatusSettings(model=name or ".")).items() if place.startswith("Model/")]
    assert [check.done for check in model] == [False]
    assert found in model[0].found


def test_the_baseline_has_to_be_of_the_model_that_is_trained(empty_place: Path) -> None:
    shutil.copytree(ROOT / "baseline_data", empty_place / "baseline_data")
    shutil.copy(ROOT / FINDINGS, empty_place)
    found = checks(StatusSettings())
    assert found["Baseline/answers"].found == "only of demo, not of Qwen/Qwen2.5-0.5B-Instruct"
    assert found["Baseline/findings"].found.endswith("is about demo, not about Qwen/Qwen2.5-0.5B-Instruct")
    assert found["Baseline/answers"].done is found["Baseline/findings"].done is False
    found = checks(StatusSettings(model="demo"))
    assert found["Baseline/answers"].done
    assert found["Baseline/findings"].done
    answers = next((empty_place / "baseline_data").glob("*.jsonl"))
    answers.write_text("".join(answers.read_text().splitlines(keepends=True)[:149]))
    found = checks(StatusSettings(model="demo"))
    assert found["Baseline/answers"].found.startswith("149 of 150 answers")
    assert found["Baseline/answers"].command == "stance collect --model demo --questions baseline"


def test_a_stance_with_mistakes_is_a_finding(empty_place: Path) -> None:
    folder = Path(shutil.copytree(ROOT / "epistemic_stance/stances/epistemic", empty_place / "mine"))
    corpus = json.loads((folder / "training_corpus.json").read_text())
    corpus["training_pairs"][1]["id"] = corpus["training_pairs"][0]["id"]
    (folder / "training_corpus.json").write_text(json.dumps(corpus))
    found = checks(StatusSettings(stance="mine"))
    assert re.match(r"[1-9]\d* errors?, ", found["Stance/lint"].found)
    assert found["Stance/lint"].command == "stance check --stance mine"
    (folder / "stance.toml").write_text("name = ")
    found = checks(StatusSettings(stance="mine"))
    assert "not TOML" in found["Stance/stance mine"].found
    assert not found["Stance/stance mine"].done


# --- training ----------------------------------------------------------------------------------------------


def test_a_finished_run_is_described_by_its_files(own_run: Path) -> None:
    found = checks(StatusSettings(run=own_run))
    last = json.loads(next((own_run / "logs").glob("training_log_*.jsonl")).read_text().splitlines()[-1])
    assert found["Training/epochs"].found.startswith(
        f"3 of 3; loss {last['avg_loss']:.4f}, accuracy {last['avg_accuracy']:.0%}"
    )
    assert found["Training/checkpoints"].found == "2 (checkpoint-002 to checkpoint-003)"
    assert all(check.done for place, check in found.items() if place.startswith("Training/"))
    assert found["Machine/device"].found == "cpu in the run"
    assert found["Stance/corpus"].found.startswith("9 pairs")


def test_a_stopped_run_is_resumed_with_the_flags_it_began_with(
    trained: TrainSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(trained.output_dir, tmp_path / "a run"))
    edited(folder / "run.json", status="stopped", reason="stopped by SIGTERM")
    check = checks(StatusSettings(run=folder))["Training/run"]
    assert check.found.startswith("stopped: stopped by SIGTERM")
    words = shlex.split(check.command)
    assert words[:2] == ["stance", "train"]
    assert words[-1] == "--resume"
    seen: list[TrainSettings] = []

    def run(settings: TrainSettings, _: Reporter) -> None:
        seen.append(settings)
        raise InputError([])

    monkeypatch.setattr("epistemic_stance.cli.train.run", run)
    cli.run(words[1:])
    assert seen == [replace(trained, output_dir=folder, resume=True)]


def test_a_running_run_is_told_from_one_that_died(own_run: Path) -> None:
    edited(own_run / "run.json", status="running")
    (own_run / ".lock").write_text(f"pid {os.getpid()} on {socket.gethostname()}\n")
    check = checks(StatusSettings(run=own_run))["Training/run"]
    assert check.found.startswith("running")
    assert check.command.startswith("tail -f ")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (own_run / ".lock").write_text(f"pid {gone.pid} on {socket.gethostname()}\n")
    check = checks(StatusSettings(run=own_run))["Training/run"]
    assert "ended without a word" in check.found
    assert check.command.endswith("--resume")
    (own_run / ".lock").write_text(f"pid {gone.pid} on {socket.gethostname()}-elsewhere\n")
    assert checks(StatusSettings(run=own_run))["Training/run"].found.startswith("running")


def test_another_model_or_corpus_than_the_runs_is_pointed_out(own_run: Path) -> None:
    found = checks(StatusSettings(run=own_run, model="demo"))["Training/run"]
    assert "not of demo" in found.found
    assert found.command == f"stance train --model demo --output-dir {own_run}_new"
    edited(own_run / "run.json", corpus_digest="0" * 64)
    found = checks(StatusSettings(run=own_run))["Stance/corpus of the run"]
    assert not found.done


@pytest.mark.parametrize(
    ("path", "content", "name", "said"),
    [
        ("run.json", "{", "Training/run", "run.json cannot be read"),
        ("run.json", "[]", "Training/run", "run.json cannot be read"),
        ("run.json", "[" * 100_000, "Training/run", "run.json cannot be read"),
        ("run.json", '{"status": "dancing"}', "Training/run", "run.json cannot be read: status:"),
        ("logs/training_log_*.jsonl", "\x00\n", "Training/epochs", "1 line of training_log_"),
        ("checkpoints/checkpoint-002/model.safetensors", "x", "Training/checkpoints", "model.safetensors has 1 bytes"),
        ("checkpoints/checkpoint-002/MANIFEST.json", "[]", "Training/checkpoints", "MANIFEST.json cannot be read"),
        ("best_model/MANIFEST.json", None, "Training/best_model", "MANIFEST.json is missing"),
        ("screening.json", "{}", "First look/screening", "screening.json cannot be read"),
        ("validation/base/probes.json", '{"a": ', "First look/probes", "probes.json of base cannot be read"),
        ("validation/base/phase1/responses.plan.json", "?", "Answers/base, phase1", "responses.plan.json cannot"),
        ("validation/base/phase1/responses.jsonl", "{}\n", "Answers/base, phase1", "1 answer without responses.plan"),
        ("selection.json", "", "Choice/selection", "selection.json cannot be read"),
        ("report.html", "", "Choice/report", "report.html is empty"),
    ],
)
def test_a_broken_file_is_a_finding(own_run: Path, path: str, content: str | None, name: str, said: str) -> None:
    found = [*own_run.glob(path)]
    file = found[0] if found else own_run / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    if content is not None:
        file.write_text(content)
    settings = StatusSettings(run=own_run)
    check = checks(settings)[name]
    assert said in check.found
    assert check.done is False
    run_status(settings, Console(file=io.StringIO()))


def test_folders_where_files_should_be_are_findings(own_run: Path) -> None:
    spoiled = ["run.json", "screening.json", "selection.json", "labels/sample.jsonl", "labels/first.jsonl"]
    spoiled += ["validation/base/phase1/responses.jsonl", "validation/base/phase1/responses.plan.json"]
    for name in spoiled:
        (own_run / name).unlink(missing_ok=True)
        (own_run / name).mkdir(parents=True)
    Path(FINDINGS).mkdir()
    run_status(StatusSettings(run=own_run), Console(file=io.StringIO()))
    assert "run.json cannot be read: Is a directory" in Path("PHASE2_READY.md").read_text().replace("\\_", "_")


def test_a_folder_that_may_not_be_read_is_a_finding(own_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_place: object) -> list[Path]:
        raise PermissionError(13, "Permission denied")

    for module in (training, validation):
        monkeypatch.setattr(module, "checkpoints_of", forbidden)
    found = checks(StatusSettings(run=own_run))
    assert found["Training/training"].found == "cannot be read: Permission denied"
    assert found["Validation/run folder"].found == "cannot be read: Permission denied"


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

    def seen(arm: str) -> Check:
        return checks(settings)[f"Answers/{arm}, baseline"]

    assert seen("base").command == seen("checkpoint-003").command == f"stance run {own_run}"
    for folder, model in ((base, trained.model), (last, str(own_run / "checkpoints/checkpoint-003"))):
        put_answers(folder, plan_of(model, status="stopped"), 7)
        assert seen(folder.parent.name).found == "7 of 150 answers, stopped"
        begun = "" if folder == base else " --checkpoints 3"
        assert seen(folder.parent.name).command == f"stance run {own_run}{begun}"
        put_answers(folder, plan_of(model), 150)
        assert seen(folder.parent.name).command == f"stance analyze {folder}/responses.jsonl"
        (folder / "analysis.json").write_text("{}")
    assert seen("base").done
    assert seen("checkpoint-003").command == f"stance compare {base} {last}"
    (last / "comparison.json").write_text("{}")
    assert seen("checkpoint-003").found == "150 of 150 answers, analysed, compared"
    os.utime(last / "analysis.json", (0, 0))
    assert "older than the answers" in seen("checkpoint-003").found


def test_all_sampled_sets_are_wanted_until_a_checkpoint_is_chosen(own_run: Path) -> None:
    put_answers(own_run / "validation/checkpoint-002/safety", plan_of("x", question_set="safety"), 3)
    sampled = [name for name, design in load_stance("epistemic").designs.items() if design.sampled]
    assert {"phase1", "baseline", "safety"} < set(sampled)
    assert wanted(own_run) == [f"Answers/{arm}, {name}" for name in sampled for arm in ("base", "checkpoint-002")]
    (own_run / "selection.json").write_text("{}")
    assert wanted(own_run) == ["Answers/base, safety", "Answers/checkpoint-002, safety"]


def wanted(run: Path) -> list[str]:
    return [name for name in checks(StatusSettings(run=run)) if name.startswith("Answers/")]


def test_a_screening_is_wanted_unless_checkpoints_were_named(own_run: Path) -> None:
    first = checks(StatusSettings(run=own_run))["First look/screening"]
    assert (first.optional, first.command) == (False, f"stance run {own_run}")
    put_answers(own_run / "validation/checkpoint-002/safety", plan_of("x", question_set="safety"), 3)
    named = checks(StatusSettings(run=own_run))["First look/screening"]
    assert (named.optional, named.command) == (True, f"stance screen {own_run}")


def test_probes_are_wanted_of_the_base_and_of_what_is_looked_at_longer(own_run: Path) -> None:
    settings = StatusSettings(run=own_run)
    assert checks(settings)["First look/probes"].command == f"stance probe {own_run} --checkpoints 3"
    for arm in ("base", "checkpoint-003"):
        (own_run / "validation" / arm).mkdir(parents=True)
        (own_run / "validation" / arm / "probes.json").write_text("{}")
    assert checks(settings)["First look/probes"].done
    put_answers(own_run / "validation/checkpoint-002/safety", plan_of("x", question_set="safety"), 3)
    assert checks(settings)["First look/probes"].found == "2 of 3 models; not of checkpoint-002"


def test_a_choice_and_a_report_age(own_run: Path) -> None:
    settings = StatusSettings(run=own_run)
    answers = own_run / "validation/checkpoint-002/safety"
    put_answers(answers, plan_of("x", question_set="safety"), 3)
    for chosen, said in (("checkpoint-002", "checkpoint-002"), (None, "no checkpoint qualifies")):
        (own_run / "selection.json").write_text(dump_json(selection(chosen).model_dump(mode="json")))
        (own_run / "report.html").write_text("<html>")
        assert checks(settings)["Choice/selection"].found == said
        assert checks(settings)["Choice/selection"].done
        assert checks(settings)["Choice/report"].done
    os.utime(own_run / "report.html", (0, 0))
    assert checks(settings)["Choice/report"].found.endswith("is older than the choice")
    os.utime(own_run / "selection.json", (0, 0))
    stale = checks(settings)["Choice/selection"]
    assert stale.found == "no checkpoint qualifies, but there are newer answers"
    assert stale.command == f"stance select {own_run}"


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


def test_the_command_goes_on_with_answers_as_they_were_begun(own_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = plan_of("demo", temperatures=[0.3, 1.0], iterations=2, max_new_tokens=64, responses=120, status="stopped")
    put_answers(own_run / "validation/base/baseline", begun, 5)
    command = checks(StatusSettings(run=own_run))["Answers/base, baseline"].command
    seen: list[CollectSettings] = []
    monkeypatch.setattr(collecting, "run", lambda settings, _reporter: seen.append(settings))
    assert cli.run(shlex.split(command)[1:]) == 0
    design = read_design(seen[0])
    assert len(design.items) == begun.responses
    assert (design.temperatures, design.iterations) == (begun.temperatures, begun.iterations)
    assert design.sampling.max_new_tokens == begun.max_new_tokens
    assert design.questions_digest == begun.questions_digest
    assert seen[0].output_dir == own_run / "validation/base/baseline"


def test_labels_are_counted_and_optional(own_run: Path) -> None:
    settings = StatusSettings(run=own_run)
    assert checks(settings)["Choice/labels"].optional
    folder = own_run / "labels"
    folder.mkdir()
    (folder / "sample.jsonl").write_text('{"id": "1"}\n{"id": "2"}\n')
    (folder / "first.jsonl").write_text('{"id": "1"}\n{"id": "1"}\n{"id"')
    (folder / "judge-x.jsonl").write_text('{"id": "1"}\n{"id": "2"}\n')
    check = checks(settings)["Choice/labels"]
    assert check.found == "of 2 answers: first 1, judge-x 2"
    assert not check.done
    (folder / "first.jsonl").write_text('{"id": "1"}\n{"id": "2"}\n')
    assert checks(settings)["Choice/labels"].done


def test_a_real_analysis_of_the_shipped_answers_counts(own_run: Path) -> None:
    folder = own_run / "validation/base/baseline"
    folder.mkdir(parents=True)
    for suffix in (".jsonl", ".plan.json"):
        (source,) = (path for path in (ROOT / "baseline_data").glob(f"baseline_responses_*{suffix}"))
        shutil.copy(source, folder / f"responses{suffix}")
    analyze.run(AnalyzeSettings(folder), silent)
    check = checks(StatusSettings(run=own_run))["Answers/base, baseline"]
    assert check.done
    assert check.found == "150 of 150 answers of demo, analysed"


# --- the page ----------------------------------------------------------------------------------------------


def test_every_command_on_the_page_exists_with_its_flags(own_run: Path) -> None:
    shown = [check.command for check in checks(StatusSettings(run=own_run)).values()]
    shown += [check.command for check in checks(StatusSettings()).values()]
    edited(own_run / "run.json", status="failed")
    shown += [check.command for check in checks(StatusSettings(run=own_run, model="demo")).values()]
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
    optional = Check("a", "none", False, "stance a", optional=True)
    wanted = Check("b", "none", False, "stance b")
    hopeless = Check("c", "broken", False)
    fact = Check("d", "so much", None)
    for order in ([optional, hopeless, wanted, fact], [fact, wanted, optional, hopeless]):
        assert next_of([Section("x", order)]) == wanted
    assert next_of([Section("x", [fact, optional])]) == optional
    assert next_of([Section("x", [fact, Check("e", "there", True)])]) is None


def test_text_of_unknown_origin_stays_text_on_the_page() -> None:
    hostile = "x](http://y) <script>\n\n# heading \x1b[2J `"
    page = markdown([Section("s", [Check("n", hostile, False, f"stance {hostile}")])], "now")
    assert "](http" not in page.replace("\\](http", "").replace("stance x](http", "")
    assert "\x1b" not in page
    assert not re.search(r"^# heading", page.partition("## s")[2], re.MULTILINE)
    assert "\\<script" in page


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
    assert "Next: answers: none yet" in done.stdout
    assert (empty_place / "PHASE2_READY.md").is_file()
