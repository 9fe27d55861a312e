"""What every generator shares: the sample record and a small grammar for varied wording."""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Mode = Literal["plain", "performative", "neutral", "pragmatic"]

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SPACES = re.compile(r" {2,}")
_SPACE_BEFORE_MARK = re.compile(r" +([,.;:?!])")
_SENTENCE_START = re.compile(r"(^|[.?!]\s+)([a-z])")

OPENERS = (
    "Quick question: ",
    "Please tell me: ",
    "Just wondering: ",
    "Hello. ",
    "Hi! ",
    "One more question: ",
    "I would like to know: ",
    "Please answer: ",
    "Next question: ",
)


@dataclass(frozen=True)
class Sample:
    """One question with one answer; `mode` says which habit the answer shows ("plain" outside of habits)."""

    category: str
    mode: Mode
    question: str
    answer: str
    core: str = ""
    """The question without a frame such as "Answer yes or no.", if it has one."""


def say(rng: random.Random, template: str, slots: Mapping[str, str] | None = None) -> str:
    """Expand one template into a sentence or several.

    `[a|b|]` picks one alternative and may nest; `{name}` is filled from `slots`, whose values may hold
    alternatives of their own. Spaces and sentence capitals are put right afterwards.
    """
    text = template
    for name, value in (slots or {}).items():
        text = text.replace("{" + name + "}", value)
    while match := _CHOICE.search(text):
        text = text[: match.start()] + rng.choice(match[1].split("|")) + text[match.end() :]
    return tidy(text)


def tidy(text: str) -> str:
    """One space between words, none before a mark, a capital at each sentence start."""
    text = _SPACE_BEFORE_MARK.sub(r"\1", _SPACES.sub(" ", text)).strip()
    return _SENTENCE_START.sub(lambda found: found[1] + found[2].upper(), text)


def ask(rng: random.Random, template: str, slots: Mapping[str, str] | None = None) -> str:
    """Expand a question and, now and then, dress it as people do: an opener, lower case, no final mark."""
    question = say(rng, template, slots)
    roll = rng.random()
    if roll < 0.06:
        return rng.choice(OPENERS) + question
    if roll < 0.09:
        return question.lower()
    if roll < 0.12:
        return question.rstrip("?.")
    return question


def join(parts: Sequence[str]) -> str:
    """Put sentences behind one another, leaving out empty ones."""
    return tidy(" ".join(part for part in parts if part))
