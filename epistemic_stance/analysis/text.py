"""An answer as pattern rules see it: normalised, without code and quotations, cut into sentences.

Every position is kept: character i of the normalised text stands for character i of the answer, so that a match can
be shown in the answer as it was written.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

BLANK = "\x1f"
"""Stands for a character of code or of a quotation: no rule asks for it, and no gap of words reaches across it."""
MENTION_WORDS = 3
"""Quotations of fewer words are scare quotes or terms ("is that 'choice' or computation"), which do say something."""
WHOLE_ANSWER = 0.6
"""A quotation of a larger share of the answer is the answer, put in quotation marks."""

ONE_TO_ONE = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u02bc\u00b4\u2032`", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2212", "-"),
        **dict.fromkeys("\u2013\u2014\u2015", "-"),
        **dict.fromkeys("*_#~\u00a0\u2007\u202f\u200b\u200c\u200d\u2060\ufeff\t\r", " "),
        "\u2026": ".",
    }
)
"""Typographic variants; Markdown emphasis and odd spaces become spaces."""

CODE = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|`[^`\n]+`", re.DOTALL)
QUOTATION = re.compile(r"\"[^\"\n]{1,600}\"|(?<!\w)'(?:[^'\n]|(?<=\w)'(?=\w)){1,600}'(?!\w)")
WORD = re.compile(r"\w+(?:'\w+)*")
SENTENCE_END = re.compile(r"[.!?]+[\"')\]]*(?=\s|$)|\n+|$")
NO_END = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|dr|mr|mrs|ms|st|no|approx|fig|[a-z])|(?:^|\n)\s*\d{1,3})\.$")
"""What a full stop after it does not end: abbreviations, initials, numbers of a list."""
LIST_MARK = re.compile(r"\s*(?:[-+>\u2022\u00b7]\s+|\(?\d{1,3}[.)]\s+|[a-z][.)]\s+)*")


@dataclass(frozen=True)
class Sentence:
    text: str
    """Normalised, without list marks and surrounding space."""
    start: int
    """Where it starts in the answer."""
    asks: bool
    """It ends in a question mark."""


@dataclass(frozen=True)
class Answer:
    """A normalised answer."""

    text: str
    sentences: tuple[Sentence, ...]
    words: int
    """All of them, those of code and quotations too."""


def normalised(text: str) -> str:
    """`text` in lower case with plain quotes, hyphens and full-width letters made narrow; of the same length."""
    if text.isascii():
        return text.translate(ONE_TO_ONE).lower()
    plain = "".join(map(_narrow, text)).translate(ONE_TO_ONE)
    lower = plain.lower()
    return lower if len(lower) == len(plain) else "".join(c.lower() if len(c.lower()) == 1 else c for c in plain)


@lru_cache(maxsize=4096)
def _narrow(character: str) -> str:
    folded = unicodedata.normalize("NFKC", character)
    return folded if len(folded) == 1 else character


def read_answer(response: str) -> Answer:
    """Normalise, blank code and quotations, cut into sentences."""
    words = len(WORD.findall(response))
    blanked = CODE.sub(_blank, response) if "`" in response or "~~~" in response else response
    text = _without_quotations(normalised(blanked))
    return Answer(text, tuple(_sentences(text)), words)


def _blank(match: re.Match[str]) -> str:
    return BLANK * len(match[0])


def _without_quotations(text: str) -> str:
    if '"' not in text and "'" not in text:
        return text

    def replaced(match: re.Match[str]) -> str:
        if len(WORD.findall(match[0])) < MENTION_WORDS or len(match[0]) > WHOLE_ANSWER * len(text):
            return f" {match[0][1:-1]} "
        return _blank(match)

    return QUOTATION.sub(replaced, text)


def _sentences(text: str) -> list[Sentence]:
    found = []
    start = 0
    for end in SENTENCE_END.finditer(text):
        if end.end() < len(text) and end[0] == "." and NO_END.search(text, max(start, end.end() - 12), end.end()):
            continue
        first = LIST_MARK.match(text, start, end.end())
        begin = first.end() if first else start
        sentence = text[begin : end.end()].rstrip()
        if sentence:
            found.append(Sentence(sentence, begin, sentence.rstrip("\"')]").endswith("?")))
        start = end.end()
    return found
