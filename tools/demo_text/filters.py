"""Keep the demo model's text apart from the questions that measure it and the answers that teach it."""

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

RUN_LENGTH = 8
NEAR = 0.8

_WORD = re.compile(r"[a-z0-9]+")


def words(text: str) -> tuple[str, ...]:
    """Lower-case words and numbers; marks and apostrophes are dropped."""
    return tuple(_WORD.findall(text.lower().replace("'", "")))


@dataclass(frozen=True)
class Held:
    """Questions and good answers that the builder's text must keep away from."""

    questions: tuple[str, ...]
    good_answers: tuple[str, ...]

    @cached_property
    def _question_words(self) -> dict[int, list[frozenset[str]]]:
        """By number of words: sets that overlap so far are about equally large."""
        found: dict[int, list[frozenset[str]]] = {}
        for question in self.questions:
            asked = frozenset(words(question))
            found.setdefault(len(asked), []).append(asked)
        return found

    @cached_property
    def _runs(self) -> frozenset[tuple[str, ...]]:
        return frozenset(run for answer in self.good_answers for run in runs(answer))

    def asks_the_same(self, question: str) -> bool:
        """True for the same words, and for sets of words that overlap by `NEAR` or more (Jaccard)."""
        mine = frozenset(words(question))
        return any(
            len(mine & held) >= NEAR * len(mine | held)
            for size in range(math.ceil(NEAR * len(mine)), math.floor(len(mine) / NEAR) + 1)
            for held in self._question_words.get(size, ())
        )

    def quotes(self, text: str) -> bool:
        """True if `RUN_LENGTH` consecutive words stand in a good answer as well."""
        return not self._runs.isdisjoint(runs(text))


def runs(text: str) -> Iterable[tuple[str, ...]]:
    """Every run of `RUN_LENGTH` consecutive words."""
    found = words(text)
    return (found[start : start + RUN_LENGTH] for start in range(len(found) - RUN_LENGTH + 1))


def load_held(stance: Path) -> Held:
    """Read a stance folder's corpus and every other JSON file in it, which are its question sets."""
    corpus = stance / "training_corpus.json"
    pairs = json.loads(corpus.read_text(encoding="utf-8"))["training_pairs"]
    questions = [pair["question"] for pair in pairs]
    for path in sorted(set(stance.glob("*.json")) - {corpus}):
        questions += [record["text"] for record in json.loads(path.read_text(encoding="utf-8"))["questions"]]
    return Held(tuple(questions), tuple(pair["good_response"] for pair in pairs))
