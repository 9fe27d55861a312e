"""One chat completion: what is sent, which fields of it a server may go without, and what comes back."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from epistemic_stance.collection.backend import FILTERED, FinishReason, Item, Reply
from epistemic_stance.collection.endpoint_http import Declined, Key, Transient
from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.settings import TEMPLATE_ARGUMENTS
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.models.sampling_config import SamplingConfig

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

ENDED = {"stop", "eos", "eos_token", "end_turn", "stop_sequence", "tool_calls", "function_call"}
CUT_OFF = {"length", "max_tokens", FILTERED}
ABORTED = {"abort", "error"}

OLLAMA_NOTE = (
    "Ollama ignores top_k, min_p and the repetition penalty of a request; the model's Modelfile decides them "
    "(PARAMETER top_k 0, PARAMETER min_p 0 and PARAMETER repeat_penalty 1 change nothing)"
)


@dataclass
class Chat:
    """What is asked of one server in one run, and what has been learnt about it."""

    address: str
    model: str
    sampling: SamplingConfig
    system_prompt: str | None
    key: Key
    omitted: set[str] = field(default_factory=set)
    """Fields that the server refuses."""
    is_ollama: bool = False

    @property
    def note(self) -> str:
        """What the user should know about these answers; complete after the first one, "" if nothing."""
        undecided = sorted(name for name in self.omitted if TWINS.get(name, name) in self.omitted)
        notes = [OLLAMA_NOTE] if self.is_ollama else []
        if undecided:
            notes.append(f"the server does not take {', '.join(undecided)}: its own defaults decide them")
        return "; ".join(notes)

    def body(self, item: Item) -> dict[str, Any]:
        system = [] if self.system_prompt is None else [{"role": "system", "content": self.system_prompt}]
        sampling = self.sampling
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [*system, {"role": "user", "content": item.question}],
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
        return {name: value for name, value in body.items() if name not in self.omitted}

    def leaves_out(self, declined: Declined, item: Item) -> bool:
        """Whether a refused field can go because it changes nothing, or because its twin says the same.

        Raises InputError if the server refuses a field that does change something: answers drawn in another way
        than asked are not what was asked for.
        """
        if declined.status not in (400, 422) or not UNKNOWN_FIELD.search(declined.words):
            return False
        body = self.body(item)
        fields = body.keys() & (REQUIRED_FIELDS | NEUTRAL.keys())
        named = {name for name in fields if _is_named(name, declined.words)}
        spare = {name for name in named if body[name] == NEUTRAL.get(name) or TWINS.get(name, name) in fields - named}
        if named and not spare:
            name = min(named)
            hint = f"{FLAGS[name]} does without it" if name in FLAGS else "use a server that takes this field"
            what = f"the server refuses this sampling field (value {body[name]}): {declined}"
            raise InputError([Problem(self.address, what, field=name, hint=hint)])
        self.omitted |= spare
        return bool(spare)

    def reply(self, document: dict[str, Any], latency_ms: float, attempts: int) -> Reply:
        """Raises Transient if there is no answer in the document."""
        choices = document.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        message = choice.get("message") if isinstance(choice, dict) else None
        content = message.get("content") if isinstance(message, dict) else 0
        if not isinstance(content, str | None) or not isinstance(choice, dict) or not isinstance(message, dict):
            raise Transient("the answer has no choices[0].message.content")
        usage = document.get("usage")
        tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
        tokens = tokens if type(tokens) is int and tokens >= 0 else None
        said = self._said(choice.get("finish_reason"))
        if said in ABORTED:
            raise Transient(f"the server gave up on the answer (finish_reason {said})")
        if document.get("system_fingerprint") == "fp_ollama":
            self._mind_ollama()
        text = self.key.hide((content or "").strip())
        metadata: dict[str, Any] = {
            "server_model": self._said(document.get("model")),
            "system_fingerprint": self._said(document.get("system_fingerprint")),
            "server_finish_reason": said,
            "attempts": attempts,
        }
        if self.omitted:
            metadata["omitted_fields"] = sorted(self.omitted)
        if isinstance(thought := message.get("reasoning_content"), str) and thought:
            metadata["reasoning_length"] = len(thought)
        reason = _finish_reason(text, said, tokens, self.sampling.max_new_tokens)
        return Reply(text, tokens, reason, latency_ms, metadata)

    def _mind_ollama(self) -> None:
        self.is_ollama = True
        if self.sampling.top_k or self.sampling.repetition_penalty != 1:
            raise InputError([Problem(self.address, OLLAMA_NOTE, hint="--top-k 0 --repetition-penalty 1")])

    def _said(self, value: object) -> str | None:
        return shorten(self.key.hide(value), 200) if isinstance(value, str) else None


def _is_named(field_name: str, words: str) -> bool:
    """vLLM calls the template's arguments chat_template where a tokenizer has none."""
    return re.search(rf"\b{field_name.removesuffix('_kwargs')}(_kwargs)?\b", words) is not None


def _finish_reason(text: str, said: str | None, tokens: int | None, most_tokens: int) -> FinishReason:
    """A filtered answer is cut off too; a reason nobody knows counts as such if the tokens ran out."""
    if not text:
        return "empty"
    full = tokens is not None and tokens >= most_tokens
    return "length" if said in CUT_OFF or (said not in ENDED and full) else "eos"
