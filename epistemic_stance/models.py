"""Find a model by name, screen its files, load it and its tokenizer. Safetensors only, no remote code."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epistemic_stance.chat import stop_token_ids
from epistemic_stance.errors import InputError, Problem, RefusedError
from epistemic_stance.files import sha256_of
from epistemic_stance.settings import DEMO_MODEL

DEMO_FOLDER = Path(__file__).parent / "demo_model"
DEMO_NOTICE = "the demo model is a small stand-in for seeing and testing the machinery; it is not evidence about Qwen"
OFFLINE_HINT = "give --model PATH for a folder on this machine, or --model demo for the embedded stand-in"


@dataclass(frozen=True)
class ModelFiles:
    """A model folder on this machine that passed the screening."""

    name: str
    """As the user gave it."""
    folder: Path

    @property
    def weights(self) -> list[Path]:
        return sorted(self.folder.glob("model*.safetensors"))

    def digest(self) -> str:
        """sha256 over the digests of config.json and the weight files: what the model computes."""
        files = [self.folder / "config.json", *self.weights]
        return hashlib.sha256("".join(sha256_of(path) for path in files).encode()).hexdigest()

    def dtype(self) -> str:
        """The precision most weights of the first file are stored in, such as 'bfloat16'."""
        from safetensors import safe_open

        names = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
        with safe_open(self.weights[0], framework="pt") as stream:
            dtypes = [names.get(stream.get_slice(key).get_dtype(), "float32") for key in stream.keys()]  # noqa: SIM118
        return max(set(dtypes), key=dtypes.count)


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
    match = re.fullmatch(r"checkpoint-(\d+)", path.name)
    if match is None:
        return None
    parent = path.parent if path.parent.name == "checkpoints" else path.parent / "checkpoints"
    wanted = int(match.group(1))
    for folder in sorted(parent.glob("checkpoint-*")):
        if folder.name.removeprefix("checkpoint-").isdigit() and int(folder.name.split("-")[1]) == wanted:
            return folder
    return None


def _available_in(path: Path) -> str:
    for run in (path, path.parent, path.parent.parent):
        found = sorted(folder.name for folder in (run / "checkpoints").glob("checkpoint-*"))
        if found:
            return f"{run} has {', '.join(found)}"
    return "give a Hugging Face id, a model folder, or demo"


def _download(name: str) -> Path:
    """Fetch config, tokenizer and safetensors of a Hub model into the Hugging Face cache; nothing else."""
    import httpx2
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    cause: Exception
    patterns = ["*.json", "model*.safetensors", "*.txt", "*.jinja", "*.model"]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except HFValidationError as error:
        what, cause = "is neither a folder nor a Hugging Face id", error
    except RepositoryNotFoundError as error:
        what, cause = "is not on the Hugging Face Hub, or not for you", error
    except (OSError, httpx2.HTTPError) as error:
        what, cause = f"is not on this machine and could not be downloaded: {_first_line(error)}", error
    raise InputError([Problem("--model", f"{name!r} {what}", hint=OFFLINE_HINT)]) from cause


def screened(folder: Path) -> Path:
    """The folder, if nothing in it could run code or is missing. Raises InputError or RefusedError."""
    if not folder.is_dir():
        raise InputError([Problem(str(folder), "no such model folder")])
    for name in ("config.json", "tokenizer_config.json"):
        path = folder / name
        if not path.is_file():
            raise InputError([Problem(str(path), "no such file", hint="a model folder holds config and tokenizer")])
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError([Problem(str(path), f"not JSON: {error}")]) from error
        if "auto_map" in config:
            raise RefusedError(
                f"{path} asks to run Python code that comes with the model (auto_map)",
                "use a model whose architecture is part of transformers",
            )
    if not list(folder.glob("model*.safetensors")):
        pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern))
        if pickles:
            raise RefusedError(
                f"{folder} has its weights only as pickle ({pickles[0]}), which can run code when loaded",
                "convert it to safetensors",
            )
        raise InputError([Problem(str(folder), "no model.safetensors in it", hint="is the download complete?")])
    return folder


def load_tokenizer(name: str) -> Any:
    """The tokenizer of a model by name, as `find_model` understands names."""
    return tokenizer_in(find_model(name).folder)


def tokenizer_in(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (ValueError, OSError, KeyError) as error:
        raise InputError([Problem(str(folder), f"its tokenizer does not load: {_first_line(error)}")]) from error


def stop_ids_in(folder: Path, tokenizer: Any) -> set[int]:
    """Ids that end an answer of the model in a screened folder."""
    from transformers import GenerationConfig

    has_config = (folder / "generation_config.json").is_file()
    return stop_token_ids(tokenizer, GenerationConfig.from_pretrained(folder) if has_config else None)


def model_in(folder: Path, device: str) -> Any:
    """The causal LM of a screened folder, float32, in evaluation mode (no dropout), on `device`."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # a bar for every load and save would drown the run's own
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, use_safetensors=True, trust_remote_code=False
        )
    except (ValueError, OSError, KeyError, RuntimeError) as error:
        what = f"does not load as a causal language model: {_first_line(error)}"
        raise InputError([Problem(str(folder), what)]) from error
    return model.to(device).eval()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
