"""A copy of this repository in another place, for tests that run its commands as a user would."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def repository_files() -> list[Path]:
    """What git tracks, and what is new and not ignored, relative to the root. Skips where there is no git."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("needs git and a checkout of the repository")
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\0")
    return sorted({Path(name) for name in listed if name and (ROOT / name).exists()})


def copy_of_repository(target: Path, pairs: int | None = None) -> Path:
    """Copy the files and link the environment that runs the tests; with `pairs`, cut training_corpus.json to so many.

    The link at training_corpus.json becomes a file, so that a run of a few seconds is left of one of minutes.
    """
    for name in repository_files():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name, follow_symlinks=False)
    (target / ".venv").symlink_to(sys.prefix)
    if pairs is not None:
        corpus = target / "training_corpus.json"
        shipped = json.loads(corpus.read_text(encoding="utf-8"))
        corpus.unlink()
        corpus.write_text(json.dumps({"training_pairs": shipped["training_pairs"][:pairs]}, indent=1))
    return target
