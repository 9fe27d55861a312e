"""What a checkpoint takes over from its base: every file but the weights, and config.json with another dtype.

Libraries write configurations and tokenizers in the form of their own version: what transformers 5 writes, transformers
4 and what is built on it read as another model or not at all. The files that came with the base are read by all.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from epistemic_stance.foundation.errors import Problem, StorageError
from epistemic_stance.foundation.files import MANIFEST
from epistemic_stance.records.run_folder import CARD_FILE, METADATA_FILE

CONFIG_FILE = "config.json"
TEMPLATES_FOLDER = "additional_chat_templates"
"""The one folder inside a model's folder that transformers reads."""
WEIGHT_SUFFIXES = {
    *(".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"),
    *(".gguf", ".ggml", ".h5", ".msgpack", ".ot", ".npz", ".npy", ".onnx", ".onnx_data", ".tflite"),
}
WEIGHT_INDEX = ".index.json"
OWN_FILES = {CONFIG_FILE, MANIFEST, METADATA_FILE, CARD_FILE}
"""Written for each checkpoint: a base that is a checkpoint itself, or has a model card, has them of another model."""

DTYPE = re.compile(rb'("(?:torch_)?dtype"\s*:\s*)"(?:torch\.)?b?float\d+"')
"""Of the model and of its parts, in transformers 5's spelling and 4's."""
USUAL_ROPE_THETA = 10_000.0
"""What transformers 4 takes for most architectures where config.json names none."""


def files_beside_weights(folder: Path) -> Iterator[Path]:
    """Files of a model folder that any checkpoint of it has, relative to the folder."""
    for path in sorted([*folder.iterdir(), *(folder / TEMPLATES_FOLDER).glob("*.jinja")]):
        is_weights = path.suffix.lower() in WEIGHT_SUFFIXES or path.name.endswith(WEIGHT_INDEX)
        if path.is_file() and not (is_weights or path.name in OWN_FILES or path.name.startswith(".")):
            yield path.relative_to(folder)


def take_over_files(base: Path, target: Path, earlier: Path | None) -> None:
    """Copy the files beside the weights, byte for byte; those that an earlier checkpoint has become hard links to it.

    A tokenizer takes 11 MB, twenty times. Raises StorageError if a file went away since it was listed.
    """
    for name in files_beside_weights(base):
        path = target / name
        path.parent.mkdir(exist_ok=True)
        try:
            content = (base / name).read_bytes()
        except OSError as error:
            what = f"cannot read {base / name} of the base model: {error.strerror}"
            raise StorageError(what, "put it back; what was saved before is intact") from error
        twin = earlier / name if earlier else None
        if twin is None or not _is_file_of(twin, content):
            path.write_bytes(content)
            continue
        try:
            path.hardlink_to(twin)
        except OSError:
            shutil.copyfile(twin, path)


def _is_file_of(path: Path, content: bytes) -> bool:
    return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content


def write_config(base: Path, target: Path, dtype: str) -> None:
    """Put the base's configuration in the place of the one that transformers wrote, with `dtype` for its own.

    Where the base is a model of several parts of which transformers loaded one, its configuration would be that of
    another model, and the written one stays.
    """
    written = target / CONFIG_FILE
    of_base = (base / CONFIG_FILE).read_bytes()
    same = json.loads(of_base).get("model_type") == json.loads(written.read_bytes()).get("model_type")
    config = of_base if same else written.read_bytes()
    written.write_bytes(DTYPE.sub(rb'\1"%s"' % dtype.encode(), config))


def newer_forms(folder: Path) -> Iterator[Problem]:
    """What transformers 4 would read otherwise than 5, and so in every checkpoint of this model."""
    config, tokenizer = (_read_object(folder / name) for name in (CONFIG_FILE, "tokenizer_config.json"))
    rope = config.get("rope_parameters")
    if isinstance(rope, dict) and not {"rope_theta", "rope_scaling"} & config.keys():
        theta, kind = rope.get("rope_theta", USUAL_ROPE_THETA), rope.get("rope_type", "default")
        if theta != USUAL_ROPE_THETA or kind != "default":
            what = "transformers 4 passes over it and reads other positions, in this model and its checkpoints"
            hint = "the published config.json of a model has rope_theta, which transformers 5 reads too"
            yield Problem(str(folder / CONFIG_FILE), what, field="rope_parameters", hint=hint)
    if tokenizer.get("tokenizer_class") == "TokenizersBackend":
        what = "transformers 4 does not load a TokenizersBackend, neither of this model nor of its checkpoints"
        hint = "PreTrainedTokenizerFast is the name of the same that both load"
        yield Problem(str(folder / "tokenizer_config.json"), what, field="tokenizer_class", hint=hint)


def _read_object(path: Path) -> dict[str, Any]:
    """Of a screened folder."""
    value = json.loads(path.read_bytes())
    return value if isinstance(value, dict) else {}
