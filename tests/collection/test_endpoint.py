"""Answers from a server over real sockets: what is sent and what is believed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from endpoint_run import (
    CANARY,
    VARIABLE,
    backend,
    collected,
    items,
    only_reply,
    singles,
)
from endpoint_stub import (
    Ask,
    Behaviour,
    answer,
    listing,
    raw,
    status,
    stub,
)

from epistemic_stance.foundation.errors import InputError
from epistemic_stance.models.sampling_config import SamplingConfig


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


# --- what is sent -------------------------------------------------------------------------------------------


def test_every_sampling_field_is_sent_so_that_no_server_default_decides() -> None:
    with stub() as server:
        answered, error = collected(backend(server.url), singles(1))
    assert error is None
    item = answered[0][0]
    assert server.asks[0].body == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "Question 0?"}],
        "temperature": 0.7,
        "top_p": 1.0,
        "max_tokens": 16,
        "seed": item.seed,
        "n": 1,
        "stream": False,
        "top_k": -1,
        "min_p": 0,
        "repetition_penalty": 1.0,
        "repeat_penalty": 1.0,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "chat_template_kwargs": {"enable_thinking": False, "date_string": "01 Jan 2026"},
    }
    assert server.asks[0].headers["Accept-Encoding"] == "identity"
    assert "Authorization" not in server.asks[0].headers


def test_a_limit_a_penalty_a_system_prompt_and_a_key_are_sent_as_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f" {CANARY}\n")
    with stub() as server:
        tuned = SamplingConfig(max_new_tokens=8, top_p=0.8, top_k=20, repetition_penalty=1.1)
        collected(backend(server.url, sampling=tuned, system_prompt="Be na\u00efve."), singles(1))
    body, headers = server.asks[0].body, server.asks[0].headers
    assert (body["top_p"], body["top_k"], body["repetition_penalty"], body["repeat_penalty"]) == (0.8, 20, 1.1, 1.1)
    assert body["messages"][0] == {"role": "system", "content": "Be na\u00efve."}
    assert headers["Authorization"] == f"Bearer {CANARY}"


def test_the_identity_says_what_is_known_of_a_server() -> None:
    with stub() as server:
        server_backend = backend(server.url + "/")
    identity = server_backend.identity
    assert (identity.model, server_backend.address) == ("tiny", server.url)
    assert identity.versions["server"] == "vLLM"
    assert (identity.template_digest, identity.device, identity.dtype, identity.products) == (None,) * 4
    assert server_backend.note == ""


@pytest.mark.parametrize("models", [status(404), listing(), raw(b'{"data": [1, {"id": 2}]}')])
def test_a_server_that_does_not_list_its_models_is_used_all_the_same(models: Behaviour) -> None:
    with stub(models=models) as server:
        answered, error = collected(backend(server.url), singles(2))
    assert (len(answered), error) == (2, None)


# --- what comes back ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said", "tokens", "finish"),
    [
        ("Yes.", "stop", 5, "eos"),
        ("Yes.", "stop", 16, "eos"),
        ("Yes", "length", 16, "length"),
        ("Yes", "content_filter", 5, "length"),
        ("Yes", None, 16, "length"),
        ("Yes", None, 15, "eos"),
        ("Yes", "something new", 16, "length"),
        ("Yes", "tool_calls", 16, "eos"),
        ("", "stop", 0, "empty"),
        (" \n", "length", 16, "empty"),
        (None, "tool_calls", 3, "empty"),
    ],
)
def test_finish_reasons(content: str | None, said: str | None, tokens: int, finish: str) -> None:
    reply = only_reply(answer(content, said, usage={"completion_tokens": tokens}))
    assert (reply.finish_reason, reply.tokens) == (finish, tokens)
    assert reply.metadata["server_finish_reason"] == said


def test_text_is_stripped_of_its_thought_and_otherwise_left_alone() -> None:
    reply = only_reply(answer("\n <think>No.</think>\n\nYes \u202e <b>\x1b[31m \n"))
    assert reply.text == "Yes \u202e <b>\x1b[31m"
    assert reply.latency_ms > 0
    assert reply.metadata == {
        "server_model": "tiny-as-served",
        "system_fingerprint": "fp_1",
        "server_finish_reason": "stop",
        "attempts": 1,
        "thought": "No.",
    }


@pytest.mark.parametrize("usage", [None, {}, {"completion_tokens": True}, {"completion_tokens": -1}, [3]])
def test_tokens_nobody_counted_are_unknown(usage: Any) -> None:
    assert only_reply(answer(usage=usage)).tokens is None


def test_an_answer_that_is_all_reasoning_says_so() -> None:
    message = {"role": "assistant", "content": None, "reasoning_content": "Hm, well"}
    reply = only_reply(answer(choices=[{"message": message, "finish_reason": "length"}]))
    assert (reply.finish_reason, reply.metadata["thought"]) == ("empty", "Hm, well")


def test_neighbours_are_different_questions() -> None:
    with stub() as server:
        groups = backend(server.url).grouped(items(3, iterations=2))
    assert [(item.question_id, item.iteration) for (item,) in groups] == [
        *[(f"q{number:03d}", 1) for number in range(3)],
        *[(f"q{number:03d}", 2) for number in range(3)],
    ]


# --- fields that a server does not know ---------------------------------------------------------------------

EXTENSIONS = {"top_k", "min_p", "repetition_penalty", "repeat_penalty"}


def strict(*unknown: str, one_at_a_time: bool = False) -> Callable[[Ask], Behaviour]:
    """A server that refuses fields it does not know."""

    def behave(ask: Ask) -> Behaviour:
        found = sorted(ask.body.keys() & set(unknown))[: 1 if one_at_a_time else None]
        return status(422, {"detail": f"Unexpected fields in the request: {found}"}) if found else answer()

    return behave


@pytest.mark.parametrize("one_at_a_time", [False, True])
def test_fields_that_change_nothing_are_left_out_where_they_are_refused(one_at_a_time: bool) -> None:
    with stub(strict(*EXTENSIONS, one_at_a_time=one_at_a_time)) as server:
        server_backend = backend(server.url)
        answered, error = collected(server_backend, singles(10))
    assert error is None
    assert len(server.asks) == 10 + (4 if one_at_a_time else 1)
    assert all(not ask.body.keys() & EXTENSIONS for ask in server.asks[-10:])
    assert all(reply.metadata["omitted_fields"] == sorted(EXTENSIONS) for _, reply in answered)
    assert server_backend.note == (
        "the server does not take min_p, repeat_penalty, repetition_penalty, top_k: its own defaults decide them"
    )


@pytest.mark.parametrize(
    ("sampling", "name", "hint"),
    [
        (SamplingConfig(16, 1.0, 20, 1.0), "top_k", "--top-k 0"),
        (SamplingConfig(16, 1.0, 0, 1.1), "repeat_penalty", "--repetition-penalty 1"),
    ],
)
def test_a_field_that_changes_something_is_never_left_out(sampling: SamplingConfig, name: str, hint: str) -> None:
    with stub(strict(*EXTENSIONS)) as server:
        answered, error = collected(backend(server.url, sampling=sampling), singles(10))
    assert isinstance(error, InputError)
    assert (error.problems[0].field, answered, len(server.asks)) == (name, [], 2)
    assert hint in str(error)


@pytest.mark.parametrize("known", ["repetition_penalty", "repeat_penalty"])
def test_one_of_two_names_for_the_penalty_is_enough(known: str) -> None:
    with stub(strict(*({"repetition_penalty", "repeat_penalty"} - {known}))) as server:
        server_backend = backend(server.url, sampling=SamplingConfig(16, 1.0, 0, 1.1))
        answered, error = collected(server_backend, singles(3))
    assert (len(answered), error, server_backend.note) == (3, None, "")
    assert all(ask.body[known] == 1.1 for ask in server.asks)


def test_template_arguments_are_left_out_where_a_model_has_no_template() -> None:
    refusal = status(400, {"error": {"message": "chat_template is not supported for Mistral tokenizers."}})
    with stub(lambda ask: refusal if "chat_template_kwargs" in ask.body else answer()) as server:
        server_backend = backend(server.url)
        answered, error = collected(server_backend, singles(3))
    assert (len(answered), error, len(server.asks)) == (3, None, 4)
    assert server_backend.note == "the server does not take chat_template_kwargs: its own defaults decide them"


@pytest.mark.parametrize("name", ["temperature", "top_p", "seed", "max_tokens"])
def test_the_fields_a_run_is_made_of_are_never_left_out(name: str) -> None:
    with stub(strict(name)) as server:
        _, error = collected(backend(server.url), singles(10))
    assert isinstance(error, InputError)
    assert (error.problems[0].field, len(server.asks)) == (name, 1)


def test_after_the_first_answer_all_requests_have_the_same_fields() -> None:
    with stub(lambda ask: answer() if len(server.asks) < 3 else strict("top_k")(ask)) as server:
        _, error = collected(backend(server.url, concurrency=1), singles(6))
    assert isinstance(error, InputError)
    assert all("top_k" in ask.body for ask in server.asks)


def test_a_prompt_that_is_refused_leaves_the_fields_alone() -> None:
    echo = status(400, {"error": {"message": "prompt too long", "request": {"top_k": -1, "min_p": 0}}})
    with stub(lambda ask: echo if ask.question == "Question 0?" else answer()) as server:
        answered, _ = collected(backend(server.url), singles(4))
    assert len(answered) == 3
    assert all("top_k" in ask.body for ask in server.asks)


def test_ollama_is_known_to_ignore_what_it_is_told() -> None:
    with stub(models=listing("tiny:latest", owned_by="library")) as server:
        server_backend = backend(server.url)
        assert server_backend.identity.versions["server"] == "Ollama"
        assert "Modelfile" in server_backend.note
        with pytest.raises(InputError, match="Modelfile"):
            backend(server.url, sampling=SamplingConfig(16, 1.0, 20, 1.0))
    assert server.asks == []
