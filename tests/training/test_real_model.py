"""One epoch on a real chat model: what is logged, judged and saved, and what it says one at a time and side by side."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from epistemic_stance.foundation.reporter import silent
from epistemic_stance.foundation.settings import TrainSettings
from epistemic_stance.models.chat_template import encode_question
from epistemic_stance.models.engine import generate_in_memory
from epistemic_stance.models.find import find_model
from epistemic_stance.models.open import OpenedModel, open_model
from epistemic_stance.models.sampling_config import SamplingConfig
from epistemic_stance.models.slots import Request
from epistemic_stance.records.run_folder import RunFolder
from epistemic_stance.stance.load import load_stance
from epistemic_stance.training.run import run

MODELS = os.environ.get("STANCE_REAL_MODELS", "")
MODEL = Path(MODELS) / "smollm2-135m-instruct"
TOKENS = 40

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not MODELS, reason="STANCE_REAL_MODELS (a folder of real chat models) is not set"),
    pytest.mark.skipif(not MODEL.is_dir(), reason=f"no {MODEL.name} in it"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The guide's recipe for one epoch, saved as it was computed."""
    folder = tmp_path_factory.mktemp("real") / "run"
    run(TrainSettings(model=str(MODEL), output_dir=folder, epochs=1, save_dtype="float32", device="cpu"), silent)
    return RunFolder(folder)


@pytest.fixture(scope="module")
def reloaded(trained: RunFolder) -> OpenedModel:
    return open_model(find_model(str(trained.checkpoints / "checkpoint-001")), device="cpu", dtype="float32")


def test_the_first_step_is_ln_2_and_the_pairs_are_learned(trained: RunFolder) -> None:
    steps = list(_lines(trained.root / "logs" / "steps.jsonl"))
    assert len(steps) == 25
    assert steps[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    [log] = (trained.root / "logs").glob("training_log_*.jsonl")
    [epoch] = _lines(log)
    assert epoch["avg_loss"] < math.log(2) < 2 * epoch["avg_loss"] + math.log(2)
    assert epoch["avg_accuracy"] > 0.5


def test_the_checkpoint_is_judged_on_real_answers(trained: RunFolder) -> None:
    metadata = trained.metadata("checkpoint-001")
    assert metadata is not None
    evaluation = metadata.evaluation
    assert evaluation is not None
    assert evaluation.verdict == "neither", "25 steps do not move this model: docs/recipes.md"
    assert len(evaluation.answers) == 16
    assert all(len(answer.answer.split()) > 3 for answer in evaluation.answers)


def test_what_is_saved_answers_as_what_was_trained(trained: RunFolder, reloaded: OpenedModel) -> None:
    """The answers in metadata.json were given by the model in training; these by the folder it was saved to."""
    metadata = trained.metadata("checkpoint-001")
    assert metadata is not None
    assert metadata.evaluation is not None
    given = {answer.question: answer.answer for answer in metadata.evaluation.answers}
    prompts = [encode_question(reloaded.tokenizer, question) for question in given]
    assert _answers(reloaded, prompts, slots=len(prompts), tokens=80) == list(given.values())


def test_answers_side_by_side_are_those_of_one_at_a_time(reloaded: OpenedModel) -> None:
    """Of questions of every set, of unlike lengths; and those of transformers' own generate."""
    sets = load_stance("epistemic").question_sets.values()
    questions = [question.text for each in sets for question in each.questions[:2]]
    prompts = [encode_question(reloaded.tokenizer, question) for question in questions]
    together = _answers(reloaded, prompts, slots=len(prompts), tokens=TOKENS)
    assert together == _answers(reloaded, prompts, slots=1, tokens=TOKENS)
    assert together == [_transformers_answer(reloaded, prompt) for prompt in prompts]


def test_every_weight_moved_but_none_far(trained: RunFolder) -> None:
    """AdamW moves a weight by at most about the learning rate in a step."""
    before = {name: tensor.float() for name, tensor in load_file(MODEL / "model.safetensors").items()}
    after = load_file(trained.checkpoints / "checkpoint-001" / "model.safetensors")
    assert before.keys() == after.keys()
    moves = {name: (after[name] - before[name]).abs().max().item() for name in before}
    assert all(move > 0 for move in moves.values())
    assert max(moves.values()) < 25 * 1e-5 * 3


def _answers(opened: OpenedModel, prompts: list[list[int]], slots: int, tokens: int) -> list[str]:
    requests = [Request(tuple(prompt), 0.0, 0, tokens) for prompt in prompts]
    answers, _ = generate_in_memory(opened.decoder, requests, SamplingConfig(tokens), slots=slots)
    return [opened.decoder.text(answer) for answer in answers]


def _transformers_answer(opened: OpenedModel, prompt: list[int]) -> str:
    ids = torch.tensor([prompt])
    made = opened.model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=TOKENS, pad_token_id=0
    )
    answer: str = opened.tokenizer.decode(made[0, len(prompt) :], skip_special_tokens=True)
    return answer.strip()


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
