"""What a `stance run` does again and again: model loads, passes over weights files, parses of the stance, scorings.

    python benchmarks/stance_run.py RUN [--checkpoints 2,5,8] [--threads 1]

RUN is copied first (answers and what was made of them left out), so that every answer is asked anew. The counters stand
around functions of libraries and of `Scorer`, so that versions of this project can be compared: put another checkout
first in PYTHONPATH.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import shutil
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer

KEPT = ("run.json", "checkpoints", "logs", "best_model", "final_model")


@contextlib.contextmanager
def counted(owner: Any, name: str, counter: Counter[str], key: Callable[..., str | None]) -> Iterator[None]:
    """Count the calls of a function, under what `key` makes of their arguments (None = not counted)."""
    original = getattr(owner, name)

    def counting(*positional: Any, **named: Any) -> Any:
        found = key(*positional, **named)
        if found:
            counter[found] += 1
        return original(*positional, **named)

    setattr(owner, name, counting)
    try:
        yield
    finally:
        setattr(owner, name, original)


def scorer() -> Any:
    for module in ("epistemic_stance.scoring.score", "epistemic_stance.analysis.scoring"):
        with contextlib.suppress(ModuleNotFoundError):
            return importlib.import_module(module).Scorer
    raise SystemExit("no Scorer in this version")


def command_line() -> Any:
    main = importlib.import_module("epistemic_stance.cli")
    return main if hasattr(main, "run") else importlib.import_module("epistemic_stance.cli.main")


def of_weights(stream: Any, *_: Any) -> str | None:
    return "passes over weights" if str(stream.name).endswith(".safetensors") else None


def of_stance(text: str, **_: Any) -> str | None:
    return "stance parses" if "[[criteria]]" in text else None


def main(run: Path, checkpoints: str = "", threads: int = 1) -> None:
    """Print the counts and seconds of one run as JSON."""
    import transformers

    counter: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        folder = Path(place) / "run"
        folder.mkdir()
        for name in KEPT:
            copy = shutil.copytree if (run / name).is_dir() else shutil.copy2
            copy(run / name, folder / name)
        loading = transformers.AutoModelForCausalLM
        stack.enter_context(counted(loading, "from_pretrained", counter, lambda *_, **__: "model loads"))
        stack.enter_context(counted(hashlib, "file_digest", counter, of_weights))
        stack.enter_context(counted(tomllib, "loads", counter, of_stance))
        stack.enter_context(counted(scorer(), "score", counter, lambda *_, **__: "scorings"))
        words = ["run", str(folder), "--threads", str(threads)]
        words += ["--checkpoints", checkpoints] if checkpoints else []
        started = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            code = command_line().run(words)
        seconds = time.perf_counter() - started
        files = folder.glob("*/*/*/responses.jsonl")
        answers = sum(len(file.read_bytes().splitlines()) for file in files)
    print(json.dumps({**counter, "answers": answers, "seconds": round(seconds, 1), "exit code": code}))
    sys.exit(0)


if __name__ == "__main__":
    typer.run(main)
