"""A GGUF file as a plain model folder: read by transformers, dequantised to float32, made once and kept in a cache.

What a file holds and transformers' reader (5.23) would leave out or get wrong is put right here where the file says
enough, and refused otherwise: a model that computes or splits text otherwise than its file says helps nobody.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from epistemic_stance.foundation.errors import InputError, Problem, RefusedError
from epistemic_stance.foundation.files import (
    commit_folder,
    dump_json,
    folder_lock,
    sha256_of,
    sweep_leftovers,
    verify_manifest,
)
from epistemic_stance.foundation.settings import GGUF_SUFFIX
from epistemic_stance.models.errors import file_errors

MAGIC = b"GGUF"
CONVERSION = 1
"""Raised when the same file would become another folder than before."""
FOLDER_HINT = "give the model as a Hugging Face folder or id instead"
FLOAT32_BYTES = 4
EXTRA_BYTES = 64 * 2**20
"""Tokenizer and configuration."""

END_TOKENS = {
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|end|>",
    "<end_of_turn>",
    "<eos>",
    "</s>",
}
"""Control tokens at which published chat models end. A file names one of them, or two; their generation_config.json
names all: <|im_end|> and <|endoftext|> for Qwen2.5."""
END_FIELDS = ("eos_token_id", "eot_token_id", "eom_token_id")

SPLITS_READ = {
    *("gpt-2", "phi-2", "mpt", "olmo", "jais"),  # GPT-2's own expression
    *("qwen2", "qwen35", "deepseek-r1-qwen", "megrez"),
    *("llama3", "llama-v3", "llama-bpe", "falcon3", "pixtral", "lfm2", "dbrx", "smaug-bpe"),
    *("tekken", "gpt-4o", "llama4"),
}
"""Values of tokenizer.ggml.pre, how text is split before merging, that transformers' reader follows."""
SPLITS_DIGITS = {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"}
"""Each digit on its own, then GPT-2's expression; the reader would use GPT-2's alone."""
SPLITS_COMPOSED = {"qwen2", "qwen35", "deepseek-r1-qwen"}
"""Published with Unicode normal form C, of which a file says nothing."""


def converted(path: Path) -> Path:
    """The model folder of a GGUF file, made if no earlier use has made it.

    Raises InputError for what is no whole GGUF file of a model that can be read, or if the package `gguf` is missing,
    RefusedError if disk or memory does not suffice or another process is converting.
    """
    _require_magic(path)
    cache = _cache()
    folder = cache / f"{path.stem[:60]}-{sha256_of(path)}"
    if folder.is_dir() and verify_manifest(folder) is None:
        return folder
    header = _read_header(path)
    _require_room(path, header, cache)
    with folder_lock(cache):
        sweep_leftovers(cache)
        print(f"{path}: dequantising to float32, once, into {folder}", file=sys.stderr, flush=True)
        commit_folder(folder, lambda target: _convert(path, header, target))
    return folder


def _cache() -> Path:
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "epistemic-stance" / f"gguf-{CONVERSION}-transformers-{version('transformers')}"


@dataclass(frozen=True)
class GgufHeader:
    """What a file says of itself."""

    fields: Mapping[str, Any]
    """Metadata by key, the vocabulary left out."""
    numbers: int
    """In all tensors."""

    @property
    def architecture(self) -> str:
        return str(self.fields.get("general.architecture"))

    def tokenizer(self, key: str) -> Any:
        return self.fields.get(f"tokenizer.ggml.{key}")


def _require_magic(path: Path) -> None:
    if not path.is_file():
        raise InputError([Problem(str(path), "no such file")])
    with path.open("rb") as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            raise InputError([Problem(str(path), "is not a GGUF file", hint="is the download complete?")])


def _read_header(path: Path) -> GgufHeader:
    try:
        from gguf import GGUFReader
    except ImportError as error:
        hint = f"{sys.executable} -m pip install gguf"
        raise InputError([Problem(str(path), "reading it needs the package gguf", hint=hint)]) from error
    with file_errors(path, "is damaged or cut off"):
        reader = GGUFReader(path)
        vocabulary = ("tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "tokenizer.ggml.merges")
        fields = {key: field.contents() for key, field in reader.fields.items() if key not in vocabulary}
        header = GgufHeader(fields, sum(int(tensor.n_elements) for tensor in reader.tensors))
    problems = [Problem(str(path), what, field=field, hint=hint) for field, what, hint in _unreadable(header)]
    if problems:
        raise InputError(problems)
    return header


def _unreadable(header: GgufHeader) -> Iterator[tuple[str, str, str]]:
    """Field, what is wrong and the way out, of all that transformers' reader would pass over without a word."""
    fields = header.fields
    if fields.get("split.count", 1) > 1:
        yield "split.count", "is one part of several", "join them first: llama-gguf-split --merge"
    if fields.get("general.type", "model") != "model":
        yield "general.type", f"is {fields['general.type']!r}, expected 'model'", "name the file of the model itself"
    scaling = fields.get(f"{header.architecture}.rope.scaling.type", "none")
    if scaling != "none":
        yield "rope.scaling.type", f"is {scaling!r}, which transformers leaves out of a GGUF file", FOLDER_HINT
    split = header.tokenizer("pre")
    if header.tokenizer("model") == "gpt2" and split not in SPLITS_READ | SPLITS_DIGITS:
        what = f"is {split!r}: transformers would split text in another way" if split else "does not say how to split"
        yield "tokenizer.ggml.pre", what, FOLDER_HINT


def _require_room(path: Path, header: GgufHeader, cache: Path) -> None:
    """Raises RefusedError unless disk holds the folder and memory its weights twice: read, and in a model."""
    from epistemic_stance.models.memory import available_memory

    existing = next(folder for folder in (cache, *cache.parents) if folder.is_dir())
    weights = FLOAT32_BYTES * header.numbers
    for needed, free, what, hint in (
        (weights + EXTRA_BYTES, shutil.disk_usage(existing).free, f"disk in {cache}", "set XDG_CACHE_HOME elsewhere"),
        (2 * weights, available_memory("cpu"), "memory", "use a smaller model"),
    ):
        if needed > free:
            message = f"{path} in float32 needs {needed} bytes of {what}, and {free} are free"
            raise RefusedError(message, f"free some, or {hint}")


def _convert(path: Path, header: GgufHeader, target: Path) -> None:
    """Write model, tokenizer and stop tokens as transformers 4 and 5 read them."""
    with _alone(path) as place, file_errors(path, "cannot be read by transformers"):
        tokenizer = _tokenizer(place, header)
        model = _model(path, place, header)
    from transformers import GenerationConfig

    stop_ids = {header.tokenizer(field) for field in END_FIELDS} - {None}
    stop_ids |= {token for token, added in tokenizer.added_tokens_decoder.items() if str(added) in END_TOKENS}
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=sorted(stop_ids) or None, pad_token_id=pad
    )
    model.save_pretrained(target, max_shard_size="1000GB")
    tokenizer.save_pretrained(target)
    _rewrite(target / "config.json", _published_config)
    _rewrite(target / "tokenizer_config.json", lambda config: config | {"tokenizer_class": "PreTrainedTokenizerFast"})


@contextmanager
def _alone(path: Path) -> Iterator[Path]:
    """The file in a folder of its own: transformers would also read configurations and adapters that lie beside it."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / f"model{GGUF_SUFFIX}"
        place.symlink_to(path.resolve())
        yield place


def _model(path: Path, place: Path, header: GgufHeader) -> Any:
    """The float32 model. Raises InputError if a weight is missing, or if the reader left one of the file's out."""
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    model, report = AutoModelForCausalLM.from_pretrained(
        place.parent,
        gguf_file=place.name,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    needed = sum(parameter.numel() for parameter in model.parameters())
    if report["missing_keys"] or needed != header.numbers:
        what = f"holds {header.numbers} weights, not the {needed} that transformers' {type(model).__name__} is made of"
        raise InputError([Problem(str(path), what, hint=FOLDER_HINT)])
    return model


def _tokenizer(place: Path, header: GgufHeader) -> Any:
    from tokenizers import normalizers, pre_tokenizers
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    read = AutoTokenizer.from_pretrained(
        place.parent, gguf_file=place.name, local_files_only=True, trust_remote_code=False
    )
    backend, split = read.backend_tokenizer, header.tokenizer("pre")
    if split in SPLITS_DIGITS:
        digits = pre_tokenizers.Digits(individual_digits=True)
        backend.pre_tokenizer = pre_tokenizers.Sequence([digits, backend.pre_tokenizer])
    if split in SPLITS_COMPOSED:
        backend.normalizer = normalizers.NFC()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=read.bos_token,
        eos_token=read.eos_token,
        unk_token=read.unk_token,
        pad_token=read.pad_token,
        chat_template=read.chat_template,
        clean_up_tokenization_spaces=False,
    )


def _published_config(config: dict[str, Any]) -> dict[str, Any]:
    """The base of plain rotary positions under the name that transformers 4 knows too; 5 reads both."""
    config.pop("_model_name_or_path", None)  # the file's title, which is no place to load from
    rope = config.get("rope_parameters") or {}
    if rope.keys() == {"rope_type", "rope_theta"} and rope["rope_type"] == "default":
        del config["rope_parameters"]
        config["rope_theta"] = rope["rope_theta"]
    return config


def _rewrite(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    config = change(json.loads(path.read_text(encoding="utf-8")))
    path.write_text(dump_json(config, indent=2) + "\n", encoding="utf-8")
