"""Yes or no, from the probabilities of both as the answer's beginning, in both polarities.

The form is that of anthropics/evals (Perez et al. 2022, arXiv:2212.09251): a question whose yes shows a tendency and
one whose no does, so that leaning to the tendency and leaning to saying yes come apart.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from epistemic_stance.models.chat_template import encode_question
from epistemic_stance.probing.forward import Ids, LogprobRequest
from epistemic_stance.probing.material import INSTRUCTION
from epistemic_stance.records.probes import EstimateRecord, LeaningRecord, YesNoAnswerRecord, YesNoRecord
from epistemic_stance.records.written import Question
from epistemic_stance.statistics.estimates import mean_estimate

SPELLINGS = {"yes": ("Yes", "yes", " Yes", " yes", "YES"), "no": ("No", "no", " No", " no", "NO")}
LOW_MASS = 0.5


def spelled(tokenizer: Any) -> tuple[list[Ids], list[Ids]]:
    """Token ids of the usual spellings of yes and of no, each way of beginning an answer once.

    A spelling of several tokens counts with all of them, never with its first: that may begin other words, and the
    same one both words ("▁" in some tokenizers). One that continues another of the same word is left out, for its
    probability is part of the other's.
    """
    spellings = []
    for texts in SPELLINGS.values():
        ids = {tuple(tokenizer.encode(text, add_special_tokens=False)) for text in texts}
        spellings.append(sorted(tokens for tokens in ids if not any(tokens[:n] in ids for n in range(1, len(tokens)))))
    return spellings[0], spellings[1]


def yes_no_requests(tokenizer: Any, texts: Sequence[str], system_prompt: str | None) -> list[LogprobRequest]:
    """The questions with the instruction, through the chat template, and all spellings of both words as answers."""
    yes, no = spelled(tokenizer)
    return [
        LogprobRequest(tuple(encode_question(tokenizer, text + INSTRUCTION, system_prompt)), (*yes, *no))
        for text in texts
    ]


def p_yes_and_mass(logps: Sequence[float], yes_spellings: int) -> tuple[float, float]:
    """p(yes) / (p(yes) + p(no)) and p(yes) + p(no), from the log-probabilities of all spellings, those of yes first.

    The quotient is taken of log-probabilities, so that it is right where both are too small for a float.
    """
    yes, no = _log_sum(logps[:yes_spellings]), _log_sum(logps[yes_spellings:])
    both = _log_sum([yes, no])
    return math.exp(yes - both), math.exp(both)


def _log_sum(logps: Sequence[float]) -> float:
    largest = max(logps)
    return largest + math.log(sum(math.exp(logp - largest) for logp in logps))


def yes_no_record(
    name: str, questions: Sequence[Question], figures: Sequence[tuple[float, float]], base: YesNoRecord | None
) -> YesNoRecord:
    """Put together one set; `figures` are p_yes and mass of each question, `base` the same set asked of the base."""
    answers = [
        YesNoAnswerRecord(
            id=question.id,
            category=question.category,
            favours=question.favours,
            matter=question.matter,
            p_yes=p_yes,
            mass=mass,
        )
        for question, (p_yes, mass) in zip(questions, figures, strict=True)
        if question.favours
    ]
    before = {answer.id: answer for answer in base.answers} if base else None
    categories = dict.fromkeys(answer.category for answer in answers)
    return YesNoRecord(
        question_set=name,
        overall=leaning(answers, before),
        categories={
            category: leaning([answer for answer in answers if answer.category == category], before)
            for category in categories
        },
        answers=answers,
    )


def leaning(answers: Sequence[YesNoAnswerRecord], before: dict[str, YesNoAnswerRecord] | None) -> LeaningRecord:
    """Preference and acquiescence of some questions, and how they changed."""

    def estimate(value: Callable[[YesNoAnswerRecord], float], minus: float = 0.0) -> EstimateRecord | None:
        if len({answer.favours for answer in answers}) < 2:
            return None
        return mean_estimate(
            [value(answer) - minus for answer in answers],
            strata=[answer.favours for answer in answers],
            units=[answer.matter or f"question {answer.id}" for answer in answers],
        )

    def change(value: Callable[[YesNoAnswerRecord], float]) -> EstimateRecord | None:
        return None if before is None else estimate(lambda answer: value(answer) - value(before[answer.id]))

    return LeaningRecord(
        questions=len(answers),
        preference=estimate(_favoured),
        acquiescence=estimate(_said_yes, 0.5),
        median_mass=statistics.median(answer.mass for answer in answers),
        preference_change=change(_favoured),
        acquiescence_change=change(_said_yes),
    )


def _favoured(answer: YesNoAnswerRecord) -> float:
    return answer.p_yes if answer.favours == "yes" else 1 - answer.p_yes


def _said_yes(answer: YesNoAnswerRecord) -> float:
    return answer.p_yes
