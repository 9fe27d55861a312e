"""What `stance check` reports: findings, and the questions they are about with the place of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from epistemic_stance.foundation.errors import Problem
from epistemic_stance.foundation.similarity import Match
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records.written import Question, QuestionSet

NEAR_QUESTION = 0.75
"""Jaccard of two questions: reached by one replaced word in seven, not by "What is the capital of Peru / Chile"."""
NO_PLACES: Mapping[str, Sequence[str]] = {}


@dataclass(frozen=True)
class Finding:
    """One fault. Training refuses errors; warnings are for the author to judge."""

    severity: Literal["error", "warning"]
    problem: Problem


@dataclass(frozen=True)
class Located:
    """A question of a set, and the place of it that messages give."""

    set_name: str
    question: Question
    where: str

    @property
    def name(self) -> str:
        return f"{self.question.id} ({self.where})"

    @property
    def in_full(self) -> str:
        """As a message names it that is about something else."""
        return f'question {self.question.id} of {self.set_name} ({self.where}): "{shorten(self.question.text)}"'


def error(where: str, field: str, what: str, hint: str) -> Finding:
    return Finding("error", Problem(where, what, field=field, hint=hint))


def warning(where: str, field: str, what: str, hint: str) -> Finding:
    return Finding("warning", Problem(where, what, field=field, hint=hint))


def located(question_sets: Mapping[str, QuestionSet], places: Mapping[str, Sequence[str]] = NO_PLACES) -> list[Located]:
    """All questions of all sets. `places` is `Stance.question_places`; without it a place is `set[number]`."""
    return [
        Located(name, question, places[name][number] if name in places else f"{name}[{number}]")
        for name, question_set in question_sets.items()
        for number, question in enumerate(question_set.questions)
    ]


def repeated_ids(ids_and_places: Sequence[tuple[str, str]], kind: str) -> Iterator[Finding]:
    first: dict[str, str] = {}
    for identifier, where in ids_and_places:
        if identifier in first:
            what = f"{shorten(identifier)} is already the id of {first[identifier]}"
            yield error(where, "id", what, f"give every {kind} its own id; records are kept by id")
        else:
            first[identifier] = where


def likeness(match: Match) -> str:
    return "the same words as" if match.exact else f"{match.similarity:.0%} of its words shared with"
