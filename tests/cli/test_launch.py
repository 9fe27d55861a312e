"""The scripts of the repository find .venv, and end where there is none to find."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import epistemic_stance

CODE = "from epistemic_stance.cli.launch import main; import sys; main(sys.argv[1], 'check')"


def launch(script: Path) -> subprocess.CompletedProcess[str]:
    script.write_text(f"import sys\nsys.argv = [sys.argv[0], {str(script)!r}]\n{CODE}\n")
    environment = {**os.environ, "PYTHONPATH": str(Path(epistemic_stance.__file__).parents[1])}
    command = [sys.executable, str(script)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_without_an_environment_the_command_that_makes_one_is_named(tmp_path: Path) -> None:
    done = launch(tmp_path / "script.py")
    assert done.returncode == 2
    assert "make setup" in done.stderr


def test_an_environment_that_leads_elsewhere_does_not_start_itself_forever(tmp_path: Path) -> None:
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    done = launch(tmp_path / "script.py")
    assert done.returncode == 2
    assert f"{python} is not the Python of a virtual environment" in done.stderr
