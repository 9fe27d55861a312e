"""What is written about copying: how much of a model's answers stands in the answers it was trained on.

Words are those of `similarity.words`: letters and digits without case and punctuation, no tokens of a model.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from epistemic_stance.records import Logged
from epistemic_stance.records.analysis import Exposure, RateRecord

LearningVerdict = Literal["memorised", "learned", "both", "neither", "inconclusive"]
"""Defined in `evaluation.learning`."""


class NullRecord(Logged):
    """What the base model reaches by chance: the 99th percentile of its answers to the same questions, per measure."""

    answers: int
    run_words: int
    """Words of the longest run that also stands in a chosen answer."""
    copied_share: float
    """Share of its words in copied runs of at least five."""


class PairedGainRecord(Logged):
    """Change of a share from the base model, paired; shares are 0 to 1."""

    before: float
    after: float
    change: float
    low: float
    """95 % interval of the change, of this one alone."""
    high: float
    p: float
    """Two-sided, of this one alone."""
    questions: int
    """Units that were paired: rewordings of one pair, and questions of one matter, are one."""


class DifferenceOfGainsRecord(Logged):
    """One gain minus another, over other questions."""

    estimate: float
    low: float
    high: float


class CopiedExposureRecord(Logged):
    """Copying in the answers to the questions of one exposure."""

    questions: int
    answers: int
    """Of the model after training."""
    parroted: RateRecord
    parroted_before: RateRecord
    """Of the base model, by the same limits."""
    change: PairedGainRecord
    copied_share: float
    """Mean over the answers."""
    copied_share_before: float
    longest_run: int
    longest_run_before: int


class CopiedPairRecord(Logged):
    """A pair whose chosen answer is copied."""

    pair_id: str
    nearest: int
    """Answers whose longest copied run stands in it."""
    parroted: int
    """Of these."""
    longest_run: int
    copied_share: float
    """The highest of these answers, whatever it copied from."""


class SpillRecord(Logged):
    """Unseen questions with an answer key: facts, maths, code. Nothing of the stance belongs there."""

    questions: int
    measure: str
    shows: PairedGainRecord
    """Answers that show the measure."""
    copies: PairedGainRecord
    """Answers with a copied run of at least five words."""
    either: PairedGainRecord


class LearningRecord(Logged):
    """Where a gain holds: on trained questions only, or on questions that there is nothing to recite for."""

    measure: str
    categories: list[str] | None
    """Those whose questions are compared; None = all."""
    gains: dict[Exposure, PairedGainRecord | None]
    """None: no such question was answered on both sides."""
    own_words: dict[Exposure, PairedGainRecord | None]
    """The same where only answers count that show the measure in words that are not copied."""
    seen_over_paraphrase: DifferenceOfGainsRecord | None
    """Gain on seen questions minus gain in own words on their paraphrases."""
    seen_over_unseen: DifferenceOfGainsRecord | None
    paraphrase_over_unseen: DifferenceOfGainsRecord | None
    """Both in own words."""
    verdict: LearningVerdict
    reason: str


class ParrotingRecord(Logged):
    """Copying in one model's answers, against the base model's to the same questions."""

    schema_version: int = Field(1, alias="schema")
    seed: int
    questions: int
    """Answered on both sides; the others are left out."""
    left_out: int
    """Answers to questions that the other side lacks."""
    null: NullRecord
    exposures: dict[Exposure, CopiedExposureRecord | None]
    pairs_copied: int
    """Pairs that some answer copies at least five words from."""
    pairs_parroted: int
    """Pairs that some answer recites."""
    pairs: list[CopiedPairRecord]
    """Those recited most often first; of more than twenty the first twenty."""
    spill: SpillRecord | None
    """None: no unseen question with a key was answered on both sides."""
    learning: LearningRecord
