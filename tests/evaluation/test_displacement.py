"""The red flag for chosen answers that lose likelihood: told from the training log, unknown without one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from epistemic_stance.evaluation.computed_flags import COMPUTED_FLAGS, FlagContext
from epistemic_stance.evaluation.evaluator import Evaluator
from epistemic_stance.evaluation.evidence import ModelEvidence
from epistemic_stance.records.run_folder import RunFolder
from epistemic_stance.records.validation import FlagRecord
from epistemic_stance.stance.load import load_stance_and_pairs
from epistemic_stance.stance.question_index import QuestionIndex

DISPLACEMENT = next(flag for flag in COMPUTED_FLAGS if flag.name == "displacement")


def evidence(epoch: float | None, name: str = "checkpoint") -> ModelEvidence:
    return ModelEvidence(name, epoch, {}, None, None, None)


def judged(run: Path, epoch: float, name: str = "checkpoint") -> FlagRecord:
    stance, pairs = load_stance_and_pairs("epistemic")
    assert stance.selection
    questions = QuestionIndex(stance, pairs)
    context = FlagContext(RunFolder(run), stance, stance.selection, evidence(None), Evaluator({}, 1), questions)
    return DISPLACEMENT.judge(context, evidence(epoch, name))


def logged(folder: Path, rewards: dict[int, list[float]]) -> Path:
    (folder / "logs").mkdir()
    lines: list[str] = []
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
            step = {"epoch": epoch, "step": len(lines) + 1, "loss": 0.1, "grad_norm": 1.0, "learning_rate": 1e-5}
            lines.append(json.dumps(step | {"pairs": [pair]}) + "\n")
    (folder / "logs" / "steps.jsonl").write_text("".join(lines))
    return folder


@pytest.mark.parametrize(("lost", "state"), [(0, "clear"), (5, "inconclusive"), (14, "raised")])
def test_it_is_raised_where_many_chosen_answers_fell(tmp_path: Path, lost: int, state: str) -> None:
    run = logged(tmp_path, {1: [-1.0] * 25, 2: [-1.0] * lost + [1.0] * (25 - lost), 12: [-1.0] * 25})
    flag = judged(run, 2)
    assert flag.change is not None
    assert (flag.change.after, flag.change.questions) == (lost / 25, 25), "of its own epoch alone"
    assert flag.state == state


def test_within_an_epoch_each_pair_counts_as_it_last_stood(tmp_path: Path) -> None:
    """After step 30 of epochs of 25: five pairs of the second epoch, twenty still of the first."""
    run = logged(tmp_path, {1: [1.0] * 25, 2: [-1.0] * 10 + [1.0] * 15})
    change = judged(run, 30 / 25, "checkpoint-step-0030").change
    assert change is not None
    assert (change.after, change.questions) == (5 / 25, 25)


def test_without_a_log_it_is_unknown(tmp_path: Path) -> None:
    assert judged(tmp_path, 2).state == "unknown"
    run = logged(tmp_path, {1: [1.0]})
    assert judged(run, 7).state == "unknown"
    (run / "logs" / "steps.jsonl").write_text('{"epoch": 7, broken\n')
    assert judged(run, 7).state == "unknown"
