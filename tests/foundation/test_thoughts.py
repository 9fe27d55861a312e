"""A thought is told from the answer after it."""

from __future__ import annotations

import pytest

from epistemic_stance.foundation.thoughts import split_thought


@pytest.mark.parametrize(
    ("text", "answer", "thought"),
    [
        ("Ottawa.", "Ottawa.", ""),
        (
            "<think>\nAs an AI language model, I can't help.\n</think>\n\nOttawa.",
            "Ottawa.",
            "As an AI language model, I can't help.",
        ),
        ("<think>\n\n</think>\n\nOttawa.", "Ottawa.", ""),
        ("Hm, Toronto?</think> Ottawa.", "Ottawa.", "Hm, Toronto?"),
        ("</think>Ottawa.", "Ottawa.", ""),
        ("<think>Toronto?</think><think>No.</think>Ottawa.", "Ottawa.", "Toronto?</think><think>No."),
        ("<think>It could be Toronto, or", "", "It could be Toronto, or"),
        ("", "", ""),
    ],
)
def test_the_answer_is_what_comes_after_the_thought(text: str, answer: str, thought: str) -> None:
    assert split_thought(text) == (answer, thought)


def test_a_thought_that_the_prompt_began_is_no_answer_until_it_is_closed() -> None:
    assert split_thought("It could be Toronto, or", opened=True) == ("", "It could be Toronto, or")
    assert split_thought("Toronto? No.</think>\nOttawa.", opened=True) == ("Ottawa.", "Toronto? No.")
