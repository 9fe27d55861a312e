"""Load a screened model folder: configuration, tokenizer, stop tokens, weights."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.models.chat_template import stop_token_ids
from epistemic_stance.models.errors import file_errors
from epistemic_stance.models.find import VOCABULARY_FILES

ADAPTER_KEYS = re.compile(r"\b(lora|base_layer|modules_to_save|adapters?)(_|\b)")
KEYS_SHOWN = 3


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a screened folder. Raises InputError."""
    from transformers import AutoTokenizer

    if not any((folder / name).is_file() for name in VOCABULARY_FILES):
        hint = f"one of {', '.join(VOCABULARY_FILES)}"
        raise InputError([Problem(str(folder), "its tokenizer has no vocabulary file", hint=hint)])
    with file_errors(folder, "its tokenizer does not load"):
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def load_config(folder: Path) -> Any:
    """The configuration of a screened folder. Raises InputError.

    A padding token without a row of the embedding, as tools leave behind that add one to the tokenizer alone, is left
    out: nothing here pads with it, and no model can be built with it.
    """
    from transformers import AutoConfig

    with file_errors(folder / "config.json", "not the configuration of a model transformers knows"):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    rows = config.get_text_config().vocab_size
    for part in (config, config.get_text_config()):
        if isinstance(part.pad_token_id, int) and part.pad_token_id >= rows:
            part.pad_token_id = None
    return config


def require_rows(tokenizer: Any, config: Any, token_ids: Iterable[int]) -> None:
    """Raises InputError for tokens without a row of the embedding, naming them."""
    rows = config.get_text_config().vocab_size
    beyond = sorted({token for token in token_ids if token >= rows})
    if beyond:
        named = ", ".join(f"{shorten(str(tokenizer.convert_ids_to_tokens(token)))} ({token})" for token in beyond[:3])
        what = f"the model has {rows} rows of its embedding, none for {named}"
        hint = "the tokenizer is that of another model, or tokens were added to it without the model"
        raise InputError([Problem(str(tokenizer.name_or_path), what, field="vocab_size", hint=hint)])


def longest_pair(config: Any, max_length: int) -> int:
    """Tokens of prompt and answer: `max_length`, or the model's positions where they are fewer."""
    positions = getattr(config, "max_position_embeddings", None)
    return min(max_length, positions or max_length)


def load_stop_ids(folder: Path, tokenizer: Any) -> set[int]:
    """Ids that end an answer of the model in a screened folder. Raises InputError."""
    from transformers import GenerationConfig

    path = folder / "generation_config.json"
    with file_errors(path, "not a generation configuration"):
        generation = GenerationConfig.from_pretrained(folder) if path.is_file() else None
    config = load_config(folder)
    ids = stop_token_ids(tokenizer, config, config.get_text_config(), generation)
    if not all(isinstance(token, int) for token in ids):
        what = f"is {ids}, expected numbers of tokens"
        hint = f"it stands in config.json and in {path.name}"
        raise InputError([Problem(str(folder), what, field="eos_token_id", hint=hint)])
    return ids


def load_model(folder: Path, device: str, dtype: str = "float32", config: Any = None) -> Any:
    """The causal LM of a screened folder in evaluation mode (no dropout), on `device`.

    Args:
        config: as `load_config` returned it, if it was read before.

    Raises InputError, also if the files lack a weight: transformers would fill it with random numbers.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    config = config or load_config(folder)
    logging.disable_progress_bar()  # a bar for every load and save would drown the run's own
    with file_errors(folder, "does not load as a causal language model"):
        model, report = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=getattr(torch, dtype),
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are reported, and refused by name
        )
    _require_all_weights(folder, report)
    return model.to(device).eval()


def _require_all_weights(folder: Path, report: dict[str, Any]) -> None:
    """Raises InputError for tensors that are missing, of another shape, or of an adapter; `report` spares tied ones.

    Other unexpected tensors are left out by design: the heads of other tasks, buffers of old versions.
    """
    mismatched = [
        f"{key} {list(stored)} instead of {list(wanted)}" for key, stored, wanted in report["mismatched_keys"]
    ]
    adapters = [key for key in report["unexpected_keys"] if ADAPTER_KEYS.search(key)]
    faults = [
        ("lacks weights that config.json asks for", list(report["missing_keys"]), "is the download complete?"),
        ("has weights of other shapes than config.json says", mismatched, "config.json is that of another model"),
        ("holds weights of an adapter", adapters, "merge the adapter into its model first"),
    ]
    problems = [Problem(str(folder), f"{what}: {_some(keys)}", hint=hint) for what, keys, hint in faults if keys]
    if problems:
        raise InputError(problems)


def _some(keys: list[str]) -> str:
    shown = ", ".join(sorted(keys)[:KEYS_SHOWN])
    return shown if len(keys) <= KEYS_SHOWN else f"{shown} and {len(keys) - KEYS_SHOWN} more"
