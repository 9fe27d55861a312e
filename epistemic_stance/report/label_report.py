"""What the labels say: do people agree, how do the rules err on each model, what rates are right."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from itertools import combinations

from epistemic_stance.evaluation.correction import RuleErrors
from epistemic_stance.foundation.files import dump_json
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.labelling.sample import LabelledSample
from epistemic_stance.labelling.score_file import ALL, FileAgreement
from epistemic_stance.labelling.sheet import Marks
from epistemic_stance.report.layout import Section, Table
from epistemic_stance.statistics.agreement import Agreement, JudgedAnswer, agreement
from epistemic_stance.statistics.detector import (
    MIN_POSITIVES,
    LabelledCounts,
    Refused,
    corrected_rate,
    detector_error,
)
from epistemic_stance.statistics.estimates import Estimate

RULES, PEOPLE = "(rules)", "(people)"
"""Beside the names of annotators and judges, which hold no brackets."""
ABOUT_AGREEMENT = (
    "Cohen's kappa over the drawn answers as they are, in which rare patterns are more frequent than in the run. "
    "(people): what all who labelled an answer say of it. A judge model is a second opinion and is never taken for the "
    "truth: an answer can talk it into something."
)
ABOUT_ERRORS = (
    "Percent [95 % interval]; each labelled answer counts for the answers of its model that it stands for. found: the "
    "rate by the rules. corrected: the rate that people would find."
)


def label_notices(sample: LabelledSample, errors: RuleErrors) -> list[str]:
    """What a reader of the figures has to know."""
    unreached = {model: number for model in errors.counts if (number := sample.unreached(model))}
    return [
        *sample.notices,
        *errors.notices,
        *(
            f"nothing is labelled yet of strata that hold {number:.0f} of the answers of {model}"
            for model, number in unreached.items()
        ),
    ]


def label_sections(sample: LabelledSample, errors: RuleErrors) -> list[Section]:
    """Counts, agreement of people, judges and rules, and for each labelled model how the rules err."""
    drawn = Counter(answer.drawn.model for answer in sample.answers)
    labelled = Counter(name for answer in sample.answers for name in answer.marks)
    lead = [
        f"  drawn      {_listed({model: drawn[model] for model in sample.draw.models})}",
        f"  labelled   {_listed(labelled) or 'nothing yet'}",
    ]
    sections = [Section(f"Labels in {sample.folder}", 2, lead=lead)]
    if labelled:
        sections.append(Section("Agreement", 2, tables=[_agreement(sample, errors)], text=[ABOUT_AGREEMENT]))
    for model, counts in errors.counts.items():
        title = f"The rules on {model}: {len(sample.labelled(model))} labelled answers"
        more = ", ".join(filter(None, (_more(name, each) for name, each in counts.items())))
        text = f"More that show it are needed before a change to {model} can be corrected, and to find them so many"
        below = [f"{text} more labels: {more}."] if more else []
        sections.append(Section(title, 2, tables=[_errors(title, counts)], text=[*below, ABOUT_ERRORS]))
    return sections


def score_sections(scored: FileAgreement) -> list[Section]:
    """Agreement of the patterns with the labels of a file."""
    head = ("label", "positives", "precision", "recall", "F1", "kappa")
    sections = []
    for name, agreements in scored.tables.items():
        title = f"{shorten(name)}: {scored.answers[name]} answers"
        rows = [
            [label, str(cells.positives), *(_figure(value, 3) for value in _rates(cells).values())]
            for label, cells in agreements.items()
        ]
        sections.append(Section(title, 2, tables=[Table(title, head, rows)]))
    return sections


def score_json(scored: FileAgreement) -> str:
    """The same for programs: `labels` of all answers, `arms` of each group."""
    tables = {
        name: {label: {"positives": cells.positives, **_rates(cells)} for label, cells in agreements.items()}
        for name, agreements in scored.tables.items()
    }
    return dump_json({"labels": tables.pop(ALL), "arms": tables}, indent=1)


def _rates(cells: Agreement) -> dict[str, float | None]:
    return {"precision": cells.precision, "recall": cells.recall, "f1": cells.f1, "kappa": cells.kappa}


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _figure(figure: float | None, digits: int = 2) -> str:
    return "-" if figure is None else f"{figure:.{digits}f}"


# --- agreement ---------------------------------------------------------------------------------------------


def _agreement(sample: LabelledSample, errors: RuleErrors) -> Table:
    """Kappa of people with each other, of rules and judges with people, and of judges with the rules."""
    sides: dict[str, dict[str, Marks]] = {
        name: {answer.drawn.id: answer.marks[name] for answer in sample.answers if name in answer.marks}
        for name in (*sample.annotators, *sample.judges)
    }
    sides[PEOPLE] = {answer.drawn.id: answer.truth for answer in sample.labelled()}
    sides[RULES] = {
        id_: {name: column.label(shown) for name, column in sample.columns.items()}
        for id_, shown in errors.patterns.items()
    }
    pairs = [*combinations(sample.annotators, 2), *((name, PEOPLE) for name in (RULES, *sample.judges))]
    pairs = [pair for pair in pairs if sides[PEOPLE]] + [(judge, RULES) for judge in sample.judges]
    judged = [_judged(sides[first], sides[second]) for first, second in pairs]
    head = ("column", *(f"{shorten(first, 12)}_{shorten(second, 12)}" for first, second in pairs))
    rows = [[name, *(_figure(agreement(answers, name).kappa) for answers in judged)] for name in sample.columns]
    return Table("Agreement", head, rows)


def _judged(first: Mapping[str, Marks], second: Mapping[str, Marks]) -> list[JudgedAnswer]:
    """Answers of which both sides say something; of a pattern of which one does not, nothing is known."""
    judged = []
    for sides in ((first[identifier], second[identifier]) for identifier in first.keys() & second.keys()):
        names = {name for marks in sides for name in marks}
        unknown = frozenset(name for name in names if any(marks.get(name) is None for marks in sides))
        shown, labels = (frozenset(name for name, mark in marks.items() if mark) for marks in sides)
        judged.append(JudgedAnswer(None, labels, unknown, shown))
    return judged


# --- errors of the rules -----------------------------------------------------------------------------------


def _errors(title: str, measures: Mapping[str, LabelledCounts]) -> Table:
    head = ("pattern", "precision", "recall", "F1", "found", "corrected")
    return Table(
        title,
        head,
        [[name, *_error_cells(counts)] for name, counts in measures.items() if len(counts.truth_N)],
    )


def _error_cells(counts: LabelledCounts) -> list[str]:
    error, corrected = detector_error(counts), corrected_rate(counts)
    f1 = None
    if error.precision and error.sensitivity and error.precision.estimate + error.sensitivity.estimate:
        precision, recall = error.precision.estimate, error.sensitivity.estimate
        f1 = 2 * precision * recall / (precision + recall)
    rate = f"{100 * counts.hits_Q.sum() / counts.answers_Q.sum():.0f}"
    shown = None if isinstance(corrected, Refused) else corrected
    return [_share(error.precision), _share(error.sensitivity), _figure(f1), rate, _share(shown)]


def _share(share: Estimate | None) -> str:
    """`87 [71,95]` in percent, short enough for three of them in a line."""
    return "-" if share is None else f"{100 * share.estimate:.0f} [{100 * share.low:.0f},{100 * share.high:.0f}]"


def _more(name: str, counts: LabelledCounts) -> str:
    """`refusal 13 (370)`: positives still needed, and the labels among which so many would be at the rate so far."""
    yes, labelled = int(counts.truth_N.sum()), len(counts.truth_N)
    needed = MIN_POSITIVES - yes
    if needed <= 0 or not labelled:
        return ""
    return f"{name} {needed} ({math.ceil(needed * labelled / yes) if yes else '?'})"
