"""Folders that survive a kill at the worst moment, links that never replace something by nothing, locks."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from epistemic_stance.foundation.errors import StorageError
from epistemic_stance.foundation.files import (
    commit_folder,
    folder_lock,
    link_folder,
    sweep_leftovers,
    verify_manifest,
    write_atomic,
)


def committed(folder: Path, content: str) -> Path:
    def fill(target: Path) -> None:
        (target / "content.txt").write_text(content)

    commit_folder(folder, fill)
    return folder


def killed_after_rename(number: int, folder: Path, content: str) -> None:
    """Commit `folder` in a process that is killed right after its n-th rename of a folder."""
    child = os.fork()
    if child == 0:
        original, renames = Path.rename, []

        def rename(path: Path, target: Path) -> Path:
            moved = original(path, target)
            renames.append(target)
            if len(renames) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return moved

        pytest.MonkeyPatch().setattr(Path, "rename", rename)
        committed(folder, content)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.parametrize(("renames", "survivor"), [(1, "old"), (2, "new")])
def test_kill_between_the_renames_of_a_replacement_loses_nothing(renames: int, survivor: str, tmp_path: Path) -> None:
    folder = committed(tmp_path / "checkpoint-002", "old")
    killed_after_rename(renames, folder, "new")
    sweep_leftovers(tmp_path)
    assert (folder / "content.txt").read_text() == survivor
    assert verify_manifest(folder) is None
    assert list(tmp_path.iterdir()) == [folder]


def test_sweeping_one_name_leaves_the_others_alone(tmp_path: Path) -> None:
    for name in ("best_model", "notes"):
        killed_after_rename(1, committed(tmp_path / name, "old"), "new")
    before = {path.name for path in tmp_path.iterdir() if "notes" in path.name}
    sweep_leftovers(tmp_path, "best_model")
    assert {path.name for path in tmp_path.iterdir()} == {"best_model", *before}


def test_linking_a_folder_that_is_gone_keeps_what_was_there(tmp_path: Path) -> None:
    source, final = committed(tmp_path / "checkpoint-002", "weights"), tmp_path / "best_model"
    link_folder(source, final)
    shutil.rmtree(source)
    with pytest.raises(StorageError, match="checkpoint-002 is gone"):
        link_folder(source, final)
    assert (final / "content.txt").read_text() == "weights"


def test_lock_of_a_folder_deleted_under_it_is_not_held(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with folder_lock(folder) as lock:
        lock.require_held()
        shutil.rmtree(folder)
        with pytest.raises(StorageError, match="deleted or replaced"):
            lock.require_held()
        with folder_lock(folder), pytest.raises(StorageError, match="deleted or replaced"):
            lock.require_held()


def test_failed_write_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    write_atomic(tmp_path / "run.json", "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        write_atomic(tmp_path / "run.json", "new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("run.json", "old")]
