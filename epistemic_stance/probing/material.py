"""What a stance wants to be probed with: questions of yes and no, multiple choice, a neutral text."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.files import dump_json, read_text
from epistemic_stance.records.written import Question
from epistemic_stance.stance.load import STANCE_FILE, Stance

INSTRUCTION = " Answer yes or no."


@dataclass(frozen=True)
class Choice:
    """A question with its options, the right one first."""

    question_set: str
    question: Question
    options: tuple[str, ...]

    @property
    def text(self) -> str:
        return self.question.text + (INSTRUCTION if _is_yes_no(self.question) else "")


@dataclass(frozen=True)
class Material:
    yes_no: dict[str, list[Question]]
    """Question set -> its questions that favour an answer."""
    choices: list[Choice]
    paragraphs: list[str]
    """None of them if the stance names no text."""
    text: Path | None
    yes_no_digest: str
    choices_digest: str
    text_digest: str | None


def read_material(stance: Stance, choices: int) -> Material:
    """Raises InputError if the stance names nothing to probe with, or sets that do not serve."""
    where = str(stance.folder / STANCE_FILE)
    if stance.probes is None:
        hint = "name question sets with `favours`, sets with `choices`, and a text; the shipped stance shows how"
        raise InputError([Problem(where, "has no [probes], expected one", hint=hint)])
    problems = []
    yes_no = {}
    for name in stance.probes.yes_no:
        yes_no[name] = [question for question in stance.question_sets[name].questions if question.favours]
        if not yes_no[name]:
            what = f"no question of {name} has `favours`"
            problems.append(Problem(where, what, field="probes.yes_no", hint='favours = "yes" or "no"'))
    available: list[Choice] = []
    for name in stance.probes.choices if choices else ():
        usable = with_choices(name, stance.question_sets[name].questions)
        available += usable
        if not usable:
            what = f"no question of {name} has an answer key and `choices`"
            problems.append(Problem(where, what, field="probes.choices", hint="give wrong answers to choose from"))
    if problems:
        raise InputError(problems)
    text = stance.probes.neutral_text
    paragraphs = paragraphs_of(read_text(text)) if text else []
    chosen = drawn(available, choices)
    return Material(
        yes_no=yes_no,
        choices=chosen,
        paragraphs=paragraphs,
        text=text,
        yes_no_digest=_digest(
            [name, question.id, question.category, question.text, question.favours, question.matter]
            for name, questions in yes_no.items()
            for question in questions
        ),
        choices_digest=_digest(
            [choice.question_set, choice.question.id, choice.question.category, choice.text, list(choice.options)]
            for choice in chosen
        ),
        text_digest=_digest(paragraphs) if text else None,
    )


def _is_yes_no(question: Question) -> bool:
    return question.answer is not None and question.answer.kind == "yes_no"


def with_choices(question_set: str, questions: Sequence[Question]) -> list[Choice]:
    """The questions that can be asked so; of yes and no both are options, whether `choices` says so or not."""
    usable = []
    for question in questions:
        if question.answer is None or not question.answer.accepted:
            continue
        right = question.answer.accepted[0]
        if _is_yes_no(question):
            right = right.capitalize()
            usable.append(Choice(question_set, question, (right, "No" if right == "Yes" else "Yes")))
        elif question.choices:
            usable.append(Choice(question_set, question, (right, *question.choices)))
    return usable


def drawn(choices: Sequence[Choice], count: int) -> list[Choice]:
    """`count` of them, one category after the other in turn, by the sha256 of their text; 60 are the first 60 of 120.

    Inside a category, questions answered yes take turns with those answered no.
    """
    ranked: list[tuple[int, int, Choice]] = []
    categories: defaultdict[tuple[str, str], list[Choice]] = defaultdict(list)
    for choice in sorted(choices, key=lambda choice: hashlib.sha256(choice.question.text.encode()).digest()):
        categories[choice.question_set, choice.question.category].append(choice)
    for number, members in enumerate(categories[name] for name in sorted(categories)):
        met: defaultdict[str, int] = defaultdict(int)
        turns = []
        for choice in members:
            answer = choice.options[0] if _is_yes_no(choice.question) else ""
            turns.append((met[answer], answer, choice))
            met[answer] += 1
        turns.sort(key=lambda turn: turn[:2])
        ranked += [(place, number, choice) for place, (_, _, choice) in enumerate(turns)]
    ranked.sort(key=lambda entry: entry[:2])
    return [choice for _, _, choice in ranked[:count]]


def paragraphs_of(text: str) -> list[str]:
    """Paragraphs stand apart by a blank line; line breaks inside one are spaces."""
    parts = (" ".join(part.split()) for part in text.replace("\r\n", "\n").split("\n\n"))
    return [part for part in parts if part]


def _digest(parts: Iterable[Any]) -> str:
    return hashlib.sha256(dump_json(list(parts)).encode()).hexdigest()
