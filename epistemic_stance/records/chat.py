"""What `/save` of a chat writes: one line per turn of the conversation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from epistemic_stance.records import Logged


class SpokenRecord(Logged):
    """One model's answer in a turn."""

    model: str
    answer: str | None
    """None: there is none, and the model has not seen the turn."""
    finish_reason: Literal["eos", "length"] | None
    left_out: int
    """Oldest turns of the conversation that the model no longer saw, for they did not fit into its positions."""
    why: str = ""
    """Why there is no answer."""


class TurnRecord(Logged):
    """One line of a saved conversation: what was asked, how, and what was answered."""

    schema_version: int = Field(1, alias="schema")
    turn: int
    system_prompt: str | None
    """None: the chat template's own default."""
    temperature: float
    max_new_tokens: int
    seed: int
    """Of the answers to this turn."""
    user: str
    answers: list[SpokenRecord]
