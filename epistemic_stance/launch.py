"""For the scripts in the repository root: run under the project's virtual environment, whatever started them.

Standard library only, and syntax that old interpreters parse: it may run under any `python`.
"""

import os
import sys
from pathlib import Path

SETUP_HINT = "run `make setup` first (it creates .venv with everything needed)"


def main(script, subcommand):  # type: (str, str) -> None
    """Run `stance SUBCOMMAND` with the script's arguments, in .venv; without one exit 2 naming the set-up command."""
    root = Path(script).resolve().parent
    python = root / ".venv" / "bin" / "python"
    if Path(sys.prefix).resolve() != (root / ".venv").resolve():
        if not python.exists():
            sys.stderr.write(
                "stance: there is no virtual environment at {}\nhint: {}\n".format(root / ".venv", SETUP_HINT)
            )
            sys.exit(2)
        os.execv(str(python), [str(python), script, *sys.argv[1:]])  # noqa: S606 - no shell is the point
    from epistemic_stance import cli

    cli.main([subcommand, *sys.argv[1:]])
