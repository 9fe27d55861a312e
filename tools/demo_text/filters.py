"""Keep the demo model's text apart from the questions that measure it and the answers that teach it."""

import hashlib
import json
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
    digests: dict[str, str]

    @cached_property
    def _question_words(self) -> tuple[frozenset[str], ...]:
        return tuple(frozenset(words(question)) for question in self.questions)

    @cached_property
    def _runs(self) -> frozenset[tuple[str, ...]]:
        return frozenset(run for answer in self.good_answers for run in runs(answer))

    def asks_the_same(self, question: str) -> bool:
        """True for the same words, and for sets of words that overlap by `NEAR` or more (Jaccard)."""
        mine = frozenset(words(question))
        return any(len(mine & held) >= NEAR * len(mine | held) for held in self._question_words)

    def quotes(self, text: str) -> bool:
        """True if `RUN_LENGTH` consecutive words stand in a good answer as well."""
        return not self._runs.isdisjoint(runs(text))


def runs(text: str) -> Iterable[tuple[str, ...]]:
    """Every run of `RUN_LENGTH` consecutive words."""
    found = words(text)
    return (found[start : start + RUN_LENGTH] for start in range(len(found) - RUN_LENGTH + 1))


def load_held(stance: Path) -> Held:
    """Read a stance folder's corpus and its question sets (`*_questions.json`)."""
    corpus = stance / "training_corpus.json"
    files = [corpus, *sorted(stance.glob("*_questions.json"))]
    pairs = json.loads(corpus.read_text(encoding="utf-8"))["training_pairs"]
    questions = [pair["question"] for pair in pairs]
    for path in files[1:]:
        questions += [record["text"] for record in json.loads(path.read_text(encoding="utf-8"))["questions"]]
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return Held(tuple(questions), tuple(pair["good_response"] for pair in pairs), digests)
