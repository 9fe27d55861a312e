"""What the run header says of time, and how it is measured."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny import tiny_model

from epistemic_stance.stance.anchor_prompts import EncodedPrompt
from epistemic_stance.stance.pairs import EncodedPair
from epistemic_stance.training import plan
from epistemic_stance.training.checkpoint_eval import EvaluationSeconds
from epistemic_stance.training.packing import PairForward
from epistemic_stance.training.plan import dtypes_to_time, step_seconds, time_forward, time_line

PAIRS = [EncodedPair("a", [1, 2], [3, 4], [5]), EncodedPair("b", [1, 2, 3], [4, 5, 6], [7, 8, 9, 10])]
JOB: Any = SimpleNamespace(
    total_steps=1000, pairs_per_step=1, encoded=PAIRS[1:], anchor_prompts=[], checkpoint_steps=dict.fromkeys(range(20))
)
NO_ANSWERS = EvaluationSeconds(0.0, 0.0)
NO_OPTIMIZER: Any = SimpleNamespace(compute_dtype="float32", device="cpu", trainable_parameters=0)


def test_seconds_of_a_step_by_hand() -> None:
    """Pairs of 5 and 10 tokens, 0.8 s for the longer: 0.6 on average, two pairs a step, 3 * 1.2 s, and the optimizer:
    28 bytes * 15e9 parameters at 15e9 bytes a second."""
    job: Any = SimpleNamespace(encoded=PAIRS, pairs_per_step=2, anchor_prompts=[])
    run: Any = SimpleNamespace(trainable_parameters=15e9, device="cpu")
    assert step_seconds(job, run, 0.8) == pytest.approx(3.6 + 28)


def test_an_anchor_answer_counts_by_its_tokens() -> None:
    """Prompts of 2 and 4 tokens and 64 of answer: 67 more than the pair's 10, at 0.08 s a token, three times over."""
    prompts = [EncodedPrompt("short", [1, 2]), EncodedPrompt("long", [1, 2, 3, 4])]
    job: Any = SimpleNamespace(encoded=PAIRS[1:], pairs_per_step=1, anchor_prompts=prompts)
    assert step_seconds(job, NO_OPTIMIZER, 0.8) == pytest.approx(3 * 77 * 0.08)


@pytest.mark.parametrize(
    ("chosen", "seconds", "line"),
    [
        ("float32", {"float32": 1.0, "bfloat16": 5.0}, "about 50 min {}; bfloat16 would take 5.0 times as long here"),
        ("bfloat16", {"bfloat16": 5.0, "float32": 1.0}, "about 4.2 h {}; --dtype float32 is 5.0 times as fast here"),
        ("float32", {"float32": 2.3, "bfloat16": 1.0}, "about 1.9 h {}; --dtype bfloat16 is 2.3 times as fast here"),
        ("float32", {"float32": 1.05, "bfloat16": 1.0}, "about 53 min {}"),
        ("float32", {"float32": 1.0}, "about 50 min {}"),
    ],
)
def test_the_faster_precision_is_named_in_both_directions(chosen: str, seconds: dict[str, float], line: str) -> None:
    run: Any = SimpleNamespace(**{**vars(NO_OPTIMIZER), "compute_dtype": chosen})
    assert time_line(JOB, run, seconds, NO_ANSWERS) == line.format("without saving")


def test_base_answers_and_checkpoint_evaluation_are_part_of_the_time() -> None:
    """3,000 s of steps, 60 s of base answers and 20 times 45 s are 3,960 s."""
    line = time_line(JOB, NO_OPTIMIZER, {"float32": 1.0}, EvaluationSeconds(base=60, checkpoint=45))
    assert line == "about 66 min without saving, 60 s of them base answers and 15 min checkpoint evaluation"


def test_a_cpu_is_timed_in_both_precisions_and_a_gpu_in_the_chosen_one() -> None:
    assert dtypes_to_time(torch.bfloat16, "cpu") == [torch.bfloat16, torch.float32]
    assert dtypes_to_time(torch.float32, "cpu") == [torch.float32, torch.bfloat16]
    assert dtypes_to_time(torch.float16, "cuda") == [torch.float16]


def test_every_precision_is_timed_on_the_longest_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[tuple[str, torch.dtype]] = []

    def forward(_: Any, __: Any, pairs: list[EncodedPair], dtype: torch.dtype) -> None:
        timed.append((pairs[0].id, dtype))
        if dtype == torch.bfloat16:
            raise RuntimeError("not implemented for 'BFloat16'")

    monkeypatch.setattr(plan, "compute_reference", forward)
    assert list(time_forward(None, PairForward(True, "", None), PAIRS, [torch.float32, torch.bfloat16])) == ["float32"]
    assert timed == 3 * [("b", torch.float32), ("b", torch.bfloat16)]
    with pytest.raises(RuntimeError, match="BFloat16"):
        time_forward(None, PairForward(True, "", None), PAIRS, [torch.bfloat16, torch.float32])


def test_timing_leaves_the_model_as_it_is() -> None:
    model = tiny_model("qwen2")
    before = [parameter.detach().clone() for parameter in model.parameters()]
    seconds = time_forward(model, PairForward(True, "", None), PAIRS, [torch.float32, torch.bfloat16])
    assert list(seconds) == ["float32", "bfloat16"]
    assert all(value > 0 for value in seconds.values())
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
