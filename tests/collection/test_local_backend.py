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
from tiny import FACTS, PACKED_FAMILIES, PLAIN_FAMILIES, save_tiny

from epistemic_stance.collection.backend import Reply
from epistemic_stance.collection.design import Item, plan_items
from epistemic_stance.collection.local import GROUP_SLOTS, LocalBackend, grouped
from epistemic_stance.foundation.errors import InputError
from epistemic_stance.models import engine
from epistemic_stance.models import open as open_module
from epistemic_stance.models.chat_template import encode_question, template_digest
from epistemic_stance.models.find import find_model
from epistemic_stance.models.load import load_tokenizer
from epistemic_stance.models.open import open_model
from epistemic_stance.models.plain import generate_batch
from epistemic_stance.models.sampling_config import SamplingConfig
from epistemic_stance.models.slots import Finished

SAMPLING = SamplingConfig(10)
QUESTIONS = [(f"q{index}", "facts", question) for index, (question, _, _) in enumerate(FACTS[:4])]
ITEMS = plan_items(QUESTIONS, [0.0, 0.7, 1.3], 3, seed=5)


@pytest.fixture(autouse=True)
def same_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests of other modules run in this process too."""
    monkeypatch.setattr(open_module, "tune_allocator", lambda: None)


def opened(
    folder: Path,
    family: str = "qwen2",
    sampling: SamplingConfig = SAMPLING,
    *,
    dtype: str = "auto",
    system_prompt: str | None = None,
    slots: int = 4,
) -> LocalBackend:
    if not (folder / family).exists():
        save_tiny(folder / family, family)
    model = open_model(find_model(str(folder / family)), device="cpu", dtype=dtype, threads=1)
    return LocalBackend(model, sampling, system_prompt=system_prompt, slots=slots)


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
    decoder = backend.decoder
    for item, text, tokens, reason in found:
        prompt = encode_question(decoder.tokenizer, item.question)
        [answer] = generate_batch(decoder.model, [prompt], stop_ids=decoder.stop_ids, max_new_tokens=10)
        assert (text, tokens) == (decoder.text(answer), len(answer.token_ids))
        assert reason == ("empty" if not text else "length" if answer.end_id is None else "eos")


@pytest.mark.parametrize("family", PLAIN_FAMILIES)
def test_other_families_say_why_and_still_answer(tmp_path: Path, family: str) -> None:
    backend = opened(tmp_path, family)
    assert backend.note is not None
    done: list[int] = []
    found = texts(backend.answers(grouped(ITEMS, backend.slots), lambda: done.append(1)))
    assert [item for item, *_ in found] == ITEMS
    assert len(done) == len(ITEMS)
    assert found == texts(opened(tmp_path, family).answers(grouped(ITEMS, backend.slots)))
    for item, text, _, _ in found:
        if item.temperature == 0:
            decoder = backend.decoder
            prompt = encode_question(decoder.tokenizer, item.question)
            [alone] = generate_batch(decoder.model, [prompt], stop_ids=decoder.stop_ids, max_new_tokens=10)
            assert text == decoder.text(alone)


def test_the_plain_path_draws_with_the_sampling_asked_for(tmp_path: Path) -> None:
    """With top_k 1 and with a top_p of almost nothing, every temperature is greedy."""
    for sampling in (replace(SAMPLING, top_k=1), replace(SAMPLING, top_p=1e-6)):
        backend = opened(tmp_path, "bloom", sampling)
        found = {(item.question, text) for item, text, _, _ in texts(backend.answers([tuple(ITEMS)]))}
        assert len(found) == len(QUESTIONS)


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
    backend = opened(tmp_path, sampling=SamplingConfig(40))
    tokenizer = backend.opened.tokenizer
    end = tokenizer.eos_token_id
    space = tokenizer.encode(" ")[0]
    word = tokenizer.encode("lower")[0]
    assert end in backend.opened.stop_ids
    replies = [
        backend.reply(Finished([word, word], end, 0.5)),
        backend.reply(Finished([word, word], None, 0.5)),
        backend.reply(Finished([], end, 0.0)),
        backend.reply(Finished([space, space], None, 0.0)),
    ]
    assert [reply.finish_reason for reply in replies] == ["eos", "length", "empty", "empty"]
    assert [reply.tokens for reply in replies] == [2, 2, 0, 2]
    assert replies[0].latency_ms == 500
    assert replies[0].metadata == {"slots": 4}


def test_stop_tokens_are_those_of_the_model_folder(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "qwen2")
    (folder / "generation_config.json").write_text('{"eos_token_id": [7, 9], "top_k": 1, "repetition_penalty": 1.9}')
    backend = opened(tmp_path)
    assert backend.opened.stop_ids == {7, 9, backend.opened.tokenizer.eos_token_id}
    assert backend.note is None
    never = LocalBackend(replace(backend.opened, stop_ids={400}), SAMPLING, slots=4)
    assert "no token that the chat template puts after an answer ends one" in (never.note or "")
    assert texts(backend.answers([tuple(ITEMS)])) != texts(never.answers([tuple(ITEMS)]))


def test_out_of_memory_halves_the_slots_and_begins_the_group_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, tried = engine.decode, []

    def crowded(*arguments: Any, slots: int, **named: Any) -> Any:
        tried.append(slots)
        if slots > 2:
            raise MemoryError
        return decode(*arguments, slots=slots, **named)

    backend = opened(tmp_path, slots=8)
    expected = texts(opened(tmp_path, slots=2).answers([tuple(ITEMS)] * 2))
    monkeypatch.setattr(engine, "decode", crowded)
    pairs = list(backend.answers([tuple(ITEMS)] * 2))
    assert tried == [8, 4, 2, 2]
    assert backend.slots == 2
    assert {reply.metadata["slots"] for _, replies in pairs for reply in replies} == {2}
    assert texts(iter(pairs)) == expected


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
    identity = backend.identity
    assert (identity.model, identity.device, identity.dtype) == (str(tmp_path / "qwen2"), "cpu", "float32")
    assert identity.template_digest == template_digest(load_tokenizer(tmp_path / "qwen2"))
    assert {"torch", "transformers"} <= identity.versions.keys()
    assert backend.slots == engine.SLOTS_PER_THREAD * torch.get_num_threads()


def test_the_system_prompt_reaches_the_model(tmp_path: Path) -> None:
    backend = opened(tmp_path, system_prompt="You answer in one word.")
    [prompt] = backend.encode({"Why?": "q"}).values()
    assert "one word" in backend.opened.tokenizer.decode(prompt)


def test_bfloat16_keeps_positions_in_float32(tmp_path: Path) -> None:
    backend = opened(tmp_path, dtype="bfloat16")
    assert backend.opened.model.dtype == torch.bfloat16
    assert backend.opened.model.model.rotary_emb.inv_freq.dtype == torch.float32
    assert backend.identity.dtype == "bfloat16"
    found = texts(backend.answers([tuple(ITEMS)]))
    assert found == texts(opened(tmp_path, dtype="bfloat16").answers([tuple(ITEMS)]))


@given(st.integers(0, 700), st.integers(1, 70))
def test_groups_hold_the_plan_in_order_and_are_as_equal_as_can_be(count: int, slots: int) -> None:
    items = [Item(str(index), "c", "q", 0.7, 1, index) for index in range(count)]
    groups = grouped(items, slots)
    assert [item for group in groups for item in group] == items
    sizes = [len(group) for group in groups]
    assert not sizes or max(sizes) <= GROUP_SLOTS * slots
    assert not sizes or max(sizes) - min(sizes) <= 1
    assert len(groups) == -(-count // (GROUP_SLOTS * slots))
