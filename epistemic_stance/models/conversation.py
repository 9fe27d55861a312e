"""One or two models in a conversation: the same questions, each with its own answers as its history."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from epistemic_stance.foundation.errors import InputError, NumericError, Problem, RefusedError
from epistemic_stance.models.chat_template import render, with_system
from epistemic_stance.models.generation import Answer, generate
from epistemic_stance.models.load import ModelFiles, is_out_of_memory, model_in, stop_ids_in, tokenizer_in
from epistemic_stance.stance.pairs import Messages


@dataclass
class Manner:
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

    answer: Answer
    dropped: int
    """Oldest turns that have to go for this one to fit."""


@dataclass
class Speaker:
    """A model with its side of the conversation."""

    label: str
    name: str
    model: Any
    tokenizer: Any
    stop_ids: set[int]
    turns: list[tuple[str, str]] = field(default_factory=list)
    """(question, answer) that the model still sees, the oldest first."""
    left_out: int = 0
    """Turns before these that it no longer sees."""

    @property
    def positions(self) -> int | None:
        """Most tokens of prompt and answer; None for an architecture without such a limit."""
        found = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return found if isinstance(found, int) else None

    def reply(self, question: str, manner: Manner, seed: int) -> Reply:
        """Answer a question after the turns so far; the conversation stays as it is until `remember`.

        Raises InputError if the template refuses the conversation or the question alone is too long, RefusedError
        if memory is short, NumericError if the model computes what is no number.
        """
        prompt, dropped = self._prompt(question, manner)
        try:
            (answer,) = generate(
                self.model,
                self.tokenizer,
                [prompt],
                stop_ids=self.stop_ids,
                max_new_tokens=manner.max_new_tokens,
                temperature=manner.temperature,
                seed=seed,
            )
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, MemoryError) or is_out_of_memory(error):
                what = f"{self.name}: not enough memory to answer a prompt of {len(prompt)} tokens"
                raise RefusedError(what, "/reset makes the prompt short again") from error
            if "probability tensor" in str(error):  # what torch.multinomial says of NaN
                raise NumericError(f"{self.name} computes probabilities that are no numbers") from error
            raise
        return Reply(answer, dropped)

    def _prompt(self, question: str, manner: Manner) -> tuple[list[int], int]:
        """Token ids that ask the question, and how many of the oldest turns had to go to leave room for an answer."""
        for dropped in range(len(self.turns) + 1):
            messages: Messages = []
            for asked, answered in self.turns[dropped:]:
                messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
            messages.append({"role": "user", "content": question})
            prompt = render(self.tokenizer, with_system(messages, manner.system_prompt), add_generation_prompt=True)
            if self.positions is None or len(prompt) + manner.max_new_tokens <= self.positions:
                return prompt, dropped
        what = (
            f"the question alone takes {len(prompt)} tokens; with an answer of up to {manner.max_new_tokens} that is "
            f"more than the model's {self.positions} positions"
        )
        raise InputError(
            [Problem(self.name, what, hint="ask in fewer words, or start with a smaller --max-new-tokens")]
        )

    def remember(self, question: str, reply: Reply) -> None:
        self.turns = [*self.turns[reply.dropped :], (question, reply.answer.text)]
        self.left_out += reply.dropped

    def forget(self) -> None:
        self.turns, self.left_out = [], 0


def load_speaker(label: str, files: ModelFiles, device: str) -> Speaker:
    """Raises InputError if the files do not load."""
    tokenizer = tokenizer_in(files.folder)
    model = model_in(files.folder, device)
    return Speaker(label, files.name, model, tokenizer, stop_ids_in(files.folder, tokenizer))
