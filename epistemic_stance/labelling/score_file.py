"""`stance label score`: how well the patterns of a stance agree with labels that people gave."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from epistemic_stance.foundation.errors import InputError, NotMetError, Problem
from epistemic_stance.foundation.files import dump_json, read_text
from epistemic_stance.foundation.json_positions import parse_json
from epistemic_stance.foundation.schema_errors import validated
from epistemic_stance.foundation.settings import LabelScoreSettings
from epistemic_stance.foundation.terminal import plain
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records.analysis import LabelledAnswer
from epistemic_stance.scoring.patterns import PatternSet, load_patterns
from epistemic_stance.stance.load import load_stance
from epistemic_stance.statistics.agreement import Agreement, JudgedAnswer, agreements, by_arm

OTHER_LABELS = frozenset({"correct"})
"""Labels that answer keys decide, not patterns: allowed in a file, and not scored here."""
LINE_FORM = 'one object per line: {"id": ..., "question": ..., "response": ..., "labels": [...], "ignore": [...]}'


def run_label_score(settings: LabelScoreSettings) -> None:
    """Print the agreement of patterns and labels, overall and per arm.

    Raises InputError for a file or a --require that cannot be read, NotMetError if a required figure is not reached.
    """
    patterns = load_patterns(load_stance(settings.stance))
    names = list(patterns.patterns)
    required = _required(settings.require, names)
    answers = judged(read_labelled(settings.file, names), patterns)
    overall = agreements(answers, names)
    arms = by_arm(answers)
    tables = {arm: agreements(members, names) for arm, members in arms.items()}
    console = Console(highlight=False)
    if settings.json:
        shown = {"labels": _figures(overall), "arms": {arm: _figures(table) for arm, table in tables.items()}}
        console.out(dump_json(shown, indent=1), highlight=False)
    else:
        console.print(_table(f"all: {len(answers)} answers", overall))
        for arm, members in arms.items():
            console.print(_table(f"{shorten(arm)}: {len(members)} answers", tables[arm]))
    _require(required, overall)


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
            arm=answer.group,
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


def _require(required: Sequence[tuple[str, float]], overall: Mapping[str, Agreement]) -> None:
    missed = []
    for label, least in required:
        f1 = overall[label].f1
        if f1 is None:
            missed.append(f"{label}: F1 is undefined, no answer has the label; {least:g} is required")
        elif f1 < least:
            missed.append(f"{label}: F1 is {f1:.4f}, {least:g} is required")
    if missed:
        raise NotMetError("\n".join(missed))


def _figures(table: Mapping[str, Agreement]) -> dict[str, dict[str, int | float | None]]:
    return {
        label: {
            "positives": found.positives,
            "precision": found.precision,
            "recall": found.recall,
            "f1": found.f1,
            "kappa": found.kappa,
        }
        for label, found in table.items()
    }


def _table(title: str, agreement: Mapping[str, Agreement]) -> Table:
    table = Table("label", title=plain(title), title_justify="left")
    for heading in ("positives", "precision", "recall", "F1", "kappa"):
        table.add_column(heading, justify="right")
    for label, found in agreement.items():
        figures = [found.precision, found.recall, found.f1, found.kappa]
        table.add_row(plain(label), str(found.positives), *(_shown(figure) for figure in figures))
    return table


def _shown(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.3f}"
