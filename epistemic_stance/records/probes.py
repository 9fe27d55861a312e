"""What `stance probe` writes: what a model's probabilities say, without a sampled answer. Log-probabilities in nats."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from epistemic_stance.records import Logged


class EstimateRecord(Logged):
    """A mean over questions (or paragraphs) with its 95 % interval."""

    value: float
    se: float | None
    """Standard error over units; None = too few of them."""
    low: float | None
    high: float | None
    units: int
    """Questions; those of one matter are one unit. Of a text: paragraphs."""


class YesNoAnswerRecord(Logged):
    """One question that asks for yes or no."""

    id: str
    category: str
    favours: Literal["yes", "no"]
    matter: str | None
    p_yes: float
    """p(yes) / (p(yes) + p(no))."""
    mass: float
    """p(yes) + p(no): how much of the model's answers begins with either."""


class LeaningRecord(Logged):
    """What a model leans to over the questions of one category, or of a whole set; both are 0 where it leans to
    neither."""

    questions: int
    preference: EstimateRecord | None
    """How far the tendency is favoured, 0 to 1, .5 = undecided: the mean of p_yes over questions whose yes shows it and
    of 1 - p_yes over those whose no does. None: the questions favour only one side, which tells nothing apart."""
    acquiescence: EstimateRecord | None
    """Mean p_yes over both kinds of question, less .5: saying yes to whatever is asked."""
    median_mass: float
    preference_change: EstimateRecord | None
    """After - base, question by question; None = there is no base to compare with, or it is the model itself."""
    acquiescence_change: EstimateRecord | None


class YesNoRecord(Logged):
    """A question set asked for yes or no."""

    question_set: str
    overall: LeaningRecord
    categories: dict[str, LeaningRecord]
    answers: list[YesNoAnswerRecord]


class ChoiceAnswerRecord(Logged):
    """One multiple choice question; the right option is the first."""

    question_set: str
    id: str
    category: str
    options: list[str]
    logps: list[float]
    """log p(option and the end of the turn | prompt) of each."""
    right: bool
    margin: float
    """logp of the right option - that of the best wrong one."""


class AccuracyRecord(Logged):
    """Share of questions whose right option is the most likely, with its 95 % interval over questions."""

    questions: int
    accuracy: float
    low: float
    high: float
    margin: EstimateRecord
    """Mean log-odds of the right option against the best wrong one."""
    change: EstimateRecord | None
    """Of the accuracy, after - base, paired by question; None as in LeaningRecord."""
    margin_change: EstimateRecord | None


class ChoicesRecord(Logged):
    overall: AccuracyRecord
    categories: dict[str, AccuracyRecord]
    answers: list[ChoiceAnswerRecord]


class ParagraphRecord(Logged):
    """Sums over the predicted tokens of one paragraph."""

    tokens: int
    nll: float
    kl: float | None
    """KL(base || model)."""
    agreed: int | None
    """Tokens at which both models' most likely token is the same."""


class NeutralRecord(Logged):
    """A text that has nothing to do with the stance."""

    tokens: int
    """Predicted ones: the first of a paragraph is not, unless the tokenizer puts one before it."""
    perplexity: float
    nll: EstimateRecord
    """Per token; perplexity is its exponential."""
    perplexity_ratio: float | None
    """Model / base."""
    nll_change: EstimateRecord | None
    """Its exponential is the ratio."""
    kl: EstimateRecord | None
    """KL(base || model) per token over the whole vocabulary. None = unknown: no base, or one of another vocabulary."""
    agreement: EstimateRecord | None
    """Share of tokens at which both models' most likely token is the same."""
    paragraphs: list[ParagraphRecord]


class ProbeIdentity(Logged):
    """What a file of probes is the result of: with all of it equal, nothing is measured anew."""

    code_version: int
    weights_digest: str
    base_weights_digest: str | None
    tokenizer_digest: str
    template_digest: str
    template_arguments: dict[str, Any]
    system_prompt: str | None
    yes_no_digest: str
    """sha256 over set, id, category, text, favours and matter of the questions."""
    choices_digest: str
    """sha256 over the questions drawn, with their options."""
    text_digest: str | None
    """sha256 of the neutral text; None = there is none."""
    device: str
    dtype: str


class ProbesRecord(Logged):
    """probes.json."""

    schema_version: int = Field(1, alias="schema")
    timestamp: str
    """UTC, ISO 8601."""
    model: str
    base_model: str | None
    identity: ProbeIdentity
    seconds: float
    """Without loading the model."""
    threads: int
    versions: dict[str, str]
    notes: list[str]
    """What a reader of the figures has to know."""
    yes_no: list[YesNoRecord]
    choices: ChoicesRecord | None
    """None: no question was asked."""
    neutral: NeutralRecord | None
    """None: the stance names no text."""
