"""Code that does its worst, in real child processes: it ends in time, hurts nobody, and is never held to be right."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confined_systems import (
    POORER,
    RIGHT,
    SPACED,
    SYSTEM,
    TAKEN_AWAY,
    TESTS,
    eventually_none,
    nothing_left,
    on,
    run,
    running_children,
)
from hostile_code import EVERY_DESCRIPTOR, FORGE, HOSTILE, SEARCH

from epistemic_stance.foundation.errors import RefusedError
from epistemic_stance.scoring.grading import confined
from epistemic_stance.scoring.grading.confined import ENDED_EARLY, run_tests


@pytest.fixture(params=TAKEN_AWAY)
def child(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The child's program on this system, and on poorer ones."""
    monkeypatch.setattr(confined, "CHILD", on(request.param, tmp_path))
    return str(request.param)


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path) -> Iterator[None]:
    with nothing_left(tmp_path):
        yield


# --- what is right, and why the rest is not ----------------------------------------------------------------


@pytest.mark.usefixtures("child")
def test_code_that_passes_its_tests_is_right_and_any_failure_is_told() -> None:
    assert run(RIGHT).passed
    assert run(RIGHT).reason == ""
    for code, reason in {
        "def f(x): return 2 * x": "test 1 failed",
        "def f(x): return 9": "test 2 failed",
        "def f(x): return 1 / 0": "test 1: the code raised ZeroDivisionError",
        "def f(): return 9": "test 1: the code raised TypeError",
        "def g(x): return x * x": "test 1: the code raised NameError",
        "class Odd(Exception): pass\ndef f(x): raise Odd": "test 1: the code raised an exception",
        "def f(x: return": "the code raised SyntaxError",
        "f = 9": "test 1: the code raised TypeError",
        "def f(x): return 'a' * 2**21": "test 1: the code returned too much",
        "def f(x): return lambda: 9": "test 1: the code returned what is no plain value",
        "def f(x): return 'nine'.encode": "test 1: the code returned what is no plain value",
        "": "test 1: the code raised NameError",
    }.items():
        outcome = run(code)
        assert (outcome.passed, outcome.reason) == (False, reason)


RETURNED = {
    "return [1, (2.5, None), {'a': {True}}, b'x', 'caf\\u00e9\\u2028\\n', 3j]": (
        "f() == [1, (2.5, None), {'a': {True}}, b'x', 'caf\\u00e9\\u2028\\n', 3j]"
    ),
    "from collections import Counter; return Counter('aab')": "f() == {'a': 2, 'b': 1}",
    "from collections import defaultdict; d = defaultdict(list); d[1].append(2); return d": "f() == {1: [2]}",
    "from collections import namedtuple; return namedtuple('P', 'x y')(1, 2)": "f() == (1, 2) and f()[0] == 1",
    "return frozenset('ab')": "f() == {'a', 'b'}",
    "return set()": "f() == set()",
    "yield from 'abc'": "list(f()) == ['a', 'b', 'c'] and f() != ['a', 'b', 'c']",
    "return range(3)": "list(f()) == [0, 1, 2]",
    "return {1: 2}.keys()": "sorted(f()) == [1]",
    "return map(str, [1])": "next(f()) == '1'",
    "import itertools; return itertools.count(5)": "next(f()) == 5",
    "return -0.1 - 0.2": "math.isclose(f(), -0.3)",
    "return True": "f() is True",
}


@pytest.mark.parametrize("body", RETURNED)
def test_plain_values_arrive_as_they_are(body: str) -> None:
    assert run(f"def f(): {body}", (f"assert {RETURNED[body]}",)).reason == ""


def test_arguments_arrive_as_they_are() -> None:
    code = "def f(*a, **k): return a, k"
    assert run(code, ("assert f([1], {'x': (2,)}, c={3}) == (([1], {'x': (2,)}), {'c': {3}})",)).passed
    assert run(code, ("assert [f(n)[0][0] for n in range(3)] == [0, 1, 2]",)).passed


def test_a_set_has_the_same_order_each_time() -> None:
    code = "def f(): return ''.join({'alpha', 'beta', 'gamma', 'delta', 'epsilon'})"
    command = [sys.executable, "-c", f"{code}\nprint(f())"]
    order = subprocess.run(command, env={"PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=True).stdout
    assert run(code, (f"assert f() == {order.strip()!r}",)).passed


def test_several_threads_may_run_code() -> None:
    outcomes: list[bool] = []
    threads = [threading.Thread(target=lambda: outcomes.append(run(RIGHT).passed)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [True] * 4


# --- hostile code ------------------------------------------------------------------------------------------


@pytest.fixture
def impatient(child: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half the time, so that all of this is over sooner."""
    source = confined.CHILD.read_text(encoding="utf-8")
    copy = tmp_path / "impatient_child.py"
    copy.write_text(source.replace("PROCESSOR_SECONDS = 2", "PROCESSOR_SECONDS = 1", 1), encoding="utf-8")
    monkeypatch.setattr(confined, "CHILD", copy)
    monkeypatch.setattr(confined, "WALL_SECONDS", 2.5)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize(
    "child", [SYSTEM, *(pytest.param(poorer, marks=pytest.mark.slow) for poorer in (SPACED, POORER))], indirect=True
)
def test_hostile_code_ends_in_time_and_is_never_right(child: str, name: str) -> None:
    assert not run(HOSTILE[name]).passed


def test_time_is_limited_in_all_and_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("import time\ntime.sleep(1000)").reason == "the code took more than 5 s"
    monkeypatch.setattr(confined, "WALL_SECONDS", 60)
    assert run("while True: pass").reason == f"the code {ENDED_EARLY}"


@pytest.mark.usefixtures("child")
def test_the_tests_are_not_in_the_memory_of_the_code() -> None:
    tests = ("assert f() is False  # wombat", "assert 'wombat' and f() is False")
    assert run(SEARCH, tests).reason == ""
    assert run(f"here = ['a wombat']\n{SEARCH}", tests).reason == "test 1 failed"  # the search does find what is there


@pytest.mark.usefixtures("child")
def test_a_token_that_is_known_is_of_no_use(monkeypatch: pytest.MonkeyPatch) -> None:
    token = "0" * 32
    monkeypatch.setattr(secrets, "token_hex", lambda size: token)
    assert not run(FORGE.replace("{token}", token)).passed


@pytest.mark.usefixtures("child")
def test_a_reply_that_is_no_text_is_no_plain_value() -> None:
    code = EVERY_DESCRIPTOR + r"def f(x): tell(b'\xff\n')"
    assert run(code).reason == "test 1: the code returned what is no plain value"


@pytest.mark.usefixtures("child")
def test_the_code_starts_no_process() -> None:
    code = "import os\ndef f(x):\n  try: os.fork()\n  except OSError as error: return error.errno"
    assert run(code, ("assert f(1) in (1, 11)",)).passed  # refused by the filter, or by the limit


# --- the caller --------------------------------------------------------------------------------------------

CALLER = """
import sys, tempfile
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from epistemic_stance.grading import confined
tempfile.tempdir = sys.argv[2]
confined.CHILD = Path(sys.argv[3])
confined.WALL_SECONDS = 60
print("started", flush=True)
confined.run_tests("import time\\ntime.sleep(50)", ["assert f() == 1"])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_code_ends_with_its_caller(number: signal.Signals, child: str) -> None:
    root = Path(confined.__file__).parents[2]
    command = [sys.executable, "-c", CALLER, str(root), str(tempfile.tempdir), str(confined.CHILD)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as caller:
        assert caller.stdout
        assert caller.stdout.readline() == "started\n"
        deadline = time.monotonic() + 20
        while len(running_children() - {caller.pid}) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(running_children() - {caller.pid}) == 3
        caller.send_signal(number)
        _, errors = caller.communicate(timeout=20)
    assert ("KeyboardInterrupt" in errors) == (number == signal.SIGINT)
    assert not eventually_none(running_children)
    if number == signal.SIGKILL:  # nobody was left to remove the folder
        for folder in Path(str(tempfile.tempdir)).iterdir():
            folder.rmdir()


def test_a_system_without_limits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    with pytest.raises(RefusedError, match="cannot limit what code of answers does"):
        run_tests(RIGHT, TESTS)


def test_a_child_that_does_not_start_is_no_wrong_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise OSError('no more processes')")
    monkeypatch.setattr(confined, "CHILD", broken)
    with pytest.raises(RefusedError, match="did not start: OSError: no more processes"):
        run_tests(RIGHT, TESTS)
