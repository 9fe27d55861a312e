"""What is continued of a collection that ended early, and what is replaced, with a stub for the model."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from collect_stub import (
    StubBackend,
    copied_demo,
    interrupted,
    keys_of,
    lines_of,
    retrain,
    run,
    small,
    stubbed,
    without_times,
)

from epistemic_stance.collection.design import read_design
from epistemic_stance.collection.store import ResponseStore
from epistemic_stance.foundation.errors import InputError, RefusedError
from epistemic_stance.foundation.files import folder_lock
from epistemic_stance.foundation.settings import CollectSettings
from epistemic_stance.records.collection import CollectionRecord


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> StubBackend:
    return stubbed(monkeypatch)


def test_only_what_is_missing_is_asked(stub: StubBackend, tmp_path: Path) -> None:
    whole, _ = run(small(tmp_path / "whole"))
    for groups in range(1, 9):
        settings = small(tmp_path / str(groups))
        interrupted(stub, groups, settings)
        assert len(lines_of(tmp_path / str(groups) / "responses.jsonl")) == 3 * groups
        path, printed = run(settings)
        assert len(stub.asked) == 9 - groups
        assert f"{3 * groups} answers are there, {25 - 3 * groups} are missing" in printed
        assert without_times(path.read_bytes()) == without_times(whole.read_bytes())
        assert not (path.parent / "responses.jsonl.torn").exists()


def test_a_finished_collection_needs_no_model(
    stub: StubBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = run(small(tmp_path))
    before = path.read_bytes()
    monkeypatch.setattr("epistemic_stance.collection.source._open_local", None)
    again, printed = run(small(tmp_path))
    assert (again, path.read_bytes()) == (path, before)
    assert "nothing is missing: all 25 answers are there" in printed
    assert "analyze" in printed


def test_automatic_slots_and_threads_stay_those_of_the_first_run(
    stub: StubBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(stub, 2, small(tmp_path))
    other = stubbed(monkeypatch, StubBackend(slots=7))
    run(small(tmp_path))
    assert [len(group) for group in other.asked] == [3] * 6 + [1]


def test_answers_that_were_deleted_by_hand_are_asked_again(stub: StubBackend, tmp_path: Path) -> None:
    path, _ = run(small(tmp_path))
    keys, lines = keys_of(path), path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:4] + lines[5:]))
    stub.asked.clear()
    run(small(tmp_path))
    assert [len(group) for group in stub.asked] == [1]
    assert keys_of(path) == [*keys[:4], *keys[5:], keys[4]]


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_a_file_cut_anywhere_in_its_last_two_lines_is_completed(
    groups: int, stub: StubBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every third byte, and all around the line end and inside an escape. Whole lines of an incomplete group are set
    aside with the torn one."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    settings = small(tmp_path, slots=groups, max_responses=7)
    path, _ = run(settings)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    lines[-2] = lines[-2].replace(b'"response": "', b'"response": "\\ud83d\\ude00')
    assert any(b"\\u" in line for line in lines[-2:])
    torn = path.with_name("responses.jsonl.torn")
    file, design = ResponseStore(path), read_design(settings)
    plan = file.plan()
    assert plan is not None
    in_groups = [tuple(design.items[start : start + groups]) for start in range(0, 7, groups)]
    whole = b"".join(lines)
    tail, escape = len(lines[-2] + lines[-1]), len(whole) - whole.rindex(b"\\ud83d")
    near = [*range(len(lines[-1]) - 3, len(lines[-1]) + 4), *range(escape - 14, escape + 2)]
    for cut in sorted({*range(1, tail + 1, 3), *near}):
        data = whole[:-cut]
        path.write_bytes(data)
        torn.unlink(missing_ok=True)
        stored = file.read(plan, design.items)
        moved = file.mend(stored, in_groups)
        kept = path.read_bytes()
        set_aside = torn.read_bytes() if torn.exists() else b""
        assert kept + set_aside.removesuffix(b"\n") == data or kept + set_aside == data
        complete = data.count(b"\n") // groups * groups
        assert kept == b"".join(lines[:complete])
        assert moved == data.count(b"\n") - complete
        assert len(stored.lines) == complete
        assert [item for group in stored.missing(in_groups) for item in group] == design.items[complete:]


def test_a_torn_line_is_kept_aside_and_asked_again(stub: StubBackend, tmp_path: Path) -> None:
    path, _ = run(small(tmp_path, slots=1))
    whole = path.read_bytes()
    for cut in (10, 700):
        path.write_bytes(whole[:-cut])
        _, printed = run(small(tmp_path, slots=1))
        assert "the last line was not complete; it was moved to responses.jsonl.torn" in printed
        assert without_times(path.read_bytes()) == without_times(whole)
    last = whole.splitlines()[-1]
    torn = path.with_name("responses.jsonl.torn").read_bytes().splitlines()
    assert [len(line) for line in torn if last.startswith(line[:60])] == [len(last) - 9, len(last) - 699]


def test_a_last_line_that_is_no_json_is_torn_too(stub: StubBackend, tmp_path: Path) -> None:
    path, _ = run(small(tmp_path))
    whole = path.read_bytes()
    for tail in (b"\x00\x00\x00\x00\n", b"\xff\xfe\n", b"[" * 100_000 + b"\n", b"{}\n", b"\n", b"half \xc3"):
        path.write_bytes(whole + tail)
        run(small(tmp_path))
        assert path.read_bytes() == whole
        assert tail.rstrip(b"\n") in path.with_name("responses.jsonl.torn").read_bytes()


def test_damage_in_the_middle_is_named_with_its_line(stub: StubBackend, tmp_path: Path) -> None:
    path, _ = run(small(tmp_path))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3], lines[7] = b'{"schema": 1\n', lines[7].replace(b'"iteration": 1', b'"iteration": "first"')
    lines[7] = lines[7].replace(b'"iteration": 2', b'"iteration": "second"')
    damaged = b"".join(lines)
    path.write_bytes(damaged)
    with pytest.raises(InputError) as raised:
        run(small(tmp_path))
    assert f"{path}:4: not JSON" in str(raised.value)
    assert f"{path}:8: not an answer: iteration: " in str(raised.value)
    assert path.read_bytes() == damaged


def test_a_line_without_end_is_named_without_reading_it_whole(
    stub: StubBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epistemic_stance.collection.store.MAX_LINE_BYTES", 3000)
    path, _ = run(small(tmp_path))
    path.write_bytes(path.read_bytes() + b"x" * 9000)
    with pytest.raises(InputError, match=r"responses.jsonl:26: longer than 3000 bytes"):
        run(small(tmp_path))


def test_a_file_that_cannot_be_read_is_named(stub: StubBackend, tmp_path: Path) -> None:
    path, _ = run(small(tmp_path))
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=r"responses.jsonl: cannot be read: Is a directory"):
        run(small(tmp_path))


def test_a_line_that_stands_twice_is_named(stub: StubBackend, tmp_path: Path) -> None:
    path, _ = run(small(tmp_path))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, lines[2]]))
    with pytest.raises(InputError, match=r"responses.jsonl:26: this answer stands twice"):
        run(small(tmp_path))


# --- default names -----------------------------------------------------------------------------------------


def test_without_an_output_dir_the_newest_unfinished_file_of_this_plan_is_continued(
    stub: StubBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    interrupted(stub, 2, small(None))
    interrupted(stub, 3, small(None, seed=7))
    (first, second) = sorted(Path("bias_data").glob("*.jsonl"))
    assert first.name.startswith("bias_responses_20")
    path, printed = run(small(None))
    assert path == first
    assert f"answers      {first}" in printed
    assert "6 answers are there, 19 are missing" in printed
    third, printed = run(small(None))
    assert third not in (first, second), "a finished one is not continued"
    assert "are missing" not in printed
    assert len(lines_of(second)) == 9


def test_a_retrained_model_starts_a_new_file(
    stub: StubBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = copied_demo(tmp_path / "model")
    settings = small(None, model=str(model))
    interrupted(stub, 2, settings)
    retrain(model)
    path, _ = run(settings)
    assert len(list(Path("bias_data").glob("*.jsonl"))) == 2
    assert len({line["metadata"]["weights_digest"] for line in lines_of(path)}) == 1


def test_what_only_the_loaded_model_tells_starts_a_new_file_too(
    stub: StubBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    interrupted(stub, 2, small(None))
    (first,) = Path("bias_data").glob("*.jsonl")
    stub.identity = replace(stub.identity, template_digest="other")
    path, printed = run(small(None))
    assert path != first
    assert f"not continuing {first}: template_digest: was tttt" in printed
    assert (len(lines_of(path)), len(lines_of(first))) == (25, 6)


# --- what is replaced --------------------------------------------------------------------------------------


def test_overwrite_starts_anew(stub: StubBackend, tmp_path: Path) -> None:
    interrupted(stub, 2, small(tmp_path))
    path, _ = run(small(tmp_path, seed=7, overwrite=True))
    assert len(lines_of(path)) == 25
    plan = CollectionRecord.model_validate_json((tmp_path / "responses.plan.json").read_bytes())
    assert (plan.seed, plan.status) == (7, "finished")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".lock", "responses.jsonl", "responses.plan.json"]


def test_overwrite_deletes_nothing_if_the_model_does_not_open(
    stub: StubBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = run(small(tmp_path))
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise InputError([])

    monkeypatch.setattr("epistemic_stance.collection.source._open_local", fail)
    with pytest.raises(InputError):
        run(small(tmp_path, seed=7, overwrite=True))
    assert path.read_bytes() == before


@pytest.mark.parametrize("step", range(4))
def test_an_overwrite_that_is_killed_leaves_the_old_or_the_new_collection(
    step: int, stub: StubBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before its n-th rename or deletion of a file."""
    path, _ = run(small(tmp_path))
    before = path.read_bytes()
    killed_at_change(step, small(tmp_path, seed=7, overwrite=True))
    file = ResponseStore(path)
    plan = file.plan()
    assert plan is not None
    if plan.seed == 42:
        assert path.read_bytes() == before
        run(small(tmp_path))
    else:
        run(small(tmp_path, seed=7))
    assert len(set(keys_of(path))) == 25


def killed_at_change(step: int, settings: CollectSettings) -> None:
    child = os.fork()
    if child == 0:
        patch, changes = pytest.MonkeyPatch(), []
        for name in ("replace", "unlink"):
            original = getattr(Path, name)

            def change(self: Path, *args: Any, original: Any = original, **flags: Any) -> Any:
                if "responses" in self.name:
                    changes.append(self)
                if len(changes) == step + 1:
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(self, *args, **flags)

            patch.setattr(Path, name, change)
        run(settings)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL


def test_two_collections_cannot_share_a_folder(stub: StubBackend, tmp_path: Path) -> None:
    with folder_lock(tmp_path), pytest.raises(RefusedError, match=f"{tmp_path} is in use by pid {os.getpid()}"):
        run(small(tmp_path))
