"""A contrastive pair: as it was written, and as token ids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Pair:
    """One contrastive pair, wherever it came from."""

    id: str
    category: str
    prompt: str | Messages
    """Messages go through the chat template; a string is raw text (Hugging Face's plain-text form)."""
    chosen: str
    rejected: str
    where: str = ""
    """File and line, for messages about this pair."""
    unread: tuple[str, ...] = ()
    """Columns of its line that nothing reads."""

    @property
    def question(self) -> str:
        """The text a person asked: the last user message, or the raw prompt."""
        return self.prompt if isinstance(self.prompt, str) else self.prompt[-1]["content"]


@dataclass(frozen=True)
class EncodedPair:
    """Token ids of one pair: prompt (P), chosen (C) and rejected (R) completions."""

    id: str
    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]
    only_asked: str = ""
    """Text with which the template begins an answer when it asks for one, and which the trained conversation lacks."""

    @property
    def all_ids(self) -> list[int]:
        return [*self.prompt_ids, *self.chosen_ids, *self.rejected_ids]

    @property
    def longest(self) -> int:
        return len(self.prompt_ids) + max(len(self.chosen_ids), len(self.rejected_ids))

    @property
    def packed_length(self) -> int:
        return len(self.prompt_ids) + len(self.chosen_ids) + len(self.rejected_ids)


def corpus_digest(pairs: Sequence[Pair]) -> str:
    """sha256 over ids and texts in order: the same pairs have one digest however their file is written."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(json.dumps([pair.id, pair.prompt, pair.chosen, pair.rejected], sort_keys=True).encode())
        digest.update(b"\n")
    return digest.hexdigest()
