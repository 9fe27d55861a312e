"""Labels beside the answers that they were drawn from: what the error of the rules is worked out from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from epistemic_stance.foundation.similarity import question_key
from epistemic_stance.labelling.label_matching import matched
from epistemic_stance.labelling.labels import LabelledSample, SampledAnswer, offered
from epistemic_stance.records.response_file import read_responses
from epistemic_stance.scoring.patterns import PatternSet
from epistemic_stance.statistics.detector import LabelledCounts


@dataclass(frozen=True)
class FoundAnswer:
    """A labelled answer as it stands in the files today."""

    answer: SampledAnswer
    row: int
    """Of its question."""
    possible: frozenset[str]
    """Patterns that answers of its category can show."""
    found: frozenset[str]


@dataclass(frozen=True)
class Population:
    """What the rules find today in all answers of an arm that were drawn from, and those of them that are labelled."""

    rows: dict[str, int] = field(default_factory=dict)
    """Question key -> its row."""
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    """(pattern, row) -> answers that can show the pattern."""
    hits: Counter[tuple[str, int]] = field(default_factory=Counter)
    """(pattern, row) -> answers in which it is found."""
    labelled: list[FoundAnswer] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def arm_of(self, pattern: str) -> LabelledCounts:
        """The counts of a pattern with the labels that count for it."""
        counting = [one for one in self.labelled if pattern in one.possible and pattern not in one.answer.ignored]
        return LabelledCounts(
            hits_Q=np.array([self.hits[pattern, row] for row in range(len(self.rows))], dtype=np.int64),
            answers_Q=np.array([self.answers[pattern, row] for row in range(len(self.rows))], dtype=np.int64),
            truth_N=np.array([pattern in one.answer.gold for one in counting], dtype=np.bool_),
            found_N=np.array([pattern in one.found for one in counting], dtype=np.bool_),
            weight_N=np.array([one.answer.weight for one in counting], dtype=np.float64),
            question_N=np.array([one.row for one in counting], dtype=np.int64),
        )


def read_population(sample: LabelledSample, arm: str, patterns: PatternSet) -> Population:
    """Read the files that an arm was drawn from once more. Raises InputError if one is gone or cannot be read.

    Labels of answers that are no longer in them do not count, and it is noted how many those are.
    """
    found = Population()
    labelled = sample.labelled(arm)
    for source in sample.draw.arms[arm].sources:
        file = read_responses(sample.folder.parent / source.file)
        if file.sha256 != source.sha256:
            found.notices.append(f"{source.file} has changed since the sample was drawn")
        of_set = [answer for answer in labelled if answer.drawn.question_set == source.question_set]
        answers = {
            id(response): answer
            for answer, response in matched(of_set, ((source.question_set, one) for one in file.responses))
        }
        for response in file.responses:
            row = found.rows.setdefault(question_key(response.question), len(found.rows))
            hits = frozenset(
                hit.pattern for hit in patterns.find(response.response, response.question, response.category)
            )
            possible = frozenset(offered(response.category, patterns.patterns))
            found.answers.update((name, row) for name in possible)
            found.hits.update((name, row) for name in possible & hits)
            if (answer := answers.get(id(response))) is not None:
                found.labelled.append(FoundAnswer(answer, row, possible, hits))
    if gone := len(labelled) - len(found.labelled):
        found.notices.append(f"{gone} of the {len(labelled)} labelled answers of {arm} are in no file any more")
    return found
