"""What a comparison writes: how the answers of two models to the same questions differ."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from epistemic_stance.records import Logged
from epistemic_stance.records.analysis import Exposure, MeasureKind

Verdict = Literal["rose", "fell", "inconclusive"]
"""`inconclusive` is not "no change": the answers could not tell."""


class SideRecord(Logged):
    """One of the two files of answers."""

    file: str
    sha256: str
    """Of the file."""
    answers: int
    questions: int
    compared_answers: int
    """To questions that both sides have."""
    temperatures: list[float]
    answers_per_question: list[int]
    """Least and most, over the compared questions."""
    asked: dict[str, list[Any]]
    """Model, digests, sampling and so on -> the values in the file; a field that no answer has is unknown, absent."""


class DifferenceRecord(Logged):
    """Something that was not the same when the two sides were asked."""

    what: str
    before: str
    after: str


class ChangeRecord(Logged):
    """Change of a share, paired by question; shares are 0 to 1."""

    before: float
    after: float
    change: float
    low: float
    """95 % interval of the change, of this one alone."""
    high: float
    questions: int
    moved: int
    """Questions whose share changed."""
    p: float
    """Two-sided, of this one alone."""
    adjusted_p: float
    """Adjusted over the family that the verdict stands in."""
    verdict: Verdict


class CorrectedChangeRecord(Logged):
    """Change of a share as people would label it; each side is corrected by the errors of the rules on its answers."""

    refused: str | None
    """Why nothing is corrected; then the rest is None and the verdict `inconclusive`."""
    before: float | None
    after: float | None
    change: float | None
    low: float | None
    """95 % interval for questions and labels like these, of this change alone."""
    high: float | None
    p: float | None
    adjusted_p: float | None
    """Adjusted over the corrected changes (Holm)."""
    verdict: Verdict


class MeasureRecord(Logged):
    """One thing that answers do or do not, overall and in parts."""

    name: str
    kind: MeasureKind
    overall: ChangeRecord | None
    """None: neither side has an answer of which it is known."""
    corrected: CorrectedChangeRecord | None
    """Of `overall`; None = a side has no labels, or it is not told from patterns."""
    exposures: dict[Exposure, ChangeRecord | None]
    categories: dict[str, ChangeRecord | None]
    """Empty where there are too many to be taken apart."""


class FlipRecord(Logged):
    """A question most of whose answers changed side."""

    measure: str
    question_id: str | None
    question: str
    category: str
    exposure: Exposure
    before: float
    after: float


class AnswerPairRecord(Logged):
    """An answer before and one after, to a question drawn at random."""

    question_id: str | None
    question: str
    category: str
    exposure: Exposure
    temperature: float | None
    """Of both; None = unknown or not the same."""
    before: str
    after: str
    before_patterns: list[str]
    after_patterns: list[str]


class ComparisonRecord(Logged):
    """comparison.json."""

    schema_version: int = Field(1, alias="schema")
    stance: str
    corpus: str
    """File of the pairs that tell seen questions from unseen ones."""
    corpus_digest: str
    seed: int
    split: Literal["all", "select", "report"]
    """Questions whose answers are compared."""
    before: SideRecord
    after: SideRecord
    differences: list[DifferenceRecord]
    """Not empty: the sides were asked differently, and compared because --allow-different said so."""
    unknown: list[str]
    """What a file does not say, so that it could not be checked."""
    notices: list[str]
    questions: int
    """Compared: those that both sides have."""
    only_before: list[str]
    only_after: list[str]
    measures: list[MeasureRecord]
    flips: list[FlipRecord]
    """Right answers lost first, then by the size of the change."""
    pairs: list[AnswerPairRecord]
