"""Answer keys that contradict themselves, their choices or their question: found by `stance check`."""

from __future__ import annotations

import ast
import builtins
import warnings
from collections.abc import Iterator, Mapping, Sequence

from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records.written import AnswerKey, QuestionSet
from epistemic_stance.scoring.grading.grade import grade
from epistemic_stance.stance.check_pairs import NO_PLACES, Finding, error
from epistemic_stance.stance.check_questions import Located, located

FORM_OF_KEY = {
    "phrase": "write the bare words that a right answer holds",
    "number": "write the bare number, with its unit if it has one",
    "yes_no": "write yes or no",
}


def check_keys(
    question_sets: Mapping[str, QuestionSet], places: Mapping[str, Sequence[str]] = NO_PLACES
) -> list[Finding]:
    """Keys that would not accept what they list, choices that are right or equal, tests that cannot fail."""
    return [finding for one in located(question_sets, places) for finding in _findings(one)]


def _findings(one: Located) -> Iterator[Finding]:
    key, choices = one.question.answer, one.question.choices
    if key is None:
        if choices:
            yield error(one.where, "choices", "wrong answers without a right one", "give the question its answer key")
        return
    if key.kind == "python":
        if choices:
            what = "choices of a programming task, whose key holds no text to weigh them against"
            yield error(one.where, "choices", what, "take them out")
        for number, test in enumerate(key.tests):
            yield from _test_findings(one.where, f"answer.tests[{number}]", test)
        return
    yield from _accepted_findings(one, key)
    yield from _choice_findings(one, key)


def _accepted_findings(one: Located, key: AnswerKey) -> Iterator[Finding]:
    for number, text in enumerate(key.accepted):
        if (given := grade(key, text, one.question.text)) != "right":
            what = f'"{shorten(text)}" would be graded {given} by its own key'
            yield error(one.where, f"answer.accepted[{number}]", what, FORM_OF_KEY[key.kind])


def _choice_findings(one: Located, key: AnswerKey) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for number, text in enumerate(one.question.choices):
        # Not its words: the sign in front of a number belongs to none.
        field, spoken = f"choices[{number}]", " ".join(text.casefold().split()).rstrip(".!")
        if spoken in seen:
            yield error(one.where, field, f'"{shorten(text)}" is already {seen[spoken]}', "give each choice once")
        elif grade(key, text, one.question.text) == "right":
            what = f'"{shorten(text)}" would be graded right by the key of this question'
            yield error(one.where, field, what, "choices are the wrong answers; take another one")
        seen.setdefault(spoken, field)


def _test_findings(where: str, field: str, test: str) -> Iterator[Finding]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            statements = ast.parse(test).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        said = problem.msg if isinstance(problem, SyntaxError) else str(problem)
        yield error(where, field, f'not Python ({said}): "{shorten(test)}"', "write a statement: assert f(2) == 4")
        return
    other = [statement for statement in statements if not isinstance(statement, ast.Assert)]
    if other or not statements:
        found = type(other[0]).__name__ if other else "nothing"
        what = f'expected an assert statement, found {found}: "{shorten(test)}"'
        yield error(where, field, what, "write what has to hold: assert f(2) == 4")
    for statement in statements:
        if isinstance(statement, ast.Assert) and _always_holds(statement.test):
            what = f'says nothing about the answer: "{shorten(test)}"'
            yield error(where, field, what, "use what the answer defines: assert f(2) == 4")


def _always_holds(test: ast.expr) -> bool:
    """A tuple, as in assert (x == 1, "why"), is always true; without a call nothing that the answer defines is run."""
    called = {node.func.id for node in ast.walk(test) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    return isinstance(test, ast.Tuple) or not called - set(dir(builtins))
