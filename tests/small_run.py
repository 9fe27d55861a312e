"""A whole training run that takes a second: three epochs of a tiny model on nine short pairs."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tiny import save_tiny, tiny_pairs

from epistemic_stance.foundation.settings import TrainSettings
from epistemic_stance.records.run_folder import RunFolder
from epistemic_stance.stance.pairs import Pair
from epistemic_stance.training import trainer
from epistemic_stance.training.prepare import read_inputs
from epistemic_stance.training.run import train

NINTH = Pair("ninth", "test", "Is the lamp on?", "It is.", "The lamp is older than the oldest house.")


def small_settings(folder: Path) -> TrainSettings:
    """Three epochs of 3 steps (nine short pairs in fours, the last step has one), checkpoints after 2 and 3."""
    pairs = [
        {"prompt": [message("user", pair.question)], "chosen": [message("assistant", pair.chosen)]}
        | {"rejected": [message("assistant", pair.rejected)], "id": f"p{index}"}
        for index, pair in enumerate([*tiny_pairs(8), NINTH])
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    return TrainSettings(
        model=str(save_tiny(folder / "model", "qwen2")),
        corpus=folder / "pairs.jsonl",
        output_dir=folder / "run",
        epochs=3,
        checkpoint_every=2,
        batch_size=2,
        gradient_accumulation=2,
        learning_rate=1e-3,
        warmup_steps=3,
        watch_questions=2,
        device="cpu",
    )


def message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def run(settings: TrainSettings) -> RunFolder:
    return train(read_inputs(settings), Console(file=io.StringIO(), width=100))


def epochs_of(folder: RunFolder) -> list[dict[str, Any]]:
    (log,) = folder.logs.glob("training_log_*.jsonl")
    return [json.loads(line) for line in log.read_text().splitlines()]


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, action: Callable[[], None]) -> None:
    """Do something after the given optimizer step has been logged."""
    original = trainer._one_step

    def one_step(current: trainer.Run, epoch: int, batch: Any) -> None:
        original(current, epoch, batch)
        if current.progress.step == step:
            action()

    monkeypatch.setattr(trainer, "_one_step", one_step)
