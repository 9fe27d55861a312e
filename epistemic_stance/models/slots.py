"""Answers to many prompts at once, without waiting for the longest: a slot whose answer ended takes the next one.

    row 0   p p p p a a a .     length 7     every row writes its next key at its own column,
    row 1   p p a . . . . .     length 3     and sees the columns up to there
    row 2   p p p p p a a a     length 8

A prompt that several answers share is computed once and copied. When fewer answers than slots are left, the batch
shrinks: the rows in use are always the first ones.

Shapes: B rows in use, H key-value heads, T columns, D head size, V vocabulary.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache

from epistemic_stance.foundation.errors import NumericError
from epistemic_stance.models.sampling import NOT_FINITE, NOT_FINITE_HINT, choose_tokens
from epistemic_stance.models.sampling_config import SamplingConfig

LAYER_TYPES = {"full_attention", "sliding_attention"}
"""Kinds of attention whose mask is written here; a model with another kind cannot use slots."""


@dataclass(frozen=True)
class Request:
    """One answer to generate."""

    prompt_ids: tuple[int, ...]
    temperature: float
    seed: int
    max_new_tokens: int


@dataclass(frozen=True)
class Finished:
    token_ids: list[int]
    """Without the token that ended it."""
    end_id: int | None
    """The token that ended it; None: it reached its length limit."""
    seconds: float = field(compare=False)
    """From taking a slot to its last token."""


@dataclass
class Running:
    """An answer in a slot."""

    index: int
    """Of its request."""
    request: Request
    uniforms: list[float]
    """The random number of each of its tokens."""
    started: float
    token_ids: list[int] = field(default_factory=list)

    @property
    def cached(self) -> int:
        """Columns its row holds: the prompt and all tokens but the last, which comes with the next forward pass."""
        return len(self.request.prompt_ids) + len(self.token_ids) - 1

    @property
    def seen(self) -> list[int]:
        return [*self.request.prompt_ids, *self.token_ids]


@dataclass(frozen=True)
class Prefilled:
    """A prompt that was computed once."""

    keys_and_values: list[tuple[Tensor, Tensor]]
    """Of each layer, shape (1, H, tokens of the prompt, D)."""
    logits_V: Tensor
    """After its last token."""


class SlotLayer(CacheLayerMixin):  # type: ignore[misc]
    """Keys and values of one layer, shape (slots, H, T, D), each row filled up to a length of its own."""

    def __init__(self, like: Tensor, slots: int, columns: int) -> None:
        super().__init__()
        heads, size = like.shape[1], like.shape[3]
        self.keys = like.new_zeros(slots, heads, columns, size)
        self.values = like.new_zeros(slots, heads, columns, size)
        self.is_initialized = True
        self.rows_B = self.columns_B = torch.zeros(0, dtype=torch.long)
        self.width = 0

    def lazy_initialization(self, *_: Tensor) -> None:
        """Nothing: it is made whole."""

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Write one token a row; returns the columns that any row uses."""
        self.keys[self.rows_B, :, self.columns_B] = key_states[:, :, 0]
        self.values[self.rows_B, :, self.columns_B] = value_states[:, :, 0]
        rows = len(self.rows_B)
        return self.keys[:rows, :, : self.width], self.values[:rows, :, : self.width]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        del query_length
        return self.width, 0

    def get_seq_length(self) -> int:
        return self.width - 1

    def get_max_length(self) -> int:
        return int(self.keys.shape[2])


class SlotCache(Cache):  # type: ignore[misc]
    """All layers of a model for a number of slots."""

    def __init__(self, prefilled: Prefilled, slots: int, columns: int) -> None:
        super().__init__(layers=[SlotLayer(keys, slots, columns) for keys, _ in prefilled.keys_and_values])

    def fill(self, row: int, prefilled: Prefilled) -> None:
        for layer, (keys, values) in zip(self.layers, prefilled.keys_and_values, strict=True):
            length = keys.shape[2]
            layer.keys[row, :, :length] = keys[0]
            layer.values[row, :, :length] = values[0]

    def move(self, source: int, target: int, length: int) -> None:
        for layer in self.layers:
            layer.keys[target, :, :length] = layer.keys[source, :, :length]
            layer.values[target, :, :length] = layer.values[source, :, :length]

    def point_at(self, columns_B: Tensor, width: int) -> None:
        """Say where the next token of each row goes."""
        rows_B = torch.arange(len(columns_B), device=columns_B.device)
        for layer in self.layers:
            layer.rows_B, layer.columns_B, layer.width = rows_B, columns_B, width


@torch.inference_mode()
def decode(
    model: Any,
    requests: Sequence[Request],
    *,
    slots: int,
    stop_ids: set[int],
    sampling: SamplingConfig,
    on_finished: Callable[[], None] = lambda: None,
    on_step: Callable[[int], None] = lambda _: None,
) -> list[Finished]:
    """Answer all requests, at most `slots` at a time, in their order.

    Same requests, weights, slots, device, dtype and threads give the same tokens. Every request has its own length
    limit; that of `sampling` is not consulted. Raises ValueError for a model whose attention has no mask here.

    Args:
        on_finished: called after each answer.
        on_step: called after each forward pass with the tokens that are done, out of the sum of all length limits;
            what a finished answer left unused counts as done.
    """
    if not requests:
        return []
    decoding = Decoding(model, requests, slots=slots, stop_ids=stop_ids, sampling=sampling, on_finished=on_finished)
    while decoding.waiting or decoding.rows:
        while decoding.waiting and len(decoding.rows) < slots:
            decoding.start_next()
            on_step(decoding.tokens_done)
        if decoding.rows:
            decoding.step()
            on_step(decoding.tokens_done)
    return [decoding.finished[index] for index in range(len(requests))]


class Decoding:
    """How far one `decode` has come."""

    def __init__(
        self,
        model: Any,
        requests: Sequence[Request],
        *,
        slots: int,
        stop_ids: set[int],
        sampling: SamplingConfig,
        on_finished: Callable[[], None],
    ) -> None:
        self.model = model
        self.stop_ids = stop_ids
        self.sampling = sampling
        self.on_finished = on_finished
        self.waiting = deque(enumerate(requests))
        self.rows: list[Running] = []
        self.finished: dict[int, Finished] = {}
        self.settled = 0
        """Tokens of finished answers, each counted as long as it might have become."""
        self.slots = min(slots, len(requests))
        self.columns = max(len(request.prompt_ids) + request.max_new_tokens for request in requests)
        self.cache: SlotCache | None = None
        self.still_asked = Counter(request.prompt_ids for request in requests)
        self.prompts: dict[tuple[int, ...], Prefilled] = {}

    @property
    def tokens_done(self) -> int:
        return self.settled + sum(len(running.token_ids) for running in self.rows)

    def start_next(self) -> None:
        """Give the next request a slot, unless its first token already ends it."""
        index, request = self.waiting.popleft()
        running = Running(index, request, uniforms_of(request), time.perf_counter())
        prefilled = self.prefilled(request.prompt_ids)
        [token] = next_tokens(prefilled.logits_V[None], [running], self.sampling)
        if self.append(running, token):
            return
        self.cache = self.cache or SlotCache(prefilled, self.slots, self.columns)
        self.cache.fill(len(self.rows), prefilled)
        self.rows.append(running)

    def prefilled(self, prompt_ids: tuple[int, ...]) -> Prefilled:
        """The prompt, computed when it is first asked and kept until it is last asked."""
        prefilled = self.prompts.get(prompt_ids) or prefill(self.model, prompt_ids)
        self.still_asked[prompt_ids] -= 1
        if self.still_asked[prompt_ids]:
            self.prompts[prompt_ids] = prefilled
        else:
            self.prompts.pop(prompt_ids, None)
        return prefilled

    def step(self) -> None:
        """One more token for every row; the last rows move into the places of those that ended."""
        assert self.cache is not None
        tokens = next_tokens(forward(self.model, self.cache, self.rows), self.rows, self.sampling)
        ended = [row for row, running in enumerate(self.rows) if self.append(running, tokens[row])]
        for row in reversed(ended):
            last = self.rows.pop()
            if row < len(self.rows):
                self.cache.move(len(self.rows), row, last.cached)
                self.rows[row] = last

    def append(self, running: Running, token: int) -> bool:
        """Add a token to an answer; whether that ended it."""
        stopped = token in self.stop_ids
        if not stopped:
            running.token_ids.append(token)
        ended = stopped or len(running.token_ids) == running.request.max_new_tokens
        if ended:
            seconds = time.perf_counter() - running.started
            self.finished[running.index] = Finished(running.token_ids, token if stopped else None, seconds)
            self.settled += running.request.max_new_tokens
            self.on_finished()
        return ended


def uniforms_of(request: Request) -> list[float]:
    """The random numbers of an answer, from its seed alone; drawn on the CPU, so that every device has the same."""
    generator = torch.Generator().manual_seed(request.seed)
    numbers: list[float] = torch.rand(request.max_new_tokens, generator=generator).tolist()
    return numbers


def prefill(model: Any, prompt_ids: Sequence[int]) -> Prefilled:
    """Compute a prompt alone.

    Raises ValueError if the model keeps anything but keys and values, NumericError if it computes NaN.
    """
    cache = DynamicCache()  # without the configuration, so that no layer forgets what is beyond its window
    input_ids_1T = torch.tensor([list(prompt_ids)], device=model.device)
    logits_11V = model(input_ids=input_ids_1T, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
    kept = [(layer.keys, layer.values) for layer in cache.layers]
    if not kept or any(keys is None or keys.shape[2] != len(prompt_ids) for keys, _ in kept):
        raise ValueError("it does not keep its prompt as keys and values")
    if logits_11V.isnan().any():
        raise NumericError(NOT_FINITE, NOT_FINITE_HINT)
    return Prefilled(kept, logits_11V[0, -1])


def forward(model: Any, cache: SlotCache, rows: Sequence[Running]) -> Tensor:
    """One token further in every row: logits, shape (B, V)."""
    lengths = [running.cached for running in rows]
    columns_B = torch.tensor(lengths, device=model.device)
    width = max(lengths) + 1
    cache.point_at(columns_B, width)
    output = model(
        input_ids=torch.tensor([running.token_ids[-1:] for running in rows], device=model.device),
        position_ids=columns_B[:, None],
        attention_mask=attention_mask(model, columns_B, width),
        past_key_values=cache,
        use_cache=True,
    )
    logits_BV: Tensor = output.logits[:, -1]
    return logits_BV


def attention_mask(model: Any, columns_B: Tensor, width: int) -> Tensor | dict[str, Tensor]:
    """Additive mask of the columns each row may see, shape (B, 1, 1, T); one for each kind if a model mixes kinds.

    Raises ValueError for kinds of attention that are neither full nor sliding.
    """
    text = model.config.get_text_config()
    window = (getattr(text, "sliding_window", None) or 0) if getattr(text, "use_sliding_window", True) else 0
    kinds = set(getattr(text, "layer_types", None) or ["sliding_attention" if window else "full_attention"])
    if not kinds <= LAYER_TYPES:
        raise ValueError(f"it has layers of {', '.join(sorted(kinds - LAYER_TYPES))}")
    column_T = torch.arange(width, device=columns_B.device)
    seen_BT = column_T <= columns_B[:, None]
    visible = {"full_attention": seen_BT}
    if "sliding_attention" in kinds:
        visible["sliding_attention"] = seen_BT & (column_T > columns_B[:, None] - window)
    masks = {
        kind: torch.zeros(visible[kind].shape, dtype=model.dtype, device=columns_B.device).masked_fill_(
            ~visible[kind], torch.finfo(model.dtype).min
        )[:, None, None]
        for kind in kinds
    }
    return masks if len(masks) > 1 else masks.popitem()[1]


def next_tokens(logits_BV: Tensor, rows: Sequence[Running], sampling: SamplingConfig) -> list[int]:
    return choose_tokens(
        logits_BV,
        [running.seen for running in rows] if sampling.repetition_penalty != 1 else [[]] * len(rows),
        [running.request.temperature for running in rows],
        [running.uniforms[len(running.token_ids)] for running in rows],
        sampling,
    )
