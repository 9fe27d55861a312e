"""The random models of tiny.py as GGUF files, written with the package that llama.cpp's converter uses.

write_gguf(tmp_path / "tiny.gguf", "llama", split="smollm", without=("output_norm.weight",))
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import tiny_model, tiny_tokenizer

gguf = pytest.importorskip("gguf", reason="gguf is not installed: pip install gguf")

NAMES = {
    "embed_tokens": "token_embd",
    "lm_head": "output",
    "model.norm": "output_norm",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "model.layers": "blk",
}


def write_gguf(
    path: Path,
    family: str = "llama",
    *,
    architecture: str | None = None,
    split: str | None = "gpt-2",
    quantized: bool = False,
    without: Sequence[str] = (),
    extra: dict[str, Any] | None = None,
    tensors: dict[str, np.ndarray] | None = None,
    **overrides: Any,
) -> Path:
    """Write `tiny_model(family, **overrides)` and the tokenizer; returns the path.

    Args:
        architecture: as the file names it; that of the family unless given.
        split: tokenizer.ggml.pre; None leaves it out.
        quantized: matrices of rows of 32 in Q8_0 instead of float32.
        without: names of tensors to leave out.
        extra: metadata of unsigned integers or text.
        tensors: further ones, by name.
    """
    model = tiny_model(family, **overrides)
    config, name = model.config, architecture or family
    writer = gguf.GGUFWriter(path, name)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    _add_tokenizer(writer, split)
    for key, value in (extra or {}).items():
        (writer.add_string if isinstance(value, str) else writer.add_uint32)(key, value)
    weights = {key: tensor.numpy() for key, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        del weights["lm_head.weight"]
    named = {_gguf_name(key): _arranged(key, tensor, family, config) for key, tensor in weights.items()}
    for key, tensor in {**named, **(tensors or {})}.items():
        if key in without:
            continue
        if quantized and tensor.ndim == 2 and tensor.shape[-1] == 32:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(key, gguf.quants.quantize(tensor, kind), raw_dtype=kind)
        else:
            writer.add_tensor(key, np.ascontiguousarray(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: Any, split: str | None) -> None:
    tokenizer = tiny_tokenizer()
    described = json.loads(tokenizer.backend_tokenizer.to_str())
    special = {added["id"] for added in described["added_tokens"] if added["special"]}
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_tokenizer_model("gpt2")
    if split:
        writer.add_tokenizer_pre(split)
    writer.add_token_list(tokens)
    writer.add_token_types([control if token in special else normal for token in range(len(tokens))])
    writer.add_token_merges([" ".join(pair) for pair in described["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_chat_template(tokenizer.chat_template)


def _gguf_name(key: str) -> str:
    for long, short in NAMES.items():
        key = key.replace(long, short)
    return key.removeprefix("model.")


def _arranged(key: str, tensor: np.ndarray, family: str, config: Any) -> np.ndarray:
    """Llama files hold the two halves of each rotary head interleaved."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    matching = [count for part, count in heads.items() if f"{part}.weight" in key]
    if family != "llama" or not matching:
        return tensor
    halves = tensor.reshape(matching[0], 2, -1, tensor.shape[-1])
    return halves.swapaxes(1, 2).reshape(tensor.shape)
