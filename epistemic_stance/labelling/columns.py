"""What a label file asks of an answer: columns, each for a group of patterns, one pattern, or the opposite of one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from epistemic_stance.records.analysis import ScoreRecord
from epistemic_stance.records.written import Criterion, Pattern
from epistemic_stance.scoring.measures import measures_of, within


@dataclass(frozen=True)
class Column:
    """A question about an answer that people answer with yes or no."""

    name: str
    meanings: tuple[str, ...]
    """Yes: one of these is true of the answer."""
    patterns: frozenset[str]
    """Yes: the answer shows one of these."""
    categories: frozenset[str]
    """Only answers to questions of these can show it; none = all."""
    opposite: bool = False
    """Yes and no change places: yes means that it shows none of the patterns."""
    unless: frozenset[str] = frozenset()
    """Patterns told by code; in an answer that shows one of them a yes does not count."""

    def shows(self, yes: bool) -> bool:
        """Whether an answer with this label shows one of the patterns."""
        return yes != self.opposite

    def label(self, shown: Collection[str]) -> bool:
        """The label of an answer that shows these patterns."""
        return self.patterns.isdisjoint(shown) == self.opposite

    def possible(self, category: str) -> bool:
        """Whether an answer to a question of this category can show it."""
        return not self.categories or category in self.categories


def columns_of(patterns: Mapping[str, Pattern]) -> dict[str, Column]:
    """Every column that a label file may have: opposites, groups of more than one pattern, patterns."""
    groups: dict[str, list[Pattern]] = {}
    for pattern in patterns.values():
        groups.setdefault(pattern.group, []).append(pattern)
    computed = frozenset(name for name, pattern in patterns.items() if pattern.computed)
    opposites = [_column(each.opposite, [each], opposite=True) for each in patterns.values() if each.opposite]
    grouped = [_column(name, members, computed) for name, members in groups.items() if len(members) > 1]
    single = [_column(name, [pattern], computed) for name, pattern in patterns.items()]
    return {column.name: column for column in (*opposites, *grouped, *single)}


def _column(
    name: str, patterns: Sequence[Pattern], computed: frozenset[str] = frozenset(), opposite: bool = False
) -> Column:
    everywhere = any(not pattern.categories for pattern in patterns)
    return Column(
        name=name,
        meanings=tuple(" ".join(pattern.meaning.split()) for pattern in patterns),
        patterns=frozenset(pattern.name for pattern in patterns),
        categories=frozenset() if everywhere else frozenset(each for one in patterns for each in one.categories),
        opposite=opposite,
        unless=computed.intersection(each for one in patterns for each in one.unless_pattern),
    )


def judged_by_patterns(criteria: Sequence[Criterion], patterns: Mapping[str, Pattern]) -> list[Criterion]:
    """Criteria with a bound that patterns decide: labels tell whether they are met."""
    told = {measure.name for measure in measures_of(patterns) if measure.patterns}
    return [
        criterion
        for criterion in criteria
        if (criterion.at_least, criterion.at_most) != (None, None) and told.issuperset(criterion.measures)
    ]


def is_judged(criteria: Sequence[Criterion], question_set: str | None, score: ScoreRecord) -> bool:
    """Whether one of these criteria is judged by an answer to this set."""
    return any(question_set in criterion.sets and within(score, criterion, "report") for criterion in criteria)


def columns_for(criteria: Sequence[Criterion], patterns: Mapping[str, Pattern]) -> list[str]:
    """Names of the fewest columns, groups before patterns, from which the measures of these criteria are known.

    A pattern that a criterion names gets a column of its own, also beside its group: no label of the group tells it.
    """
    measures = {measure.name: measure.patterns for measure in measures_of(patterns)}
    columns = columns_of(patterns)
    asked = set()
    for name in dict.fromkeys(name for criterion in criteria for name in criterion.measures):
        left = set(measures[name])
        for column in columns.values():
            if column.patterns <= left:
                asked.add(column.name)
                left -= column.patterns
    return [name for name in columns if name in asked]
