"""The local backend: a transformers model answers a plan, group by group.

Answers run in slots (`slots.py`) where the architecture was shown to allow it, else in plain batches. A group is
answered from an empty cache, so that its text is a function of the group, the weights, device, dtype, slots and
threads, and not of where an interrupted run went on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import torch

from epistemic_stance.collection.backend import FinishReason, Group, Identity, Reply
from epistemic_stance.collection.design import Item
from epistemic_stance.foundation.errors import InputError, Problem, RefusedError
from epistemic_stance.foundation.provenance import versions
from epistemic_stance.models.chat_template import encode_question, template_digest
from epistemic_stance.models.device import choose_device, choose_dtype
from epistemic_stance.models.generation import generate
from epistemic_stance.models.load import find_model, is_out_of_memory, model_in, stop_ids_in, tokenizer_in
from epistemic_stance.models.memory import available_memory, tune_allocator
from epistemic_stance.models.onednn import use_onednn, use_torch
from epistemic_stance.models.sampling_config import SamplingConfig
from epistemic_stance.models.slots import Finished, Request, decode, prefill

SLOTS_PER_THREAD = 32
"""A CPU core is busy with this many rows; more make a step longer and hardly a token cheaper."""
SLOTS_ON_GPU = 256
MEMORY_SHARE = 0.5
"""Of the free memory, for slots; the rest is for what else runs."""
PROMPT_ALLOWANCE = 256
"""Tokens that a slot's memory estimate allows for a prompt."""
LOGITS_COPIES = 5
"""Rows over the vocabulary that sampling holds at once: logits, scaled, probabilities, cumulative, one to spare."""
GROUP_SLOTS = 2
"""Answers of a group, in slots: the end of a group leaves slots idle (an eighth of the time at 2, a sixteenth at 4),
and an interruption loses up to one group."""

CHECK_QUESTIONS = ("What is the sea?", "Name three things that a person can find on a long walk by the sea in winter.")
CHECK_TOKENS = 8
TIE = {torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 5e-3}
"""Logits closer than this, relative to the largest, may change places by rounding."""


@dataclass
class LocalBackend:
    """A loaded model that answers. `open_local` makes one."""

    identity: Identity
    slots: int
    """Answers side by side. Halved when memory runs out; every reply's metadata says what it was answered with."""
    threads: int
    note: str | None
    """Why answers take the plain path; None where they run in slots."""
    model: Any
    tokenizer: Any
    stop_ids: set[int]
    sampling: SamplingConfig
    system_prompt: str | None
    on_answer: Callable[[], None] = lambda: None
    """Called when an answer is complete, long before its group is; once more if its group is begun anew."""

    def grouped(self, items: Sequence[Item]) -> list[Group]:
        return grouped(items, self.slots)

    def answers(
        self, groups: Sequence[Group], on_answer: Callable[[], None] = lambda: None
    ) -> Iterator[tuple[Group, list[Reply]]]:
        """Answer the groups in order. Raises InputError before the first if a question is too long for the model."""
        self.on_answer = on_answer
        prompts = self.encode({item.question: item.question_id for group in groups for item in group})
        for group in groups:
            finished = self.finish([self.request(item, prompts[item.question]) for item in group])
            yield group, [self.reply(answer) for answer in finished]

    def encode(self, questions: dict[str, str]) -> dict[str, tuple[int, ...]]:
        """Prompt of each question; `questions` maps their texts to their ids."""
        prompts = {text: tuple(encode_question(self.tokenizer, text, self.system_prompt)) for text in questions}
        positions = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        room = None if positions is None else positions - self.sampling.max_new_tokens
        problems = [
            Problem(
                questions[text],
                f"its prompt has {len(ids)} tokens and the answer may have {self.sampling.max_new_tokens}, "
                f"expected at most {positions} together, the model's positions",
                hint="lower --max-new-tokens or shorten the question",
            )
            for text, ids in prompts.items()
            if room is not None and len(ids) > room
        ]
        if problems:
            raise InputError(problems)
        return prompts

    def request(self, item: Item, prompt_ids: tuple[int, ...]) -> Request:
        return Request(prompt_ids, item.temperature, item.seed, self.sampling.max_new_tokens)

    def finish(self, requests: Sequence[Request]) -> list[Finished]:
        """Answer the requests of one group; a group that memory does not hold is begun anew with half the slots."""
        while True:
            try:
                return self.attempt(requests)
            except (MemoryError, RuntimeError) as error:
                if not isinstance(error, MemoryError) and not is_out_of_memory(error):
                    raise
            if self.slots == 1:
                tokens = self.sampling.max_new_tokens
                raise RefusedError(
                    f"the memory of {self.identity.device} does not hold one answer of {tokens} tokens",
                    "lower --max-new-tokens, or use a smaller model or --dtype bfloat16",
                )
            self.slots //= 2
            if self.identity.device == "cuda":
                torch.cuda.empty_cache()

    def attempt(self, requests: Sequence[Request]) -> list[Finished]:
        if self.note is not None:
            return plain_answers(self, requests)
        return decode(
            self.model,
            requests,
            slots=self.slots,
            stop_ids=self.stop_ids,
            sampling=self.sampling,
            on_finished=self.on_answer,
        )

    def reply(self, answer: Finished) -> Reply:
        text = self.tokenizer.decode(answer.token_ids, skip_special_tokens=True).strip()
        reason: FinishReason = "empty" if not text else "eos" if answer.stopped else "length"
        latency_ms = round(1000 * answer.seconds, 1)
        return Reply(text, len(answer.token_ids), reason, latency_ms, {"slots": self.slots})


def grouped(items: Sequence[Item], slots: int) -> list[Group]:
    """Split a plan into groups of at most GROUP_SLOTS * slots answers, as equal as can be, in order.

    The whole plan goes in, also when an interrupted run continues: the answers of a group are computed together.
    """
    count = -(-len(items) // (GROUP_SLOTS * slots))
    edges = [index * len(items) // count for index in range(count + 1)] if count else []
    return [tuple(items[start:end]) for start, end in pairwise(edges)]


def open_local(
    name: str, sampling: SamplingConfig, *, device: str, dtype: str, system_prompt: str | None, slots: int, threads: int
) -> LocalBackend:
    """Load a model and find out how it can answer.

    Args:
        name: of the model, as `models.find_model` understands names.
        slots: answers side by side; 0 = as many as cores and memory suggest.
        threads: of the CPU; 0 = torch's choice.

    Raises InputError or RefusedError for what `find_model`, `choose_device` and `choose_dtype` refuse, NumericError
    if the model computes NaN.
    """
    files = find_model(name)
    tokenizer = tokenizer_in(files.folder)
    prompts = [encode_question(tokenizer, question, system_prompt) for question in CHECK_QUESTIONS]
    device = choose_device(device)
    computed_in = str(choose_dtype(dtype, device)).removeprefix("torch.")
    tune_allocator()
    if threads:
        torch.set_num_threads(threads)
    model = model_in(files.folder, device, computed_in)
    note = why_plain(model, tokenizer, prompts)
    return LocalBackend(
        identity=Identity(
            model=name,
            backend="transformers",
            weights_digest=files.digest(),
            template_digest=template_digest(tokenizer),
            device=device,
            dtype=computed_in,
            versions=versions(),
        ),
        slots=slots or automatic_slots(model, prompts[0], sampling.max_new_tokens, note is None),
        threads=torch.get_num_threads(),
        note=note,
        model=model,
        tokenizer=tokenizer,
        stop_ids=stop_ids_in(files.folder, tokenizer),
        sampling=sampling,
        system_prompt=system_prompt,
    )


def automatic_slots(model: Any, prompt_ids: Sequence[int], max_new_tokens: int, in_slots: bool) -> int:
    """As many slots as keep the device busy, or the power of two below what memory holds.

    No timing: the same machine gives the same number.
    """
    device = model.device.type
    wanted = SLOTS_PER_THREAD * torch.get_num_threads() if device == "cpu" else SLOTS_ON_GPU
    if not in_slots:
        return wanted
    with torch.inference_mode():
        prefilled = prefill(model, prompt_ids)
    bytes_of_token = sum(keys.nbytes + values.nbytes for keys, values in prefilled.keys_and_values) // len(prompt_ids)
    bytes_of_logits = LOGITS_COPIES * 4 * len(prefilled.logits_V)
    bytes_of_slot = bytes_of_token * (PROMPT_ALLOWANCE + max_new_tokens) + bytes_of_logits
    fitting = int(MEMORY_SHARE * available_memory(device)) // bytes_of_slot
    return wanted if fitting >= wanted else 1 << max(0, fitting.bit_length() - 1)


def why_plain(model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]]) -> str | None:
    """Compare slots with transformers' generate on two prompts, greedily; why slots cannot be used, or None.

    Three answers share two slots and end at different times, so that one is refilled beside a running one. Leaves
    the model multiplying by oneDNN if the answer is None.
    """
    first, second = (tuple(prompt) for prompt in prompts)
    never = {model.config.get_text_config().vocab_size}
    expected = {
        prompt: generate(model, tokenizer, [list(prompt)], stop_ids=never, max_new_tokens=CHECK_TOKENS)[0].token_ids
        for prompt in (first, second)
    }
    requests = [Request(first, 0.0, 0, 2), Request(second, 0.0, 0, CHECK_TOKENS), Request(first, 0.0, 0, CHECK_TOKENS)]
    use_onednn(model)
    try:
        greedy = SamplingConfig(CHECK_TOKENS, 1.0, 0, 1.0)
        found = decode(model, requests, slots=2, stop_ids=never, sampling=greedy)
        pairs = zip(requests, found, strict=True)
        same = all(equal_but_for_ties(model, expected[ask.prompt_ids], ask, answer.token_ids) for ask, answer in pairs)
        reason = None if same else "answers in slots differ from transformers' generate"
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError, KeyError) as error:
        if is_out_of_memory(error):
            raise
        reason = f"the model does not run in slots: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
    if reason:
        use_torch(model)
    return reason


@torch.inference_mode()
def equal_but_for_ties(model: Any, expected: list[int], request: Request, found: list[int]) -> bool:
    """Whether two greedy answers are the same, or part where two tokens were as likely as rounding can tell."""
    parted = next((at for at, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b), None)
    if parted is None:
        return True
    input_ids_1T = torch.tensor([[*request.prompt_ids, *expected[:parted]]], device=model.device)
    logits_V = model(input_ids=input_ids_1T).logits[0, -1].float()
    gap = logits_V[expected[parted]] - logits_V[found[parted]]
    return bool(gap <= TIE[model.dtype] * logits_V.abs().max())


def plain_answers(backend: LocalBackend, requests: Sequence[Request]) -> list[Finished]:
    """Answers by transformers' generate, for architectures that cannot use slots.

    A batch holds prompts of one length at one temperature, for there are models that padding disturbs. It waits for
    its longest answer and draws from the seed of its first.
    """

    def kind(index: int) -> tuple[float, int]:
        return requests[index].temperature, len(requests[index].prompt_ids)

    sampling = backend.sampling
    finished: dict[int, Finished] = {}
    for _, alike in groupby(sorted(range(len(requests)), key=kind), key=kind):
        indexes = list(alike)
        for batch in (indexes[start : start + backend.slots] for start in range(0, len(indexes), backend.slots)):
            started = time.perf_counter()
            answers = generate(
                backend.model,
                backend.tokenizer,
                [list(requests[index].prompt_ids) for index in batch],
                stop_ids=backend.stop_ids,
                max_new_tokens=sampling.max_new_tokens,
                temperature=requests[batch[0]].temperature,
                seed=requests[batch[0]].seed,
                top_p=sampling.top_p,
                top_k=sampling.top_k,
                repetition_penalty=sampling.repetition_penalty,
            )
            seconds = time.perf_counter() - started
            for index, answer in zip(batch, answers, strict=True):
                finished[index] = Finished(answer.token_ids, answer.end_id is not None, seconds)
                backend.on_answer()
    return [finished[index] for index in range(len(requests))]
