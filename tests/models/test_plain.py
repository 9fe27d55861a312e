"""Answers depend on the prompt, the weights and the seed, and on nothing a model folder or a batch brings along."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny import FACTS, tiny_encoded, tiny_model, tiny_tokenizer
from transformers import GenerationConfig

from epistemic_stance.models.chat_template import encode_question
from epistemic_stance.models.plain import generate_batch

QUESTIONS = [
    "Why?",
    *(question for question, _, _ in FACTS[:4]),
    "Is the tide lower than the door of the old tower is tall?",
]
TOKENIZER = tiny_tokenizer()
PROMPTS = [encode_question(TOKENIZER, question) for question in QUESTIONS]
EOS = {TOKENIZER.eos_token_id}
NEVER = {399}
"""A token that the models of these tests do not choose: answers run to their full length."""


def by_hand(model: Any, prompt: list[int], new_tokens: int, stop: set[int]) -> list[int]:
    """Greedy decoding with one whole forward pass a token, no cache, no padding, no transformers.generate."""
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(new_tokens):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] in stop:
                return ids[len(prompt) : -1]
    return ids[len(prompt) :]


@pytest.mark.parametrize("family", ["qwen2", "llama", "gemma3", "smollm3", "bloom"])
def test_batched_greedy_answers_equal_single_ones(family: str) -> None:
    model = tiny_model(family)
    assert len({len(prompt) for prompt in PROMPTS}) > 3, "prompts of different lengths need padding"
    batched = generate_batch(model, PROMPTS, stop_ids=NEVER, max_new_tokens=12)
    for prompt, answer in zip(PROMPTS, batched, strict=True):
        assert generate_batch(model, [prompt], stop_ids=NEVER, max_new_tokens=12) == [answer]
        assert answer.token_ids == by_hand(model, prompt, 12, NEVER)


def test_own_generation_config_is_not_consulted() -> None:
    """Qwen2.5's adds a repetition penalty, top-k and top-p; it must neither act nor be lost."""
    model = tiny_model("qwen2")
    plain = generate_batch(model, PROMPTS, stop_ids=NEVER, max_new_tokens=12)
    sampled = generate_batch(model, PROMPTS, stop_ids=NEVER, max_new_tokens=12, temperature=1.0, seed=3)
    own = GenerationConfig(
        do_sample=True,
        repetition_penalty=1.9,
        top_k=1,
        top_p=0.1,
        temperature=0.3,
        no_repeat_ngram_size=1,
        eos_token_id=5,
    )
    model.generation_config = own
    assert generate_batch(model, PROMPTS, stop_ids=NEVER, max_new_tokens=12) == plain
    again = generate_batch(model, PROMPTS, stop_ids=NEVER, max_new_tokens=12, temperature=1.0, seed=3)
    assert again == sampled
    assert model.generation_config is own
    assert any(len(set(answer.token_ids)) < 12 for answer in plain), "without repeats the penalty would not show"


def test_sampling_follows_the_seed_and_leaves_the_global_state() -> None:
    model = tiny_model("qwen2")

    def sample(seed: int) -> list[list[int]]:
        answers = generate_batch(model, PROMPTS, stop_ids=NEVER, max_new_tokens=12, temperature=1.0, seed=seed)
        return [answer.token_ids for answer in answers]

    torch.manual_seed(99)
    state = torch.get_rng_state()
    first = sample(1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(1000)
    assert sample(1) == first
    assert sample(2) != first


def test_sampling_is_from_the_whole_distribution() -> None:
    """Top-k 50 (transformers' default) would leave out 350 of the 400 tokens: their share is compared with the model's.

    800 draws of the first token; 3 standard deviations of a share p are 3 * sqrt(p (1 - p) / 800) <= 0.053.
    """
    model = tiny_model("qwen2")
    prompt = PROMPTS[0]
    with torch.no_grad():
        probabilities_V = model(torch.tensor([prompt])).logits[0, -1].softmax(-1)
    common = set(probabilities_V.topk(50).indices.tolist())
    expected = 1 - probabilities_V.topk(50).values.sum().item()
    answers = generate_batch(model, [prompt] * 800, stop_ids=NEVER, max_new_tokens=1, temperature=1.0, seed=5)
    drawn = [answer.token_ids[0] if answer.token_ids else 399 for answer in answers]
    assert expected > 0.1
    assert sum(token not in common for token in drawn) / 800 == pytest.approx(expected, abs=0.053)


def test_low_temperature_is_greedy() -> None:
    model = tiny_model("qwen2")
    greedy = generate_batch(model, PROMPTS, stop_ids=NEVER, max_new_tokens=5)
    assert generate_batch(model, PROMPTS, stop_ids=NEVER, max_new_tokens=5, temperature=1e-4) == greedy


def test_finish_reasons() -> None:
    """Every token the model says third becomes a stop token: all answers end by then, some before."""
    model = tiny_model("qwen2")
    full = generate_batch(model, PROMPTS, stop_ids=NEVER, max_new_tokens=8)
    assert {answer.end_id for answer in full} == {None}
    assert {len(answer.token_ids) for answer in full} == {8}
    stop = {full[0].token_ids[2]}
    ended = generate_batch(model, PROMPTS, stop_ids=stop, max_new_tokens=8)
    for before, after in zip(full, ended, strict=True):
        said = before.token_ids
        end = next((index for index, token in enumerate(said) if token in stop), None)
        assert after.token_ids == said[:end], "the token that ended the answer and the padding after it are left out"
        assert after.end_id == (None if end is None else said[end])
    assert ended[0].end_id is not None


def test_stop_on_any_of_several_tokens() -> None:
    model = tiny_model("qwen2")
    said = generate_batch(model, PROMPTS[:1], stop_ids=NEVER, max_new_tokens=8)[0].token_ids
    (answer,) = generate_batch(model, PROMPTS[:1], stop_ids={399, said[5], said[2]}, max_new_tokens=8)
    first = next(index for index, token in enumerate(said) if token in {said[5], said[2]})
    assert (answer.token_ids, answer.end_id) == (said[:first], said[first])


def test_the_token_that_ended_an_answer_is_the_one_that_was_sampled() -> None:
    """With several stop tokens the end is not always the first of them: KL on it would be measured wrongly."""
    model = tiny_model("qwen2")
    prompt = tiny_encoded(1)[0].prompt_ids
    said = generate_batch(model, [prompt], stop_ids={399}, max_new_tokens=8)[0].token_ids
    stop_ids = {0, said[2]}
    answer = generate_batch(model, [prompt], stop_ids=stop_ids, max_new_tokens=8)[0]
    assert answer.end_id == said[said.index(next(token for token in said if token in stop_ids))]
    assert answer.end_id not in answer.token_ids
