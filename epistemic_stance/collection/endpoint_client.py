"""The HTTP client that the openai package sends through: where a key may go, and what of an answer is believed."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import os
import re
import ssl
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import openai
from typing_extensions import override

from epistemic_stance.foundation.errors import InputError, Problem, RefusedError
from epistemic_stance.foundation.wording import shorten

MAX_BODY_BYTES = 8 * 2**20
SHORTEST_SECRET = 12
"""Servers without keys are given words such as EMPTY or none; to blank those out of answers would change answers."""
SENT_HEADERS = {"host", "connection", "accept", "content-type", "content-length", "user-agent"}
"""Beside the key. The package would add what OPENAI_ORG_ID, OPENAI_CUSTOM_HEADERS and others hold."""
WIRE_LOGGERS = ("httpcore", "httpcore2")
"""At DEBUG they print what servers send, and a server that knows the key can send it."""
KEPT_HEADERS = ("content-type", "location", "retry-after", "retry-after-ms")
ABORTED = {"abort", "error"}
"""Finish reasons of an answer that a server gave up on."""

OnTrouble = Callable[[str], None]
"""Called with what went wrong with a request, in words for a person. Many fail at once, and few are worth a line."""
SECONDS_BETWEEN_TROUBLES = 10.0


def read_key(variable: str) -> str:
    """The secret in an environment variable, "" = none. Raises InputError for a key that no HTTP header can carry."""
    key = os.environ.get(variable, "").strip()
    if not all("!" <= char <= "~" for char in key):
        what = "the key in this environment variable holds a character that no HTTP header can carry"
        raise InputError([Problem(variable, what, hint="set it again: one line, plain ASCII, no spaces")])
    return key


def checked_address(url: str, key_variable: str) -> str:
    """The base address, such as http://127.0.0.1:8000/v1, without a slash at its end.

    Raises InputError if it is none, or holds a password or a query; RefusedError if a key would travel in clear.
    """
    address = url.strip().rstrip("/")
    try:
        parsed = urlsplit(address)
        host, port = parsed.hostname or "", parsed.port
    except ValueError:
        host, port, parsed = "", 0, urlsplit("")
    if "@" in address or "?" in address or "#" in address:
        what = "holds a user name, a password or a query, which would end in records and logs"
        hint = f"leave it out; a key is read from the environment variable {key_variable}"
        raise InputError([Problem("--endpoint", what, hint=hint)])
    is_base = re.fullmatch(r"[a-z0-9._:-]+", host) and port != 0 and not address.endswith("/completions")
    if parsed.scheme not in ("http", "https") or not is_base or not re.fullmatch(r"[!-~]+", address):
        hint = "give the part before /chat/completions, such as http://127.0.0.1:8000/v1"
        raise InputError(
            [Problem("--endpoint", f"{shorten(address)!r} is not the base address of a server", hint=hint)]
        )
    if parsed.scheme == "http" and read_key(key_variable) and not _is_loopback(host):
        raise RefusedError(
            f"the key in {key_variable} would travel unencrypted to {shorten(host)}",
            f"use https://, or a tunnel to 127.0.0.1, or unset {key_variable} if the server wants no key",
        )
    return address


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class GuardedClient(openai.DefaultAsyncHttpxClient):
    """The HTTP client that the openai package sends through. It knows the key; nothing else does.

    It verifies TLS (SSL_CERT_FILE may name other authorities), follows no redirect and uses no proxy: over http:// a
    proxy would be handed the key in clear. An answer that cannot be used comes out as a status 413, 502 or 504, as from
    a gateway, so that the package asks again where that may help.
    """

    def __init__(self, key: str, timeout_s: float, on_trouble: OnTrouble) -> None:
        authorities = os.environ.get("SSL_CERT_FILE")
        verify = ssl.create_default_context(cafile=authorities) if authorities else True
        super().__init__(verify=verify, trust_env=False, follow_redirects=False)
        for name in WIRE_LOGGERS:
            logging.getLogger(name).setLevel(logging.INFO)
        self._key, self._timeout_s, self._on_trouble = key, timeout_s, on_trouble
        self._silent_until = 0.0

    @override
    async def send(self, request: Any, **options: Any) -> Any:
        headers = {name: value for name, value in request.headers.items() if name in SENT_HEADERS}
        headers["Accept-Encoding"] = "identity"
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        sent = type(request)(
            request.method, request.url, headers=headers, content=request.content, extensions=request.extensions
        )
        started = time.perf_counter()
        try:
            response = await super().send(sent, **{**options, "stream": True})
            status, text = await self._read(response)
        except Exception as error:
            self._report(failure_words(error))
            raise
        if len(self._key) >= SHORTEST_SECRET:
            text = text.replace(self._key, "[key]")
        if may_pass(status):
            self._report(f"HTTP {status}: {explanation_in(text)}")
        kept = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
        made = type(response)(status, headers=kept, text=text, request=request)
        made.elapsed = timedelta(seconds=time.perf_counter() - started)
        return made

    def _report(self, what: str) -> None:
        if time.monotonic() >= self._silent_until:
            self._silent_until = time.monotonic() + SECONDS_BETWEEN_TROUBLES
            self._on_trouble(what)

    async def _read(self, response: Any) -> tuple[int, str]:
        """Status and text. What is compressed is not unpacked: kilobytes can become gigabytes."""
        raw = bytearray()
        try:
            async with asyncio.timeout(self._timeout_s):
                async for chunk in response.aiter_raw():
                    raw += chunk
                    if len(raw) > MAX_BODY_BYTES:
                        return 413, f"the answer has more than {MAX_BODY_BYTES // 2**20} MiB"
        except TimeoutError:
            return 504, f"no complete answer within {self._timeout_s:g} s"
        finally:
            await response.aclose()
        text = raw.decode("utf-8", "replace")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            text = "the answer is compressed, although a plain one was asked for"
        fault = _fault(text, is_chat=response.request.method == "POST") if response.is_success else None
        return (502, fault) if fault else (response.status_code, text)


def may_pass(status: int) -> bool:
    """Whether the request is worth making again: these are the statuses after which the package does."""
    return status in (408, 409, 429) or status >= 500


def _fault(text: str, is_chat: bool) -> str | None:
    """Why nothing can be made of a document that came with status 200."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return f"the answer is not JSON: {shorten(text)}"
    if not isinstance(document, dict):
        return "the answer is not a JSON object"
    if not is_chat:
        return None
    try:
        choice = document["choices"][0]
        readable = isinstance(choice["message"].get("content"), str | None)
    except (KeyError, IndexError, TypeError, AttributeError):
        readable = False
    if not readable:
        return "the answer has no choices[0].message.content"
    finish = choice.get("finish_reason")
    return f"the server gave up on the answer (finish_reason {finish})" if finish in ABORTED else None


def explanation_in(text: str) -> str:
    """What a server says is wrong: {"error": {"message": ...}}, {"error": ...}, {"detail": ...}, or the text itself."""
    try:
        explanation = json.loads(text)
    except (ValueError, RecursionError):
        explanation = text or "no explanation"
    for name in ("error", "detail", "message"):
        if isinstance(explanation, dict) and name in explanation:
            explanation = explanation[name]
    return shorten(explanation if isinstance(explanation, str) else json.dumps(explanation), 200)


def failure_words(error: BaseException) -> str:
    """Of a request that got no answer of any kind."""
    cause = error.__cause__ if isinstance(error, openai.APIConnectionError) and error.__cause__ else error
    return f"{shorten(str(cause), 200) or 'no answer'} ({type(cause).__name__})"
