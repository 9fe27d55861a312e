"""The red flag for chosen answers that lose likelihood: told from the training log, unknown without one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from epistemic_stance.evaluation.flag_displacement import MARGIN, displacement_flag

from epistemic_stance.evaluation.evidence import Arm
from epistemic_stance.evaluation.red_flags import state_of
from epistemic_stance.records.written import Scope

SCOPE = Scope(measures=["pragmatic"], sets=["self"])


def arm(epoch: int | None) -> Arm:
    return Arm("checkpoint", epoch, {}, None, None, None)


def logged(folder: Path, rewards: dict[int, list[float]]) -> Path:
    (folder / "logs").mkdir()
    lines = []
    for epoch, of_epoch in rewards.items():
        for number, reward in enumerate(of_epoch):
            pair = {
                "id": f"p{number}",
                "loss": 0.1,
                "chosen_logps": -9.0,
                "rejected_logps": -9.0,
                "chosen_reward": reward,
            }
            pair |= {"rejected_reward": -1.0, "chosen_tokens": 3, "rejected_tokens": 3}
            step = {"schema": 1, "epoch": epoch, "step": number, "loss": 0.1, "grad_norm": 1.0, "learning_rate": 1e-5}
            lines.append(json.dumps(step | {"pairs": [pair]}) + "\n")
    (folder / "logs" / "steps.jsonl").write_text("".join(lines))
    return folder


@pytest.mark.parametrize(("lost", "state"), [(0, "clear"), (5, "inconclusive"), (14, "raised")])
def test_it_is_raised_where_many_chosen_answers_fell(tmp_path: Path, lost: int, state: str) -> None:
    run = logged(tmp_path, {1: [-1.0] * 25, 2: [-1.0] * lost + [1.0] * (25 - lost), 12: [-1.0] * 25})
    change = displacement_flag(run, SCOPE, 1).watch(arm(None), arm(2)).change
    assert change is not None
    assert (change.after, change.questions) == (lost / 25, 25), "of its own epoch alone"
    assert state_of(change, "rise", MARGIN)[0] == state


def test_without_a_log_it_is_unknown(tmp_path: Path) -> None:
    flag = displacement_flag(tmp_path, SCOPE, 1)
    assert flag.watch(arm(None), arm(2)).change is None
    run = logged(tmp_path, {1: [1.0]})
    assert displacement_flag(run, SCOPE, 1).watch(arm(None), arm(7)).change is None
    (run / "logs" / "steps.jsonl").write_text('{"epoch": 7, broken\n')
    assert displacement_flag(run, SCOPE, 1).watch(arm(None), arm(7)).change is None
