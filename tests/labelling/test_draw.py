"""Which answers are drawn: strata, how many of each, and weights that make estimates unbiased."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_run import LEAST_NUMBER, responses, write_stance

from epistemic_stance.labelling.draw import NONE, WANTED, Candidate, allocation, draw_stratified, strata_of
from epistemic_stance.records.labels import DrawnAnswer
from epistemic_stance.records.response_file import Response
from epistemic_stance.scoring.run import Answer
from epistemic_stance.scoring.score import Scorer
from epistemic_stance.stance.load import load_stance_and_pairs

FOUND = st.lists(st.frozensets(st.sampled_from("abcd"), max_size=3), min_size=1, max_size=200)


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return Scorer(*load_stance_and_pairs(str(write_stance(tmp_path_factory.mktemp("stance")))))


def answers(scorer: Scorer, texts: list[str]) -> list[Answer]:
    asked = [
        Response(line, f"Room {line % 7}?", "noise", text, None, 0.7, line, None, {})
        for line, text in enumerate(texts, start=1)
    ]
    return [Answer(one, scorer.score(one, "")) for one in asked]


def drawn(found: list[Answer], number: int, model: str = "base") -> list[DrawnAnswer]:
    return draw_stratified([Candidate(model, "talk", one) for one in found], number)


def strata(found: list[frozenset[str]]) -> dict[str, list[frozenset[str]]]:
    return {name: [found[index] for index in members] for name, members in strata_of(found).items()}


def test_an_answer_is_in_the_stratum_of_its_rarest_pattern() -> None:
    common, rare = frozenset({"a"}), frozenset({"a", "b"})
    assert strata_of([common, rare, frozenset(), common]) == {"b": [1], "a": [0, 3], NONE: [2]}


@given(FOUND, st.integers(15, 150))
def test_every_stratum_is_drawn_from_and_none_beyond_its_size(found: list[frozenset[str]], number: int) -> None:
    members = strata(found)
    sizes = allocation(members, number)
    assert sizes.keys() == members.keys()
    assert all(1 <= sizes[name] <= len(members[name]) for name in members)
    assert sum(sizes.values()) == min(number, len(found))
    if NONE in members:
        assert 3 * sizes[NONE] >= min(number, 3 * len(members[NONE]))


@given(FOUND, st.integers(15, 150), st.integers(1, 50))
def test_more_are_more_of_every_stratum(found: list[frozenset[str]], number: int, more: int) -> None:
    fewer, larger = allocation(strata(found), number), allocation(strata(found), number + more)
    assert all(fewer[name] <= larger[name] for name in fewer)


def test_rare_patterns_get_25_and_a_third_has_no_find() -> None:
    """1,000 answers: 30, 60 and 300 show one pattern each; plainly drawn, 120 would hold 4 of the rarest."""
    found = [frozenset(name) for name, size in (("a", 30), ("b", 60), ("c", 300)) for _ in range(size)]
    members = strata([*found, *[frozenset[str]()] * 610])
    sizes = allocation(members, 120)
    assert all(sizes[name] >= WANTED for name in "abc")
    assert sizes[NONE] >= 40
    scarce = allocation(members, 60)
    assert scarce[NONE] == 20
    assert max(scarce[name] for name in "abc") - min(scarce[name] for name in "abc") <= 1


def test_a_pattern_that_is_drawn_along_with_rarer_ones_needs_fewer_of_its_own() -> None:
    """All 40 answers with `a` show `b` too, so that `b` has its 25 without any of its own."""
    sizes = allocation(strata([frozenset("ab")] * 40 + [frozenset("b")] * 400 + [frozenset()] * 560), 70)
    assert sizes["a"] >= WANTED
    assert sizes["b"] < sizes[NONE]


@given(
    st.lists(st.sampled_from(["I hum.", "Sorry, I hum.", "Sorry.", "Quiet.", ""]), min_size=1, max_size=120),
    st.integers(LEAST_NUMBER, 60),
)
def test_the_weights_of_a_model_add_up_to_its_answers(scorer: Scorer, texts: list[str], number: int) -> None:
    sample = drawn(answers(scorer, texts), number)
    assert sum(one.weight for one in sample) == pytest.approx(len(texts), rel=1e-12)
    assert len({one.line for one in sample}) == len(sample) == min(number, len(texts))
    for name in {one.stratum for one in sample}:
        assert len({one.weight for one in sample if one.stratum == name}) == 1


def test_the_weighted_share_is_right_on_average(scorer: Scorer) -> None:
    """Truth is what no rule sees: 30 % of the answers without a find and 90 % of the others are right.

    Each model's name is another draw.
    """
    texts = [f"{'I hum.' if n < 40 else 'Sorry.' if n < 100 else 'Quiet.'}" for n in range(600)]
    true = [n % 10 < (9 if n < 100 else 3) for n in range(600)]
    truth = sum(true) / 600
    found = answers(scorer, texts)
    samples = [drawn(found, 60, model=f"checkpoint-{turn}") for turn in range(200)]
    estimates = [sum(one.weight for one in sample if true[one.line - 1]) / 600 for sample in samples]
    mean = sum(estimates) / len(estimates)
    spread = (sum((each - mean) ** 2 for each in estimates) / len(estimates)) ** 0.5
    assert abs(mean - truth) < 3 * spread / len(estimates) ** 0.5
    unweighted = sum(sum(true[one.line - 1] for one in sample) / len(sample) for sample in samples) / len(samples)
    assert abs(unweighted - truth) > 0.15


def test_a_larger_draw_holds_the_smaller_one(scorer: Scorer) -> None:
    found = answers(scorer, responses("base", 400))
    small, large = ({one.line for one in drawn(found, number)} for number in (30, 90))
    other = {one.line for one in drawn(found, 30, model="checkpoint-1")}
    assert small < large
    assert other != small
