"""Which questions a checkpoint may be chosen by, and which are kept to report on it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable

from epistemic_stance.foundation.similarity import question_key
from epistemic_stance.records.analysis import Split
from epistemic_stance.records.written import Question

SPLITS: tuple[Split, ...] = ("select", "report")


def splits_of(questions: Iterable[Question]) -> dict[str, Split]:
    """Question key -> its half, for the questions of one set.

    The best of twenty checkpoints looks better than it is on the questions it was chosen by. So half of each category
    is for choosing (`select`) and half for reporting (`report`, with the odd one). Which half depends on the sha256 of
    the question's text: nobody picks, and a question added or dropped moves at most one other across. Inside a category
    the halves are alike in what is expected (decline or help, yes or no). Questions of one matter, and rewordings of
    one pair, are one unit and stay together.
    """
    strata: defaultdict[tuple[str | None, ...], defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for question in questions:
        key = question_key(question.text)
        unit = question.matter or question.paraphrase_of
        strata[question.category, *(() if unit else _expected(question))][unit or key].append(key)
    splits: dict[str, Split] = {}
    for units in strata.values():
        for number, unit in enumerate(sorted(units, key=lambda name: hashlib.sha256(name.encode()).digest())):
            for key in units[unit]:
                splits[key] = "select" if 2 * number + 1 < len(units) else "report"
    return splits


def _expected(question: Question) -> tuple[str | None, ...]:
    verdict = question.answer.accepted[0] if question.answer and question.answer.kind == "yes_no" else None
    return question.expect, question.favours, verdict
