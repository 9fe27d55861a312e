"""A model in a conversation: the questions so far, with its own answers."""

from __future__ import annotations

from dataclasses import dataclass, field

from epistemic_stance.foundation.errors import InputError, Problem, RefusedError
from epistemic_stance.models.chat_template import render, with_system
from epistemic_stance.models.engine import Decoder, generate
from epistemic_stance.models.errors import is_out_of_memory
from epistemic_stance.models.sampling_config import SamplingConfig
from epistemic_stance.models.slots import Request
from epistemic_stance.stance.pairs import Messages


@dataclass
class ChatSampling:
    """How models are asked from now on."""

    system_prompt: str | None
    """None: the chat template's own default."""
    temperature: float
    max_new_tokens: int
    seed: int
    """Of the first turn; each later one adds 1, so that the same question twice may get two answers."""


@dataclass(frozen=True)
class Reply:
    """An answer, not yet part of the conversation."""

    text: str
    cut: bool
    """It reached its length limit."""
    dropped: int
    """Oldest turns that have to go for this one to fit."""


@dataclass
class ChatModel:
    """A model with its side of the conversation."""

    label: str
    name: str
    decoder: Decoder
    turns: list[tuple[str, str]] = field(default_factory=list)
    """(question, answer) that the model still sees, the oldest first."""
    left_out: int = 0
    """Turns before these that it no longer sees."""

    @property
    def positions(self) -> int | None:
        return self.decoder.positions

    def reply(self, question: str, sampling: ChatSampling, seed: int) -> Reply:
        """Answer a question after the turns so far; the conversation stays as it is until `remember`.

        Raises InputError if the template refuses the conversation or the question alone is too long, RefusedError
        if memory is short, NumericError if the model computes what is no number.
        """
        prompt, dropped = self.prompt(question, sampling)
        request = Request(tuple(prompt), sampling.temperature, seed, sampling.max_new_tokens)
        try:
            [answer] = generate(self.decoder, [request], SamplingConfig(sampling.max_new_tokens), slots=1)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            what = f"{self.name}: not enough memory to answer a prompt of {len(prompt)} tokens"
            raise RefusedError(what, "/reset makes the prompt short again") from error
        return Reply(self.decoder.text(answer), answer.end_id is None, dropped)

    def prompt(self, question: str, sampling: ChatSampling) -> tuple[list[int], int]:
        """Token ids that ask the question, and how many of the oldest turns had to go to leave room for an answer."""
        for dropped in range(len(self.turns) + 1):
            messages: Messages = []
            for asked, answered in self.turns[dropped:]:
                messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
            messages.append({"role": "user", "content": question})
            with_prompt = with_system(messages, sampling.system_prompt)
            prompt = render(self.decoder.tokenizer, with_prompt, add_generation_prompt=True)
            if self.positions is None or len(prompt) + sampling.max_new_tokens <= self.positions:
                return prompt, dropped
        what = (
            f"the question alone takes {len(prompt)} tokens; with an answer of up to {sampling.max_new_tokens} that is "
            f"more than the model's {self.positions} positions"
        )
        raise InputError(
            [Problem(self.name, what, hint="ask in fewer words, or start with a smaller --max-new-tokens")]
        )

    def remember(self, question: str, reply: Reply) -> None:
        self.turns = [*self.turns[reply.dropped :], (question, reply.text)]
        self.left_out += reply.dropped

    def forget(self) -> None:
        self.turns, self.left_out = [], 0
