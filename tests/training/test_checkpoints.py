"""A checkpoint is its base with other weights, for every library that reads the base.

`test_transformers_4_reads_the_same_model` needs a folder that holds transformers 4, in front of the installed one:

    pip install --target DIR --no-deps transformers==4.57.6 tokenizers==0.22.1 huggingface_hub==0.36.0 \\
        requests urllib3 charset-normalizer idna certifi
    STANCE_TRANSFORMERS_4=DIR pytest tests/training/test_checkpoints.py
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_run import run, small_settings
from tiny import save_tiny
from transformers import AutoConfig, AutoModelForCausalLM

from epistemic_stance.foundation.errors import StorageError
from epistemic_stance.foundation.files import MANIFEST, verify_manifest
from epistemic_stance.models import base_files
from epistemic_stance.models.base_files import newer_forms, take_over_files, write_config
from epistemic_stance.models.chat_template import encode_question
from epistemic_stance.models.find import find_model
from epistemic_stance.models.load import load_model, load_tokenizer
from epistemic_stance.records.run_folder import METADATA_FILE, RunFolder

QUESTION = "Why is the river lower than the tower?"
BESIDE = {
    "tokenizer.model": b"\x0a\x0b sentence pieces \xff",
    "preprocessor_config.json": b'{"size":  224}',
    "processor_config.json": b'{\r\n"processor_class": "AProcessor"}',
    "chat_template.json": b"{}",
    "additional_chat_templates/tools.jinja": b"{{ messages }}",
    "LICENSE": b"Apache",
    "vocabulary without a suffix": b"words",
}
NOT_TAKEN = {
    "model-00001-of-00002.bin": b"weights",
    "pytorch_model.bin.index.json": b"{}",
    "model.gguf": b"weights",
    "README.md": b"the card of the base",
    ".gitattributes": b"",
    "original/params.json": b"{}",
}


def as_published(folder: Path, theta: float = 1_000_000.0) -> Path:
    """Give a folder that transformers 5 wrote the form of one on the hub, which both versions read."""
    config = json.loads((folder / "config.json").read_text())
    del config["rope_parameters"]
    config |= {"rope_theta": theta, "transformers_version": "4.43.1", "torch_dtype": config.pop("dtype")}
    (folder / "config.json").write_text(json.dumps(config, indent=3))
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer.pop("extra_special_tokens", None)
    tokenizer |= {"tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    return folder


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Of a published base with files of every kind, saved as bfloat16."""
    place = tmp_path_factory.mktemp("trained")
    settings = replace(small_settings(place), save_dtype="bfloat16", eval_questions=0)
    written(as_published(Path(settings.model)), BESIDE | NOT_TAKEN)
    return run(settings)


def base_of(folder: RunFolder) -> Path:
    return folder.root.parent / "model"


@pytest.mark.parametrize(
    "name", ["checkpoints/checkpoint-002", "checkpoints/checkpoint-003", "best_model", "final_model"]
)
def test_a_checkpoint_is_its_base_but_for_weights_and_dtype(name: str, trained: RunFolder) -> None:
    base, checkpoint = contents(base_of(trained)), contents(trained.root / name)
    ours = {"model.safetensors", "config.json", METADATA_FILE, MANIFEST}
    assert checkpoint.keys() == base.keys() - NOT_TAKEN.keys() | ours
    assert {file: checkpoint[file] for file in checkpoint.keys() - ours} == {
        file: base[file] for file in checkpoint.keys() - ours
    }
    before, after = base["config.json"].splitlines(), checkpoint["config.json"].splitlines()
    assert [line for line in zip(before, after, strict=True) if line[0] != line[1]] == [
        (b'   "torch_dtype": "float32"', b'   "torch_dtype": "bfloat16"')
    ]
    with safe_open(trained.root / name / "model.safetensors", framework="pt") as weights:
        assert weights.get_slice("model.norm.weight").get_dtype() == "BF16"
    assert verify_manifest(trained.root / name) is None


def test_what_checkpoints_share_is_stored_once_and_never_in_the_base(trained: RunFolder) -> None:
    first, second = trained.checkpoint(2), trained.checkpoint(3)
    for name in ("tokenizer.json", *BESIDE):
        assert (first / name).samefile(second / name)
        assert not (first / name).samefile(base_of(trained) / name)


def test_a_checkpoint_of_a_checkpoint_has_the_files_of_the_first_base(trained: RunFolder, tmp_path: Path) -> None:
    base = trained.final
    written(base, {"README.md": b"the card of the first run"})
    settings = replace(small_settings(tmp_path), model=str(base), epochs=1, eval_questions=0, save_dtype="float32")
    second = contents(run(settings).final)
    for name in ("tokenizer.json", "tokenizer_config.json", *BESIDE):
        assert second[name] == contents(base_of(trained))[name]
    assert second["config.json"] == contents(base_of(trained))["config.json"], "float32 again"
    assert "README.md" not in second
    assert json.loads(second[METADATA_FILE])["base_model"] == str(base)


def test_adapters_leave_no_trace_in_the_files(tmp_path: Path) -> None:
    settings = replace(small_settings(tmp_path), epochs=1, eval_questions=0, lora_rank=2)
    base = as_published(Path(settings.model))
    checkpoint = run(settings).final
    assert (checkpoint / "config.json").read_bytes() == (base / "config.json").read_bytes()
    with (
        safe_open(checkpoint / "model.safetensors", "pt") as after,
        safe_open(base / "model.safetensors", "pt") as before,
    ):
        assert sorted(after.keys()) == sorted(before.keys())


def test_links_of_the_hub_cache_become_files(tmp_path: Path) -> None:
    """A snapshot links to blobs that a user may delete."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "0a1b").write_bytes(b"words")
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "tokenizer.json").symlink_to("../blobs/0a1b")
    (tmp_path / "target").mkdir()
    take_over_files(tmp_path / "snapshot", tmp_path / "target", None)
    shutil.rmtree(tmp_path / "blobs")
    assert contents(tmp_path / "target") == {"tokenizer.json": b"words"}
    assert not (tmp_path / "target" / "tokenizer.json").is_symlink()


def test_a_base_that_lost_a_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_files, "files_beside_weights", lambda _: [Path("merges.txt")])
    with pytest.raises(StorageError, match=r"merges\.txt of the base model: No such file"):
        take_over_files(tmp_path, tmp_path, None)


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ('{"torch_dtype" : "bfloat16", "eps": 1e-05}', '{"torch_dtype" : "float16", "eps": 1e-05}'),
        ('{"dtype":"float32"}', '{"dtype":"float16"}'),
        ('{"torch_dtype": "torch.float32"}', '{"torch_dtype": "float16"}'),
        ('{"limit": [0.0, Infinity], "note": "\\"dtype\\": \\"float32\\""}', None),
        ('{"dtype": null}', None),
        (
            '{"text_config": {"dtype": "float32"}, "dtype": "float32"}',
            '{"text_config": {"dtype": "float16"}, "dtype": "float16"}',
        ),
    ],
)
def test_only_the_dtype_of_a_configuration_changes(base: str, expected: str | None, tmp_path: Path) -> None:
    written(tmp_path / "base", {"config.json": base.encode()})
    written(tmp_path / "target", {"config.json": b'{"rope_parameters": {}}'})
    write_config(tmp_path / "base", tmp_path / "target", "float16")
    assert (tmp_path / "target" / "config.json").read_text() == (expected or base)


def test_a_part_of_a_base_keeps_the_configuration_of_the_part(tmp_path: Path) -> None:
    """Of a model that sees, transformers may load the language model alone."""
    written(tmp_path / "base", {"config.json": b'{"model_type": "seer", "text_config": {"model_type": "seer_text"}}'})
    written(tmp_path / "target", {"config.json": b'{"model_type": "seer_text", "dtype": "float32"}'})
    write_config(tmp_path / "base", tmp_path / "target", "bfloat16")
    assert (tmp_path / "target" / "config.json").read_bytes() == b'{"model_type": "seer_text", "dtype": "bfloat16"}'


def test_a_base_that_only_transformers_5_reads_is_named(tmp_path: Path) -> None:
    base = save_tiny(tmp_path / "base", rope_parameters={"rope_type": "default", "rope_theta": 100_000.0})
    assert [problem.field for problem in newer_forms(base)] == ["rope_parameters", "tokenizer_class"]
    assert list(newer_forms(as_published(base))) == []
    settings = replace(small_settings(tmp_path), dry_run=True)
    warned: list[Any] = []
    run(settings, warned.append)
    assert any("tokenizer_class: transformers 4 does not load" in str(event) for event in warned)


def test_the_demo_model_is_read_by_both() -> None:
    assert list(newer_forms(find_model("demo").folder)) == []


# --- transformers 4 ----------------------------------------------------------------------------------------

READ_BY_FOUR = """
import json, sys, torch, transformers
from safetensors.torch import load_file, save_file
assert transformers.__version__.startswith("4."), transformers.__version__
folder, out, messages = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True)
model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
with torch.no_grad():
    logits = model(torch.tensor([ids])).logits[0]
ends = model.generation_config.eos_token_id
save_file({"ids": torch.tensor(ids), "logits": logits, "ends": torch.tensor([ends]).flatten()}, out)
"""


def read_by_four(folder: Path, out: Path) -> dict[str, torch.Tensor]:
    place = os.environ.get("STANCE_TRANSFORMERS_4")
    if not place:
        pytest.skip("set STANCE_TRANSFORMERS_4 to a folder with transformers 4 (see the top of this file)")
    messages = json.dumps([{"role": "user", "content": QUESTION}])
    command = [sys.executable, "-c", READ_BY_FOUR, str(folder), str(out), messages]
    environment = {**os.environ, "PYTHONPATH": place}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return load_file(out)


def read_by_five(folder: Path) -> tuple[list[int], torch.Tensor]:
    ids = encode_question(load_tokenizer(folder), QUESTION)
    with torch.no_grad():
        return ids, load_model(folder, "cpu")(torch.tensor([ids])).logits[0]


def reference_base(folder: Path) -> Path:
    """The published tokenizer and configuration of Qwen2.5-0.5B-Instruct around a small random model."""
    data = os.environ.get("STANCE_REFERENCE_DATA")
    if not data:
        pytest.skip("set STANCE_REFERENCE_DATA to a folder that holds qwen2.5-0.5b-instruct/")
    folder.mkdir()
    for path in (Path(data) / "qwen2.5-0.5b-instruct").iterdir():
        shutil.copyfile(path, folder / path.name)
    config = json.loads((folder / "config.json").read_text())
    small = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config |= {**small, "num_key_value_heads": 2, "layer_types": config["layer_types"][:2]}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    save_file(
        {name: tensor for name, tensor in model.state_dict().items() if name != "lm_head.weight"},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    return folder


@pytest.mark.parametrize("kind", ["tiny", "qwen2.5"])
def test_transformers_4_reads_the_same_model(kind: str, tmp_path: Path) -> None:
    """Tokens, stop tokens and logits; a wrong rope_theta moves these by whole nats."""
    settings = replace(small_settings(tmp_path), epochs=1, eval_questions=0)
    base = as_published(Path(settings.model)) if kind == "tiny" else reference_base(tmp_path / "published")
    checkpoint = run(replace(settings, model=str(base))).final
    ids, logits = read_by_five(checkpoint)
    four = read_by_four(checkpoint, tmp_path / "four.safetensors")
    assert four["ids"].tolist() == ids
    torch.testing.assert_close(four["logits"], logits, atol=1e-3, rtol=1e-4)
    assert (read_by_five(base)[1] - logits).abs().max() > 0.01, "the checkpoint is trained"
    if kind == "qwen2.5":
        assert sorted(four["ends"].tolist()) == [151643, 151645]
