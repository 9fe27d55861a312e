"""From messages to tokens: the one place where a chat template is rendered.

A pair becomes a shared prompt and two completions. The completion starts where the tokens of the prompt and of
prompt + answer diverge, the rule of TRL 1.16 (trl/trainer/dpo_trainer.py, tokenize_fn), so it keeps the
template's tail after the answer and survives tokens that merge across the boundary.
"""

from __future__ import annotations

import hashlib
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from jinja2.exceptions import TemplateError

from epistemic_stance.foundation.errors import InputError, Problem, StanceError
from epistemic_stance.foundation.settings import TEMPLATE_ARGUMENTS
from epistemic_stance.stance.pairs import EncodedPair, Messages, Pair

MAX_TEMPLATE_CHARACTERS = 64_000
"""Four times the longest template in wide use; a model's template is untrusted, and each pair renders it thrice."""
RENDER_SECONDS = 20.0
"""A conversation takes milliseconds; a template can loop for years."""


def with_system(prompt: Messages, system_prompt: str | None) -> Messages:
    if system_prompt is None or prompt[0]["role"] == "system":
        return prompt
    return [{"role": "system", "content": system_prompt}, *prompt]


def render(tokenizer: Any, messages: Messages, *, add_generation_prompt: bool) -> list[int]:
    """Token ids of a conversation under the model's chat template.

    Raises InputError if the tokenizer has no template or a too long one, if the template refuses the messages
    (Gemma: no system), and if it fails or does not end.
    """
    where = str(getattr(tokenizer, "name_or_path", "") or "tokenizer")
    if not tokenizer.chat_template:
        raise InputError([Problem(where, "has no chat template", hint="use an instruct or chat model")])
    size = len(str(tokenizer.chat_template))
    if size > MAX_TEMPLATE_CHARACTERS:
        what = f"its chat template has {size} characters, expected at most {MAX_TEMPLATE_CHARACTERS}"
        raise InputError([Problem(where, what)])
    try:
        with time_limit(RENDER_SECONDS):
            ids = tokenizer.apply_chat_template(
                messages,
                add_generation_prompt=add_generation_prompt,
                tokenize=True,
                return_dict=False,
                **TEMPLATE_ARGUMENTS,
            )
    except StanceError:
        raise
    except TemplateError as error:
        hint = "leave the system prompt out" if messages[0]["role"] == "system" else ""
        raise InputError(
            [Problem(where, f"the chat template refuses this conversation: {error}", hint=hint)]
        ) from error
    except Exception as error:  # a template computes, so it can raise what Python can
        what = f"the chat template fails: {type(error).__name__}: {error}"
        raise InputError([Problem(where, what, hint="repair it, or use another model")]) from error
    return list(ids)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the body after some seconds. Without effect off the main thread, where no signal comes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_alarm(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"not done after {seconds:g} seconds")

    previous = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    length = 0
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        length += 1
    return length


def encode_pair(tokenizer: Any, pair: Pair, system_prompt: str | None = None) -> EncodedPair:
    """Tokenize one pair. A raw-text prompt gets the end-of-sequence token appended to its answers.

    Raises InputError if the chat template refuses the pair or a part of it is left without a token.
    """
    only_asked = ""
    if isinstance(pair.prompt, str):
        prompt = _raw_ids(tokenizer, pair.prompt)
        eos = tokenizer.eos_token or ""
        full = [
            _raw_ids(tokenizer, pair.prompt + answer + ("" if answer.endswith(eos) else eos))
            for answer in (pair.chosen, pair.rejected)
        ]
    else:
        messages = with_system(pair.prompt, system_prompt)
        prompt = render(tokenizer, messages, add_generation_prompt=True)
        full = [
            render(tokenizer, [*messages, {"role": "assistant", "content": answer}], add_generation_prompt=False)
            for answer in (pair.chosen, pair.rejected)
        ]
        only_asked = _lost(tokenizer.decode(prompt), tokenizer.decode(full[0]))
    start = min(common_prefix(prompt, ids) for ids in full)
    encoded = EncodedPair(pair.id, prompt[:start], full[0][start:], full[1][start:], only_asked)
    require_tokens(encoded, pair.where or pair.id)
    return encoded


def _raw_ids(tokenizer: Any, text: str) -> list[int]:
    """Token ids of raw text; one that already begins with the tokenizer's first token does not get it twice."""
    ids: list[int] = tokenizer(text)["input_ids"]
    bos = tokenizer.bos_token_id
    return ids[1:] if bos is not None and ids[:2] == [bos, bos] else ids


def _lost(asked: str, trained: str) -> str:
    """The end of what is asked that is not what the trained conversation has there."""
    kept = common_prefix(list(map(ord, asked)), list(map(ord, trained)))
    return asked[kept:]


def require_tokens(encoded: EncodedPair, where: str) -> None:
    """The first token of an answer is predicted from the prompt's last: neither side may be empty."""
    problems = []
    if not encoded.prompt_ids:
        hint = "end the prompt with a line break, so that its tokens do not merge with the answer's"
        problems.append(Problem(where, "no token of it is left before the answers", field="prompt", hint=hint))
    for field, ids in (("chosen", encoded.chosen_ids), ("rejected", encoded.rejected_ids)):
        if not ids:
            problems.append(Problem(where, "adds no token after the prompt; the chat template drops it", field=field))
    if problems:
        raise InputError(problems)


def encode_question(tokenizer: Any, question: str, system_prompt: str | None = None) -> list[int]:
    """Token ids that ask one question, ready for generation."""
    messages = with_system([{"role": "user", "content": question}], system_prompt)
    return render(tokenizer, messages, add_generation_prompt=True)


def template_digest(tokenizer: Any) -> str:
    """sha256 of the chat template, by which two runs say that they asked in the same words."""
    return hashlib.sha256(str(tokenizer.chat_template).encode()).hexdigest()


def special_tokens(tokenizer: Any) -> set[str]:
    """Texts that become one control token wherever they stand."""
    added = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    return (added | set(tokenizer.all_special_tokens)) - {""}


def stop_token_ids(tokenizer: Any, *configs: Any) -> set[int]:
    """Ids that end an answer: the tokenizer's eos and those of every configuration of the model that names some."""
    configured = [getattr(config, "eos_token_id", None) for config in configs]
    ids = [token for one in configured for token in (one if isinstance(one, list) else [one])]
    return {token for token in (*ids, tokenizer.eos_token_id) if token is not None}


SHORTEST = [{"role": "user", "content": "x"}]


def conversation_ids(tokenizer: Any) -> list[int]:
    """Tokens of the shortest question that the chat template writes."""
    return render(tokenizer, SHORTEST, add_generation_prompt=True)


def after_an_answer(tokenizer: Any) -> list[int]:
    """Tokens that the chat template puts after an answer of the model."""
    turn = render(tokenizer, [*SHORTEST, {"role": "assistant", "content": "x"}], add_generation_prompt=False)
    return turn[len(conversation_ids(tokenizer)) :]
