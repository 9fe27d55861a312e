"""Code of an answer, tested in a child process that is kept from everything it does not need.

On Linux on x86-64 and ARM64 a filter of system calls leaves the code only what computing takes: memory, time, the
pipes to the process that tests it, and its end; what else it asks of the kernel is refused. Where the system allows
user namespaces (most Linux systems), it besides has no network, sees an empty file system that it cannot write and no
process but its own, and has no privileges, so that either holds if the other fails. Everywhere it has an empty
environment, no standard streams, limits of processor time, memory, open files and file size, may start no process, and
is killed with all it started when its time is up. A caller who is root has it run as the user nobody.

Not promised: the kernel is shared, so this is no virtual machine. Without the filter the code may use the keyrings of
its user's kernel (those of the session excepted) and hold memory that no limit counts; without namespaces too it may
read what its user may read, delete what its user may delete, reach the network, and signal the processes of its user.
`Outcome.exposed` says which of these it is.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from epistemic_stance.foundation.errors import RefusedError

WALL_SECONDS = 5.0
MODULES = (
    *("__future__", "bisect", "collections", "copy", "functools", "heapq", "itertools", "math", "operator", "re"),
    *("string", "typing"),
)
"""What the code may import. Not `random`: what it gives cannot be tested, and it takes 5 ms to import."""
ENDED_EARLY = "ended early or reached a limit of time or memory"
CHILD = Path(__file__).with_name("confined_child.py")


@dataclass(frozen=True)
class Outcome:
    passed: bool
    reason: str
    """What went wrong, in our words; empty if all tests passed."""
    exposed: tuple[str, ...]
    """What the code could have reached: of "network", "files", "processes", "keys" (of the kernel, or of the user's
    keychain) and "memory" (as much as there is)."""


def run_tests(code: str, tests: Sequence[str]) -> Outcome:
    """Run `code`, then `tests`: assert statements that call its functions with plain values and get plain values.

    Plain are None, numbers that are finite, strings, bytes, and lists, tuples, sets and dictionaries of them; an
    iterator arrives as an iterator of at most 10,000 values, what a call changes in its arguments does not arrive. A
    test may also use builtins and `math`. Safe to call from several threads. Raises RefusedError where a process cannot
    be limited or none can be started.
    """
    assert tests, "code without a test would pass"
    _refuse_without_limits()
    token = secrets.token_hex(16)
    source = code.encode("utf-8", "replace")
    try:
        output, errors, in_time = _run(source, source + ascii((token, list(tests))).encode())
    except OSError as error:
        raise _not_started(str(error)) from error
    started, newline, verdict = output.decode("ascii", "replace").partition("\n")
    if not newline:
        raise _not_started(errors.decode("utf-8", "replace").strip().rpartition("\n")[2] or "it ended without a word")
    vouched, _, problem = verdict.partition(" ")
    if vouched != token:
        problem = f"the code {ENDED_EARLY}" if in_time else f"the code took more than {WALL_SECONDS:g} s"
    return Outcome(vouched == token and not problem, problem, tuple(started.split()))


@cache
def exposed() -> tuple[str, ...]:
    """What code could reach on this system; found out once per process, by running some."""
    return run_tests("def one(): return 1", ["assert one() == 1"]).exposed


def confinement() -> str:
    """How code is confined on this system, for a report."""
    if not exposed():
        return "no network, no files, no processes but its own, limited time and memory"
    limited = "limited time" if "memory" in exposed() else "limited time and memory"
    return f"{limited}, but within its reach: {', '.join(exposed())}"


def _not_started(why: str) -> RefusedError:
    return RefusedError(
        f"the process that runs code of answers did not start: {why}",
        "without --run-code the other answers are graded, and no code is run",
    )


def _refuse_without_limits() -> None:
    try:
        import resource  # noqa: F401 -- what the child process needs
    except ImportError:
        raise RefusedError(
            "this system cannot limit what code of answers does (Python has no module resource here)",
            "leave out --run-code, or run it on Linux or macOS",
        ) from None


def _run(source: bytes, payload: bytes) -> tuple[bytes, bytes, bool]:
    """Output and errors of the child, and whether it ended in time; none of its group is left, however this ends."""
    # The options are those of -I with one difference: PYTHONHASHSEED is heard, so that a set has the same order each
    # time and the same answer gets the same grade. Nothing else is in the environment.
    command = [sys.executable, "-s", "-P", "-S", "-B", str(CHILD), str(len(source)), *MODULES]
    with (
        tempfile.TemporaryDirectory(prefix="stance-code-") as folder,
        subprocess.Popen(
            command,
            cwd=folder,
            env={"PYTHONHASHSEED": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process,
    ):
        try:
            return *process.communicate(payload, WALL_SECONDS), True
        except subprocess.TimeoutExpired:
            _kill_group(process)
            return *process.communicate(), False
        finally:
            _kill_group(process)
            process.wait()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
