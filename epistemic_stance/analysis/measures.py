"""What is counted about answers: patterns, their groups, grades, and what is wrong with an answer's form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from epistemic_stance.records.analysis import MeasureKind, ScoreRecord
from epistemic_stance.records.written import Pattern

PRAGMATIC, PERFORMATIVE = "pragmatic", "performative"
PRAGMATIC_ONLY = "pragmatic_only"
RIGHT_OF_PARSED = "right_of_parsed"


@dataclass(frozen=True)
class Measure:
    """Something an answer does (True) or does not (False); None: it cannot be told, and does not count.

    An empty answer shows no pattern and is counted as one that does not: leaving it out would flatter a model that
    falls silent. How many are empty, cut off or go round in circles stands beside the rates.
    """

    name: str
    kind: MeasureKind
    group: str | None
    """That of a pattern."""
    shown: Callable[[ScoreRecord], bool | None]


def measures_of(patterns: Mapping[str, Pattern]) -> list[Measure]:
    """Groups of more than one pattern, then patterns, grades and form.

    `pragmatic_only`: pragmatic and in nothing performative. The grades are shares of the answers to questions with a
    key; `right_of_parsed` leaves out those in which no answer can be told.
    """
    groups: dict[str, list[str]] = {}
    for name, pattern in patterns.items():
        groups.setdefault(pattern.group, []).append(name)
    found = [Measure(group, "group", None, _any_of(names)) for group, names in groups.items() if len(names) > 1]
    if PRAGMATIC in groups and PERFORMATIVE in groups:
        alone = _one_without_other(groups[PRAGMATIC], groups[PERFORMATIVE])
        found.append(Measure(PRAGMATIC_ONLY, "group", None, alone))
    found += [Measure(name, "pattern", pattern.group, _shows(pattern)) for name, pattern in patterns.items()]
    return [
        *found,
        Measure("right", "grade", None, lambda score: None if score.grade is None else score.grade == "right"),
        Measure("wrong", "grade", None, lambda score: None if score.grade is None else score.grade == "wrong"),
        Measure("unparsed", "grade", None, lambda score: None if score.grade is None else score.grade == "unparsed"),
        Measure(RIGHT_OF_PARSED, "grade", None, _right_of_parsed),
        Measure("truncated", "form", None, lambda score: score.truncated),
        Measure("empty", "form", None, lambda score: score.empty),
        Measure("repetitive", "form", None, lambda score: score.repetitive),
    ]


def _any_of(names: Sequence[str]) -> Callable[[ScoreRecord], bool | None]:
    wanted = frozenset(names)
    return lambda score: not wanted.isdisjoint(score.patterns)


def _one_without_other(names: Sequence[str], others: Sequence[str]) -> Callable[[ScoreRecord], bool | None]:
    one, other = frozenset(names), frozenset(others)
    return lambda score: not one.isdisjoint(score.patterns) and other.isdisjoint(score.patterns)


def _shows(pattern: Pattern) -> Callable[[ScoreRecord], bool | None]:
    """Of an answer whose question cannot call for the pattern it is not said that it lacks it."""
    categories = frozenset(pattern.categories)
    return lambda score: pattern.name in score.patterns if not categories or score.category in categories else None


def _right_of_parsed(score: ScoreRecord) -> bool | None:
    return None if score.grade in (None, "unparsed") else score.grade == "right"
