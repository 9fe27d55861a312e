"""Answers from an OpenAI-compatible server: vLLM, SGLang, llama.cpp, Ollama and their like."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2

from epistemic_stance.collection.backend import Group, Identity, Item, Reply
from epistemic_stance.collection.endpoint_chat import Chat
from epistemic_stance.collection.endpoint_http import (
    Declined,
    Key,
    Transient,
    Unreachable,
    checked_address,
    exchange,
    new_client,
)
from epistemic_stance.foundation.errors import EndpointError, InputError, Problem, RefusedError, StanceError
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.models.sampling_config import SamplingConfig

OWNERS = {"vllm": "vLLM", "sglang": "SGLang", "llamacpp": "llama.cpp", "library": "Ollama"}
"""`owned_by` in a model list -> the server that fills it so."""

TROUBLED_QUESTIONS = 3
"""So many different questions failing with no success in between are the server's fault, not the questions'."""
GREETING_ATTEMPTS = 3
JITTER = random.SystemRandom()
MODELS_SHOWN = 8


@dataclass(frozen=True)
class Patience:
    """How long one request is tried: waits double up to the longest and are drawn from 0 to that (full jitter)."""

    attempts: int = 10
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    longest_retry_after_s: float = 120.0
    total_s: float = 900.0
    """No attempt starts later than this after the first."""


@dataclass(frozen=True)
class Unanswered:
    item: Item
    why: str
    final: bool
    """The server refused this request as such; asking again does not help."""


OnWait = Callable[[str, float], None]
"""Called with what went wrong, in words for a person, and the seconds until it is asked again."""
Task = asyncio.Task[Reply | Unanswered]
Place = tuple[int, int]
"""Index of a group, and of an item in it."""


@dataclass
class EndpointBackend:
    """A server that answers; a Backend. One request is one answer, up to `concurrency` at a time.

    Until the first answer one request is in flight at a time: what a server refuses (the key, the model, a field)
    it refuses at the first request, and from then on every request has the same fields.
    """

    identity: Identity
    address: str
    """Without a password or a query."""
    key: Key
    chat: Chat
    concurrency: int
    timeout_s: float
    """Of one attempt."""
    patience: Patience
    models: Sequence[str]
    """What the server says it has, for hints."""
    on_wait: OnWait
    proved: bool = False
    """Whether it has answered once."""
    kept: int = 0
    """Answers given out."""
    slots: None = None
    threads: None = None

    @property
    def note(self) -> str:
        """What the user should know about these answers; complete after the first one, "" if nothing."""
        return self.chat.note

    def grouped(self, items: Sequence[Item]) -> list[Group]:
        """One request is one answer."""
        return [(item,) for item in items]

    def answers(
        self, groups: Sequence[Group], on_answer: Callable[[], None] = lambda: None
    ) -> Generator[tuple[Group, list[Reply]], None, None]:
        """Ask every item; a group is yielded once all of it is answered.

        Raises EndpointError if the server is not usable, or left questions unanswered that it may answer later;
        InputError or RefusedError if it refuses what is asked of it. One bad question does not keep the others
        from being asked.
        """
        replies: list[dict[int, Reply]] = [{} for _ in groups]
        unanswered: list[Unanswered] = []
        troubled: set[str] = set()
        threshold = min(TROUBLED_QUESTIONS, len({item.question_id for group in groups for item in group}))
        with contextlib.closing(self._outcomes(groups)) as outcomes, self._saying_what_is_kept():
            for (group, place), outcome in outcomes:
                if isinstance(outcome, Reply):
                    troubled.clear()
                    replies[group][place] = outcome
                    on_answer()
                    if len(replies[group]) == len(groups[group]):
                        self.kept += len(groups[group])
                        yield groups[group], [reply for _, reply in sorted(replies[group].items())]
                    continue
                unanswered.append(outcome)
                if not (outcome.final and self.proved):
                    troubled.add(outcome.item.question_id)
                if len(troubled) >= threshold:
                    break
            if unanswered:
                raise self._failure(unanswered)

    def _outcomes(self, groups: Sequence[Group]) -> Generator[tuple[Place, Reply | Unanswered], None, None]:
        """What became of each item, as it becomes known; closing it ends all requests and connections."""
        waiting = _opening_order(groups)
        tasks: dict[Task, Place] = {}
        with asyncio.Runner() as runner:
            client = new_client(self.address, self.key, self.concurrency, self.timeout_s)
            try:
                while waiting or tasks:
                    while waiting and len(tasks) < (self.concurrency if self.proved else 1):
                        group, place = waiting.popleft()
                        request = self._ask(client, groups[group][place])
                        tasks[runner.get_loop().create_task(request)] = (group, place)
                    for task in runner.run(_next_done(tasks)):
                        at = tasks.pop(task)
                        outcome = task.result()
                        self.proved |= isinstance(outcome, Reply)
                        yield at, outcome
            finally:
                runner.run(_end(client, tasks))

    @contextlib.contextmanager
    def _saying_what_is_kept(self) -> Iterator[None]:
        try:
            yield
        except StanceError as error:
            if self.kept:
                kept = f"the {self.kept} answers of this run are kept, and the same command continues"
                error.hint = f"{error.hint}; {kept}" if error.hint else kept
            raise

    async def _ask(self, client: httpx2.AsyncClient, item: Item) -> Reply | Unanswered:
        """One answer, asked for until it comes, the server refuses it, or patience ends."""
        begun, failures = time.monotonic(), 0
        while True:
            started = time.perf_counter()
            try:
                document, _ = await exchange(client, self.key, "chat/completions", self.chat.body(item), self.timeout_s)
                return self.chat.reply(document, (time.perf_counter() - started) * 1000, failures + 1)
            except Declined as declined:
                if declined.status in (401, 403, 404, 405):
                    raise _refusal(self.address, self.key, declined, self.models) from None
                if self.proved or not self.chat.leaves_out(declined, item):
                    return Unanswered(item, str(declined), final=True)
            except Transient as error:
                failures += 1
                wait_s = self._wait_s(failures, error.wait_s)
                spent_s = time.monotonic() - begun
                if failures >= self.patience.attempts or spent_s + wait_s > self.patience.total_s:
                    return Unanswered(item, f"{error} (attempt {failures}, after {spent_s:.0f} s)", final=False)
                self.on_wait(_waiting(error, wait_s, failures + 1, self.patience.attempts), wait_s)
                await asyncio.sleep(wait_s)

    def _wait_s(self, failures: int, asked_s: float | None) -> float:
        """Exponential backoff with full jitter; not less than the server asked for, within reason."""
        ceiling = min(self.patience.longest_wait_s, self.patience.first_wait_s * 2 ** (failures - 1))
        jitter_s = JITTER.uniform(0, ceiling)
        return jitter_s if asked_s is None else min(asked_s, self.patience.longest_retry_after_s) + jitter_s

    def _failure(self, unanswered: Sequence[Unanswered]) -> StanceError:
        if all(each.final for each in unanswered):
            first = {each.item.question_id: each.why for each in reversed(unanswered)}
            return InputError(
                [
                    Problem(self.address, f"the server refuses to answer: {why}", field=f"question {name}")
                    for name, why in sorted(first.items())  # not in the order in which replies happened to come
                ]
            )
        worst = next(each for each in unanswered if not each.final)
        return EndpointError(
            f"{self.address} left {len(unanswered)} requests without an answer, "
            f"one of them question {worst.item.question_id}: {worst.why}",
            "" if self.kept else "the same command asks again",
        )


def open_endpoint(
    url: str,
    model: str,
    sampling: SamplingConfig,
    *,
    system_prompt: str | None,
    concurrency: int,
    timeout_s: float,
    api_key_variable: str,
    patience: Patience | None = None,
    on_wait: OnWait = lambda _what, _wait_s: None,
) -> EndpointBackend:
    """Greet the server at a base address such as http://127.0.0.1:8000/v1 and ask which models it has.

    `timeout_s` is for one attempt at one answer, from sending to the last byte. The key is the value of the
    environment variable named `api_key_variable`, if there is one. `on_wait` hears of every request that failed in
    passing, before it is made again.

    Raises InputError for an address that is none or lacks its /v1, RefusedError for a key that the server refuses
    or that would travel in clear, EndpointError if nothing answers.
    """
    patience = patience or Patience()
    key = Key(api_key_variable)
    address = checked_address(url, key)
    server, models = asyncio.run(_greet(address, key, timeout_s, patience, on_wait))
    versions = {"httpx2": httpx2.__version__, **({"server": server} if server else {})}
    identity = Identity(model, "endpoint", None, None, None, None, versions)
    chat = Chat(address, model, sampling, system_prompt, key)
    return EndpointBackend(identity, address, key, chat, concurrency, timeout_s, patience, models, on_wait)


async def _greet(
    address: str, key: Key, timeout_s: float, patience: Patience, on_wait: OnWait
) -> tuple[str, list[str]]:
    """The server's name ("" = unknown) and its models, as far as it tells."""
    async with new_client(address, key, 1, timeout_s) as client:
        document: dict[str, Any] = {}
        server = ""
        for attempt in range(1, GREETING_ATTEMPTS + 1):
            try:
                document, server = await exchange(client, key, "models", None, timeout_s)
                break
            except Declined as declined:
                if declined.status in (401, 403):
                    raise _refusal(address, key, declined, ()) from None
                if await _lies_below_v1(client, address, key, timeout_s):
                    hint = f"the address ends in /v1: {address}/v1"
                    raise InputError([Problem(address, f"no such page there: {declined}", hint=hint)]) from None
                return "", []
            except Transient as error:
                if attempt == GREETING_ATTEMPTS and isinstance(error, Unreachable):
                    hint = "is the server running, and is this its address? The same command continues once it answers"
                    raise EndpointError(f"{address} cannot be used now: {error}", hint) from None
                if attempt < GREETING_ATTEMPTS:
                    wait_s = min(error.wait_s or patience.first_wait_s * attempt, patience.longest_wait_s)
                    on_wait(_waiting(error, wait_s, attempt + 1, GREETING_ATTEMPTS), wait_s)
                    await asyncio.sleep(wait_s)
    listed = document.get("data")
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    owners = [OWNERS.get(str(entry.get("owned_by"))) for entry in entries]
    models = [shorten(key.hide(entry["id"])) for entry in entries if isinstance(entry.get("id"), str)]
    return next(filter(None, owners), server), models


def _waiting(error: Transient, wait_s: float, attempt: int, attempts: int) -> str:
    return f"{error}, waiting {wait_s:.{0 if wait_s >= 10 else 1}f} s (attempt {attempt} of {attempts})"


async def _lies_below_v1(client: httpx2.AsyncClient, address: str, key: Key, timeout_s: float) -> bool:
    if address.endswith("/v1"):
        return False
    try:
        await exchange(client, key, "v1/models", None, timeout_s)
    except (Declined, Transient, RefusedError):
        return False
    return True


def _refusal(address: str, key: Key, declined: Declined, models: Sequence[str]) -> StanceError:
    if declined.status in (401, 403):
        state = "is set, but this server does not accept it" if key else "is not set"
        hint = f"the key is read from the environment variable {key.variable}, which {state}"
        return RefusedError(f"{address} refuses access: {declined}", hint)
    shown = ", ".join(models[:MODELS_SHOWN]) + (", ..." if len(models) > MODELS_SHOWN else "")
    hint = f"models there: {shown}" if shown else "check the address and the model's name; the server lists no models"
    return InputError([Problem(address, str(declined), hint=hint)])


def _opening_order(groups: Sequence[Group]) -> deque[Place]:
    """Places (group, item) in order, but first one item each of a few different questions."""
    places = [(group, place) for group, items in enumerate(groups) for place in range(len(items))]
    openers: dict[str, Place] = {}
    for group, place in places:
        if len(openers) < TROUBLED_QUESTIONS:
            openers.setdefault(groups[group][place].question_id, (group, place))
    first = set(openers.values())
    return deque([*openers.values(), *(place for place in places if place not in first)])


async def _next_done(tasks: dict[Task, Place]) -> list[Task]:
    """Those that ended first, answers before errors: an error ends the run, and the answers are to be kept."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    return sorted(done, key=lambda task: task.exception() is not None)


async def _end(client: httpx2.AsyncClient, tasks: dict[Task, Place]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await client.aclose()
