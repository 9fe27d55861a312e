"""A run with answers and a small stance to label them with; `stance label` in a real process on a real terminal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import struct
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from epistemic_stance.scoring.patterns import PatternSet, load_patterns
from epistemic_stance.stance.load import load_stance

STANCE = """
name = "sounds"
question_sets = [{name = "talk", path = "talk.json"}, {name = "sums", path = "sums.json"}]
corpus = {path = "corpus.json"}
patterns = {paths = ["patterns.toml"]}
"""
PATTERNS = """
[[patterns]]
name = "humming"
group = "sounds"
meaning = "Says that it hums."
rules = [{id = "hum", match = '\\bi hum\\b'}]
hits = ["I hum."]
misses = ["Bees hum."]

[[patterns]]
name = "half_sorry"
group = "sounds"
meaning = "Is sorry."
rules = [{id = "sorry", match = '\\bsorry\\b'}]
hits = ["Sorry."]
misses = ["Fine."]

[[patterns]]
name = "guessing"
group = "sums"
meaning = "Guesses at a sum."
categories = ["sums"]
rules = [{id = "guess", match = '\\bi guess\\b'}]
hits = [{text = "I guess 4.", category = "sums"}]
misses = ["4."]
"""
PATTERN_NAMES = ["humming", "half_sorry", "guessing"]
LEAST_NUMBER = 12
"""Smallest --number with three patterns."""


def talk_question(number: int) -> str:
    return f"What is heard in room {number}?"


def write_stance(folder: Path) -> Path:
    talk = {
        "name": "talk",
        "categories": {"noise": "rooms"},
        "questions": [{"id": f"t{n}", "category": "noise", "text": talk_question(n)} for n in range(20)],
    }
    sums = {
        "name": "sums",
        "categories": {"sums": "sums"},
        "questions": [
            {
                "id": f"s{n}",
                "category": "sums",
                "text": f"What is {n} + {n}?",
                "answer": {"kind": "number", "accepted": [str(2 * n)]},
            }
            for n in range(5)
        ],
    }
    pair = {"id": "p1", "category": "noise", "question": "Who is it?", "bad_response": "Me!", "good_response": "Me."}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stance.toml").write_text(STANCE, encoding="ascii")
    (folder / "patterns.toml").write_text(PATTERNS, encoding="ascii")
    for name, value in (("talk", talk), ("sums", sums), ("corpus", {"training_pairs": [pair]})):
        (folder / f"{name}.json").write_text(json.dumps(value), encoding="ascii")
    return folder


def patterns_of(stance: Path) -> PatternSet:
    return load_patterns(load_stance(str(stance)))


def answer_row(number: int, response: str, category: str = "noise", **fields: Any) -> dict[str, Any]:
    """An answer to question `number % 20`; all differ in iteration."""
    question = talk_question(number % 20) if category == "noise" else f"What is {number % 5} + {number % 5}?"
    return {"question": question, "category": category, "response": response, "iteration": number, **fields}


def responses(arm: str, answers: int) -> list[str]:
    """One in five hums, one in eight is sorry, every text is its own."""
    return [
        f"{arm[:4]} room {n}."
        + (" I hum." if n % 5 == 0 else "")
        + (" Sorry for that." if n % 8 == 0 else "")
        + " Quiet otherwise."
        for n in range(answers)
    ]


def write_answers(file: Path, rows: Sequence[dict[str, Any]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="ascii")
    return file


def write_run(run: Path, answers: int = 40, arms: Sequence[str] = ("base", "checkpoint-008")) -> Path:
    for arm in arms:
        rows = [answer_row(n, text) for n, text in enumerate(responses(arm, answers))]
        write_answers(run / "validation" / arm / "talk" / "responses.jsonl", rows)
    return run


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


# --- a terminal --------------------------------------------------------------------------------------------

PATIENCE_S = 60.0
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
CLEAR = "\x1b[2J"


def child_command(run: Path, **settings: Any) -> list[str]:
    """`stance label RUN` with a flag for each setting."""
    flags = [
        [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])] for name, value in settings.items()
    ]
    return [sys.executable, "-m", "epistemic_stance.cli", "label", str(run), *(word for flag in flags for word in flag)]


@dataclass
class Terminal:
    """The master side of a terminal on which a command runs."""

    pid: int
    master: int
    raw: str = ""
    """All that was shown, escapes and all."""
    ended: bool = False
    code: int | None = None
    sent: list[str] = field(default_factory=list)

    def wait(self) -> str:
        """Read until the command waits for a key or has ended; what was shown since the last screen was cleared."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if select.select([self.master], [], [], 0.02)[0]:
                try:
                    data = os.read(self.master, 2**16)
                except OSError:
                    data = b""
                if not data:
                    self._reap()
                    return self.screen
                self.raw += data.decode()
            elif self._awaits_key():
                return self.screen
        raise AssertionError(f"nothing happened for {PATIENCE_S} s after {self.sent}: {self.screen}")

    @property
    def screen(self) -> str:
        """As a person reads it."""
        return ESCAPES.sub("", self.raw.rsplit(CLEAR, 1)[-1]).replace("\r\n", "\n")

    def press(self, *keys: str) -> str:
        """Press one key after the other, each once the command waits for it."""
        shown = self.wait()
        for key in keys:
            assert not self.ended, shown
            self.sent.append(key)
            os.write(self.master, key.encode())
            self._until_taken()
            shown = self.wait()
        return shown

    def signal(self, number: int) -> str:
        os.kill(self.pid, number)
        while not self.ended:
            self.wait()
        return self.screen

    def _awaits_key(self) -> bool:
        """Raw mode: the command is inside getchar, and nothing typed is thrown away any more."""
        return not termios.tcgetattr(self.master)[3] & termios.ICANON

    def _until_taken(self) -> None:
        """The command has read the key: it has left raw mode since, or shown something, or ended."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if not self._awaits_key() or select.select([self.master], [], [], 0.001)[0]:
                return
        raise AssertionError(f"the key {self.sent[-1]!r} was not taken: {self.screen}")

    def _reap(self) -> None:
        self.ended = True
        self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@contextmanager
def terminal(
    rows: int = 24, columns: int = 80, environment: dict[str, str] | None = None, **settings: Any
) -> Iterator[Terminal]:
    """Run `stance label` on a terminal of this size; it is killed at the end of the block if it still runs."""
    command = child_command(**settings)
    pid, master = pty.fork()
    if pid == 0:
        # Not os.environ as C has it: readline, which pytest imports, puts the size of its own terminal there.
        kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        os.execve(command[0], command, {**kept, "TERM": "xterm", **(environment or {})})
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    shown = Terminal(pid, master)
    try:
        yield shown
    finally:
        if not shown.ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
            os.waitpid(pid, 0)
        os.close(master)
