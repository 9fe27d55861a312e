"""Log-probabilities of given answers to given prompts, from as few tokens as can be.

    prompt A    s s s a a a          s: what all prompts begin with, computed once and kept as keys and values
    answers           | x x          x, y: two answers that branch off the prompt
                      | y
    prompt B    s s s b b            the next prompt, in the same forward pass

Tokens of one pass form a single row; a mask lets each see the shared beginning, its own prompt and its own answer.
The last token of an answer predicts nothing and is left out, so that an answer of one token costs nothing but a
number of the row after the prompt. Only such rows go through the projection to the vocabulary.

Shapes: P tokens of the shared beginning, T tokens of a pass, R rows of logits, V vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from epistemic_stance.foundation.errors import NumericError
from epistemic_stance.models.errors import is_out_of_memory
from epistemic_stance.models.products import faster_products, multiplying_by
from epistemic_stance.records.collection import Products

TOKENS_OF_PASS = 256
"""The mask grows with the square, and the products are hardly faster with more rows."""
TOLERANCE = {torch.float32: 2e-4, torch.bfloat16: 2e-1, torch.float16: 2e-2}
"""Nats by which packed and plain forwards may differ, or as a share of the log-probability where that is beyond -1."""
CHECKED = 2
NOT_FINITE = "the model computes NaN or infinite log-probabilities"
NOT_FINITE_HINT = "its weights are damaged, or its numbers leave the range of --dtype: try --dtype float32"

Ids = tuple[int, ...]


@dataclass(frozen=True)
class LogprobRequest:
    """A prompt and the answers whose log-probabilities are wanted."""

    prompt_ids: Ids
    answers: tuple[Ids, ...]

    @property
    def longest(self) -> int:
        return len(self.prompt_ids) + max(len(answer) for answer in self.answers) - 1


@dataclass(frozen=True)
class Forward:
    """How a model is asked: packed where that was shown to be right, plainly elsewhere."""

    packed: bool
    note: str | None
    """Why not packed."""
    window: int | None
    """Tokens an attention window reaches back; the packed mask knows no windows."""
    products: Products = "torch"
    """What multiplies while the model is asked."""


def choose_forward(model: Any, requests: Sequence[LogprobRequest]) -> Forward:
    """Compare packed and plain log-probabilities on the longest and the shortest of what will be requested."""
    window = _window(model.config)
    candidates = sorted(
        (request for request in requests if window is None or request.longest < window),
        key=lambda request: request.longest,
    )
    if not candidates:
        return Forward(False, f"every question is as long as the attention window of {window} tokens", window)
    sample = [candidates[0], candidates[-1]][:CHECKED]
    expected = _flat(plain_logps(model, request) for request in sample)
    products = faster_products(model, TOKENS_OF_PASS)
    try:
        with multiplying_by(model, products):
            packed = _flat(packed_logps(model, sample))
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError, KeyError) as error:
        if is_out_of_memory(error):
            raise
        why = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        return Forward(False, f"each question is computed alone, for the model takes no packed input: {why}", window)
    difference = float(((packed - expected).abs() / expected.abs().clamp(min=1.0)).max())
    if not difference <= TOLERANCE[model.dtype] and expected.isfinite().all():
        what = f"packed and plain log-probabilities differ by {difference:.1e}"
        return Forward(False, f"each question is computed alone, for {what}", window)
    return Forward(True, None, window, products)


def answer_logps(model: Any, forward: Forward, requests: Sequence[LogprobRequest]) -> list[list[float]]:
    """log p(answer | prompt) of every answer, summed over its tokens, in the order of the requests.

    Raises NumericError for what is not finite.
    """
    packed = [
        request
        for request in requests
        if forward.packed and (forward.window is None or request.longest < forward.window)
    ]
    known: dict[int, list[float]] = {}
    for request, logps in zip(packed, packed_logps(model, packed) if packed else [], strict=True):
        known[id(request)] = logps
    result = [known[id(request)] if id(request) in known else plain_logps(model, request) for request in requests]
    if not _flat(result).isfinite().all():
        raise NumericError(NOT_FINITE, NOT_FINITE_HINT)
    return result


def _flat(logps: Any) -> Tensor:
    return torch.tensor([value for values in logps for value in values], dtype=torch.float64)


def _window(config: Any) -> int | None:
    text = config.get_text_config()
    window = getattr(text, "sliding_window", None)
    return window if isinstance(window, int) and getattr(text, "use_sliding_window", True) else None


@torch.inference_mode()
def plain_logps(model: Any, request: LogprobRequest) -> list[float]:
    """One forward pass an answer, no mask, no cache: what every causal model can do. Answers of one token share one."""
    accepted = inspect.signature(model.forward).parameters
    options = {"use_cache": False} if "use_cache" in accepted else {}
    logits: dict[Ids, Tensor] = {}
    logps = []
    for answer in request.answers:
        ids = request.prompt_ids + answer[:-1]
        if ids not in logits:
            kept = options | ({"logits_to_keep": len(answer)} if "logits_to_keep" in accepted else {})
            output = model(input_ids=torch.tensor([ids], device=model.device), **kept)
            logits[ids] = output.logits[0, -len(answer) :].float().log_softmax(-1)
        logps_RV = logits[ids]
        logps.append(float(sum(logps_RV[row, token] for row, token in enumerate(answer))))
    return logps


@torch.inference_mode()
def packed_logps(model: Any, requests: Sequence[LogprobRequest]) -> list[list[float]]:
    """As the drawing above. Raises ValueError for a model that keeps anything but keys and values."""
    shared = shared_beginning([request.prompt_ids for request in requests])
    kept = _prefill(model, requests[0].prompt_ids[:shared]) if shared else []
    logps: list[list[float]] = []
    for group in _passes(requests, shared):
        logps += _run_pass(model, group, shared, kept)
    return logps


def shared_beginning(prompts: Sequence[Ids]) -> int:
    """Tokens that all prompts begin with; at least the last of each prompt stays out, for it predicts the answer."""
    first, last = min(prompts), max(prompts)
    limit = min(len(prompt) for prompt in prompts) - 1
    return next((at for at in range(limit) if first[at] != last[at]), limit)


def _prefill(model: Any, prefix_ids: Ids) -> list[tuple[Tensor, Tensor]]:
    """Keys and values of each layer, shape (1, heads, P, head size)."""
    cache = DynamicCache()  # without the configuration, so that no layer forgets what is beyond its window
    model(input_ids=torch.tensor([prefix_ids], device=model.device), past_key_values=cache, logits_to_keep=1)
    kept = [(layer.keys, layer.values) for layer in cache.layers]
    if not kept or any(keys is None or keys.shape[2] != len(prefix_ids) for keys, _ in kept):
        raise ValueError("it does not keep its prompt as keys and values")
    return kept


def _passes(requests: Sequence[LogprobRequest], shared: int) -> Iterator[list[LogprobRequest]]:
    """Questions in order, as many in a pass as TOKENS_OF_PASS holds."""
    group: list[LogprobRequest] = []
    held = 0
    for request in requests:
        tokens = len(request.prompt_ids) - shared + sum(len(answer) - 1 for answer in request.answers)
        if group and held + tokens > TOKENS_OF_PASS:
            yield group
            group, held = [], 0
        group.append(request)
        held += tokens
    yield group


@dataclass(frozen=True)
class Layout:
    """One pass as tokens in a row."""

    tokens: list[int]
    positions: list[int]
    visible_TT: Tensor
    """Which of the row's tokens (second index) each of them sees."""
    rows: list[int]
    """Tokens whose logits are wanted."""
    row_N: list[int]
    """Of each predicted token: which of the rows predicts it,"""
    token_N: list[int]
    """which token it is,"""
    answer_N: list[int]
    """and to which answer it belongs."""


def _lay_out(requests: Sequence[LogprobRequest], shared: int) -> Layout:
    tokens: list[int] = []
    positions: list[int] = []
    runs: list[tuple[int, int, int, int]] = []
    rows: list[int] = []
    predicted: list[tuple[int, int, int]] = []
    answers = 0
    for request in requests:
        begin, prompt_row = len(tokens), len(rows)
        tokens += request.prompt_ids[shared:]
        positions += range(shared, len(request.prompt_ids))
        end = len(tokens)
        runs.append((begin, end, begin, begin))
        rows.append(end - 1)
        for answer in request.answers:
            predicted.append((prompt_row, answer[0], answers))
            predicted += [(len(rows) + at, token, answers) for at, token in enumerate(answer[1:])]
            branch = len(tokens)
            tokens += answer[:-1]
            positions += range(len(request.prompt_ids), len(request.prompt_ids) + len(answer) - 1)
            runs.append((branch, len(tokens), begin, end))
            rows += range(branch, len(tokens))
            answers += 1
    visible_TT = torch.zeros(len(tokens), len(tokens), dtype=torch.bool)
    for start, stop, seen_from, seen_to in runs:
        visible_TT[start:stop, start:stop] = True
        visible_TT[start:stop, seen_from:seen_to] = True
    row_N, token_N, answer_N = (list(column) for column in zip(*predicted, strict=True))
    return Layout(tokens, positions, visible_TT.tril_(), rows, row_N, token_N, answer_N)


def _run_pass(
    model: Any, requests: Sequence[LogprobRequest], shared: int, kept: Sequence[tuple[Tensor, Tensor]]
) -> list[list[float]]:
    layout = _lay_out(requests, shared)
    logits_RV = _logits(model, layout, shared, kept)
    row_N, token_N, answer_N = (
        torch.tensor(column, device=model.device) for column in (layout.row_N, layout.token_N, layout.answer_N)
    )
    logps_N = logits_RV[row_N, token_N] - logits_RV.logsumexp(-1)[row_N]
    count = sum(len(request.answers) for request in requests)
    each = iter(torch.zeros(count, device=model.device).index_add_(0, answer_N, logps_N).tolist())
    return [[next(each) for _ in request.answers] for request in requests]


def _logits(model: Any, layout: Layout, shared: int, kept: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Logits of the wanted rows, shape (R, V), float32.

    The mask is additive float: a boolean one would be silently wrong under eager attention, which adds what it gets.
    """
    cache = DynamicCache()
    for layer, (keys, values) in enumerate(kept):
        cache.update(keys, values, layer)
    length = len(layout.tokens)
    mask_TS = torch.zeros(length, shared + length, dtype=model.dtype)
    mask_TS[:, shared:].masked_fill_(~layout.visible_TT, torch.finfo(model.dtype).min)
    logits_1RV = model(
        input_ids=torch.tensor([layout.tokens], device=model.device),
        position_ids=torch.tensor([layout.positions], device=model.device),
        attention_mask=mask_TS[None, None].to(model.device),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=torch.tensor(layout.rows, device=model.device),
    ).logits
    logits_RV: Tensor = logits_1RV[0].float()
    return logits_RV
