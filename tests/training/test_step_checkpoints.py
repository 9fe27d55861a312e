"""Checkpoints of optimizer steps within an epoch: files, records, events, resume, and where they are found."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_run import at_step, epochs_of, run, small_settings, terminate

from epistemic_stance.evaluation.evidence import read_evidence
from epistemic_stance.foundation.errors import InputError, StoppedError
from epistemic_stance.foundation.files import verify_manifest
from epistemic_stance.foundation.reporter import Epoch, Saved, Started
from epistemic_stance.foundation.settings import ProbeSettings, TrainSettings
from epistemic_stance.models.find import find_model
from epistemic_stance.probing.targets import find_target
from epistemic_stance.records.run_folder import RunFolder
from epistemic_stance.report.cards import write_cards
from epistemic_stance.report.training_table import checkpoint_lines
from epistemic_stance.scoring.score import Scorer
from epistemic_stance.stance.load import load_stance_and_pairs
from epistemic_stance.training.prepare import read_inputs

STEPS = "step1, step3,step5,2"
"""Of three epochs of three steps: step 3 ends the first."""
NAMES = ["checkpoint-step-0001", "checkpoint-001", "checkpoint-step-0005", "checkpoint-002", "checkpoint-003"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> TrainSettings:
    return replace(small_settings(tmp_path_factory.mktemp("made")), checkpoint_at=STEPS)


@pytest.fixture
def settings(made: TrainSettings, tmp_path: Path) -> TrainSettings:
    return replace(made, output_dir=tmp_path / "run")


@pytest.fixture(scope="module")
def events() -> list[Any]:
    return []


@pytest.fixture(scope="module")
def finished(made: TrainSettings, events: list[Any]) -> RunFolder:
    return run(made, events.append)


def same_tensors(first: Path, second: Path) -> bool:
    left, right = load_file(first), load_file(second)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def same_run(left: RunFolder, right: RunFolder) -> bool:
    """Weights and metadata of every checkpoint, optimizer moments and step log, to the last bit."""
    files = [f"checkpoints/{name}/model.safetensors" for name in NAMES] + ["state/step-00000009/optimizer.safetensors"]
    return (
        all(same_tensors(left.root / name, right.root / name) for name in files)
        and all(left.metadata(name) == right.metadata(name) for name in NAMES)
        and left.steps_log.read_bytes() == right.steps_log.read_bytes()
    )


def test_they_stand_among_the_epochs_and_are_whole(finished: RunFolder) -> None:
    assert [folder.name for folder in finished.checkpoint_folders()] == NAMES
    assert all(verify_manifest(finished.checkpoints / name) is None for name in NAMES)
    assert len(epochs_of(finished)) == 3, "one line an epoch"
    assert [name for name, _ in finished.within_epochs()] == [NAMES[0], NAMES[2]]


def test_their_record_is_of_the_epoch_so_far(finished: RunFolder) -> None:
    steps = [json.loads(line) for line in finished.steps_log.read_text().splitlines()]
    metadata = finished.metadata("checkpoint-step-0005")
    assert metadata is not None
    assert (metadata.step, metadata.epoch) == (5, 5 / 3)
    pairs = [pair for step in steps[3:5] for pair in step["pairs"]]
    assert metadata.loss == pytest.approx(sum(pair["loss"] for pair in pairs) / len(pairs))
    assert metadata.place == "step 5 (epoch 1.67)"
    whole = finished.metadata("checkpoint-002")
    assert whole is not None
    assert whole.place == "epoch 2"


def test_saving_them_changes_nothing_else(settings: TrainSettings, finished: RunFolder) -> None:
    plain = run(replace(settings, checkpoint_at=""))
    for name in ("checkpoints/checkpoint-003/model.safetensors", "state/step-00000009/optimizer.safetensors"):
        assert same_tensors(plain.root / name, finished.root / name)
    assert plain.steps_log.read_bytes() == finished.steps_log.read_bytes()


def test_its_weights_are_those_after_its_step(settings: TrainSettings, finished: RunFolder) -> None:
    with pytest.raises(StoppedError):
        run(replace(settings, checkpoint_at=""), at_step(5, terminate))
    state = load_file(settings.output_dir / "state" / "step-00000005" / "weights.safetensors")
    saved = load_file(finished.step_checkpoint(5) / "model.safetensors")
    assert all(torch.equal(saved[name], state[name]) for name in saved)


@pytest.mark.parametrize("step", [1, 4, 5])
def test_stopped_and_resumed_equals_uninterrupted(step: int, settings: TrainSettings, finished: RunFolder) -> None:
    with pytest.raises(StoppedError):
        run(settings, at_step(step, terminate))
    assert same_run(run(replace(settings, resume=True)), finished)


@pytest.mark.parametrize("step", [2, 5, 6])
def test_killed_and_resumed_equals_uninterrupted(step: int, settings: TrainSettings, finished: RunFolder) -> None:
    """At 5 the process dies before the checkpoint of its step is saved, at 6 after it."""
    child = os.fork()
    if child == 0:
        run(settings, at_step(step, lambda: os.kill(os.getpid(), signal.SIGKILL)))
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert (settings.output_dir / "state" / "step-00000005").is_dir() == (step == 6)
    assert same_run(run(replace(settings, resume=True)), finished)


def test_events_say_what_came_of_them(finished: RunFolder, events: list[Any]) -> None:
    saved = [event for event in events if isinstance(event, Saved | Epoch)]
    assert [event.checkpoint for event in saved] == NAMES
    within = saved[2]
    assert within.step == 5
    metadata = finished.metadata(within.checkpoint)
    assert metadata is not None
    assert within.figures["avg_loss"] == metadata.loss
    rows = dict(next(event for event in events if isinstance(event, Started)).rows)
    assert rows["checkpoints"].startswith("5 at epochs step1, 1, step5, 2, 3, in ")


def test_unseen_questions_are_answered_at_them(settings: TrainSettings) -> None:
    """On the pairs of the stance, whose words tell chosen answers from rejected ones."""
    events: list[Any] = []
    folder = run(replace(settings, corpus=None, epochs=1, batch_size=5, checkpoint_at="step2"), events.append)
    ((name, metadata),) = folder.within_epochs()
    assert metadata.evaluation is not None
    assert len(metadata.evaluation.answers) == 2
    (saved,) = [event for event in events if isinstance(event, Saved)]
    assert saved.evaluation == metadata.evaluation.summary
    lines = list(checkpoint_lines(folder.epochs(), folder.within_epochs()))
    assert [line.split()[0] for line in lines[1:]] == [name, "checkpoint-001"]
    assert lines[1].endswith(metadata.evaluation.summary)


def test_best_and_final_are_epochs(finished: RunFolder) -> None:
    """One pair's loss may be the lowest of all, and says nothing of the others."""
    record = finished.metadata("checkpoint-step-0001")
    assert record is not None
    assert json.loads((finished.best / "metadata.json").read_text())["epoch"] in (1, 2, 3)
    assert json.loads((finished.final / "metadata.json").read_text())["epoch"] == 3


def test_names_resolve(finished: RunFolder) -> None:
    expected = finished.step_checkpoint(5).resolve()
    for name in ("checkpoint-step-5", "checkpoint-step-0005", "checkpoints/checkpoint-step-0005"):
        assert find_model(str(finished.root / name)).folder.resolve() == expected
    with pytest.raises(InputError, match="checkpoint-step-0001, checkpoint-001, checkpoint-step-0005"):
        find_model(str(finished.root / "checkpoint-step-3"))


def test_checkpoints_are_chosen_by_epoch_and_step(finished: RunFolder) -> None:
    def chosen(written: str) -> list[str]:
        return [model.name for model in find_target(ProbeSettings(str(finished.root), checkpoints=written)).others]

    assert chosen("2,step5, step-0001") == [NAMES[0], NAMES[2], NAMES[3]]
    assert chosen("") == NAMES
    with pytest.raises(InputError, match=r"there is no checkpoint 'step2'.*there is step1, 1, step5, 2, 3"):
        chosen("step2,1")


def test_evidence_and_cards_know_their_place(finished: RunFolder) -> None:
    scorer = Scorer(*load_stance_and_pairs("epistemic"))
    evidence = read_evidence(finished, "checkpoint-step-0005", [], scorer)
    assert evidence.epoch == 5 / 3
    assert evidence.loss == finished.metadata("checkpoint-step-0005").loss  # type: ignore[union-attr]
    assert {path.parent.name for path in write_cards(finished)} == {"best_model", "final_model"}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("step10", r"names step10, expected steps from 1 to 9 \(3 epochs of 9 pairs\)"),
        ("step0", "is step0, expected epochs from 1 to 3 and steps from 1"),
        ("4", "is 4, expected epochs from 1 to 3 and steps from 1"),
        ("step2.5", "expected epochs and steps with commas, such as step5,step10,1,2,3"),
    ],
)
def test_what_cannot_be_saved_is_refused(settings: TrainSettings, written: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_inputs(replace(settings, checkpoint_at=written))


def test_a_new_run_replaces_them(settings: TrainSettings) -> None:
    folder = run(settings)
    run(replace(settings, overwrite=True, checkpoint_at="", epochs=1))
    assert [path.name for path in folder.checkpoints.iterdir()] == ["checkpoint-001"]
