"""What will be asked, in which order and with which seeds; decided before the first answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

FinishReason = Literal["eos", "length", "empty"]
FILTERED = "content_filter"
"""What servers call the end of an answer that their filter cut off; its finish reason here is `length`."""


@dataclass(frozen=True)
class Item:
    """One answer to ask for."""

    question_id: str
    category: str
    question: str
    temperature: float
    """0 = greedy."""
    iteration: int
    """From 1."""
    seed: int
    """Of this answer alone, 0 to 2**31 - 1: its text does not depend on what else is asked."""


Group = tuple[Item, ...]
"""Items that are asked together and whose answers are written together: all of one are on the disk, or none."""


@dataclass(frozen=True)
class Reply:
    text: str
    """As decoded, without leading and trailing white space."""
    tokens: int | None
    """Up to the first stop token, without it; None if an endpoint does not say."""
    finish_reason: FinishReason
    latency_ms: float
    metadata: dict[str, Any] = field(default_factory=dict)
    """What else is worth keeping with this one answer, such as the model name a server reports."""


@dataclass(frozen=True)
class Identity:
    """What has to be the same for two runs to be one: goes into every record and into the run's fingerprint."""

    model: str
    """As the user gave it."""
    backend: str
    """`transformers` or `endpoint`."""
    weights_digest: str | None
    """None = unknown: an endpoint does not say."""
    template_digest: str | None
    device: str | None
    dtype: str | None
    versions: dict[str, str]


class Backend(Protocol):
    """Who answers."""

    identity: Identity

    @property
    def note(self) -> str | None:
        """What the user should know about these answers; it may be known only after the first one."""
        ...

    def answers(self, groups: Sequence[Group]) -> Iterator[tuple[Group, list[Reply]]]:
        """Answer every group; a group is yielded when all of it is answered, in any order of groups.

        Raises StanceError if it cannot go on: what was yielded before is kept, the rest is asked next time.
        """
        ...


def item_seed(run_seed: int, question: str, temperature: float, iteration: int) -> int:
    """A seed that depends on what is asked alone, so that a smaller plan repeats answers of a larger one."""
    digest = hashlib.sha256(f"{run_seed}|{temperature!r}|{iteration}|{question}".encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF


def plan_items(
    questions: Iterable[tuple[str, str, str]], temperatures: Sequence[float], iterations: int, seed: int
) -> list[Item]:
    """All items of a plan. `questions` are (id, category, text).

    Temperature 0 is greedy and is asked once: five copies of one answer are not five answers.
    """
    return [
        Item(identifier, category, text, temperature, iteration, item_seed(seed, text, temperature, iteration))
        for identifier, category, text in questions
        for temperature in temperatures
        for iteration in range(1, (1 if temperature == 0 else iterations) + 1)
    ]
