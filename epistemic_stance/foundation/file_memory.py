"""What was made of files, kept in memory until one of the files changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Generic, TypeVar

from epistemic_stance.foundation.files import read_text

Value = TypeVar("Value")
FileState = tuple[int, int]
"""Size in bytes, time of the last change in nanoseconds."""


class FileReader:
    """Reads files, and notes the state that each had before it was read."""

    def __init__(self) -> None:
        self.states: dict[Path, FileState | None] = {}

    def text(self, path: Path) -> str:
        """Raises InputError as `read_text` does."""
        self.states[path] = _state(path)
        return read_text(path)


class FileMemory(Generic[Value]):
    """Values by the path they were read from. They are shared: nobody may change one."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Path, Path], tuple[dict[Path, FileState | None], Value]] = {}

    def recall(self, path: Path) -> Value | None:
        """The value, or None if it is not known or one of its files has changed since."""
        states, value = self._kept.get(_key(path), ({}, None))
        return value if all(_state(file) == state for file, state in states.items()) else None

    def keep(self, path: Path, states: Mapping[Path, FileState | None], value: Value) -> None:
        """`states`: those of all files that the value was made of."""
        self._kept[_key(path)] = (dict(states), value)


def _key(path: Path) -> tuple[Path, Path]:
    """Also as it was written, because messages name it so and it may be relative to another folder."""
    return path, path.resolve()


def _state(path: Path) -> FileState | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
