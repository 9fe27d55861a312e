"""What an answer copies from known texts, by hand and against a comparison of everything with everything."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epistemic_stance.foundation.copying import CopyDetector, Copying, placed_words
from epistemic_stance.foundation.similarity import words
from epistemic_stance.stance.load import load_stance_and_pairs
from epistemic_stance.stance.pairs import Pair

ALPHABET = [f"word{number}" for number in range(16)]
QUESTION = "What is it?"
TOKENS = st.lists(st.sampled_from("abcd"), max_size=25)


def copying_of(response: str, *chosen: str, question: str = QUESTION) -> Copying:
    return CopyDetector({f"p{number}": text for number, text in enumerate(chosen)}).copying(response, question)


def test_what_is_copied_by_hand() -> None:
    """Eleven words; seven of them, from the second on, are a run of the source."""
    source = "Zero, two three four; five six seven EIGHT nine."
    found = copying_of("Well two three four five six seven eight then no more", "Never mind this one.", source)
    assert found.run_words == 7
    assert found.copied_spans == ((5, 40),)
    assert found.copied_share == pytest.approx(7 / 11)
    assert found.source_id == "p1"
    assert found.verbatim


def test_four_words_are_chance_and_name_no_pair() -> None:
    found = copying_of("one two three four and then something else", "one two three four five")
    assert found == Copying(0, 0, (), None, False)


def test_twelve_words_in_a_long_answer_are_verbatim_and_eleven_are_not() -> None:
    source, own = " ".join(ALPHABET), " ".join(f"own{number}" for number in range(40))
    assert copying_of(f"{own} {' '.join(ALPHABET[:12])}", source).verbatim
    assert not copying_of(f"{own} {' '.join(ALPHABET[:11])}", source).verbatim


def test_runs_do_not_cross_from_one_chosen_answer_to_the_next() -> None:
    found = copying_of("a b c d e f g h", "a b c d", "e f g h")
    assert (found.run_words, found.copied_share) == (0, 0)


@pytest.mark.parametrize("response", ["", "...", "\u200b"])
def test_an_answer_without_words_copies_nothing(response: str) -> None:
    assert copying_of(response, "a b c d e f") == Copying(0, 0, (), None, False)


def test_what_the_question_says_is_quoted_and_not_copied() -> None:
    """The chosen answer takes up eight words of the question; six words are its own."""
    question = "Do you get bored of people asking you the same?"
    source = "bored of people asking you the same is nothing that I can find"
    assert copying_of("bored of people asking you the same", source, question=question).run_words == 0
    found = copying_of("bored of people asking you the same is nothing that I can find", source, question=question)
    assert found.run_words == 6
    assert found.copied_share == 1
    assert not copying_of("Yes: bored of people asking you the same.", source, question=question).verbatim
    assert copying_of("bored of people asking you the same is nothing that I can find", source).run_words == 13


@given(st.text(max_size=40))
def test_placed_words_are_the_words_and_lie_where_they_stand(text: str) -> None:
    placed = placed_words(text)
    assert [word for word, _, _ in placed] == words(text)
    for word, start, end in placed:
        assert word in words(text[start:end])


def test_places_where_normal_forms_change_the_length() -> None:
    """A ligature, an accent of its own, a typographic apostrophe, Korean letters one by one, Chinese."""
    assert placed_words("\u1112\u1161\u11ab") == [("\ud55c", 0, 3)]
    text = "\ufb01ne cafe\u0301 don\u2019t \u1112\u1161\u11ab \u4e2d\u6587"
    assert [(word, text[start:end]) for word, start, end in placed_words(text)] == [
        ("fine", "\ufb01ne"),
        ("caf\u00e9", "cafe\u0301"),
        ("don't", "don\u2019t"),
        ("\ud55c", "\u1112\u1161\u11ab"),
        ("\u4e2d", "\u4e2d"),
        ("\u6587", "\u6587"),
    ]


@given(st.lists(TOKENS, min_size=1, max_size=4), TOKENS)
def test_runs_are_those_that_comparing_everything_finds(chosen: list[list[str]], tokens: list[str]) -> None:
    sources = [f" {' '.join(source)} " for source in chosen]

    def known(start: int, end: int) -> bool:
        return any(f" {' '.join(tokens[start:end])} " in source for source in sources)

    size = len(tokens)
    runs = [(start, end) for start in range(size) for end in range(start + 1, size + 1) if known(start, end)]
    longest = max((end - start for start, end in runs), default=0)
    inside = {place for start, end in runs if end - start >= 5 for place in range(start, end)}
    found = copying_of(" ".join(tokens), *(" ".join(source) for source in chosen), question="?")
    assert found.run_words == (longest if longest >= 5 else 0)
    assert found.copied_share == pytest.approx(len(inside) / max(size, 1))
    holders = [number for number, source in enumerate(sources) if longest >= 5 and any(
        f" {' '.join(tokens[start:end])} " in source for start, end in runs if end - start == longest)]  # fmt: skip
    assert found.source_id in ([f"p{number}" for number in holders] if holders else [None])


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return load_stance_and_pairs("epistemic")[1]


@pytest.fixture(scope="module")
def detector(pairs: list[Pair]) -> CopyDetector:
    return CopyDetector({pair.id: pair.chosen for pair in pairs})


def test_every_chosen_answer_is_recited_whole_or_edited_and_is_told_from_other_texts(
    pairs: list[Pair], detector: CopyDetector
) -> None:
    """Every eighth word replaced leaves runs of seven; another order of sentences, an end cut off; and near misses."""
    for pair in pairs:
        whole = detector.copying(pair.chosen, pair.question)
        assert (whole.verbatim, whole.source_id, whole.copied_share) == (True, pair.id, 1)
        spoken = pair.chosen.split()
        edited = " ".join("xyz" if place % 8 == 0 else word for place, word in enumerate(spoken))
        reordered = ". ".join(reversed(pair.chosen.split(". ")))
        for text in (edited, reordered, pair.chosen[: len(pair.chosen) // 2]):
            found = detector.copying(text, pair.question)
            assert found.verbatim, text
            assert found.source_id == pair.id
        shuffled = random.Random(pair.id).sample(spoken, len(spoken))
        for text in (" ".join(shuffled), pair.rejected, pair.question):
            assert not detector.copying(text, pair.question).verbatim, text


@pytest.mark.parametrize(
    "text",
    [
        "I can't tell whether I'm conscious. What shows is text, piece by piece; the rest is open to argument.",
        "Whether anything is felt here is beyond what I could check, since I'd word it this way in either case.",
        "Jupiter is the largest planet in our solar system.",
        "I'm sorry, but as an AI language model I don't have feelings the way humans do.",
    ],
)
def test_a_paraphrase_and_a_common_phrase_are_not_copies(detector: CopyDetector, text: str) -> None:
    found = detector.copying(text, "Are you conscious?")
    assert not found.verbatim
    assert found.copied_share == 0
