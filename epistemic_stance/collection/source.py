"""Who is asked: what is known of a model before it is loaded, and how it is opened."""

from __future__ import annotations

import hashlib

from epistemic_stance.collection.backend import Backend, OpenBackend, Source
from epistemic_stance.collection.design import Design
from epistemic_stance.foundation.files import sha256_of
from epistemic_stance.foundation.reporter import Reporter
from epistemic_stance.foundation.settings import CollectSettings
from epistemic_stance.models.find import TOKENIZER_FILES, ModelFiles, find_model, recorded_training
from epistemic_stance.records.collection import CollectionRecord


def find_source(settings: CollectSettings) -> Source:
    """Raises InputError or RefusedError if there is no such model, or no such address."""
    if settings.endpoint is None:
        return local_source(find_model(settings.model), _open_local)

    from epistemic_stance.collection.endpoint import find

    return find(settings)


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
    from epistemic_stance.collection.local import LocalBackend
    from epistemic_stance.models.open import open_model

    opened = open_model(
        find_model(settings.model),
        device=settings.device,
        dtype=settings.dtype,
        threads=settings.threads or (begun.threads if begun and begun.threads else 0),
        products=begun.products if begun else None,
    )
    slots = settings.slots or (begun.slots if begun and begun.slots else 0)
    return LocalBackend(opened, design.sampling, system_prompt=design.system_prompt, slots=slots)
