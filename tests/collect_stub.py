"""Collections that take milliseconds: a backend that invents an answer from the seed of what is asked."""

from __future__ import annotations

import io
import json
import os
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from epistemic_stance.cli.terminal_reporter import terminal_reporter
from epistemic_stance.collection import plan, source
from epistemic_stance.collection import run as stage
from epistemic_stance.collection.backend import Group, Identity, Reply
from epistemic_stance.collection.design import Item
from epistemic_stance.foundation.errors import StoppedError
from epistemic_stance.foundation.settings import CollectSettings
from epistemic_stance.models.find import DEMO_FOLDER
from epistemic_stance.records.collection import CollectionRecord

HARD_TEXTS = [
    "I can't know that from my internal state alone.",
    "half a character \ud83d alone, and another \udc00",
    "line one\nline two\r\nline three\u2028line four\u2029five\x85six",
    "\x00\x1b[2J\x7f \u202e backwards \u200b hidden",
    'quotes " and \\ and \\u0041, a comma, a {brace} and a [bracket]',
    "\N{GRINNING FACE} \N{CJK UNIFIED IDEOGRAPH-9F98} na\u00efve \ufeff",
    "long " * 60,
    "",
]
"""Whatever an answer may hold."""

IDENTITY = Identity(
    model="demo",
    template_digest="t" * 64,
    device="cpu",
    dtype="float32",
    versions={"torch": "2.13.0", "transformers": "5.23.0"},
)


def invented(item: Item) -> Reply:
    """What the stub answers: the seed alone decides, and carries the text through every kind of character."""
    kind = item.seed % len(HARD_TEXTS)
    text = f"{item.seed} {HARD_TEXTS[kind]}".strip() if HARD_TEXTS[kind] else ""
    reason = "empty" if not text else "length" if kind == 6 else "eos"
    return Reply(text, len(text.split()), reason, 12.5)  # type: ignore[arg-type]


@dataclass
class StubBackend:
    identity: Identity = IDENTITY
    slots: int = 3
    threads: int = 1
    note: str | None = None
    asked: list[Group] = field(default_factory=list)
    after: Callable[[int], None] = lambda written: None
    """Called when so many groups of this run have been written."""

    def grouped(self, items: Sequence[Item]) -> list[Group]:
        return [tuple(items[start : start + self.slots]) for start in range(0, len(items), self.slots)]

    def answers(self, groups: Sequence[Group], on_answer: Callable[[], None]) -> Iterator[tuple[Group, list[Reply]]]:
        for number, group in enumerate(groups):
            self.asked.append(group)
            replies = []
            for item in group:
                replies.append(invented(item))
                on_answer()
            yield group, replies
            self.after(number + 1)


def stubbed(monkeypatch: pytest.MonkeyPatch, backend: StubBackend | None = None) -> StubBackend:
    """Collections ask the stub instead of a model; automatic slots are the stub's, and a group has as many items."""
    backend = backend or StubBackend()
    automatic = backend.slots

    def open_stub(
        settings: CollectSettings, design: Any, earlier: CollectionRecord | None, reporter: Any
    ) -> StubBackend:
        backend.slots = settings.slots or (earlier and earlier.slots) or automatic
        backend.threads = settings.threads or 1
        return backend

    monkeypatch.setattr(source, "_open_local", open_stub)
    monkeypatch.setattr(plan, "git_revision", lambda: None)
    return backend


def small(output_dir: Path | None, **changes: Any) -> CollectSettings:
    """25 answers in groups of 3: the last group has one."""
    settings = CollectSettings(model="demo", output_dir=output_dir, mode="quick", max_responses=25)
    return replace(settings, **changes)


def run(settings: CollectSettings) -> tuple[Path, str]:
    """Collect; returns the file of answers and what was printed."""
    printed = io.StringIO()
    with terminal_reporter(Console(file=printed, width=200, highlight=False)) as reporter:
        collected = stage.run(settings, reporter)
    return collected.path, printed.getvalue()


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def keys_of(path: Path) -> list[tuple[str, float, int]]:
    return [(line["question_id"], line["temperature"], line["iteration"]) for line in lines_of(path)]


def without_times(data: bytes) -> bytes:
    return re.sub(rb'"(timestamp|latency_ms)": ("[^"]*"|[0-9.]+)', rb'"\1": 0', data)


def copied_demo(folder: Path) -> Path:
    folder.mkdir()
    for path in DEMO_FOLDER.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def interrupted(stub: StubBackend, groups: int, settings: CollectSettings) -> None:
    """Run until so many groups are written, then Ctrl-C."""

    def interrupt(written: int) -> None:
        if written == groups:
            os.kill(os.getpid(), signal.SIGINT)

    stub.after = interrupt
    with pytest.raises(StoppedError):
        run(settings)
    stub.after = lambda written: None
    stub.asked.clear()


def retrain(model: Path) -> None:
    weights = bytearray((model / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (model / "model.safetensors").write_bytes(weights)
