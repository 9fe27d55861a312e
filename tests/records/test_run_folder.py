"""The layout of a run folder: names, order of checkpoints, and what the readers make of missing and damaged files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from epistemic_stance.foundation.errors import InputError
from epistemic_stance.records import Logged
from epistemic_stance.records.checkpoint_name import CheckpointName, checkpoint_of, written_checkpoint
from epistemic_stance.records.run_folder import (
    AnswerFiles,
    RunFolder,
    read_if_sound,
    read_lines,
    read_record,
    require_run_folder,
)
from epistemic_stance.records.training import RunRecord

STEP_7 = CheckpointName(7, is_step=True)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("checkpoint-010", CheckpointName(10)),
        ("checkpoint-7", CheckpointName(7)),
        ("checkpoint-1000", CheckpointName(1000)),
        ("checkpoint-step-0007", STEP_7),
        ("checkpoint-step-7", STEP_7),
        ("base", None),
        ("checkpoint-x", None),
        ("checkpoint-step7", None),
        ("step7", None),
        ("checkpoint-\u0667", None),
    ],
)
def test_what_a_folder_is_a_checkpoint_of(name: str, meant: CheckpointName | None) -> None:
    assert checkpoint_of(name) == meant


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (" 10", CheckpointName(10)),
        ("checkpoint-010", CheckpointName(10)),
        ("step7", STEP_7),
        ("step-0007", STEP_7),
        ("checkpoint-step-0007", STEP_7),
        ("-7", None),
        ("steps7", None),
        ("7.5", None),
    ],
)
def test_what_a_person_means(text: str, meant: CheckpointName | None) -> None:
    assert written_checkpoint(text) == meant


def test_a_checkpoint_is_named_by_its_epoch_or_step() -> None:
    names = [*(CheckpointName(epoch) for epoch in (1, 50, 1000)), STEP_7, CheckpointName(12345, is_step=True)]
    assert [name.folder for name in names] == [
        "checkpoint-001",
        "checkpoint-050",
        "checkpoint-1000",
        "checkpoint-step-0007",
        "checkpoint-step-12345",
    ]
    assert [name.short for name in names] == ["1", "50", "1000", "step7", "step12345"]


def test_checkpoints_come_by_epoch_and_other_folders_are_left_out(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for name in ("checkpoint-100", "checkpoint-020", "checkpoint-3", "checkpoint-copy", ".tmp-checkpoint-005-7"):
        (run.checkpoints / name).mkdir(parents=True)
    (run.checkpoints / "checkpoint-007").write_text("a file")
    assert [path.name for path in run.checkpoint_folders()] == ["checkpoint-3", "checkpoint-020", "checkpoint-100"]
    assert RunFolder(tmp_path / "absent").checkpoint_folders() == []


def run_of(root: Path, total_steps: int, epochs: int) -> RunFolder:
    """A run folder that holds nothing but run.json."""
    texts = ["started", "base_model", "base_weights_digest", "corpus_digest", "template_digest", "system_prompt"]
    texts += ["device", "compute_dtype", "save_dtype", "packing", "log_file", "revision"]
    numbers = dict.fromkeys(("pairs", "parameters", "trainable_parameters", "threads", "seed"), 1)
    values: dict[str, Any] = {"status": "finished", "packed": True, "versions": {}, "template_arguments": {}}
    values |= dict.fromkeys(texts, "x")
    values |= {**numbers, "total_steps": total_steps, "settings": {"epochs": epochs}}
    RunFolder(root).write_record(RunRecord.model_validate(values))
    return RunFolder(root)


def test_steps_stand_among_the_epochs(tmp_path: Path) -> None:
    """Three epochs of 25 steps: steps 5 and 24 lie in the first, 60 in the third."""
    run = run_of(tmp_path, 75, 3)
    order = ["checkpoint-step-0005", "checkpoint-step-0024", "checkpoint-001", "checkpoint-002", "checkpoint-step-0060"]
    for name in [*reversed(order), "checkpoint-003"]:
        (run.checkpoints / name).mkdir(parents=True)
        run.probes(name).parent.mkdir(parents=True)
    run.probes("base").parent.mkdir()
    assert [path.name for path in run.checkpoint_folders()] == [*order, "checkpoint-003"]
    assert run.models_validated() == ["base", *order, "checkpoint-003"]
    assert [run.epochs_done(name) for name in ("base", *order)] == [None, 0.2, 0.96, 1, 2, 2.4]


def test_without_run_json_the_place_of_a_step_is_an_error_and_not_a_guess(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for name in ("checkpoint-001", "checkpoint-step-0030"):
        (run.checkpoints / name).mkdir(parents=True)
    assert run.epochs_done("checkpoint-001") == 1
    with pytest.raises(InputError, match=r"run\.json: cannot be read, so it is not known in which epoch"):
        run.checkpoint_folders()


def test_models_are_validated_where_they_have_a_folder(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for model in ("checkpoint-100", "checkpoint-020", "base", "notes"):
        run.probes(model).parent.mkdir(parents=True)
    for question_set in ("safety", "phase1"):
        path = run.answers("base", question_set).responses
        path.parent.mkdir()
        path.touch()
    assert run.models_validated() == ["base", "checkpoint-020", "checkpoint-100"]
    assert run.answered("base") == ["phase1", "safety"]
    assert run.answered("checkpoint-020") == []


def test_what_lies_beside_answers_is_named_after_them() -> None:
    ours, other = AnswerFiles(Path("run/validation/base/phase1/responses.jsonl")), AnswerFiles(Path("mine.jsonl"))
    assert [path.name for path in (ours.plan, ours.scores, ours.analysis, ours.comparison)] == [
        "responses.plan.json",
        "scores.jsonl",
        "analysis.json",
        "comparison.json",
    ]
    assert [path.name for path in (other.plan, other.scores, other.analysis)] == [
        "mine.plan.json",
        "mine_scores.jsonl",
        "mine_analysis.json",
    ]


def test_a_folder_without_checkpoints_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such run folder"):
        require_run_folder(tmp_path / "absent")
    with pytest.raises(InputError, match=r"holds no checkpoints/, so it is no run folder"):
        require_run_folder(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    assert require_run_folder(tmp_path) == RunFolder(tmp_path)


# --- readers -----------------------------------------------------------------------------------------------


class Small(Logged):
    number: int


@pytest.mark.parametrize(
    ("content", "reason"), [("{", "Invalid JSON"), ("[]", "object"), ('{"number": "x"}', "number: "), ("\x00", "JSON")]
)
def test_a_damaged_record_is_named_by_the_strict_reader_and_none_for_the_tolerant(
    tmp_path: Path, content: str, reason: str
) -> None:
    path = tmp_path / "small.json"
    path.write_text(content)
    with pytest.raises(InputError, match=rf"small\.json: cannot be read: .*{reason}.*\(hint: measure anew\)"):
        read_record(path, Small, "measure anew")
    assert read_if_sound(path, Small) is None


def test_an_absent_record_is_none_for_both_and_a_folder_is_damage(tmp_path: Path) -> None:
    assert read_record(tmp_path / "absent.json", Small) is None
    assert read_if_sound(tmp_path / "absent.json", Small) is None
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_record(tmp_path, Small)
    assert read_if_sound(tmp_path, Small) is None


def test_a_line_that_is_being_written_is_left_out_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"number": 1}\n{"number": 2}\n{"numb')
    assert [line.number for line in read_lines(path, Small)] == [1, 2]
    path.write_text('{"number": 1}\nnonsense\n{"number": 3}\n')
    with pytest.raises(InputError, match=r"log\.jsonl:2: cannot be read"):
        list(read_lines(path, Small))
    assert list(read_lines(tmp_path / "absent.jsonl", Small)) == []
