"""How alike two texts are in words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|(?:(?![\u3040-\u30ff\u3400-\u9fff])[^\W_])+(?:'[^\W_]+)*")
"""Letters and digits, with apostrophes inside; Chinese and Japanese, written without spaces, character by character."""
ASCII_WORD = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)*")


def question_key(text: str) -> str:
    """Equal for two texts of one question: the text is what counts, runs of white space and Unicode's forms do not."""
    return unicodedata.normalize("NFC", " ".join(text.split()))


def words(text: str) -> list[str]:
    """The words of `text` without case, punctuation or typographic variants."""
    return ASCII_WORD.findall(text.lower()) if text.isascii() else WORD.findall(folded(text))


def folded(text: str) -> str:
    """Without case and typographic variants."""
    return unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")


def runs_of(tokens: Sequence[str], length: int) -> list[tuple[str, ...]]:
    """All runs of `length` words in a row."""
    return list(zip(*(tokens[start:] for start in range(length)), strict=False))


def repetition(text: str) -> float:
    """Share of the text's word 4-grams that already occurred in it."""
    return repeated_share(words(text))


def repeated_share(tokens: Sequence[str]) -> float:
    """`repetition` of a text already cut into words."""
    grams = runs_of(tokens, 4)
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def edit_distance(first: Sequence[str], second: Sequence[str]) -> int:
    """Words to insert, delete or replace to turn one into the other (Levenshtein)."""
    return Levenshtein.distance(first, second)


@dataclass(frozen=True)
class Match:
    """An earlier text that is the same, or nearly the same, in words."""

    index: int
    """Number of the earlier text, in the order of `add`."""
    similarity: float
    """Jaccard: words in both over words in either, each word counted once."""
    exact: bool
    """The same words in the same order."""


class SimilarTexts:
    """Texts known so far; finds the first that shares at least `threshold` of its words with another text.

    Every text is compared with every known one: 1,200 questions take a quarter of a second.
    """

    def __init__(self, threshold: float, texts: Iterable[str] = ()) -> None:
        self._threshold = threshold
        self._sets: list[frozenset[str]] = []
        self._exact: dict[str, int] = {}
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        tokens = words(text)
        self._exact.setdefault(_key(tokens, text), len(self._sets))
        self._sets.append(frozenset(tokens))

    def find(self, text: str, related: Collection[int] = ()) -> Match | None:
        """The first text that is the same in words, or else alike; those numbered in `related` may be alike."""
        tokens = words(text)
        if (same := self._exact.get(_key(tokens, text))) is not None:
            return Match(same, 1.0, exact=True)
        own = frozenset(tokens)
        for index, other in enumerate(self._sets):
            shared = len(own & other)
            if shared and index not in related:
                similarity = shared / (len(own) + len(other) - shared)
                if similarity >= self._threshold:
                    return Match(index, similarity, exact=False)
        return None


def _key(tokens: list[str], text: str) -> str:
    """Equal for two texts of the same words in the same order; a text without any word stays as it is."""
    return " ".join(tokens) or text


def matches(texts: Sequence[str], threshold: float) -> list[tuple[int, Match]]:
    """Every text that is like an earlier one: its number, and its match among the earlier ones."""
    known = SimilarTexts(threshold)
    result = []
    for number, text in enumerate(texts):
        if match := known.find(text):
            result.append((number, match))
        known.add(text)
    return result
