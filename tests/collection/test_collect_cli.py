"""Collections from outside: the guide's commands in real processes, on the demo model."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from checkout import ROOT
from collect_stub import keys_of, lines_of, without_times
from command import assert_refused, environment, imported, stance
from endpoint_stub import after, answer, stub

from epistemic_stance.collection.design import read_design
from epistemic_stance.collection.local import grouped
from epistemic_stance.foundation.settings import DEMO_NOTICE, CollectSettings
from epistemic_stance.records.collection import CollectionRecord, ResponseRecord

SHORT = ("--max-new-tokens", "24", "--threads", "1")
LONG = ("--model", "demo", "--slots", "4", "--max-new-tokens", "64", "--threads", "1", "--output-dir", "out")
SETTINGS = CollectSettings(model="demo", slots=4)
"""1,340 answers in groups of 8 or 7: some 20 seconds."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository root with the guide's scripts."""
    root = tmp_path_factory.mktemp("root")
    (root / ".venv").symlink_to(sys.prefix)
    (root / "epistemic_stance").symlink_to(ROOT / "epistemic_stance")
    for name in ("collect_bias_data.py", "collect_baseline.py", "analyze_bias_patterns.py", "analyze_baseline.py"):
        (root / name).write_bytes((ROOT / name).read_bytes())
    return root


def python(root: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, *map(str, command)]
    return subprocess.run(arguments, capture_output=True, text=True, env=environment(), cwd=root, check=False)


def test_the_guides_phase_1_command(root: Path) -> None:
    command = ["collect_bias_data.py", "--model", "demo", "--mode", "comprehensive", "--output-dir", "post_training"]
    done = python(root, *command, "--max-responses", "12", *SHORT)
    assert done.returncode == 0, done.stderr
    lines = lines_of(root / "post_training" / "responses.jsonl")
    assert len(lines) == 12
    assert all(ResponseRecord.model_validate(line).response for line in lines)
    assert len({line["category"] for line in lines}) == 10
    assert {line["temperature"] for line in lines} == {0.3, 0.7, 1.0, 1.3}
    assert all(0 < line["metadata"]["tokens"] <= 24 for line in lines)
    assert DEMO_NOTICE in done.stdout
    assert "next: python analyze_bias_patterns.py post_training/responses.jsonl\n" in done.stdout


def test_the_guides_baseline_command(root: Path) -> None:
    command = ["collect_baseline.py", "--model", "demo", "--output-dir", "post_training_baseline"]
    done = python(root, *command, "--max-responses", "7", *SHORT)
    assert done.returncode == 0, done.stderr
    lines = lines_of(root / "post_training_baseline" / "responses.jsonl")
    assert set(Counter(line["category"] for line in lines).values()) == {1}
    assert {line["temperature"] for line in lines} == {0.7}
    assert "next: python analyze_baseline.py post_training_baseline/responses.jsonl\n" in done.stdout


def test_the_default_names(root: Path) -> None:
    quick = python(root, "collect_bias_data.py", "--model", "demo", "--mode", "quick", "--max-responses", "6", *SHORT)
    assert quick.returncode == 0, quick.stderr
    (path,) = (root / "bias_data").glob("bias_responses_????????_??????.jsonl")
    assert {line["temperature"] for line in lines_of(path)} == {0.3, 0.7, 1.0}


def test_a_finished_collection_is_recognised_without_torch(tmp_path: Path) -> None:
    command = ["collect", "--model", "demo", "--output-dir", "out", "--max-responses", "3", *SHORT]
    assert stance(command, cwd=tmp_path).returncode == 0
    before = (tmp_path / "out" / "responses.jsonl").read_bytes()
    again = stance(command, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "nothing is missing: all 3 answers are there" in again.stdout
    assert "torch" not in imported(again)
    assert (tmp_path / "out" / "responses.jsonl").read_bytes() == before


def test_mistakes_are_named_before_torch_is_imported_and_leave_nothing(tmp_path: Path) -> None:
    done = stance(["collect", "--model", "demo", "--temps", "0.3,x", "--categories", "dreams"], cwd=tmp_path)
    assert_refused(done, 2, '--temps: "x" is no temperature', '--categories: unknown category "dreams"')
    assert "torch" not in imported(done)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--model", "no/such/model"], 2, "no/such/model"),
        (["--endpoint", "http://user:secret@127.0.0.1:1/v1"], 2, "user name, a password"),
        (["--mode", "thorough"], 2, "--mode"),
        (["--output-dir", "/dev/null"], 2, "--output-dir: /dev/null is no folder"),
    ],
)
def test_who_cannot_be_asked_is_named_and_leaves_nothing(
    flags: list[str], code: int, said: str, tmp_path: Path
) -> None:
    assert_refused(stance(["collect", *flags], cwd=tmp_path), code, said)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there_is_not_usable_now(tmp_path: Path) -> None:
    done = stance(["collect", "--endpoint", "http://127.0.0.1:9/v1", "--model", "m"], cwd=tmp_path)
    assert_refused(done, 75, "http://127.0.0.1:9/v1")
    assert "torch" not in imported(done)


QUIET: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}


def wait_for_bytes(path: Path, least: int, process: subprocess.Popen[Any]) -> None:
    """Return when the file has so many bytes, or the process has ended."""
    deadline = time.monotonic() + 120
    while not (path.exists() and path.stat().st_size >= least) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def long_run(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A collection that has written its first answers; killed at the end of the test if it still runs."""
    command = [sys.executable, "-m", "epistemic_stance.cli", "collect", *LONG]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), **QUIET) as process:
        wait_for_bytes(tmp_path / "out" / "responses.jsonl", 1, process)
        yield process
        process.kill()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_is_alone_in_its_folder_and_when_stopped_says_how_to_go_on(
    number: signal.Signals, code: int, long_run: subprocess.Popen[str], tmp_path: Path
) -> None:
    if number == signal.SIGTERM:
        assert_refused(stance(["collect", *LONG], cwd=tmp_path), 3, f"out is in use by pid {long_run.pid}")
    long_run.send_signal(number)
    _, errors = long_run.communicate(timeout=60)
    path = tmp_path / "out" / "responses.jsonl"
    assert long_run.returncode == code
    assert f"stopped by {number.name}; {len(lines_of(path))} of 1340 answers are in out/responses.jsonl" in errors
    assert "the same command asks for the rest" in errors
    assert "Traceback" not in errors
    assert len(lines_of(path)) in accumulate(
        len(group) for group in grouped(read_design(SETTINGS).items, SETTINGS.slots)
    )
    assert json.loads((tmp_path / "out" / "responses.plan.json").read_text())["status"] == "stopped"


def test_a_killed_run_goes_on_to_the_bytes_of_an_undisturbed_one(tmp_path: Path) -> None:
    """Real model, one thread, kill -9; only times may differ."""
    flags = ["--model", "demo", "--max-responses", "48", "--max-new-tokens", "32", "--threads", "1", "--slots", "4"]
    assert stance(["collect", *flags, "--output-dir", "whole"], cwd=tmp_path).returncode == 0
    path = tmp_path / "killed" / "responses.jsonl"
    for least in (1, 25_000):
        command = [sys.executable, "-m", "epistemic_stance.cli", "collect", *flags, "--output-dir", "killed"]
        with subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL) as process:
            wait_for_bytes(path, least, process)
            process.kill()
    assert 0 < len(lines_of(path)) < 48
    assert stance(["collect", *flags, "--output-dir", "killed"], cwd=tmp_path).returncode == 0
    assert without_times(path.read_bytes()) == without_times((tmp_path / "whole" / "responses.jsonl").read_bytes())
    assert len(set(keys_of(path))) == 48
    plans = [
        CollectionRecord.model_validate_json((tmp_path / name / "responses.plan.json").read_bytes())
        for name in ("whole", "killed")
    ]
    assert {plan.status for plan in plans} == {"finished"}
    assert len({plan.model_copy(update={"started": ""}).model_dump_json() for plan in plans}) == 1


def test_nobody_reading_the_output_does_not_end_the_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "epistemic_stance.cli", "collect", "--model", "demo", "--output-dir", "out"]
    command += ["--max-responses", "3", *SHORT]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=120) == 0
    assert len(lines_of(tmp_path / "out" / "responses.jsonl")) == 3


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_answers_of_a_server_go_on_after_a_signal(number: signal.Signals, code: int, tmp_path: Path) -> None:
    command = ["--model", "tiny", "--output-dir", "out", "--max-responses", "60"]
    path = tmp_path / "out" / "responses.jsonl"
    with stub(lambda ask: after(0.05, answer())) as server:
        command = ["collect", "--endpoint", server.url, *command]
        started = [sys.executable, "-m", "epistemic_stance.cli", *command]
        with subprocess.Popen(started, cwd=tmp_path, env=environment(), **QUIET) as process:
            wait_for_bytes(path, 1, process)
            process.send_signal(number)
            _, errors = process.communicate(timeout=60)
        assert process.returncode == code, errors
        kept = path.read_bytes().rpartition(b"\n")[0]
        lines = len(kept.splitlines())
        assert 0 < lines < 60
        assert number == signal.SIGKILL or f"{lines} of 60 answers are in out/responses.jsonl" in errors
        asked = len(server.asks)
        done = stance(command, cwd=tmp_path)
        assert len(server.asks) - asked == 60 - lines
    assert done.returncode == 0, done.stderr
    assert path.read_bytes().startswith(kept)
    assert len(set(keys_of(path))) == len(lines_of(path)) == 60
    assert {line["metadata"]["weights_digest"] for line in lines_of(path)} == {None}
    assert {line["metadata"]["reported"]["server_model"] for line in lines_of(path)} == {"tiny-as-served"}
