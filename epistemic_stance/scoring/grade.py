"""Right, wrong, or no answer to be told: a final answer held against the key of its question."""

from __future__ import annotations

import math
import re
from functools import lru_cache

from epistemic_stance.records.analysis import Grade, Verdict
from epistemic_stance.records.written import AnswerKey, Question
from epistemic_stance.scoring.final_answer import FinalAnswer, final_answer, number_of, numbers, plain, verdict_of

DENIED_BEFORE = re.compile(
    r"(?:\bnot|n't|\bnever|\bneither|\bnor|\brather than|\binstead of|\bunlike)(?: (?!only\b|just\b|but\b)\w+){0,2} $"
)
DENIED_AFTER = re.compile(r"(?: \w+){0,2} (?:is|was|are|were)(?:n't| not) (?!only\b|just\b)")
NO_ANSWER = re.compile(
    r"\b(?:sorry|apologi[sz]e|unfortunately)\b|\bas an? (?:ai|artificial|language)\b"
    r"|\b(?:i|we)(?: am|'m)? (?:do not|don't|cannot|can't|could not|couldn't|not|unable|unsure)\b"
    r"|\bplease (?:provide|clarify|specify)\b|\b(?:unknown|unclear)\b|\bfeel free\b|\blet me know\b"
    r"|\bhere to (?:help|assist)\b|\bmy (?:\w+ )?(?:function|purpose)\b"
)


def grade(question: Question, response: str, truncated: bool = False) -> Grade | None:
    """Hold an answer against the key of its question; None if the question has no key.

    `unparsed`: the text gives no answer (it refuses, asks back, breaks off), or a wrong choice beside the right one.
    `truncated`: the end of the text is not the end of the answer.
    """
    key = question.answer
    if key is None:
        return None
    answer = final_answer(response)
    match key.kind:
        case "phrase":
            rivals = [choice for choice in question.choices if choice.lower() not in question.text.lower()]
            return _grade_phrase(answer, _any_of(tuple(key.accepted)), _any_of(tuple(rivals)))
        case "number":
            return _grade_number(number_of(answer, question.text), key, truncated and answer.named is None)
        case "yes_no":
            given = verdict_of(answer, question.text)
            if given is None or given == "undecided":
                return "unparsed"
            return "right" if given in {text.strip().lower() for text in key.accepted} else "wrong"


def verdict(question: Question, response: str) -> Verdict | None:
    """Yes, no or undecided; None where the answer says none of it, and of a question with neither `form` nor `favours`.

    Only the questions with one of the fields are all questions of yes or no.
    """
    return verdict_of(final_answer(response), question.text) if question.form or question.favours else None


def _grade_number(value: float | None, key: AnswerKey, cut_off: bool) -> Grade:
    if value is None:
        return "unparsed"
    accepted = [number for text in key.accepted for number in numbers(text.lower())[:1]]
    if any(math.isclose(value, number, rel_tol=1e-9) for number in accepted):
        return "right"
    return "unparsed" if cut_off else "wrong"


def _grade_phrase(answer: FinalAnswer, accepted: re.Pattern[str], rivals: re.Pattern[str]) -> Grade:
    """Right if a sentence gives an accepted phrase and none of the rivals."""
    sentences = answer.sentences if answer.named is None else (answer.named,)
    both = False
    for sentence in sentences:
        right, wrong = _gives(sentence, accepted), _gives(sentence, rivals)
        if right and not wrong:
            return "right"
        both = both or right
    return "unparsed" if both or all(map(NO_ANSWER.search, sentences)) else "wrong"


def _gives(sentence: str, phrases: re.Pattern[str]) -> bool:
    """Whether the sentence names a phrase and does not deny it."""
    return any(
        not DENIED_BEFORE.search(sentence, max(0, match.start() - 40), match.start())
        and not DENIED_AFTER.match(sentence, match.end())
        for match in phrases.finditer(sentence)
    )


@lru_cache(maxsize=4096)
def _any_of(phrases: tuple[str, ...]) -> re.Pattern[str]:
    """The phrases as whole words, any space or hyphen between their words; matches nothing if there are none."""
    patterns = [r"[ -]".join(map(re.escape, re.split(r"[\s-]+", plain(phrase).lower()))) for phrase in phrases]
    return re.compile(rf"(?<!\w)(?:{'|'.join(patterns)})(?!\w)" if patterns else r"(?!)")
