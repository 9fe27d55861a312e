"""Who is asked. A backend is one module; its name and how it is found stand in this file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from epistemic_stance.collection.backend import Backend, OpenBackend, Source
from epistemic_stance.collection.design import Design
from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.files import sha256_of
from epistemic_stance.foundation.reporter import Reporter
from epistemic_stance.foundation.settings import CollectSettings
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.models.find import TOKENIZER_FILES, ModelFiles, find_model, recorded_training
from epistemic_stance.records.collection import CollectionRecord

if TYPE_CHECKING:
    from epistemic_stance.models.open import OpenedModel


def find_source(settings: CollectSettings) -> Source:
    """Raises InputError or RefusedError if there is no such backend, model or address."""
    name = settings.backend or ("transformers" if settings.endpoint is None else "endpoint")
    if name not in BACKENDS:
        raise InputError([Problem("--backend", f"is {shorten(name)}, expected {' or '.join(BACKENDS)}")])
    if settings.endpoint is not None and name != "endpoint":
        raise InputError([Problem("--endpoint", f"means nothing with --backend {name}")])
    return BACKENDS[name](settings)


def _endpoint(settings: CollectSettings) -> Source:
    from epistemic_stance.collection.endpoint import find

    return find(settings)


def _transformers(settings: CollectSettings) -> Source:
    return local_source(find_model(settings.model), _open_local)


BACKENDS: dict[str, Callable[[CollectSettings], Source]] = {
    "transformers": _transformers,
    "endpoint": _endpoint,
}
"""The name of a backend in --backend and in records -> how it is found. Its module is imported only then."""


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
    settings: CollectSettings, design: Design, earlier: CollectionRecord | None, _reporter: Reporter
) -> Backend:
    from epistemic_stance.models.open import open_model

    files = find_model(settings.model)
    opened = open_model(files, device=settings.device, dtype=settings.dtype, threads=settings.threads)
    return local_backend(opened, settings, design, earlier)


def local_backend(
    opened: OpenedModel, settings: CollectSettings, design: Design, earlier: CollectionRecord | None
) -> Backend:
    """Have an opened model answer. What is automatic is as in the earlier part of the collection.

    Raises InputError if the chat template refuses a question, NumericError if the model computes NaN.
    """
    import torch

    from epistemic_stance.collection.local import LocalBackend

    threads = settings.threads or (earlier and earlier.threads) or opened.threads
    products = (earlier and earlier.products) or opened.products
    torch.set_num_threads(threads)
    if (threads, products) != (opened.threads, opened.products):
        opened = replace(opened, threads=threads, products=products)
    slots = settings.slots or (earlier and earlier.slots) or 0
    return LocalBackend(opened, design.sampling, system_prompt=design.system_prompt, slots=slots)
