"""Answers from a server over real sockets that misbehaves: what is tried again, what ends the run, what is left."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import signal
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest
from endpoint_run import (
    CANARY,
    NOTHING_LISTENS,
    VARIABLE,
    backend,
    collected,
    items,
    once,
    singles,
)
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

from epistemic_stance.foundation.errors import EndpointError, InputError, RefusedError


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


# --- faults that pass ---------------------------------------------------------------------------------------

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


# --- faults that stay ---------------------------------------------------------------------------------------


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


# --- stopping -----------------------------------------------------------------------------------------------


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
