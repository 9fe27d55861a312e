"""One engine for every answer: the right path, the faster library, a model that is left as it was, short memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny import FACTS, PACKED_FAMILIES, PLAIN_FAMILIES, VOCABULARY, tiny_model, tiny_tokenizer

from epistemic_stance.foundation.errors import NumericError, RefusedError
from epistemic_stance.models import engine, products
from epistemic_stance.models.chat_template import encode_question
from epistemic_stance.models.engine import (
    CHECK_QUESTIONS,
    Decoder,
    automatic_slots,
    compare_with_plain,
    equal_but_for_ties,
    generate,
    generate_in_memory,
    make_decoder,
)
from epistemic_stance.models.plain import generate_batch
from epistemic_stance.models.products import faster_products, has_onednn, linear_layers, multiplying_by
from epistemic_stance.models.sampling_config import SamplingConfig
from epistemic_stance.models.slots import Finished, Request

TOKENIZER = tiny_tokenizer()
NEVER = {VOCABULARY}
PROMPTS = [tuple(encode_question(TOKENIZER, question)) for question, _, _ in FACTS[:5]]
CHECK_PROMPTS = [tuple(encode_question(TOKENIZER, question)) for question in CHECK_QUESTIONS]
SAMPLING = SamplingConfig(10)
needs_onednn = pytest.mark.skipif(not has_onednn(), reason="this torch has no oneDNN")


def decoder_of(family: str) -> Decoder:
    return make_decoder(tiny_model(family), TOKENIZER, {TOKENIZER.eos_token_id})


def greedy(count: int, limit: int = 10) -> list[Request]:
    return [Request(PROMPTS[index % len(PROMPTS)], 0.0, index, limit) for index in range(count)]


# --- which path ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [*PACKED_FAMILIES, *PLAIN_FAMILIES])
def test_greedy_answers_are_those_of_transformers(family: str) -> None:
    decoder = decoder_of(family)
    assert (decoder.why_plain is None) == (family in PACKED_FAMILIES)
    answers = generate(decoder, greedy(7), SAMPLING, slots=3)
    for request, answer in zip(greedy(7), answers, strict=True):
        [alone] = generate_batch(
            decoder.model, [request.prompt_ids], stop_ids=decoder.stop_ids, max_new_tokens=request.max_new_tokens
        )
        assert answer == alone


@pytest.mark.parametrize("family", ["qwen2", "bloom"])
def test_the_hooks_tell_how_far_the_answers_are(family: str) -> None:
    finished: list[int] = []
    steps: list[int] = []
    requests = [*greedy(4, limit=6), *greedy(3, limit=9)]
    generate(
        decoder_of(family), requests, SAMPLING, slots=2, on_finished=lambda: finished.append(1), on_step=steps.append
    )
    assert len(finished) == 7
    assert steps == sorted(steps)
    assert steps[-1] == 4 * 6 + 3 * 9
    assert len(steps) > 20


def test_a_thought_is_no_part_of_the_answer_and_is_kept() -> None:
    """The marks are special tokens here, which `skip_special_tokens` would drop and leave the thought."""
    decoder = decoder_of("qwen2")

    def of(text: str) -> Finished:
        return Finished(TOKENIZER(text)["input_ids"], 2, 0.0)

    assert decoder.text_and_thought(of("The tide is low.")) == ("The tide is low.", "")
    assert decoder.text_and_thought(of("<think>Is it?</think> The tide is low.")) == ("The tide is low.", "Is it?")
    assert decoder.text(of("<think>Is it?")) == ""
    opening = tiny_tokenizer("qwen2.5")
    opening.chat_template = opening.chat_template.replace("assistant\n' }}{% endif", "assistant\n<think>\n' }}{% endif")
    assert replace(decoder, tokenizer=opening).text_and_thought(of("Is it?")) == ("", "Is it?")


def test_an_answer_that_is_cut_off_ends_before_an_incomplete_character() -> None:
    decoder = decoder_of("qwen2")
    ids = TOKENIZER("low \u6f6e")["input_ids"]
    assert decoder.text(Finished(ids, None, 0.0)) == "low \u6f6e"
    assert TOKENIZER.decode(ids[:-1]).endswith("\ufffd")
    assert decoder.text(Finished(ids[:-1], None, 0.0)) == "low"
    assert decoder.text(Finished(ids[:-1], 2, 0.0)).endswith("\ufffd"), "the model itself ended it there"


def test_nothing_is_asked_of_nobody() -> None:
    assert generate(decoder_of("qwen2"), [], SAMPLING, slots=2) == []


def test_a_wrong_slot_path_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("qwen2")
    assert compare_with_plain(model, CHECK_PROMPTS, "torch") is None
    forward = model.forward

    def shifted(*arguments: Any, **named: Any) -> Any:
        if "position_ids" in named:
            named["position_ids"] = named["position_ids"] + 7
        return forward(*arguments, **named)

    monkeypatch.setattr(model, "forward", shifted)
    monkeypatch.setattr(engine, "generate_batch", lambda *a, **k: generate_batch(tiny_model("qwen2"), *a[1:], **k))
    assert "differ" in str(compare_with_plain(model, CHECK_PROMPTS, "torch"))


def test_tokens_as_likely_as_each_other_are_no_difference() -> None:
    model = tiny_model("qwen2")
    request = Request(CHECK_PROMPTS[0], 0.0, 0, 3)
    [answer] = generate_batch(model, [CHECK_PROMPTS[0]], stop_ids=NEVER, max_new_tokens=3)
    first, second, third = answer.token_ids
    assert equal_but_for_ties(model, answer.token_ids, request, [first, second, third])
    other = (second + 1) % VOCABULARY
    assert not equal_but_for_ties(model, answer.token_ids, request, [first, other, third])
    with torch.no_grad():
        weights = model.get_output_embeddings().weight
        weights[other] = weights[second]
    assert equal_but_for_ties(model, [second], request, [other])


@pytest.mark.parametrize("family", ["qwen2", "bloom"])
def test_nan_is_an_error_on_both_paths(family: str) -> None:
    decoder = decoder_of(family)
    with torch.no_grad():
        decoder.model.get_output_embeddings().weight.fill_(torch.nan)
    with pytest.raises(NumericError, match="NaN"):
        generate(decoder, [Request(PROMPTS[0], 1.0, 0, 5)], SAMPLING, slots=1)


# --- which library -------------------------------------------------------------------------------------------


@needs_onednn
@pytest.mark.parametrize("bias", [True, False])
def test_onednn_multiplies_as_torch_does(bias: bool) -> None:
    layer = torch.nn.Linear(37, 53, bias=bias)
    inputs = torch.randn(3, 5, 74)[..., ::2]
    expected = layer(inputs).detach()
    with multiplying_by(torch.nn.Sequential(layer), "onednn"):
        assert "forward" in vars(layer)
        with torch.no_grad():
            assert torch.allclose(layer(inputs), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(layer(inputs), expected)


@needs_onednn
def test_a_model_trains_on_as_if_it_had_not_answered() -> None:
    """Weights change between two answers; gradients flow; nothing of the first answer is left in the second."""
    decoder = make_decoder(tiny_model("qwen2"), TOKENIZER, NEVER, "onednn")
    other = tiny_model("qwen2", seed=5)
    before = generate(decoder, greedy(5), SAMPLING, slots=3)
    assert not any("forward" in vars(layer) for layer in linear_layers(decoder.model))
    decoder.model(torch.tensor([PROMPTS[0]])).logits.sum().backward()
    assert all(parameter.grad is not None for parameter in decoder.model.parameters())
    with torch.no_grad():
        for parameter, value in zip(decoder.model.parameters(), other.parameters(), strict=True):
            parameter.copy_(value)
    after = generate(decoder, greedy(5), SAMPLING, slots=3)
    assert after == generate(make_decoder(other, TOKENIZER, NEVER, "torch"), greedy(5), SAMPLING, slots=3) != before


@needs_onednn
def test_an_error_inside_leaves_the_model_as_it_was() -> None:
    model = tiny_model("qwen2")
    with multiplying_by(model, "onednn"):
        with pytest.raises(KeyboardInterrupt), multiplying_by(model, "onednn"):
            raise KeyboardInterrupt
        assert "forward" in vars(linear_layers(model)[0]), "an inner block must not end the outer one's"
    assert not any("forward" in vars(layer) for layer in linear_layers(model))


@needs_onednn
@pytest.mark.parametrize(("torch_s", "onednn_s", "chosen"), [(2, 1, "onednn"), (1, 2, "torch"), (1, 1, "onednn")])
def test_the_faster_library_multiplies(
    monkeypatch: pytest.MonkeyPatch, torch_s: float, onednn_s: float, chosen: str
) -> None:
    """On a clock that a product by torch moves by one figure and a product by oneDNN by the other."""
    clock = 0.0

    def taking(seconds: float) -> Any:
        def multiply(*_: Any) -> None:
            nonlocal clock
            clock += seconds

        return multiply

    monkeypatch.setattr(products, "torch_product", taking(torch_s))
    monkeypatch.setattr(products, "product", taking(onednn_s))
    monkeypatch.setattr("time.perf_counter", lambda: clock)
    assert faster_products(tiny_model("qwen2"), 4) == chosen
    assert faster_products(tiny_model("qwen2").to(torch.bfloat16), 4) == "torch"


# --- how many at a time --------------------------------------------------------------------------------------


def test_slots_fit_the_memory_in_powers_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """2 layers, 2 heads of 8, keys and values, float32: 256 bytes a token; 5 float32 rows of 400 are 8,000 bytes."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    decoder = decoder_of("qwen2")
    slot = 256 * (engine.PROMPT_ALLOWANCE + 100) + 8_000
    for free, slots in ((2 * 33 * slot, 32), (2 * 31 * slot, 16), (slot, 1), (10**12, 32)):
        monkeypatch.setattr(engine, "available_memory", lambda _device, free=free: free)
        assert automatic_slots(decoder, 100) == slots


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("full"), RuntimeError("can't allocate memory: 9 bytes")]
)
def test_out_of_memory_halves_the_slots_and_begins_anew(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    decode, tried = engine.decode, []

    def crowded(*arguments: Any, slots: int, **named: Any) -> Any:
        tried.append(slots)
        if slots > 2:
            raise error
        return decode(*arguments, slots=slots, **named)

    decoder = decoder_of("qwen2")
    expected = generate(decoder, greedy(5), SAMPLING, slots=2)
    monkeypatch.setattr(engine, "decode", crowded)
    assert generate_in_memory(decoder, greedy(5), SAMPLING, slots=8) == (expected, 2)
    assert tried == [8, 4, 2]


def test_memory_for_not_one_answer_is_a_refusal_and_other_errors_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = decoder_of("qwen2")

    def failing(error: Exception) -> Any:
        def decode(*_: Any, **__: Any) -> None:
            raise error

        return decode

    monkeypatch.setattr(engine, "decode", failing(MemoryError()))
    with pytest.raises(RefusedError, match="10 tokens"):
        generate_in_memory(decoder, greedy(2), SAMPLING, slots=4)
    monkeypatch.setattr(engine, "decode", failing(RuntimeError("shapes do not match")))
    with pytest.raises(RuntimeError, match="shapes"):
        generate_in_memory(decoder, greedy(2), SAMPLING, slots=4)
