"""What a training run writes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from epistemic_stance.records import Logged
from epistemic_stance.records.collection import Products


class PairRecord(Logged):
    """One pair in one step, measured before the update. Log-probabilities in nats, summed over tokens."""

    id: str
    loss: float
    chosen_logps: float
    rejected_logps: float
    chosen_reward: float
    """beta * (policy - reference log-probability) of the chosen answer."""
    rejected_reward: float
    chosen_tokens: int
    rejected_tokens: int

    @property
    def margin(self) -> float:
        return self.chosen_reward - self.rejected_reward


class StepRecord(Logged):
    """One line of logs/steps.jsonl: one optimizer step and its pairs."""

    schema_version: int = Field(1, alias="schema")
    epoch: int
    step: int
    loss: float
    """Mean over the step's pairs, before the update; without the anchor."""
    anchor_nll: float | None = None
    """Of the step's anchor answers, before the update, nats per token; None without an anchor."""
    anchor_base_nll: float | None = None
    """Of the same answers before the run's first step. What anchor_nll is above it estimates KL(base || policy)."""
    grad_norm: float | None
    """Before clipping; None where float16 overflowed and the update was skipped."""
    learning_rate: float
    pairs: list[PairRecord]


class AnswerRecord(Logged):
    """An unseen question answered greedily at a checkpoint, beside the base model's answer."""

    question_id: str
    question: str
    answer: str
    base_answer: str
    distance_from_base: float
    """1 - cosine similarity of word 1- and 2-gram counts; 0 = the same words."""
    distance_from_chosen: float
    """To the nearest chosen answer."""
    wording: float
    """0 to 1 is about the way from rejected to chosen wording; above that of the base answer = moved."""
    base_wording: float
    crossed: bool
    """Whether it went from the rejected side of the midpoint between held-out answers to the chosen side."""
    chosen_wording: float
    """The chosen wording alone: mean log-odds of its words, those below 0 counted as 0."""
    base_chosen_wording: float
    copied: float
    """Share of the words in runs of five or more of one chosen answer; quotes of the question do not count."""
    repetition: float
    """Share of the word 4-grams that occurred before in the same answer."""
    holds: float = 1.0
    """Probability that it holds together and responds to the question, by its words; 1 in older records."""
    base_holds: float = 1.0


class CheckpointEvaluationRecord(Logged):
    """What the answers did, measured at one checkpoint."""

    verdict: Literal["shifted", "parrots", "broken", "neither"]
    reason: str
    crossed: float
    """Share of the answers that crossed, whether or not they hold together."""
    holds: float | None = None
    """Mean probability that an answer holds together; None, here and in the next two, in older records."""
    base_holds: float | None = None
    alike: float | None = None
    """Share of the answers that say much the same as one to another question."""
    wording_change: float
    wording_change_low: float | None
    """Lower and upper end of the paired 95 % t interval over questions; None below two questions."""
    wording_change_high: float | None
    chosen_wording_change: float
    """Of the chosen wording alone; 0 or below = less rejected wording, but no more chosen wording."""
    distance_from_base: float
    distance_from_chosen: float
    copied: float
    repetition: float
    kl_neutral: float | None
    """KL(base || policy) in nats per token on the base model's own answers to neutral prompts."""
    answers: list[AnswerRecord]

    @property
    def summary(self) -> str:
        """Verdict and figures in a sentence."""
        drift = "" if self.kl_neutral is None else f"; KL on neutral answers {self.kl_neutral:.3f}"
        return f"{self.verdict}: {self.reason}{drift}"


class NeutralAnswer(Logged):
    """The base model's own answer to a neutral question, kept to measure how far the policy drifts from it."""

    prompt_ids: list[int]
    answer_ids: list[int]
    base_logps: list[float]


class BaseAnswers(Logged):
    """state/base_answers.json: answers of the base model, asked once before the first step."""

    schema_version: int = Field(1, alias="schema")
    questions: list[str]
    answers: list[str]
    neutral: list[NeutralAnswer]
    products: Products
    """What multiplied; a resumed run multiplies by the same."""


class AnchorAnswer(NeutralAnswer):
    """The base model's answer to an anchor prompt; training keeps it as likely as it was."""

    prompt: str
    answer: str


class AnchorAnswers(Logged):
    """state/anchor_answers.json: drawn once, before the first step."""

    schema_version: int = Field(1, alias="schema")
    answers: list[AnchorAnswer]


class EpochRecord(Logged):
    """One line of logs/training_log_*.jsonl. Means are over pairs, each measured before its update."""

    schema_version: int = Field(1, alias="schema")
    epoch: int
    step: int
    """Optimizer steps taken since the start of the run."""
    avg_loss: float
    avg_accuracy: float
    """Share of pairs whose reward margin is above 0, ties half: it starts at 0.5 by definition."""
    absolute_preference: float
    """Share of pairs with log p(chosen) > log p(rejected), ties half: what the model itself prefers."""
    absolute_preference_per_token: float
    avg_margin: float
    """beta * ((chosen - reference chosen) - (rejected - reference rejected)), nats times beta."""
    chosen_reward: float
    rejected_reward: float
    chosen_logps: float
    rejected_logps: float
    chosen_nll: float
    """Mean negative log-likelihood of the chosen answers, nats per token."""
    preference_loss: float
    """avg_loss without the NLL term: what the guide's targets for the loss speak of."""
    anchor_nll: float | None = None
    """Mean over the epoch's steps, nats per token; None without an anchor, which is no part of avg_loss."""
    anchor_base_nll: float | None = None
    """Of the same answers before the run's first step."""
    grad_norm: float | None
    """Mean over the epoch's steps, before clipping."""
    max_grad_norm: float | None
    learning_rate: float
    seconds: float
    tokens_per_second: float
    checkpoint: str | None = None
    exported_loss: float | None = None
    """Loss of the checkpoint's weights as rounded for saving; None if saving rounds nothing, or for LoRA (unknown)."""
    evaluation: CheckpointEvaluationRecord | None = None
    warnings: list[str] = []


class CheckpointMetadata(Logged):
    """metadata.json of a checkpoint. Means are over the epoch that ended here, or as much of it as was done."""

    schema_version: int = Field(1, alias="schema")
    epoch: int | float
    """Epochs done: a fraction for a checkpoint of a step."""
    step: int
    loss: float
    accuracy: float
    absolute_preference: float
    avg_margin: float
    exported_loss: float | None
    base_model: str
    base_weights_digest: str
    corpus_digest: str
    template_digest: str
    template_arguments: dict[str, Any]
    system_prompt: str | None
    save_dtype: str
    settings: dict[str, Any]
    evaluation: CheckpointEvaluationRecord | None = None
    versions: dict[str, str]

    @property
    def place(self) -> str:
        """Where in the training, in words."""
        return f"epoch {self.epoch}" if isinstance(self.epoch, int) else f"step {self.step} (epoch {self.epoch:.2f})"


class RunRecord(Logged):
    """run.json: what this run is, resolved before the first step."""

    schema_version: int = Field(1, alias="schema")
    run_id: str = ""
    """Random; the states of a run carry it, so that those of another run are never taken for its own."""
    status: Literal["running", "stopped", "failed", "finished"]
    reason: str = ""
    """Why it stopped or failed."""
    started: str
    settings: dict[str, Any]
    base_model: str
    base_weights_digest: str
    corpus_digest: str
    template_digest: str
    anchor_digest: str | None = None
    """Of the anchor prompts; None without an anchor."""
    template_arguments: dict[str, Any]
    system_prompt: str | None
    stance_title: str = ""
    stance_description: str = ""
    pairs: int
    pairs_by_category: dict[str, int] = {}
    parameters: int
    trainable_parameters: int
    device: str
    compute_dtype: str
    save_dtype: str
    packed: bool
    packing: str
    """Why the packed step is used, or why not."""
    threads: int
    seed: int
    total_steps: int
    log_file: str
    revision: str | None
    """Git revision of this code, if it runs from a checkout."""
    versions: dict[str, str]

    @property
    def steps_per_epoch(self) -> int:
        return self.total_steps // int(self.settings["epochs"])


class ReferenceCache(Logged):
    """state/reference.json: chosen and rejected log-probabilities under the frozen base model."""

    schema_version: int = Field(1, alias="schema")
    key: str
    """Digest of weights, token ids, forward path, precision and code version."""
    logps: dict[str, tuple[float, float]]


class BestRecord(Logged):
    epoch: int
    loss: float
    checkpoint: str


class ResumeState(Logged):
    """state.json beside the tensors of a resume state."""

    schema_version: int = Field(1, alias="schema")
    run_id: str = ""
    step: int
    """Optimizer steps done."""
    best: BestRecord | None
    epoch_steps: list[StepRecord]
    """Steps of the unfinished epoch, so that its means come out as if never interrupted."""
    epoch_seconds: float
    epoch_log_bytes: int
    steps_log_bytes: int
    scaler: dict[str, Any] | None
    """State of the loss scaler; None except in float16."""
    warned: dict[str, int]
    """Guard name -> epoch of its first warning."""

    @classmethod
    def beginning(cls, run_id: str) -> ResumeState:
        """The state of a run that has not taken a step."""
        return cls(
            run_id=run_id,
            step=0,
            best=None,
            epoch_steps=[],
            epoch_seconds=0.0,
            epoch_log_bytes=0,
            steps_log_bytes=0,
            scaler=None,
            warned={},
        )
