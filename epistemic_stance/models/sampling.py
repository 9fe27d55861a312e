"""Logits to the next token, one row an answer, with the arithmetic of transformers' logits processors.

Shapes: B answers, V vocabulary, L tokens seen so far.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from epistemic_stance.foundation.errors import NumericError
from epistemic_stance.models.sampling_config import SamplingConfig

NOT_FINITE = "the model computes NaN instead of probabilities"
NOT_FINITE_HINT = "its weights are damaged, or its numbers leave the range of --dtype: try --dtype float32"


def choose_tokens(
    logits_BV: Tensor,
    seen: Sequence[Sequence[int]],
    temperatures: Sequence[float],
    uniforms: Sequence[float],
    sampling: SamplingConfig,
) -> list[int]:
    """The next token of every row: the most likely one at temperature 0, else drawn with the row's own number.

    Args:
        seen: prompt and answer so far of each row; only a repetition penalty looks at them.
        uniforms: a number in [0, 1) for each row. It is what the draw depends on besides the row's logits, so
            that an answer does not depend on its neighbours.
    """
    scores_BV = penalised(logits_BV.float(), seen, sampling.repetition_penalty)
    drawn = [row for row, temperature in enumerate(temperatures) if temperature > 0]
    tokens = [0] * len(temperatures)
    if len(drawn) < len(tokens):
        tokens = scores_BV.argmax(dim=-1).tolist()
    if drawn:
        rows = slice(None) if len(drawn) == len(tokens) else drawn
        temperature_B1 = torch.tensor([[temperatures[row]] for row in drawn], device=scores_BV.device)
        uniform_B1 = torch.tensor([[uniforms[row]] for row in drawn], device=scores_BV.device)
        scores_DV = kept_by_top_p(kept_by_top_k(scores_BV[rows] / temperature_B1, sampling.top_k), sampling.top_p)
        for row, token in zip(drawn, draw(scores_DV, uniform_B1), strict=True):
            tokens[row] = token
    return tokens


def penalised(scores_BV: Tensor, seen: Sequence[Sequence[int]], penalty: float) -> Tensor:
    """Scores of tokens already seen, divided by the penalty if positive, multiplied if negative (Keskar et al. 2019,
    arXiv:1909.05858, section 4.1; RepetitionPenaltyLogitsProcessor for the negative ones)."""
    if penalty == 1:
        return scores_BV
    longest = max(len(ids) for ids in seen)
    ids_BL = torch.tensor([[*ids, *[ids[0]] * (longest - len(ids))] for ids in seen], device=scores_BV.device)
    found_BL = scores_BV.gather(1, ids_BL)
    return scores_BV.scatter(1, ids_BL, torch.where(found_BL < 0, found_BL * penalty, found_BL / penalty))


def kept_by_top_k(scores_BV: Tensor, top_k: int) -> Tensor:
    """-inf below the k-th highest score, ties with it kept; 0 keeps all."""
    if top_k == 0:
        return scores_BV
    lowest_kept_B1 = scores_BV.topk(min(top_k, scores_BV.shape[-1]), dim=-1).values[:, -1:]
    return scores_BV.masked_fill(scores_BV < lowest_kept_B1, -torch.inf)


def kept_by_top_p(scores_BV: Tensor, top_p: float) -> Tensor:
    """-inf outside the smallest set of tokens whose probabilities reach top_p (Holtzman et al. 2020,
    arXiv:1904.09751); the most likely token always stays; 1 keeps all."""
    if top_p >= 1:
        return scores_BV
    ordered_BV, order_BV = scores_BV.sort(dim=-1)
    dropped_BV = ordered_BV.softmax(dim=-1).cumsum(dim=-1) <= 1 - top_p
    dropped_BV[:, -1] = False
    return scores_BV.masked_fill(torch.zeros_like(dropped_BV).scatter(1, order_BV, dropped_BV), -torch.inf)


def draw(scores_BV: Tensor, uniform_B1: Tensor) -> list[int]:
    """The token at which the cumulative probability passes the row's number (inverse transform sampling).

    Raises NumericError for a row that holds NaN.
    """
    cumulative_BV = scores_BV.softmax(dim=-1).cumsum_(dim=-1)
    total_B1 = cumulative_BV[:, -1:]
    # Rounding may lift the product to the total, beyond which there is no token.
    target_B1 = torch.minimum(uniform_B1 * total_B1, total_B1.nextafter(torch.zeros_like(total_B1)))
    tokens: list[int] = torch.searchsorted(cumulative_BV, target_B1, right=True)[:, 0].tolist()
    if max(tokens) == scores_BV.shape[-1]:
        raise NumericError(NOT_FINITE, NOT_FINITE_HINT)
    return tokens
