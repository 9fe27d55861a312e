"""Collections that die: kill -9 at any instant, inside a write, a full disk.

Nothing acknowledged is lost, nothing stands twice, and the file in the end is that of a run nobody disturbed.
"""

from __future__ import annotations

import os
import random
import resource
import select
import signal
import time
from pathlib import Path

import pytest
from collect_stub import StubBackend, keys_of, run, small, stubbed, without_times

from epistemic_stance.collection.design import read_design
from epistemic_stance.collection.store import key_of
from epistemic_stance.foundation.errors import StorageError
from epistemic_stance.foundation.settings import CollectSettings

KILLS = 60
SLOTS = 4
ANSWERS = 120
"""30 groups of 4; a child lives for a few of them."""


def settings(folder: Path) -> CollectSettings:
    return small(folder, max_responses=ANSWERS, slots=SLOTS)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        stubbed(patch)
        path, _ = run(settings(tmp_path_factory.mktemp("undisturbed")))
        return path.read_bytes()


def die_in_write(draw: random.Random, after: int) -> None:
    """From now on the write after so many others stops at a random byte, and the process with it."""
    original, writes = os.write, []

    def write(descriptor: int, data: bytes) -> int:
        if data.startswith(b'{"schema"'):
            writes.append(descriptor)
            if len(writes) > after:
                original(descriptor, data[: draw.randrange(len(data) + 1)])
                os.kill(os.getpid(), signal.SIGKILL)
        return original(descriptor, data)

    os.write = write


def child_that_collects(folder: Path, draw: random.Random, dies_in_write: bool) -> tuple[int, int]:
    """Process id, and a pipe that gets a byte for every group that the stage has taken as written."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        if dies_in_write:
            die_in_write(draw, draw.randrange(2))
        pace = draw.choice([0.0, 0.0, 0.001])

        def acknowledge(_: int) -> None:
            os.write(writing, b".")
            time.sleep(pace)

        stubbed(pytest.MonkeyPatch(), StubBackend(after=acknowledge))
        try:
            run(settings(folder))
        finally:
            os._exit(0)
    os.close(writing)
    return child, reading


def acknowledged(reading: int, until_closed: bool) -> int:
    """Groups acknowledged: wait for the first, or for the end of the child."""
    count = 0
    while block := os.read(reading, 4096):
        count += len(block)
        if not until_closed:
            break
    return count


def test_sixty_kills_lose_nothing_and_double_nothing(undisturbed: bytes, tmp_path: Path) -> None:
    draw = random.Random(20)
    path = tmp_path / "responses.jsonl"
    kills = torn = rounds = 0
    safe = b""
    while kills < KILLS:
        rounds += 1
        how = draw.choice(["in a write", "in a write", "between", "between", "early"])
        dies_in_write = how == "in a write"
        child, reading = child_that_collects(tmp_path, draw, dies_in_write)
        lines_before = safe.count(b"\n")
        groups = 0 if how == "early" else acknowledged(reading, until_closed=dies_in_write)
        if not dies_in_write:
            select.select([], [], [], draw.random() * (0.03 if how == "early" else 0.004))
            os.kill(child, signal.SIGKILL)
            groups += acknowledged(reading, until_closed=True)
        os.close(reading)
        _, status = os.waitpid(child, 0)
        kills += os.WIFSIGNALED(status)
        found = path.read_bytes() if path.exists() else b""
        assert found.startswith(safe), "what was acknowledged before the last kill is there"
        assert found.count(b"\n") >= min(lines_before + groups * SLOTS, ANSWERS)
        torn += not found.endswith(b"\n")
        safe = b"".join(found.splitlines(keepends=True)[: lines_before + groups * SLOTS])
        if os.WIFEXITED(status):
            assert without_times(found) == without_times(undisturbed)
            path.unlink()
            (tmp_path / "responses.plan.json").unlink()
            safe = b""
    assert torn >= 10, "the kills hit writes, too"
    with pytest.MonkeyPatch.context() as patch:
        stubbed(patch)
        run(settings(tmp_path))
    assert without_times(path.read_bytes()) == without_times(undisturbed)
    assert sorted(keys_of(path)) == sorted(key_of(item) for item in read_design(settings(tmp_path)).items)
    assert rounds > kills / 2


@pytest.mark.parametrize("step", range(9))
def test_a_kill_while_the_torn_end_is_moved_loses_nothing(step: int, undisturbed: bytes, tmp_path: Path) -> None:
    """Killed before the n-th fsync of the next start: between the copy to .torn and the cut, among others."""
    path = tmp_path / "responses.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        stubbed(patch)
        run(settings(tmp_path))
        data = path.read_bytes()
        path.write_bytes(data[:-700])
        tail = data[:-700].rpartition(b"\n")[2]
        child = os.fork()
        if child == 0:
            calls: list[int] = []
            original = os.fsync

            def fsync(descriptor: int) -> None:
                calls.append(descriptor)
                if len(calls) == step + 1:
                    os.kill(os.getpid(), signal.SIGKILL)
                original(descriptor)

            os.fsync = fsync
            run(settings(tmp_path))
            os._exit(0)
        os.waitpid(child, 0)
        run(settings(tmp_path))
    assert without_times(path.read_bytes()) == without_times(undisturbed)
    assert tail in (tmp_path / "responses.jsonl.torn").read_bytes()


@pytest.mark.parametrize("room", [100, 5_000, 20_000])
def test_a_full_disk_is_said_and_what_was_written_stays(room: int, undisturbed: bytes, tmp_path: Path) -> None:
    """RLIMIT_FSIZE makes the write that crosses the limit short, as a full disk does."""
    path = tmp_path / "responses.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        stubbed(patch)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room + 4096, hard))
        try:
            with pytest.raises(StorageError, match=r"could not write .*responses.jsonl: short write") as raised:
                run(settings(tmp_path))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert raised.value.exit_code == 5
        whole_lines = path.read_bytes().rpartition(b"\n")[0]
        assert without_times(undisturbed).startswith(without_times(whole_lines))
        run(settings(tmp_path))
    assert without_times(path.read_bytes()) == without_times(undisturbed)
