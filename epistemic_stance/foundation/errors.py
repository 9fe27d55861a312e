"""What can go wrong for a user, and the exit code of each.

StanceError            1   (never raised itself)
|-- NotMetError        1   a figure is below what was required
|   `-- UnconfirmedError 6   all is met, but only by rules that nobody checked on this model's answers
|-- InputError         2   bad input: every problem found, with file, line and field
|-- RefusedError       3   lock, space, memory, mismatch, untrusted files
|-- NumericError       4   training became non-finite or was about to start wrong
|-- StorageError       5   a write failed; names the last good state
|-- EndpointError     75   a server cannot be used now; the same command continues later
`-- StoppedError  128 + n  stopped by a signal (129, 130, 143), state saved
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass

MAX_PROBLEMS_SHOWN = 20


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input, in the words the user sees: `where:line: field: what, hint`."""

    where: str
    what: str
    line: int | None = None
    field: str = ""
    hint: str = ""

    def __str__(self) -> str:
        place = self.where if self.line is None else f"{self.where}:{self.line}"
        field = f"{self.field}: " if self.field else ""
        hint = f" (hint: {self.hint})" if self.hint else ""
        return f"{place}: {field}{self.what}{hint}"


class StanceError(Exception):
    """Base of every error that is shown to the user as a message instead of a traceback."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = str(self.args[0])
        return f"{message}\nhint: {self.hint}" if self.hint else message


class InputError(StanceError):
    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        shown = [str(problem) for problem in problems[:MAX_PROBLEMS_SHOWN]]
        if len(problems) > MAX_PROBLEMS_SHOWN:
            shown.append(f"... and {len(problems) - MAX_PROBLEMS_SHOWN} more")
        super().__init__("\n".join(shown))
        self.problems = list(problems)


class NotMetError(StanceError):
    exit_code = 1


class UnconfirmedError(NotMetError):
    exit_code = 6


class RefusedError(StanceError):
    exit_code = 3


class NumericError(StanceError):
    exit_code = 4


class StorageError(StanceError):
    exit_code = 5


class EndpointError(StanceError):
    exit_code = 75


class StoppedError(StanceError):
    """Stopped by a signal: exit code 128 + its number, as a shell reports it."""

    def __init__(self, message: str, signal_number: int = signal.SIGINT, hint: str = "") -> None:
        super().__init__(message, hint)
        self.exit_code = 128 + signal_number
