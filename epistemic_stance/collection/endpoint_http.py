"""One exchange with a server that is not trusted: its address, the key, limits on time and size."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import json
import logging
import math
import os
import re
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from epistemic_stance.foundation.errors import InputError, Problem, RefusedError
from epistemic_stance.foundation.files import dump_json
from epistemic_stance.foundation.wording import shorten

CONNECT_S = 10.0
MAX_BODY_BYTES = 8 * 2**20
MAX_ERROR_BYTES = 64 * 2**10
WORDS_SHOWN = 200
SHORTEST_SECRET = 12
"""Servers without keys are given words such as EMPTY or none; to blank those out of answers would change answers."""

RETRIED = {408, 409, 425, 429}
WIRE_LOGGERS = ("httpx2", *(f"httpcore2.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")))


class Transient(Exception):
    """Worth asking again, after `wait_s` seconds if the server said how long."""

    def __init__(self, what: str, wait_s: float | None = None) -> None:
        super().__init__(what)
        self.wait_s = wait_s


class Unreachable(Transient):
    """No answer of any kind came."""


class Declined(Exception):
    """A status that asking again does not change; `words` are the server's explanation, in full."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"HTTP {status}: {shorten(words, WORDS_SHOWN)}")
        self.status = status
        self.words = words


class Key:
    """The secret of an endpoint, read from the environment and shown nowhere: not in a repr, a message or a record."""

    __slots__ = ("_value", "variable")

    def __init__(self, variable: str) -> None:
        self.variable = variable
        self._value = os.environ.get(variable, "").strip()
        if not all("!" <= char <= "~" for char in self._value):
            what = "the key in this environment variable holds a character that no HTTP header can carry"
            raise InputError([Problem(variable, what, hint="set it again: one line, plain ASCII, no spaces")])

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return f"Key({self.variable!r})"

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._value}"} if self else {}

    def hide(self, text: str) -> str:
        """The text with the key blanked out, should a server have echoed it: plain, URL-quoted or in base64."""
        return text if len(self._value) < SHORTEST_SECRET else re.sub(self._forms(), "[key]", text)

    def _forms(self) -> str:
        """A pattern of the key with any of its characters URL-quoted, and of its base64 inside whatever else."""
        quoted = "".join(f"(?:{re.escape(char)}|(?i:%{ord(char):02x}))" for char in self._value)
        forms = [quoted]
        for before in range(3):
            raw = bytes(before) + self._value.encode()
            # The outermost characters of base64 carry bits of the neighbours, or of the padding.
            inner = slice(-(-before * 8 // 6), len(raw) * 8 // 6)
            forms += [re.escape(encode(raw).decode()[inner]) for encode in (base64.b64encode, base64.urlsafe_b64encode)]
        return "|".join(forms)


def checked_address(url: str, key: Key) -> str:
    """The base address, such as http://127.0.0.1:8000/v1, without a slash at its end.

    Raises InputError if it is none, or holds a password or a query; RefusedError if the key would travel in clear.
    """
    wanted = "give the part before /chat/completions, such as http://127.0.0.1:8000/v1"
    try:
        parsed = httpx2.URL(url.strip())
    except httpx2.InvalidURL:
        raise InputError([Problem("endpoint", "this is not an address", hint=wanted)]) from None
    if parsed.userinfo:
        what = "the address holds a user name or password, which would end in records and logs"
        hint = f"leave it out; a key is read from the environment variable {key.variable}"
        raise InputError([Problem("endpoint", what, hint=hint)])
    if parsed.query or parsed.fragment:
        raise InputError([Problem("endpoint", "the address must end before ? and #", hint=wanted)])
    address = str(parsed).rstrip("/")
    is_base = parsed.host and 0 < (parsed.port or 80) < 2**16 and not address.endswith("/completions")
    if parsed.scheme not in ("http", "https") or not is_base:
        what = f"{shorten(address)!r} is not the base address of a server"
        raise InputError([Problem("endpoint", what, hint=wanted)])
    if key and parsed.scheme == "http" and not _is_loopback(parsed.host):
        raise RefusedError(
            f"the key in {key.variable} would travel unencrypted to {shorten(parsed.host)}",
            f"use https://, or a tunnel to 127.0.0.1, or unset {key.variable} if the server wants no key",
        )
    return address


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def new_client(address: str, key: Key, concurrency: int, timeout_s: float) -> httpx2.AsyncClient:
    """A client that follows no redirect, verifies TLS (SSL_CERT_FILE may name other authorities) and goes direct.

    Proxy variables are not read: over http:// a proxy would be handed the key in clear. The wire log is muted,
    for it prints what servers send, and a server that knows the key can send it.
    """
    for name in WIRE_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    return httpx2.AsyncClient(
        base_url=address,
        headers={"Accept-Encoding": "identity", "Content-Type": "application/json", **key.headers()},
        verify=httpx2.create_ssl_context(),
        trust_env=False,
        follow_redirects=False,
        timeout=httpx2.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s)),
        limits=httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
    )


async def exchange(
    client: httpx2.AsyncClient, key: Key, path: str, body: Mapping[str, Any] | None, timeout_s: float
) -> tuple[dict[str, Any], str]:
    """POST `body` (GET without one); the JSON object that came back and the Server header, the key blanked out.

    Raises Transient, Declined, or RefusedError for a redirect, a certificate that does not hold, a body that is
    compressed although none was asked for (a few kilobytes can unpack to gigabytes), or one that is too long.
    """
    content = None if body is None else dump_json(body)
    try:
        async with (
            asyncio.timeout(timeout_s),
            client.stream("GET" if content is None else "POST", path, content=content) as response,
        ):
            raw = await _read(response, MAX_BODY_BYTES if response.is_success else MAX_ERROR_BYTES)
    except (TimeoutError, httpx2.TimeoutException):
        raise Unreachable(f"no complete answer within {timeout_s:g} s") from None
    except httpx2.TransportError as error:
        if _is_untrusted_certificate(error):
            raise RefusedError(
                f"{client.base_url.host}: its TLS certificate could not be verified",
                "SSL_CERT_FILE=/path/to/authority.pem trusts a private authority; there is no switch to turn this off",
            ) from None
        words = shorten(key.hide(str(error)), WORDS_SHOWN)
        raise Unreachable(f"{words or 'the connection broke'} ({type(error).__name__})") from None
    server = shorten(key.hide(response.headers.get("Server", "")))
    return _document(response, raw, key), server


async def _read(response: httpx2.Response, limit: int) -> bytes:
    """The body as sent, cut off one byte past the limit."""
    raw = bytearray()
    async for chunk in response.aiter_raw():
        raw += chunk
        if len(raw) > limit:
            break
    return bytes(raw[: limit + 1])


def _document(response: httpx2.Response, raw: bytes, key: Key) -> dict[str, Any]:
    status, host = response.status_code, response.url.host
    compressed = response.headers.get("Content-Encoding", "identity").lower() != "identity"
    text = "" if compressed else raw.decode("utf-8", "replace")
    if 300 <= status < 400:
        raise RefusedError(
            f"{host} redirects to {_host_of(response.headers.get('Location', ''), key)}; redirects are not followed",
            "a key must not reach a host nobody named; if the new address is right, give it as the endpoint",
        )
    if not response.is_success:
        declined = Declined(status, key.hide(_words(text)))
        if status in RETRIED or status >= 500:
            raise Transient(str(declined), retry_after_s(response.headers.get("Retry-After")))
        raise declined
    if compressed:
        raise RefusedError(f"{host} sent a compressed answer although it was asked for a plain one")
    if len(raw) > MAX_BODY_BYTES:
        raise RefusedError(f"{host} sent an answer of more than {MAX_BODY_BYTES // 2**20} MiB")
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise Transient("the answer is not JSON") from None
    if not isinstance(document, dict):
        raise Transient("the answer is not a JSON object")
    return document


def retry_after_s(value: str | None) -> float | None:
    """Seconds of a Retry-After header, given as a number or as an HTTP date (RFC 9110, 10.2.3); None if unreadable."""
    try:
        seconds = float(value or "")
    except ValueError:
        try:
            moment = parsedate_to_datetime(value or "")
        except ValueError:
            return None
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _host_of(location: str, key: Key) -> str:
    try:
        host = httpx2.URL(location).host
    except httpx2.InvalidURL:
        host = ""
    return shorten(key.hide(host)) or "another path of its own"


def _words(text: str) -> str:
    """What a server says is wrong: {"error": {"message": ...}}, {"error": ...}, {"detail": ...}, or the text itself."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return text or "no explanation"
    for name in ("error", "detail", "message"):
        if isinstance(said, dict) and name in said:
            said = said[name]
    return said if isinstance(said, str) else json.dumps(said)


def _is_untrusted_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
