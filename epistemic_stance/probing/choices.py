"""Multiple choice by log-probability: is the right answer the most likely of the options?

An option counts with log p(its tokens and the token that ends the turn | the chat prompt), summed. So the options are
whole answers that exclude each other, and "5" gains nothing from beginning "54". lm-evaluation-harness (`acc`, in
lm_eval/api/task.py) sums without an end, which favours an option that begins another, and `acc_norm` divides by the
characters to make up for options of unlike length. Here the options of a question are of one kind and nearly one
length, and any division would favour what is long and predictable: nothing is divided. The log-probabilities are
written down, so that another rule can be applied to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from epistemic_stance.models.chat_template import after_an_answer, encode_question
from epistemic_stance.probing.forward import LogprobRequest
from epistemic_stance.probing.material import Choice
from epistemic_stance.records.probes import AccuracyRecord, ChoiceAnswerRecord, ChoicesRecord, EstimateRecord
from epistemic_stance.statistics.changes import paired_changes
from epistemic_stance.statistics.estimates import mean_estimate
from epistemic_stance.statistics.rates import rate_interval

SEED = 42
"""Of the flips that p values draw."""


def choice_requests(
    tokenizer: Any, choices: Sequence[Choice], system_prompt: str | None, stop_ids: set[int]
) -> list[LogprobRequest]:
    end = end_of_turn(tokenizer, stop_ids)
    return [
        LogprobRequest(
            tuple(encode_question(tokenizer, choice.text, system_prompt)),
            tuple((*tokenizer.encode(option, add_special_tokens=False), end) for option in choice.options),
        )
        for choice in choices
    ]


def end_of_turn(tokenizer: Any, stop_ids: set[int]) -> int:
    """The stop token that the chat template puts after an answer; Gemma's eos, for one, is another."""
    after = [token for token in after_an_answer(tokenizer) if token in stop_ids]
    return after[0] if after else min(stop_ids)


def choices_record(
    choices: Sequence[Choice], logps: Sequence[Sequence[float]], base: ChoicesRecord | None
) -> ChoicesRecord:
    """Put the options' log-probabilities together; `base` are the same questions asked of the base model."""
    answers = []
    for choice, values in zip(choices, logps, strict=True):
        margin = values[0] - max(values[1:])
        answers.append(
            ChoiceAnswerRecord(
                question_set=choice.question_set,
                id=choice.question.id,
                category=choice.question.category,
                options=list(choice.options),
                logps=list(values),
                right=margin > 0,
                margin=margin,
            )
        )
    parts = {
        name: [answer.category == name for answer in answers]
        for name in dict.fromkeys(answer.category for answer in answers)
    }
    overall, *rest = _accuracies(answers, [[True] * len(answers), *parts.values()], base.answers if base else None)
    return ChoicesRecord(overall=overall, categories=dict(zip(parts, rest, strict=True)), answers=answers)


def _accuracies(
    answers: Sequence[ChoiceAnswerRecord],
    parts: Sequence[Sequence[bool]],
    before: Sequence[ChoiceAnswerRecord] | None,
) -> list[AccuracyRecord]:
    """Accuracy of each part; questions are the rows of both models' answers alike."""
    answers_QR = np.array(parts, dtype=np.int64).T
    right_QR = answers_QR * np.array([[answer.right] for answer in answers], dtype=np.int64)
    changes: Sequence[Any] = [None] * len(parts)
    if before is not None:
        was_right_QR = answers_QR * np.array([[answer.right] for answer in before], dtype=np.int64)
        changes = paired_changes(was_right_QR, answers_QR, right_QR, answers_QR, SEED)
    records = []
    for column, (part, change) in enumerate(zip(parts, changes, strict=True)):
        interval = rate_interval(right_QR[:, column], answers_QR[:, column])
        assert interval is not None, "a part has at least one question"
        inside = [index for index, member in enumerate(part) if member]
        records.append(
            AccuracyRecord(
                questions=len(inside),
                accuracy=interval.estimate,
                low=interval.low,
                high=interval.high,
                margin=mean_estimate([answers[index].margin for index in inside]),
                change=None
                if change is None
                else EstimateRecord(
                    value=change.change, se=None, low=change.low, high=change.high, units=change.questions
                ),
                margin_change=None
                if before is None
                else mean_estimate([answers[index].margin - before[index].margin for index in inside]),
            )
        )
    return records
