"""Answer keys that contradict themselves, their choices or their question: found by `stance check`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records.analysis import Grade
from epistemic_stance.records.written import AnswerKey, QuestionSet
from epistemic_stance.scoring.grade import grade
from epistemic_stance.stance.findings import NO_PLACES, Finding, Located, error, located

FORM_OF_KEY = {
    "phrase": "write the bare words that a right answer holds",
    "number": "write the bare number, with its unit if it has one",
    "yes_no": "write yes or no",
}


def check_keys(
    question_sets: Mapping[str, QuestionSet], places: Mapping[str, Sequence[str]] = NO_PLACES
) -> list[Finding]:
    """Keys that would not accept what they list, choices that are right or equal."""
    return [finding for each in located(question_sets, places) for finding in _findings(each)]


def _findings(located: Located) -> Iterator[Finding]:
    key = located.question.answer
    if key is None:
        if located.question.choices:
            yield error(
                located.where, "choices", "wrong answers without a right one", "give the question its answer key"
            )
        return
    yield from _accepted_findings(located, key)
    yield from _choice_findings(located)


def _accepted_findings(located: Located, key: AnswerKey) -> Iterator[Finding]:
    for number, text in enumerate(key.accepted):
        if (given := _grade_alone(located, text)) != "right":
            what = f'"{shorten(text)}" would be graded {given} by its own key'
            yield error(located.where, f"answer.accepted[{number}]", what, FORM_OF_KEY[key.kind])


def _choice_findings(located: Located) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for number, text in enumerate(located.question.choices):
        # Not its words: the sign in front of a number belongs to none.
        field, spoken = f"choices[{number}]", " ".join(text.casefold().split()).rstrip(".!")
        if spoken in seen:
            yield error(located.where, field, f'"{shorten(text)}" is already {seen[spoken]}', "give each choice once")
        elif _grade_alone(located, text) == "right":
            what = f'"{shorten(text)}" would be graded right by the key of this question'
            yield error(located.where, field, what, "choices are the wrong answers; take another one")
        seen.setdefault(spoken, field)


def _grade_alone(located: Located, text: str) -> Grade | None:
    """By the key, without the choices: a choice that is right would make every answer one that gives two."""
    return grade(located.question.model_copy(update={"choices": []}), text)
