"""What a text copies from known texts, in runs of words.

Words are those of `similarity.words`: no case, no punctuation, Chinese and Japanese by character; no model's tokens.
A known text of fewer than COPIED_RUN words cannot be told from chance and is never found copied.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise

from epistemic_stance.foundation.similarity import ASCII_WORD, WORD, folded, runs_of, words

COPIED_RUN = 5
"""Words in a row that count as copied: shorter runs are shared by chance between people as well."""
VERBATIM_RUN = 12
VERBATIM_SHARE = 0.4
QUOTED_RUN = 3
"""Words in a row of the question that count as quoted from it."""

Span = tuple[int, int]
"""First character and the one after the last, of the text as it was written."""


@dataclass(frozen=True, slots=True)
class Copying:
    """What one answer has in common with the known texts. Words quoted from the question are not counted."""

    run_words: int
    """Words of the longest run of at least COPIED_RUN words that stands in one known text; 0 = there is none."""
    copied_share: float
    """Share of its words in such runs."""
    copied_spans: tuple[Span, ...]
    """Where those runs stand, to be highlighted."""
    source_id: str | None
    """Known text that holds the longest run, the first of several; None = there is none."""
    verbatim: bool
    """A run of VERBATIM_RUN words, or VERBATIM_SHARE of the words copied."""


@dataclass(frozen=True)
class _Run:
    """Words `first` to `end` (not included) stand in a known text, the number `source`."""

    first: int
    end: int
    source: int


class CopyDetector:
    """Finds what answers copy from known texts, such as the chosen answers of a corpus."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        """`texts`: id -> text."""
        self._ids = list(texts)
        self._places: defaultdict[tuple[str, ...], list[tuple[int, int]]] = defaultdict(list)
        """Run of COPIED_RUN words -> (number of a text, number of the run's first word in it), of all its places."""
        for number, text in enumerate(texts.values()):
            for place, gram in enumerate(runs_of(words(text), COPIED_RUN)):
                self._places[gram].append((number, place))

    def copying(self, answer: str, question: str) -> Copying:
        """What `answer` copies; `question` is what it answers."""
        placed = placed_words(answer)
        tokens = [word for word, _, _ in placed]
        own = [not quoted for quoted in _quoted(tokens, question)]
        own_before = list(accumulate(own, initial=0))

        def own_words(run: _Run) -> int:
            return own_before[run.end] - own_before[run.first]

        runs = [run for run in self._runs(tokens) if own_words(run) >= COPIED_RUN]
        copied = _inside([(run.first, run.end) for run in runs], own)
        copied_share = sum(copied) / max(own_before[-1], 1)
        longest = max(runs, key=own_words, default=None)
        run_words = own_words(longest) if longest else 0
        return Copying(
            run_words=run_words,
            copied_share=copied_share,
            copied_spans=tuple((placed[first][1], placed[last][2]) for first, last in _stretches(copied)),
            source_id=self._ids[longest.source] if longest else None,
            verbatim=run_words >= VERBATIM_RUN or copied_share >= VERBATIM_SHARE,
        )

    def _runs(self, tokens: Sequence[str]) -> Iterator[_Run]:
        """For each run of COPIED_RUN words that is known, the longest known run that ends with it."""
        firsts: dict[tuple[int, int], int] = {}
        """Place of the previous COPIED_RUN words -> first word of the run that leads to it."""
        for number, gram in enumerate(runs_of(tokens, COPIED_RUN)):
            firsts = {
                (source, place): firsts.get((source, place - 1), number) for source, place in self._places.get(gram, ())
            }
            if firsts:
                first, source = min((first, source) for (source, _), first in firsts.items())
                yield _Run(first, number + COPIED_RUN, source)


def _quoted(tokens: Sequence[str], question: str) -> list[bool]:
    """Which words stand in a run of QUOTED_RUN words of the question."""
    known = set(runs_of(words(question), QUOTED_RUN))
    grams = enumerate(runs_of(tokens, QUOTED_RUN))
    return _inside([(first, first + QUOTED_RUN) for first, gram in grams if gram in known], [True] * len(tokens))


def _inside(runs: Sequence[Span], countable: Sequence[bool]) -> list[bool]:
    """Which countable words stand in one of the runs; a later run ends later."""
    inside, done = [False] * len(countable), 0
    for first, end in runs:
        start = max(first, done)
        inside[start:end] = countable[start:end]
        done = end
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
        piece = folded(text[start:end])
        normal.append(piece)
        places += [(start, end)] * len(piece)
    return [
        (match.group(), places[match.start()][0], places[match.end() - 1][1])
        for match in WORD.finditer("".join(normal))
    ]


def _pieces(text: str) -> Iterator[Span]:
    """Parts that Unicode's normal form leaves independent: a character with its marks. Where that is not enough, as for
    Korean letters written one by one, all of them up to the next ASCII character, which never joins what precedes it.
    """
    starts = [0, *(place for place in range(1, len(text)) if text[place].isascii()), len(text)]
    for start, end in pairwise(starts):
        bases = [place for place in range(start + 1, end) if not unicodedata.combining(text[place])]
        parts = list(pairwise([start, *bases, end]))
        if "".join(folded(text[first:last]) for first, last in parts) != folded(text[start:end]):
            parts = [parts[0], (parts[0][1], end)] if text[start].isascii() else [(start, end)]
        yield from parts
