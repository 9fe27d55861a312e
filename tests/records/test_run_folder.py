"""The layout of a run folder: names, order of checkpoints, and what the readers make of missing and damaged files."""

from __future__ import annotations

from pathlib import Path

import pytest

from epistemic_stance.foundation.errors import InputError
from epistemic_stance.records import Logged
from epistemic_stance.records.run_folder import (
    AnswerFiles,
    RunFolder,
    checkpoint_epoch,
    checkpoint_name,
    read_if_sound,
    read_lines,
    read_record,
    require_run_folder,
)


@pytest.mark.parametrize(
    ("name", "epoch"),
    [("checkpoint-010", 10), ("checkpoint-7", 7), ("checkpoint-1000", 1000), ("base", None), ("checkpoint-x", None)],
)
def test_the_epoch_in_a_name(name: str, epoch: int | None) -> None:
    assert checkpoint_epoch(name) == epoch


def test_a_checkpoint_is_named_by_its_epoch() -> None:
    assert [checkpoint_name(epoch) for epoch in (1, 50, 1000)] == [
        "checkpoint-001",
        "checkpoint-050",
        "checkpoint-1000",
    ]


def test_checkpoints_come_by_epoch_and_other_folders_are_left_out(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for name in ("checkpoint-100", "checkpoint-020", "checkpoint-3", "checkpoint-copy", ".tmp-checkpoint-005-7"):
        (run.checkpoints / name).mkdir(parents=True)
    (run.checkpoints / "checkpoint-007").write_text("a file")
    assert [path.name for path in run.checkpoint_folders()] == ["checkpoint-3", "checkpoint-020", "checkpoint-100"]
    assert RunFolder(tmp_path / "absent").checkpoint_folders() == []


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
