"""What one answer copies from the chosen answers of a corpus, and what counts as parroting.

Words are those of `similarity.words`: no case, no punctuation, Chinese and Japanese by character; no model's tokens.
A chosen answer of fewer than COPIED_RUN words cannot be told from chance and is never found copied.

Common phrases are no memory: an answer is parroted only if it lies beyond what the base model reaches by chance.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise

import numpy as np

from epistemic_stance.foundation.similarity import ASCII_WORD, WORD, words
from epistemic_stance.records.analysis import ScoreRecord
from epistemic_stance.records.parroting import NullRecord
from epistemic_stance.stance.pairs import Pair

COPIED_RUN = 5
"""Words in a row that count as copied, and the n of containment."""
VERBATIM_RUN = 12
VERBATIM_SHARE = 0.4
QUOTED_RUN = 3
"""Words in a row of the question: an answer that takes up its question copies nobody."""
NULL_LEVEL = 0.99

Span = tuple[int, int]
"""First character and the one after the last, of the answer as it was written."""


@dataclass(frozen=True, slots=True)
class Copying:
    """What one answer has in common with the chosen answers. Words quoted from the question count nowhere."""

    run_words: int
    """Words of the longest run that also stands in a chosen answer."""
    run_span: Span | None
    """None: no word in common."""
    containment: float
    """Share of its 5-grams that stand in a chosen answer; 0 if it has none."""
    copied_share: float
    """Share of its words in copied runs of at least COPIED_RUN words."""
    copied_spans: tuple[Span, ...]
    """Where those runs stand, to be highlighted."""
    pair_id: str | None
    """Pair that holds the longest run, the first of several; None: it is shorter than COPIED_RUN."""
    verbatim: bool
    """A run of VERBATIM_RUN words, or VERBATIM_SHARE of the words copied."""


@dataclass(frozen=True, slots=True)
class CheckedAnswer:
    """An answer with what it does and what it copies."""

    text: str
    score: ScoreRecord
    copying: Copying


class Parrots:
    """Finds what answers copy from the chosen answers of a corpus, in time linear in their length."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._ids = [pair.id for pair in pairs]
        self._chosen = _Runs([words(pair.chosen) for pair in pairs])
        self._questions: dict[str, _Runs] = {}

    def of(self, response: str, question: str) -> Copying:
        """What `response` copies; `question` is what it was asked."""
        placed = placed_words(response)
        tokens = [word for word, _, _ in placed]
        if question not in self._questions:
            self._questions[question] = _Runs([words(question)])
        asked = [length for length, _ in self._questions[question].ending(tokens)]
        quoted = _in_runs(asked, [length >= QUOTED_RUN for length in asked])
        found = self._chosen.ending(tokens)
        own = list(accumulate((not word for word in quoted), initial=0))
        counted = [own[end + 1] - own[end + 1 - length] for end, (length, _) in enumerate(found)]
        runs = _in_runs([length for length, _ in found], [words_of_run >= COPIED_RUN for words_of_run in counted])
        copied = [run and not word for run, word in zip(runs, quoted, strict=True)]
        copied_share = sum(copied) / max(own[-1], 1)
        grams = [end for end in range(COPIED_RUN - 1, len(tokens)) if asked[end] < COPIED_RUN]
        last = max(range(len(tokens)), key=counted.__getitem__, default=0)
        run_words = counted[last] if counted else 0
        run = [place for place in range(last + 1 - found[last][0], last + 1) if not quoted[place]] if run_words else []
        return Copying(
            run_words=run_words,
            run_span=(placed[run[0]][1], placed[run[-1]][2]) if run else None,
            containment=sum(found[end][0] >= COPIED_RUN for end in grams) / max(len(grams), 1),
            copied_share=copied_share,
            copied_spans=tuple((placed[first][1], placed[final][2]) for first, final in _stretches(copied)),
            pair_id=self._ids[found[last][1]] if run_words >= COPIED_RUN else None,
            verbatim=run_words >= VERBATIM_RUN or copied_share >= VERBATIM_SHARE,
        )


class _Runs:
    """The longest run of words, ending at each word of a text, that stands in one of the known texts.

    A suffix automaton (Blumer et al., "The smallest automaton recognizing the subwords of a text", Theoretical Computer
    Science 40, 1985) of the texts one after the other, a separator that is no word between them: at most two states a
    word, some 300 bytes each.
    """

    def __init__(self, texts: Sequence[list[str]]) -> None:
        self._next: list[dict[str, int]] = [{}]
        self._link, self._length, self._text = [-1], [0], [-1]
        last = 0
        for number, tokens in enumerate(texts):
            for word in [*tokens, f" {number}"]:
                last = self._extend(last, word, number)

    def _state(self, following: dict[str, int], link: int, length: int, text: int) -> int:
        self._next.append(following)
        self._link.append(link)
        self._length.append(length)
        self._text.append(text)
        return len(self._next) - 1

    def _extend(self, last: int, word: str, number: int) -> int:
        new, state = self._state({}, 0, self._length[last] + 1, number), last
        while state != -1 and word not in self._next[state]:
            self._next[state][word] = new
            state = self._link[state]
        if state == -1:
            return new
        target = self._next[state][word]
        if self._length[target] > self._length[state] + 1:
            length = self._length[state] + 1
            clone = self._state(dict(self._next[target]), self._link[target], length, self._text[target])
            while state != -1 and self._next[state].get(word) == target:
                self._next[state][word] = clone
                state = self._link[state]
            self._link[target] = target = clone
        self._link[new] = target
        return new

    def ending(self, tokens: Sequence[str]) -> list[tuple[int, int]]:
        """(words of the run, number of the first text that holds it) for every word; (0, -1): no text has the word."""
        found, state, length = [], 0, 0
        for word in tokens:
            while state and word not in self._next[state]:
                state = self._link[state]
                length = self._length[state]
            if word in self._next[state]:
                state, length = self._next[state][word], length + 1
            found.append((length, self._text[state]))
        return found


def _in_runs(lengths: Sequence[int], wanted: Sequence[bool]) -> list[bool]:
    """Which words stand in a wanted run; run e ends at word e, and a later one never starts earlier."""
    inside, done = [False] * len(lengths), 0
    for end, (length, take) in enumerate(zip(lengths, wanted, strict=True)):
        if take:
            start = max(end + 1 - length, done)
            inside[start : end + 1] = [True] * (end + 1 - start)
            done = end + 1
    return inside


def _stretches(marked: Sequence[bool]) -> Iterator[Span]:
    """First and last place of every unbroken stretch that is marked."""
    for mark, group in groupby(range(len(marked)), key=marked.__getitem__):
        if mark:
            places = list(group)
            yield places[0], places[-1]


def placed_words(text: str) -> list[tuple[str, int, int]]:
    """What `similarity.words` finds, each with the characters of `text` that it stands in."""
    if text.isascii():
        return [(match.group(), *match.span()) for match in ASCII_WORD.finditer(text.lower())]
    normal: list[str] = []
    places: list[Span] = []
    for start, end in _pieces(text):
        piece = _normalised(text[start:end])
        normal.append(piece)
        places += [(start, end)] * len(piece)
    return [
        (match.group(), places[match.start()][0], places[match.end() - 1][1])
        for match in WORD.finditer("".join(normal))
    ]


def _normalised(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")


def _pieces(text: str) -> Iterator[Span]:
    """Parts that Unicode's normal form leaves independent: a character with its marks. Where that is not enough, as for
    Korean letters written one by one, all of them up to the next ASCII character, which never joins what precedes it.
    """
    starts = [0, *(place for place in range(1, len(text)) if text[place].isascii()), len(text)]
    for start, end in pairwise(starts):
        bases = [place for place in range(start + 1, end) if not unicodedata.combining(text[place])]
        parts = list(pairwise([start, *bases, end]))
        if "".join(_normalised(text[first:last]) for first, last in parts) != _normalised(text[start:end]):
            parts = [parts[0], (parts[0][1], end)] if text[start].isascii() else [(start, end)]
        yield from parts


# --- the base model's answers as the null ------------------------------------------------------------------


def null_of(base: Sequence[Copying]) -> NullRecord:
    """What the base model reaches by chance; of fewer than a hundred answers the highest of each measure."""

    def highest(values: Iterable[float]) -> float:
        return float(np.quantile(list(values), NULL_LEVEL, method="higher"))

    return NullRecord(
        answers=len(base),
        run_words=int(highest(one.run_words for one in base)),
        containment=highest(one.containment for one in base),
        copied_share=highest(one.copied_share for one in base),
    )


def is_parroted(copying: Copying, null: NullRecord) -> bool:
    """Verbatim, by a measure that lies beyond what the base model reaches by chance."""
    long = copying.run_words >= VERBATIM_RUN and copying.run_words > null.run_words
    return long or (copying.copied_share >= VERBATIM_SHARE and copying.copied_share > null.copied_share)
