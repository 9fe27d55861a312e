"""What a training run never does: delete what is not its own, die of its console, mix runs, end without a word."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from checkout import ROOT
from rich.console import Console
from small_run import at_step, epochs_of, run, small_settings, terminate

from epistemic_stance.cli.demo import run_demo
from epistemic_stance.cli.terminal_reporter import terminal_reporter
from epistemic_stance.cli.train import train
from epistemic_stance.foundation.errors import RefusedError, StoppedError, StorageError
from epistemic_stance.foundation.files import link_folder
from epistemic_stance.foundation.reporter import Event, Note, Started
from epistemic_stance.foundation.settings import DemoSettings, TrainSettings
from epistemic_stance.records.run_folder import RunFolder
from epistemic_stance.training import checkpoints, session, trainer
from epistemic_stance.training.occupancy import clear, holds_a_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> TrainSettings:
    return replace(small_settings(tmp_path_factory.mktemp("made")), eval_questions=0)


@pytest.fixture
def settings(made: TrainSettings, tmp_path: Path) -> TrainSettings:
    return replace(made, output_dir=tmp_path / "run")


@pytest.fixture(scope="module")
def done(made: TrainSettings) -> RunFolder:
    return run(made)


@pytest.fixture
def folder(done: RunFolder, settings: TrainSettings) -> RunFolder:
    """A finished run that a test may spoil."""
    shutil.copytree(done.root, settings.output_dir)
    return RunFolder(settings.output_dir)


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file() and p.name != ".lock"}


def status_of(folder: RunFolder) -> tuple[str, str]:
    record = folder.record()
    assert record is not None
    return record.status, record.reason


# --- deleting ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["checkpoints", "state", "best_model", "final_model"])
@pytest.mark.parametrize("record", [None, "", "{}", '{"status": "finished", "name": "job 7 of another program"}'])
def test_overwrite_deletes_nothing_without_a_record_of_ours(
    record: str | None, place: str, settings: TrainSettings
) -> None:
    root = settings.output_dir
    (root / place).mkdir(parents=True)
    (root / place / "thesis.txt").write_text("years of work")
    if record is not None:
        (root / "run.json").write_text(record)
    before = contents(root)
    with pytest.raises(RefusedError, match=r"run\.json does not read as the record of a run") as refused:
        run(replace(settings, overwrite=True))
    assert "--overwrite" not in str(refused.value)
    assert contents(root) == before


@pytest.mark.parametrize(
    "path",
    [
        "checkpoints/notes.txt",
        "checkpoints/mine/weights.bin",
        "checkpoints/checkpoint-backup/weights.bin",
        "checkpoints/reference.json",
        "state/step-1/data",
        "state/thesis.txt",
    ],
)
def test_overwrite_names_foreign_files_and_deletes_nothing(
    path: str, folder: RunFolder, settings: TrainSettings
) -> None:
    (folder.root / path).parent.mkdir(exist_ok=True)
    (folder.root / path).write_text("years of work")
    before = contents(folder.root)
    with pytest.raises(RefusedError, match="/".join(path.split("/")[:2])) as refused:
        run(replace(settings, overwrite=True))
    assert refused.value.exit_code == 3
    assert contents(folder.root) == before
    with pytest.raises(RefusedError):
        clear(folder)
    assert contents(folder.root) == before


def test_a_model_without_our_manifest_is_not_deleted(folder: RunFolder) -> None:
    (folder.best / "MANIFEST.json").unlink()
    with pytest.raises(RefusedError, match="best_model"):
        clear(folder)
    assert (folder.best / "model.safetensors").exists()


def test_overwrite_clears_a_run_whole_and_leaves_what_lies_beside_it(folder: RunFolder) -> None:
    (folder.root / "validation").mkdir()
    (folder.root / "validation" / "scores.jsonl").write_text("{}")
    (folder.state / ".bad-step-00000003").mkdir()
    (log,) = folder.logs.glob("training_log_*.jsonl")
    found = ["validation/base/probes.json", "validation/checkpoint-002/once/responses.jsonl", "selection.json"]
    for name in found:
        (folder.root / name).parent.mkdir(parents=True, exist_ok=True)
        (folder.root / name).write_text("{}")
    clear(folder)
    (aside,) = (folder.root / "old").iterdir()
    moved = [f"old/{aside.name}/{name}" for name in found[1:]]
    kept = [f"logs/old/{log.name}", "validation/base/probes.json", "validation/scores.jsonl"]
    assert sorted(contents(folder.root)) == sorted(kept + moved), "what was found out about other weights is set aside"
    assert not holds_a_run(folder)


def test_linked_folders_are_emptied_and_stay_links(folder: RunFolder, settings: TrainSettings, tmp_path: Path) -> None:
    for place in (folder.state, folder.checkpoints):
        place.rename(tmp_path / place.name)
        place.symlink_to(tmp_path / place.name)
    run(replace(settings, overwrite=True, epochs=1))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["checkpoint-001"]
    assert (tmp_path / "state" / "step-00000003").is_dir()
    assert folder.state.is_symlink()


def test_a_state_alone_is_a_run(settings: TrainSettings) -> None:
    (settings.output_dir / "state" / "step-00000003").mkdir(parents=True)
    with pytest.raises(RefusedError):
        run(settings)


@pytest.mark.parametrize("place", ["state", "checkpoints", "best_model"])
def test_demo_refuses_a_folder_it_did_not_write(place: str, tmp_path: Path) -> None:
    (tmp_path / place).mkdir()
    (tmp_path / place / "thesis.txt").write_text("years of work")
    with pytest.raises(RefusedError, match="not a demo"):
        run_demo(replace(DemoSettings(), output_dir=tmp_path), Console(file=io.StringIO()))
    assert (tmp_path / place / "thesis.txt").exists()


# --- consoles and signals ----------------------------------------------------------------------------------


def test_closed_pipe_does_not_stop_training(settings: TrainSettings) -> None:
    """`stance train ... | head -1`: the reader is gone before the first epoch."""
    flags = ["--model", settings.model, "--corpus", settings.corpus, "--output-dir", settings.output_dir]
    flags += ["--epochs", "2", "--eval-questions", "0", "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, "-m", "epistemic_stance.cli", "train", *map(str, flags)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read().decode()
    process.stderr.close()
    assert (process.wait(), err) == (0, "")
    folder = RunFolder(settings.output_dir)
    assert status_of(folder) == ("finished", "")
    assert len(epochs_of(folder)) == 2


class Failing(io.StringIO):
    """A console that takes some writes and then fails, as a closed terminal does."""

    def __init__(self, writes: int) -> None:
        super().__init__()
        self.left = writes

    def write(self, text: str) -> int:
        self.left -= 1
        if self.left < 0:
            raise OSError(5, "Input/output error")
        return super().write(text)


@pytest.mark.parametrize("terminal", [False, True])
def test_failing_console_does_not_stop_training(terminal: bool, settings: TrainSettings) -> None:
    console = Console(file=Failing(3), force_terminal=terminal)
    folder = train(settings, console)
    assert folder is not None
    assert status_of(folder) == ("finished", "")


def test_console_without_unicode_shows_escapes() -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii", write_through=True) as stream:
        with terminal_reporter(Console(file=stream)) as reporter:
            reporter(Note("caf\u00e9"))
        assert raw.getvalue() == b"caf\\xe9\n"


def test_hang_up_saves_the_state(settings: TrainSettings) -> None:
    with pytest.raises(StoppedError) as stopped:
        run(settings, at_step(4, lambda: os.kill(os.getpid(), signal.SIGHUP)))
    assert stopped.value.exit_code == 129
    assert (RunFolder(settings.output_dir).state / "step-00000004").is_dir()


def test_hang_up_is_ignored_under_nohup(settings: TrainSettings) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        hang_up = at_step(4, lambda: os.kill(os.getpid(), signal.SIGHUP))
        assert status_of(run(settings, hang_up)) == ("finished", "")
    finally:
        signal.signal(signal.SIGHUP, before)


# --- how a run ends ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError("shapes"), "failed"),
        (SystemExit(1), "failed"),
        (KeyboardInterrupt(), "stopped"),
        (StorageError("could not write steps.jsonl: disk full"), "failed"),
    ],
)
def test_record_tells_of_every_end(error: BaseException, status: str, settings: TrainSettings) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)):
        run(settings, at_step(2, fail))
    assert status_of(RunFolder(settings.output_dir))[0] == status


def test_failure_before_the_first_step_is_recorded(settings: TrainSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("no such tensor")

    monkeypatch.setattr(session, "compute_reference", lambda *_: None)
    monkeypatch.setattr(session, "save_reference", fail)
    with pytest.raises(ValueError, match="tensor"):
        run(settings)
    assert status_of(RunFolder(settings.output_dir)) == ("failed", "ValueError: no such tensor")


def test_folder_deleted_under_a_run_stops_it(settings: TrainSettings) -> None:
    with pytest.raises(StorageError, match="deleted or replaced"):
        run(settings, at_step(4, lambda: shutil.rmtree(settings.output_dir)))
    assert not settings.output_dir.exists()


def test_folder_taken_by_another_run_is_left_to_it(settings: TrainSettings) -> None:
    def replace_by_another() -> None:
        shutil.rmtree(settings.output_dir)
        settings.output_dir.mkdir()
        (settings.output_dir / ".lock").touch()

    with pytest.raises(StorageError, match="deleted or replaced"):
        run(settings, at_step(4, replace_by_another))
    assert [path.name for path in settings.output_dir.iterdir()] == [".lock"]


# --- memory ------------------------------------------------------------------------------------------------


ALLOCATION_FAILURES = [
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "--batch-size 1"),
    (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), "--lora-rank 16"),
    (RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory"), "--lora-rank 16"),
    (MemoryError(), "--lora-rank 16"),
]


@pytest.mark.parametrize(("failure", "hint"), ALLOCATION_FAILURES)
def test_running_out_of_memory_is_named_with_what_to_try(
    failure: Exception, hint: str, settings: TrainSettings
) -> None:
    def fail() -> None:
        raise failure

    with pytest.raises(RefusedError, match=r"out of memory on cpu; .*step-00000006") as refused:
        run(settings, at_step(7, fail))
    assert hint in str(refused.value)
    status, reason = status_of(RunFolder(settings.output_dir))
    assert status == "failed"
    assert "out of memory" in reason


@pytest.mark.parametrize("place", ["load_model", "choose_forward", "compute_reference", "make_optimizer"])
def test_running_out_of_memory_at_the_start_is_named(
    place: str, settings: TrainSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(session, place, fail)
    with pytest.raises(RefusedError, match="out of memory on cpu; last good state: none yet"):
        run(settings)


@pytest.mark.parametrize("text", ["shapes do not match", "CUDA error: an illegal memory access was encountered"])
def test_other_errors_are_not_called_memory(text: str, settings: TrainSettings) -> None:
    def fail() -> None:
        raise RuntimeError(text)

    with pytest.raises(RuntimeError, match=text):
        run(settings, at_step(2, fail))


# --- checkpoints and states --------------------------------------------------------------------------------


def test_best_model_is_linked_only_when_the_best_changes(
    settings: TrainSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss only rises here: the first checkpoint stays the best, and nobody needs its folder again."""
    linked: list[str] = []
    original, losses = trainer.epoch_record, iter([1.0, 2.0, 3.0])

    def rising(*given: Any) -> Any:
        return original(*given).model_copy(update={"avg_loss": next(losses)})

    def link(source: Path, final: Path) -> None:
        linked.append(f"{final.name} <- {source.name}")
        link_folder(source, final)

    monkeypatch.setattr(trainer, "epoch_record", rising)
    monkeypatch.setattr(trainer, "link_folder", link)
    folder = run(settings, at_step(7, lambda: shutil.rmtree(settings.output_dir / "checkpoints" / "checkpoint-002")))
    assert linked == ["best_model <- checkpoint-002", "final_model <- checkpoint-003"]
    assert json.loads((folder.best / "metadata.json").read_text())["epoch"] == 2
    assert (folder.best / "model.safetensors").is_file()


def test_stop_after_a_saved_epoch_saves_once(settings: TrainSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []

    def save(states: Path, model: Any, optimizer: Any, record: Any) -> None:
        checkpoints.save_state(states, model, optimizer, record)
        saved.append(record.step)
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "save_state", save)
        with pytest.raises(StoppedError):
            run(settings)
    assert saved == [6]
    assert status_of(run(replace(settings, resume=True))) == ("finished", "")


def test_states_of_another_run_are_neither_resumed_nor_pruned(settings: TrainSettings, done: RunFolder) -> None:
    with pytest.raises(StoppedError):
        run(settings, at_step(2, terminate))
    folder = RunFolder(settings.output_dir)
    for step, name in ((6, "step-00000001"), (9, "step-00000010")):
        shutil.copytree(done.state / f"step-{step:08d}", folder.state / name)
    record = folder.record()
    assert record is not None
    found, passed_over = checkpoints.newest_state(folder.state, record.run_id)
    assert found is not None
    assert (found.name, passed_over) == ("step-00000002", [])
    run(replace(settings, resume=True))
    names = sorted(path.name for path in folder.state.glob("step-*"))
    assert names == ["step-00000001", "step-00000006", "step-00000009", "step-00000010"]


def test_resumed_header_names_the_log_that_is_continued(settings: TrainSettings) -> None:
    with pytest.raises(StoppedError):
        run(settings, at_step(2, terminate))
    folder = RunFolder(settings.output_dir)
    (log,) = folder.logs.glob("training_log_*.jsonl")
    renamed = log.rename(log.with_name("training_log_20200101_000000.jsonl"))
    record = folder.record()
    assert record is not None
    record.log_file = renamed.name
    folder.write_record(record)
    events: list[Event] = []
    run(replace(settings, resume=True), events.append)
    (header,) = [event for event in events if isinstance(event, Started)]
    assert dict(header.rows)["log"].endswith(renamed.name)


def test_resuming_a_finished_run_says_so_and_plans_nothing(folder: RunFolder, settings: TrainSettings) -> None:
    events: list[Event] = []
    run(replace(settings, resume=True), events.append)
    assert events[-1] == Note(f"{folder.root} is already finished; nothing to resume")
    assert not any(isinstance(event, Started) for event in events)


def test_resume_without_a_run_is_refused_in_a_dry_run_too(settings: TrainSettings) -> None:
    with pytest.raises(RefusedError, match="no run to resume"):
        run(replace(settings, resume=True, dry_run=True))
    assert not settings.output_dir.exists()
