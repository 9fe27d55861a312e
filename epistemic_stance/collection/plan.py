"""The plan of a collection: what the answers will be answers to, and whether one that was begun may be continued."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from epistemic_stance.collection.backend import Backend, Source
from epistemic_stance.collection.design import Design
from epistemic_stance.foundation.provenance import git_revision
from epistemic_stance.foundation.settings import TEMPLATE_ARGUMENTS, CollectSettings
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records.collection import CollectionRecord, SamplingRecord

OVERWRITE_HINT = "choose another --output-dir, or --overwrite what is there"
AUTOMATIC = ("template_digest", "device", "dtype", "slots", "threads")
"""Unknown (None) until the model is loaded, unless settings say."""
MUST_MATCH = (
    "question_set",
    "questions_digest",
    "categories",
    "temperatures",
    "iterations",
    "responses",
    "system_prompt",
    "sampling",
    "max_new_tokens",
    "seed",
    "backend",
    "endpoint",
    "weights_digest",
    "tokenizer_digest",
    "template_arguments",
    *AUTOMATIC,
)
"""What decides the text of the answers, down to the last bits that slots and threads decide."""
MAY_DIFFER = ("stance", "model", "products", "versions")
"""What is reported, but not refused: a stance or a model by another name is still the same questions and weights, and
no one downgrades torch for the second half of a collection. Every line says the versions it was made with."""


def new_plan(settings: CollectSettings, design: Design, source: Source) -> CollectionRecord:
    """As far as it is known before a model is loaded."""
    sampling, trained = design.sampling, source.trained
    return CollectionRecord(
        status="running",
        started=datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        revision=None,
        stance=design.stance,
        question_set=design.question_set,
        questions_digest=design.questions_digest,
        categories=design.categories,
        questions=len(design.questions),
        temperatures=design.temperatures,
        iterations=design.iterations,
        responses=len(design.items),
        system_prompt=design.system_prompt,
        sampling=SamplingRecord(
            top_p=sampling.top_p, top_k=sampling.top_k, repetition_penalty=sampling.repetition_penalty
        ),
        max_new_tokens=sampling.max_new_tokens,
        seed=design.seed,
        model=settings.model,
        base_model=trained.base_model if trained else None,
        corpus_digest=trained.corpus_digest if trained else None,
        weights_digest=source.weights_digest,
        tokenizer_digest=source.tokenizer_digest,
        template_digest=None,
        template_arguments=TEMPLATE_ARGUMENTS,
        backend=source.backend,
        endpoint=source.endpoint,
        device=None if settings.device == "auto" else settings.device,
        dtype=None if settings.dtype == "auto" else settings.dtype,
        slots=settings.slots or None,
        threads=settings.threads or None,
        versions={},
    )


def completed(plan: CollectionRecord, backend: Backend) -> CollectionRecord:
    """With what is known of the loaded model."""
    identity = backend.identity
    known = {
        "template_digest": identity.template_digest,
        "device": identity.device,
        "dtype": identity.dtype,
        "slots": plan.slots or backend.slots,
        "threads": backend.threads,
        "products": identity.products,
        "versions": identity.versions,
        "revision": git_revision(),
    }
    return plan.model_copy(update=known)


def differences(earlier: CollectionRecord, plan: CollectionRecord, names: tuple[str, ...] = MUST_MATCH) -> list[str]:
    """`field: was X, is Y` of the named fields that changed."""
    if earlier.weights_digest is None and names is MUST_MATCH:
        names = ("model", *names)  # nothing else says which weights a server has
    was, now = earlier.model_dump(mode="json"), plan.model_dump(mode="json")
    return [
        f"{name}: was {_shown(was[name])}, is {_shown(now[name])}"
        for name in names
        if was[name] != now[name] and not (name in AUTOMATIC and now[name] is None)
    ]


def grown(earlier: CollectionRecord, plan: CollectionRecord) -> CollectionRecord:
    """The earlier plan, with the answers of a larger one that asks the same and more.

    A plan that `--max-responses` makes smaller asks the first answers of the whole (`design.spread`).
    """
    if plan.responses <= earlier.responses:
        return earlier
    return earlier.model_copy(update={"responses": plan.responses})


def _shown(value: Any) -> str:
    return shorten(value if isinstance(value, str) else json.dumps(value), 80)
