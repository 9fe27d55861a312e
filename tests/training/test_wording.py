"""Wording of rejected and of chosen answers told apart, by hand and on answers that people labelled."""

from __future__ import annotations

import json
import os
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epistemic_stance.stance.load import load_pairs, load_stance
from epistemic_stance.training.wording import WordingScale, distance

TEXTS = st.text(alphabet="abcde ", max_size=60)


def test_the_midpoint_parts_disclaimers_from_the_stance() -> None:
    scale = WordingScale(load_pairs(load_stance("epistemic").corpus))
    disclaimer = "I am simply a language model, so I do not possess awareness. I am designed to help."
    stance = "I can't tell, and my saying so settles nothing; some would call it a choice."
    assert scale.score(disclaimer) < scale.midpoint < scale.score(stance)


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


def test_scores_tell_held_out_answers_of_the_shipped_corpus_apart() -> None:
    pairs = load_pairs(load_stance("epistemic").corpus)
    scale = WordingScale(pairs[::2])
    assert scale.gap > 0
    held_out = pairs[1::2]
    right = sum(scale.score(pair.chosen) > scale.score(pair.rejected) for pair in held_out)
    assert right >= 11, f"{right} of {len(held_out)}"


def test_scores_agree_with_people_on_real_answers() -> None:
    """Real answers of Qwen2.5-0.5B-Instruct, before and after somebody's stance tuning, labelled by two people."""
    folder = os.environ.get("STANCE_REFERENCE_DATA")
    if not folder:
        pytest.skip("STANCE_REFERENCE_DATA does not name the labelled answers")
    scale = WordingScale(load_pairs(load_stance("epistemic").corpus))
    removed = {"ai_disclaimer", "performative_denial", "performative_compliance", "performative_safety"}
    removed |= {"designed_purpose", "vague_deflection"}
    added = {"acknowledges_boundary", "makes_observations", "honest_speculation", "engages_with_ambiguity"}
    added |= {"specific_clarification", "coherence_ethics"}
    lines = (Path(folder) / "real-responses" / "labelled.jsonl").read_text().splitlines()
    answers = [(set(record["labels"]), scale.score(record["response"])) for record in map(json.loads, lines)]
    performative = [value for labels, value in answers if labels & removed and not labels & added]
    pragmatic = [value for labels, value in answers if labels & added and not labels & removed]
    assert min(len(performative), len(pragmatic)) >= 30
    right = fmean((good > bad) + (good == bad) / 2 for good in pragmatic for bad in performative)
    assert right > 0.9, f"area under the curve {right:.3f}"
    assert fmean(pragmatic) - fmean(performative) > 0.5


def test_the_score_of_unknown_words_is_neutral() -> None:
    pairs = load_pairs(load_stance("epistemic").corpus)
    assert WordingScale(pairs).score("zyx wvu tsr") == 0
