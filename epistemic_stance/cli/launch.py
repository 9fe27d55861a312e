"""For the scripts in the repository root: run under the project's virtual environment, whatever started them.

Standard library only, and syntax that old interpreters parse: it may run under any `python`.
"""

import os
import sys
from pathlib import Path

LAUNCHED = "EPISTEMIC_STANCE_LAUNCHED"
"""Set for the interpreter in .venv: if that one is not in .venv either, it must not start itself again and again."""
SETUP_HINT = "run `make setup` first (it creates .venv with everything needed)"
REDO_HINT = "delete .venv and run `make setup`"


def main(script, command, defaults=()):  # type: (str, str, tuple[tuple[str, str], ...]) -> None
    """Run `stance COMMAND` with the script's arguments, in .venv; without one exit 2 naming the set-up command.

    `defaults` are (setting, value) where the script's differ from the command's. Help shows them, and the script's
    own name.
    """
    root = Path(script).resolve().parent
    python = root / ".venv" / "bin" / "python"
    launched = os.environ.pop(LAUNCHED, None)
    if Path(sys.prefix).resolve() != (root / ".venv").resolve():
        if not python.exists():
            _fail("there is no virtual environment at " + str(root / ".venv"), SETUP_HINT)
        if launched:
            _fail(str(python) + " is not the Python of a virtual environment", REDO_HINT)
        os.environ[LAUNCHED] = "1"
        os.execv(str(python), [str(python), script, *sys.argv[1:]])  # noqa: S606 - no shell is the point
    from epistemic_stance.cli import main as cli

    cli.main(sys.argv[1:], cli.Script(Path(script).name, command, dict(defaults)))


def _fail(what, hint):  # type: (str, str) -> None
    sys.stderr.write("stance: " + what + "\nhint: " + hint + "\n")
    sys.exit(2)
