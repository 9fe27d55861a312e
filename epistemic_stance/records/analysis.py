"""What an analysis writes: one score per answer, and the rates."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from epistemic_stance.records import Logged

Exposure = Literal["seen", "paraphrase", "unseen"]
"""What the corpus has to do with a question: it holds the question, one nearly like it, or neither."""
Grade = Literal["right", "wrong", "unparsed"]
"""`unparsed`: no answer could be told from the text, which is not the same as a wrong one."""


class HitRecord(Logged):
    """A rule that matched; `start` and `end` are characters of the answer."""

    pattern: str
    rule: str
    start: int
    end: int


class ScoreRecord(Logged):
    """One line of scores.jsonl: what one answer does."""

    schema_version: int = Field(1, alias="schema")
    line: int
    """Line of the file of answers, from 1."""
    question_id: str | None
    question: str
    category: str
    exposure: Exposure
    temperature: float | None
    iteration: int | None
    patterns: list[str]
    """Names, sorted, each once."""
    hits: list[HitRecord]
    grade: Grade | None
    """None: the question has no answer key."""
    truncated: bool | None
    """It reached the length limit; None = unknown."""
    empty: bool
    repetition: float
    """Share of the word 4-grams that occurred before in the same answer."""
    repetitive: bool
    words: int
