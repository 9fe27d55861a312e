"""How the next token is drawn. Without torch: known before a model is opened."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SamplingConfig:
    """Every sampling field, so that neither a generation_config nor a server's defaults decide one.

    The defaults sample from the whole distribution.
    """

    max_new_tokens: int
    top_p: float = 1.0
    top_k: int = 0
    """0 = no limit."""
    repetition_penalty: float = 1.0
