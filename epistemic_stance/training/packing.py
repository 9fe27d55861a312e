"""Log-probabilities of both answers of a pair from one packed, prefix-shared sequence.

    tokens      p p p p | c c c | r r      (p: prompt, c: chosen, r: rejected; then the next pair)
    positions   0 1 2 3 | 4 5 6 | 4 5
    sees        p       | p c   | p r      (causal; chosen and rejected do not see each other, nor other pairs)

Logits are computed only where an answer token is predicted. Against two padded full sequences this saves the
second prompt, the padding, and every row of the vocabulary projection that no loss needs.

Shapes: T tokens of all packed pairs, N answer tokens, V vocabulary, B pairs.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from epistemic_stance.stance.pairs import EncodedPair
from epistemic_stance.training.dpo import PairLogps

MAX_PACKED_TOKENS = 2048
"""One forward pass holds at most this many tokens (the mask grows with the square); larger batches are split."""

SELF_CHECK_TOLERANCE = 1e-4
"""Relative difference allowed between packed and separate forwards in float32."""


@dataclass(frozen=True)
class Pack:
    """Tensors of one packed forward pass."""

    input_ids_1T: Tensor
    position_ids_1T: Tensor
    attention_mask_11TT: Tensor
    """Additive float: 0 where a token may look, the lowest float where not. A boolean mask would be silently
    wrong under eager attention (transformers 5.23), which adds whatever it is given."""
    predict_at_N: Tensor
    """Index into T of the token whose output predicts answer token n."""
    targets_N: Tensor
    side_N: Tensor
    """2 * pair for chosen, 2 * pair + 1 for rejected."""


def pack(pairs: Sequence[EncodedPair], device: torch.device) -> Pack:
    """Lay out pairs block-diagonally. The last token of each answer predicts nothing and is left out."""
    tokens: list[int] = []
    positions: list[int] = []
    predict_at: list[int] = []
    targets: list[int] = []
    sides: list[int] = []
    length = sum(pair.packed_length - 2 for pair in pairs)
    visible_TT = torch.zeros(length, length, dtype=torch.bool)
    for index, pair in enumerate(pairs):
        start = len(tokens)
        prompt = len(pair.prompt_ids)
        tokens += pair.prompt_ids
        positions += range(prompt)
        visible_TT[start : start + prompt, start : start + prompt] = True
        for side, answer in enumerate((pair.chosen_ids, pair.rejected_ids)):
            answer_start, answer_end = len(tokens), len(tokens) + len(answer) - 1
            tokens += answer[:-1]
            positions += range(prompt, prompt + len(answer) - 1)
            predict_at += [start + prompt - 1, *range(answer_start, answer_end)]
            targets += answer
            sides += [2 * index + side] * len(answer)
            visible_TT[answer_start:answer_end, start : start + prompt] = True
            visible_TT[answer_start:answer_end, answer_start:answer_end] = True
    mask_TT = torch.zeros(length, length).masked_fill_(~visible_TT.tril_(), torch.finfo(torch.float32).min)
    return Pack(
        torch.tensor([tokens], device=device),
        torch.tensor([positions], device=device),
        mask_TT[None, None].to(device),
        torch.tensor(predict_at, device=device),
        torch.tensor(targets, device=device),
        torch.tensor(sides, device=device),
    )


def token_logps(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
    """log softmax(logits)[target] in float32, shape (N,)."""
    return -F.cross_entropy(logits_NV.float(), targets_N, reduction="none")


def packed_logps(model: Any, pairs: Sequence[EncodedPair]) -> PairLogps:
    """One forward pass over all pairs."""
    batch = pack(pairs, model.device)
    logits_1NV = model(
        input_ids=batch.input_ids_1T,
        position_ids=batch.position_ids_1T,
        attention_mask=batch.attention_mask_11TT,
        logits_to_keep=batch.predict_at_N,
        use_cache=False,
    ).logits
    logps_N = token_logps(logits_1NV[0], batch.targets_N)
    sums_2B = torch.zeros(2 * len(pairs), device=logps_N.device).index_add(0, batch.side_N, logps_N)
    return PairLogps(sums_2B[0::2], sums_2B[1::2])


def answer_logps(model: Any, prompt_ids: list[int], answer_ids: list[int]) -> Tensor:
    """Log-probability of each answer token from one plain forward pass, shape (tokens of the answer,)."""
    input_ids_1T = torch.tensor([prompt_ids + answer_ids[:-1]], device=model.device)
    targets_N = torch.tensor(answer_ids, device=model.device)
    arguments: dict[str, Any] = {"input_ids": input_ids_1T}
    accepted = inspect.signature(model.forward).parameters
    if "logits_to_keep" in accepted:
        arguments["logits_to_keep"] = len(answer_ids)
    if "use_cache" in accepted:
        arguments["use_cache"] = False
    logits_NV = model(**arguments).logits[0, -len(answer_ids) :]
    return token_logps(logits_NV, targets_N)


def plain_logps(model: Any, pairs: Sequence[EncodedPair]) -> PairLogps:
    """Two forward passes a pair, no mask, no padding: the path that every causal LM can take."""
    chosen = [answer_logps(model, pair.prompt_ids, pair.chosen_ids).sum() for pair in pairs]
    rejected = [answer_logps(model, pair.prompt_ids, pair.rejected_ids).sum() for pair in pairs]
    return PairLogps(torch.stack(chosen), torch.stack(rejected))


def sliding_window(config: Any) -> int | None:
    """The attention window of the model, if it has one: a 4D mask switches it off in transformers 5.23."""
    text = config.get_text_config()
    window = getattr(text, "sliding_window", None)
    return window if isinstance(window, int) and getattr(text, "use_sliding_window", True) else None


@dataclass(frozen=True)
class PairForward:
    """The forward pass of a run: packed where that was shown to be right, plain elsewhere."""

    packed: bool
    reason: str
    window: int | None

    def is_packed(self, pair: EncodedPair) -> bool:
        return self.packed and (self.window is None or pair.longest < self.window)

    def groups(self, pairs: Sequence[EncodedPair], batch_size: int) -> Iterator[list[EncodedPair]]:
        """Split pairs into forward passes of at most `batch_size` pairs and MAX_PACKED_TOKENS, plain pairs alone."""
        group: list[EncodedPair] = []
        for pair in pairs:
            too_long = sum(p.packed_length for p in group) + pair.packed_length > MAX_PACKED_TOKENS
            full = too_long or len(group) == batch_size
            if group and (full or not self.is_packed(pair) or not self.is_packed(group[-1])):
                yield group
                group = []
            group.append(pair)
        if group:
            yield group

    def logps(self, model: Any, group: Sequence[EncodedPair]) -> PairLogps:
        """Log-probabilities of one group as `groups` yields it."""
        return packed_logps(model, group) if self.is_packed(group[0]) else plain_logps(model, group)


@torch.no_grad()
def choose_forward(model: Any, pairs: Sequence[EncodedPair]) -> PairForward:
    """Check the packed step of the loaded architecture against plain separate forwards, in float32.

    The longest pair that may be packed and one more go through both paths, packed together; if the packed path
    fails or differs, the plain path is used and the reason says so.
    """
    window = sliding_window(model.config)
    candidates = [pair for pair in pairs if window is None or pair.longest < window]
    if not candidates:
        return PairForward(False, f"every pair is as long as the sliding window of {window} tokens", window)
    longest = max(candidates, key=lambda pair: pair.longest)
    sample = [longest, next((pair for pair in candidates if pair is not longest), longest)]
    plain = plain_logps(model, sample)
    try:
        packed = packed_logps(model, sample)
    except torch.OutOfMemoryError:
        raise
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError) as error:
        why = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        return PairForward(False, f"the model does not accept packed input: {why}", window)
    expected, actual = (torch.cat([logps.chosen_B, logps.rejected_B]) for logps in (plain, packed))
    difference = ((actual - expected).abs() / expected.abs().clamp(min=1.0)).max().item()
    if not difference <= SELF_CHECK_TOLERANCE:
        return PairForward(False, f"packed and separate forwards differ by {difference:.1e}", window)
    return PairForward(True, f"packed and separate forwards agree to {difference:.0e}", window)
