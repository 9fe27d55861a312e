"""A server on a real socket that answers like an OpenAI-compatible one, or misbehaves as a test says."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Ask:
    """One POST to /chat/completions."""

    body: dict[str, Any]
    headers: dict[str, str]
    attempt: int
    """From 1, of requests with the same question, temperature and seed."""
    at: float
    """time.monotonic()"""

    @property
    def question(self) -> str:
        return str(self.body["messages"][-1]["content"])


Behaviour = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stub: Stub
    ask: Ask

    def do_GET(self) -> None:
        self.stub.gets.append(self.path)
        if self.path == f"{self.stub.base}/models":
            self.stub.models(self)
        else:
            status(404)(self)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        stub = self.stub
        with stub.lock:
            same = (body["messages"][-1]["content"], body.get("temperature"), body.get("seed"))
            stub.attempts[same] += 1
            self.ask = Ask(body, dict(self.headers), stub.attempts[same], time.monotonic())
            stub.asks.append(self.ask)
            stub.in_flight += 1
            stub.most_in_flight = max(stub.most_in_flight, stub.in_flight)
        try:
            if self.path != f"{stub.base}/chat/completions":
                status(404)(self)
            else:
                stub.behave(self.ask)(self)
        finally:
            with stub.lock:
                stub.in_flight -= 1

    def send(self, code: int, body: bytes, headers: dict[str, str] | None = None, length: int | None = None) -> None:
        """In one piece: two small writes would wait for each other's acknowledgement."""
        lines = {"Content-Type": "application/json", "Content-Length": str(len(body) if length is None else length)}
        head = "".join(f"{name}: {value}\r\n" for name, value in {**lines, **(headers or {})}.items())
        self.wfile.write(f"HTTP/1.1 {code} X\r\n{head}\r\n".encode() + body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""


class Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no news."""


class Stub:
    def __init__(self, behave: Callable[[Ask], Behaviour], base: str, models: Behaviour) -> None:
        self.behave, self.base, self.models = behave, base, models
        self.lock = threading.Lock()
        self.asks: list[Ask] = []
        self.gets: list[str] = []
        self.attempts: Counter[tuple[Any, ...]] = Counter()
        self.in_flight = self.most_in_flight = 0
        self.ending = threading.Event()
        self.server = Server(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"stub": self}))
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}{base}"


@contextmanager
def stub(
    behave: Callable[[Ask], Behaviour] | None = None, base: str = "/v1", models: Behaviour | None = None
) -> Iterator[Stub]:
    """Serve until the block ends; `behave` chooses what happens to each request (default: it is answered)."""
    running = Stub(behave or (lambda ask: answer()), base, models or listing("tiny"))
    thread = threading.Thread(target=running.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield running
    finally:
        running.ending.set()
        running.server.shutdown()
        running.server.server_close()
        thread.join()


# --- behaviours --------------------------------------------------------------------------------------------


def answer(content: Any = ..., finish_reason: Any = "stop", **changes: Any) -> Behaviour:
    """A chat completion; `changes` replace fields of the document."""

    def behave(handler: Handler) -> None:
        ask = handler.ask
        text = f"On {ask.question}: seed {ask.body['seed']}" if content is ... else content
        document = {
            "id": "1",
            "object": "chat.completion",
            "model": "tiny-as-served",
            "system_fingerprint": "fp_1",
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
            ],
            "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14},
        }
        handler.send(200, json.dumps({**document, **changes}).encode())

    return behave


def listing(*models: str, owned_by: str = "vllm") -> Behaviour:
    data = [{"id": model, "object": "model", "owned_by": owned_by} for model in models]
    return lambda handler: handler.send(200, json.dumps({"object": "list", "data": data}).encode())


def status(code: int, body: Any = None, **headers: str) -> Behaviour:
    """`body` is sent as JSON; header names with _ for -."""
    sent = json.dumps({"error": {"message": f"stub says {code}"}} if body is None else body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.send(code, sent, named)


def raw(body: bytes, length: int | None = None, **headers: str) -> Behaviour:
    """A 200 with these bytes; with a length above theirs the connection breaks in the middle of the body."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def behave(handler: Handler) -> None:
        handler.send(200, body, named, length)
        handler.close_connection = length is not None

    return behave


def reset(handler: Handler) -> None:
    """RST instead of an answer."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.rfile.close()
    handler.connection.close()
    handler.close_connection = True


def after(seconds: float, then: Behaviour) -> Behaviour:
    def behave(handler: Handler) -> None:
        if not handler.stub.ending.wait(seconds):
            then(handler)

    return behave


def drip(handler: Handler) -> None:
    """A byte now and then, for ever: no read times out, and the body never ends."""
    handler.send(200, b"{", length=10**6)
    while not handler.stub.ending.wait(0.05):
        handler.wfile.write(b" ")


def endless(handler: Handler) -> None:
    """As many bytes as the client takes."""
    handler.send(200, b"{", length=10**12)
    while not handler.stub.ending.is_set():
        handler.wfile.write(b" " * 2**16)


def gzip_bomb() -> Behaviour:
    """64 MiB of blanks in 64 KiB."""
    return raw(gzip.compress(b" " * 2**26), Content_Encoding="gzip")
