"""What a collection writes: one line per answer, and beside it the plan that the answers belong to."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from epistemic_stance.records import Logged

Products = Literal["onednn", "torch"]
"""What multiplies matrices on a CPU: oneDNN called directly, or what torch calls (MKL, elsewhere a GPU's library)."""


class SamplingRecord(Logged):
    """Every sampling field but the temperature, which varies inside a run."""

    top_p: float
    top_k: int
    """0 = no limit."""
    repetition_penalty: float


class ResponseMetadata(Logged):
    """Where an answer comes from."""

    model: str
    base_model: str | None = None
    """What a checkpoint of ours was trained from; None = no such checkpoint, or unknown."""
    corpus_digest: str | None = None
    """Of the pairs that the checkpoint was trained on; None likewise."""
    weights_digest: str | None
    """sha256 over config and weights; None = unknown, for an endpoint does not say."""
    template_digest: str | None
    sampling: SamplingRecord
    max_tokens: int
    seed: int
    """Of this answer."""
    tokens: int | None
    """Up to the first stop token, without it."""
    backend: str
    device: str | None
    dtype: str | None
    versions: dict[str, str]
    reported: dict[str, Any] = {}
    """What else the backend says of this one answer: slots, or what a server calls itself."""


class ResponseRecord(Logged):
    """One line of responses.jsonl."""

    schema_version: int = Field(1, alias="schema")
    timestamp: str
    """UTC, ISO 8601."""
    question_set: str
    category: str
    question_id: str
    question: str
    temperature: float
    iteration: int
    system_prompt: str | None
    """None: the chat template's own default."""
    response: str
    response_length: int
    """Characters."""
    latency_ms: float
    finish_reason: Literal["eos", "length", "empty"]
    metadata: ResponseMetadata


class CollectionRecord(Logged):
    """`*.plan.json` beside the responses: what they are answers to. A run continues only under an equal plan."""

    schema_version: int = Field(1, alias="schema")
    status: Literal["running", "stopped", "failed", "finished", "replacing"]
    """`replacing`: the answers beside it are of an older plan and are deleted at the next start."""
    reason: str = ""
    """Why it stopped or failed."""
    started: str
    stance: str
    question_set: str
    questions_digest: str
    """sha256 over id, category and text of the questions asked, in order."""
    categories: list[str]
    questions: int
    temperatures: list[float]
    iterations: int
    responses: int
    """Lines that a finished run has."""
    system_prompt: str | None
    sampling: SamplingRecord
    max_new_tokens: int
    seed: int
    model: str
    base_model: str | None = None
    corpus_digest: str | None = None
    weights_digest: str | None
    tokenizer_digest: str | None
    """sha256 over the files of tokenizer, template and stop tokens; None = unknown."""
    template_digest: str | None
    template_arguments: dict[str, Any]
    backend: str
    """`transformers`, `endpoint`, ..."""
    endpoint: str | None
    """Address without credentials."""
    device: str | None
    dtype: str | None
    slots: int | None
    """Answers generated side by side; part of what decides the last bits."""
    threads: int | None
    products: Products | None = None
    """What multiplied matrices; likewise. None = unknown, or an endpoint."""
    versions: dict[str, str]
    revision: str | None
