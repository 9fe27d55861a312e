"""Standard output that nobody reads any more, or that a full disk takes no more of."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import IO


class OutputError(OSError):
    """Standard output could not be written; `__cause__` says why. Without an errno, for which typer exits by itself."""


class _GuardedStream:
    """A text stream whose output goes nowhere after the first failure: closed pipe or terminal, full disk.

    What is behind the stream's descriptor is replaced as well, so that Python's flush at exit does not fail.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._failure: OSError | None = None
        self.encoding = getattr(stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        writable = text.encode(self.encoding, "backslashreplace").decode(self.encoding)
        if self._failure is None:
            try:
                self._stream.write(writable)
            except OSError as error:
                self._failed(error)
        return len(text)

    def flush(self) -> None:
        if self._failure is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._failed(error)

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def _failed(self, error: OSError) -> None:
        self._failure = error
        with contextlib.suppress(OSError), Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())


class UnfailingStream(_GuardedStream):
    """For a stage whose work goes on without a reader."""


class Output(_GuardedStream):
    """For a command whose work is what it prints: from the first failure on every write raises OutputError."""

    def write(self, text: str) -> int:
        written = super().write(text)
        if self._failure is not None:
            raise OutputError("standard output could not be written") from self._failure
        return written

    def flush(self) -> None:
        """Raises OutputError if this is what fails; with nothing more to write, an earlier failure was told already."""
        intact = self._failure is None
        super().flush()
        if intact and self._failure is not None:
            raise OutputError("standard output could not be written") from self._failure
