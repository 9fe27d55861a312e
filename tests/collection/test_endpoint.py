"""Answers from a server over real sockets: what is sent, what is believed, and what happens when it misbehaves."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import logging
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest
from endpoint_stub import (
    Ask,
    Behaviour,
    Stub,
    after,
    answer,
    drip,
    endless,
    gzip_bomb,
    listing,
    raw,
    reset,
    status,
    stub,
)

from epistemic_stance.collection.backend import Group, Reply
from epistemic_stance.collection.design import Item, plan_items
from epistemic_stance.collection.endpoint import EndpointBackend, find, open_endpoint
from epistemic_stance.collection.endpoint_client import checked_address
from epistemic_stance.foundation.errors import EndpointError, InputError, RefusedError, StanceError
from epistemic_stance.foundation.settings import CollectSettings
from epistemic_stance.models.sampling_config import SamplingConfig

SAMPLING = SamplingConfig(max_new_tokens=16, top_p=1.0, top_k=0, repetition_penalty=1.0)
VARIABLE = "STANCE_TEST_KEY"
CANARY = "sk-canary/7f3a+9c1e==&b52d"
NOTHING_LISTENS = "http://127.0.0.1:9/v1"


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def backend(
    url: str,
    sampling: SamplingConfig = SAMPLING,
    system_prompt: str | None = None,
    on_trouble: Callable[[str], None] = lambda what: None,
    retries: int = 1,
    **changes: Any,
) -> EndpointBackend:
    given = {"concurrency": 4, "request_timeout": 5.0, "api_key_variable": VARIABLE, **changes}
    settings = CollectSettings(model="tiny", endpoint=url, **given)
    return open_endpoint(settings, sampling, system_prompt, on_trouble, retries)


def items(questions: int, iterations: int = 1) -> list[Item]:
    asked = [(f"q{number:03d}", "facts", f"Question {number}?") for number in range(questions)]
    return plan_items(asked, [0.7], iterations, seed=42)


def singles(questions: int, iterations: int = 1) -> list[Group]:
    return [(item,) for item in items(questions, iterations)]


def collected(server: EndpointBackend, groups: list[Group]) -> tuple[list[tuple[Item, Reply]], StanceError | None]:
    """Everything that was answered, and the error that ended it."""
    answered: list[tuple[Item, Reply]] = []
    try:
        for group, replies in server.answers(groups):
            answered += zip(group, replies, strict=True)
    except StanceError as error:
        return answered, error
    return answered, None


def only_reply(behaviour: Behaviour, **changes: Any) -> Reply:
    with stub(lambda ask: behaviour) as server:
        answered, error = collected(backend(server.url, **changes), singles(1))
    assert error is None
    return answered[0][1]


def once(behaviour: Behaviour) -> Callable[[Ask], Behaviour]:
    """Misbehave at the first attempt of each request, then answer."""
    return lambda ask: behaviour if ask.attempt == 1 else answer()


# --- what is sent ------------------------------------------------------------------------------------------


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


# --- what comes back ---------------------------------------------------------------------------------------


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


def test_text_is_stripped_and_otherwise_left_alone() -> None:
    reply = only_reply(answer("\n <think>No.</think>\n\nYes \u202e <b>\x1b[31m \n"))
    assert reply.text == "<think>No.</think>\n\nYes \u202e <b>\x1b[31m"
    assert reply.latency_ms > 0
    assert reply.metadata == {
        "server_model": "tiny-as-served",
        "system_fingerprint": "fp_1",
        "server_finish_reason": "stop",
        "attempts": 1,
    }


@pytest.mark.parametrize("usage", [None, {}, {"completion_tokens": True}, {"completion_tokens": -1}, [3]])
def test_tokens_nobody_counted_are_unknown(usage: Any) -> None:
    assert only_reply(answer(usage=usage)).tokens is None


def test_an_answer_that_is_all_reasoning_says_so() -> None:
    message = {"role": "assistant", "content": None, "reasoning_content": "Hm, well"}
    reply = only_reply(answer(choices=[{"message": message, "finish_reason": "length"}]))
    assert (reply.finish_reason, reply.metadata["reasoning_length"]) == ("empty", 8)


def test_neighbours_are_different_questions() -> None:
    with stub() as server:
        groups = backend(server.url).grouped(items(3, iterations=2))
    assert [(item.question_id, item.iteration) for (item,) in groups] == [
        *[(f"q{number:03d}", 1) for number in range(3)],
        *[(f"q{number:03d}", 2) for number in range(3)],
    ]


# --- faults that pass --------------------------------------------------------------------------------------

PASSING: dict[str, Behaviour] = {
    **{str(code): status(code) for code in (408, 409, 429, 500, 503, 529)},
    "reset": reset,
    "half a body": raw(b'{"choices": [', length=500),
    "not JSON": raw(b"<html>busy</html>"),
    "not UTF-8": raw(b'{"a": "\xff"}'),
    "not an object": raw(b"[]"),
    "100,000 brackets": raw(b"[" * 100_000),
    "no choices": answer(choices=[]),
    "null choices": answer(choices=None),
    "no message": answer(choices=[{"finish_reason": "stop"}]),
    "a list as content": answer(["Yes"]),
    "aborted": answer("Ye", "abort"),
    "compressed": gzip_bomb(),
    "compressed 503": status(503, "x", Content_Encoding="gzip"),
    "silent": after(30, answer()),
    "dripping": drip,
}


def test_a_fault_that_passes_costs_one_more_request() -> None:
    """Every kind of fault for one question each, all at once."""
    behaviours = list(PASSING.values())

    def behave(ask: Ask) -> Behaviour:
        number = int(ask.question[9:-1])
        return behaviours[number - 1] if number and ask.attempt == 1 else answer()

    with stub(behave) as server:
        started = time.monotonic()
        answered, error = collected(
            backend(server.url, request_timeout=0.6, concurrency=len(behaviours)), singles(len(behaviours) + 1)
        )
        assert time.monotonic() - started < 5
    assert error is None
    attempts = {item.question_id: reply.metadata["attempts"] for item, reply in answered}
    assert attempts == {"q000": 1, **{f"q{number:03d}": 2 for number in range(1, len(behaviours) + 1)}}


def test_retry_after_is_kept() -> None:
    with stub(once(status(429, Retry_After="0.8"))) as server:
        collected(backend(server.url), singles(1))
    assert 0.8 <= server.asks[1].at - server.asks[0].at < 3


def test_trouble_is_told_once_in_a_while() -> None:
    troubles: list[str] = []
    with stub(lambda ask: status(429) if ask.attempt == 1 else answer()) as server:
        collected(backend(server.url, on_trouble=troubles.append), singles(5))
    assert troubles == ["HTTP 429: stub says 429"]


def test_three_requests_in_ten_fail_and_every_question_is_answered_once() -> None:
    faults = [status(429, Retry_After="0.02"), status(503), reset, PASSING["half a body"], PASSING["not JSON"]]
    faults += [answer(choices=[]), after(5, answer())]

    def behave(ask: Ask) -> Behaviour:
        digest = hashlib.sha256(f"{ask.body['seed']}|{ask.attempt}".encode()).digest()
        return faults[digest[1] % len(faults)] if digest[0] < 0.3 * 256 else answer()

    groups = singles(50, iterations=2)
    with stub(behave) as server:
        answered, error = collected(backend(server.url, retries=9, concurrency=25, request_timeout=1.0), groups)
    assert error is None
    assert Counter(item for item, _ in answered) == Counter(item for group in groups for item in group)
    assert all(reply.text == f"On {item.question}: seed {item.seed}" for item, reply in answered)
    assert 1.3 * len(groups) < len(server.asks) <= 1.6 * len(groups)


def test_no_more_requests_in_flight_than_allowed_and_no_fewer_than_possible() -> None:
    with stub(lambda ask: after(0.05, answer())) as server:
        answered, _ = collected(backend(server.url, concurrency=5), singles(40))
    assert len(answered) == 40
    assert server.most_in_flight == 5


def test_the_first_answer_is_waited_for_before_others_are_asked() -> None:
    with stub(lambda ask: after(0.3 if len(server.asks) == 1 else 0, answer())) as server:
        collected(backend(server.url), singles(6))
    assert server.asks[1].at - server.asks[0].at >= 0.3


# --- faults that stay --------------------------------------------------------------------------------------


def test_a_server_that_goes_down_ends_the_run_and_what_was_answered_is_kept() -> None:
    with stub(lambda ask: answer() if len(server.asks) <= 20 else status(500)) as server:
        answered, error = collected(backend(server.url), singles(60))
    assert isinstance(error, EndpointError)
    assert error.exit_code == 75
    assert 17 <= len(answered) <= 20
    assert len(server.asks) <= 20 + (2 + 4) * 2


@pytest.mark.parametrize(
    "models", [status(500), status(404), raw(b"<html>"), reset], ids=["500", "404", "page", "reset"]
)
def test_a_greeting_that_fails_is_no_verdict_unless_nothing_answers(models: Behaviour) -> None:
    with stub(models=models) as server:
        if models is reset:
            with pytest.raises(EndpointError, match="cannot be used now"):
                backend(server.url)
        else:
            assert "server" not in backend(server.url).identity.versions
        assert len(server.gets) <= 3


def test_nothing_listens() -> None:
    with pytest.raises(EndpointError, match=r"127\.0\.0\.1:9/v1 cannot be used now: .*(?s:.)*is the server running"):
        backend(NOTHING_LISTENS)


def test_a_question_that_breaks_the_server_does_not_end_the_run() -> None:
    """All its iterations fail, one after the other: that is one question, not a dead server."""
    with stub(lambda ask: status(500) if ask.question == "Question 3?" else answer()) as server:
        answered, error = collected(backend(server.url), singles(6, iterations=2))
    assert len(answered) == 10
    assert isinstance(error, EndpointError)
    assert "left 2 requests without an answer, one of them question q003: HTTP 500" in str(error)


def test_failures_with_answers_between_them_do_not_end_the_run() -> None:
    broken = {f"Question {number}?" for number in (3, 6, 9, 12, 15)}
    with stub(lambda ask: status(500) if ask.question in broken else answer()) as server:
        answered, error = collected(backend(server.url, concurrency=1, retries=0), singles(20))
    assert (len(answered), type(error)) == (15, EndpointError)


def test_a_question_that_is_refused_is_reported_and_the_others_are_answered() -> None:
    too_long = status(400, {"error": {"message": "maximum context length is 64 tokens", "code": 400}})
    with stub(lambda ask: too_long if ask.question in ("Question 0?", "Question 3?") else answer()) as server:
        answered, error = collected(backend(server.url), singles(12, iterations=2))
    assert len(answered) == 20
    assert len(server.asks) == 24
    assert isinstance(error, InputError)
    assert [problem.field for problem in error.problems] == ["question q000", "question q003"]
    assert "maximum context length is 64 tokens" in str(error)


def test_a_server_that_refuses_the_first_questions_is_asked_no_more() -> None:
    with stub(lambda ask: status(400, {"error": "temperature must not exceed 0.5"})) as server:
        server_backend = backend(server.url)
        _, error = collected(server_backend, server_backend.grouped(items(12, iterations=5)))
    assert isinstance(error, InputError)
    assert len(server.asks) == 3
    assert len({ask.question for ask in server.asks}) == 3


@pytest.mark.parametrize("code", [401, 403])
@pytest.mark.parametrize("where", ["greeting", "first answer", "later"])
def test_no_access_stops_at_once(code: int, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    models = status(code) if where == "greeting" else listing("tiny")
    with stub(
        lambda ask: answer() if where == "later" and ask.question == "Question 0?" else status(code), "/v1", models
    ) as server:
        with pytest.raises(RefusedError, match=f"{VARIABLE}, which is not set"):
            list(backend(server.url).answers(singles(20)))
        monkeypatch.setenv(VARIABLE, CANARY)
        with pytest.raises(RefusedError, match=f"{VARIABLE}, which is set, but"):
            list(backend(server.url).answers(singles(20)))
    assert len(server.asks) <= 2 * {"greeting": 0, "first answer": 1, "later": 5}[where]


def test_an_unknown_model_is_named_with_those_there_are() -> None:
    missing = status(404, {"error": {"message": "The model `tiny` does not exist."}})
    with stub(lambda ask: missing, models=listing("small", "large")) as server:
        _, error = collected(backend(server.url), singles(5))
    assert isinstance(error, InputError)
    assert "HTTP 404: The model `tiny` does not exist. (hint: check the address, which mostly ends in /v1" in str(error)
    assert "models there: small, large" in str(error)
    assert len(server.asks) == 1


def test_an_address_without_its_v1_is_told_so() -> None:
    with stub() as server:
        _, error = collected(backend(f"http://127.0.0.1:{server.port}"), singles(5))
    assert isinstance(error, InputError)
    assert "mostly ends in /v1" in str(error)
    assert len(server.asks) == 1


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, CANARY)
    with stub() as other:
        target = f"http://localhost:{other.port}/v1/chat/completions?key={quote(CANARY, safe='')}"
        with stub(lambda ask: status(code, Location=target)) as server:
            _, error = collected(backend(server.url), singles(5))
    assert isinstance(error, RefusedError)
    assert "redirects to localhost; redirects are not followed" in str(error)
    assert (len(server.asks), other.asks, other.gets) == (1, [], [])


def test_a_body_made_to_fill_the_memory_is_not_read_to_its_end() -> None:
    with stub(lambda ask: endless if len(server.asks) % 2 else gzip_bomb()) as server:
        server_backend, before = backend(server.url, retries=0), psutil.Process().memory_info().rss
        _, error = collected(server_backend, singles(2))
        grown = psutil.Process().memory_info().rss - before
    assert isinstance(error, EndpointError)
    assert grown < 64 * 2**20
    with stub(lambda ask: endless) as server:
        _, error = collected(backend(server.url), singles(1))
    assert "HTTP 413: the answer has more than 8 MiB" in str(error)
    assert len(server.asks) == 1


def test_a_certificate_nobody_vouches_for_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [str(tmp_path / name) for name in ("key.pem", "certificate.pem")]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    make += ["-addext", "subjectAltName=DNS:localhost", "-keyout", files[0], "-out", files[1]]
    try:
        subprocess.run(make, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs the openssl command")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files[1], files[0])
    with stub() as server:
        server.server.socket = context.wrap_socket(server.server.socket, server_side=True)
        url = f"https://localhost:{server.port}/v1"
        with pytest.raises(RefusedError, match="certificate is not trusted"):
            backend(url)
        monkeypatch.setenv("SSL_CERT_FILE", files[1])
        answered, error = collected(backend(url), singles(2))
    assert (len(answered), error) == (2, None)


# --- fields that a server does not know --------------------------------------------------------------------

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


# --- stopping ----------------------------------------------------------------------------------------------


def connections_to(port: int) -> list[Any]:
    open_ones = psutil.Process().net_connections("tcp")
    return [each for each in open_ones if each.raddr and each.raddr.port == port]


@contextlib.contextmanager
def nothing_left_behind(server: Stub) -> Iterator[None]:
    threads = {thread for thread in threading.enumerate() if "process_request_thread" not in thread.name}
    yield
    gc.collect()
    assert connections_to(server.port) == []
    assert {thread for thread in threading.enumerate() if "process_request_thread" not in thread.name} <= threads


def test_closed_early_it_leaves_no_request_connection_or_thread() -> None:
    with stub(lambda ask: answer() if len(server.asks) <= 3 else after(30, answer())) as server:
        server_backend = backend(server.url)
        with nothing_left_behind(server):
            answers = server_backend.answers(singles(30))
            taken = [next(answers) for _ in range(2)]
            started = time.monotonic()
            answers.close()
            assert time.monotonic() - started < 1
    assert len(taken) == 2
    assert len(server.asks) <= 6


def test_an_error_leaves_no_request_connection_or_thread() -> None:
    def behave(ask: Ask) -> Behaviour:
        return {0: answer(), 1: status(401)}.get(int(ask.question[9:-1]), after(30, answer()))

    with stub(behave) as server:
        server_backend = backend(server.url)
        with nothing_left_behind(server), pytest.raises(RefusedError):
            list(server_backend.answers(singles(30)))


def test_ctrl_c_while_waiting_ends_it_at_once() -> None:
    with stub(lambda ask: after(30, answer())) as server:
        server_backend = backend(server.url, request_timeout=60.0)
        alarm = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
        alarm.start()
        with pytest.raises(KeyboardInterrupt):
            list(server_backend.answers(singles(8)))
        alarm.join()
        with nothing_left_behind(server):
            pass


# --- secrets -----------------------------------------------------------------------------------------------

LEAKY: dict[str, Behaviour] = {
    "answer": answer(CANARY, CANARY, model=CANARY, system_fingerprint=CANARY),
    **{str(code): status(code, {"error": {"message": CANARY}}) for code in (400, 401, 403, 404, 429, 500)},
    "unknown field": status(400, {"error": f"unknown field seed {CANARY}"}),
    "not JSON": raw(CANARY.encode()),
    "header": status(500, {}, X_Echo=CANARY),
    "half": raw(CANARY.encode(), length=10**4),
}


@pytest.mark.parametrize("name", LEAKY)
@pytest.mark.parametrize("where", ["greeting", "answer"])
def test_the_key_is_nowhere_to_be_read(
    name: str,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Whatever happens, with every logger at DEBUG and a server that repeats the key in all it says."""
    monkeypatch.setenv(VARIABLE, CANARY)
    behaviour = LEAKY[name]
    shown: list[str] = []
    with (
        caplog.at_level(logging.DEBUG),
        stub(lambda ask: behaviour, models=behaviour if where == "greeting" else None) as server,
    ):
        for logger in list(logging.Logger.manager.loggerDict):
            if logger.startswith(("openai", "httpx")):
                caplog.set_level(logging.DEBUG, logger)
        try:
            server_backend = backend(server.url, retries=0, on_trouble=shown.append)
            shown += [repr(server_backend), server_backend.note]
            answered, error = collected(server_backend, singles(4))
            shown += [repr(answered), json.dumps([reply.metadata for _, reply in answered]), server_backend.note]
        except StanceError as raised:
            error = raised
        if error is not None:
            shown += [str(error), repr(error), *traceback.format_exception(error)]
    sent = server.asks[0].headers["Authorization"] if server.asks else f"Bearer {CANARY}"
    assert sent == f"Bearer {CANARY}"
    everything = "\n".join([*shown, caplog.text, *map(repr, caplog.records), *capfd.readouterr()])
    assert shown
    assert CANARY not in everything


def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"{CANARY}\n{CANARY}")
    with pytest.raises(InputError, match=VARIABLE) as caught:
        backend(NOTHING_LISTENS)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_a_word_given_as_a_key_is_not_blanked_out_of_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "EMPTY")
    assert only_reply(answer("The box is EMPTY.")).text == "The box is EMPTY."


def test_the_environment_adds_nothing_and_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither proxies nor the variables that the openai package reads."""
    monkeypatch.setenv(VARIABLE, CANARY)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-server")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Secret: 1\nAuthorization: Bearer other")
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    with stub() as proxy, stub() as server:
        for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "OPENAI_BASE_URL"):
            monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
        answered, _ = collected(backend(server.url), singles(2))
        monkeypatch.delenv(VARIABLE)
        collected(backend(server.url), singles(1))
    assert (len(answered), proxy.asks, proxy.gets) == (2, [], [])
    names = {name.lower() for name in server.asks[0].headers}
    assert names <= {"host", "connection", "accept", "accept-encoding", "content-type", "content-length"} | {
        "user-agent",
        "authorization",
    }
    assert [ask.headers.get("Authorization") for ask in server.asks] == [f"Bearer {CANARY}"] * 2 + [None]


# --- addresses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        (" https://example.org/openai/v1/ ", "https://example.org/openai/v1"),
        ("http://localhost:11434/v1", "http://localhost:11434/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("http://127.8.9.10/v1", "http://127.8.9.10/v1"),
    ],
)
def test_addresses_a_key_may_go_to(given: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, CANARY)
    assert checked_address(given, VARIABLE) == address


@pytest.mark.parametrize("host", ["192.168.0.7:8000", "example.org", "0.0.0.0:8000", "127.0.0.1.example.org", "127.1"])
def test_a_key_does_not_travel_unencrypted(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://{host}/v1"
    assert checked_address(url, VARIABLE) == url
    monkeypatch.setenv(VARIABLE, CANARY)
    with pytest.raises(RefusedError, match="unencrypted"):
        checked_address(url, VARIABLE)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8000/v1",
        "localhost:8000",
        "ftp://127.0.0.1/v1",
        "http:///v1",
        "http://[::1/v1",
        "http://127.0.0.1:99999/v1",
        "https://me:hunter2@example.org/v1",
        "https://hunter2@example.org/v1",
        "https://example.org/v1?key=hunter2",
        "https://example.org/v1#hunter2",
        "http://127.0.0.1:8000/v1/chat/completions",
        "http://127.0.0.1:8000/v1/completions/",
    ],
)
def test_what_is_no_address_is_refused_and_its_secrets_are_not_repeated(url: str) -> None:
    with pytest.raises(InputError) as caught:
        checked_address(url, VARIABLE)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_settings_of_a_model_on_this_machine_are_refused() -> None:
    settings = CollectSettings(endpoint=NOTHING_LISTENS, slots=4, dtype="bfloat16")
    with pytest.raises(InputError, match=r"--dtype, --slots: means nothing with --endpoint"):
        find(settings)


def test_neither_torch_nor_transformers_is_needed() -> None:
    code = "import sys, epistemic_stance.collection.endpoint; print(*{'torch', 'transformers'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
