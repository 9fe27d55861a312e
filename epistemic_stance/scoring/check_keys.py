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
    return [finding for one in located(question_sets, places) for finding in _findings(one)]


def _findings(one: Located) -> Iterator[Finding]:
    key = one.question.answer
    if key is None:
        if one.question.choices:
            yield error(one.where, "choices", "wrong answers without a right one", "give the question its answer key")
        return
    yield from _accepted_findings(one, key)
    yield from _choice_findings(one)


def _accepted_findings(one: Located, key: AnswerKey) -> Iterator[Finding]:
    for number, text in enumerate(key.accepted):
        if (given := _grade_alone(one, text)) != "right":
            what = f'"{shorten(text)}" would be graded {given} by its own key'
            yield error(one.where, f"answer.accepted[{number}]", what, FORM_OF_KEY[key.kind])


def _choice_findings(one: Located) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for number, text in enumerate(one.question.choices):
        # Not its words: the sign in front of a number belongs to none.
        field, spoken = f"choices[{number}]", " ".join(text.casefold().split()).rstrip(".!")
        if spoken in seen:
            yield error(one.where, field, f'"{shorten(text)}" is already {seen[spoken]}', "give each choice once")
        elif _grade_alone(one, text) == "right":
            what = f'"{shorten(text)}" would be graded right by the key of this question'
            yield error(one.where, field, what, "choices are the wrong answers; take another one")
        seen.setdefault(spoken, field)


def _grade_alone(one: Located, text: str) -> Grade | None:
    """By the key, without the choices: a choice that is right would make every answer one that gives two."""
    return grade(one.question.model_copy(update={"choices": []}), text)
