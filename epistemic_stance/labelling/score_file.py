"""`stance label score`: how well the patterns of a stance agree with labels that people gave to answers in a file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.files import read_text
from epistemic_stance.foundation.json_positions import parse_json
from epistemic_stance.foundation.schema_errors import validated
from epistemic_stance.foundation.settings import LabelScoreSettings
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records.analysis import LabelledAnswer
from epistemic_stance.scoring.patterns import PatternSet, load_patterns
from epistemic_stance.stance.load import load_stance
from epistemic_stance.statistics.agreement import Agreement, JudgedAnswer, agreements, by_group

OTHER_LABELS = frozenset({"correct"})
"""Labels that answer keys decide, not patterns: allowed in a file, and not scored here."""
LINE_FORM = 'one object per line: {"id": ..., "question": ..., "response": ..., "labels": [...], "ignore": [...]}'
ALL = "all"


@dataclass(frozen=True)
class FileAgreement:
    """Agreement of patterns and labels."""

    answers: Mapping[str, int]
    """`all`, and each group of answers -> how many there are."""
    tables: Mapping[str, Mapping[str, Agreement]]
    """The same -> pattern -> its confusion table."""
    missed: Sequence[str]
    """What is required of the patterns and not met, a sentence each."""


def run(settings: LabelScoreSettings) -> FileAgreement:
    """Raises InputError for a file or a --require that cannot be read."""
    patterns = load_patterns(load_stance(settings.stance))
    names = list(patterns.patterns)
    required = _required(settings.require, names)
    answers = judged(read_labelled(settings.file, names), patterns)
    groups = {ALL: answers, **by_group(answers)}
    tables = {name: agreements(members, names) for name, members in groups.items()}
    missed = []
    for label, least in required:
        f1 = tables[ALL][label].f1
        if f1 is None:
            missed.append(f"{label}: F1 is undefined, no answer has the label; {least:g} is required")
        elif f1 < least:
            missed.append(f"{label}: F1 is {f1:.4f}, {least:g} is required")
    return FileAgreement({name: len(members) for name, members in groups.items()}, tables, missed)


def read_labelled(path: Path, names: Sequence[str]) -> list[LabelledAnswer]:
    """The labelled answers of a file; `names` are the patterns that a label may name.

    Raises InputError with every problem: fields, labels that are no pattern, ids that stand twice, an empty file.
    """
    answers: list[LabelledAnswer] = []
    problems: list[Problem] = []
    lines: dict[str | int, int] = {}
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            answer = validated(LabelledAnswer, parse_json(line, str(path), number))
        except InputError as error:
            problems += error.problems
            continue
        problems += _unknown_labels(answer, names, str(path), number)
        if (first := lines.setdefault(answer.id, number)) != number:
            what = f'"{shorten(str(answer.id))}" is also the id of line {first}'
            problems.append(Problem(str(path), what, number, "id", "give each answer its own"))
        answers.append(answer)
    if not answers and not problems:
        problems.append(Problem(str(path), "no answers in it", hint=LINE_FORM))
    if problems:
        raise InputError(problems)
    return answers


def judged(answers: Sequence[LabelledAnswer], patterns: PatternSet) -> list[JudgedAnswer]:
    """Each answer with what the patterns find in it."""
    return [
        JudgedAnswer(
            group=answer.group,
            labels=frozenset(answer.labels),
            ignore=frozenset(answer.ignore),
            found=frozenset(hit.pattern for hit in patterns.find(answer.response, answer.question, answer.category)),
        )
        for answer in answers
    ]


def _unknown_labels(answer: LabelledAnswer, names: Sequence[str], where: str, number: int) -> list[Problem]:
    known = OTHER_LABELS.union(names)
    hint = f"known are {', '.join(names)}"
    return [
        Problem(where, f'no pattern "{shorten(label)}"', number, f"{name}[{index}]", hint)
        for name, labels in (("labels", answer.labels), ("ignore", answer.ignore))
        for index, label in enumerate(labels)
        if label not in known
    ]


def _required(written: Sequence[str], names: Sequence[str]) -> list[tuple[str, float]]:
    """`LABEL=F1` of each --require; raises InputError with every one that is none."""
    required: list[tuple[str, float]] = []
    problems: list[Problem] = []
    for text in written:
        label, _, figure = text.partition("=")
        try:
            least = float(figure)
        except ValueError:
            least = math.nan
        if label not in names:
            what, hint = f'no pattern "{shorten(label)}"', f"known are {', '.join(names)}"
            problems.append(Problem("--require", what, hint=hint))
        elif not 0 <= least <= 1:
            what = f'expected {label}=F1 with an F1 of 0 to 1, found "{shorten(text)}"'
            problems.append(Problem("--require", what, hint=f"for example {label}=.85"))
        else:
            required.append((label, least))
    if problems:
        raise InputError(problems)
    return required
