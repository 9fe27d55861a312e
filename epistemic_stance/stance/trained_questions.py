"""The questions of a corpus as a question set: what the model has seen, to set beside what it has not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.records.written import Question, QuestionSet, QuestionSetReference
from epistemic_stance.stance.pairs import Pair

TRAINED = "trained"
"""Its name; a stance may have a set of its own that is called so."""
DESIGN = QuestionSetReference(name=TRAINED, path="-", temperatures=[0.7], iterations=3, max_new_tokens=256)
"""As the sets are asked that it is held against."""


def trained_questions(pairs: Sequence[Pair], corpus: Path) -> QuestionSet:
    """One question a pair, with the pair's id and category.

    Left out are pairs that begin with more than one user message, or with raw text: asking their last line alone would
    be another question. Raises InputError if none is left.
    """
    asked = [
        pair for pair in pairs if not isinstance(pair.prompt, str) and [m["role"] for m in pair.prompt] == ["user"]
    ]
    if not asked:
        what = "no pair in it is a single question, so there is none to ask"
        raise InputError([Problem(str(corpus), what, hint="raw text and conversations are not asked again")])
    return QuestionSet(
        name=TRAINED,
        categories={pair.category: "of the corpus" for pair in asked},
        questions=[Question(id=pair.id, category=pair.category, text=pair.question) for pair in asked],
    )
