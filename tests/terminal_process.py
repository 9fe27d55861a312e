"""A command in a real process on a real terminal, key by key."""

from __future__ import annotations

import os
import re
import select
import termios
import time
from dataclasses import dataclass, field

PATIENCE_S = 60.0
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
CLEAR = "\x1b[2J"


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
