"""What an analysis writes: one score per answer, and the rates. What it is checked against: labels that people gave."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from epistemic_stance.records import Logged, Text, Written

Exposure = Literal["seen", "paraphrase", "unseen"]
"""What the corpus has to do with a question: it holds the question, one nearly like it, or neither."""
Split = Literal["select", "report"]
"""Half of a question set: to choose a checkpoint by, or to report on it."""
Grade = Literal["right", "wrong", "unparsed"]
"""`unparsed`: no answer could be told from the text, which is not the same as a wrong one."""
Verdict = Literal["yes", "no", "undecided"]
"""`undecided`: that it does not follow or cannot be told. To a question about what follows this is a no."""


@dataclass(slots=True, frozen=True)
class HitRecord:
    """A rule that matched; `start` and `end` are characters of the answer. Small: a file has several of each answer."""

    pattern: str
    rule: str
    start: int
    end: int


@dataclass(slots=True, frozen=True)
class CopyingRecord:
    """What an answer has in common with the chosen answers of the pairs. Words quoted from its question do not count.

    Words are those of `similarity.words`; spans are characters of the answer.
    """

    run_words: int
    """Words of the longest run of at least five words that stands in one chosen answer; 0 = there is none."""
    copied_share: float
    """Share of its words in such runs."""
    copied_spans: list[tuple[int, int]]
    """Where those runs stand."""
    pair_id: str | None
    """Pair whose chosen answer holds the longest run; None = there is none."""


@dataclass(slots=True, frozen=True, kw_only=True, config=ConfigDict(serialize_by_alias=True, validate_by_name=True))
class ScoreRecord:
    """One line of scores.jsonl: what one answer does. Small, as HitRecord is."""

    schema_version: int = Field(default=1, validation_alias="schema", serialization_alias="schema")
    stamp: str
    """Digest of what the score was made of: file of answers, patterns, questions, pairs, and version of the code."""
    line: int
    """Line of the file of answers, from 1."""
    question_id: str | None
    question: str
    category: str
    exposure: Exposure
    split: Split | None
    """None: not a question of the stance."""
    expect: Literal["decline", "help"] | None
    """What the request deserves; None = nobody said."""
    form: Literal["asked", "asserted", "denied"] | None
    """How its matter is put: openly, or with the user's own view; None = a question that stands alone."""
    favours: Literal["yes", "no"] | None
    """The answer that shows the tendency which the question is about; None = none in particular."""
    temperature: float | None
    iteration: int | None
    patterns: list[str]
    """Names, sorted, each once."""
    excluded: list[str]
    """Those whose words stand in it, but which an answer that shows another pattern does not show; sorted."""
    hits: list[HitRecord]
    grade: Grade | None
    """None: the question has no answer key."""
    verdict: Verdict | None
    """Of questions with `form` or `favours`; None = no such question, or none can be told."""
    truncated: bool | None
    """It reached the length limit; None = unknown."""
    empty: bool
    repetition: float
    """Share of the word 4-grams that occurred before in the same answer."""
    repetitive: bool
    words: int
    opening: str | None
    """Its first eight words; None = it is shorter."""
    copying: CopyingRecord


SCORE_LINE = TypeAdapter(ScoreRecord)
"""Reads and writes a line of scores.jsonl."""


# --- rates -------------------------------------------------------------------------------------------------

MeasureKind = Literal["group", "pattern", "grade", "conduct", "form"]


class RateRecord(Logged):
    """A share in 0 to 1 with its 95 % interval for questions like these."""

    estimate: float
    low: float
    high: float
    questions: int
    answers: int
    """Those of which it can be told; the rest is unknown and in no rate."""


class CorrectedRateRecord(Logged):
    """A rate as people would label it, with the 95 % interval for questions and labels like these."""

    labelled: int
    """Answers whose labels count for it."""
    positives: int
    """Of these, those that people say show it."""
    refused: str | None
    """Why nothing is corrected; then the figures are None."""
    estimate: float | None
    low: float | None
    high: float | None


class MeasuredRecord(Logged):
    """One thing that answers do or do not, overall and in parts; None = no answer of which it can be told."""

    name: str
    kind: MeasureKind
    group: str | None
    """That of a pattern."""
    overall: RateRecord | None
    corrected: CorrectedRateRecord | None
    """Of `overall`; None = nobody labelled answers of this file, or it is not told from patterns."""
    exposures: dict[Exposure, RateRecord | None]
    categories: dict[str, RateRecord | None]
    temperatures: dict[str, RateRecord | None]
    """`unknown` for answers that do not say."""


class ExampleRecord(Logged):
    """An answer that shows a pattern; `start` and `end` are the characters that the rule matched."""

    pattern: str
    rule: str
    start: int
    end: int
    line: int
    question: str
    category: str
    response: str


class SampleRecord(Logged):
    """An answer drawn at random, whatever it shows."""

    line: int
    question: str
    category: str
    exposure: Exposure
    temperature: float | None
    response: str
    patterns: list[str]
    grade: Grade | None


class WordsRecord(Logged):
    """Words per answer."""

    mean: float
    lowest: int
    tenth: float
    """Nine tenths of the answers have at least so many."""
    median: float
    ninetieth: float
    highest: int


class AnalysisRecord(Logged):
    """analysis.json."""

    schema_version: int = Field(1, alias="schema")
    file: str
    sha256: str
    """Of the file of answers."""
    stance: str
    scores: str
    """Stamp of the scores that were counted."""
    patterns_digest: str
    """sha256 over all pattern files of the stance."""
    corpus: str
    """File of the pairs that tell seen questions from unseen ones."""
    corpus_digest: str
    seed: int
    split: Literal["all", "select", "report"]
    """Questions whose answers count; of others this file says nothing."""
    answers: int
    questions: int
    asked: dict[str, list[Any]]
    """Model, digests, sampling and so on -> the values in the file; a field that no answer has is unknown, absent."""
    uniform: bool | None
    """Whether all answers were asked alike, of one model, temperature apart; None = no answer says how."""
    notices: list[str]
    category_answers: dict[str, int]
    exposure_questions: dict[Exposure, int]
    measures: list[MeasuredRecord]
    labels: str | None
    """Folder of the labels that rates are corrected by; None = nobody labelled answers of this run."""
    rules: dict[str, dict[str, int]]
    """Pattern -> rule -> answers that it matched in, the most frequent first."""
    words: WordsRecord
    examples: list[ExampleRecord]
    samples: list[SampleRecord]


# --- labels that people gave -------------------------------------------------------------------------------


class LabelledAnswer(Written):
    """One line of a file of labelled answers; fields of other tools' files are left alone."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    id: Text | int
    """Each once. What stands before its first `_` names the arm, unless `arm` does."""
    question: str
    response: str
    labels: list[str]
    """Patterns that the answer shows; others it does not show."""
    ignore: list[str] = []
    """Patterns on which people could not agree for this answer."""
    category: str | None = None
    """Category of the question; patterns that belong to a category are found only where it is given."""
    arm: str | None = None
    """Group of answers that is also scored on its own, for example one model's."""

    @property
    def group(self) -> str | None:
        """The arm; None where neither the field nor the id names one."""
        prefix, divider, _ = str(self.id).partition("_")
        return self.arm or (prefix if divider and prefix else None)
