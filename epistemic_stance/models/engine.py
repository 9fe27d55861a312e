"""The one way to generate answers: for collection, checkpoint evaluation, `stance answers` and `stance chat`.

A `Decoder` is a model with what was found out about it: whether its answers in slots (`slots.py`) equal those of
transformers' `generate`, and which library multiplies faster. Where slots fail, plain batches (`plain.py`) answer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from epistemic_stance.foundation.errors import RefusedError
from epistemic_stance.foundation.thoughts import CLOSE, OPEN, split_thought
from epistemic_stance.models.chat_template import encode_question
from epistemic_stance.models.errors import is_out_of_memory
from epistemic_stance.models.memory import available_memory
from epistemic_stance.models.plain import generate_batch, plain_answers
from epistemic_stance.models.products import faster_products, multiplying_by
from epistemic_stance.models.sampling_config import SamplingConfig
from epistemic_stance.models.slots import Finished, Request, decode, prefill
from epistemic_stance.records.collection import Products

SLOTS_PER_THREAD = 32
"""A CPU core is busy with this many rows; more make a step longer and hardly a token cheaper."""
SLOTS_ON_GPU = 256
PRODUCT_ROWS = 16
"""Rows with which the libraries are timed."""
MEMORY_SHARE = 0.5
"""Of the free memory, for slots; the rest is for what else runs."""
PROMPT_ALLOWANCE = 256
"""Tokens that a slot's memory estimate allows for a prompt."""
LOGITS_COPIES = 5
"""Rows over the vocabulary that sampling holds at once: logits, scaled, probabilities, cumulative, one to spare."""

REPLACEMENT = "\ufffd"
"""What bytes of an incomplete character decode to: an answer that is cut off can end inside one."""
CHECK_QUESTIONS = ("What is the sea?", "Name three things that a person can find on a long walk by the sea in winter.")
CHECK_TOKENS = 8
TIE = {torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 5e-3}
"""Logits closer than this, relative to the largest, may change places by rounding."""


@dataclass(frozen=True)
class Decoder:
    """A model that answers, and how. Between two calls of `generate` the model is as it was, and may be trained."""

    model: Any
    tokenizer: Any
    stop_ids: set[int]
    products: Products
    """What multiplies while it answers."""
    why_plain: str | None
    """Why answers take the plain path; None where they run in slots."""
    bytes_per_token: int
    """Of keys and values; 0 on the plain path."""

    @property
    def positions(self) -> int | None:
        """Most tokens of prompt and answer; None for an architecture without such a limit."""
        positions = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return positions if isinstance(positions, int) else None

    def text(self, answer: Finished) -> str:
        """What was answered, without white space around it and without a thought before it."""
        return self.text_and_thought(answer)[0]

    def text_and_thought(self, answer: Finished) -> tuple[str, str]:
        """The answer, and what the model thought before it; "" = nothing."""
        spoken = self._spoken(answer.token_ids)
        if answer.end_id is None:
            spoken = spoken.removesuffix(REPLACEMENT)
        return split_thought(spoken, opened=self._opened)

    @functools.cached_property
    def _opened(self) -> bool:
        """Whether the chat template begins the thought itself."""
        asked = str(self.tokenizer.decode(encode_question(self.tokenizer, CHECK_QUESTIONS[0])))
        return asked.rstrip().endswith(OPEN)

    def _spoken(self, token_ids: Sequence[int]) -> str:
        """Text of the tokens, with the marks of a thought also where the tokenizer counts them as special."""
        parts, start = list[str](), 0
        for place, token in enumerate(token_ids):
            if token in self._marks:
                parts += [self._decoded(token_ids[start:place]), self._marks[token]]
                start = place + 1
        return "".join([*parts, self._decoded(token_ids[start:])])

    def _decoded(self, token_ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(token_ids, skip_special_tokens=True))

    @functools.cached_property
    def _marks(self) -> dict[int, str]:
        """Tokens that begin or end a thought; none in most vocabularies."""
        ids = {mark: self.tokenizer.convert_tokens_to_ids(mark) for mark in (OPEN, CLOSE)}
        known = {mark: token for mark, token in ids.items() if token is not None}
        return {token: mark for mark, token in known.items() if self.tokenizer.convert_ids_to_tokens(token) == mark}


def make_decoder(model: Any, tokenizer: Any, stop_ids: set[int], products: Products | None = None) -> Decoder:
    """Find out how a model can answer.

    Args:
        products: what multiplies; None = what is faster here.

    Raises InputError if the chat template refuses a question, NumericError if the model computes NaN.
    """
    prompts = [tuple(encode_question(tokenizer, question)) for question in CHECK_QUESTIONS]
    products = products or faster_products(model, PRODUCT_ROWS)
    why_plain = compare_with_plain(model, prompts, products)
    if why_plain is not None:
        return Decoder(model, tokenizer, stop_ids, "torch", why_plain, 0)
    with torch.inference_mode():
        kept = prefill(model, prompts[0]).keys_and_values
    size = sum(keys.nbytes + values.nbytes for keys, values in kept) // len(prompts[0])
    return Decoder(model, tokenizer, stop_ids, products, None, size)


def generate(
    decoder: Decoder,
    requests: Sequence[Request],
    sampling: SamplingConfig,
    *,
    slots: int,
    on_finished: Callable[[], None] = lambda: None,
    on_step: Callable[[int], None] = lambda _: None,
) -> list[Finished]:
    """Answer all requests, at most `slots` at a time; the hooks are those of `slots.decode`.

    The same requests, decoder and slots on the same device, dtype and threads give the same tokens.
    """
    answer = decode if decoder.why_plain is None else plain_answers
    with multiplying_by(decoder.model, decoder.products):
        return answer(
            decoder.model,
            requests,
            slots=slots,
            stop_ids=decoder.stop_ids,
            sampling=sampling,
            on_finished=on_finished,
            on_step=on_step,
        )


def generate_in_memory(
    decoder: Decoder,
    requests: Sequence[Request],
    sampling: SamplingConfig,
    *,
    slots: int,
    on_finished: Callable[[], None] = lambda: None,
    on_step: Callable[[int], None] = lambda _: None,
) -> tuple[list[Finished], int]:
    """`generate`, begun anew with half the slots where memory does not hold them; also returns the slots that it did.

    Raises RefusedError if memory does not hold one answer.
    """
    while True:
        try:
            finished = generate(decoder, requests, sampling, slots=slots, on_finished=on_finished, on_step=on_step)
            return finished, slots
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        if slots == 1:
            tokens = max(request.max_new_tokens for request in requests)
            raise RefusedError(
                f"the memory of {decoder.model.device.type} does not hold one answer of {tokens} tokens",
                "lower --max-new-tokens, or use a smaller model or --dtype bfloat16",
            )
        slots //= 2
        if decoder.model.device.type == "cuda":
            torch.cuda.empty_cache()


def automatic_slots(decoder: Decoder, max_new_tokens: int) -> int:
    """As many slots as keep the device busy, or the power of two below what memory holds.

    No timing: the same machine gives the same number.
    """
    device = decoder.model.device.type
    wanted = SLOTS_PER_THREAD * torch.get_num_threads() if device == "cpu" else SLOTS_ON_GPU
    if decoder.why_plain is not None:
        return wanted
    bytes_of_logits = LOGITS_COPIES * 4 * decoder.model.config.get_text_config().vocab_size
    bytes_of_slot = decoder.bytes_per_token * (PROMPT_ALLOWANCE + max_new_tokens) + bytes_of_logits
    fitting = int(MEMORY_SHARE * available_memory(device)) // bytes_of_slot
    return wanted if fitting >= wanted else 1 << max(0, fitting.bit_length() - 1)


def compare_with_plain(model: Any, prompts: Sequence[tuple[int, ...]], products: Products) -> str | None:
    """Compare slots with transformers' generate on two prompts, greedily; why slots cannot be used, or None.

    Two slots, three answers of different lengths: a slot is refilled and the batch shrinks.
    """
    first, second = prompts
    never = {model.config.get_text_config().vocab_size}
    expected = {
        prompt: generate_batch(model, [prompt], stop_ids=never, max_new_tokens=CHECK_TOKENS)[0].token_ids
        for prompt in (first, second)
    }
    requests = [Request(first, 0.0, 0, 2), Request(second, 0.0, 0, CHECK_TOKENS), Request(first, 0.0, 0, CHECK_TOKENS)]
    try:
        greedy = SamplingConfig(CHECK_TOKENS)
        with multiplying_by(model, products):
            answers = decode(model, requests, slots=2, stop_ids=never, sampling=greedy)
            same = all(
                equal_but_for_ties(model, expected[request.prompt_ids], request, answer.token_ids)
                for request, answer in zip(requests, answers, strict=True)
            )
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError, KeyError) as error:
        if is_out_of_memory(error):
            raise
        return f"the model does not run in slots: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return None if same else "answers in slots differ from transformers' generate"


@torch.inference_mode()
def equal_but_for_ties(model: Any, expected: list[int], request: Request, answer: list[int]) -> bool:
    """Whether two greedy answers are the same, or part where two tokens were as likely as rounding can tell."""
    parted = next((at for at, (a, b) in enumerate(zip(expected, answer, strict=False)) if a != b), None)
    if parted is None:
        return True
    input_ids_1T = torch.tensor([[*request.prompt_ids, *expected[:parted]]], device=model.device)
    logits_V = model(input_ids=input_ids_1T).logits[0, -1].float()
    gap = logits_V[expected[parted]] - logits_V[answer[parted]]
    return bool(gap <= TIE[model.dtype] * logits_V.abs().max())
