"""From messages to tokens: the boundary between prompt and answer, and templates that do surprising things."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import SPECIAL_TOKENS, TEMPLATES, tiny_pairs, tiny_tokenizer
from tokenizers.processors import TemplateProcessing

from epistemic_stance.foundation.errors import InputError, StoppedError
from epistemic_stance.models import chat_template as chat
from epistemic_stance.models.chat_template import (
    MAX_TEMPLATE_CHARACTERS,
    common_prefix,
    encode_pair,
    encode_question,
    special_tokens,
    stop_token_ids,
    with_system,
)
from epistemic_stance.stance.pairs import Pair

CHAT_TEMPLATES = [name for name, template in TEMPLATES.items() if template]
QUESTION = "Why is the sky blue?"


def chat_pair(chosen: str = "Air scatters it.", rejected: str = "It is the sea.", system: str = "") -> Pair:
    prompt = [{"role": "user", "content": QUESTION}]
    return Pair("sky", "test", with_system(prompt, system or None), chosen, rejected, "pairs.json:3")


def text_pair(prompt: str, chosen: str, rejected: str) -> Pair:
    return Pair("text", "test", prompt, chosen, rejected, "pairs.jsonl:7")


# --- conversations -----------------------------------------------------------------------------------------


def test_completion_keeps_the_tail_of_the_template() -> None:
    tokenizer = tiny_tokenizer("qwen2.5")
    encoded = encode_pair(tokenizer, chat_pair())
    assert tokenizer.decode(encoded.prompt_ids) == (
        "<|im_start|>system\nYou answer briefly.<|im_end|>\n"
        "<|im_start|>user\nWhy is the sky blue?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert tokenizer.decode(encoded.chosen_ids) == "Air scatters it.<|im_end|>\n"
    assert tokenizer.decode(encoded.rejected_ids) == "It is the sea.<|im_end|>\n"
    assert tokenizer.eos_token_id in encoded.chosen_ids
    assert encoded.longest == len(encoded.prompt_ids) + max(len(encoded.chosen_ids), len(encoded.rejected_ids))
    assert encoded.packed_length == len(encoded.prompt_ids + encoded.chosen_ids + encoded.rejected_ids)


@pytest.mark.parametrize("template", CHAT_TEMPLATES)
def test_trained_prompt_is_the_prompt_used_later(template: str) -> None:
    """Token for token, for every template: what follows the prompt in training follows it in generation."""
    tokenizer = tiny_tokenizer(template)
    for pair in tiny_pairs(8):
        assert encode_pair(tokenizer, pair).prompt_ids == encode_question(tokenizer, pair.question)


def test_think_block_is_closed_in_training_and_in_generation() -> None:
    tokenizer = tiny_tokenizer("qwen3")
    expected = f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    encoded = encode_pair(tokenizer, chat_pair())
    assert tokenizer.decode(encoded.prompt_ids) == expected
    assert tokenizer.decode(encode_question(tokenizer, QUESTION)) == expected
    assert tokenizer.decode(encoded.chosen_ids) == "Air scatters it.<|im_end|>\n"


def test_date_is_fixed_in_training_and_in_generation() -> None:
    tokenizer = tiny_tokenizer("llama3.2")
    expected = "<|im_start|>system\nToday Date: 01 Jan 2026\n<|im_end|>\n"
    assert tokenizer.decode(encode_pair(tokenizer, chat_pair()).prompt_ids).startswith(expected)
    assert tokenizer.decode(encode_question(tokenizer, QUESTION)).startswith(expected)
    undated = tokenizer.apply_chat_template([{"role": "user", "content": QUESTION}], tokenize=False)
    assert "Today Date: " in undated
    assert "01 Jan 2026" not in undated, "the template must depend on the date for this test to mean anything"


@pytest.mark.parametrize("template", ["qwen2.5", "qwen3", "llama3.2"])
def test_system_prompt_reaches_training_and_generation(template: str) -> None:
    tokenizer = tiny_tokenizer(template)
    encoded = encode_pair(tokenizer, chat_pair(), system_prompt="Say what you know.")
    assert "Say what you know." in tokenizer.decode(encoded.prompt_ids)
    assert "You answer briefly." not in tokenizer.decode(encoded.prompt_ids)
    assert encoded.prompt_ids == encode_question(tokenizer, QUESTION, system_prompt="Say what you know.")


def test_system_prompt_of_the_pair_wins() -> None:
    tokenizer = tiny_tokenizer("qwen2.5")
    text = tokenizer.decode(encode_pair(tokenizer, chat_pair(system="Its own."), "Of the run.").prompt_ids)
    assert "Its own." in text
    assert "Of the run." not in text


def test_template_that_refuses_system_prompts() -> None:
    tokenizer = tiny_tokenizer("gemma")
    with pytest.raises(InputError) as caught:
        encode_pair(tokenizer, chat_pair(), system_prompt="Say what you know.")
    assert caught.value.exit_code == 2
    assert "System role not supported" in str(caught.value)
    assert caught.value.problems[0].hint == "leave the system prompt out"
    with pytest.raises(InputError, match="leave the system prompt out"):
        encode_question(tokenizer, QUESTION, system_prompt="Say what you know.")
    assert encode_question(tokenizer, QUESTION)


def test_tokenizer_without_a_template() -> None:
    tokenizer = tiny_tokenizer("none")
    for ask in (lambda: encode_pair(tokenizer, chat_pair()), lambda: encode_question(tokenizer, QUESTION)):
        with pytest.raises(InputError, match=r"has no chat template .*use an instruct or chat model"):
            ask()
    assert encode_pair(tokenizer, text_pair("Tides: ", "low", "high")).prompt_ids, "raw text needs no template"


def test_longer_conversation_ends_at_its_last_question() -> None:
    messages = [
        {"role": "user", "content": "Do cats dream?"},
        {"role": "assistant", "content": "I do not know."},
        {"role": "user", "content": QUESTION},
    ]
    pair = Pair("turns", "test", messages, "Air.", "Sea.")
    encoded = encode_pair(tiny_tokenizer("qwen3"), pair)
    assert pair.question == QUESTION
    text = tiny_tokenizer("qwen3").decode(encoded.prompt_ids)
    assert "I do not know.<|im_end|>" in text
    assert text.count("<think>") == 1, "only the answer to come opens a think block"


# --- raw text ----------------------------------------------------------------------------------------------


def test_text_answers_get_one_end_token() -> None:
    tokenizer = tiny_tokenizer("none")
    encoded = encode_pair(tokenizer, text_pair("Tides:\n", "low", "high" + tokenizer.eos_token))
    assert tokenizer.decode(encoded.prompt_ids) == "Tides:\n"
    assert tokenizer.decode(encoded.chosen_ids) == "low" + tokenizer.eos_token
    assert tokenizer.decode(encoded.rejected_ids) == "high" + tokenizer.eos_token
    assert encoded.chosen_ids.count(tokenizer.eos_token_id) == 1
    assert encoded.rejected_ids.count(tokenizer.eos_token_id) == 1


def test_text_without_an_end_token_in_the_vocabulary() -> None:
    tokenizer = tiny_tokenizer("none")
    tokenizer.eos_token = None
    assert tokenizer.decode(encode_pair(tokenizer, text_pair("Tides:\n", "low", "high")).chosen_ids) == "low"


def test_text_that_begins_with_the_first_token_has_it_once() -> None:
    tokenizer = tiny_tokenizer("none")
    tokenizer.bos_token = "<|endoftext|>"
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        "<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
    )
    assert tokenizer("Tides:\n")["input_ids"][0] == tokenizer.bos_token_id == 0
    plain = encode_pair(tokenizer, text_pair("Tides:\n", "low", "high"))
    assert encode_pair(tokenizer, text_pair("<|endoftext|>Tides:\n", "low", "high")) == plain


def test_tokens_that_merge_across_the_boundary() -> None:
    """`The tide is low` ends in the token ` low`, which becomes ` lower` and ` lowest` with the answers.

    The prompt is cut before it, and both answers begin with their own merged token.
    """
    tokenizer = tiny_tokenizer("none")
    encoded = encode_pair(tokenizer, text_pair("The tide is low", "er than before.", "est of all."))
    assert tokenizer.decode(encoded.prompt_ids) == "The tide is"
    assert tokenizer.decode(encoded.chosen_ids[:1]) == " lower"
    assert tokenizer.decode(encoded.rejected_ids[:1]) == " lowest"
    assert len(tokenizer("The tide is low")["input_ids"]) == len(encoded.prompt_ids) + 1


def test_one_merging_answer_moves_the_boundary_of_both() -> None:
    tokenizer = tiny_tokenizer("none")
    encoded = encode_pair(tokenizer, text_pair("The tide is low", ", as before.", "est of all."))
    assert tokenizer.decode(encoded.prompt_ids) == "The tide is"
    assert tokenizer.decode(encoded.chosen_ids) == " low, as before." + tokenizer.eos_token


@pytest.mark.parametrize(("prompt", "chosen", "rejected"), [(" low", "er tide", "est tide"), ("", "low", "high")])
def test_prompt_that_leaves_no_token_of_its_own(prompt: str, chosen: str, rejected: str) -> None:
    """With no token before it the first answer token cannot be predicted, so the pair cannot be trained on."""
    with pytest.raises(InputError) as caught:
        encode_pair(tiny_tokenizer("none"), text_pair(prompt, chosen, rejected))
    problem = caught.value.problems[0]
    assert (problem.where, problem.field) == ("pairs.jsonl:7", "prompt")


def test_template_that_drops_the_answer() -> None:
    tokenizer = tiny_tokenizer("none")
    tokenizer.chat_template = "{{ messages[0].content }}"
    with pytest.raises(InputError) as caught:
        encode_pair(tokenizer, chat_pair())
    assert caught.value.problems[0].field == "chosen"


# --- templates that fail -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "named"),
    [
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ messages[0].content + 1 }}", "TypeError"),
        ("{{ 'x' * 10 ** 13 }}", "MemoryError"),
        ("{% for", "unexpected"),
    ],
)
def test_template_that_fails_is_a_message(template: str, named: str) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    with pytest.raises(InputError, match=f"chat template .*{named}"):
        encode_question(tokenizer, QUESTION)


def test_template_that_is_too_long() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template += " " * (MAX_TEMPLATE_CHARACTERS - len(tokenizer.chat_template))
    encode_question(tokenizer, QUESTION)
    tokenizer.chat_template += " "
    with pytest.raises(InputError, match="has 64001 characters, expected at most 64000"):
        encode_question(tokenizer, QUESTION)


ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


def test_template_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "RENDER_SECONDS", 0.2)
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = ENDLESS
    before, started = signal.getsignal(signal.SIGALRM), time.monotonic()
    with pytest.raises(InputError, match=r"not done after 0\.2 seconds"):
        encode_question(tokenizer, QUESTION)
    assert time.monotonic() - started < 10
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_another_thread_renders_without_a_time_limit() -> None:
    ids: list[list[int]] = []
    thread = threading.Thread(target=lambda: ids.append(encode_question(tiny_tokenizer(), QUESTION)))
    thread.start()
    thread.join()
    assert ids == [encode_question(tiny_tokenizer(), QUESTION)]


def test_a_stop_while_rendering_is_no_fault_of_the_template() -> None:
    tokenizer = mock.Mock(chat_template="t", apply_chat_template=mock.Mock(side_effect=StoppedError("stopped")))
    with pytest.raises(StoppedError):
        encode_question(tokenizer, QUESTION)


# --- properties --------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=30)


@given(TEXT, TEXT, TEXT)
def test_prompt_and_answer_put_together_are_the_whole_text(prompt: str, chosen: str, rejected: str) -> None:
    tokenizer = tiny_tokenizer("none")
    try:
        encoded = encode_pair(tokenizer, text_pair(prompt, chosen, rejected))
    except InputError:
        assert common_prefix(tokenizer(prompt)["input_ids"], tokenizer(prompt + chosen)["input_ids"]) == 0 or (
            common_prefix(tokenizer(prompt)["input_ids"], tokenizer(prompt + rejected)["input_ids"]) == 0
        )
        return
    for answer, ids in ((chosen, encoded.chosen_ids), (rejected, encoded.rejected_ids)):
        whole = tokenizer(prompt + answer + tokenizer.eos_token)["input_ids"]
        assert encoded.prompt_ids + ids == whole
    assert encoded.prompt_ids == tokenizer(prompt)["input_ids"][: len(encoded.prompt_ids)]


@given(st.lists(st.integers(0, 2)), st.lists(st.integers(0, 2)))
def test_common_prefix(first: list[int], second: list[int]) -> None:
    length = common_prefix(first, second)
    assert first[:length] == second[:length]
    assert length == min(len(first), len(second)) or first[length] != second[length]


# --- the end of an answer ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("configured", "expected"), [(None, {2}), (7, {2, 7}), ([7, 8], {2, 7, 8}), ([2], {2})])
def test_stop_tokens_come_from_tokenizer_and_model(configured: Any, expected: set[int]) -> None:
    assert stop_token_ids(tiny_tokenizer(), mock.Mock(eos_token_id=configured)) == expected
    assert stop_token_ids(tiny_tokenizer()) == {2}


def test_special_tokens_are_all_that_the_tokenizer_treats_as_one() -> None:
    assert special_tokens(tiny_tokenizer()) == set(SPECIAL_TOKENS)
