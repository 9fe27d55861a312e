"""Labels beside the answers that they were drawn from: what the error of the rules is worked out from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from epistemic_stance.analysis.detector import Arm
from epistemic_stance.analysis.labels import LabelledSample
from epistemic_stance.analysis.patterns import PatternSet
from epistemic_stance.analysis.responses import read_responses
from epistemic_stance.analysis.statistics import IntArray
from epistemic_stance.splits import question_key


@dataclass(frozen=True)
class PatternCounts:
    """What the rules find of one pattern in all answers of an arm, by question."""

    rows: Mapping[str, int]
    """Question key -> its row."""
    hits_Q: IntArray
    answers_Q: IntArray
    """Those that can show the pattern."""


@dataclass(frozen=True)
class Population:
    """What the rules find today in all answers of an arm that were drawn from."""

    rows: dict[str, int] = field(default_factory=dict)
    """Question key -> its row."""
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    """(pattern, row) -> answers that can show the pattern."""
    hits: Counter[tuple[str, int]] = field(default_factory=Counter)
    """(pattern, row) -> answers in which it is found."""
    notices: list[str] = field(default_factory=list)

    def counts_of(self, pattern: str) -> PatternCounts:
        hits_Q = np.array([self.hits[pattern, row] for row in range(len(self.rows))], dtype=np.int64)
        answers_Q = np.array([self.answers[pattern, row] for row in range(len(self.rows))], dtype=np.int64)
        return PatternCounts(self.rows, hits_Q, answers_Q)


def read_population(sample: LabelledSample, arm: str, patterns: PatternSet) -> Population:
    """Read the files that an arm was drawn from once more. Raises InputError if one is gone or cannot be read."""
    found = Population()
    for source in sample.draw.arms[arm].sources:
        file = read_responses(sample.folder.parent / source.file)
        if file.sha256 != source.sha256:
            found.notices.append(
                f"{source.file} has changed since the sample was drawn; the labels speak for what it was"
            )
        for response in file.responses:
            row = found.rows.setdefault(question_key(response.question), len(found.rows))
            hits = {hit.pattern for hit in patterns.find(response.response, response.question, response.category)}
            for name, pattern in patterns.patterns.items():
                if not pattern.categories or response.category in pattern.categories:
                    found.answers[name, row] += 1
                    found.hits[name, row] += name in hits
    return found


def labelled_arm(sample: LabelledSample, arm: str, pattern: str, counts: PatternCounts) -> Arm:
    """The counts of an arm and a pattern with the labels that count for it.

    Labels of questions that have no answers among the counts are left out.
    """
    counting = [
        (answer, row)
        for answer in sample.labelled(arm)
        if pattern not in answer.ignored
        and (row := counts.rows.get(answer.question)) is not None
        and counts.answers_Q[row]
    ]
    return Arm(
        hits_Q=counts.hits_Q,
        answers_Q=counts.answers_Q,
        truth_N=np.array([pattern in answer.gold for answer, _ in counting], dtype=np.bool_),
        found_N=np.array([pattern in answer.found for answer, _ in counting], dtype=np.bool_),
        weight_N=np.array([answer.weight for answer, _ in counting], dtype=np.float64),
        question_N=np.array([row for _, row in counting], dtype=np.int64),
    )
