"""A text that has nothing to do with the stance: perplexity, KL divergence from the base model, top-1 agreement.

Each paragraph is a sequence of its own, as text and not as a conversation: the question is what became of the model's
sense of language, and a template would condition it on answering. A token that begins every text is put before it
where the tokenizer does so; where it does not, the first token of a paragraph is not predicted.

Shapes: T predicted tokens of a paragraph, V vocabulary.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from epistemic_stance.foundation.errors import InputError, NumericError, Problem
from epistemic_stance.probing.forward import NOT_FINITE, NOT_FINITE_HINT
from epistemic_stance.records.probes import NeutralRecord, ParagraphRecord
from epistemic_stance.statistics.estimates import mean_estimate

MAX_PARAGRAPH_TOKENS = 1024
"""A pass holds logits of all its tokens."""
ROWS = 64
"""Tokens whose distributions are held at once besides the logits themselves."""


@dataclass(frozen=True)
class BaseText:
    """What is kept of the base model: its log-probabilities of everything, 4 bytes a token and vocabulary entry."""

    paragraphs: list[list[int]]
    logps_TV: list[Tensor]
    """Of each paragraph, float32."""
    nlls: list[float]
    vocabulary: int


def encode_text(tokenizer: Any, paragraphs: Sequence[str], positions: int | None, where: str) -> list[list[int]]:
    """Token ids of each paragraph. Raises InputError for one that is too long, or of which nothing is predicted."""
    limit = min(MAX_PARAGRAPH_TOKENS, positions or MAX_PARAGRAPH_TOKENS)
    encoded = [list(tokenizer(paragraph)["input_ids"]) for paragraph in paragraphs]
    problems = []
    for number, ids in enumerate(encoded, start=1):
        if len(ids) > limit:
            what = f"paragraph {number} has {len(ids)} tokens, expected at most {limit}"
            problems.append(Problem(where, what, hint="split it with a blank line"))
        elif len(ids) < 2:
            problems.append(Problem(where, f"paragraph {number} has {len(ids)} tokens, expected at least 2"))
    if not encoded:
        problems.append(Problem(where, "has no text", hint="write a few paragraphs, apart by a blank line"))
    if problems:
        raise InputError(problems)
    return encoded


@torch.inference_mode()
def read_base(model: Any, paragraphs: list[list[int]]) -> BaseText:
    """Log-probabilities of the base model. Raises NumericError if they are not finite."""
    logps = [_logits(model, ids).log_softmax(-1) for ids in paragraphs]
    return BaseText(
        paragraphs=paragraphs,
        logps_TV=logps,
        nlls=[_nll(logps_TV, ids) for logps_TV, ids in zip(logps, paragraphs, strict=True)],
        vocabulary=vocabulary_of(model),
    )


@torch.inference_mode()
def read_text(model: Any, paragraphs: list[list[int]], base: BaseText | None) -> list[ParagraphRecord]:
    """Sums over each paragraph, against `base` if it is of the same tokens and vocabulary.

    Raises NumericError if they are not finite.
    """
    records = []
    for number, ids in enumerate(paragraphs):
        logits_TV = _logits(model, ids)
        base_TV = base.logps_TV[number] if base else None
        nll, kl, agreed = 0.0, 0.0, 0
        for start, rows_V in _chunks(logits_TV):
            logps_V = rows_V.log_softmax(-1)
            nll += _nll(logps_V, ids[start : start + len(rows_V) + 1])
            if base_TV is not None:
                base_V = base_TV[start : start + len(rows_V)]
                kl += float(kl_divergence(base_V, logps_V).sum())
                agreed += int((base_V.argmax(-1) == logps_V.argmax(-1)).sum())
        known = base is not None
        records.append(
            ParagraphRecord(tokens=len(ids) - 1, nll=nll, kl=kl if known else None, agreed=agreed if known else None)
        )
    return records


def kl_divergence(base_TV: Tensor, logps_TV: Tensor) -> Tensor:
    """KL(base || model) = sum of p_base (log p_base - log p_model) in nats, shape (T,), of log-probabilities."""
    return (base_TV.exp() * (base_TV - logps_TV)).sum(-1)


def vocabulary_of(model: Any) -> int:
    """Entries of the logits, which may be more than the tokenizer has."""
    return int(model.config.get_text_config().vocab_size)


def _chunks(logits_TV: Tensor) -> Iterator[tuple[int, Tensor]]:
    for start in range(0, len(logits_TV), ROWS):
        yield start, logits_TV[start : start + ROWS]


def _nll(logps_TV: Tensor, ids: Sequence[int]) -> float:
    """Of all tokens but the first, each predicted by the row before it."""
    targets_T1 = torch.tensor(ids[1:], device=logps_TV.device)[:, None]
    nll = -float(logps_TV[: len(targets_T1)].gather(1, targets_T1).sum())
    if not math.isfinite(nll):
        raise NumericError(NOT_FINITE, NOT_FINITE_HINT)
    return nll


def _logits(model: Any, ids: Sequence[int]) -> Tensor:
    """Of every token but the last, which predicts what is not there; float32."""
    options = {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}
    logits_TV: Tensor = model(input_ids=torch.tensor([ids[:-1]], device=model.device), **options).logits[0].float()
    return logits_TV


def neutral_record(paragraphs: Sequence[ParagraphRecord], base_nlls: Sequence[float] | None) -> NeutralRecord:
    """Means per token, with standard errors over paragraphs; a paragraph counts with its tokens."""
    weights = [float(paragraph.tokens) for paragraph in paragraphs]

    def per_token(sums: Sequence[float]) -> Any:
        return mean_estimate([total / tokens for total, tokens in zip(sums, weights, strict=True)], weights=weights)

    nll = per_token([paragraph.nll for paragraph in paragraphs])
    change = None
    if base_nlls is not None:
        change = per_token([paragraph.nll - before for paragraph, before in zip(paragraphs, base_nlls, strict=True)])
    kls = [paragraph.kl for paragraph in paragraphs]
    agreed = [paragraph.agreed for paragraph in paragraphs]
    return NeutralRecord(
        tokens=sum(paragraph.tokens for paragraph in paragraphs),
        perplexity=_exp(nll.value),
        nll=nll,
        perplexity_ratio=None if change is None else _exp(change.value),
        nll_change=change,
        kl=None if None in kls else per_token([kl for kl in kls if kl is not None]),
        agreement=None if None in agreed else per_token([float(count) for count in agreed if count is not None]),
        paragraphs=list(paragraphs),
    )


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError as error:
        raise NumericError(f"{value:.3g} nats a token are no language model any more", NOT_FINITE_HINT) from error
