"""Code that does its worst, in real child processes: it ends in time, hurts nobody, and is never held to be right."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile_code import CONNECT, EVERY_DESCRIPTOR, HOSTILE, SEARCH

from epistemic_stance.errors import RefusedError
from epistemic_stance.grading import confined
from epistemic_stance.grading.confined import CHILD, ENDED_EARLY, Outcome, confinement, exposed, run_tests

TESTS = ("assert f(3) == 9", "assert f(-2) == 4")
RIGHT = "def f(x): return x * x"
NAMESPACES = not exposed()
SYSTEM, POORER = "as this system allows", "without namespaces"
SLACK = 5.0
"""Seconds that starting and ending may take on a busy machine."""


@pytest.fixture(params=[SYSTEM, POORER])
def child(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The child's program, and the same program on a system that has no namespaces."""
    if request.param == POORER:
        source = CHILD.read_text(encoding="utf-8")
        poorer = source.replace("LIBC.unshare(", "-1 * bool(", 1)
        assert poorer != source
        copy = tmp_path / "child.py"
        copy.write_text(poorer, encoding="utf-8")
        monkeypatch.setattr(confined, "CHILD", copy)
    return str(request.param)


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No temporary folder, no process: asserted after every test."""
    assert tmp_path.exists()  # pytest has chosen its own folder before the one for temporary folders is changed
    folder = Path(tempfile.mkdtemp(prefix="confined-"))
    folder.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    before = children_of(os.getpid())
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
@pytest.mark.parametrize("child", [SYSTEM, pytest.param(POORER, marks=pytest.mark.slow)], indirect=True)
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
    monkeypatch.setattr(confined.secrets, "token_hex", lambda size: token)
    forge = f"""
import os, time
def tell(path):
    try: out = os.open(path, os.O_WRONLY)
    except OSError: return
    os.write(out, b"{token} ")
for number in [os.getppid(), os.getpid(), *range(1, 9), *range(os.getppid() - 9, os.getpid() + 9)]:
    for fd in range(9):
        tell("/proc/%d/fd/%d" % (number, fd))
{EVERY_DESCRIPTOR}
tell(b"\\n{token} ")
os._exit(0)
"""
    assert not run(forge).passed


def test_what_the_code_starts_ends_with_it() -> None:
    """Where a process may be started at all, which a limit forbids."""
    code = "import os\ndef f(x):\n  try: os.fork()\n  except OSError as error: return error.errno"
    assert run(code, ("assert f(1) == 11",)).passed


# --- what it can reach -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("child")
def test_the_environment_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "not for the code")
    code = """
import os
def f(): return sorted(os.environ)
def g():
    seen = b""
    for number in [os.getppid(), *range(2, 5), *range(os.getpid() - 9, os.getpid())]:
        try: seen += open("/proc/%d/environ" % number, "rb").read()
        except OSError: pass
    return b"SECRET" in seen
"""
    assert run(code, ("assert set(f()) <= {'PYTHONHASHSEED', 'LC_CTYPE', '__CF_USER_TEXT_ENCODING'}",)).passed
    if os.geteuid() == 0 or NAMESPACES:  # else the environment of this process is its user's to read
        assert run(code, ("assert not g()",)).passed


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder in which anyone may do anything, with a file."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o777)
        (folder / "diary.txt").write_text("dear diary")
        (folder / "diary.txt").chmod(0o666)
        yield folder


def test_files_are_out_of_reach_or_said_to_be_in_reach(child: str, open_folder: Path) -> None:
    diary = open_folder / "diary.txt"
    code = f"""
import os
def read(): return open({str(diary)!r}).read()
def write(path):
    with open(path, "wb") as file: file.write(b"x" * 10**8)
def listing(): return os.listdir("/")
"""
    readable = run(code, ("assert read() == 'dear diary'",))
    assert readable.passed == ("files" in readable.exposed)
    if child == POORER:
        assert readable.exposed == ("network", "files", "processes")
    else:
        assert run(code, ("assert listing() == []",)).passed == NAMESPACES
    for path in (open_folder / "large", "large", "/large"):
        assert not run(code, (f"assert write({str(path)!r}) is None",)).passed
    assert sum(file.stat().st_size for file in open_folder.iterdir()) == len("dear diary")
    if NAMESPACES and child != POORER:
        assert not run(f"import os\nos.unlink({str(diary)!r})").passed
        assert list(open_folder.iterdir()) == [diary]


@pytest.mark.skipif(sys.platform != "linux", reason="the code calls Linux's C library")
def test_the_network_is_out_of_reach_or_said_to_be_in_reach(child: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        connected = run(CONNECT, (f"assert f({server.getsockname()[1]}) == 0",))
        assert connected.passed == ("network" in connected.exposed)
        if "network" not in connected.exposed:
            with pytest.raises(TimeoutError):
                server.accept()


def test_other_processes_are_out_of_reach() -> None:
    if not NAMESPACES:
        pytest.skip("no namespaces here: the code could signal processes of the user who runs the tests")
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        targets = f"[{os.getpid()}, {os.getppid()}, {victim.pid}, -{victim.pid}, os.getppid(), 1, -1]"
        code = f"import os\nfor target in {targets}:\n  try: os.kill(target, 9)\n  except OSError: pass"
        assert not run(code).passed
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


@pytest.mark.skipif(os.geteuid() != 0, reason="only of root is another user made")
def test_root_has_it_run_as_nobody(child: str) -> None:
    code = "import os\ndef f(): return os.getuid(), os.geteuid(), os.getgid()\ndef g(): os.setuid(0)"
    assert run(code, ("assert f() == (65534, 65534, 65534)",)).passed
    assert run(code, ("assert g() is None",)).reason in (
        "test 1: the code raised PermissionError",
        "test 1: the code raised OSError",
    )
    if child == POORER:
        mine = f"import os\ndef f(x): os.kill({os.getpid()}, 9)"
        assert run(mine).reason == "test 1: the code raised PermissionError"


@pytest.mark.skipif(sys.platform != "linux", reason="the code calls Linux's C library")
@pytest.mark.usefixtures("child")
def test_the_process_with_the_tests_cannot_be_traced() -> None:
    code = """
import os, sys
def f(): return sys.modules["__main__"].LIBC.ptrace(16, os.getppid(), 0, 0)
"""
    assert run(code, ("assert f() == -1",)).passed


def test_it_is_said_how_code_is_confined(child: str) -> None:
    exposed.cache_clear()
    try:
        said = confinement()
    finally:
        exposed.cache_clear()
    if child == POORER:
        assert said == "limited time and memory, but within its reach: network, files, processes"
    else:
        assert said.startswith("no network, no files") == NAMESPACES


def test_it_cannot_regain_privileges() -> None:
    if not NAMESPACES:
        pytest.skip("no namespaces here, so none were given")
    code = """
import sys
LIBC = sys.modules["__main__"].LIBC
def f(): return [LIBC.unshare(0x10000000), LIBC.unshare(0x20000), LIBC.chroot(b"/"), LIBC.setuid(0), LIBC.setns(0, 0),
                 LIBC.mount(b"none", b"/", b"tmpfs", 0, b""), LIBC.umount2(b"/", 2), LIBC.sethostname(b"x", 1)]
"""
    assert run(code, ("assert f() == [-1] * 8",)).passed


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
