"""How well what the patterns find agrees with what people labelled, label by label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class JudgedAnswer:
    """One answer as people labelled it, and what the patterns found in it."""

    group: str | None
    """Group of answers that it is also scored in; None = in none."""
    labels: frozenset[str]
    ignore: frozenset[str]
    """Labels on which people could not agree for this answer: it does not count for them."""
    found: frozenset[str]


@dataclass(frozen=True)
class Agreement:
    """The confusion table of one label, and its figures. A figure that is undefined is None, never 0."""

    both: int
    """Answers that people gave the label and in which the pattern was found."""
    labelled_only: int
    found_only: int
    neither: int

    @property
    def positives(self) -> int:
        return self.both + self.labelled_only

    @property
    def precision(self) -> float | None:
        """Share of the finds that people labelled; None where nothing was found."""
        return _ratio(self.both, self.both + self.found_only)

    @property
    def recall(self) -> float | None:
        """Share of the labelled answers that were found; None where nothing is labelled."""
        return _ratio(self.both, self.positives)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall: 0 where all was missed, None where there was nothing to miss."""
        if not self.positives:
            return None
        return _ratio(2 * self.both, 2 * self.both + self.labelled_only + self.found_only)

    @property
    def kappa(self) -> float | None:
        """Agreement beyond chance (Cohen, Educational and Psychological Measurement 20, 1960, equation 1).

        None where people and patterns both always, or both never, say the label: chance then explains everything.
        """
        total = self.positives + self.found_only + self.neither
        finds = self.both + self.found_only
        observed = (self.both + self.neither) * total
        by_chance = self.positives * finds + (total - self.positives) * (total - finds)
        return _ratio(observed - by_chance, total * total - by_chance)


def agreement(answers: Iterable[JudgedAnswer], label: str) -> Agreement:
    """The confusion table of `label` over the answers that do not ignore it."""
    cells = [(label in answer.labels, label in answer.found) for answer in answers if label not in answer.ignore]
    return Agreement(
        both=cells.count((True, True)),
        labelled_only=cells.count((True, False)),
        found_only=cells.count((False, True)),
        neither=cells.count((False, False)),
    )


def agreements(answers: Sequence[JudgedAnswer], labels: Iterable[str]) -> dict[str, Agreement]:
    """Label -> its confusion table, in the order of `labels`."""
    return {label: agreement(answers, label) for label in labels}


def by_group(answers: Iterable[JudgedAnswer]) -> dict[str, list[JudgedAnswer]]:
    """The answers of each group, in the order in which the groups first occur."""
    groups: dict[str, list[JudgedAnswer]] = {}
    for answer in answers:
        if answer.group is not None:
            groups.setdefault(answer.group, []).append(answer)
    return groups


def _ratio(numerator: int, denominator: int) -> float | None:
    return numerator / denominator if denominator else None
