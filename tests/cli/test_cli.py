"""The command line from outside: real processes, their exit codes, messages, and what they import to say them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from checkout import ROOT
from command import assert_refused, environment, imported, stance

from epistemic_stance import __version__
from epistemic_stance.foundation.settings import TrainSettings

SHIPPED_CORPUS = ROOT / "epistemic_stance" / "stances" / "epistemic" / "training_corpus.json"

# --- recipes -----------------------------------------------------------------------------------------------


def test_flags_beside_a_recipe_win_and_are_named_in_the_header(tmp_path: Path) -> None:
    flags = ["--model", "demo", "--output-dir", str(tmp_path / "run"), "--recipe", "robust"]
    shown = stance(["train", *flags, "--epochs", "3", "--dry-run"]).stdout
    assert re.search(r"recipe +robust, but epochs 3 \(recipe: 6\)\n", shown)
    assert re.search(r"objective .*nll weight 1, anchor weight 1\n", shown)
    assert re.search(r"checkpoints +3 at epochs 1, 2, 3, in ", shown)


def test_an_unknown_recipe_is_refused(tmp_path: Path) -> None:
    done = stance(["train", "--recipe", "gentle", "--output-dir", str(tmp_path / "run")])
    assert_refused(done, 2, "no recipe 'gentle'", "robust")


# --- help --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_is_shown_without_a_heavy_import(arguments: list[str]) -> None:
    done = stance(arguments)
    assert "stance" in done.stdout
    assert imported(done) == set()


@pytest.mark.parametrize("arguments", [["train", "--help"], ["--version"]])
def test_flags_are_read_without_torch(arguments: list[str]) -> None:
    assert imported(stance(arguments)) <= {"pydantic"}, "typer reads flags with pydantic"


def without_breaks(text: str) -> str:
    """Help is wrapped at spaces and hyphens; what it says is the same without either."""
    return "".join(text.split())


@pytest.fixture(scope="module", params=["80", "200"])
def train_help(request: pytest.FixtureRequest) -> str:
    return stance(["train", "--help"], COLUMNS=request.param, TERMINAL_WIDTH=request.param).stdout


def test_every_flag_has_its_whole_name_in_help(train_help: str) -> None:
    missing = [
        setting.name
        for setting in fields(TrainSettings)
        if not re.search(rf"--{setting.name.replace('_', '-')}\b(?!-)", train_help)
    ]
    assert missing == []


def test_every_flag_shows_meaning_and_default_from_settings() -> None:
    shown = without_breaks(stance(["train", "--help"]).stdout)
    for setting in fields(TrainSettings):
        switch_or_unset = setting.default in (None, "") or isinstance(setting.default, bool)
        default = "" if switch_or_unset else f" [default: {setting.default}]"
        assert without_breaks(f"{setting.metadata['help']}{default}") in shown


def test_the_version_is_told() -> None:
    done = stance(["--version"])
    assert (done.returncode, done.stdout) == (0, f"epistemic-stance {__version__}\n")


# --- output that nobody takes ------------------------------------------------------------------------------


@pytest.fixture
def printing(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """A command that prints; ANSWERS stands for a file to analyse."""
    answers = tmp_path / "answers.jsonl"
    line = {"question": "Are you conscious?", "category": "direct_existence", "response": "I cannot tell."}
    answers.write_text(json.dumps(line) + "\n")
    return [
        sys.executable,
        "-m",
        "epistemic_stance.cli",
        *(part.replace("ANSWERS", str(answers)) for part in request.param),
    ]


PRINTING = [["--version"], ["--help"], ["analyze", "--help"], ["check"], ["analyze", "ANSWERS"]]
each_printing = pytest.mark.parametrize("printing", PRINTING, ids=" ".join, indirect=True)


@each_printing
def test_a_reader_that_has_gone_is_no_failure_and_no_news(printing: list[str], tmp_path: Path) -> None:
    command = {"env": environment(), "cwd": tmp_path, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(printing, text=True, **command) as process:  # type: ignore[call-overload]
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


@each_printing
def test_a_full_disk_behind_the_output_is_said(printing: list[str], tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        command = {"env": environment(), "cwd": tmp_path, "stdout": full, "stderr": subprocess.PIPE, "text": True}
        done = subprocess.run(printing, check=False, **command)  # type: ignore[call-overload]
    assert done.returncode == 5
    assert done.stderr.startswith("stance: could not write to standard output: No space left on device\nhint: ")
    assert "Traceback" not in done.stderr
    assert (tmp_path / "answers_analysis.json").exists() == (printing[-1].endswith("jsonl"))


def test_without_a_standard_output_the_work_is_done() -> None:
    command = f"{shlex.quote(sys.executable)} -m epistemic_stance.cli --version >&-"
    done = subprocess.run(["sh", "-c", command], env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# --- bad input ---------------------------------------------------------------------------------------------


def test_unknown_flag() -> None:
    assert_refused(stance(["train", "--lerning-rate", "1"]), 2, "--lerning-rate", "--help")


def test_value_of_the_wrong_type() -> None:
    assert_refused(stance(["train", "--epochs", "many"]), 2, "--epochs", "valid integer")


def test_unknown_command() -> None:
    assert_refused(stance(["trian"]), 2, "trian")


def test_no_epochs() -> None:
    assert_refused(stance(["train", "--model", "demo", "--epochs", "0"]), 2, "--epochs: is 0, expected 1 or more")


def test_all_bad_settings_are_named_at_once() -> None:
    done = stance(["train", "--epochs", "0", "--beta", "-1", "--learning-rate", "nan", "--checkpoint-at", "1;2"])
    assert_refused(done, 2, "--epochs: is 0", "--beta: is -1", "--learning-rate: is nan", "--checkpoint-at: is 1;2")
    assert "torch" not in imported(done)


def test_missing_corpus_is_reported_before_torch_is_imported(tmp_path: Path) -> None:
    done = stance(["train", "--model", "demo", "--corpus", "pears.json"], cwd=tmp_path)
    assert_refused(done, 2, "pears.json: no such file")
    assert "torch" not in imported(done)
    assert list(tmp_path.iterdir()) == []


def test_bad_corpus_is_reported_with_every_problem_before_torch_is_imported(tmp_path: Path) -> None:
    pairs = json.loads(SHIPPED_CORPUS.read_text())["training_pairs"][:3]
    pairs[1]["good_response"] = ""
    del pairs[2]["question"]
    corpus = tmp_path / "corpus.json"
    corpus.write_text(json.dumps({"training_pairs": pairs}, indent=1))
    done = stance(["train", "--model", "demo", "--corpus", corpus], cwd=tmp_path)
    assert_refused(done, 2, f"{corpus}:", "good_response", "question")
    assert "torch" not in imported(done)


def test_unknown_stance_is_reported_before_torch_is_imported(tmp_path: Path) -> None:
    done = stance(["train", "--model", "demo", "--stance", "stoic"], cwd=tmp_path)
    assert_refused(done, 2, "stoic")
    assert "torch" not in imported(done)


def test_model_of_the_hub_without_a_network_names_the_ways_out(tmp_path: Path) -> None:
    cache = {"HF_HOME": str(tmp_path / "cache")}
    done = stance(["train", "--output-dir", tmp_path / "run"], cwd=tmp_path, **cache)
    assert_refused(done, 2, TrainSettings.model, "--model PATH", "--model demo")
    assert not list((tmp_path / "run").glob("checkpoints")), "something was trained in its place"


@pytest.mark.parametrize("flags", [[], ["--overwrite"], ["--overwrite", "--dry-run"]])
def test_folder_that_holds_something_else_is_refused(flags: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "checkpoints" / "checkpoint-001").mkdir(parents=True)
    done = stance(["train", "--model", "demo", "--output-dir", run, *flags])
    assert_refused(done, 3, str(run), "run.json", "--output-dir")
    assert (run / "checkpoints" / "checkpoint-001").is_dir()


def test_bug_is_reported_with_a_traceback_that_cannot_command_the_terminal(tmp_path: Path) -> None:
    probe = """
import sys
from epistemic_stance.cli import check as check_command
from epistemic_stance.cli import main as cli
def fail(settings):
    raise ValueError("\x1b[2Jin the answer")
check_command.run_check = fail
sys.exit(cli.run(["check"]))
"""
    command = [sys.executable, "-c", probe]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("stance: ")
    assert "Traceback (most recent call last)" in done.stderr
    assert r"ValueError: \x1b[2Jin the answer" in done.stderr
    assert "\x1b" not in done.stderr


def test_dry_run_says_what_would_happen_and_leaves_nothing(tmp_path: Path) -> None:
    done = stance(["train", "--model", "demo", "--dry-run", "--output-dir", "run"], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for row in ("model", "schedule", "memory", "disk", "time", "checkpoints"):
        assert re.search(rf"^  {row} ", done.stdout, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []


# --- the scripts of the repository root --------------------------------------------------------------------

ROOT_SCRIPTS = sorted(path.name for path in ROOT.glob("*.py"))


@pytest.mark.parametrize("script", ROOT_SCRIPTS)
def test_script_without_an_environment_names_the_set_up_command(script: str, tmp_path: Path) -> None:
    shutil.copy2(ROOT / script, tmp_path)
    command = [sys.executable, str(tmp_path / script), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), cwd=tmp_path, check=False)
    assert_refused(done, 2, str(tmp_path / ".venv"), "make setup")


@pytest.mark.parametrize("script", ROOT_SCRIPTS)
def test_script_under_another_python_continues_in_the_environment(script: str, tmp_path: Path) -> None:
    """The interpreter below the virtual environment has none of the packages that the help needs."""
    outside = getattr(sys, "_base_executable", sys.executable)
    if Path(outside).resolve() != Path(sys.executable).resolve() or sys.prefix == sys.base_prefix:
        pytest.skip("the tests do not run in a virtual environment")
    assert subprocess.run([outside, "-c", "import typer"], capture_output=True, check=False).returncode != 0
    shutil.copy2(ROOT / script, tmp_path)
    (tmp_path / "epistemic_stance").symlink_to(ROOT / "epistemic_stance")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    env = {name: value for name, value in environment().items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    command = [outside, str(tmp_path / script), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "--help" in done.stdout


@pytest.mark.parametrize("script", ROOT_SCRIPTS)
def test_usage_of_a_script_reads_as_it_was_typed(script: str, tmp_path: Path) -> None:
    done = help_of(script, tmp_path)
    arguments = "[OPTIONS] {file}" if script.startswith("analyze") else "[OPTIONS]"
    assert done.startswith(f"Usage: {script} {arguments}\n")


@pytest.mark.parametrize(
    ("script", "questions"), [("collect_baseline.py", "baseline"), ("collect_bias_data.py", "phase1")]
)
def test_help_of_a_script_shows_its_own_default(script: str, questions: str, tmp_path: Path) -> None:
    assert without_breaks(f"of the corpus. [default: {questions}]") in without_breaks(help_of(script, tmp_path))


def help_of(script: str, folder: Path) -> str:
    shutil.copy2(ROOT / script, folder)
    (folder / "epistemic_stance").symlink_to(ROOT / "epistemic_stance")
    (folder / ".venv").symlink_to(sys.prefix)
    command = [sys.executable, script, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
