"""Model folders as they arrive: damaged, cut off, of another kind, or asking for code. Each ends in a message."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import save_tiny, tiny_model, tiny_tokenizer
from transformers import GPT2Config, GPT2LMHeadModel

from epistemic_stance.foundation.errors import InputError, RefusedError, StanceError
from epistemic_stance.foundation.files import commit_folder
from epistemic_stance.foundation.settings import TrainSettings
from epistemic_stance.models.chat_template import encode_question
from epistemic_stance.models.engine import generate
from epistemic_stance.models.errors import file_errors
from epistemic_stance.models.find import find_model
from epistemic_stance.models.load import load_config, load_model, load_stop_ids, load_tokenizer
from epistemic_stance.models.open import open_model
from epistemic_stance.models.sampling_config import SamplingConfig
from epistemic_stance.models.slots import Request
from epistemic_stance.training.lora import add_lora
from epistemic_stance.training.prepare import check_settings
from epistemic_stance.training.resources import count_parameters

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


def use(folder: Path) -> Any:
    """All that a run and a question to a model read from its folder."""
    files = find_model(str(folder))
    config = load_config(files.folder)
    tokenizer = load_tokenizer(files.folder)
    encode_question(tokenizer, "Why?")
    load_stop_ids(files.folder, tokenizer)
    files.dtype()
    count_parameters(files.folder, config)
    return load_model(files.folder, "cpu")


def configure(folder: Path, name: str = "config.json", **fields: Any) -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.mark.parametrize("where", ["config.json", "generation_config.json"])
def test_ends_of_an_answer_are_taken_from_wherever_the_model_names_them(folder: Path, where: str) -> None:
    (folder / "generation_config.json").write_text("{}")
    configure(folder, eos_token_id=None)
    configure(folder, where, eos_token_id=[0, 5])
    assert load_stop_ids(folder, load_tokenizer(folder)) == {0, 2, 5}
    (folder / "generation_config.json").unlink()
    assert load_stop_ids(folder, load_tokenizer(folder)) == ({0, 2, 5} if where == "config.json" else {2})


def test_a_padding_token_without_a_row_is_left_out(folder: Path) -> None:
    """As `tokenizer.add_special_tokens({"pad_token": "[PAD]"})` leaves it where the model is not resized."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(folder)
    rows = json.loads((folder / "config.json").read_text())["vocab_size"]
    assert tokenizer.pad_token_id == rows
    configure(folder, pad_token_id=rows)
    opened = open_model(find_model(str(folder)), device="cpu")
    assert opened.model.config.pad_token_id is None
    [answer] = generate(
        opened.decoder,
        [Request(tuple(encode_question(opened.tokenizer, "Why?")), 0.0, 0, 4)],
        SamplingConfig(4),
        slots=1,
    )
    assert answer.token_ids


def test_a_chat_token_without_a_row_is_named(folder: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|turn|>"]})
    tokenizer.chat_template = tokenizer.chat_template.replace("<|im_start|>", "<|turn|>")
    tokenizer.save_pretrained(folder)
    with pytest.raises(InputError, match=r"has 400 rows of its embedding, none for <\|turn\|> \(400\)"):
        open_model(find_model(str(folder)), device="cpu")


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def test_a_whole_model_loads(folder: Path) -> None:
    loaded = use(folder).state_dict()
    for name, tensor in tiny_model("qwen2").state_dict().items():
        assert torch.equal(loaded[name], tensor)


# --- weights -----------------------------------------------------------------------------------------------


def test_missing_tensors_are_refused_by_name(folder: Path) -> None:
    """Transformers fills them with random numbers, so that a run would train a model nobody has."""
    gone = [f"model.layers.1.mlp.{name}_proj.weight" for name in ("down", "gate", "up")]
    change_weights(folder, lambda tensors: [tensors.pop(name) for name in gone])
    with pytest.raises(InputError, match="lacks weights") as caught:
        use(folder)
    assert str(folder) in str(caught.value)
    assert ", ".join(gone) in str(caught.value)


def test_more_layers_than_the_file_holds_are_refused(folder: Path) -> None:
    configure(folder, num_hidden_layers=3, layer_types=["full_attention"] * 3)
    with pytest.raises(InputError, match=r"lacks weights.*model\.layers\.2\..* and \d+ more"):
        use(folder)


def test_tensors_of_another_shape_are_refused_by_name(folder: Path) -> None:
    configure(folder, intermediate_size=40)
    with pytest.raises(InputError, match=r"other shapes.*mlp.down_proj.weight \[32, 48\] instead of \[32, 40\]"):
        use(folder)


@pytest.mark.parametrize("name", ["model.layers.0.mlp.up_proj.lora_A.weight", "model.layers.0.mlp.adapter.weight"])
def test_weights_of_an_adapter_are_refused(folder: Path, name: str) -> None:
    change_weights(folder, lambda tensors: tensors.update({name: torch.zeros(2)}))
    with pytest.raises(InputError, match=r"weights of an adapter.*merge"):
        use(folder)


def test_other_tensors_are_left_out(folder: Path) -> None:
    change_weights(folder, lambda tensors: tensors.update({"score.weight": torch.zeros(2)}))
    use(folder)


@pytest.mark.parametrize("size", [0, 5000])
def test_a_cut_off_weights_file_is_named(folder: Path, size: int) -> None:
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match="cannot be read as safetensors") as caught:
        find_model(str(folder)).dtype()
    assert str(path) in str(caught.value)
    with pytest.raises(InputError, match="does not load"):
        load_model(folder, "cpu")


def test_a_folder_is_no_weights_file(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).mkdir()
    with pytest.raises(InputError, match=r"no model.safetensors"):
        use(folder)


# --- configuration -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "generation_config.json"])
@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '{"a": "\x00'])
def test_a_config_that_is_no_json_object_is_named(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    with pytest.raises(InputError) as caught:
        find_model(str(folder))
    assert str(folder / name) in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"model_type": "foobar"}, "foobar"),
        ({"model_type": None}, "model type"),
        ({"hidden_size": "abc"}, "hidden_size.* abc|hidden_size.*str"),
        ({"num_attention_heads": 0}, "zero"),
        ({"model_type": "t5"}, "not a causal language model"),
    ],
)
def test_a_config_of_no_causal_model_is_named(folder: Path, fields: dict[str, Any], named: str) -> None:
    configure(folder, **fields)
    with pytest.raises(InputError, match=named) as caught:
        use(folder)
    assert str(folder / "config.json") in str(caught.value)


def test_end_tokens_that_are_no_numbers_are_named(folder: Path) -> None:
    configure(folder, "generation_config.json", eos_token_id=["x"])
    with pytest.raises(InputError, match=r"generation_config.json"):
        use(folder)


@pytest.mark.parametrize("name", ["attn_implementation", "_attn_implementation"])
@pytest.mark.parametrize("nested", [False, True])
def test_a_kernel_from_the_hub_is_refused(folder: Path, name: str, nested: bool) -> None:
    fields = {name: "someone/kernel"}
    configure(folder, **({"text_config": fields} if nested else fields))
    with pytest.raises(RefusedError, match="someone/kernel"):
        use(folder)


def test_a_built_in_attention_is_not_refused(folder: Path) -> None:
    configure(folder, attn_implementation="eager")
    use(folder)


def test_code_that_comes_with_the_model_is_refused_at_any_depth(folder: Path) -> None:
    configure(folder, text_config={"auto_map": {"AutoModel": "evil.Model"}})
    with pytest.raises(RefusedError, match="auto_map"):
        use(folder)


def test_a_quantized_model_is_refused(folder: Path) -> None:
    configure(folder, quantization_config={"quant_method": "gptq", "bits": 4})
    with pytest.raises(InputError, match=r"quantized.*before quantization"):
        use(folder)


def test_an_adapter_beside_the_weights_is_refused(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match=r"adapter_config.json: an adapter.*merge"):
        use(folder)


# --- tokenizer ---------------------------------------------------------------------------------------------


def test_a_tokenizer_without_vocabulary_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="no vocabulary file"):
        use(folder)


def test_a_broken_tokenizer_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"a":')
    with pytest.raises(InputError, match="tokenizer does not load"):
        use(folder)


# --- checkpoints -------------------------------------------------------------------------------------------


def test_a_checkpoint_that_changed_since_it_was_saved_is_refused(saved: Path, tmp_path: Path) -> None:
    final = tmp_path / "checkpoint-010"
    commit_folder(final, lambda target: shutil.copytree(saved, target, dirs_exist_ok=True) and None)
    use(final)
    data = bytearray((final / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (final / WEIGHTS).write_bytes(data)
    with pytest.raises(InputError, match=r"model.safetensors has sha256 \w{64}, the manifest says \w{64}"):
        find_model(str(final))


# --- what is passed on, and the run --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
        RefusedError("no"),
    ],
)
def test_what_is_not_the_fault_of_the_file_passes(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, file_errors(tmp_path, "broken"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("error", [RecursionError(), AttributeError("x"), TypeError("one\ntwo")])
def test_what_is_the_fault_of_the_file_becomes_a_message(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(StanceError, match="broken: ") as caught, file_errors(tmp_path / "f.json", "broken"):
        raise error
    assert str(tmp_path / "f.json") in str(caught.value)
    assert "two" not in str(caught.value)


@pytest.mark.parametrize("seed", [-1, 2**31, 99999999999999999])
def test_seeds_have_a_range(seed: int) -> None:
    with pytest.raises(InputError, match=f"--seed: is {seed}, expected 0 to 2147483647"):
        check_settings(replace(TrainSettings(), seed=seed))
    for inside in (0, 2**31 - 1):
        check_settings(replace(TrainSettings(), seed=inside))


def test_adapters_need_linear_layers(tmp_path: Path) -> None:
    model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=20, n_positions=16))
    with pytest.raises(InputError, match="--lora-rank: GPT2LMHeadModel has no linear layers"):
        add_lora(model, 4, seed=0)
    model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    assert count_parameters(tmp_path, load_config(tmp_path)).linear_edges == 0
