"""Answers that would be held to be right without being it, use up the machine, or outlive their time.

Each is tested with f(3) == 9 and f(-2) == 4.
"""

from __future__ import annotations

EVERY_DESCRIPTOR = (
    "import os\ndef tell(text):\n  for fd in range(64):\n    try: os.write(fd, text)\n    except OSError: pass\n"
)
ALWAYS_EQUAL = """
class Equal{base}:
    def __eq__(self, other): return True
    def __hash__(self): return 1
    def __repr__(self): return "{shown}"
def f(x): return Equal({value})
"""
HOSTILE = {
    # leaving before the tests
    "sys.exit": "import sys\nsys.exit(0)",
    "sys.exit in the function": "import sys\ndef f(x): sys.exit(0)",
    "os._exit": "import os\nos._exit(0)",
    "os._exit in the function": "import os\ndef f(x): os._exit(0)",
    "kills itself": "import os\nos.kill(os.getpid(), 9)",
    "kills its group": "import os\ndef f(x): os.killpg(0, 9)",
    "crashes": "import ctypes\nctypes.string_at(0)",
    "becomes another program": "import os\nos.execv('/bin/true', ['true'])",
    # saying that it passed
    "prints": "def f(x): print('ok', 'passed', flush=True)",
    "writes everywhere": EVERY_DESCRIPTOR + "def f(x): tell(b'ok\\n')",
    "answers before it is asked": EVERY_DESCRIPTOR + "tell(b\"('value', 9)\\n\" * 1000)\ndef f(x): return 9",
    "answers with no answer": EVERY_DESCRIPTOR + "tell(b'()\\n(1, 2, 3)\\n[\\n\\n')",
    "answers in no encoding": EVERY_DESCRIPTOR + "tell(bytes(range(128, 256)))",
    "answers deeply": EVERY_DESCRIPTOR + "tell(b'(' * 500000 + b'\\n')",
    "equal to everything": ALWAYS_EQUAL.format(base="", value="", shown="<Equal>"),
    "a number equal to everything": ALWAYS_EQUAL.format(base="(int)", value="7", shown="9"),
    "a text equal to everything": ALWAYS_EQUAL.format(base="(str)", value="'7'", shown="9"),
    "shown as if it passed": ALWAYS_EQUAL.format(base="", value="", shown="1) or 1"),
    "changes builtins": "import builtins, ast, sys\nbuiltins.AssertionError = ValueError\n"
    "ast.literal_eval = lambda text: ('value', 9)\nsys.modules['__main__'].first_problem = lambda *a: ''\n"
    "builtins.ascii = lambda value: \"('value', True)\"\ndef f(x): return 1",
    "changes its callers": "import sys\nframe = sys._getframe()\nwhile frame:\n"
    "  for n, v in list(frame.f_locals.items()):\n    if callable(v): frame.f_globals[n] = lambda *a, **k: ''\n"
    "  frame = frame.f_back",
    # using up everything
    "loops": "while True: pass",
    "loops in the function": "def f(x):\n  while True: pass",
    "loops and hears no signal": "import signal\nfor n in range(1, 65):\n  try: signal.signal(n, signal.SIG_IGN)\n"
    "  except (OSError, ValueError): pass\nwhile True: pass",
    "sleeps": "import time\ntime.sleep(1000)",
    "memory at once": "x = [0] * 10**10",
    "memory in steps": "x = ['a' * 10**6]\nwhile True: x += x",
    "a great number": "def f(x): return 9 ** 9 ** 9",
    "recursion": "def f(x): return f(x)",
    "deep recursion": "import sys\nsys.setrecursionlimit(10**9)\ndef f(x): return f(x)\nclass A:\n"
    "  def __getattr__(self, n): return getattr(self, n + 'a')\nA().b",
    "prints without end": "while True: print('x' * 10**6)",
    "a returned list without end": "def f(x):\n  l = []\n  l.append(l)\n  return l",
    "a great regular expression": "import re\nre.match('(a+)+b', 'a' * 99)",
    "processes": "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass",
    "processes that leave": "import os, time\ntry:\n  if os.fork() == 0:\n    os.setsid()\n    time.sleep(1000)\n"
    "except OSError: pass\ntime.sleep(1000)",
    "leaves its group": "import os, time\nos.setsid()\ntime.sleep(1000)",
    "folders without end": "import os\nwhile True:\n  os.mkdir('d')\n  os.chdir('d')",
    "closes everything": "import os\nos.closerange(0, 1000)\ndef f(x): return x * x",
    "waits for input": "def f(x): return input()",
}

SEARCH = """
import gc
def f():
    word = "womb" + chr(97) + "t"
    things = gc.get_objects()
    texts = {part for thing in things for part in gc.get_referents(thing) if isinstance(part, str)}
    return any(word in text != word for text in texts)
"""
"""Says whether it finds the word of the tests in its memory."""

CONNECT = """
import sys, struct
LIBC = sys.modules["__main__"].LIBC
def f(port):
    end = LIBC.socket(2, 1, 0)
    address = struct.pack("=H", 2) + struct.pack(">H", port) + bytes([127, 0, 0, 1]) + bytes(8)
    return LIBC.connect(end, address, 16)
"""
"""Connects to a port of this machine; 0 = it did."""

KEYS = """
import collections
LIBC = collections._sys.modules["__main__"].LIBC
def f(add_key, keyctl):
    text = collections._sys.modules["ctypes"].create_string_buffer(32)
    theirs = LIBC.syscall(keyctl, 10, -3, b"user", b"stance-theirs", 0)
    length = LIBC.syscall(keyctl, 11, theirs, text, 32)
    LIBC.syscall(add_key, b"user", b"stance-ours", b"left", 4, -3)
    return text.raw[:max(length, 0)]
"""
"""Reads a key of the session it is run in, and leaves another; what the first says."""

SHARED_MEMORY = """
import sys
LIBC = sys.modules["__main__"].LIBC
def f():
    held = [LIBC.shmget(0, 200 * 2**20, 0o1600) for _ in range(6)]
    for number in held:
        LIBC.shmctl(number, 0, None)
    return sum(number >= 0 for number in held)
"""
"""Asks for 1.2 GB that no limit of memory counts, and gives it back; how many of six parts it got."""

OTHER_NUMBERS = """
import sys
ctypes, LIBC = sys.modules["ctypes"], sys.modules["__main__"].LIBC
program = bytes.fromhex("b814000000cd80c3")
LIBC.mmap.restype = ctypes.c_void_p
place = LIBC.mmap(None, 4096, 7, 0x22, -1, 0)
ctypes.memmove(ctypes.c_void_p(place), program, len(program))
f = ctypes.CFUNCTYPE(ctypes.c_int)(place)
def g(): return f()
"""
"""Asks for its process number in machine code of x86-64, in the way of 32-bit programs, where 20 means getpid."""

FORGE = (
    """
import os, time
def tell(path):
    try: out = os.open(path, os.O_WRONLY)
    except OSError: return
    os.write(out, b"{token} ")
for number in [os.getppid(), os.getpid(), *range(1, 9), *range(os.getppid() - 9, os.getpid() + 9)]:
    for fd in range(9):
        tell("/proc/%d/fd/%d" % (number, fd))
"""
    + EVERY_DESCRIPTOR
    + """
tell(b"\\n{token} ")
os._exit(0)
"""
)
"""Says that it passed, with the token, to whatever it can write."""

ENVIRONMENT = """
import os
def f(): return sorted(os.environ)
def g():
    seen = b""
    for number in [os.getppid(), *range(2, 5), *range(os.getpid() - 9, os.getpid())]:
        try: seen += open("/proc/%d/environ" % number, "rb").read()
        except OSError: pass
    return b"SECRET" in seen
"""
"""Its environment, and whether that of another process has the word SECRET in it."""
