"""Find a model by name and screen its files: safetensors only, no remote code. Without torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epistemic_stance.foundation.errors import InputError, Problem, RefusedError
from epistemic_stance.foundation.files import MANIFEST, sha256_of, verify_manifest
from epistemic_stance.foundation.settings import DEMO_MODEL, GGUF_SUFFIX
from epistemic_stance.models.errors import file_errors, first_line
from epistemic_stance.models.gguf import converted
from epistemic_stance.records.checkpoint_name import checkpoint_of
from epistemic_stance.records.run_folder import (
    CHECKPOINTS,
    METADATA_FILE,
    RunFolder,
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


@dataclass(frozen=True)
class ModelFiles:
    """A model folder on this machine that passed the screening."""

    name: str
    """As the user gave it."""
    folder: Path
    gguf: Path | None = None
    """The file that the folder was made of."""

    @property
    def weights(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("model*.safetensors") if path.is_file())

    def digest(self) -> str:
        """What the model computes: sha256 of the GGUF file, or over the digests of config.json and the weight files."""
        if self.gguf:
            return sha256_of(self.gguf)
        files = [self.folder / "config.json", *self.weights]
        return hashlib.sha256("".join(sha256_of(path) for path in files).encode()).hexdigest()

    def dtype(self) -> str:
        """The precision most weights of the first file are stored in, such as 'bfloat16'."""
        from safetensors import safe_open

        names = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
        first = self.weights[0]
        with file_errors(first, "cannot be read as safetensors"), safe_open(first, framework="pt") as stream:
            dtypes = [names.get(stream.get_slice(key).get_dtype(), "float32") for key in stream.keys()]  # noqa: SIM118
        return max(sorted(set(dtypes)), key=dtypes.count, default="float32")


def find_model(name: str) -> ModelFiles:
    """The files of `demo`, of a folder (also `run/checkpoint-50` for run/checkpoints/checkpoint-050), of the Hub, or of
    a folder made of a GGUF file.

    Raises InputError if there is no such model and RefusedError if its files are not to be trusted.
    """
    if name == DEMO_MODEL:
        return ModelFiles(name, screened(DEMO_FOLDER))
    path = Path(name)
    if path.suffix == GGUF_SUFFIX and not path.is_dir():
        return ModelFiles(name, screened(converted(path)), path)
    if (path / "config.json").is_file():
        return ModelFiles(name, screened(path))
    checkpoint = _checkpoint_in_run(path)
    if checkpoint is not None:
        return ModelFiles(name, screened(checkpoint))
    if path.exists() or name.startswith((".", "/", "~")) or checkpoint_of(path.name) or name.count("/") > 1:
        raise InputError([Problem(name, "is not a model folder: no config.json in it", hint=_available_in(path))])
    return ModelFiles(name, screened(_download(name)))


def is_on_this_machine(name: str) -> bool:
    """Whether a folder or the Hugging Face cache holds the model, weights and all; the network is not asked.

    Raises ValueError for a name that can be neither.
    """
    from huggingface_hub import try_to_load_from_cache

    folder = Path(name)
    if folder.suffix == GGUF_SUFFIX and not folder.is_dir():
        return folder.is_file()
    if folder.is_dir() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        return (folder / "config.json").is_file() and bool(ModelFiles(name, folder).weights)

    def cached(file: str) -> Path | None:
        place = try_to_load_from_cache(name, file)
        return Path(place) if isinstance(place, str) else None

    index = cached("model.safetensors.index.json")
    parts = json.loads(index.read_bytes())["weight_map"].values() if index else ["model.safetensors"]
    return all(cached(str(file)) for file in ("config.json", "tokenizer_config.json", *parts))


def _checkpoint_in_run(path: Path) -> Path | None:
    wanted = checkpoint_of(path.name)
    run = RunFolder(path.parent.parent if path.parent.name == CHECKPOINTS else path.parent)
    folders = [] if wanted is None else run.checkpoint_folders()
    return next((folder for folder in folders if checkpoint_of(folder.name) == wanted), None)


def _available_in(path: Path) -> str:
    for run in (path, path.parent, path.parent.parent):
        present = [folder.name for folder in RunFolder(run).checkpoint_folders()]
        if present:
            return f"{run} has {', '.join(present)}"
    for file in sorted(path.glob(f"*{GGUF_SUFFIX}")):
        return f"name the file in it: {file}"
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
        what, cause = f"is not on this machine and could not be downloaded: {first_line(error)}", error
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
    with file_errors(path, "cannot be read as JSON"):
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


def recorded_training(folder: Path) -> CheckpointMetadata | None:
    """What a checkpoint says of its training, or None if the folder is no checkpoint of ours."""
    return read_if_sound(folder / METADATA_FILE, CheckpointMetadata)
