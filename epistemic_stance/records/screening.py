"""What `stance validate --screen` writes: a cheap first look at a run's base model and checkpoints."""

from __future__ import annotations

from pydantic import Field

from epistemic_stance.records import Logged
from epistemic_stance.records.analysis import MeasureKind, RateRecord
from epistemic_stance.records.comparison import ChangeRecord
from epistemic_stance.records.probes import EstimateRecord


class ScreenedSetRecord(Logged):
    """What was asked of one question set; all of it `select` questions."""

    name: str
    questions: int
    temperatures: list[float]
    iterations: int
    answers: int
    """Of each model."""
    questions_digest: str
    """sha256 over id, category and text of the questions asked, in order."""


class ProbeSummaryRecord(Logged):
    """What probes.json says of the model; None = unknown."""

    kl: EstimateRecord | None
    """KL(base || model) per token of the neutral text, in nats."""
    agreement: EstimateRecord | None
    """Share of its tokens at which both models' most likely token is the same."""
    accuracy: float | None
    """Multiple choice questions whose right option is the most likely."""
    accuracy_change: EstimateRecord | None
    """From the base model, paired by question."""


class ScreenedMeasureRecord(Logged):
    """Something the answers do or do not, pooled over the sets: every answer counts once, questions are the units."""

    name: str
    kind: MeasureKind
    rate: RateRecord | None
    """None: no answer of which it can be told."""
    se: float | None
    """Standard error of the rate over questions; None = too few of them."""
    change: ChangeRecord | None
    """From the base model, paired by question; None for the base model itself."""


class ScreenedModelRecord(Logged):
    """One model."""

    name: str
    """`base`, or the checkpoint's folder."""
    epoch: int | float | None
    """None: the base model."""
    model: str
    weights_digest: str
    answers: int
    asked: int
    """Of these, answers that this command asked for; the others were there."""
    seconds: dict[str, float]
    """Stage -> those that this command spent on it; `ask` includes loading and probing."""
    probe_seconds: float | None
    """Those of the command that probed it."""
    probes: ProbeSummaryRecord | None
    """None: the stance has no [probes]."""
    measures: list[ScreenedMeasureRecord]


class ScreeningRecord(Logged):
    """screening.json."""

    schema_version: int = Field(1, alias="schema")
    timestamp: str
    """UTC, ISO 8601."""
    run: str
    base_model: str | None
    stance: str
    patterns_digest: str
    """sha256 over all pattern files of the stance."""
    corpus_digest: str
    """Of the pairs that the checkpoints were trained on."""
    seed: int
    sets: list[ScreenedSetRecord]
    models: list[ScreenedModelRecord]
    """The base model, then the checkpoints by epoch."""
    ranked_by: str
    """Measure by which checkpoints are promising."""
    best: str
    """Checkpoint with the highest rate."""
    promising: list[str]
    """Checkpoints worth full answers, by epoch: of those within one standard error of the best the earliest, and the
    highest."""
    seconds: float
    """Of the whole command."""
    versions: dict[str, str]
