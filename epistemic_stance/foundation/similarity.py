"""How alike two texts are in words: fast enough to compare every text of a corpus with every other."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|(?:(?![\u3040-\u30ff\u3400-\u9fff])[^\W_])+(?:'[^\W_]+)*")
"""Letters and digits, with apostrophes inside; Chinese and Japanese, written without spaces, character by character."""
ASCII_WORD = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)*")


def question_key(text: str) -> str:
    """Equal for two texts of one question: the text is what counts, runs of white space and Unicode's forms do not."""
    return unicodedata.normalize("NFC", " ".join(text.split()))


def words(text: str) -> list[str]:
    """The words of `text` without case, punctuation or typographic variants."""
    if text.isascii():
        return ASCII_WORD.findall(text.lower())
    return WORD.findall(unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'"))


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
    """Words to insert, delete or replace to turn one into the other (Levenshtein).

    Bit-parallel after Myers, "A fast bit-vector algorithm for approximate string matching based on dynamic
    programming", J. ACM 46 (1999), in Hyyro's form: one column of the matrix per step, as differences of +1 and -1.
    """
    if not first:
        return len(second)
    positions: dict[str, int] = {}
    for index, word in enumerate(first):
        positions[word] = positions.get(word, 0) | 1 << index
    mask = (1 << len(first)) - 1
    last = 1 << (len(first) - 1)
    plus, minus, distance = mask, 0, len(first)
    for word in second:
        equal = positions.get(word, 0)
        diagonal = (((equal & plus) + plus) ^ plus) | equal | minus
        up, down = minus | ~(diagonal | plus), plus & diagonal
        distance += bool(up & last) - bool(down & last)
        up, down = up << 1 | 1, down << 1
        plus, minus = (down | ~(diagonal | up)) & mask, up & diagonal & mask
    return distance


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
    """Texts seen so far; finds the first one that shares at least `threshold` of its words with a new one.

    Two sets that alike must share one of their few rarest words (prefix filtering: Chaudhuri, Ganti, Kaushik,
    ICDE 2006; Bayardo, Ma, Srikant, WWW 2007), so only texts that do are compared.
    """

    def __init__(self, texts: Iterable[str], threshold: float) -> None:
        """`texts` says which words are rare; any texts give the right matches, representative ones give them fast."""
        self._frequency = Counter(word for text in texts for word in set(words(text)))
        self._threshold = threshold
        self._sets: list[frozenset[str]] = []
        self._exact: dict[str, int] = {}
        self._by_rare_word: dict[str, list[int]] = {}

    def add(self, text: str) -> None:
        index, spoken = len(self._sets), words(text)
        self._sets.append(frozenset(spoken))
        if self._exact.setdefault(_key(spoken, text), index) == index:
            for word in self._rarest(self._sets[index]):
                self._by_rare_word.setdefault(word, []).append(index)

    def find(self, text: str, related: Collection[int] = ()) -> Match | None:
        """The first text that is the same in words, or else alike; those numbered in `related` may be alike."""
        spoken = words(text)
        if (same := self._exact.get(_key(spoken, text))) is not None:
            return Match(same, 1.0, exact=True)
        own = frozenset(spoken)
        candidates = {index for word in self._rarest(own) for index in self._by_rare_word.get(word, ())}
        for index in sorted(candidates.difference(related)):
            shared = len(own & self._sets[index])
            similarity = shared / (len(own) + len(self._sets[index]) - shared)
            if similarity >= self._threshold:
                return Match(index, similarity, exact=False)
        return None

    def _rarest(self, own: frozenset[str]) -> list[str]:
        must_share = math.ceil(self._threshold * len(own) - 1e-9)
        return sorted(own, key=lambda word: (self._frequency[word], word))[: len(own) - must_share + 1]


def _key(spoken: list[str], text: str) -> str:
    """Equal for two texts of the same words in the same order; a text without any word stays as it is."""
    return " ".join(spoken) or text


def matches(texts: Sequence[str], threshold: float) -> list[tuple[int, Match]]:
    """Every text that is like an earlier one: its number, and its match among the earlier ones."""
    known = SimilarTexts(texts, threshold)
    found = []
    for number, text in enumerate(texts):
        if match := known.find(text):
            found.append((number, match))
        known.add(text)
    return found
