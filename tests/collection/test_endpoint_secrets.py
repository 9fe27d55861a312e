"""Keys and addresses of servers: what is sent where, what is refused, and what is never shown."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import traceback

import pytest
from endpoint_run import (
    CANARY,
    NOTHING_LISTENS,
    VARIABLE,
    backend,
    collected,
    only_reply,
    singles,
)
from endpoint_stub import (
    Behaviour,
    answer,
    raw,
    status,
    stub,
)

from epistemic_stance.collection.endpoint import find
from epistemic_stance.collection.endpoint_client import checked_address
from epistemic_stance.foundation.errors import InputError, RefusedError, StanceError
from epistemic_stance.foundation.settings import CollectSettings


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


# --- secrets ------------------------------------------------------------------------------------------------

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


# --- addresses ----------------------------------------------------------------------------------------------


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
