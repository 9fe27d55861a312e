"""The local backend: an opened model answers a plan, group by group.

A group is answered from an empty cache, so that its text is a function of the group, the weights, device, dtype,
slots and threads, and not of where an interrupted run went on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from epistemic_stance.collection.backend import FinishReason, Group, Identity, Reply
from epistemic_stance.collection.design import Item
from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.provenance import versions
from epistemic_stance.models.chat_template import after_an_answer, encode_question
from epistemic_stance.models.engine import CHECK_QUESTIONS, automatic_slots, generate_in_memory
from epistemic_stance.models.load import require_rows
from epistemic_stance.models.open import OpenedModel
from epistemic_stance.models.sampling_config import SamplingConfig
from epistemic_stance.models.slots import Finished, Request

GROUP_SLOTS = 2
"""Answers of a group, in slots: the end of a group leaves slots idle (an eighth of the time at 2, a sixteenth at 4),
and an interruption loses up to one group."""


class LocalBackend:
    """Asks an opened model. One model may be asked by several backends, one after the other."""

    def __init__(
        self,
        opened: OpenedModel,
        sampling: SamplingConfig,
        *,
        system_prompt: str | None = None,
        slots: int = 0,
    ) -> None:
        """
        Args:
            slots: answers side by side; 0 = as many as cores and memory suggest. Halved when memory runs out; every
                reply's metadata says what it was answered with.

        Raises InputError if the chat template refuses a question, NumericError if the model computes NaN.
        """
        encode_question(opened.tokenizer, CHECK_QUESTIONS[0], system_prompt)  # some templates refuse a system prompt
        self.opened = opened
        self.decoder = opened.decoder
        self.sampling = sampling
        self.system_prompt = system_prompt
        self.slots = slots or automatic_slots(self.decoder, sampling.max_new_tokens)
        self.identity = Identity(
            model=opened.files.name,
            template_digest=opened.template_digest,
            device=opened.device,
            dtype=opened.dtype,
            versions=versions(),
            products=self.decoder.products,
        )

    @property
    def threads(self) -> int:
        return self.opened.threads

    @property
    def note(self) -> str | None:
        """What a reader of the answers has to know: why they take the plain path, and that nothing may end them."""
        notes = [self.decoder.why_plain] if self.decoder.why_plain else []
        if not self.decoder.stop_ids.intersection(after_an_answer(self.decoder.tokenizer)):
            notes.append(
                "no token that the chat template puts after an answer ends one (eos_token_id of config.json, "
                "generation_config.json and the tokenizer): answers may run on into other turns"
            )
        return "; ".join(notes) or None

    def grouped(self, items: Sequence[Item]) -> list[Group]:
        return grouped(items, self.slots)

    def answers(
        self, groups: Sequence[Group], on_answer: Callable[[], None] = lambda: None
    ) -> Iterator[tuple[Group, list[Reply]]]:
        """Answer the groups in order; `on_answer` is called once more for each answer of a group that is begun anew.

        Raises InputError before the first if a question is too long for the model.
        """
        prompts = self.encode({item.question: item.question_id for group in groups for item in group})
        for group in groups:
            requests = [self.request(item, prompts[item.question]) for item in group]
            finished, self.slots = generate_in_memory(
                self.decoder, requests, self.sampling, slots=self.slots, on_finished=on_answer
            )
            yield group, [self.reply(answer) for answer in finished]

    def encode(self, questions: dict[str, str]) -> dict[str, tuple[int, ...]]:
        """Prompt of each question; `questions` maps their texts to their ids."""
        tokenizer, positions = self.decoder.tokenizer, self.decoder.positions
        prompts = {text: tuple(encode_question(tokenizer, text, self.system_prompt)) for text in questions}
        require_rows(tokenizer, self.decoder.model.config, (token for ids in prompts.values() for token in ids))
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

    def reply(self, answer: Finished) -> Reply:
        text, thought = self.decoder.text_and_thought(answer)
        reason: FinishReason = "empty" if not text else "length" if answer.end_id is None else "eos"
        latency_ms = round(1000 * answer.seconds, 1)
        kept = {"slots": self.slots} | ({"thought": thought} if thought else {})
        return Reply(text, len(answer.token_ids), reason, latency_ms, kept)


def grouped(items: Sequence[Item], slots: int) -> list[Group]:
    """Split a plan into groups of at most GROUP_SLOTS * slots answers, as equal as can be, in order.

    The whole plan goes in, also when an interrupted run continues: the answers of a group are computed together.
    """
    count = -(-len(items) // (GROUP_SLOTS * slots))
    edges = [index * len(items) // count for index in range(count + 1)] if count else []
    return [tuple(items[start:end]) for start, end in pairwise(edges)]
