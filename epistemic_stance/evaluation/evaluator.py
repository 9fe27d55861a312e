"""Rates and changes of a stance's measures, within the scopes that its criteria, red flags and choice name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from epistemic_stance.evaluation.compare import change_record, count
from epistemic_stance.evaluation.correction import corrected_rate_record, labelled_counts
from epistemic_stance.evaluation.evidence import ModelEvidence
from epistemic_stance.evaluation.rates import rate_record
from epistemic_stance.records.analysis import CorrectedRateRecord, RateRecord, ScoreRecord, Split
from epistemic_stance.records.comparison import ChangeRecord
from epistemic_stance.records.validation import PlainRateRecord
from epistemic_stance.records.written import Scope
from epistemic_stance.scoring.measures import Measure
from epistemic_stance.scoring.run import Answer
from epistemic_stance.statistics.changes import paired_changes
from epistemic_stance.statistics.estimates import IntArray


@dataclass(frozen=True)
class Evaluator:
    """Works out figures of one model, or of one against the base model."""

    measures: Mapping[str, Measure]
    seed: int
    """Of the flips that p values draw."""

    def measure_of(self, scope: Scope) -> Measure:
        """Whether an answer shows any of the scope's measures; unknown where none of them is known."""
        members = [self.measures[name] for name in scope.measures]

        def shown(score: ScoreRecord) -> bool | None:
            known = [value for member in members if (value := member.shown(score)) is not None]
            return any(known) if known else None

        rules = [member.patterns for member in members]
        patterns = frozenset().union(*rules) if all(rules) else frozenset()
        return Measure("+".join(scope.measures), members[0].kind, None, shown, patterns)

    def rate(self, model: ModelEvidence, scope: Scope, split: Split) -> RateRecord | None:
        """On the unseen questions of a half. None if a set was not asked, or nothing is known."""
        if model.missing(scope):
            return None
        hits_Q, answers_Q = _counts(model.answers(scope, split), self.measure_of(scope))
        return rate_record(hits_Q, answers_Q)

    def corrected(self, model: ModelEvidence, scope: Scope, split: Split) -> CorrectedRateRecord | None:
        """The same rate as people would label it; None without labels, if it does not depend on patterns, or if some of
        its answers could not be drawn."""
        measure = self.measure_of(scope)
        if model.missing(scope) or not measure.patterns:
            return None
        of_sets = [model.sets[name].labelled(scope, split) for name in scope.sets]
        given = [label for labels in of_sets for label in labels or ()]
        if not given or None in of_sets:
            return None
        questions = model.answers(scope, split)
        labelled = labelled_counts(given, measure, sorted(questions), *_counts(questions, measure))
        return corrected_rate_record(labelled)

    def plain_rate(self, model: ModelEvidence, scope: Scope) -> PlainRateRecord | None:
        """Share of all answers to the sets, whatever half or exposure."""
        if model.missing(scope):
            return None
        hits_Q, answers_Q = _counts(model.answers(scope), self.measure_of(scope))
        total = int(answers_Q.sum())
        return PlainRateRecord(estimate=int(hits_Q.sum()) / total, answers=total) if total else None

    def change(
        self, base: ModelEvidence, model: ModelEvidence, scope: Scope, split: Split | None
    ) -> ChangeRecord | None:
        """From the base model, paired by question: on the unseen questions of a half, or (None) on all."""
        if base.missing(scope) or model.missing(scope):
            return None
        before, after = self.paired_counts(base, [model], scope, split)
        (change,) = paired_changes(before[..., 0], before[..., 1], after[..., 0], after[..., 1], self.seed)
        return change_record(change)

    def paired_counts(
        self, base: ModelEvidence, models: Sequence[ModelEvidence], scope: Scope, split: Split | None
    ) -> tuple[IntArray, IntArray]:
        """Hits and answers before and after, both (Q, C, 2), of the questions that all C models and the base answered.

        With a split: of the unseen questions of that half.
        """
        measure = self.measure_of(scope)
        first = base.answers(scope, split)
        others = [model.answers(scope, split) for model in models]
        common = sorted(set(first).intersection(*others))
        before = [[count(first[key], measure)] * len(models) for key in common]
        after = [[count(other[key], measure) for other in others] for key in common]
        shape = (len(common), len(models), 2)
        return np.array(before, dtype=np.int64).reshape(shape), np.array(after, dtype=np.int64).reshape(shape)


def _counts(questions: Mapping[str, Sequence[Answer]], measure: Measure) -> tuple[IntArray, IntArray]:
    counted = [count(answers, measure) for _, answers in sorted(questions.items())]
    hits_Q, answers_Q = np.array(counted, dtype=np.int64).reshape(-1, 2).T
    return hits_Q, answers_Q
