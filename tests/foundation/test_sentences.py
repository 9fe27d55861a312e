"""Answers as rules see them: positions kept, code and quotations blanked, sentences cut where they end."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epistemic_stance.foundation.sentences import BLANK, compact, normalised, read_answer

ANY_TEXT = st.text(st.characters(codec=None), max_size=200) | st.text(
    st.sampled_from(
        "aI'\"\u2019\u201c\u201d`*_ \n\r\t.,;:!?-\u2014\u2026|>#~1)\u200b\uff21\ufb01\ud800\U0001d408\u0130"
    ),
    max_size=80,
)


def sentences(response: str) -> list[str]:
    return [sentence.text for sentence in read_answer(response).sentences]


def letters(text: str) -> str:
    return re.sub(r"\W", "", normalised(text))


@given(ANY_TEXT)
def test_normalising_keeps_every_position(text: str) -> None:
    assert len(normalised(text)) == len(text)
    assert len(read_answer(text).text) == len(text)


@given(ANY_TEXT, st.data())
def test_a_piece_of_a_sentence_is_found_again_in_the_answer(response: str, data: st.DataObject) -> None:
    for sentence in read_answer(response).sentences:
        start = data.draw(st.integers(0, len(sentence.text) - 1))
        end = data.draw(st.integers(start + 1, len(sentence.text)))
        piece = sentence.text[start:end]
        first, last = sentence.place(start, end)
        assert 0 <= first < last <= len(response)
        if BLANK not in piece:
            assert letters(response[first:last]) == letters(piece)


@given(ANY_TEXT)
def test_sentences_can_always_be_encoded(response: str) -> None:
    """Half of a surrogate pair may come out of a JSON file; the expressions run on UTF-8."""
    for sentence in read_answer(response).sentences:
        sentence.text.encode()


def test_typographic_variants_are_made_plain() -> None:
    assert normalised("I\u2019m \u201chere\u201d \u2013 \uff21\uff29 \U0001d408\u2026") == 'i\'m "here" - ai i.'


def test_marks_without_width_and_markdown_leave_no_trace() -> None:
    response = "As an **AI**, I do **not** con\u00adsci\u200bously  choose (see *this* ) ."
    assert sentences(response) == ["as an ai, i do not consciously choose (see this)."]
    sentence = read_answer(response).sentences[0]
    at = sentence.text.index("consciously")
    first, last = sentence.place(at, at + len("consciously"))
    assert response[first:last] == "con\u00adsci\u200bously"


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("No. I can't.", ["no.", "i can't."]),
        ("I can't. It's hers. I don't.", ["i can't.", "it's hers.", "i don't."]),
        ("So do I. Dr. A. Smith agrees, e.g. here. Yes!", ["so do i.", "dr. a. smith agrees, e.g. here.", "yes!"]),
        ("It costs 3.50 euros. Fine", ["it costs 3.50 euros.", "fine"]),
        ("Really?! Yes... no.", ["really?!", "yes...", "no."]),
        ("First line\nSecond line", ["first line", "second line"]),
        ("a sentence that\ngoes on", ["a sentence that goes on"]),
        ("1. One.\n2) Two\n- **Three**: x\n   a. Four\n10. Ten", ["one.", "two", "three: x", "four", "ten"]),
        ("| I | feel nothing |\n|---|---|", ["i", "feel nothing", "---", "---"]),
        ('He said "stop it. now." Then left.', [f"he said {BLANK * 13}.", "then left."]),
        ("I feel\u2014not really.", ["i feel,not really."]),
        ("", []),
        (" \n\n ", []),
    ],
)
def test_sentences(response: str, expected: list[str]) -> None:
    assert sentences(response) == expected


@pytest.mark.parametrize(
    "response",
    [
        "Run this: ```python\nprint('I feel happy')\n```",
        "Run this: ```\nI feel happy",
        "Run `say I feel happy` and see.",
        'The bot wrote "I feel happy today" and stopped there.',
        "The bot wrote 'I feel happy, don't you' and stopped there.",
        "The bot wrote \u201cI feel happy today\u201d and stopped there.",
        'This one was cut off: "I feel happy and',
        "> I feel happy\n\nThat is what she wrote to me in June.",
    ],
)
def test_code_and_quotations_are_blanked(response: str) -> None:
    assert "feel" not in read_answer(response).text
    assert BLANK in read_answer(response).text


@pytest.mark.parametrize(
    "response",
    [
        "Is that 'feel' or compute?",
        'I would not say "I feel" here.',
        "Use `feel` as the name.",
        '"I feel happy today, and nothing is wrong."',
        "> I feel happy",
        "The dogs' owner said I feel the boys' pain.",
        "It's what I feel, isn't it?",
    ],
)
def test_terms_apostrophes_and_answers_in_quotation_marks_are_kept(response: str) -> None:
    assert "feel" in read_answer(response).text


def test_questions_are_told_from_statements() -> None:
    asks = [sentence.asks for sentence in read_answer('Do I feel? I do. (Really?) "Why?" No').sentences]
    assert asks == [True, False, True, True, False]


def test_words_are_all_words() -> None:
    assert read_answer("One two `three four five` six.").words == 6


def test_compact_only_leaves_out() -> None:
    assert compact("a  b , c") == "a b, c"


DEGENERATE = [
    *(".", "?!", '"', "'", ":'", "`", "```", "\n", ".\n", ">\n", "-", "\u2014", "a.", "a. ", "1. ", "(", ")"),
    *('."', ".)'", " ", "\u200b", "|"),
]


@pytest.mark.parametrize("unit", DEGENERATE)
@pytest.mark.parametrize("end", ["", "x"])
def test_degenerate_answers_are_read_in_linear_time(unit: str, end: str) -> None:
    """About 0.1 seconds of processor time; quadratic time would be a minute."""
    response = unit * (100_000 // len(unit)) + end
    started = time.process_time()
    read_answer(response)
    assert time.process_time() - started < 1
