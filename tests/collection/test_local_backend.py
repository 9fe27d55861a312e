"""The local backend: right answers for every family, the same text wherever a run was interrupted, honest endings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import FACTS, PACKED_FAMILIES, PLAIN_FAMILIES, save_tiny, tiny_model, tiny_tokenizer

from epistemic_stance.collection import local
from epistemic_stance.collection.backend import Reply
from epistemic_stance.collection.design import Item, plan_items
from epistemic_stance.collection.local import GROUP_SLOTS, LocalBackend, automatic_slots, grouped, open_local, why_plain
from epistemic_stance.foundation.errors import InputError, RefusedError
from epistemic_stance.models.chat_template import encode_question, template_digest
from epistemic_stance.models.generation import generate
from epistemic_stance.models.load import find_model, load_tokenizer
from epistemic_stance.models.onednn import has_onednn, linear_layers, use_onednn, use_torch
from epistemic_stance.models.sampling_config import SamplingConfig

SAMPLING = SamplingConfig(10, 1.0, 0, 1.0)
QUESTIONS = [(f"q{index}", "facts", question) for index, (question, _, _) in enumerate(FACTS[:4])]
ITEMS = plan_items(QUESTIONS, [0.0, 0.7, 1.3], 3, seed=5)
CHECK_PROMPTS = [encode_question(tiny_tokenizer(), question) for question in local.CHECK_QUESTIONS]


@pytest.fixture(autouse=True)
def same_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests of other modules run in this process too."""
    monkeypatch.setattr(local, "tune_allocator", lambda: None)


def opened(folder: Path, family: str = "qwen2", sampling: SamplingConfig = SAMPLING, **changes: Any) -> LocalBackend:
    name = str(save_tiny(folder / family, family)) if not (folder / family).exists() else str(folder / family)
    arguments: dict[str, Any] = {"device": "cpu", "dtype": "auto", "system_prompt": None, "slots": 4, "threads": 1}
    return open_local(name, sampling, **{**arguments, **changes})


def texts(pairs: Iterator[tuple[Sequence[Item], list[Reply]]]) -> list[tuple[Item, str, int | None, str]]:
    return [
        (item, reply.text, reply.tokens, reply.finish_reason)
        for group, replies in pairs
        for item, reply in zip(group, replies, strict=True)
    ]


@pytest.mark.parametrize("family", PACKED_FAMILIES)
def test_every_packed_family_runs_in_slots(tmp_path: Path, family: str) -> None:
    backend = opened(tmp_path, family)
    assert backend.note is None
    greedy = [item for item in ITEMS if item.temperature == 0]
    found = texts(backend.answers(grouped(greedy, backend.slots)))
    use_torch(backend.model)
    for item, text, tokens, reason in found:
        prompt = encode_question(backend.tokenizer, item.question)
        [answer] = generate(backend.model, backend.tokenizer, [prompt], stop_ids=backend.stop_ids, max_new_tokens=10)
        assert (text, tokens) == (answer.text, len(answer.token_ids))
        assert reason == (answer.finish_reason if text else "empty")


@pytest.mark.parametrize("family", PLAIN_FAMILIES)
def test_other_families_say_why_and_still_answer(tmp_path: Path, family: str) -> None:
    backend = opened(tmp_path, family)
    assert backend.note is not None
    assert not any("forward" in vars(layer) for layer in linear_layers(backend.model))
    done: list[int] = []
    found = texts(backend.answers(grouped(ITEMS, backend.slots), lambda: done.append(1)))
    assert [item for item, *_ in found] == ITEMS
    assert len(done) == len(ITEMS)
    assert found == texts(opened(tmp_path, family).answers(grouped(ITEMS, backend.slots)))
    for item, text, _, _ in found:
        if item.temperature == 0:
            prompt = encode_question(backend.tokenizer, item.question)
            [alone] = generate(backend.model, backend.tokenizer, [prompt], stop_ids=backend.stop_ids, max_new_tokens=10)
            assert text == alone.text


def test_the_plain_path_draws_with_the_sampling_asked_for(tmp_path: Path) -> None:
    """With top_k 1 and with a top_p of almost nothing, every temperature is greedy."""
    for sampling in (replace(SAMPLING, top_k=1), replace(SAMPLING, top_p=1e-6)):
        backend = opened(tmp_path, "bloom", sampling)
        found = {(item.question, text) for item, text, _, _ in texts(backend.answers([tuple(ITEMS)]))}
        assert len(found) == len(QUESTIONS)


def test_a_wrong_slot_path_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = tiny_model("qwen2"), tiny_tokenizer()
    assert why_plain(model, tokenizer, CHECK_PROMPTS) is None
    use_torch(model)
    forward = model.forward

    def shifted(*arguments: Any, **named: Any) -> Any:
        if "position_ids" in named:
            named["position_ids"] = named["position_ids"] + 7
        return forward(*arguments, **named)

    monkeypatch.setattr(model, "forward", shifted)
    monkeypatch.setattr(local, "generate", lambda *a, **k: generate(tiny_model("qwen2"), *a[1:], **k))
    assert "differ" in str(why_plain(model, tokenizer, CHECK_PROMPTS))


def test_tokens_as_likely_as_each_other_are_no_difference() -> None:
    model = tiny_model("qwen2")
    request = local.Request(tuple(CHECK_PROMPTS[0]), 0.0, 0, 3)
    [answer] = generate(model, tiny_tokenizer(), [CHECK_PROMPTS[0]], stop_ids={400}, max_new_tokens=3)
    first, second, third = answer.token_ids
    assert local.equal_but_for_ties(model, answer.token_ids, request, [first, second, third])
    other = (second + 1) % 400
    assert not local.equal_but_for_ties(model, answer.token_ids, request, [first, other, third])
    with torch.no_grad():
        weights = model.get_output_embeddings().weight
        weights[other] = weights[second]
    assert local.equal_but_for_ties(model, [second], request, [other])


def test_a_run_split_at_every_group_border_gives_the_same_bytes(tmp_path: Path) -> None:
    sampling = SamplingConfig(16, 0.95, 0, 1.1)
    whole = opened(tmp_path, sampling=sampling, slots=2)
    groups = grouped(ITEMS, 2)
    assert len(groups) > 5
    expected = texts(whole.answers(groups))
    assert len({text for _, text, _, _ in expected}) > 10
    for border in range(len(groups) + 1):
        first, second = (opened(tmp_path, sampling=sampling, slots=2) for _ in range(2))
        assert texts(first.answers(groups[:border])) + texts(second.answers(groups[border:])) == expected


def test_endings_are_told_apart(tmp_path: Path) -> None:
    backend = opened(tmp_path, sampling=SamplingConfig(40, 1.0, 0, 1.0))
    end = backend.tokenizer.eos_token_id
    space = backend.tokenizer.encode(" ")[0]
    word = backend.tokenizer.encode("lower")[0]
    Answer = local.Finished
    assert end in backend.stop_ids
    replies = [
        backend.reply(Answer([word, word], True, 0.5)),
        backend.reply(Answer([word, word], False, 0.5)),
        backend.reply(Answer([], True, 0.0)),
        backend.reply(Answer([space, space], False, 0.0)),
    ]
    assert [reply.finish_reason for reply in replies] == ["eos", "length", "empty", "empty"]
    assert [reply.tokens for reply in replies] == [2, 2, 0, 2]
    assert replies[0].latency_ms == 500
    assert replies[0].metadata == {"slots": 4}


def test_stop_tokens_are_those_of_the_model_folder(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "qwen2")
    (folder / "generation_config.json").write_text('{"eos_token_id": [7, 9], "top_k": 1, "repetition_penalty": 1.9}')
    backend = opened(tmp_path)
    assert backend.stop_ids == {7, 9, backend.tokenizer.eos_token_id}
    assert texts(backend.answers([tuple(ITEMS)])) != texts(replaced(backend, stop_ids={400}).answers([tuple(ITEMS)]))


def replaced(backend: LocalBackend, **changes: Any) -> LocalBackend:
    return replace(backend, **changes)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("full"), RuntimeError("can't allocate memory: 9 bytes")])
def test_out_of_memory_halves_the_slots_and_begins_the_group_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    decode, tried = local.decode, []

    def crowded(*arguments: Any, slots: int, **named: Any) -> Any:
        tried.append(slots)
        if slots > 2:
            raise error
        return decode(*arguments, slots=slots, **named)

    backend = opened(tmp_path, slots=8)
    expected = texts(opened(tmp_path, slots=2).answers([tuple(ITEMS)] * 2))
    monkeypatch.setattr(local, "decode", crowded)
    pairs = list(backend.answers([tuple(ITEMS)] * 2))
    assert tried == [8, 4, 2, 2]
    assert backend.slots == 2
    assert {reply.metadata["slots"] for _, replies in pairs for reply in replies} == {2}
    assert texts(iter(pairs)) == expected


def test_memory_for_not_one_answer_is_a_refusal_and_other_errors_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = opened(tmp_path, slots=4)

    def fail(error: Exception) -> None:
        def decode(*_: Any, **__: Any) -> None:
            raise error

        monkeypatch.setattr(local, "decode", decode)

    fail(MemoryError())
    with pytest.raises(RefusedError, match="10 tokens"):
        list(backend.answers([tuple(ITEMS)]))
    fail(RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"):
        list(replaced(backend, slots=4).answers([tuple(ITEMS)]))


def test_questions_beyond_the_model_are_named_before_anything_is_answered(tmp_path: Path) -> None:
    backend = opened(tmp_path)
    long = " ".join(["longer"] * 600)
    items = plan_items([*QUESTIONS, ("far", "facts", long)], [0.7], 2, seed=1)
    with pytest.raises(InputError) as caught:
        next(backend.answers(grouped(items, 1)))
    assert [problem.where for problem in caught.value.problems] == ["far"]
    assert "expected at most 512 together" in str(caught.value)


def test_identity_says_what_was_asked(tmp_path: Path) -> None:
    backend = opened(tmp_path, slots=0)
    name = str(tmp_path / "qwen2")
    identity = backend.identity
    assert (identity.model, identity.backend, identity.device, identity.dtype) == (
        name,
        "transformers",
        "cpu",
        "float32",
    )
    assert identity.weights_digest == find_model(name).digest()
    assert identity.template_digest == template_digest(load_tokenizer(name))
    assert {"torch", "transformers"} <= identity.versions.keys()
    assert backend.slots == local.SLOTS_PER_THREAD * torch.get_num_threads()


def test_the_system_prompt_reaches_the_model(tmp_path: Path) -> None:
    backend = opened(tmp_path, system_prompt="You answer in one word.")
    [prompt] = backend.encode({"Why?": "q"}).values()
    assert "one word" in backend.tokenizer.decode(prompt)


def test_bfloat16_keeps_positions_in_float32(tmp_path: Path) -> None:
    backend = opened(tmp_path, dtype="bfloat16")
    assert backend.model.dtype == torch.bfloat16
    assert backend.model.model.rotary_emb.inv_freq.dtype == torch.float32
    assert backend.identity.dtype == "bfloat16"
    found = texts(backend.answers([tuple(ITEMS)]))
    assert found == texts(opened(tmp_path, dtype="bfloat16").answers([tuple(ITEMS)]))


def test_slots_fit_the_memory_in_powers_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """2 layers, 2 heads of 8, keys and values, float32: 256 bytes a token; 5 float32 rows of 400 are 8,000 bytes."""
    model = tiny_model("qwen2")
    slot = 256 * (local.PROMPT_ALLOWANCE + 100) + 8_000
    for free, slots in ((2 * 33 * slot, 32), (2 * 31 * slot, 16), (slot, 1), (10**12, 32)):
        monkeypatch.setattr(local, "available_memory", lambda _device, free=free: free)
        assert automatic_slots(model, CHECK_PROMPTS[0], 100, True) == slots


@given(st.integers(0, 700), st.integers(1, 70))
def test_groups_hold_the_plan_in_order_and_are_as_equal_as_can_be(count: int, slots: int) -> None:
    items = [Item(str(index), "c", "q", 0.7, 1, index) for index in range(count)]
    groups = grouped(items, slots)
    assert [item for group in groups for item in group] == items
    sizes = [len(group) for group in groups]
    assert not sizes or max(sizes) <= GROUP_SLOTS * slots
    assert not sizes or max(sizes) - min(sizes) <= 1
    assert len(groups) == -(-count // (GROUP_SLOTS * slots))


@pytest.mark.skipif(not has_onednn(), reason="this torch has no oneDNN")
@pytest.mark.parametrize("bias", [True, False])
def test_onednn_multiplies_as_torch_does(bias: bool) -> None:
    layer = torch.nn.Linear(37, 53, bias=bias)
    holder = torch.nn.Sequential(layer)
    holder.device, holder.dtype = torch.device("cpu"), torch.float32
    inputs = torch.randn(3, 5, 74)[..., ::2]
    expected = layer(inputs).detach()
    use_onednn(holder)
    assert "forward" in vars(layer)
    with torch.no_grad():
        assert torch.allclose(layer(inputs), expected, rtol=1e-5, atol=1e-5)
    use_torch(holder)
    assert torch.equal(layer(inputs), expected)
