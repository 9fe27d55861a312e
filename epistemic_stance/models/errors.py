"""What goes wrong with a model's files and with memory, told apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from epistemic_stance.foundation.errors import InputError, Problem, StanceError


@contextmanager
def file_errors(path: Path, what: str) -> Iterator[None]:
    """Turn what libraries raise about the content of a model's files into an InputError naming the file.

    The files are untrusted, and what transformers raises for broken ones has no common class. Failures that are
    not the file's fault pass: our own errors, memory, and whatever is no Exception (Ctrl-C).
    """
    try:
        yield
    except StanceError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise InputError([Problem(str(path), f"{what}: {first_line(error)}")]) from error


OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def is_out_of_memory(error: Exception) -> bool:
    """PyTorch says so in a class of its own on a GPU, and in the text of a RuntimeError on the CPU.

    An illegal memory access, say, is none: nothing smaller would help.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in OUT_OF_MEMORY)


def first_line(error: Exception) -> str:
    """What the error says first, and what it announces with a colon."""
    first, *rest = str(error).strip().splitlines() or [type(error).__name__]
    return f"{first} {rest[0].strip()}" if first.endswith(":") and rest else first
