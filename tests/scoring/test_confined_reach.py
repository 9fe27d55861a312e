"""What code of answers can reach, in real child processes: nothing, or what is said."""

from __future__ import annotations

import collections
import ctypes
import os
import platform
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from confined_systems import FILTERS, NAMESPACES, POORER, RIGHT, SPACED, SYSTEM, TAKEN_AWAY, nothing_left, on, run
from hostile_code import CONNECT, ENVIRONMENT, KEYS, OTHER_NUMBERS, SHARED_MEMORY

from epistemic_stance.scoring.grading import confined
from epistemic_stance.scoring.grading.confined import confinement, exposed


@pytest.fixture(params=TAKEN_AWAY)
def child(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The child's program on this system, and on poorer ones."""
    monkeypatch.setattr(confined, "CHILD", on(request.param, tmp_path))
    return str(request.param)


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path) -> Iterator[None]:
    with nothing_left(tmp_path):
        yield


@pytest.mark.usefixtures("child")
def test_the_environment_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "not for the code")
    assert run(ENVIRONMENT, ("assert set(f()) <= {'PYTHONHASHSEED', 'LC_CTYPE', '__CF_USER_TEXT_ENCODING'}",)).passed
    if os.geteuid() == 0 or NAMESPACES:  # else the environment of this process is its user's to read
        assert run(ENVIRONMENT, ("assert not g()",)).passed


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
    if child == SPACED:
        assert run(code, ("assert listing() == []",)).passed == NAMESPACES
    for path in (open_folder / "large", "large", "/large"):
        assert not run(code, (f"assert write({str(path)!r}) is None",)).passed
    assert sum(file.stat().st_size for file in open_folder.iterdir()) == len("dear diary")
    if "files" not in readable.exposed:
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


@pytest.mark.usefixtures("child")
def test_other_processes_are_out_of_reach() -> None:
    if "processes" in run(RIGHT).exposed:
        pytest.skip("neither namespaces nor a filter: the code could signal processes of the user who runs the tests")
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        targets = f"[{os.getpid()}, {os.getppid()}, {victim.pid}, -{victim.pid}, os.getppid(), 1, -1]"
        code = f"import os\nfor target in {targets}:\n  try: os.kill(target, 9)\n  except OSError: pass"
        assert not run(code).passed
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


@pytest.mark.parametrize("child", [SPACED, POORER], indirect=True)  # where no filter hides whether this fence holds
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
        assert said == "limited time, but within its reach: network, files, processes, keys, memory"
    elif child == SPACED and NAMESPACES:
        assert said == "limited time, but within its reach: keys, memory"
    elif FILTERS and child != SPACED:
        assert said == "no network, no files, no processes but its own, limited time and memory"


@pytest.mark.usefixtures("child")
@pytest.mark.parametrize("child", [SYSTEM, SPACED], indirect=True)
def test_it_cannot_regain_privileges() -> None:
    if not NAMESPACES:
        pytest.skip("no namespaces here, so no privileges were given")
    code = """
import sys
LIBC = sys.modules["__main__"].LIBC
def f(): return [LIBC.unshare(0x10000000), LIBC.unshare(0x20000), LIBC.chroot(b"/"), LIBC.setuid(0), LIBC.setns(0, 0),
                 LIBC.mount(b"none", b"/", b"tmpfs", 0, b""), LIBC.umount2(b"/", 2), LIBC.sethostname(b"x", 1)]
"""
    assert run(code, ("assert f() == [-1] * 8",)).passed


KEY_CALLS = {"x86_64": (248, 250), "aarch64": (217, 219)}.get(platform.machine())


@pytest.mark.skipif(KEY_CALLS is None or not sys.platform.startswith("linux"), reason="needs the keyrings of Linux")
@pytest.mark.usefixtures("child")
def test_the_keys_of_the_session_are_out_of_reach() -> None:
    assert KEY_CALLS is not None
    add_key, keyctl = KEY_CALLS
    library = ctypes.CDLL(None)
    seen: list[object] = []

    def in_session() -> None:
        """A session keyring is that of a thread, and of the processes that it starts."""
        library.syscall(keyctl, 1, None)
        if library.syscall(add_key, b"user", b"stance-theirs", b"secret", 6, -3) < 0:
            return
        seen.append(run(KEYS, (f"assert f({add_key}, {keyctl}) == bytes(0)",)).reason)
        seen.append(library.syscall(keyctl, 10, -3, b"user", b"stance-ours", 0))
        # and unconfined, the program does find what is there
        unconfined = {"collections": collections, "__name__": "answer"}
        source = KEYS.replace('collections._sys.modules["__main__"].LIBC', "ctypes.CDLL(None)")
        exec(f"import ctypes\n{source}", unconfined)
        seen.append(unconfined["f"](add_key, keyctl))  # type: ignore[operator]

    thread = threading.Thread(target=in_session)
    thread.start()
    thread.join()
    if not seen:
        pytest.skip("no keyrings here")
    assert seen == ["", -1, b"secret"]


@pytest.mark.skipif(sys.platform != "linux", reason="the code calls Linux's C library")
@pytest.mark.usefixtures("child")
def test_memory_without_a_limit_is_out_of_reach_or_said_to_be_in_reach() -> None:
    held = run(SHARED_MEMORY, ("assert f() == 0",))
    assert held.passed == ("memory" not in held.exposed)


@pytest.mark.skipif(platform.machine() != "x86_64" or not FILTERS, reason="machine code of x86-64, for the filter")
def test_the_filter_knows_the_numbers_of_32_bit_calls() -> None:
    assert run(OTHER_NUMBERS, ("assert g() == -1",)).passed
