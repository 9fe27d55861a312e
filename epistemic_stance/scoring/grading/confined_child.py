"""The program of the child process in which an answer's code is run; started by `confined.py`, never imported.

Three processes. The first takes away what can be taken away, and waits. The second holds the tests and the token with
which it vouches for its verdict. The third runs the answer's code and answers calls of its functions; it was forked
before the second read tests and token, so it never holds either, and all that the second takes from it is plain data.
Whatever the answer replaces, raises, prints or exits with, it can only return wrong values.

Arguments: length of the code in bytes, then modules to import before the file system is out of reach. Standard input:
the code, then the literal of (token, tests). Standard output: a line that names what stays within reach ("network",
"files", "processes", "keys", "memory"), then the token and what went wrong, nothing if all tests passed.
"""

from __future__ import annotations

import ast
import builtins
import errno
import importlib
import math
import os
import resource
import signal
import struct
import sys
from collections.abc import Callable, Iterator, MappingView, Sequence
from functools import partial
from itertools import islice
from typing import IO, Any

try:
    import ctypes
except ImportError:  # a Python that was built without
    LIBC: Any = None
else:
    LIBC = ctypes.CDLL(None, use_errno=True)

PROCESSOR_SECONDS = 2
MEMORY_BYTES = 512 * 2**20
OPEN_FILES = 16
ENDED_EARLY = "ended early or reached a limit of time or memory"
LONGEST_REPLY = 2**20
"""Characters of one returned value."""
LONGEST_ITERATOR = 10_000
"""Values taken from an iterator that a function returns, which may have no end."""
LAZY: Any = (Iterator, MappingView, range)
NOBODY = 65534

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x8000000, 0x10000000, 0x20000000, 2**30
READ_ONLY = 0b1111
"""MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC of mount(2)."""
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
CAPABILITY_VERSION = 0x20080522
KEYCTL_JOIN_SESSION_KEYRING = 1

SECCOMP_MODE_FILTER, SECCOMP_ALLOW, SECCOMP_REFUSE = 2, 0x7FFF0000, 0x00050000 | errno.EPERM
BPF_LOAD, BPF_JUMP_IF_EQUAL, BPF_RETURN = 0x20, 0x15, 0x06
ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""AUDIT_ARCH_* of linux/audit.h, and which of the numbers in `CALLS` and `KEYCTL`."""
CALLS = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "sched_yield": (24, 124),
    "futex": (202, 98),
    "getrandom": (318, 278),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "restart_syscall": (219, 128),
    "rt_sigreturn": (15, 139),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
"""What an interpreter that only computes asks of the kernel: its pipes, memory, time, and its end."""
KEYCTL = (250, 219)
ARCHITECTURE = ARCHITECTURES.get(os.uname().machine) if struct.calcsize("P") == 8 else None


class AnswerFailedError(Exception):
    """A function of the answer gave no value; the message says why, in our words only."""


def main() -> None:
    length, modules = int(sys.argv[1]), sys.argv[2:]
    for module in modules:
        importlib.import_module(module)
    if sys.version_info >= (3, 14):
        importlib.import_module("annotationlib")  # typing imports it when first used: too late, without files
    null = os.open(os.devnull, os.O_RDWR)
    exposed = confine()
    os.write(1, f"{' '.join(exposed)}\n".encode())
    tester = os.fork()
    if tester == 0:
        die_with_parent()
        token, problem = examine(length, null)
        os.write(1, f"{token} {problem}".encode())
        os._exit(0)
    os.waitpid(tester, 0)
    os.killpg(0, signal.SIGKILL)  # this process too: none of the group outlives the verdict


def confine() -> list[str]:
    """Take away what this system lets us take away, for good and for all descendants; returns what stays in reach.

    What `filter_calls` takes away is counted here, though only the process of the answer will call it.
    """
    exposed = ["network", "files", "processes", "keys", "memory"]
    limited = limit(resource.RLIMIT_AS, MEMORY_BYTES)
    limit(resource.RLIMIT_CPU, PROCESSOR_SECONDS)
    limit(resource.RLIMIT_FSIZE, 0)
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    if os.geteuid() == 0:  # no limit on processes holds for root
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    closed: list[str] = []
    if sys.platform == "linux" and LIBC:
        LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        LIBC.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # no process of the same user reads or traces another's memory
        closed = enter_namespaces()
        if can_filter():
            closed = [reach for reach in exposed if limited or reach != "memory"]
        elif ARCHITECTURE:
            LIBC.syscall(KEYCTL[ARCHITECTURE[1]], KEYCTL_JOIN_SESSION_KEYRING, None)
    os.chdir("/")  # the empty root, or where no ordinary user can leave anything
    die_with_parent()
    return [reach for reach in exposed if reach not in closed]


def limit(kind: int, value: int) -> bool:
    """Lower a limit for good; False where the system refuses (macOS: memory)."""
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    try:
        resource.setrlimit(kind, (value, value))
    except (OSError, ValueError):
        return False
    return True


def enter_namespaces() -> list[str]:
    """No network, no process but our own, and an empty file system that cannot be written; returns what succeeded.

    In a user namespace of its own, so that no privilege is needed where the system allows those; the privileges that
    come with it are dropped in the end. capabilities(7), user_namespaces(7), pid_namespaces(7).
    """
    if LIBC.unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWNS) != 0:
        return []
    root = os.fsencode(os.getcwd())  # noqa: PTH109 -- pathlib would have to be imported
    empty = LIBC.mount(b"none", root, b"tmpfs", READ_ONLY, b"size=4k,nr_inodes=1") == 0
    if empty:
        os.chroot(root)
    if LIBC.capset(struct.pack("Ii", CAPABILITY_VERSION, 0), bytes(24)) != 0:
        return []
    return ["network", "processes", "files"] if empty else ["network", "processes"]


def can_filter() -> bool:
    """Whether `filter_calls` will work here; seccomp(2) has a null pointer as the way to ask."""
    if sys.platform != "linux" or not LIBC or not ARCHITECTURE:
        return False
    return LIBC.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, None) == -1 and ctypes.get_errno() == errno.EFAULT


def filter_calls() -> None:
    """From here on every system call fails but `CALLS`, in this process and for good; raises OSError if that fails.

    A list of what is allowed is shorter than one of what is not, and closes what a later kernel adds. The architecture
    is compared too: the numbers of a 32-bit call mean other calls.
    """
    assert ARCHITECTURE is not None
    architecture, column = ARCHITECTURE
    allowed = [numbers[column] for numbers in CALLS.values()]
    program = [
        *((BPF_LOAD, 0, 0, 4), (BPF_JUMP_IF_EQUAL, 0, len(allowed) + 1, architecture), (BPF_LOAD, 0, 0, 0)),
        *((BPF_JUMP_IF_EQUAL, len(allowed) - index, 0, number) for index, number in enumerate(allowed)),
        *((BPF_RETURN, 0, 0, SECCOMP_REFUSE), (BPF_RETURN, 0, 0, SECCOMP_ALLOW)),
    ]
    steps = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    header = struct.pack("HP", len(program), ctypes.addressof(steps))
    if LIBC.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header) != 0:
        raise OSError(ctypes.get_errno(), "no filter of system calls")


def die_with_parent() -> None:
    if sys.platform == "linux" and LIBC:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


# --- the process that tests --------------------------------------------------------------------------------


def examine(length: int, null: int) -> tuple[str, str]:
    """Fork the process of the answer, run the tests against it; returns the token and what went wrong, or ""."""
    code = read(length)
    requests_out, requests_in = os.pipe()
    replies_out, replies_in = os.pipe()
    answer = os.fork()
    if answer == 0:
        die_with_parent()
        serve(code, requests_out, replies_in, null)
        os._exit(0)
    os.close(requests_out)
    os.close(replies_in)
    token, tests = ast.literal_eval(read(None))
    with os.fdopen(requests_in, "w") as requests, os.fdopen(replies_out) as replies:
        problem = first_problem(tests, Answer(requests, replies))
        os.kill(answer, signal.SIGKILL)
    return token, problem


def read(length: int | None) -> str:
    """So many bytes of standard input (None = all that are left), nothing read ahead."""
    parts = []
    while part := os.read(0, 65536 if length is None else min(length, 65536)):
        parts.append(part)
        length = None if length is None else length - len(part)
    return b"".join(parts).decode()


def first_problem(tests: Sequence[str], answer: Answer) -> str:
    try:
        answer.reply()
    except AnswerFailedError as error:
        return f"the code {error}"
    for number, test in enumerate(tests, start=1):
        try:
            tree = ast.parse(test)
            called = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - set(dir(builtins))
            names: dict[str, Any] = {name: partial(answer.call, name) for name in called}
            exec(compile(tree, "test", "exec", dont_inherit=True), names | {"math": math})  # noqa: S102
        except AssertionError:
            return f"test {number} failed"
        except AnswerFailedError as error:
            return f"test {number}: the code {error}"
        except Exception as error:  # noqa: BLE001 -- a test may do anything with a value it did not expect
            return f"test {number} raised {type(error).__name__}"
    return ""


class Answer:
    """The functions of the answer, called in its process."""

    def __init__(self, requests: IO[str], replies: IO[str]) -> None:
        self._requests = requests
        self._replies = replies

    def call(self, function: str, /, *arguments: Any, **named: Any) -> Any:
        try:
            print(ascii((function, arguments, named)), file=self._requests, flush=True)
        except OSError:
            raise AnswerFailedError(ENDED_EARLY) from None
        return self.reply()

    def reply(self) -> Any:
        try:
            line = self._replies.readline(LONGEST_REPLY)
        except UnicodeDecodeError:  # `outcome` writes ASCII, so that something else has written here
            raise AnswerFailedError("returned what is no plain value") from None
        if not line.endswith("\n"):
            raise AnswerFailedError("returned too much" if line else ENDED_EARLY)
        try:
            kind, value = ast.literal_eval(line)
            given = iter(value) if kind == "iterator" else value
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            raise AnswerFailedError("returned what is no plain value") from None
        if kind == "error":
            raise AnswerFailedError(f"raised {value if value in dir(builtins) else 'an exception'}")
        return given


# --- the process of the answer -----------------------------------------------------------------------------


def serve(code: str, requests: int, replies: int, null: int) -> None:
    """Run the code, then what is asked of it, until nothing more is asked."""
    for standard in range(3):
        os.dup2(null, standard)
    for other in range(3, OPEN_FILES):
        if other not in (requests, replies):
            close_if_open(other)
    limit(resource.RLIMIT_NPROC, 0)
    names: dict[str, Any] = {"__name__": "answer"}
    with os.fdopen(requests) as asked, os.fdopen(replies, "w") as told:
        if can_filter():
            filter_calls()
        print(outcome(lambda: run(code, names)), file=told, flush=True)
        for line in asked:
            function, arguments, named = ast.literal_eval(line)
            print(outcome(partial(call, names, function, arguments, named)), file=told, flush=True)


def close_if_open(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:
        return


def run(code: str, names: dict[str, Any]) -> None:
    exec(compile(code, "answer", "exec", dont_inherit=True), names)  # noqa: S102


def call(names: dict[str, Any], function: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    if function not in names:
        raise NameError(function)
    return names[function](*arguments, **named)


def outcome(action: Callable[[], Any]) -> str:
    """What an action returns or raises, as a line that `Answer.reply` reads."""
    try:
        value = action()
        if not isinstance(value, LAZY):
            return ascii(("value", plain(value)))
        return ascii(("iterator", [plain(item) for item in islice(value, LONGEST_ITERATOR)]))
    except BaseException as error:  # noqa: BLE001 -- sys.exit() in a function is a failure like any other
        return ascii(("error", type(error).__name__))


def plain(value: Any) -> Any:
    """`value` with each subclass (Counter, defaultdict, named tuple, Enum of int) as what it is a kind of."""
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    for kind in (list, tuple, set):
        if isinstance(value, kind):
            return kind(plain(item) for item in value)
    if isinstance(value, frozenset):
        return {plain(item) for item in value}
    for simple in (int, float, str):
        if isinstance(value, simple) and not isinstance(value, bool):
            return simple(value)
    return value


if __name__ == "__main__":
    main()
