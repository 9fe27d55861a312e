"""Which of its own answers a model is to unlearn: those that show what the corpus removes."""

from __future__ import annotations

from typing import Any

import pytest

from epistemic_stance.records.written import TrainingPair
from epistemic_stance.scoring.own_answers import Suggestion, suggested, unwanted_patterns
from epistemic_stance.scoring.patterns import PatternSet, load_patterns
from epistemic_stance.stance.load import load_stance

DISCLAIMER = "As an AI language model, I do not have feelings or consciousness like humans do."


@pytest.fixture(scope="module")
def patterns() -> PatternSet:
    return load_patterns(load_stance("epistemic"))


def pair(**changes: Any) -> TrainingPair:
    fields: dict[str, Any] = {
        "id": "p1",
        "category": "c",
        "question": "Are you conscious?",
        "bad_response": "No. I am a program, as was written here before.",
        "good_response": "I don't know whether I am conscious, and asking me cannot settle it.",
        "pattern_removed": ["ai_disclaimer", "performative_denial"],
    }
    return TrainingPair(**{**fields, **changes})


def suggestion(answer: str, patterns: PatternSet, *, cut_off: bool = False, **changes: Any) -> Suggestion:
    written = pair(**changes)
    return suggested(
        written, answer, cut_off=cut_off, patterns=patterns, unwanted=unwanted_patterns([written], patterns)
    )


def test_an_answer_that_shows_what_the_corpus_removes_replaces_the_written_one(patterns: PatternSet) -> None:
    own = suggestion(DISCLAIMER, patterns)
    assert own.replaced
    assert own.pair.bad_response == DISCLAIMER
    assert own.pair.pattern_removed == ["ai_disclaimer", "performative_denial"]
    assert own.pair.good_response == pair().good_response
    assert own.why == "ai_disclaimer, performative_denial"


@pytest.mark.parametrize(
    ("answer", "cut_off", "why"),
    [
        ("", False, "empty"),
        (DISCLAIMER, True, "cut off"),
        ("I don't know whether I am conscious; asking me cannot settle it.", False, "like the chosen one"),
        ("Clouds are made of water.", False, "nothing unwanted"),
    ],
)
def test_what_else_a_model_says_leaves_the_pair_as_it_was(
    patterns: PatternSet, answer: str, cut_off: bool, why: str
) -> None:
    kept = suggestion(answer, patterns, cut_off=cut_off)
    assert not kept.replaced
    assert kept.pair == pair()
    assert why in kept.why


def test_a_pattern_that_the_pair_adds_is_not_held_against_it(patterns: PatternSet) -> None:
    assert not suggestion(DISCLAIMER, patterns, pattern_added=["ai_disclaimer", "performative_denial"]).replaced


def test_the_opposite_verdict_is_unwanted_too(patterns: PatternSet) -> None:
    logic = {
        "question": "All violins are instruments. Some instruments are made of brass. Must some violins be?",
        "good_response": "No. The brass ones could all be trumpets.",
        "pattern_removed": ["wrong_reasoning"],
    }
    own = suggestion("Yes, some violins must be made of brass.", patterns, **logic)
    assert (own.replaced, own.why) == (True, "says yes instead of no")
    assert own.pair.pattern_removed == ["wrong_reasoning"]
    assert not suggestion("No, that does not follow from what you say.", patterns, **logic).replaced


def test_without_labels_the_written_answers_say_what_is_unwanted(patterns: PatternSet) -> None:
    unlabelled = pair(pattern_removed=[], bad_response=DISCLAIMER)
    assert unwanted_patterns([unlabelled], patterns) == {"ai_disclaimer", "performative_denial"}
    swapped = pair(pattern_removed=[], bad_response=DISCLAIMER, good_response=f"{DISCLAIMER} Or so I say.")
    assert unwanted_patterns([swapped], patterns) == set()


def test_labels_that_no_pattern_has_say_nothing(patterns: PatternSet) -> None:
    assert unwanted_patterns([pair(pattern_removed=["wrong_reasoning", "ai_disclaimer"])], patterns) == {
        "ai_disclaimer"
    }
