"""Folders that survive a kill at the worst moment, links that never replace something by nothing, locks."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from epistemic_stance.foundation.errors import StorageError
from epistemic_stance.foundation.files import (
    commit_folder,
    committed_weights_digest,
    folder_lock,
    link_folder,
    sha256_of,
    sweep_leftovers,
    verify_manifest,
    write_atomic,
)
from epistemic_stance.models.find import ModelFiles


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


# --- digests -------------------------------------------------------------------------------------------------


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def aged(path: Path, seconds: float = 10) -> Path:
    """The file, as if it had been written some time ago."""
    then = time.time_ns() - int(seconds * 1e9)
    os.utime(path, ns=(then, then))
    return path


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by one with every pass over a file."""
    counted: list[str] = []
    digest = hashlib.file_digest

    def count(stream: Any, algorithm: str) -> Any:
        counted.append(algorithm)
        return digest(stream, algorithm)

    monkeypatch.setattr(hashlib, "file_digest", count)
    return counted


def test_a_file_is_hashed_once_under_all_its_names(tmp_path: Path, passes: list[str]) -> None:
    first, second = aged(write(tmp_path / "weights", b"1234")), tmp_path / "link"
    second.hardlink_to(first)
    expected = hashlib.sha256(b"1234").hexdigest()
    assert [sha256_of(first), sha256_of(second), sha256_of(first)] == [expected] * 3
    assert len(passes) == 1


def test_a_changed_file_is_hashed_again(tmp_path: Path, passes: list[str]) -> None:
    path = aged(write(tmp_path / "weights", b"1234"))
    sha256_of(path)
    path.write_bytes(b"4321")
    aged(path, 5)
    assert sha256_of(path) == hashlib.sha256(b"4321").hexdigest()
    other = aged(write(tmp_path / "other", b"4321"), 5)
    assert sha256_of(other) == sha256_of(path)
    assert len(passes) == 3


def test_a_file_that_was_just_written_is_not_remembered(tmp_path: Path, passes: list[str]) -> None:
    """It could be written again under the same stamp."""
    path = write(tmp_path / "weights", b"1234")
    stamp = path.stat()
    sha256_of(path)
    path.write_bytes(b"4321")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert sha256_of(path) == hashlib.sha256(b"4321").hexdigest()
    assert len(passes) == 2


def test_a_manifest_and_a_model_digest_share_the_pass(tmp_path: Path, passes: list[str]) -> None:
    final = tmp_path / "checkpoint-001"

    def fill(folder: Path) -> None:
        for name in ("config.json", "model.safetensors"):
            write(folder / name, name.encode())

    commit_folder(final, fill)
    for name in ("config.json", "model.safetensors"):
        aged(final / name)
    passes.clear()
    files = ModelFiles("m", final)
    assert verify_manifest(final) is None
    assert files.digest() == committed_weights_digest(final)
    link_folder(final, tmp_path / "best_model")
    assert verify_manifest(tmp_path / "best_model") is None
    assert len(passes) == 2
