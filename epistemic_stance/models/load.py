"""Find a model by name, screen its files, load it and its tokenizer. Safetensors only, no remote code."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epistemic_stance.foundation.errors import InputError, Problem, RefusedError, StanceError
from epistemic_stance.foundation.files import MANIFEST, sha256_of, verify_manifest
from epistemic_stance.foundation.settings import DEMO_MODEL
from epistemic_stance.models.chat_template import stop_token_ids
from epistemic_stance.records.run_folder import (
    CHECKPOINTS,
    METADATA_FILE,
    RunFolder,
    checkpoint_epoch,
    read_if_sound,
)
from epistemic_stance.records.training import CheckpointMetadata

DEMO_FOLDER = Path(__file__).parent / "demo_model"
OFFLINE_HINT = "give --model PATH for a folder on this machine, or --model demo for the embedded stand-in"
VOCABULARY_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")
"""Without any of them transformers builds a tokenizer of special tokens alone, and says nothing."""
TOKENIZER_FILES = (
    *VOCABULARY_FILES,
    "merges.txt",
    "tokenizer_config.json",
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "generation_config.json",
)
"""What decides the text beside config and weights; the last one says which tokens end an answer."""
ADAPTER_KEYS = re.compile(r"\b(lora|base_layer|modules_to_save|adapters?)(_|\b)")
KEYS_SHOWN = 3


@contextmanager
def opened(path: Path, what: str) -> Iterator[None]:
    """Turn what libraries raise about the content of a model's files into an InputError naming the file.

    The files are untrusted, and what transformers raises for broken ones has no common class. Failures that are
    not the file's fault pass: our own errors, memory, and whatever is no Exception (Ctrl-C).
    """
    try:
        yield
    except (StanceError, MemoryError):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise InputError([Problem(str(path), f"{what}: {_first_line(error)}")]) from error


def is_out_of_memory(error: Exception) -> bool:
    """PyTorch says so in a class of its own on a GPU, and in the text of a RuntimeError on the CPU."""
    return type(error).__name__ == "OutOfMemoryError" or "allocate memory" in str(error)


@dataclass(frozen=True)
class ModelFiles:
    """A model folder on this machine that passed the screening."""

    name: str
    """As the user gave it."""
    folder: Path

    @property
    def weights(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("model*.safetensors") if path.is_file())

    def digest(self) -> str:
        """sha256 over the digests of config.json and the weight files: what the model computes."""
        files = [self.folder / "config.json", *self.weights]
        return hashlib.sha256("".join(sha256_of(path) for path in files).encode()).hexdigest()

    def dtype(self) -> str:
        """The precision most weights of the first file are stored in, such as 'bfloat16'."""
        from safetensors import safe_open

        names = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
        first = self.weights[0]
        with opened(first, "cannot be read as safetensors"), safe_open(first, framework="pt") as stream:
            dtypes = [names.get(stream.get_slice(key).get_dtype(), "float32") for key in stream.keys()]  # noqa: SIM118
        return max(sorted(set(dtypes)), key=dtypes.count, default="float32")


def find_model(name: str) -> ModelFiles:
    """The files of `demo`, of a folder (also `run/checkpoint-50` for run/checkpoints/checkpoint-050), or of the Hub.

    Raises InputError if there is no such model and RefusedError if its files are not to be trusted.
    """
    if name == DEMO_MODEL:
        return ModelFiles(name, screened(DEMO_FOLDER))
    path = Path(name)
    if (path / "config.json").is_file():
        return ModelFiles(name, screened(path))
    checkpoint = _checkpoint_in_run(path)
    if checkpoint is not None:
        return ModelFiles(name, screened(checkpoint))
    if path.exists() or name.startswith((".", "/", "~")) or re.search(r"checkpoint-\d+$", name) or name.count("/") > 1:
        raise InputError([Problem(name, "is not a model folder: no config.json in it", hint=_available_in(path))])
    return ModelFiles(name, screened(_download(name)))


def _checkpoint_in_run(path: Path) -> Path | None:
    wanted = checkpoint_epoch(path.name)
    run = RunFolder(path.parent.parent if path.parent.name == CHECKPOINTS else path.parent)
    folders = [] if wanted is None else run.checkpoint_folders()
    return next((folder for folder in folders if checkpoint_epoch(folder.name) == wanted), None)


def _available_in(path: Path) -> str:
    for run in (path, path.parent, path.parent.parent):
        present = [folder.name for folder in RunFolder(run).checkpoint_folders()]
        if present:
            return f"{run} has {', '.join(present)}"
    return "give a Hugging Face id, a model folder, or demo"


def _download(name: str) -> Path:
    """Fetch config, tokenizer and safetensors of a Hub model into the Hugging Face cache; nothing else."""
    from huggingface_hub import errors, snapshot_download

    cause: Exception
    patterns = ["*.json", "model*.safetensors", "*.txt", "*.jinja", "*.model"]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except errors.HFValidationError as error:
        what, cause = "is neither a folder nor a Hugging Face id", error
    except errors.RepositoryNotFoundError as error:
        what, cause = "is not on the Hugging Face Hub, or not for you", error
    except (OSError, errors.HTTPError) as error:  # type: ignore[attr-defined]  # of the HTTP library that the hub uses
        what, cause = f"is not on this machine and could not be downloaded: {_first_line(error)}", error
    raise InputError([Problem("--model", f"{name!r} {what}", hint=OFFLINE_HINT)]) from cause


def screened(folder: Path) -> Path:
    """The folder, if nothing in it could run code, is missing or damaged. Raises InputError or RefusedError."""
    if not folder.is_dir():
        raise InputError([Problem(str(folder), "no such model folder")])
    for name in ("config.json", "tokenizer_config.json", "generation_config.json"):
        path = folder / name
        if path.is_file():
            _screen_config(path)
        elif name != "generation_config.json":
            raise InputError([Problem(str(path), "no such file", hint="a model folder holds config and tokenizer")])
    if (folder / "adapter_config.json").exists():
        hint = "merge the adapter into its model first (peft: merge_and_unload) and save the result"
        raise InputError([Problem(str(folder / "adapter_config.json"), "an adapter lies in this folder", hint=hint)])
    if not ModelFiles("", folder).weights:
        pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern))
        if pickles:
            raise RefusedError(
                f"{folder} has its weights only as pickle ({pickles[0]}), which can run code when loaded",
                "convert it to safetensors",
            )
        raise InputError([Problem(str(folder), "no model.safetensors in it", hint="is the download complete?")])
    damage = verify_manifest(folder) if (folder / MANIFEST).is_file() else None
    if damage:
        hint = f"use another checkpoint; if the change was yours, delete {MANIFEST}"
        raise InputError([Problem(str(folder), f"changed since it was saved: {damage}", hint=hint)])
    return folder


def _screen_config(path: Path) -> None:
    """Raises InputError if it is no JSON object or asks for what we do not train, RefusedError if for foreign code."""
    with opened(path, "cannot be read as JSON"):
        config = json.loads(path.read_text(encoding="utf-8"))
        fields = list(_fields(config))
    if not isinstance(config, dict):
        raise InputError([Problem(str(path), "is not a JSON object")])
    for name, value in fields:
        if name == "auto_map":
            raise RefusedError(
                f"{path} asks to run Python code that comes with the model (auto_map)",
                "use a model whose architecture is part of transformers",
            )
        if name.removeprefix("_").startswith("attn_implementation") and "/" in json.dumps(value):
            raise RefusedError(
                f"{path} asks to run an attention kernel from the Hub ({name}: {json.dumps(value)})",
                f"remove {name} from the file",
            )
        if name == "quantization_config" and value:
            hint = "training needs the weights as they were before quantization"
            raise InputError([Problem(str(path), "the model is quantized", field=name, hint=hint)])


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    """Every field of a JSON value, at any depth: models of several parts have a config in the config."""
    if isinstance(value, dict):
        yield from value.items()
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _fields(part)


def load_tokenizer(name: str) -> Any:
    """The tokenizer of a model by name, as `find_model` understands names."""
    return tokenizer_in(find_model(name).folder)


def tokenizer_in(folder: Path) -> Any:
    """The tokenizer of a screened folder. Raises InputError."""
    from transformers import AutoTokenizer

    if not any((folder / name).is_file() for name in VOCABULARY_FILES):
        hint = f"one of {', '.join(VOCABULARY_FILES)}"
        raise InputError([Problem(str(folder), "its tokenizer has no vocabulary file", hint=hint)])
    with opened(folder, "its tokenizer does not load"):
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def config_in(folder: Path) -> Any:
    """The configuration of a screened folder. Raises InputError."""
    from transformers import AutoConfig

    with opened(folder / "config.json", "not the configuration of a model transformers knows"):
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def recorded_training(folder: Path) -> CheckpointMetadata | None:
    """What a checkpoint says of its training, or None if the folder is no checkpoint of ours."""
    return read_if_sound(folder / METADATA_FILE, CheckpointMetadata)


def stop_ids_in(folder: Path, tokenizer: Any) -> set[int]:
    """Ids that end an answer of the model in a screened folder. Raises InputError."""
    from transformers import GenerationConfig

    path = folder / "generation_config.json"
    with opened(path, "not a generation configuration"):
        ids = stop_token_ids(tokenizer, GenerationConfig.from_pretrained(folder) if path.is_file() else None)
    if not all(isinstance(token, int) for token in ids):
        raise InputError([Problem(str(path), f"is {ids}, expected numbers of tokens", field="eos_token_id")])
    return ids


def model_in(folder: Path, device: str, dtype: str = "float32") -> Any:
    """The causal LM of a screened folder in evaluation mode (no dropout), on `device`.

    Raises InputError, also if the files lack a weight: transformers would fill it with random numbers.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # a bar for every load and save would drown the run's own
    with opened(folder, "does not load as a causal language model"):
        model, report = AutoModelForCausalLM.from_pretrained(
            folder,
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


def _first_line(error: Exception) -> str:
    """What the error says first, and what it announces with a colon."""
    first, *rest = str(error).strip().splitlines() or [type(error).__name__]
    return f"{first} {rest[0].strip()}" if first.endswith(":") and rest else first
