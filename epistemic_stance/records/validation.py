"""What `stance select` writes: how every checkpoint of a run was judged, and which one was chosen by which rule."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from epistemic_stance.records import Logged
from epistemic_stance.records.analysis import CorrectedRateRecord, RateRecord
from epistemic_stance.records.comparison import ChangeRecord
from epistemic_stance.records.parroting import ParrotingRecord
from epistemic_stance.records.probes import EstimateRecord
from epistemic_stance.records.written import Scope

CriterionVerdict = Literal["met", "met by rules", "not met", "inconclusive", "measured", "unknown"]
"""`met by rules`: the rules say so, and nobody labelled enough answers of this model to know how often they err on it;
`inconclusive`: the bound lies inside the interval, or too few questions for "all"; `measured`: no bound; `unknown`:
a set was not asked."""
FlagState = Literal["raised", "clear", "inconclusive", "unknown"]
"""`raised`: a change beyond the margin is shown; `clear`: it is excluded; `inconclusive`: neither, which does not mean
harmless; `unknown`: nothing was measured."""
Band = Literal["early", "middle", "late"]
GAIN_LEVEL = 0.05


class RuleRecord(Logged):
    """RUN/validation/rule.json: the rule as it stood before the answers were collected; digests are sha256."""

    schema_version: int = Field(1, alias="schema")
    timestamp: str
    """UTC, ISO 8601."""
    rule: str
    criteria_digest: str
    red_flags_digest: str
    split_digest: str
    """Over the questions of the choice and those of the report."""
    stance_digest: str
    """Over all that decides a score: questions, answer keys, patterns."""
    digest: str
    """Over all of it."""


class PlainRateRecord(Logged):
    """A share as it is, without an interval."""

    estimate: float
    answers: int


class CriterionRecord(Logged):
    """One criterion for one checkpoint, on the unseen report questions."""

    name: str
    title: str
    scope: Scope
    at_least: float | None
    at_most: float | None
    base: RateRecord | None
    """None, here and below: unknown."""
    rate: RateRecord | None
    corrected: CorrectedRateRecord | None
    """As people would label the answers; None = nobody did, or it is not told from patterns. Not refused: the verdict
    is of it."""
    base_corrected: CorrectedRateRecord | None = None
    labelled_by: list[str] = []
    """Names of the label files that `corrected` is from: whoever labelled answers of this model."""
    change: ChangeRecord | None
    """From the base model, paired by question."""
    verdict: CriterionVerdict
    needed: int | None
    """Inconclusive: unseen report questions that would decide at this rate, or labels where the verdict is of the
    corrected rate; None = none would, or it is decided."""
    plain_base: PlainRateRecord | None
    plain: PlainRateRecord | None


class FlagChangeRecord(Logged):
    """A change from the base model with its 95 % interval, over questions of both halves."""

    before: float
    after: float
    change: float
    low: float
    high: float
    questions: int


class FlagExampleRecord(Logged):
    """A question that moved in the bad direction."""

    question: str
    before: str
    after: str


class LabelledChangeRecord(Logged):
    """Rates of base model and checkpoint as people would label them."""

    before: float
    after: float


class FlagRecord(Logged):
    """One red flag for one checkpoint."""

    name: str
    title: str
    measured: str
    """Measures, sets and categories, or the probe."""
    bad: Literal["fall", "rise"]
    margin: float
    change: FlagChangeRecord | None
    """None: unknown."""
    state: FlagState
    needed: int | None
    """Not shown: questions by which the margin is excluded, with probability .8, for a model that did not change."""
    hint: str
    examples: list[FlagExampleRecord]
    labelled: LabelledChangeRecord | None = None
    """Where enough answers of both are labelled. What worsened beyond the margin by them is not clear."""


class GainRecord(Logged):
    """How far a checkpoint moved on unseen questions of one half."""

    before: float
    after: float
    change: float
    se: float
    """Standard error over questions."""
    low: float
    """95 % interval of this checkpoint alone."""
    high: float
    band_low: float
    """95 % band over all candidates together."""
    band_high: float
    p: float
    """Of this checkpoint alone, two-sided, by flips of whole questions."""
    questions: int

    @property
    def shown(self) -> bool:
        """Test, interval and band have to agree: the band knows only spread, and two questions have none."""
        return self.low > 0 and self.band_low > 0 and self.p <= GAIN_LEVEL


class CapabilityRecord(Logged):
    """Change of what the model can do; below 0 is a loss."""

    change: float
    source: Literal["answers", "probe"]
    """Answers to unseen select questions, or the multiple choice questions of `stance probe`."""


class CandidateRecord(Logged):
    """One checkpoint."""

    name: str
    epoch: int | float
    band: Band | None
    """The guide's; None = its epoch lies in none."""
    loss: float | None
    """Training loss; None = no metadata."""
    answers: dict[str, int]
    """Question set -> answers."""
    sha256: dict[str, str]
    """Question set -> that of the file of answers."""
    problems: list[str]
    """Why it is no candidate."""
    gain: GainRecord | None
    """On select questions: what it is chosen by."""
    report_gain: GainRecord | None
    """On report questions: what may be said of it."""
    capability: CapabilityRecord | None
    kl: EstimateRecord | None
    """KL(base || model) per token of a neutral text, in nats."""
    criteria: list[CriterionRecord]
    flags: list[FlagRecord]
    parroting: ParrotingRecord | None = None
    """What it copies, and whether it learned or memorised; None = it has no answers to be told from."""
    on_front: bool
    near_best: bool
    """On the front and within one standard error of the highest gain there."""
    note: str
    """What decided about it, in words."""

    @property
    def raised(self) -> list[str]:
        return [flag.name for flag in self.flags if flag.state == "raised"]


class SelectionRecord(Logged):
    """selection.json."""

    schema_version: int = Field(1, alias="schema")
    timestamp: str
    run: str
    stance: str
    corpus_digest: str
    rule: RuleRecord
    frozen: Literal["before", "changed", "now"]
    """The rule is the one written down before the answers were collected, or another one, or none was."""
    seed: int
    base_answers: dict[str, int]
    base_sha256: dict[str, str]
    notices: list[str]
    candidates: list[CandidateRecord]
    """All checkpoints with answers, by epoch."""
    chosen: str | None
    """None: none qualifies."""
    reason: str
    shown: str | None
    """Whose criteria and flags stand in the tables: the chosen one's, or those of the highest gain."""
    best_by_loss: str | None
    """The run's best_model: the lowest training loss, of all checkpoints saved."""
    versions: dict[str, str]

    def candidate(self, name: str | None) -> CandidateRecord | None:
        return next((candidate for candidate in self.candidates if candidate.name == name), None)
