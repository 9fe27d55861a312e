"""The `stance` command: run a command line, and say in an exit code and a message how it ended."""

from __future__ import annotations

import contextlib
import io
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, cast

from typer.core import TyperGroup
from typer.main import get_command

from epistemic_stance.cli.commands import app
from epistemic_stance.foundation.errors import InputError, Problem, StanceError, StorageError
from epistemic_stance.foundation.streams import Output, OutputError


@dataclass(frozen=True)
class Script:
    """A script of the repository root: one command under a name of its own, some of its defaults replaced."""

    name: str
    """As usage shows it."""
    command: str
    defaults: Mapping[str, str]
    """Field of the settings -> its default in this script."""


def run(arguments: Sequence[str], script: Script | None = None) -> int:
    """Run the command line and return its exit code: a message for what a user can mend, a traceback for a bug."""
    output = Output(sys.stdout or io.StringIO())
    try:
        with contextlib.redirect_stdout(cast("IO[str]", output)):
            result = _invoke(arguments, script)
            output.flush()
    except OutputError as error:
        return _unread(error.__cause__)
    except StanceError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("stopped before there was anything to save", 128 + signal.SIGINT)
    except Exception as error:  # noqa: BLE001 - the last resort: a traceback may quote text that commands a terminal
        usage = getattr(error, "format_message", None)  # click's own errors: unknown flag, wrong type
        if usage is None:
            return _fail(f"this is a bug; please report it with what follows\n{traceback.format_exc().rstrip()}", 1)
        return _fail(str(InputError([Problem("command line", usage(), hint="--help explains every flag")])), 2)
    return result if isinstance(result, int) else 0


def _invoke(arguments: Sequence[str], script: Script | None) -> Any:
    group = cast("TyperGroup", get_command(app))
    if script is None:
        return group.main(list(arguments) or ["--help"], standalone_mode=False)
    command = group.commands[script.command]
    # default_map holds defaults and not arguments, so that --help shows them as such.
    return command.main(list(arguments), script.name, standalone_mode=False, default_map=dict(script.defaults))


def _unread(cause: BaseException | None) -> int:
    """A reader that has had enough, such as `head`, is no news; 141 is what a shell calls an end by SIGPIPE."""
    if isinstance(cause, BrokenPipeError):
        return 128 + signal.SIGPIPE
    why = cause.strerror if isinstance(cause, OSError) else None
    error = StorageError(f"could not write to standard output: {why or cause}", "files written before are intact")
    return _fail(str(error), error.exit_code)


def _fail(message: str, code: int) -> int:
    from epistemic_stance.foundation.terminal import visible

    with contextlib.suppress(OSError):  # nobody may be reading: the exit code is what remains
        print(f"stance: {visible(message)}", file=sys.stderr)
    return code


def main(arguments: Sequence[str] | None = None, script: Script | None = None) -> None:
    sys.exit(run(sys.argv[1:] if arguments is None else arguments, script))
