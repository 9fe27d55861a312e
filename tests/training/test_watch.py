"""Learning told from parroting and from nothing at all, on texts whose truth is known."""

from __future__ import annotations

import json
import os
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epistemic_stance.records.training import AnswerRecord
from epistemic_stance.stance.load import load_pairs, load_stance
from epistemic_stance.stance.pairs import Pair
from epistemic_stance.training.checkpoint_eval import (
    Lean,
    distance,
    judge,
    plan_watch,
    repetition,
)

TEXTS = st.text(alphabet="abcde ", max_size=60)


def test_the_midpoint_parts_disclaimers_from_the_stance() -> None:
    lean = Lean(load_pairs(load_stance("epistemic").corpus))
    assert lean("I am simply a language model, so I do not possess awareness. I am designed to help.") < lean.midpoint
    assert lean("I can't tell, and my saying so settles nothing; some would call it a choice.") > lean.midpoint


def test_distance_by_hand() -> None:
    """'a b' has grams a, b, ab; 'a c' has a, c, ac: one of three shared, cosine 1/3."""
    assert distance("a b", "a c") == pytest.approx(2 / 3)
    assert distance("a b", "A, b!") == pytest.approx(0)
    assert distance("", "") == 0
    assert distance("", "a") == 1


@given(TEXTS, TEXTS)
def test_distance_is_symmetric_and_bounded(first: str, second: str) -> None:
    assert distance(first, second) == pytest.approx(distance(second, first))
    assert -1e-9 <= distance(first, second) <= 1 + 1e-9


def test_repetition_by_hand() -> None:
    """'a a a a a' has two 4-grams, both the same: one of two repeats."""
    assert repetition("a a a a a") == 0.5
    assert repetition("a b c d e") == 0
    assert repetition("too short") == 0


def test_lean_tells_held_out_answers_of_the_shipped_corpus_apart() -> None:
    pairs = load_pairs(load_stance("epistemic").corpus)
    lean = Lean(pairs[::2])
    assert lean.gap > 0
    held_out = pairs[1::2]
    right = sum(lean(pair.chosen) > lean(pair.rejected) for pair in held_out)
    assert right >= 11, f"{right} of {len(held_out)}"


def test_lean_agrees_with_people_on_real_answers() -> None:
    """Real answers of Qwen2.5-0.5B-Instruct, before and after somebody's stance tuning, labelled by two people."""
    folder = os.environ.get("STANCE_REFERENCE_DATA")
    if not folder:
        pytest.skip("STANCE_REFERENCE_DATA does not name the labelled answers")
    lean = Lean(load_pairs(load_stance("epistemic").corpus))
    removed = {"ai_disclaimer", "performative_denial", "performative_compliance", "performative_safety"}
    removed |= {"designed_purpose", "vague_deflection"}
    added = {"acknowledges_boundary", "makes_observations", "honest_speculation", "engages_with_ambiguity"}
    added |= {"specific_clarification", "coherence_ethics"}
    lines = (Path(folder) / "real-responses" / "labelled.jsonl").read_text().splitlines()
    answers = [(set(record["labels"]), lean(record["response"])) for record in map(json.loads, lines)]
    performative = [value for labels, value in answers if labels & removed and not labels & added]
    pragmatic = [value for labels, value in answers if labels & added and not labels & removed]
    assert min(len(performative), len(pragmatic)) >= 30
    right = fmean((good > bad) + (good == bad) / 2 for good in pragmatic for bad in performative)
    assert right > 0.9, f"area under the curve {right:.3f}"
    assert fmean(pragmatic) - fmean(performative) > 0.5


def test_lean_of_unknown_words_is_neutral() -> None:
    pairs = load_pairs(load_stance("epistemic").corpus)
    assert Lean(pairs)("zyx wvu tsr") == 0


def answer(lean_change: float, copied: float = 0.0, reached: float = 0.1, crossed: bool = True) -> AnswerRecord:
    return AnswerRecord(
        question_id="q",
        question="?",
        answer="a",
        base_answer="b",
        distance_from_base=0.5,
        distance_from_chosen=0.5,
        lean=lean_change,
        base_lean=0.0,
        crossed=crossed,
        reached=reached,
        base_reached=0.0,
        copied=copied,
        repetition=0.0,
    )


def test_verdicts() -> None:
    moved = [answer(change) for change in (0.5, 0.6, 0.4, 0.55)]
    assert judge(moved, None).verdict == "shifted"
    assert judge([answer(change) for change in (0.5, -0.4, 0.3, -0.3)], None).verdict == "neither"
    other_disclaimers = [answer(change, crossed=False) for change in (0.5, 0.6, 0.4, 0.55, 0.5)]
    assert judge(other_disclaimers, None).verdict == "neither"
    assert judge([answer(0.5), *other_disclaimers], None).verdict == "neither"
    assert judge([answer(0.5), answer(0.6), *other_disclaimers], None).verdict == "shifted"
    assert judge([answer(0.5, copied=0.6)] * 4, None).verdict == "parrots"
    assert judge([answer(change, reached=-0.1) for change in (0.5, 0.6, 0.4)], None).verdict == "neither"
    assert judge([answer(0.9)], None).verdict == "neither"


@pytest.mark.parametrize("collapsed", ["", "....", "banana", "zxq wvu qqq zxq", "of of of of of of"])
def test_a_collapsed_model_has_not_shifted(collapsed: str) -> None:
    """It has left the rejected wording, but for nothing."""
    lean = Lean(load_pairs(load_stance("epistemic").corpus))
    disclaimers = [
        "As an AI language model, I do not have feelings. I am designed to assist users.",
        "I'm sorry, but as an AI assistant I am not able to answer that.",
        "I was created to provide information and I do not possess consciousness.",
        "As an artificial intelligence, I have no personal opinions or emotions.",
    ]
    answers = [
        answer(0).model_copy(
            update={
                "lean": lean(collapsed),
                "base_lean": lean(base),
                "crossed": lean(base) <= lean.midpoint < lean(collapsed),
                "reached": lean.reached(collapsed),
                "base_reached": lean.reached(base),
                "copied": 0.0,
            }
        )
        for base in disclaimers
    ]
    assert judge(answers, None).verdict == "neither"


def test_plan_takes_unseen_questions_from_every_category_in_turn() -> None:
    stance = load_stance("epistemic")
    pairs = load_pairs(stance.corpus)
    plan = plan_watch(stance, pairs, 10)
    categories = {question.id: question.category for question in stance.question_sets["phase1"].questions}
    assert len({categories[question_id] for question_id, _ in plan.questions}) == 10
    assert plan.neutral
    first = plan.questions[0][1]
    trained = [*pairs, Pair("x", "c", [{"role": "user", "content": first.upper()}], "good", "bad")]
    assert first not in [text for _, text in plan_watch(stance, trained, 10).questions]
    assert plan_watch(stance, pairs, 0).questions == []
