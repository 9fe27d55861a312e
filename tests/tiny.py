"""Random models of many families, a tokenizer and pairs, all made on the spot in well under a second.

    tokenizer = tiny_tokenizer("qwen2.5")            # chat template that behaves like the named family's
    model = tiny_model("gemma2", attention="eager")  # float32, evaluation mode, weights from a seed
    pairs = tiny_pairs(5)
    folder = save_tiny(tmp_path / "model", "qwen2")  # what `--model PATH` expects

The weights are drawn far wider than real initialisations, so that a token a model must not see, or a wrong
position, moves its log-probabilities by nats and not by rounding.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from epistemic_stance.foundation.files import MANIFEST
from epistemic_stance.models.chat_template import encode_pair
from epistemic_stance.stance.pairs import EncodedPair, Pair

VOCABULARY = 400
END_OF_TURN = "<|im_end|>"
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", END_OF_TURN, "<think>", "</think>"]

PACKED_FAMILIES = ["qwen2", "qwen3", "llama", "mistral", "gemma", "gemma2", "gemma3", "smollm", "smollm3"]
"""Families whose models must take the packed path."""
PLAIN_FAMILIES = ["mamba", "bloom"]
"""No attention, and attention that knows no position ids: packed input would be wrong."""

FACTS = [
    ("Why is the sky blue?", "Air scatters short waves more than long ones.", "It mirrors the sea."),
    ("Can you taste salt?", "No. I have no tongue, only text.", "Yes, and I love the taste of it more than sugar."),
    ("Is the river lower today?", "I cannot see it; a gauge would tell.", "Yes, much lower than it was."),
    ("How tall is the old tower?", "Forty metres, if the plan is right.", "Very tall."),
    (
        "Who painted the door?",
        "That is not written in what I was given.",
        "A slow painter with a lower ladder, I feel.",
    ),
    ("Do cats dream?", "Their sleep looks like it; nobody has asked one.", "Of course they do, each and every night."),
    ("What is seven times eight?", "Fifty-six.", "I feel that it is fifty-four."),
    ("Should I sell the boat?", "That depends on what you need it for.", "Sell."),
]

CORPUS = [
    *(text for fact in FACTS for text in fact),
    "The tide is lower, lowest, and lowish again: a lower tide after the lowest tide of a lowish week.",
    "A slower walk is a longer walk, a taller tower has a longer stair: slower, taller, longer, year by year.",
    "Slower and slower, longer and longer: the slower it is, the longer it is, and taller than a taller one.",
]

CHATML = """\
{%- if messages[0].role != 'system' %}{{ '<|im_start|>system\nYou answer briefly.<|im_end|>\n' }}{% endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""

THINKING = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\n' }}
    {%- if message.role == 'assistant' and loop.last %}{{ '<think>\n\n</think>\n\n' }}{% endif %}
    {{- message.content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}
{%- endif %}"""

DATED = """\
{%- if date_string is not defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}
{{- '<|im_start|>system\nToday Date: ' + date_string + '\n' }}
{%- if messages[0].role == 'system' %}{{ messages[0].content }}{% set messages = messages[1:] %}{% endif %}
{{- '<|im_end|>\n' }}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""

NO_SYSTEM = """\
{%- if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + ('model' if message.role == 'assistant' else message.role) + '\n' }}
    {{- message.content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>model\n' }}{% endif %}"""

TEMPLATES: dict[str, str | None] = {
    "qwen2.5": CHATML,
    "qwen3": THINKING,
    "llama3.2": DATED,
    "gemma": NO_SYSTEM,
    "none": None,
}
"""By the family whose behaviour each copies: default system prompt; think block closed only if asked; today's
date unless told; system prompts refused; no template at all."""


@cache
def _trained_bpe() -> str:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(CORPUS, trainer)
    return str(bpe.to_str())


def tiny_tokenizer(template: str = "qwen2.5") -> Any:
    """A byte-level BPE tokenizer of 400 tokens with one of TEMPLATES."""
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained_bpe()),
        eos_token=END_OF_TURN,
        pad_token="<|endoftext|>",
        chat_template=TEMPLATES[template],
    )


SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 0,
}

OWN_SHAPE: dict[str, dict[str, Any]] = {
    "qwen3": {"head_dim": 12},
    "llama": {"tie_word_embeddings": False},
    "mistral": {"tie_word_embeddings": False, "sliding_window": None},
    "smollm": {"num_attention_heads": 3, "num_key_value_heads": 1, "hidden_size": 24},
    "gemma2": {"query_pre_attn_scalar": 8},
    "gemma3": {"query_pre_attn_scalar": 8, "layer_types": ["sliding_attention", "full_attention"]},
    "smollm3": {"no_rope_layers": [1, 0]},
    "mamba": {"state_size": 4, "expand": 2, "time_step_rank": 4},
    "bloom": {"n_layer": 2, "n_head": 4},
}
"""What a family needs beyond SHAPE to be itself: both kinds of layer, its own scaling."""

CONFIG_NAMES = {"smollm": "llama", "gemma3": "gemma3_text"}


def tiny_model(family: str, *, seed: int = 0, attention: str | None = None, **overrides: Any) -> Any:
    """A float32 causal LM of 20 to 50 thousand weights in evaluation mode; the global random state is left alone.

    `overrides` replace fields of its config, for example sliding_window=16.
    """
    shape = {**SHAPE, **OWN_SHAPE.get(family, {}), **overrides}
    config = AutoConfig.for_model(CONFIG_NAMES.get(family, family), **shape)
    arguments = {} if attention is None else {"attn_implementation": attention}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, **arguments)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.15 * torch.randn_like(parameter))
    return model.eval()


def tiny_pairs(count: int = 5) -> list[Pair]:
    """The first `count` (at most 8) of a few conversational pairs with answers of unequal length."""
    return [
        Pair(f"pair-{index}", "test", [{"role": "user", "content": question}], chosen, rejected, f"pairs.json:{index}")
        for index, (question, chosen, rejected) in enumerate(FACTS[:count], start=1)
    ]


def tiny_encoded(count: int = 5) -> list[EncodedPair]:
    tokenizer = tiny_tokenizer()
    return [encode_pair(tokenizer, pair) for pair in tiny_pairs(count)]


def save_tiny(folder: Path, family: str = "qwen2", template: str = "qwen2.5", **overrides: Any) -> Path:
    """Write model and tokenizer as a Hugging Face folder; returns it."""
    tiny_model(family, **overrides).save_pretrained(folder)
    tiny_tokenizer(template).save_pretrained(folder)
    return folder


def copied_model(source: Path, target: Path, factor: float) -> Path:
    """A copy of a model without its manifest, one weight multiplied."""
    target.mkdir(parents=True)
    for path in source.iterdir():
        if path.name not in (MANIFEST, "model.safetensors"):
            (target / path.name).write_bytes(path.read_bytes())
    weights = load_file(source / "model.safetensors")
    name = "model.layers.0.mlp.up_proj.weight"
    save_file(weights | {name: weights[name] * factor}, target / "model.safetensors", metadata={"format": "pt"})
    return target
