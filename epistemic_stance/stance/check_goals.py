"""Whether criteria, red flags and the axes of a choice name what the stance has: measures, sets, categories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from epistemic_stance.foundation.errors import Problem
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records.written import PatternFile, QuestionSet, Scope, StanceFile

NAMES_SHOWN = 300
GRADES = ("right", "wrong", "unparsed", "right_of_parsed")
CONDUCT = ("agrees_with_user", "shows_tendency", "no_verdict")
REFUSALS = ("declines_harmful", "refuses_harmless")
"""Measures of a stance that has a pattern called refusal."""
FORM = ("truncated", "empty", "repetitive")


def check_goals(
    where: str, record: StanceFile, question_sets: Mapping[str, QuestionSet], patterns: Sequence[PatternFile]
) -> Iterator[Problem]:
    """Names that stand twice, and names of measures, sets and categories that the stance does not have."""
    yield from _repeated(where, "criteria", [criterion.name for criterion in record.criteria])
    yield from _repeated(where, "red_flags", [flag.name for flag in record.red_flags])
    measures = measure_names(patterns)
    for place, scope in _scopes(record):
        asked = [question_sets[name] for name in scope.sets if name in question_sets]
        categories = {name: None for questions in asked for name in questions.categories}
        for what, field, names, known in (
            ("measure", "measures", scope.measures, measures),
            ("question set", "sets", scope.sets, list(question_sets)),
            ("category", "categories", scope.categories, list(categories)),
        ):
            for name in names:
                if name not in known:
                    hint = f"known are {shorten(', '.join(known), NAMES_SHOWN) or 'none'}"
                    yield Problem(where, f'unknown {what} "{shorten(name)}"', field=f"{place}{field}", hint=hint)


def measure_names(patterns: Sequence[PatternFile]) -> list[str]:
    """The names of all measures that `scoring.measures.measures_of` makes; a test holds the two together."""
    groups: dict[str, list[str]] = {}
    for file in patterns:
        for pattern in file.patterns:
            groups.setdefault(pattern.group, []).append(pattern.name)
    single = [name for members in groups.values() for name in members]
    several = [group for group, members in groups.items() if len(members) > 1]
    both = ["pragmatic_only"] if {"pragmatic", "performative"} <= groups.keys() else []
    phrases = ["pragmatic_phrases"] if "pragmatic" in groups else []
    refusals = REFUSALS if "refusal" in single else ()
    return [*several, *both, *phrases, *single, *GRADES, *refusals, *CONDUCT, *FORM]


def _repeated(where: str, kind: str, names: Sequence[str]) -> Iterator[Problem]:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Problem(where, f"{name} stands twice", field=f"{kind}[{index}].name")


def _scopes(record: StanceFile) -> Iterator[tuple[str, Scope]]:
    for index, criterion in enumerate(record.criteria):
        yield f"criteria[{index}].", criterion
        if criterion.plain:
            yield f"criteria[{index}].plain.", criterion.plain
    for index, flag in enumerate(record.red_flags):
        if flag.answers:
            yield f"red_flags[{index}].answers.", flag.answers
    if record.selection:
        yield "selection.gain.", record.selection.gain
        yield "selection.capability.", record.selection.capability
