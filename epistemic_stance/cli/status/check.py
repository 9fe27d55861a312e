"""One line of the checklist, and how a file is read that may be broken: that is a finding and never an error."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from epistemic_stance.foundation.console import program
from epistemic_stance.foundation.errors import StanceError

Record = TypeVar("Record", bound=BaseModel)
BROKEN = (OSError, ValueError, RecursionError)


@dataclass(frozen=True)
class Check:
    """Something that is in place, or missing, or a fact."""

    name: str
    found: str
    done: bool | None
    """None: a fact, with nothing to be done about it."""
    command: str = ""
    """What to type if it is missing."""
    optional: bool = False

    @property
    def missing(self) -> bool:
        return self.done is False


@dataclass(frozen=True)
class Section:
    title: str
    checks: list[Check]
    many: bool = False
    """So many of a kind that the terminal shows only how many are done."""
    before_training: bool = field(default=False, kw_only=True)


def stance_command(*words: str | Path) -> str:
    return shlex.join([program(), *map(str, words)])


def guarded(name: str, look: Callable[[], Sequence[Check]]) -> list[Check]:
    """What was found; a file that spoils the look is the finding instead."""
    try:
        return list(look())
    except StanceError as error:
        return [Check(name, str(error.args[0]).partition("\n")[0], False)]
    except BROKEN as error:
        return [Check(name, f"cannot be read: {why(error)}", False)]


def why(error: Exception) -> str:
    """The reason in a few words."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        return f"{place}: {first['msg']}" if place else str(first["msg"])
    return str(getattr(error, "strerror", None) or error or type(error).__name__).partition("\n")[0]


def read_record(kind: type[Record], path: Path) -> Record | str | None:
    """The record; or why it cannot be read; None if there is no such file."""
    try:
        return kind.model_validate(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except BROKEN as error:
        return f"{path.name} cannot be read: {why(error)}"


def is_whole_json(path: Path) -> bool:
    """Whether a file begins and ends like a JSON object: tells a torn one without reading megabytes."""
    try:
        with path.open("rb") as stream:
            head = stream.read(1)
            stream.seek(max(0, path.stat().st_size - 16))
            return head == b"{" and stream.read().rstrip().endswith(b"}")
    except OSError:
        return False


def count_lines(path: Path) -> int:
    try:
        with path.open("rb") as stream:
            return sum(block.count(b"\n") for block in iter(lambda: stream.read(2**20), b""))
    except FileNotFoundError:
        return 0


def plural(number: int, word: str) -> str:
    return f"{number:,} {word if number == 1 else word + 's'}"
