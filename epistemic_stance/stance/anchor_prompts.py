"""Neutral prompts: the stance has nothing to say about them, so a tuned model should answer them as its base does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.files import read_text
from epistemic_stance.foundation.similarity import SimilarTexts, matches
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records.written import QuestionSet
from epistemic_stance.stance.findings import NEAR_QUESTION, NO_PLACES, Finding, error, likeness, located, warning
from epistemic_stance.stance.pairs import Pair

ANCHOR_TOKENS = 64
"""The base model's answers to anchor prompts are cut here: enough for its manner, and cheaper than a pair."""


@dataclass(frozen=True)
class AnchorPrompt:
    text: str
    where: str
    """File and line, for messages about it."""


@dataclass(frozen=True)
class EncodedPrompt:
    text: str
    token_ids: list[int]
    """Under the chat template, up to where an answer begins."""


def load_anchor_prompts(path: Path) -> list[AnchorPrompt]:
    """The prompts of a text file, one a line; empty lines are passed over. Raises InputError if there are none."""
    lines = enumerate(read_text(path).splitlines(), start=1)
    prompts = [AnchorPrompt(line.strip(), f"{path}:{number}") for number, line in lines if line.strip()]
    if not prompts:
        raise InputError([Problem(str(path), "has no prompt", hint="write one neutral prompt a line")])
    return prompts


def anchor_digest(prompts: Sequence[AnchorPrompt]) -> str:
    """sha256 over the texts in their order."""
    return hashlib.sha256("\n".join(prompt.text for prompt in prompts).encode()).hexdigest()


def check_anchor_prompts(
    prompts: Sequence[AnchorPrompt],
    pairs: Sequence[Pair],
    question_sets: Mapping[str, QuestionSet],
    places: Mapping[str, Sequence[str]] = NO_PLACES,
) -> list[Finding]:
    """Prompts that are, or nearly are, asked elsewhere. `places` is `Stance.question_places`.

    On a question of a set the anchor would train the answer that the set is there to measure; on a prompt of the
    corpus it would hold the very answer that the pair is to change.
    """
    return [
        *_repeated(prompts),
        *_also_asked(prompts, [(pair.question, f"the prompt of {pair.id} ({pair.where})") for pair in pairs]),
        *_also_asked(prompts, [(asked.question.text, asked.in_full) for asked in located(question_sets, places)]),
    ]


def _repeated(prompts: Sequence[AnchorPrompt]) -> Iterator[Finding]:
    for number, match in matches([prompt.text for prompt in prompts], NEAR_QUESTION):
        what = f"{likeness(match)} {prompts[match.index].where}"
        yield warning(prompts[number].where, "", what, "drop one of the two")


def _also_asked(prompts: Sequence[AnchorPrompt], asked: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    """`asked`: texts, and how a message names each."""
    known = SimilarTexts(NEAR_QUESTION, [text for text, _ in asked])
    for prompt in prompts:
        if match := known.find(prompt.text):
            make = error if match.exact else warning
            what = f'"{shorten(prompt.text)}": {likeness(match)} {asked[match.index][1]}'
            yield make(prompt.where, "", what, "an anchor prompt must be asked nowhere else: choose another")
