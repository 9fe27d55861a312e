"""What is asked for, what comes back, and the interface of those who answer: `local.py` and `endpoint.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
    """What has to be the same for two runs to be one: goes into the plan and into every record."""

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
    """An opened model, or a server that was found to be there."""

    identity: Identity

    @property
    def slots(self) -> int | None:
        """Answers generated side by side; None = unknown."""
        ...

    @property
    def threads(self) -> int | None:
        """Of the CPU; None = unknown."""
        ...

    @property
    def note(self) -> str | None:
        """What the user should know about these answers; it may be known only after the first one."""
        ...

    def grouped(self, items: Sequence[Item]) -> list[Group]:
        """All items of a plan, divided into what is answered together; the same for a plan that is continued."""
        ...

    def answers(
        self, groups: Sequence[Group], on_answer: Callable[[], None] = lambda: None
    ) -> Iterator[tuple[Group, list[Reply]]]:
        """Answer every group; a group is yielded when all of it is answered, in any order of groups.

        `on_answer` is called when an answer is complete, which may be long before its group is.
        Raises StanceError if it cannot go on: what was yielded before is kept, the rest is asked next time.
        """
        ...
