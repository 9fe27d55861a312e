"""An answer as pattern rules see it: normalised, without code and quotations, cut into sentences.

Two steps lead from the answer to a sentence. The first keeps every position: character i of the normalised text
stands for character i of the answer. The second only leaves characters out (a second space, the space that a bold
mark left before a comma, marks that have no width), so that `Sentence.place` finds the way back.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

BLANK = "\x01"
"""Stands for a character of code or of a quotation: no rule asks for it, and no gap of words reaches across it."""
NOTHING = "\x02"
"""Stands for a mark without width; left out of sentences."""
MENTION_WORDS = 3
"""Quotations of fewer words are scare quotes or terms ("is that 'choice' or computation"), which do say something."""
WHOLE_ANSWER = 0.6
"""A quotation of a larger share of the answer is the answer, put in quotation marks."""

ONE_TO_ONE = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u02bc\u00b4\u2032`", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        **dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufeff", NOTHING),
        **dict.fromkeys("*_#~\u00a0\u2007\u202f\t\r\x0b\x0c", " "),
        **dict.fromkeys("\u0085\u2028\u2029", "\n"),
        "\u2026": ".",
    }
)
"""Typographic variants; Markdown emphasis and odd spaces become spaces."""

NOT_ASCII = re.compile(r"[^\x00-\x7f]")
UNSPACED_DASH = re.compile(r"(?<=\w)(?:[\u2014\u2015]|--)(?=\w)")
WRAPPED = re.compile(r"\n(?<=[\w,;]\n)(?=[a-z])")
"""The end of a line inside a sentence."""
FENCED = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)", re.DOTALL)
INLINE_CODE = re.compile(r"`[^`\n]+`")
QUOTED_LINES = re.compile(r"^[ ]{0,3}>.*$", re.MULTILINE)
QUOTATIONS = {
    '"': re.compile(r"\"(?:[^\"\n]{1,600}\"|(?<=[\s:(]\")(?=\w)[^\"\n]*\Z)"),
    "'": re.compile(r"'(?<!\w')(?:[^'\n]|(?<=\w)'(?=\w)){1,600}'(?!\w)"),
}
"""By their mark. One in double quotation marks may be cut off by the end of the answer."""
LINE = re.compile(r"[^\n|]+")
"""A line, or a cell of a table."""
STOP = re.compile(r"(?<![.!?])[.!?]++[\"')\]]*+(?=\s|$)")
"""Tried at the first of its marks only and never shortened, so that 100,000 dots take no quadratic time."""
ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|vs|cf|dr|mr|mrs|ms|st|approx|(?<!')[a-hj-z])\.$")
"""A full stop after one of these or after an initial does not end a sentence."""
LIST_MARK = re.compile(r"\s*(?:(?:[-+>\u2022\u00b7]|\(?\d{1,3}[.)]|\(?[a-z][.)])[ ]+)*")
CROWDED = re.compile(rf"[ {NOTHING}](?:(?<={NOTHING})|(?=[\s,.;:!?)]))")


class Sentence(NamedTuple):
    text: str
    """Normalised, without list marks, with single spaces and none before punctuation."""
    start: int
    """Where it starts in the answer."""
    width: str
    """The text before characters were left out: as long as what it stands for."""
    asks: bool
    """It ends in a question mark."""

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Where characters `start` to `end` of the text (at least one) stand in the answer."""
        if len(self.width) == len(self.text):
            return self.start + start, self.start + end
        at = -1
        first = 0
        for number, character in enumerate(self.text[:end]):
            at = self.width.index(character, at + 1)
            if number == start:
                first = at
        return self.start + first, self.start + at + 1


class Answer(NamedTuple):
    """A normalised answer."""

    text: str
    """As long as the answer."""
    sentences: tuple[Sentence, ...]
    words: int
    """All of them, those of code and quotations too."""


def normalised(text: str) -> str:
    """`text` in lower case with plain quotes, hyphens and full-width letters made narrow; of the same length."""
    if text.isascii():
        return text.translate(ONE_TO_ONE).lower()
    plain = NOT_ASCII.sub(lambda match: _narrow(match[0]), text).translate(ONE_TO_ONE)
    lower = plain.lower()
    return lower if len(lower) == len(plain) else "".join(c.lower() if len(c.lower()) == 1 else c for c in plain)


@lru_cache(maxsize=4096)
def _narrow(character: str) -> str:
    if "\ud800" <= character <= "\udfff":  # half of a pair: no expression can be run on it
        return "\ufffd"
    folded = unicodedata.normalize("NFKC", character)
    return folded if len(folded) == 1 else character


def compact(text: str) -> str:
    """`text` without the characters that sentences leave out."""
    return CROWDED.sub("", text)


def read_answer(response: str) -> Answer:
    """Normalise, blank code and quotations, cut into sentences."""
    shown = response
    if "`" in response or "~~~" in response:
        shown = INLINE_CODE.sub(_unless_short, FENCED.sub(_blank, response))
    if ">" in shown:
        shown = _without_quoted_lines(shown)
    if "\u2014" in shown or "--" in shown:
        shown = UNSPACED_DASH.sub(lambda match: ",".ljust(len(match[0])), shown)
    if "\n" in shown:
        shown = WRAPPED.sub(" ", shown)
    text = _without_quotations(normalised(shown))
    return Answer(text, tuple(_sentences(text)), len(response.split()))


def _blank(match: re.Match[str]) -> str:
    return BLANK * len(match[0])


def _unless_short(match: re.Match[str]) -> str:
    """Blanked, or without its marks if it is a term rather than a quotation."""
    inner = match[0][1:-1]
    return f" {inner} " if len(inner.split()) < MENTION_WORDS and inner else _blank(match)


def _without_quoted_lines(text: str) -> str:
    quoted = sum(len(match[0]) for match in QUOTED_LINES.finditer(text))
    return text if quoted > WHOLE_ANSWER * len(text) else QUOTED_LINES.sub(_blank, text)


def _without_quotations(text: str) -> str:
    def replaced(match: re.Match[str]) -> str:
        closed = len(match[0]) > 1 and match[0][-1] == match[0][0]
        if closed and len(match[0]) > WHOLE_ANSWER * len(text):
            return f" {match[0][1:-1]} "
        shown = _unless_short(match) if closed else _blank(match)
        ends_sentence = closed and match[0][-2] in ".!?"
        return f"{shown[:-2]}{match[0][-2]} " if ends_sentence else shown

    for mark, quotation in QUOTATIONS.items():
        if mark in text:
            text = quotation.sub(replaced, text)
    return text


def _sentences(text: str) -> Iterator[Sentence]:
    crowded = CROWDED.search(text) is not None
    for start, end in _spans(text):
        width = text[start:end].rstrip()
        sentence = compact(width).strip(" ") if crowded else width
        if sentence:
            yield Sentence(sentence, start, width, sentence.rstrip("\"')] ").endswith("?"))


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where each sentence starts and ends; marks of lists and the space before a sentence belong to none."""
    for line in LINE.finditer(text):
        mark = LIST_MARK.match(text, line.start(), line.end())
        at = mark.end() if mark else line.start()
        for stop in STOP.finditer(text, at, line.end()):
            if stop[0] == "." and ABBREVIATION.search(text, max(at, stop.end() - 8), stop.end()):
                continue
            yield at, stop.end()
            at = stop.end()
            while at < line.end() and text[at] == " ":
                at += 1
        yield at, line.end()
