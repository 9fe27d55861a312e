"""The program of the child that runs code of answers, on this system and as if it were on poorer ones."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from epistemic_stance.scoring.grading import confined
from epistemic_stance.scoring.grading.confined import CHILD, Outcome, run_tests

TESTS = ("assert f(3) == 9", "assert f(-2) == 4")
RIGHT = "def f(x): return x * x"
NAMESPACE = "LIBC.unshare(", "-1 * bool("
FILTER = "    return LIBC.prctl(PR_SET_SECCOMP, ", "    return False and LIBC.prctl(PR_SET_SECCOMP, "
SYSTEM, FILTERED, SPACED, POORER = "as this system allows", "without namespaces", "without a filter", "without both"
TAKEN_AWAY = {SYSTEM: (), FILTERED: (NAMESPACE,), SPACED: (FILTER,), POORER: (NAMESPACE, FILTER)}
"""Of the child's program, what is replaced by what to make it that of a poorer system."""
SLACK = 5.0
"""Seconds that starting and ending may take on a busy machine."""


def on(system: str, folder: Path) -> Path:
    """The child's program as it would be on that system."""
    source = CHILD.read_text(encoding="utf-8")
    for there, instead in TAKEN_AWAY[system]:
        assert source.count(there) == 1
        source = source.replace(there, instead)
    copy = folder / "child.py"
    copy.write_text(source, encoding="utf-8")
    return copy


def exposed_on(system: str) -> tuple[str, ...]:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(confined, "CHILD", on(system, Path(folder)))
        return run_tests(RIGHT, TESTS).exposed


NAMESPACES, FILTERS = "network" not in exposed_on(SPACED), "network" not in exposed_on(FILTERED)
"""What this system has."""


@contextlib.contextmanager
def nothing_left(tmp_path: Path) -> Iterator[None]:
    """No temporary folder, no process: asserted in the end."""
    assert tmp_path.exists()  # pytest has chosen its own folder before the one for temporary folders is changed
    folder = Path(tempfile.mkdtemp(prefix="confined-"))
    folder.chmod(0o755)
    before = children_of(os.getpid())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        yield
    assert list(folder.iterdir()) == []
    folder.rmdir()
    assert not eventually_none(lambda: (children_of(os.getpid()) - before) | running_children())


def eventually_none(found: object) -> set[int]:
    """What `found()` still gives after a second."""
    for _ in range(100):
        left = found()  # type: ignore[operator]
        if not left:
            return set()
        time.sleep(0.01)
    return set(left)


def processes() -> Iterator[tuple[int, int, str]]:
    """Number, parent and command line of every process; nothing where there is no /proc."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            yield int(folder.name), int(parent), (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue


def children_of(parent: int) -> set[int]:
    """Zombies too."""
    return {number for number, its_parent, _ in processes() if its_parent == parent}


def running_children() -> set[int]:
    """Processes that run the child's program, whoever their parent is now."""
    return {number for number, _, command in processes() if str(confined.CHILD) in command}


def run(code: str, tests: tuple[str, ...] = TESTS) -> Outcome:
    started = time.monotonic()
    outcome = run_tests(code, tests)
    assert time.monotonic() - started < confined.WALL_SECONDS + SLACK
    return outcome
