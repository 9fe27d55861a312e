"""Open a model once for everything that is asked of it: all question sets, and probes in between."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from epistemic_stance.models.chat_template import conversation_ids, template_digest
from epistemic_stance.models.device import choose_device, choose_dtype
from epistemic_stance.models.engine import Decoder, make_decoder
from epistemic_stance.models.find import ModelFiles
from epistemic_stance.models.load import load_config, load_model, load_stop_ids, load_tokenizer, require_rows
from epistemic_stance.models.memory import tune_allocator
from epistemic_stance.records.collection import Products


@dataclass(frozen=True)
class OpenedModel:
    """A loaded model, its tokenizer, and what it was loaded with."""

    files: ModelFiles
    model: Any
    tokenizer: Any
    stop_ids: set[int]
    device: str
    dtype: str
    """Of the weights, such as 'float32'."""
    threads: int
    products: Products | None = None
    """What is to multiply while it answers; None = what is faster here."""

    @cached_property
    def decoder(self) -> Decoder:
        """How it answers, found out at the first use. Raises InputError or NumericError."""
        return make_decoder(self.model, self.tokenizer, self.stop_ids, self.products)

    @property
    def weights_digest(self) -> str:
        return self.files.digest()

    @property
    def template_digest(self) -> str:
        return template_digest(self.tokenizer)


def open_model(
    files: ModelFiles,
    *,
    device: str = "auto",
    dtype: str = "auto",
    threads: int = 0,
    products: Products | None = None,
) -> OpenedModel:
    """Load what `find_model` found.

    Args:
        device, dtype: as `choose_device` and `choose_dtype` understand them.
        threads: of the CPU; 0 = torch's choice.

    Raises InputError for files that do not load or a device that is not there.
    """
    tokenizer = load_tokenizer(files.folder)
    config = load_config(files.folder)
    require_rows(tokenizer, config, conversation_ids(tokenizer))
    stop_ids = load_stop_ids(files.folder, tokenizer)
    device = choose_device(device)
    computed_in = str(choose_dtype(dtype, device)).removeprefix("torch.")
    tune_allocator()
    if threads:
        torch.set_num_threads(threads)
    model = load_model(files.folder, device, computed_in, config)
    return OpenedModel(files, model, tokenizer, stop_ids, device, computed_in, torch.get_num_threads(), products)
