"""Look at everything, write the page, print the table."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Console

from epistemic_stance.cli.status.check import Section
from epistemic_stance.cli.status.page import MARKER, markdown, print_status
from epistemic_stance.cli.status.preparation import find_place, preparation
from epistemic_stance.cli.status.training import training
from epistemic_stance.cli.status.validation import validation
from epistemic_stance.foundation.console import program
from epistemic_stance.foundation.errors import InputError, Problem, RefusedError
from epistemic_stance.foundation.files import storage_errors, write_atomic
from epistemic_stance.foundation.settings import StatusSettings
from epistemic_stance.foundation.terminal import plain


def run_status(settings: StatusSettings, console: Console) -> None:
    """Write the page and print it. What is broken is a finding on it.

    Raises InputError or RefusedError if the page cannot stand where it should, StorageError if it cannot be written.
    """
    _require_ours(settings)
    sections = look(settings)
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    write_atomic(settings.output, markdown(sections, f"on {now} about the run folder {_code(str(settings.run))}"))
    print_status(sections, console)
    console.print(plain(f"Written: {settings.output}"), soft_wrap=True)


def look(settings: StatusSettings) -> list[Section]:
    """The checklist, in the order in which things are done."""
    place = find_place(settings)
    stance, before = preparation(place)
    return [*before, training(place), *validation(place, stance)]


def _code(text: str) -> str:
    return f"`{' '.join(text.replace('`', ' ').split())}`"


def _require_ours(settings: StatusSettings) -> None:
    """A page that a person wrote under this name is not replaced."""
    path = settings.output
    with storage_errors(str(path)):
        if path.is_dir():
            raise InputError([Problem("--output", f"{path} is a folder, expected a file")])
        ours = not path.exists() or MARKER in path.read_text(encoding="utf-8", errors="replace")
    if not ours:
        hint = f"name another file: {program()} status --output FILE"
        raise RefusedError(f"{path} was not written by this command, and is not replaced", hint)
