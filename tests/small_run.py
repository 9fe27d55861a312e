"""A whole training run that takes a second: three epochs of a tiny model on nine short pairs."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiny import save_tiny, tiny_pairs

from epistemic_stance.foundation.reporter import Event, Progress, Reporter, silent
from epistemic_stance.foundation.settings import TrainSettings
from epistemic_stance.records.run_folder import RunFolder
from epistemic_stance.stance.pairs import Pair
from epistemic_stance.training.run import run as train

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
        eval_questions=2,
        device="cpu",
    )


def message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def run(settings: TrainSettings, reporter: Reporter = silent) -> RunFolder:
    train(settings, reporter)
    return RunFolder(settings.output_dir)


def epochs_of(folder: RunFolder) -> list[dict[str, Any]]:
    (log,) = folder.logs.glob("training_log_*.jsonl")
    return [json.loads(line) for line in log.read_text().splitlines()]


def at_step(step: int, action: Callable[[], None]) -> Reporter:
    """A reporter that does something after the given optimizer step has been logged."""

    def reporter(event: Event) -> None:
        if isinstance(event, Progress) and event.unit == "steps" and event.done == step:
            action()

    return reporter


def terminate() -> None:
    """As `kill` does: the run saves its state and stops."""
    os.kill(os.getpid(), signal.SIGTERM)
