"""The command line as a process of its own: how it ended, what it said, what it imported."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from checkout import ROOT

HEAVY = ("torch", "transformers", "numpy", "pydantic")

PROBE = """
import sys
from epistemic_stance.cli import main as cli
code = cli.run(sys.argv[1:])
print("imported:", *(name for name in {heavy} if name in sys.modules), file=sys.stderr)
sys.exit(code)
"""
"""Runs a command and says on stderr which of HEAVY it imported."""


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **changes}


def stance(
    arguments: Sequence[str | Path], cwd: Path | None = None, **changes: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROBE.format(heavy=HEAVY), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment(**changes), cwd=cwd, check=False)


def imported(done: subprocess.CompletedProcess[str]) -> set[str]:
    (line,) = re.findall(r"^imported:(.*)$", done.stderr, re.MULTILINE)
    return set(line.split())


def assert_refused(done: subprocess.CompletedProcess[str], code: int, *said: str) -> None:
    """The exit code, a message on stderr that says what it should, and no traceback."""
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr.startswith("stance: ")
    for part in said:
        assert part in done.stderr
