"""Answers from an OpenAI-compatible server: vLLM, SGLang, llama.cpp, Ollama and their like.

Requests, retries, waits (Retry-After too) and time limits are those of the openai package.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import openai

from epistemic_stance.collection.backend import FILTERED, FinishReason, Group, Identity, Reply, Source
from epistemic_stance.collection.design import Design, Item
from epistemic_stance.collection.endpoint_client import (
    GuardedClient,
    OnTrouble,
    checked_address,
    explanation_in,
    failure_words,
    may_pass,
    read_key,
)
from epistemic_stance.foundation.errors import EndpointError, InputError, Problem, RefusedError, StanceError
from epistemic_stance.foundation.reporter import Note, Reporter
from epistemic_stance.foundation.settings import TEMPLATE_ARGUMENTS, CollectSettings
from epistemic_stance.foundation.thoughts import split_thought
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.models.sampling_config import SamplingConfig
from epistemic_stance.records.collection import CollectionRecord

RETRIES = 9
"""Of one request; the package waits half a second first, then twice as long each time, up to 8 s."""
GREETING_RETRIES = 2
CONNECT_S = 10.0
FAILING_QUESTIONS = 3
"""So many different questions failing with no answer in between are the server's fault, not the questions'."""

LOCAL_ONLY = ("device", "dtype", "slots", "threads")
"""Settings of a model on this machine, which mean nothing to a server."""
REQUIRED_FIELDS = {"temperature", "top_p", "max_tokens", "seed"}
NEUTRAL: dict[str, Any] = {
    "top_k": -1,
    "min_p": 0,
    "repetition_penalty": 1,
    "repeat_penalty": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "chat_template_kwargs": TEMPLATE_ARGUMENTS,
}
"""What can be done without, sent because the servers' own defaults do change something: vLLM and SGLang take
top_k and repetition_penalty from the model's generation_config, llama.cpp has top_k 40 and min_p 0.05, and a
template opens a think block or prints today's date. -1 is the one "no limit" for top_k that vLLM, SGLang (which
refuses 0) and llama.cpp all take."""
TWINS = {"repetition_penalty": "repeat_penalty", "repeat_penalty": "repetition_penalty"}
"""One setting under two names, of vLLM and SGLang and of llama.cpp; both are sent, one is enough."""
FLAGS = {"top_k": "--top-k 0", **dict.fromkeys(TWINS, "--repetition-penalty 1")}
UNKNOWN_FIELD = re.compile(
    r"(?i)unexpected|unrecogni[sz]ed|unknown|unsupported|extra|not (supported|permitted|allowed)"
)

THOUGHT_FIELDS = ("reasoning_content", "reasoning")
"""Where servers put the thought that they told from the answer themselves."""
ENDED = {"stop", "eos", "eos_token", "end_turn", "stop_sequence", "tool_calls", "function_call"}
CUT_OFF = {"length", "max_tokens", FILTERED}

OLLAMA = "Ollama"
OWNERS = {"vllm": "vLLM", "sglang": "SGLang", "llamacpp": "llama.cpp", "library": OLLAMA}
"""`owned_by` in a model list -> the server that fills it so."""
OLLAMA_NOTE = (
    "Ollama ignores top_k, min_p and the repetition penalty of a request; the model's Modelfile decides them "
    "(PARAMETER top_k 0, PARAMETER min_p 0 and PARAMETER repeat_penalty 1 change nothing)"
)


def find(settings: CollectSettings) -> Source:
    """The server at --endpoint. Raises InputError or RefusedError for an address or settings that will not do."""
    given = [name for name in LOCAL_ONLY if getattr(settings, name) != getattr(CollectSettings, name)]
    if given:
        flags = ", ".join(f"--{name}" for name in given)
        raise InputError([Problem(flags, "means nothing with --endpoint: the server decides")])
    address = checked_address(settings.endpoint or "", settings.api_key_variable)
    return Source("endpoint", _open, endpoint=address)


def _open(
    settings: CollectSettings, design: Design, _earlier: CollectionRecord | None, reporter: Reporter
) -> EndpointBackend:
    def on_trouble(what: str) -> None:
        reporter(Note(f"  {what}; such requests are made again"))

    return open_endpoint(settings, design.sampling, design.system_prompt, on_trouble)


@dataclass(frozen=True)
class Unanswered:
    item: Item
    why: str
    final: bool
    """The server refused this request as such; asking again does not help."""


Task = asyncio.Task[Reply | Unanswered]


@dataclass
class EndpointBackend:
    """A server that answers; a Backend. One request is one answer, up to `settings.concurrency` at a time.

    Until the first answer one request is in flight at a time: what a server refuses (the key, the model, a field)
    it refuses at the first request, and from then on every request has the same fields.
    """

    settings: CollectSettings
    address: str
    sampling: SamplingConfig
    system_prompt: str | None
    on_trouble: OnTrouble
    retries: int
    identity: Identity
    models: list[str] = field(default_factory=list)
    """What the server says it has, for hints."""
    proved: bool = False
    """Whether it has answered once."""
    omitted: set[str] = field(default_factory=set)
    """Fields that the server refuses."""
    slots: None = None
    threads: None = None

    @property
    def note(self) -> str:
        """What the user should know about these answers; complete after the first one, "" if nothing."""
        undecided = sorted(name for name in self.omitted if TWINS.get(name, name) in self.omitted)
        notes = [OLLAMA_NOTE] if self.identity.versions.get("server") == OLLAMA else []
        if undecided:
            notes.append(f"the server does not take {', '.join(undecided)}: its own defaults decide them")
        return "; ".join(notes)

    def grouped(self, items: Sequence[Item]) -> list[Group]:
        """One request is one answer; neighbours are different questions, so that a bad one does not look like all."""
        return [(item,) for item in sorted(items, key=lambda item: (item.iteration, item.temperature))]

    def answers(
        self, groups: Sequence[Group], on_answer: Callable[[], None] = lambda: None
    ) -> Generator[tuple[Group, list[Reply]], None, None]:
        """Ask every item; closing it ends all requests and connections.

        Raises EndpointError if the server is not usable, or left questions unanswered that it may answer later;
        InputError or RefusedError if it refuses what is asked of it. One bad question does not keep the others
        from being asked.
        """
        waiting, tasks = deque(groups), dict[Task, Group]()
        unanswered, failing = list[Unanswered](), set[str]()
        threshold = min(FAILING_QUESTIONS, len({item.question_id for (item,) in groups}))
        with asyncio.Runner() as runner:
            client = self.client(self.retries)
            try:
                while (waiting or tasks) and not 0 < threshold <= len(failing):
                    while waiting and len(tasks) < (self.settings.concurrency if self.proved else 1):
                        group = waiting.popleft()
                        tasks[runner.get_loop().create_task(self._ask(client, group[0]))] = group
                    for task in runner.run(_next_done(tasks)):
                        group, outcome = tasks.pop(task), task.result()
                        if isinstance(outcome, Reply):
                            self.proved = True
                            failing.clear()
                            on_answer()
                            yield group, [outcome]
                            continue
                        unanswered.append(outcome)
                        if not (outcome.final and self.proved):
                            failing.add(outcome.item.question_id)
            finally:
                runner.run(_end(client, tasks))
        if unanswered:
            raise self._failure(unanswered)

    def client(self, retries: int) -> openai.AsyncOpenAI:
        timeout_s = self.settings.request_timeout
        return openai.AsyncOpenAI(
            api_key="GuardedClient sends it",
            base_url=self.address,
            timeout=openai.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s)),
            max_retries=retries,
            http_client=GuardedClient(read_key(self.settings.api_key_variable), timeout_s, self.on_trouble),
        )

    async def _ask(self, client: openai.AsyncOpenAI, item: Item) -> Reply | Unanswered:
        """One answer, asked for until it comes, the server refuses it, or the retries are used up."""
        system = [] if self.system_prompt is None else [{"role": "system", "content": self.system_prompt}]
        messages: Any = [*system, {"role": "user", "content": item.question}]
        create = client.chat.completions.with_raw_response.create
        while True:
            fields = self._fields(item)
            try:
                answer = await create(model=self.settings.model, messages=messages, extra_body=fields)
                return self._reply(answer.http_response, answer.retries_taken + 1)
            except openai.APIStatusError as error:
                message = _message(error)
                if refusal := self._refusal(error, message):
                    raise refusal from None
                if not self.proved and self._leave_out(fields, error, message):
                    continue
                return Unanswered(item, message, final=not may_pass(error.status_code))
            except openai.APIError as error:
                return Unanswered(item, failure_words(error), final=False)

    def _fields(self, item: Item) -> dict[str, Any]:
        """What is sent beside the model and the messages."""
        sampling = self.sampling
        fields: dict[str, Any] = {
            "temperature": item.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_new_tokens,
            "seed": item.seed,
            "n": 1,
            "stream": False,
            **NEUTRAL,
            "top_k": sampling.top_k or NEUTRAL["top_k"],
            "repetition_penalty": sampling.repetition_penalty,
            "repeat_penalty": sampling.repetition_penalty,
        }
        return {name: value for name, value in fields.items() if name not in self.omitted}

    def _leave_out(self, fields: Mapping[str, Any], error: openai.APIStatusError, message: str) -> bool:
        """Whether a refused field can go because it changes nothing, or because its twin says the same.

        Raises InputError if the server refuses a field that does change something: answers drawn in another way
        than asked are not what was asked for.
        """
        text = error.response.text
        if error.status_code not in (400, 422) or not UNKNOWN_FIELD.search(text):
            return False
        known = fields.keys() & (REQUIRED_FIELDS | NEUTRAL.keys())
        named = {name for name in known if _is_named(name, text)}
        spare = {name for name in named if fields[name] == NEUTRAL.get(name) or TWINS.get(name, name) in known - named}
        if named and not spare:
            name = min(named)
            hint = f"{FLAGS[name]} does without it" if name in FLAGS else "use a server that takes this field"
            what = f"the server refuses this sampling field (value {fields[name]}): {message}"
            raise InputError([Problem(self.address, what, field=name, hint=hint)])
        self.omitted |= spare
        return bool(spare)

    def _reply(self, response: Any, attempts: int) -> Reply:
        """Of a chat completion that `_fault` found nothing wrong with."""
        document = response.json()
        choice = document["choices"][0]
        usage, message = document.get("usage"), choice["message"]
        tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
        tokens = tokens if type(tokens) is int and tokens >= 0 else None
        text, thought = split_thought(message.get("content") or "")
        apart = [message.get(name) for name in THOUGHT_FIELDS]
        thoughts = [one for one in (*apart, thought) if isinstance(one, str) and one.strip()]
        finish = _short(choice.get("finish_reason"))
        metadata: dict[str, Any] = {
            "server_model": _short(document.get("model")),
            "system_fingerprint": _short(document.get("system_fingerprint")),
            "server_finish_reason": finish,
            "attempts": attempts,
        }
        if self.omitted:
            metadata["omitted_fields"] = sorted(self.omitted)
        if thoughts:
            metadata["thought"] = thoughts[0]
        reason = _finish_reason(text, finish, tokens, self.sampling.max_new_tokens)
        return Reply(text, tokens, reason, 1000 * response.elapsed.total_seconds(), metadata)

    def _refusal(self, error: openai.APIStatusError, message: str) -> StanceError | None:
        """What no question changes: a redirect, the key, the address, the name of the model."""
        status, variable = error.status_code, self.settings.api_key_variable
        if 300 <= status < 400:
            target = urlsplit(error.response.headers.get("Location", "")).hostname or "another path of its own"
            hint = "a key must not reach a host nobody named; if the new address is right, give it as the endpoint"
            return RefusedError(f"{self.address} redirects to {shorten(target)}; redirects are not followed", hint)
        if status in (401, 403):
            state = "is set, but this server does not accept it" if read_key(variable) else "is not set"
            hint = f"the key is read from the environment variable {variable}, which {state}"
            return RefusedError(f"{self.address} refuses access: {message}", hint)
        if status in (404, 405):
            shown = f"models there: {shorten(', '.join(self.models), 200)}" if self.models else "no models are listed"
            hint = f"check the address, which mostly ends in /v1, and the model's name; {shown}"
            return InputError([Problem(self.address, message, hint=hint)])
        return None

    def _failure(self, unanswered: Sequence[Unanswered]) -> StanceError:
        first = {each.item.question_id: each for each in reversed(unanswered)}
        passing = [each for each in unanswered if not each.final]
        if not passing:
            problems = [
                Problem(self.address, f"the server refuses to answer: {each.why}", field=f"question {name}")
                for name, each in sorted(first.items())  # not in the order in which replies happened to come
            ]
            return InputError(problems)
        what = f"{self.address} left {len(unanswered)} requests without an answer"
        example = f"one of them question {passing[0].item.question_id}: {passing[0].why}"
        return EndpointError(f"{what}, {example}", "the same command asks again")

    async def greet(self) -> None:
        """Ask for the list of models. Raises RefusedError or EndpointError; a server without a list is used as well."""
        async with self.client(min(self.retries, GREETING_RETRIES)) as client:
            try:
                document: Any = await client.get("/models", cast_to=object)
            except openai.APIStatusError as error:
                refusal = self._refusal(error, _message(error))
                if isinstance(refusal, RefusedError):
                    raise refusal from None
                return
            except openai.APIError as error:
                words = failure_words(error)
                if "CERTIFICATE_VERIFY_FAILED" in words:
                    hint = "SSL_CERT_FILE=/path/to/authority.pem trusts a private authority; nothing turns this off"
                    raise RefusedError(f"{self.address}: its TLS certificate is not trusted: {words}", hint) from None
                hint = "is the server running, and is this its address? The same command continues once it answers"
                raise EndpointError(f"{self.address} cannot be used now: {words}", hint) from None
        listed = document.get("data")
        entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
        self.models = [entry["id"] for entry in entries if isinstance(entry.get("id"), str)]
        owner = str(entries[0].get("owned_by")) if entries else ""
        if owner in OWNERS:
            self.identity.versions["server"] = OWNERS[owner]


def open_endpoint(
    settings: CollectSettings,
    sampling: SamplingConfig,
    system_prompt: str | None,
    on_trouble: OnTrouble,
    retries: int = RETRIES,
) -> EndpointBackend:
    """Greet the server at `settings.endpoint`, such as http://127.0.0.1:8000/v1, and ask which models it has.

    Of the settings model, concurrency, request_timeout (of one attempt at one answer) and api_key_variable count.
    `on_trouble` hears of every request that failed in passing.

    Raises InputError for an address that is none, RefusedError for a key that the server refuses or that would travel
    in clear, EndpointError if nothing answers.
    """
    address = checked_address(settings.endpoint or "", settings.api_key_variable)
    identity = Identity(settings.model, {"openai": openai.__version__})
    backend = EndpointBackend(settings, address, sampling, system_prompt, on_trouble, retries, identity)
    asyncio.run(backend.greet())
    if identity.versions.get("server") == OLLAMA and (sampling.top_k or sampling.repetition_penalty != 1):
        raise InputError([Problem(address, OLLAMA_NOTE, hint="--top-k 0 --repetition-penalty 1")])
    return backend


def _message(error: openai.APIStatusError) -> str:
    return f"HTTP {error.status_code}: {explanation_in(error.response.text)}"


def _is_named(field_name: str, words: str) -> bool:
    """vLLM calls the template's arguments chat_template where a tokenizer has none."""
    return re.search(rf"\b{field_name.removesuffix('_kwargs')}(_kwargs)?\b", words) is not None


def _finish_reason(text: str, reported: str | None, tokens: int | None, most_tokens: int) -> FinishReason:
    """A filtered answer is cut off too; a reason nobody knows counts as such if the tokens ran out."""
    if not text:
        return "empty"
    full = tokens is not None and tokens >= most_tokens
    return "length" if reported in CUT_OFF or (reported not in ENDED and full) else "eos"


def _short(value: object) -> str | None:
    return shorten(value, 200) if isinstance(value, str) else None


async def _next_done(tasks: Mapping[Task, Group]) -> list[Task]:
    """Those that ended first, answers before errors: an error ends the run, and the answers are to be kept."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    return sorted(done, key=lambda task: task.exception() is not None)


async def _end(client: openai.AsyncOpenAI, tasks: Mapping[Task, Group]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await client.close()
