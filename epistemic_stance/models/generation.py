"""Answers of a model to a batch of prompts, with every sampling field stated.

A model's own generation_config is never consulted for sampling: Qwen's adds repetition_penalty 1.1, top_p 0.8
and top_k 20 without being asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch


@dataclass(frozen=True)
class Answer:
    text: str
    token_ids: list[int]
    """Without the token that ended it."""
    end_id: int | None
    """The token that ended it; None if it reached the length limit."""

    @property
    def finish_reason(self) -> Literal["eos", "length"]:
        return "length" if self.end_id is None else "eos"


@torch.no_grad()
def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[list[int]],
    *,
    stop_ids: set[int],
    max_new_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
    top_p: float = 1.0,
    top_k: int = 0,
    repetition_penalty: float = 1.0,
) -> list[Answer]:
    """Answer tokenized prompts in one batch; temperature 0 is greedy, otherwise sampling.

    The global random state is left as it was.
    """
    from transformers import GenerationConfig

    width = max(len(prompt) for prompt in prompts)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(stop_ids)
    input_ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=model.device)
    sampling: dict[str, Any] = {"do_sample": False}
    if temperature > 0:
        sampling = {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": top_k}
    config = GenerationConfig(
        max_new_tokens=max_new_tokens,
        repetition_penalty=repetition_penalty,
        eos_token_id=sorted(stop_ids),
        pad_token_id=pad,
        **sampling,
    )
    own_config, model.generation_config = model.generation_config, config
    try:
        with torch.random.fork_rng(devices=[] if model.device.type == "cpu" else None):
            torch.manual_seed(seed)
            output_ids = model.generate(input_ids=input_ids, attention_mask=mask, generation_config=config)
    finally:
        model.generation_config = own_config
    return [_answer(tokenizer, row[width:], stop_ids) for row in output_ids.tolist()]


def _answer(tokenizer: Any, token_ids: list[int], stop_ids: set[int]) -> Answer:
    end = next((index for index, token in enumerate(token_ids) if token in stop_ids), None)
    kept = token_ids[:end]
    text = tokenizer.decode(kept, skip_special_tokens=True).strip()
    return Answer(text, kept, None if end is None else token_ids[end])
