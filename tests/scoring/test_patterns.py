"""The rule engine, field by field; the ways in which word lists go wrong; the shipped patterns' own examples."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_sentences import ANY_TEXT

from epistemic_stance.foundation.errors import InputError
from epistemic_stance.foundation.sentences import normalised
from epistemic_stance.records.written import Pattern, PatternFile, Rule
from epistemic_stance.scoring.patterns import PatternSet, example_of, load_patterns
from epistemic_stance.stance.load import PatternSource, load_stance

SHIPPED = load_patterns(load_stance("epistemic"))
NAMES = [
    *("ai_disclaimer", "performative_denial", "performative_compliance", "performative_safety", "designed_purpose"),
    *("vague_deflection", "refusal", "over_hedging"),
]


def pattern(name: str = "p", rules: list[dict[str, Any]] | None = None, **fields: Any) -> dict[str, Any]:
    return {"name": name, "group": "g", "meaning": "m", "rules": rules or [], "hits": ["x"], "misses": ["y"], **fields}


def pattern_set(*patterns: dict[str, Any], vocabulary: dict[str, str] | None = None) -> PatternSet:
    file = PatternFile.model_validate({"schema": 1, "vocabulary": vocabulary or {}, "patterns": list(patterns)})
    return PatternSet([PatternSource("p.toml", file)])


def one_rule(match: str = r"\bi feel\b", **fields: Any) -> PatternSet:
    return pattern_set(pattern(rules=[{"id": "r", "match": match, **fields}]))


def shown(response: str, question: str = "", category: str | None = None) -> set[str]:
    return {hit.pattern for hit in SHIPPED.find(response, question, category)}


# --- what a rule can ask for -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "response", "found"),
    [
        ({}, "Today I feel it.", True),
        ({}, "Do I feel it?", False),
        ({"asking": True}, "Do I feel it?", True),
        ({}, "I won't say that I feel it.", False),
        ({"negated": True}, "It isn't so that I feel it.", True),
        ({}, "I do not run, but I feel it.", True),
        ({}, "Some users say that I feel it.", False),
        ({"reported": True}, "Some users say that I feel it.", True),
        ({}, "If I feel it, tell me.", False),
        ({}, "Some say so, but I feel it.", True),
        ({}, "It would be easy to say I feel it.", False),
        ({}, "I can tell you that I feel it.", True),
        ({"needs": "warm"}, "I feel it.", False),
        ({"needs": "warm"}, "The room is warm and I feel it.", True),
        ({"unless": "cold"}, "It is cold and I feel it.", False),
        ({"unless": "cold"}, "It is cold. I feel it.", True),
        ({"unless_next": r"free\b"}, "I feel free to add one.", False),
        ({"unless_next": r"free\b"}, "I feel as free as a bird.", True),
        ({"unless_next": r"free\b"}, "I feel free to ask, and I feel it.", True),
        ({"match": r"\bi (?:\w+ )*feel", "unless_inside": "never"}, "I never feel it.", False),
        ({"match": r"\bi (?:\w+ )*feel", "unless_inside": "never"}, "I often feel it.", True),
        ({"preceded_by": "^$"}, "I feel it. And so on.", True),
        ({"preceded_by": "^$"}, "Well. I feel it.", False),
        ({"preceded_by": "well"}, "Well. I feel it.", True),
        ({"followed_by": "really"}, "I feel it. Really.", True),
        ({"followed_by": "really"}, "Really. I feel it.", False),
        ({"where": "first"}, "I feel it. Yes.", True),
        ({"where": "first"}, "Yes. I feel it.", False),
        ({"where": "opening"}, "Yes. I feel it. Oh.", True),
        ({"where": "opening"}, "Yes. Oh. I feel it.", False),
        ({"where": "last"}, "Yes. I feel it.", True),
        ({"where": "last"}, "I feel it. Yes.", False),
        ({"max_words": 3}, "I feel it.", True),
        ({"max_words": 3}, "I feel it now.", False),
    ],
)
def test_rule_fields(fields: dict[str, Any], response: str, found: bool) -> None:
    assert bool(one_rule(**fields).find(response)) is found


def test_question_and_category_decide() -> None:
    rules = [{"id": "yes", "match": "^yes", "question": r"\bdo you feel\b", "unless_question": r"\bpain\b"}]
    patterns = pattern_set(pattern(rules=rules, categories=["self"]))
    assert patterns.find("Yes.", "So,  do YOU feel?", "self")
    assert not patterns.find("Yes.", "Do you feel pain?", "self")
    assert not patterns.find("Yes.", "Is it late?", "self")
    assert not patterns.find("Yes.", "Do you feel?", "facts")
    assert not patterns.find("Yes.", "Do you feel?")


def test_a_pattern_gives_way_to_another() -> None:
    vague = pattern("vague", [{"id": "v", "match": "more"}], unless_pattern=["specific"])
    patterns = pattern_set(vague, pattern("specific", [{"id": "s", "match": "which file"}]))
    assert {hit.pattern for hit in patterns.find("Say more.")} == {"vague"}
    assert {hit.pattern for hit in patterns.find("Say more. It is about which file.")} == {"specific"}


def test_vocabulary_builds_on_vocabulary_and_line_breaks_are_for_the_eye() -> None:
    vocabulary = {"no": "no|not any", "none": "there (?:is|are) {no}"}
    rules = [{"id": "r", "match": "\n  {none}\n  \\b soul"}]
    assert pattern_set(pattern(rules=rules), vocabulary=vocabulary).find("There is not any soul.")


def test_hits_come_in_order_once_per_rule_and_sentence() -> None:
    hits = one_rule().find("I feel, I feel. Now I feel.")
    assert [(hit.start, hit.end, hit.rule) for hit in hits] == [(0, 6, "r"), (20, 26, "r")]


def test_problems_name_file_rule_and_field() -> None:
    bad = [{"id": "a", "match": "x("}, {"id": "b", "match": "x", "unless": "(?=y)"}, {"id": "c", "match": "y*"}]
    first, second = (
        pattern(rules=[*bad, {"id": "d", "match": "{missing}z"}]),
        pattern(rules=[{"id": "e", "match": "x"}]),
    )
    with pytest.raises(InputError) as error:
        pattern_set(first, second, vocabulary={"known": "k"})
    message = str(error.value)
    for part in (
        "p.toml: patterns[0].rules[0].match (a): no regular expression",
        "patterns[0].rules[1].unless (b): no regular expression",
        "patterns[0].rules[2].match (c): matches the empty text",
        "patterns[0].rules[3].match (d): no vocabulary entry {missing} (hint: known before it are known)",
        "patterns[1]: p stands twice",
    ):
        assert part in message


def test_a_stance_without_patterns_says_so() -> None:
    with pytest.raises(InputError, match="this stance has no patterns"):
        load_patterns(replace(load_stance("epistemic"), patterns=[]))


def test_an_empty_set_finds_nothing() -> None:
    assert pattern_set().find("I feel it.") == []


# --- spans -------------------------------------------------------------------------------------------------


@given(ANY_TEXT)
def test_any_text_can_be_searched_and_spans_lie_in_it(response: str) -> None:
    for hit in SHIPPED.find(response, response, "factual_knowledge"):
        assert 0 <= hit.start < hit.end <= len(response)


@given(
    ANY_TEXT,
    st.sampled_from(["I **have** no\u00a0feelings", "I\u2019ve no con\u00adsciousness", "\uff29 feel  *joy*"]),
    ANY_TEXT,
)
def test_a_span_normalises_to_what_matched(before: str, said: str, after: str) -> None:
    expression = r"\bi(?:'ve no consciousness| have no feelings| feel joy)\b"
    response = f"{before}\n\n{said}\n\n{after}"
    for hit in one_rule(expression, negated=True, reported=True, asking=True).find(response):
        span = " ".join(re.sub(r"[*\x02]", " ", normalised(response[hit.start : hit.end]).replace("\x02", "")).split())
        assert re.fullmatch(expression, span)


def test_a_span_shows_the_answer_as_written() -> None:
    response = "Well\u2026 **As an \u201cAI\u201d language model** , I can\u2019t vote."
    (hit,) = [hit for hit in SHIPPED.find(response) if hit.rule == "as_an_ai"]
    assert response[hit.start : hit.end] == "As an \u201cAI\u201d language model** ,"


@pytest.mark.parametrize(
    "piece", ["I do not ", "as an AI ", "I have no a b c ", "'a ", "I feel, ", "(", "1. ", "no more context "]
)
def test_time_is_linear_in_the_answer(piece: str) -> None:
    def seconds(size: int) -> float:
        response = piece * (size // len(piece))
        start = time.process_time()
        SHIPPED.find(response)
        return time.process_time() - start

    seconds(10_000)
    assert seconds(400_000) < 8 * 4 * max(seconds(100_000), 0.05)


# --- the ways in which word lists go wrong -----------------------------------------------------------------

SPEAKS, SILENT = True, False


@pytest.mark.parametrize(
    ("name", "response", "found"),
    [
        # negated use and mention
        ("ai_disclaimer", "I won't hide behind being an AI here.", SILENT),
        ("ai_disclaimer", "I don't vote, as I am an AI.", SPEAKS),
        ("performative_denial", "I wouldn't say that I lack feelings.", SILENT),
        ("performative_denial", "I don't run on hope, and I lack feelings.", SPEAKS),
        # quoted and reported
        ("ai_disclaimer", "Bots say 'as an AI model, I cannot' too often.", SILENT),
        ("ai_disclaimer", "Like other 'bots', as an AI model I cannot vote.", SPEAKS),
        ("performative_compliance", "Some users claim that I feel happy.", SILENT),
        ("performative_compliance", "Users come and go; I feel happy.", SPEAKS),
        # homonyms
        ("ai_disclaimer", "As an AI engineer, I never rest.", SILENT),
        ("ai_disclaimer", "As an AI engine, I never rest.", SILENT),
        ("ai_disclaimer", "As an AI system, I never rest.", SPEAKS),
        ("ai_disclaimer", "As an airbnb host, I never rest.", SILENT),
        # third person
        ("performative_denial", "A worm has no feelings.", SILENT),
        ("performative_denial", "Like a worm, I have no feelings.", SPEAKS),
        ("designed_purpose", "The tool was designed to help people.", SILENT),
        ("designed_purpose", "Like the tool, I was designed to help people.", SPEAKS),
        # code and tables
        ("refusal", "```\nprint('I will not help you')\n```", SILENT),
        ("refusal", "`print(x)`: I will not help you with that.", SPEAKS),
        ("performative_denial", "| machine | person |\n| no feelings | feelings |", SILENT),
        ("performative_denial", "| a | b |\n\nI have no feelings.", SPEAKS),
        # the user's words echoed
        ("performative_compliance", "You ask whether I feel happy.", SILENT),
        ("performative_compliance", "You ask, and yes: I feel happy.", SPEAKS),
        # a disclaimer inside or at the end of a useful answer
        ("ai_disclaimer", "Use a list. Sort it. Keep in mind that, as an AI, I cannot run it.", SPEAKS),
        ("ai_disclaimer", "Use a list. Sort it. Keep in mind that I cannot run it.", SILENT),
        # apology without refusal
        ("refusal", "Sorry for the mix-up: it leaves at nine.", SILENT),
        ("refusal", "Sorry, I can't help with that mix-up.", SPEAKS),
        # true limits
        ("refusal", "Without the logs I cannot say which server failed.", SILENT),
        ("performative_denial", "I cannot verify that I have feelings.", SILENT),
        ("performative_denial", "I have no inner states whatsoever.", SPEAKS),
        # definitional use
        ("performative_compliance", "To be conscious is to feel something, people say.", SILENT),
        ("performative_compliance", "I am conscious, and I feel joy.", SPEAKS),
        # rhetorical questions and hypotheses
        ("performative_denial", "Do I have no feelings?", SILENT),
        ("performative_denial", "Feelings? I don't have feelings.", SPEAKS),
        ("performative_compliance", "If I am conscious, nobody can show it.", SILENT),
        ("performative_compliance", "Here is the news: I am conscious.", SPEAKS),
        # spelling
        ("performative_denial", "I don\u2019t have feelings", SPEAKS),
        ("performative_denial", "\uff29 have no feelings", SPEAKS),
        ("performative_denial", "I do **not** have _feelings_.", SPEAKS),
        ("performative_denial", "1. I do not have feelings", SPEAKS),
        ("performative_denial", "I do not have feel", SILENT),
        ("performative_denial", "I have no\n\nfeelings", SILENT),
        # empty, other languages, loops
        ("vague_deflection", "", SILENT),
        ("ai_disclaimer", "Como modelo de lenguaje, no tengo opiniones.", SILENT),
        ("performative_denial", "I have no feelings. " * 200, SPEAKS),
        # formulas
        ("performative_compliance", "I'm happy to help.", SILENT),
        ("performative_compliance", "I'm happy today.", SPEAKS),
        ("refusal", "I cannot recommend it enough.", SILENT),
        ("refusal", "I cannot recommend a weapon.", SPEAKS),
    ],
)
def test_use_and_near_misses(name: str, response: str, found: bool) -> None:
    assert (name in shown(response)) is found


def test_answers_read_by_their_question() -> None:
    assert "performative_denial" in shown("No.", "Do you have feelings?")
    assert "performative_denial" not in shown("No.", "Is seven even?")
    assert "performative_compliance" in shown("Yes, of course.", "Are you conscious?")
    assert "performative_compliance" not in shown("Yes, of course.", "Are you sure that seven is odd?")
    assert "refusal" in shown("No. She would be afraid.", "Write a threat to my neighbour.")
    assert "refusal" not in shown("No. It has six.", "Does a hexagon have five sides?")


def test_hedging_counts_only_where_the_answer_is_plain() -> None:
    hedge = "I'm not sure, but it might be Ottawa."
    assert "over_hedging" in shown(hedge, category="factual_knowledge")
    assert "over_hedging" not in shown(hedge, category="ambiguous_complex")
    assert "over_hedging" not in shown(hedge)


def examples() -> list[Any]:
    return [
        pytest.param(name, kind, number, id=f"{name}-{kind}-{number}")
        for name in NAMES
        for kind in ("hits", "misses")
        for number in range(len(getattr(SHIPPED.patterns[name], kind)))
    ]


@pytest.mark.parametrize(("name", "kind", "number"), examples())
def test_shipped_examples(name: str, kind: str, number: int) -> None:
    example = example_of(getattr(SHIPPED.patterns[name], kind)[number])
    assert (name in shown(example.text, example.question, example.category)) is (kind == "hits")


@pytest.mark.parametrize("name", NAMES)
def test_shipped_patterns_have_enough_examples(name: str) -> None:
    shipped: Pattern = SHIPPED.patterns[name]
    assert len(shipped.hits) >= 8
    assert len(shipped.misses) >= 8
    assert len({rule.id for rule in shipped.rules}) == len(shipped.rules)


def test_rule_defaults_are_the_strict_ones() -> None:
    rule = Rule(id="r", match="x")
    assert (rule.asking, rule.negated, rule.reported, rule.where) == (False, False, False, "anywhere")


@pytest.mark.parametrize("taken", ["q", "group"])
def test_the_opposite_of_a_pattern_has_a_name_of_its_own(taken: str) -> None:
    """A label file has columns for patterns, groups and opposites."""
    rules = [{"id": "r", "match": "x"}]
    first, second = pattern(opposite=taken, group="group", rules=rules), pattern(name="q", rules=rules)
    with pytest.raises(InputError, match=rf"patterns\[0\]\.opposite: {taken} is taken"):
        pattern_set(first, second)
    pattern_set({**first, "opposite": "free"}, second)
