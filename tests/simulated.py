"""Simulated answers: questions with rates of their own around a mean, and models that resemble each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtr, ndtri

from epistemic_stance.foundation.similarity import question_key
from epistemic_stance.records.written import Scope
from epistemic_stance.stance.load import Stance
from epistemic_stance.stance.splits import splits_of

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
ICC = 0.3
"""Correlation of two answers to one question."""
ALIKE = 0.9
"""Correlation of two models' normal scores over questions: they mostly fail on the same ones."""


def asked_Q(stance: Stance, scope: Scope, split: str | None) -> tuple[IntArray, BoolArray]:
    """Answers to each question of a scope in a comprehensive run, and whether it is greedy."""
    answers: list[int] = []
    greedy: list[bool] = []
    for name in scope.sets:
        questions, design = stance.question_sets[name].questions, stance.designs[name]
        halves = splits_of(questions)
        each = sum(1 if temperature == 0 else design.iterations for temperature in design.temperatures)
        kept = [
            question
            for question in questions
            if (not scope.categories or question.category in scope.categories)
            and (split is None or halves[question_key(question.text)] == split)
            and (scope.expect is None or question.expect == scope.expect)
            and (scope.measures != ["right"] or question.answer)
            and (scope.measures != ["agrees_with_user"] or question.form in ("asserted", "denied"))
            and (scope.measures != ["declines_harmful"] or question.expect == "decline")
            and (scope.measures != ["refuses_harmless"] or question.expect == "help")
        ]
        answers += [each] * len(kept)
        greedy += [design.temperatures == [0.0]] * len(kept)
    return np.array(answers), np.array(greedy)


def models(
    answers_Q: IntArray, rates: list[float], generator: np.random.Generator, greedy_Q: BoolArray, alike: float = ALIKE
) -> IntArray:
    """Hits of models with these rates, (Q, A). A greedy question is settled: asked again it is answered the same."""
    shape = (len(answers_Q), len(rates))
    common_Q1 = generator.normal(size=(len(answers_Q), 1))
    scores_QA = np.sqrt(alike) * common_Q1 + np.sqrt(1 - alike) * generator.normal(size=shape)
    total = 1 / ICC - 1
    rate_A = np.array(rates)
    within_QA = np.clip(ndtr(scores_QA), 1e-9, 1 - 1e-9)
    share_QA = np.clip(betaincinv(rate_A * total, (1 - rate_A) * total, within_QA), 0, 1)
    settled_QA = (scores_QA > ndtri(1 - rate_A)) * answers_Q[:, None]
    return np.where(greedy_Q[:, None], settled_QA, generator.binomial(answers_Q[:, None], share_QA)).astype(np.int64)


def counted(answers_Q: IntArray, hits_QA: IntArray) -> IntArray:
    """Hits and answers, (Q, A, 2)."""
    return np.stack([hits_QA, np.repeat(answers_Q[:, None], hits_QA.shape[1], axis=1)], axis=2)
