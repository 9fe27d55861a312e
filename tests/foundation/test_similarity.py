"""Words of a text, edit distance and near-duplicates, by hand and against the plain definitions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from epistemic_stance.foundation.similarity import edit_distance, matches, repetition, words

few_words = st.lists(st.sampled_from("abcd"), max_size=12)


@given(few_words, few_words)
def test_edit_distance_agrees_with_the_textbook_recursion(first: list[str], second: list[str]) -> None:
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, start=1):
        previous, row[0] = row[0], i
        for j, b in enumerate(second, start=1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    assert edit_distance(first, second) == row[-1]


def test_edit_distance_by_hand() -> None:
    assert edit_distance(["the", "cat", "sat"], ["the", "dog", "sat", "down"]) == 2
    assert edit_distance([], ["a", "b"]) == 2
    assert edit_distance(["a"] * 300, ["b"] * 300 + ["a"]) == 300


@given(
    st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=8).map(" ".join), max_size=12), st.sampled_from([0.5, 0.75])
)
def test_a_match_is_found_exactly_when_some_earlier_text_is_alike(texts: list[str], threshold: float) -> None:
    def alike(first: str, second: str) -> bool:
        a, b = set(first.split()), set(second.split())
        return first == second or (bool(a | b) and len(a & b) / len(a | b) >= threshold)

    expected = [n for n, text in enumerate(texts) if any(alike(text, earlier) for earlier in texts[:n])]
    got = matches(texts, threshold)
    assert [number for number, _ in got] == expected
    assert all(alike(texts[number], texts[match.index]) and match.index < number for number, match in got)


def test_words_see_through_case_punctuation_and_typography() -> None:
    assert words("Don\u2019t \u201cSTOP\u201d, o.k.?") == ["don't", "stop", "o", "k"]
    assert words("\uff21\uff22 stra\u00dfe") == ["ab", "strasse"]
    assert words("\u4f60\u597dabc") == ["\u4f60", "\u597d", "abc"]
    assert [match.exact for _, match in matches(["What? ", "WHAT", "???", "!!!", "???"], 0.5)] == [True, True]


def test_repetition_by_hand() -> None:
    """'a a a a a' has two 4-grams, both the same: one of two repeats."""
    assert repetition("a a a a a") == 0.5
    assert repetition("a b c d e") == 0
    assert repetition("too short") == 0
