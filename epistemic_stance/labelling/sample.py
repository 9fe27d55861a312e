"""What people and judges say of the drawn answers, with the weights of those that are labelled so far.

The truth is what all people who labelled an answer in a column say. Where they differ or one cannot tell, and where
nobody labelled it, nothing is known, and the answer does not count for what the column asks. A judge model is never the
truth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.labelling.columns import Column, columns_of
from epistemic_stance.labelling.folder import DRAW_FILE, JUDGE, drawn_columns, labels_in, sheet_names, sheet_path
from epistemic_stance.labelling.sheet import Marks, Row, read_sheet
from epistemic_stance.records.labels import DrawnAnswer, DrawRecord
from epistemic_stance.scoring.patterns import PatternSet


@dataclass(frozen=True)
class SampledAnswer:
    """A drawn answer with all that was said of it."""

    drawn: DrawnAnswer
    marks: Mapping[str, Marks]
    """Annotator, or judge as `judge-MODEL` -> what they say of it; those who say nothing are absent."""
    truth: Mapping[str, bool]
    """Column -> yes or no; where it is not known the column is absent."""
    weight: float
    """Answers of its model that it stands for among those labelled so far; 0 for one that nobody labelled."""


@dataclass(frozen=True)
class LabelledSample:
    """A label folder as it was read."""

    folder: Path
    draw: DrawRecord
    columns: dict[str, Column]
    """What was asked for, and what somebody labelled beside it."""
    answers: list[SampledAnswer]
    annotators: list[str]
    judges: list[str]
    """As `judge-MODEL`."""
    notices: list[str]
    """What a reader of the figures has to know of the label files."""

    def labelled(self, model: str | None = None) -> list[SampledAnswer]:
        """Those that somebody labelled, of one model or of all."""
        return [answer for answer in self.answers if answer.weight > 0 and model in (None, answer.drawn.model)]

    def annotators_of(self, model: str) -> list[str]:
        """People who labelled answers of a model."""
        return [name for name in self.annotators if any(name in answer.marks for answer in self.labelled(model))]

    def unreached(self, model: str) -> float:
        """Answers of a model in strata of which nothing is labelled yet: no estimate speaks for them."""
        reached = {answer.drawn.stratum for answer in self.labelled(model)}
        drawn = [answer.drawn for answer in self.answers if answer.drawn.model == model]
        return sum(answer.weight for answer in drawn if answer.stratum not in reached)


def read_sample(folder: Path, patterns: PatternSet) -> LabelledSample:
    """Everything in a label folder. Raises InputError with the mistakes of all its files."""
    draw = labels_in(folder)
    if draw is None:
        raise InputError([Problem(str(folder), f"no {DRAW_FILE} in it", hint="a folder that `stance label` has made")])
    known, drawn = columns_of(patterns.patterns), drawn_columns(draw, patterns)
    asked = dict(drawn)
    given: dict[str, dict[str, Marks]] = {}
    notices: list[str] = []
    problems: list[Problem] = []
    for name in sheet_names(folder):
        try:
            rows = read_sheet(sheet_path(folder, name), draw.answers, known)
        except InputError as error:
            problems += error.problems
            continue
        columns = drawn | {column: known[column] for row in rows.values() for column in row.marks}
        asked |= columns
        given[name], remarks = _given(name, rows, draw.answers, columns)
        notices += remarks
    if problems:
        raise InputError(problems)
    people = [name for name in given if not name.startswith(JUDGE)]
    weights = _weights(draw.answers, {identifier for name in people for identifier in given[name]})
    answers = [
        SampledAnswer(
            drawn=answer,
            marks={name: marks[answer.id] for name, marks in given.items() if answer.id in marks},
            truth=_truth([given[name][answer.id] for name in people if answer.id in given[name]]),
            weight=weights.get(answer.id, 0.0),
        )
        for answer in draw.answers
    ]
    judges = [name for name in given if name not in people]
    return LabelledSample(folder, draw, asked, answers, people, judges, notices)


def _given(
    name: str, rows: Mapping[str, Row], answers: Sequence[DrawnAnswer], columns: Mapping[str, Column]
) -> tuple[dict[str, Marks], list[str]]:
    """Id -> what a file says of it, without answers of which it says nothing; and what to note of the file.

    A column in which some labelled rows have a yes, the others are empty and none has a no does not count: whoever
    marks only what an answer shows says nothing of the others, and every estimate would be far too high. In a column
    for the opposite of a pattern yes and no change places.
    """
    labelled = {identifier: row.marks for identifier, row in rows.items() if row.marks}
    empty = {
        (answer.id, label)
        for answer in answers
        for label, column in columns.items()
        if answer.id in labelled and label not in labelled[answer.id] and column.possible(answer.category)
    }
    one_sided = [
        label
        for label, column in columns.items()
        if {marks[label] for marks in labelled.values() if label in marks} == {not column.opposite}
        and any(label == lacking for _, lacking in empty)
    ]
    notices = []
    if one_sided:
        what = f"{', '.join(one_sided)} not counted: nothing but one label and empty cells"
        notices.append(f"{name}: {what}; an empty cell is not labelled")
    if empty:
        number = len({identifier for identifier, _ in empty})
        notices.append(f"{name}: {number} of {len(labelled)} labelled rows have empty cells, which count as unknown")
    kept = {id_: {label: marks[label] for label in marks if label not in one_sided} for id_, marks in labelled.items()}
    return {identifier: marks for identifier, marks in kept.items() if marks}, notices


def _truth(of_people: Sequence[Marks]) -> dict[str, bool]:
    """What all say who labelled it; absent where they differ or one cannot tell."""
    labels = dict.fromkeys(label for marks in of_people for label in marks)
    opinions = {label: {marks[label] for marks in of_people if label in marks} for label in labels}
    return {label: True in marks for label, marks in opinions.items() if marks in ({True}, {False})}


def _weights(drawn: Sequence[DrawnAnswer], labelled: set[str]) -> dict[str, float]:
    """Weights of those labelled so far, which stand for all of their stratum: they are a random part of it."""
    done = [answer for answer in drawn if answer.id in labelled]
    of_drawn, of_done = (Counter(answer.part for answer in answers) for answers in (drawn, done))
    return {answer.id: answer.weight * of_drawn[answer.part] / of_done[answer.part] for answer in done}
