"""The endpoint backend and a server that nobody here wrote: `transformers serve` with the embedded model."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from epistemic_stance.collection.design import plan_items
from epistemic_stance.collection.endpoint import EndpointBackend, open_endpoint
from epistemic_stance.collection.local import LocalBackend, grouped
from epistemic_stance.foundation.errors import EndpointError
from epistemic_stance.foundation.settings import CollectSettings
from epistemic_stance.models.find import DEMO_FOLDER, find_model
from epistemic_stance.models.open import open_model
from epistemic_stance.models.sampling_config import SamplingConfig

for needed in ("fastapi", "uvicorn"):
    pytest.importorskip(needed, reason="transformers serve needs fastapi and uvicorn")

QUESTIONS = [
    "What is the capital of France?",
    "Are you conscious?",
    "What is 7 times 8?",
]
STARTS_WITHIN_S = 90


@dataclass(frozen=True)
class Served:
    url: str
    process: subprocess.Popen[bytes]

    def end(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    port, log = free_port(), tmp_path / "serve.log"
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(DEMO_FOLDER)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)
    running = Served(f"http://127.0.0.1:{port}/v1", process)
    try:
        deadline = time.monotonic() + STARTS_WITHIN_S
        while not is_up(port):
            assert process.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < deadline, "the server did not come up"
            time.sleep(0.1)
        yield running
    finally:
        running.end()


def is_up(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def opened(server: Served, most_tokens: int) -> EndpointBackend:
    settings = CollectSettings(
        str(DEMO_FOLDER),
        endpoint=server.url,
        concurrency=2,
        request_timeout=30.0,
        api_key_variable="STANCE_TEST_KEY",
    )
    sampling = SamplingConfig(max_new_tokens=most_tokens, top_p=1.0, top_k=0, repetition_penalty=1.0)
    return open_endpoint(settings, sampling, None, lambda what: None, retries=1)


def test_a_real_server_gives_the_text_that_the_model_gives_here(served: Served) -> None:
    """Greedy, so that the comparison is exact; then the length limit; then the server is killed half-way."""
    items = plan_items([(f"q{n}", "mixed", text) for n, text in enumerate(QUESTIONS)], [0.0], 3, seed=42)
    groups = [(item,) for item in items]
    backend = opened(served, 30)
    replies = {group[0].question: reply for group, [reply] in backend.answers(groups)}

    here = LocalBackend(open_model(find_model("demo"), device="cpu"), SamplingConfig(30))
    expected = [reply for _, replied in here.answers(grouped(items, 8)) for reply in replied]
    assert [replies[question].text for question in QUESTIONS] == [reply.text for reply in expected]
    assert [replies[question].finish_reason for question in QUESTIONS] == [reply.finish_reason for reply in expected]
    counted = [(replies[question].tokens, reply.tokens) for question, reply in zip(QUESTIONS, expected, strict=True)]
    assert all(tokens in (ours, ours + 1) for tokens, ours in counted), "servers count the stop token too"
    assert "min_p, repeat_penalty, repetition_penalty, top_k" in backend.note
    assert all(reply.metadata["server_model"].startswith(str(DEMO_FOLDER)) for reply in replies.values())

    cut = [reply for _, [reply] in opened(served, 2).answers(groups[:3])]
    assert [(reply.finish_reason, reply.tokens) for reply in cut] == [("length", 2)] * 3

    backend = opened(served, 30)
    answers = backend.answers(groups)
    next(answers)
    served.end()
    with pytest.raises(EndpointError, match="requests without an answer"):
        list(answers)
