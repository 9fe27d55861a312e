"""Who is asked: what is known of the model before torch is imported, and how it is opened."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from epistemic_stance.collection.design import Design
from epistemic_stance.collection.plan import Backend, Group, Item
from epistemic_stance.collection.progress import Display
from epistemic_stance.foundation.files import sha256_of
from epistemic_stance.foundation.settings import DEMO_MODEL, DEMO_NOTICE, CollectSettings
from epistemic_stance.models.load import TOKENIZER_FILES, find_model, recorded_training
from epistemic_stance.records.collection import CollectionRecord
from epistemic_stance.records.training import CheckpointMetadata


@dataclass(frozen=True)
class Source:
    """A model, by the digests of its files, or a server, by its address."""

    weights_digest: str | None
    tokenizer_digest: str | None
    endpoint: str | None
    base_model: str | None
    """What a checkpoint of ours was trained from."""
    corpus_digest: str | None
    """Of the pairs it was trained on."""
    warnings: list[str]


@dataclass(frozen=True)
class Opened:
    """A backend that can answer, and how its answers are grouped."""

    backend: Backend
    grouped: Callable[[Sequence[Item]], list[Group]]
    slots: int | None
    threads: int | None


def find_source(settings: CollectSettings, system_prompt: str | None) -> Source:
    """Raises InputError or RefusedError if there is no such model, or no such address."""
    if settings.endpoint is not None:
        from epistemic_stance.collection.endpoint_http import Key, checked_address

        return Source(None, None, checked_address(settings.endpoint, Key(settings.api_key_variable)), None, None, [])
    files = find_model(settings.model)
    present = [name for name in TOKENIZER_FILES if (files.folder / name).is_file()]
    listed = "".join(f"{name} {sha256_of(files.folder / name)}\n" for name in present)
    trained = recorded_training(files.folder)
    warnings = _warnings(settings.model, trained, system_prompt)
    base_model, corpus = (trained.base_model, trained.corpus_digest) if trained else (None, None)
    return Source(files.digest(), hashlib.sha256(listed.encode()).hexdigest(), None, base_model, corpus, warnings)


def _warnings(name: str, trained: CheckpointMetadata | None, system_prompt: str | None) -> list[str]:
    """What a reader of the answers has to know of the model, as far as its folder says."""
    if name == DEMO_MODEL:
        return [DEMO_NOTICE]
    if trained is None:
        return []
    warnings = [f"{name} was trained from the demo model: {DEMO_NOTICE}"] if trained.base_model == DEMO_MODEL else []
    if trained.system_prompt != system_prompt:
        warnings.append("the model was trained with another system prompt than the one it is asked with here")
    return warnings


def open_backend(settings: CollectSettings, design: Design, begun: CollectionRecord | None, display: Display) -> Opened:
    """Load the model, or greet the server. What is automatic is as it was when the collection was begun.

    `display` hears of local answers that are complete, long before their group is, and of a server that is waited
    for. Raises StanceError.
    """
    if settings.endpoint is not None:
        from epistemic_stance.collection.endpoint import open_endpoint

        server = open_endpoint(
            settings.endpoint,
            settings.model,
            design.sampling,
            system_prompt=design.system_prompt,
            concurrency=settings.concurrency,
            timeout_s=settings.request_timeout,
            api_key_variable=settings.api_key_variable,
            on_wait=display.waiting,
        )
        return Opened(server, lambda items: [(item,) for item in items], None, None)

    from epistemic_stance.collection.local import grouped, open_local

    local = open_local(
        settings.model,
        design.sampling,
        device=settings.device,
        dtype=settings.dtype,
        system_prompt=design.system_prompt,
        slots=settings.slots or (begun.slots if begun and begun.slots else 0),
        threads=settings.threads or (begun.threads if begun and begun.threads else 0),
    )
    local.on_answer = display.answered
    slots = local.slots
    return Opened(local, lambda items: grouped(items, slots), slots, local.threads)
