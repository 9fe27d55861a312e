"""start_training.sh as a user runs it: from a terminal that is then closed, in a copy of the repository."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from checkout import copy_of_repository

PAIRS, EPOCHS = 4, 40
FLAGS = ["--model", "demo", "--corpus", "training_corpus.json", "--epochs", str(EPOCHS), "--checkpoint-every", "20"]
FLAGS += ["--eval-questions", "0", "--threads", "1", "--seed", "7", "--output-dir", "my run"]


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


def start(repository: Path, *flags: str) -> Done:
    """Run the script as the session leader of a terminal: when it ends, the kernel hangs up on what it left there."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    master, terminal = pty.openpty()
    try:
        process = subprocess.Popen(
            ["./start_training.sh", *flags],
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=repository,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - one thread
        )
        out, err = process.communicate(timeout=200)
    finally:
        os.close(terminal)
        os.close(master)
    return Done(process.returncode, out, err)


def is_alive(pid: int) -> bool:
    """Running or stopped, but not a finished process whose exit code nobody has asked for."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 150) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.05)


def epochs_logged(run: Path) -> list[int]:
    logs = list((run / "logs").glob("training_log_*.jsonl"))
    return [json.loads(line)["epoch"] for log in logs for line in log.read_text().splitlines()]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_repository(tmp_path_factory.mktemp("start") / "repository", pairs=PAIRS)


@dataclass
class Story:
    """One run as its user lives it: started, started again by mistake, stopped, resumed, finished, started again."""

    run: Path
    first: Done
    pid: int
    logs_while_running: list[str]
    text_while_running: str
    alive_after_hang_up: bool
    epochs_while_running: list[int]
    second: Done
    status_after_kill: str
    text_after_kill: str
    resumed: Done
    after_finish: Done
    resumed_after_finish: Done
    logs_at_the_end: list[str]


@pytest.fixture(scope="module")
def story(repository: Path) -> Iterator[Story]:
    run = repository / "my run"

    def status() -> str:
        return str(json.loads((run / "run.json").read_text())["status"])

    def pid_on_file() -> int:
        return int((repository / "training.pid").read_text())

    def logs() -> list[str]:
        return sorted(path.name for path in repository.glob("training_run_*.log"))

    try:
        first = start(repository, *FLAGS)
        assert first.code == 0, first.err
        pid = pid_on_file()
        wait_for(lambda: bool(epochs_logged(run)) or not is_alive(pid), "the first epoch")
        assert is_alive(pid), "the run died when its terminal was closed"
        os.kill(pid, signal.SIGSTOP)  # so that it is still running when the second start comes, on any machine
        (log,) = logs()
        observed = [log], (repository / log).read_text(), is_alive(pid), epochs_logged(run)
        second = start(repository, *FLAGS)
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)
        wait_for(lambda: not is_alive(pid), "the run to stop")
        stopped = status(), (repository / log).read_text()
        time.sleep(1.1)  # the name of the log has seconds
        resumed = start(repository, *FLAGS, "--resume")
        wait_for(lambda: not is_alive(pid_on_file()), "the run to finish")
        after_finish = start(repository, *FLAGS)
        logs_at_the_end = logs()
        pointless = start(repository, *FLAGS, "--resume")
        yield Story(run, first, pid, *observed, second, *stopped, resumed, after_finish, pointless, logs_at_the_end)
    finally:
        if (repository / "training.pid").exists() and is_alive(pid_on_file()):
            os.kill(pid_on_file(), signal.SIGKILL)


def test_it_starts_in_the_background_and_survives_its_terminal(story: Story) -> None:
    assert story.alive_after_hang_up
    assert 1 <= len(story.epochs_while_running) < EPOCHS, "the script waited for the run to end"


def test_it_prints_the_process_id_and_how_to_watch_and_stop(story: Story) -> None:
    assert f"PID {story.pid}" in story.first.out
    for command in (f"tail -f {story.logs_while_running[0]}", f"ps -p {story.pid}", f"kill {story.pid}", "--resume"):
        assert command in story.first.out
    assert "my run/logs/training_log_*.jsonl" in story.first.out


def test_it_writes_one_log_with_the_time_in_its_name(story: Story) -> None:
    (log,) = story.logs_while_running
    assert re.fullmatch(r"training_run_\d{8}_\d{6}\.log", log)


def test_the_log_is_unbuffered(story: Story) -> None:
    """What the run has written to its own log by now stands in this one as well."""
    shown = [int(epoch) for epoch in re.findall(r"^epoch +(\d+) ", story.text_while_running, re.MULTILINE)]
    assert len(story.epochs_while_running) - len(shown) in (-1, 0, 1)
    assert shown


def test_flags_are_passed_on(story: Story) -> None:
    record = json.loads((story.run / "run.json").read_text())
    assert record["base_model"] == "demo"
    assert record["pairs"] == PAIRS
    assert record["settings"]["epochs"] == EPOCHS
    assert record["seed"] == 7


@pytest.mark.parametrize("when", ["second", "after_finish"])
def test_a_taken_folder_is_refused_before_anything_goes_to_the_background(story: Story, when: str) -> None:
    done: Done = getattr(story, when)
    assert done.code == 3
    assert "my run" in done.err
    assert ("in use by pid" if when == "second" else "--resume") in done.err
    assert "Traceback" not in done.err
    assert "PID" not in done.out
    assert len(story.logs_at_the_end) == 2, "one for the run and one for its continuation"


def test_kill_stops_it_with_the_state_saved(story: Story) -> None:
    assert story.status_after_kill == "stopped"
    assert "state saved" in story.text_after_kill
    assert "Traceback" not in story.text_after_kill


def test_resume_continues_to_the_end(story: Story) -> None:
    assert story.resumed.code == 0, story.resumed.err
    assert epochs_logged(story.run) == list(range(1, EPOCHS + 1))
    assert json.loads((story.run / "run.json").read_text())["status"] == "finished"
    assert (story.run / "final_model" / "model.safetensors").is_file()


def test_resuming_a_finished_run_does_not_claim_to_train(story: Story) -> None:
    done = story.resumed_after_finish
    assert done.code == 0, done.err
    assert "already finished" in done.out
    assert "nothing runs in the background" in done.err
    assert "Training runs" not in done.out


# --- what never gets to the background ---------------------------------------------------------------------


def assert_nothing_started(folder: Path, done: Done, code: int, *said: str) -> None:
    assert done.code == code, done.out + done.err
    for part in said:
        assert part in done.err
    assert "Traceback" not in done.err
    assert not (folder / "training.pid").exists()
    assert not list(folder.glob("training_run_*.log"))


def test_without_an_environment_it_names_the_set_up_command(tmp_path: Path) -> None:
    bare = copy_of_repository(tmp_path / "bare")
    (bare / ".venv").unlink()
    assert_nothing_started(bare, start(bare), 2, ".venv", "make setup")


def test_wrong_flag_is_reported_in_the_foreground(tmp_path: Path) -> None:
    fresh = copy_of_repository(tmp_path / "fresh")
    assert_nothing_started(fresh, start(fresh, "--model", "demo", "--epoch", "3"), 2, "--epoch")


def test_help_is_that_of_the_training_script(tmp_path: Path) -> None:
    fresh = copy_of_repository(tmp_path / "fresh")
    done = start(fresh, "--help")
    assert_nothing_started(fresh, done, 0)
    assert "--learning-rate" in done.out
