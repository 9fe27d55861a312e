"""Whole training runs of a tiny model: files, resume, signals, kills, refusals. Real files, real processes."""

from __future__ import annotations

import json
import os
import resource
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_run import at_step, epochs_of, run, small_settings, terminate

from epistemic_stance.foundation.errors import NumericError, RefusedError, StoppedError, StorageError
from epistemic_stance.foundation.files import folder_lock, verify_manifest
from epistemic_stance.foundation.reporter import Epoch, Event, Finished, Progress, Started, Warned, to_all
from epistemic_stance.foundation.settings import TrainSettings
from epistemic_stance.models.find import find_model
from epistemic_stance.records.run_folder import RunFolder
from epistemic_stance.records.training import StepRecord
from epistemic_stance.training import trainer
from epistemic_stance.training.engine import Engine, optimizer_step

WALL_CLOCK = ("seconds", "tokens_per_second")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> TrainSettings:
    return small_settings(tmp_path_factory.mktemp("made"))


@pytest.fixture
def settings(made: TrainSettings, tmp_path: Path) -> TrainSettings:
    return replace(made, output_dir=tmp_path / "run")


def without_wall_clock(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in record.items() if key not in WALL_CLOCK} for record in records]


def assert_same_run(left: RunFolder, right: RunFolder) -> None:
    """Weights, optimizer moments, step log and epoch log equal to the last bit, wall-clock fields aside."""
    for name in ("checkpoint-002", "checkpoint-003"):
        first, second = (load_file(folder.checkpoints / name / "model.safetensors") for folder in (left, right))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)
    first, second = (load_file(folder.state / "step-00000009" / "optimizer.safetensors") for folder in (left, right))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert left.steps_log.read_bytes() == right.steps_log.read_bytes()
    assert without_wall_clock(epochs_of(left)) == without_wall_clock(epochs_of(right))


@pytest.fixture(scope="session")
def finished(made: TrainSettings) -> RunFolder:
    """The uninterrupted run that all others must equal."""
    return run(made)


def test_layout_of_a_finished_run(finished: RunFolder) -> None:
    assert sorted(path.name for path in finished.checkpoints.iterdir()) == ["checkpoint-002", "checkpoint-003"]
    for folder in (finished.checkpoint(2), finished.checkpoint(3), finished.best, finished.final):
        assert {"config.json", "model.safetensors", "tokenizer_config.json", "metadata.json", "MANIFEST.json"} <= {
            path.name for path in folder.iterdir()
        }
        assert verify_manifest(folder) is None
    record = finished.record()
    assert record is not None
    assert record.status == "finished"
    epochs = epochs_of(finished)
    assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3]
    metadata = json.loads((finished.checkpoint(3) / "metadata.json").read_text())
    assert metadata["epoch"] == 3
    assert metadata["loss"] == epochs[2]["avg_loss"]
    assert metadata["accuracy"] == epochs[2]["avg_accuracy"]
    assert len(finished.steps_log.read_text().splitlines()) == 9


def test_a_run_reports_its_header_every_step_every_epoch_and_its_end(settings: TrainSettings) -> None:
    first: list[Event] = []
    second: list[Event] = []
    folder = run(settings, to_all([first.append, second.append]))
    assert first == second
    assert isinstance(next(event for event in first if not isinstance(event, Warned)), Started)
    steps = [event for event in first if isinstance(event, Progress) and event.unit == "steps"]
    assert [(event.done, event.total) for event in steps] == [(done, 9) for done in range(10)]
    epochs = [event for event in first if isinstance(event, Epoch)]
    assert [(event.number, event.checkpoint) for event in epochs] == [
        (1, None),
        (2, "checkpoint-002"),
        (3, "checkpoint-003"),
    ]
    logged = epochs_of(folder)[2]
    assert epochs[2].figures["avg_loss"] == logged["avg_loss"]
    assert set(epochs[2].figures) <= set(logged)
    assert isinstance(first[-1], Finished)


def test_best_and_final_are_hard_links(finished: RunFolder) -> None:
    losses = {epoch["epoch"]: epoch["avg_loss"] for epoch in epochs_of(finished) if epoch["checkpoint"]}
    best = finished.checkpoint(min(losses, key=losses.__getitem__))
    for link, target in ((finished.best, best), (finished.final, finished.checkpoint(3))):
        assert (link / "model.safetensors").samefile(target / "model.safetensors")


def test_tokenizer_files_are_stored_once(finished: RunFolder) -> None:
    first, second = (finished.checkpoint(epoch) / "tokenizer.json" for epoch in (2, 3))
    assert first.samefile(second)


def test_checkpoint_names_resolve_as_the_guide_writes_them(finished: RunFolder) -> None:
    expected = finished.checkpoint(2).resolve()
    for name in ("checkpoint-2", "checkpoint-002", "checkpoints/checkpoint-2", "checkpoints/checkpoint-002"):
        assert find_model(str(finished.root / name)).folder.resolve() == expected


def test_last_step_of_an_epoch_holds_the_remainder(finished: RunFolder) -> None:
    steps = [json.loads(line) for line in finished.steps_log.read_text().splitlines()]
    assert [len(step["pairs"]) for step in steps[:3]] == [4, 4, 1]
    assert len({pair["id"] for step in steps[:3] for pair in step["pairs"]}) == 9
    order = [[pair["id"] for step in steps[start : start + 3] for pair in step["pairs"]] for start in (0, 3)]
    assert order[0] != order[1]
    pairs = [pair for step in steps[:3] for pair in step["pairs"]]
    assert epochs_of(finished)[0]["avg_loss"] == sum(pair["loss"] for pair in pairs) / 9


@pytest.mark.parametrize("step", [1, 3, 4, 6, 8, 9])
def test_interrupted_and_resumed_equals_uninterrupted(step: int, settings: TrainSettings, finished: RunFolder) -> None:
    with pytest.raises(StoppedError) as stopped:
        run(settings, at_step(step, terminate))
    assert stopped.value.exit_code == 143
    assert "--resume" in str(stopped.value)
    assert_same_run(run(replace(settings, resume=True)), finished)


@pytest.mark.parametrize("step", [2, 7, 8])
def test_killed_and_resumed_equals_uninterrupted(step: int, settings: TrainSettings, finished: RunFolder) -> None:
    child = os.fork()
    if child == 0:
        run(settings, at_step(step, lambda: os.kill(os.getpid(), signal.SIGKILL)))
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert_same_run(run(replace(settings, resume=True)), finished)


def test_damaged_state_falls_back_to_the_one_before(settings: TrainSettings, finished: RunFolder) -> None:
    folder = run(settings)
    newest = folder.state / "step-00000009" / "weights.safetensors"
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(bytes(data))
    record = folder.record()
    assert record is not None
    record.status = "stopped"
    folder.write_record(record)
    run(replace(settings, resume=True))
    assert_same_run(folder, finished)
    assert (folder.state / ".bad-step-00000009").is_dir()


def test_second_run_into_a_folder_is_refused_and_loses_nothing(settings: TrainSettings) -> None:
    folder = run(settings)
    before = (folder.final / "model.safetensors").read_bytes()
    with pytest.raises(RefusedError) as refused:
        run(settings)
    assert "--resume" in str(refused.value)
    assert "--overwrite" in str(refused.value)
    assert (folder.final / "model.safetensors").read_bytes() == before
    run(replace(settings, overwrite=True, epochs=1))
    assert len(list(folder.logs.glob("training_log_*.jsonl"))) == 1
    assert len(list((folder.logs / "old").glob("training_log_*.jsonl"))) == 1
    assert [path.name for path in folder.checkpoints.iterdir()] == ["checkpoint-001"]


def test_folder_in_use_is_refused_naming_the_process(settings: TrainSettings) -> None:
    with folder_lock(settings.output_dir), pytest.raises(RefusedError, match=f"pid {os.getpid()}"):
        run(settings)


def test_resume_with_other_settings_is_refused_naming_them(settings: TrainSettings) -> None:
    with pytest.raises(StoppedError) as stopped:
        run(settings, at_step(2, lambda: os.kill(os.getpid(), signal.SIGINT)))
    assert stopped.value.exit_code == 130
    with pytest.raises(RefusedError, match=r"--beta: was 0\.1, is 0\.2"):
        run(replace(settings, resume=True, beta=0.2))


def test_resume_without_a_run_is_refused(settings: TrainSettings) -> None:
    with pytest.raises(RefusedError, match="no run to resume"):
        run(replace(settings, resume=True))


def test_dry_run_leaves_no_trace(settings: TrainSettings) -> None:
    run(replace(settings, dry_run=True))
    assert not settings.output_dir.exists()


def test_non_finite_stops_with_nothing_written_after(settings: TrainSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    poisoned: list[torch.nn.Parameter] = []

    def step_on_poisoned_weights(engine: Engine, pairs: Any, epoch: int, step: int, rate: float) -> StepRecord:
        if step == 7:
            parameter = next(iter(engine.model.parameters()))
            with torch.no_grad():
                parameter.fill_(float("nan"))
            poisoned.append(parameter)
        return optimizer_step(engine, pairs, epoch, step, rate)

    monkeypatch.setattr(trainer, "optimizer_step", step_on_poisoned_weights)
    with pytest.raises(NumericError, match=r"step 7, pairs p\d") as stopped:
        run(settings)
    assert poisoned
    assert stopped.value.exit_code == 4
    folder = RunFolder(settings.output_dir)
    assert len(folder.steps_log.read_text().splitlines()) == 6
    assert [path.name for path in folder.checkpoints.iterdir()] == ["checkpoint-002"]
    weights = load_file(folder.checkpoint(2) / "model.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())
    record = folder.record()
    assert record is not None
    assert record.status == "failed"


@pytest.mark.parametrize("kilobytes", [0, 1, 20, 60])
def test_full_disk_keeps_the_last_good_state(kilobytes: int, settings: TrainSettings, finished: RunFolder) -> None:
    """From step 7 on no file can grow beyond a limit (the model has some 100 kB), as on a full disk."""

    def fill_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limit = kilobytes * 1024 or RunFolder(settings.output_dir).steps_log.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    child = os.fork()
    if child == 0:
        try:
            run(settings, at_step(7, fill_disk))
        except StorageError as error:
            os._exit(error.exit_code if "step-00000006" in str(error) else 99)
        os._exit(98)
    _, status = os.waitpid(child, 0)
    assert os.WEXITSTATUS(status) == 5
    folder = RunFolder(settings.output_dir)
    assert [path.name for path in folder.checkpoints.iterdir() if verify_manifest(path) is None] == ["checkpoint-002"]
    assert_same_run(run(replace(settings, resume=True)), finished)


def test_lora_run_exports_merged_weights_and_resumes(settings: TrainSettings, tmp_path: Path) -> None:
    lora = replace(settings, lora_rank=4)
    with pytest.raises(StoppedError):
        run(lora, at_step(4, terminate))
    assert_same_run(run(replace(lora, resume=True)), run(replace(lora, output_dir=tmp_path / "whole")))
    merged = load_file(RunFolder(lora.output_dir).final / "model.safetensors")
    base = load_file(Path(lora.model) / "model.safetensors")
    assert merged.keys() == base.keys()
    assert any(not torch.equal(merged[key], base[key]) for key in base)
