"""What `stance label` writes: the answers that were drawn, and what people or a judge model said of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from epistemic_stance.records import Logged

Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=10**9)]


class DrawnAnswer(Logged):
    """One line of sample.jsonl. The order of the lines is random over arms and strata."""

    schema_version: Literal[1] = Field(1, alias="schema")
    id: str
    arm: str
    """Group of answers with one detector error: base, checkpoint-008, ..."""
    weights_digest: str | None
    """Of the model that gave it; None = unknown."""
    question_set: str | None
    question_id: str | None
    category: str
    question: str
    temperature: float | None
    iteration: int | None
    response: str
    stratum: str
    """The pattern that is rarest in the arm among those that the rules found in it when it was drawn, or `none`."""
    weight: Weight
    """Answers of its arm that it stands for: N_h / n_h of its stratum."""
    batch: int = 0
    """Drawings of the arm before this answer came in, where these had other strata: its labels wait for others."""


class StratumRecord(Logged):
    """A stratum of an arm: so many answers, of which so many were drawn."""

    answers: Count
    drawn: Count


class SourceRecord(Logged):
    """A file of answers that was drawn from."""

    question_set: str | None
    file: str
    """Relative to the folder above the labels."""
    sha256: str
    answers: int


class ArmRecord(Logged):
    sources: list[SourceRecord]
    strata: dict[str, StratumRecord]


class DrawRecord(Logged):
    """sample.json: how the sample was drawn."""

    schema_version: Literal[1] = Field(1, alias="schema")
    timestamp: str
    """UTC, ISO 8601."""
    stance: str
    seed: int
    number: int
    """Answers asked for per arm; an arm that has fewer was drawn whole."""
    arms: dict[str, ArmRecord]


class GivenLabels(Logged):
    """One line of <annotator>.jsonl: the labels of one drawn answer. The last line of an id counts."""

    schema_version: Literal[1] = Field(1, alias="schema")
    id: str
    labels: list[str]
    """Patterns that the answer shows; the others on offer it does not show."""
    unsure: list[str]
    """Patterns of which the annotator could not tell."""
    offered: list[str]
    """Patterns that could be chosen. Of one that came later, or of another category, nothing is said."""
    timestamp: str


class JudgeLabels(GivenLabels):
    """One line of judge-<model>.jsonl: a second opinion, never the truth. An unreadable reply has no labels."""

    model: str
    prompt_digest: str
    """sha256 of what it was asked; if that changes, it is asked again."""
    reply: str
    """What the model said, its first 2,000 characters."""
    readable: bool
