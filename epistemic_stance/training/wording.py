"""How close the wording of an answer is to the rejected and to the chosen answers of a corpus.

No pattern list is needed: the corpus itself says where the stance points.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean

from epistemic_stance.foundation.similarity import words
from epistemic_stance.stance.pairs import Pair

FOLDS = 5


def grams_of(text: str) -> Counter[tuple[str, ...]]:
    """Word 1- and 2-grams."""
    tokens = words(text)
    return Counter([(token,) for token in tokens]) + Counter(pairwise(tokens))


def distance(first: str, second: str) -> float:
    """1 - cosine similarity of word 1- and 2-gram counts."""
    a, b = grams_of(first), grams_of(second)
    norm = math.sqrt(sum(n * n for n in a.values()) * sum(n * n for n in b.values()))
    return 1 - sum(n * b[gram] for gram, n in a.items()) / norm if norm else float(a != b)


class WordingScale:
    """A scale of wording from rejected to chosen answers.

    The score of a text is the mean log-odds of its word 1- and 2-grams (naive Bayes, add one half), scaled so that 1 is
    the distance between held-out chosen and rejected answers. A change of 0.5 is half the way from rejected to chosen.
    """

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._odds = _log_odds(pairs)
        chosen, rejected = [], []
        for fold in range(min(FOLDS, len(pairs))):
            kept = [pair for index, pair in enumerate(pairs) if index % FOLDS != fold]
            odds = _log_odds(kept)
            held_out = [pair for index, pair in enumerate(pairs) if index % FOLDS == fold]
            chosen += [_mean_odds(odds, pair.chosen) for pair in held_out]
            rejected += [_mean_odds(odds, pair.rejected) for pair in held_out]
        self.gap = fmean(chosen) - fmean(rejected)
        """Unscaled distance of held-out chosen from rejected answers; not above 0 = words cannot tell them apart."""

        self.midpoint = (fmean(chosen) + fmean(rejected)) / 2 / self.gap if self.gap else 0.0
        """Score halfway between held-out rejected and chosen answers."""

    def score(self, text: str) -> float:
        return _mean_odds(self._odds, text) / self.gap

    def chosen_score(self, text: str) -> float:
        """The chosen wording alone, on the same scale: words of the rejected answers count as 0."""
        return _mean_odds({gram: max(odds, 0.0) for gram, odds in self._odds.items()}, text) / self.gap


def _log_odds(pairs: Sequence[Pair]) -> dict[tuple[str, ...], float]:
    chosen: Counter[tuple[str, ...]] = Counter()
    rejected: Counter[tuple[str, ...]] = Counter()
    for pair in pairs:
        chosen.update(grams_of(pair.chosen))
        rejected.update(grams_of(pair.rejected))
    total_chosen, total_rejected = chosen.total(), rejected.total()
    return {
        gram: math.log((chosen[gram] + 0.5) / (total_chosen + 1))
        - math.log((rejected[gram] + 0.5) / (total_rejected + 1))
        for gram in chosen | rejected
    }


def _mean_odds(odds: dict[tuple[str, ...], float], text: str) -> float:
    grams = grams_of(text)
    return sum(n * odds.get(gram, 0.0) for gram, n in grams.items()) / max(grams.total(), 1)
