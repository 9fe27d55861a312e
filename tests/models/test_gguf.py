"""GGUF files as models: the same model as the folder it was made of, and a message for what is not one."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from small_run import run as train
from small_run import small_settings
from tiny import FACTS, save_tiny, tiny_model, tiny_tokenizer
from tiny_gguf import gguf, write_gguf

from epistemic_stance.collection.run import run as collect
from epistemic_stance.foundation.errors import InputError, RefusedError
from epistemic_stance.foundation.reporter import Event, Started
from epistemic_stance.foundation.settings import CollectSettings
from epistemic_stance.models.chat_template import encode_question
from epistemic_stance.models.find import find_model, is_on_this_machine, recorded_training
from epistemic_stance.models.load import load_config, load_model, load_stop_ids, load_tokenizer

TEXTS = [
    *(text for fact in FACTS for text in fact),
    "3.14 and  1234",
    "caf\u00e9 \u65e5\u672c\n\n\tend ",
    "<|im_end|>x",
]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize(("family", "tied"), [("llama", False), ("llama", True), ("qwen2", True), ("qwen2", False)])
def test_the_same_model_as_the_folder(tmp_path: Path, family: str, tied: bool) -> None:
    folder = save_tiny(tmp_path / "folder", family, tie_word_embeddings=tied)
    path = write_gguf(tmp_path / "tiny.gguf", family, tie_word_embeddings=tied)
    both = [find_model(str(place)).folder for place in (folder, path)]
    config, read_config = (load_config(place).to_dict() for place in both)
    for field in (
        "rope_parameters",
        "vocab_size",
        "hidden_size",
        "eos_token_id",
        "bos_token_id",
        "tie_word_embeddings",
    ):
        assert read_config[field] == config[field], field
    assert read_config["rms_norm_eps"] == pytest.approx(config["rms_norm_eps"])
    tokenizer, read_tokenizer = (load_tokenizer(place) for place in both)
    assert read_tokenizer.chat_template == tokenizer.chat_template
    for text in TEXTS:
        assert read_tokenizer(text)["input_ids"] == tokenizer(text)["input_ids"]
        assert encode_question(read_tokenizer, text) == encode_question(tokenizer, text)
    assert load_stop_ids(both[1], read_tokenizer) == load_stop_ids(both[0], tokenizer) | {0}, "also <|endoftext|>"
    model, read = (load_model(place, "cpu") for place in both)
    ids = torch.tensor([encode_question(tokenizer, "Why is the sky blue?")])
    with torch.no_grad():
        assert torch.equal(read(ids).logits, model(ids).logits)
    assert (read.lm_head.weight is read.model.embed_tokens.weight) == tied


def test_quantised_weights_become_the_float32_numbers_they_stand_for(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", "qwen2", quantized=True)
    files = find_model(str(path))
    matrix = tiny_model("qwen2").state_dict()["model.layers.1.mlp.up_proj.weight"].numpy()
    kind = gguf.GGMLQuantizationType.Q8_0
    expected = torch.from_numpy(gguf.quants.dequantize(gguf.quants.quantize(matrix, kind), kind))
    loaded = load_model(files.folder, "cpu").state_dict()["model.layers.1.mlp.up_proj.weight"]
    assert torch.equal(loaded, expected)
    assert not np.array_equal(expected.numpy(), matrix), "Q8_0 rounds"
    assert files.dtype() == "float32"


def test_its_digest_is_that_of_the_file(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    assert find_model(str(path)).digest() == hashlib.sha256(path.read_bytes()).hexdigest()
    assert is_on_this_machine(str(path))
    assert not is_on_this_machine(str(tmp_path / "other.gguf"))


def test_a_folder_of_gguf_files_names_one(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    with pytest.raises(InputError, match=r"no config\.json") as caught:
        find_model(str(tmp_path))
    assert str(path) in str(caught.value)


# --- the cache ---------------------------------------------------------------------------------------------


def test_it_is_converted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    first = find_model(str(path)).folder
    assert f"{path}: dequantising to float32, once, into {first}" in capfd.readouterr().err
    monkeypatch.setitem(sys.modules, "gguf", None)
    moved = path.rename(tmp_path / "again.gguf")
    shutil.copy(moved, path)
    assert find_model(str(path)).folder == first
    assert not capfd.readouterr().err
    with pytest.raises(InputError, match="needs the package gguf") as caught:
        find_model(str(moved))
    assert str(moved) in str(caught.value)
    assert f"{sys.executable} -m pip install gguf" in str(caught.value)


def test_a_damaged_conversion_is_made_again(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    weights = find_model(str(path)).folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-4] + b"\0\0\0\1")
    find_model(str(path))
    assert weights.read_bytes() == whole


def test_an_interrupted_conversion_leaves_nothing_to_be_found(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    with monkeypatch.context() as patch:
        patch.setattr("transformers.GenerationConfig.__init__", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            find_model(str(path))
    assert not list(cache.rglob("*.safetensors"))
    load_model(find_model(str(path)).folder, "cpu")


def _interrupt(*_arguments: Any, **_named: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("what", "short"),
    [
        ("memory", ("epistemic_stance.models.memory.available_memory", lambda _: 10_000)),
        ("disk", ("epistemic_stance.models.gguf.shutil.disk_usage", lambda _: SimpleNamespace(free=10_000))),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, short: tuple[str, Callable[[Any], Any]]
) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    monkeypatch.setattr(*short)
    with pytest.raises(RefusedError, match=rf"float32 needs \d+ bytes of {what}.* 10000 are free") as caught:
        find_model(str(path))
    assert str(path) in str(caught.value)


# --- what the file says, and what lies beside it -----------------------------------------------------------


def test_the_files_beside_it_do_not_matter(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["x.y", null]}, "eos_token": "a"}')
    (tmp_path / "chat_template.jinja").write_text("other")
    tokenizer = load_tokenizer(find_model(str(path)).folder)
    assert tokenizer.chat_template == tiny_tokenizer().chat_template
    assert tokenizer.eos_token == "<|im_end|>"


def test_all_ends_that_the_file_names_end_an_answer(tmp_path: Path) -> None:
    extra = {"tokenizer.ggml.eot_token_id": 7, "tokenizer.ggml.eom_token_id": 9}
    folder = find_model(str(write_gguf(tmp_path / "tiny.gguf", extra=extra))).folder
    assert load_stop_ids(folder, load_tokenizer(folder)) == {0, 2, 7, 9}


def test_smollm_splits_digits_from_what_stands_before(tmp_path: Path) -> None:
    """Transformers' reader splits as GPT-2 does, which takes the last of two spaces to the digit after it."""
    folder = find_model(str(write_gguf(tmp_path / "tiny.gguf", split="smollm"))).folder
    split = load_tokenizer(folder).backend_tokenizer.pre_tokenizer.pre_tokenize_str
    assert [part for part, _ in split("a  12")] == ["a", "\u0120\u0120", "1", "2"]


def test_qwen_composes_characters(tmp_path: Path) -> None:
    folder = find_model(str(write_gguf(tmp_path / "tiny.gguf", "qwen2", split="qwen2"))).folder
    tokenizer = load_tokenizer(folder)
    assert tokenizer("cafe\u0301")["input_ids"] == tokenizer("caf\u00e9")["input_ids"]


def test_transformers_4_finds_the_rotary_base_and_the_tokenizer_class(tmp_path: Path) -> None:
    folder = find_model(str(write_gguf(tmp_path / "tiny.gguf", "qwen2", rope_theta=1e6))).folder
    config = json.loads((folder / "config.json").read_text())
    assert config["rope_theta"] == 1e6
    assert "rope_parameters" not in config
    assert load_config(folder).rope_parameters["rope_theta"] == 1e6
    assert json.loads((folder / "tokenizer_config.json").read_text())["tokenizer_class"] == "PreTrainedTokenizerFast"


# --- in use ------------------------------------------------------------------------------------------------


def test_it_is_trained_from_and_asked_like_a_folder(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", "qwen2", quantized=True)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    events: list[Event] = []
    asked = replace(small_settings(tmp_path), model=str(path), epochs=1, eval_questions=0)
    run = train(asked, events.append)
    assert header(events)["model"].startswith(f"{path} (GGUF, dequantised to float32): 0.0 M parameters")
    checkpoint = run.checkpoint(1)
    trained = recorded_training(checkpoint)
    assert trained is not None
    assert (trained.base_model, trained.base_weights_digest) == (str(path), digest)
    files = find_model(str(checkpoint))
    assert files.dtype() == "float32"
    assert load_stop_ids(checkpoint, load_tokenizer(checkpoint)) == {0, 2}
    before, after = (load_model(each.folder, "cpu").state_dict() for each in (find_model(str(path)), files))
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)

    events.clear()
    questions = CollectSettings(
        model=str(path), mode="custom", max_responses=2, max_new_tokens=4, device="cpu", output_dir=tmp_path / "answers"
    )
    collected = collect(questions, events.append)
    assert header(events)["model"] == f"{path} (GGUF, dequantised to float32)"
    lines = [json.loads(line) for line in collected.path.read_text().splitlines()]
    assert [line["metadata"]["weights_digest"] for line in lines] == [digest, digest]


def header(events: list[Event]) -> dict[str, str]:
    return next(dict(event.rows) for event in events if isinstance(event, Started))


# --- what cannot be read -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"extra": {"split.count": 3}}, r"split\.count: is one part of several.*--merge"),
        ({"extra": {"general.type": "adapter"}}, r"general\.type: is 'adapter'"),
        ({"extra": {"llama.rope.scaling.type": "yarn"}}, r"rope\.scaling\.type: is 'yarn'.*Hugging Face folder"),
        ({"split": "unheard-of"}, r"tokenizer\.ggml\.pre: is 'unheard-of'"),
        ({"split": None}, r"tokenizer\.ggml\.pre: does not say how to split"),
        ({"architecture": "unheard-of"}, r"unheard-of is not supported"),
        ({"without": ["blk.1.ffn_up.weight"]}, r"holds \d+ weights, not the \d+ that transformers' LlamaForCausalLM"),
        ({"tensors": {"rope_freqs.weight": np.ones(4, np.float32)}}, r"holds \d+ weights, not the \d+ that"),
        ({"tensors": {"blk.0.attn_q.bias": np.ones(32, np.float32)}}, r"holds \d+ weights, not the \d+ that"),
        (
            {"without": ["output_norm.weight"], "tensors": {"blk.0.attn_q.bias": np.ones(32, np.float32)}},
            r"holds \d+ weights, not the",
        ),
    ],
)
def test_what_transformers_would_read_wrong_is_refused(tmp_path: Path, written: Any, message: str) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", **written)
    with pytest.raises(InputError, match=message) as caught:
        find_model(str(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("share", "message"),
    [
        (0.0, "is not a GGUF file"),
        (0.0001, "is damaged or cut off"),
        (0.01, "is damaged or cut off"),
        (0.05, "is damaged or cut off"),
        (0.3, "is damaged or cut off"),
        (0.99, "is damaged or cut off"),
    ],
)
def test_a_cut_off_file_is_named(tmp_path: Path, share: float, message: str) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match=message) as caught:
        find_model(str(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [None, b"PK\3\4 something else", b"GGUF\1\0\0\0" + bytes(40)])
def test_what_is_no_gguf_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "tiny.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"no such file|is not a GGUF file|is damaged") as caught:
        find_model(str(path))
    assert str(path) in str(caught.value)
