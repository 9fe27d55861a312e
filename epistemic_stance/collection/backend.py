"""What comes back from those who answer, and their interface: `local.py` and `endpoint.py` have one each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from epistemic_stance.collection.design import Design, Item
from epistemic_stance.foundation.reporter import Reporter
from epistemic_stance.foundation.settings import DEMO_MODEL, DEMO_NOTICE, CollectSettings
from epistemic_stance.records.collection import CollectionRecord, Products
from epistemic_stance.records.training import CheckpointMetadata

FinishReason = Literal["eos", "length", "empty"]
FILTERED = "content_filter"
"""What servers call the end of an answer that their filter cut off; its finish reason here is `length`."""


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
    """What is known of a model or a server once it is opened; None = unknown. Goes into the plan."""

    model: str
    """As the user gave it."""
    versions: dict[str, str]
    template_digest: str | None = None
    device: str | None = None
    dtype: str | None = None
    products: Products | None = None
    """What multiplies."""


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


OpenBackend = Callable[[CollectSettings, Design, CollectionRecord | None, Reporter], Backend]
"""Settings, what is asked, the plan of the answers that are there (None = none), and who hears of trouble."""


@dataclass(frozen=True)
class Source:
    """A model, by the digests of its files, or a server, by its address. One source serves many collections."""

    backend: str
    open: OpenBackend
    """Called only if an answer is missing. Raises StanceError."""
    weights_digest: str | None = None
    """None = unknown: a server does not say."""
    tokenizer_digest: str | None = None
    endpoint: str | None = None
    """Address of the server."""
    trained: CheckpointMetadata | None = None
    """What a checkpoint of ours says of its training."""

    def warnings(self, model: str, system_prompt: str | None) -> list[str]:
        """What a reader of the answers has to know of the model, as far as its folder says."""
        if model == DEMO_MODEL:
            return [DEMO_NOTICE]
        if self.trained is None:
            return []
        is_demo = self.trained.base_model == DEMO_MODEL
        warnings = [f"{model} was trained from the demo model: {DEMO_NOTICE}"] if is_demo else []
        if self.trained.system_prompt != system_prompt:
            warnings.append("the model was trained with another system prompt than the one it is asked with here")
        return warnings
