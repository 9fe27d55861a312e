"""Who is asked: what is known of a model before it is loaded, and how it is opened."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from epistemic_stance.collection.backend import Backend
from epistemic_stance.collection.design import Design
from epistemic_stance.foundation.files import sha256_of
from epistemic_stance.foundation.reporter import Note, Reporter
from epistemic_stance.foundation.settings import DEMO_MODEL, DEMO_NOTICE, CollectSettings
from epistemic_stance.models.load import TOKENIZER_FILES, ModelFiles, find_model, recorded_training
from epistemic_stance.records.collection import CollectionRecord
from epistemic_stance.records.training import CheckpointMetadata

OpenBackend = Callable[[CollectSettings, Design, CollectionRecord | None, Reporter], Backend]
"""Settings, what is asked, the plan of the answers that are there (None = none), and who hears of trouble."""


@dataclass(frozen=True)
class Source:
    """A model, by the digests of its files, or a server, by its address. One source serves many collections."""

    backend: str
    open: OpenBackend
    """Called only if an answer is missing. Raises StanceError."""
    weights_digest: str | None = None
    """None = unknown: a server does not say."""
    tokenizer_digest: str | None = None
    endpoint: str | None = None
    """Address of the server."""
    trained: CheckpointMetadata | None = None
    """What a checkpoint of ours says of its training."""

    def warnings(self, model: str, system_prompt: str | None) -> list[str]:
        """What a reader of the answers has to know of the model, as far as its folder says."""
        if model == DEMO_MODEL:
            return [DEMO_NOTICE]
        if self.trained is None:
            return []
        is_demo = self.trained.base_model == DEMO_MODEL
        warnings = [f"{model} was trained from the demo model: {DEMO_NOTICE}"] if is_demo else []
        if self.trained.system_prompt != system_prompt:
            warnings.append("the model was trained with another system prompt than the one it is asked with here")
        return warnings


def find_source(settings: CollectSettings) -> Source:
    """Raises InputError or RefusedError if there is no such model, or no such address."""
    if settings.endpoint is None:
        return local_source(find_model(settings.model), _open_local)

    from epistemic_stance.collection.endpoint_http import Key, checked_address

    address = checked_address(settings.endpoint, Key(settings.api_key_variable))
    return Source("endpoint", _open_endpoint, endpoint=address)


def local_source(files: ModelFiles, open_backend: OpenBackend, weights_digest: str | None = None) -> Source:
    """A model on this machine. `weights_digest` is that of `files`, if the caller knows it already."""
    present = [name for name in TOKENIZER_FILES if (files.folder / name).is_file()]
    listed = "".join(f"{name} {sha256_of(files.folder / name)}\n" for name in present)
    return Source(
        "transformers",
        open_backend,
        weights_digest=weights_digest or files.digest(),
        tokenizer_digest=hashlib.sha256(listed.encode()).hexdigest(),
        trained=recorded_training(files.folder),
    )


def _open_local(
    settings: CollectSettings, design: Design, begun: CollectionRecord | None, _reporter: Reporter
) -> Backend:
    """Load the model. What is automatic is as it was when the collection was begun."""
    from epistemic_stance.collection.local import open_local

    return open_local(
        settings.model,
        design.sampling,
        device=settings.device,
        dtype=settings.dtype,
        system_prompt=design.system_prompt,
        slots=settings.slots or (begun.slots if begun and begun.slots else 0),
        threads=settings.threads or (begun.threads if begun and begun.threads else 0),
    )


def _open_endpoint(
    settings: CollectSettings, design: Design, _begun: CollectionRecord | None, reporter: Reporter
) -> Backend:
    from epistemic_stance.collection.endpoint import open_endpoint

    assert settings.endpoint is not None
    return open_endpoint(
        settings.endpoint,
        settings.model,
        design.sampling,
        system_prompt=design.system_prompt,
        concurrency=settings.concurrency,
        timeout_s=settings.request_timeout,
        api_key_variable=settings.api_key_variable,
        on_wait=lambda what, _wait_s: reporter(Note(f"  {what}")),
    )
