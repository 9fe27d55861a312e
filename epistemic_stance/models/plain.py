"""Answers by transformers' `generate`: slower than slots, and right for every causal model.

A model's own generation_config is never consulted for sampling: Qwen's adds repetition_penalty 1.1, top_p 0.8
and top_k 20 without being asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from epistemic_stance.foundation.errors import NumericError
from epistemic_stance.models.sampling import NOT_FINITE, NOT_FINITE_HINT
from epistemic_stance.models.sampling_config import SamplingConfig
from epistemic_stance.models.slots import Finished, Request


def plain_answers(
    model: Any,
    requests: Sequence[Request],
    *,
    slots: int,
    stop_ids: set[int],
    sampling: SamplingConfig,
    on_finished: Callable[[], None] = lambda: None,
    on_step: Callable[[int], None] = lambda _: None,
) -> list[Finished]:
    """Answer all requests, at most `slots` in a batch; the arguments are those of `slots.decode`.

    A batch holds prompts of one length at one temperature, for there are models that padding disturbs. It waits for
    its longest answer and draws from the seed of its first.
    """

    def kind(index: int) -> tuple[float, int, int]:
        request = requests[index]
        return request.temperature, len(request.prompt_ids), request.max_new_tokens

    finished: dict[int, Finished] = {}
    settled = 0
    for _, alike in groupby(sorted(range(len(requests)), key=kind), key=kind):
        indexes = list(alike)
        for batch in (indexes[start : start + slots] for start in range(0, len(indexes), slots)):
            first = requests[batch[0]]

            def count(steps: int, before: int = settled, rows: int = len(batch)) -> None:
                on_step(before + steps * rows)

            answers = generate_batch(
                model,
                [requests[index].prompt_ids for index in batch],
                stop_ids=stop_ids,
                max_new_tokens=first.max_new_tokens,
                temperature=first.temperature,
                seed=first.seed,
                sampling=sampling,
                on_step=count,
            )
            settled += len(batch) * first.max_new_tokens
            on_step(settled)
            for index, answer in zip(batch, answers, strict=True):
                finished[index] = answer
                on_finished()
    return [finished[index] for index in range(len(requests))]


@torch.no_grad()
def generate_batch(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    stop_ids: set[int],
    max_new_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
    sampling: SamplingConfig | None = None,
    on_step: Callable[[int], None] = lambda _: None,
) -> list[Finished]:
    """Answer tokenized prompts in one batch; temperature 0 is greedy, otherwise sampling.

    The global random state is left as it was. `on_step` is told how many tokens each answer has. Raises NumericError
    if the model computes NaN.
    """
    from transformers import GenerationConfig

    width = max(len(prompt) for prompt in prompts)
    pad = min(stop_ids)
    input_ids = torch.tensor([[pad] * (width - len(prompt)) + [*prompt] for prompt in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=model.device)
    sampling = sampling or SamplingConfig(max_new_tokens)
    drawing: dict[str, Any] = {"do_sample": False}
    if temperature > 0:
        drawing = {"do_sample": True, "temperature": temperature, "top_p": sampling.top_p, "top_k": sampling.top_k}
    config = GenerationConfig(
        max_new_tokens=max_new_tokens,
        repetition_penalty=sampling.repetition_penalty,
        eos_token_id=sorted(stop_ids),
        pad_token_id=pad,
        **drawing,
    )

    def count(ids: Tensor, *_: Any, **__: Any) -> Tensor:
        on_step(ids.shape[1] - width)
        return torch.zeros(len(ids), dtype=torch.bool, device=ids.device)  # this criterion stops nothing

    started = time.perf_counter()
    own_config, model.generation_config = model.generation_config, config
    try:
        with torch.random.fork_rng(devices=[] if model.device.type == "cpu" else None):
            torch.manual_seed(seed)
            output_ids = model.generate(
                input_ids=input_ids, attention_mask=mask, generation_config=config, stopping_criteria=[count]
            )
    except RuntimeError as error:
        if "probability tensor" not in str(error):  # what torch.multinomial says of NaN
            raise
        raise NumericError(NOT_FINITE, NOT_FINITE_HINT) from error
    finally:
        model.generation_config = own_config
    seconds = time.perf_counter() - started
    return [_finished(row[width:], stop_ids, seconds) for row in output_ids.tolist()]


def _finished(token_ids: list[int], stop_ids: set[int], seconds: float) -> Finished:
    end = next((index for index, token in enumerate(token_ids) if token in stop_ids), None)
    return Finished(token_ids[:end], None if end is None else token_ids[end], seconds)
