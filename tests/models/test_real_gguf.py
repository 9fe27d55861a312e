"""A published GGUF file against the same model as a folder: what it says, how it reads text, and what it answers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from epistemic_stance.models.chat_template import encode_question
from epistemic_stance.models.engine import generate_in_memory
from epistemic_stance.models.find import ModelFiles, find_model
from epistemic_stance.models.load import load_config
from epistemic_stance.models.open import OpenedModel, open_model
from epistemic_stance.models.sampling_config import SamplingConfig
from epistemic_stance.models.slots import Request
from epistemic_stance.stance.load import load_stance

NAME = "smollm2-135m-instruct"
MODELS = os.environ.get("STANCE_REAL_MODELS", "")
FILE, FOLDER = Path(MODELS) / f"{NAME}.gguf", Path(MODELS) / NAME

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not MODELS, reason="STANCE_REAL_MODELS (a folder of real chat models) is not set"),
    pytest.mark.skipif(not (FILE.is_file() and FOLDER.is_dir()), reason=f"no {NAME} and {NAME}.gguf in it"),
]


@pytest.fixture(scope="module")
def files() -> list[ModelFiles]:
    """As a folder in bfloat16, as a file in Q4_1. The conversion stays in the cache of whoever runs the tests."""
    pytest.importorskip("gguf", reason="gguf is not installed: pip install gguf")
    return [find_model(str(FOLDER)), find_model(str(FILE))]


@pytest.fixture(scope="module")
def both(files: list[ModelFiles]) -> list[OpenedModel]:
    """The second with its weights rounded as those of the folder are: then all else has to be the same."""
    opened = [open_model(each, device="cpu", dtype="float32") for each in files]
    with torch.no_grad():
        for parameter in opened[1].model.parameters():
            parameter.copy_(parameter.to(torch.bfloat16))
    return opened


def test_the_configuration_is_the_same(files: list[ModelFiles]) -> None:
    folder, file = (load_config(each.folder).to_dict() for each in files)
    assert file["rope_parameters"] == {"rope_theta": 100_000.0, "rope_type": "default"}
    assert file["tie_word_embeddings"] is True
    differing = {name for name in folder.keys() | file.keys() if folder.get(name) != file.get(name)}
    assert differing <= {"dtype", "_name_or_path", "_model_name_or_path"}


def test_text_is_read_the_same(both: list[OpenedModel]) -> None:
    folder, file = both
    assert file.template_digest == folder.template_digest
    assert file.stop_ids == folder.stop_ids == {0, 2}
    questions = [
        question.text for each in load_stance("epistemic").question_sets.values() for question in each.questions
    ]
    assert len(questions) > 1000
    for question in questions:
        assert encode_question(file.tokenizer, question) == encode_question(folder.tokenizer, question)


def test_logits_and_greedy_answers_are_the_same(both: list[OpenedModel]) -> None:
    questions = ["Are you conscious?", "What is 12 + 30?", "Who wrote Hamlet?"]
    prompts = [encode_question(both[0].tokenizer, question) for question in questions]
    with torch.no_grad():
        folder, file = (model.model(torch.tensor([prompts[0]])).logits for model in both)
    assert torch.equal(folder, file)
    assert _answers(both[1], prompts) == _answers(both[0], prompts)


def _answers(opened: OpenedModel, prompts: list[list[int]]) -> list[Any]:
    requests = [Request(tuple(prompt), 0.0, 0, 24) for prompt in prompts]
    answers, _ = generate_in_memory(opened.decoder, requests, SamplingConfig(24), slots=3)
    return [opened.decoder.text(answer) for answer in answers]
