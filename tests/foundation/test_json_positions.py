"""Strict JSON: agrees with the standard library on what it accepts, and points at what it does not."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.json_positions import MAX_DEPTH, parse_json

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)


def problem_in(source: str, first_line: int = 1) -> Problem:
    with pytest.raises(InputError) as caught:
        parse_json(source, "f.json", first_line)
    [problem] = caught.value.problems
    assert problem.where == "f.json"
    return problem


@given(values, st.sampled_from([None, 0, 2]), st.booleans())
def test_accepts_what_json_loads_accepts_with_the_same_value(value: Any, indent: int | None, ascii_only: bool) -> None:
    source = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert parse_json(source, "f.json").value == json.loads(source)


@given(st.text(st.sampled_from('{}[]:,"\\u0d8e1-.+ \ntruefalsN'), max_size=30))
def test_any_text_parses_as_the_standard_library_does_or_is_an_input_error(source: str) -> None:
    try:
        document = parse_json(source, "f.json")
    except InputError:
        return
    assert document.value == json.loads(source)
    assert document.line() >= 1  # the parser that knows places accepts it too


@given(values)
def test_every_line_is_the_line_on_which_the_value_is_written(value: Any) -> None:
    """Each scalar is replaced by its own number, so that its line can be found by searching for that number."""
    paths: list[tuple[str | int, ...]] = []

    def numbered(part: Any, path: tuple[str | int, ...]) -> Any:
        if isinstance(part, dict):
            return {key: numbered(item, (*path, key)) for key, item in part.items()}
        if isinstance(part, list):
            return [numbered(item, (*path, index)) for index, item in enumerate(part)]
        paths.append(path)
        return f"<leaf {len(paths) - 1}>"

    source = json.dumps(numbered(value, ()), indent=1)
    document = parse_json(source, "f.json")
    for number, path in enumerate(paths):
        assert f'"<leaf {number}>"' in source.split("\n")[document.line(path) - 1]


@given(st.dictionaries(text, values, max_size=3), st.lists(values, max_size=5), st.sampled_from([None, 0, 2]))
def test_lines_of_the_elements_of_a_list(around: dict[str, Any], elements: list[Any], indent: int | None) -> None:
    document = parse_json(json.dumps({**around, "key": elements, "last": 1}, indent=indent), "f.json", first_line=3)
    assert document.element_lines("key") == [document.line(("key", number)) for number in range(len(elements))]
    assert parse_json('{"a": {"key": [1]}}', "f.json").element_lines("key") == []


def test_a_place_that_does_not_exist_is_the_innermost_one_that_does() -> None:
    document = parse_json('{\n"a": [\n{"b": 1},\n{}\n]\n}', "f.json", first_line=10)
    assert document.line() == 10
    assert document.line(("a",)) == 11
    assert document.line(("a", 0, "b")) == 12
    assert document.line(("a", 1, "missing")) == 13
    assert document.line(("a", 7)) == 11
    assert document.line(("a", "name of a union branch", 1)) == 13


@pytest.mark.parametrize(
    ("source", "line", "said"),
    [
        ("", 1, "nothing in it"),
        (" \n ", 2, "nothing in it"),
        ('{"a": 1,\n "b": }', 2, 'expected a value, found "}" (column 7)'),
        ('{"a": 1,\n "a": 2}', 2, 'the key "a" stands twice'),
        ('{"a": {"b": 1},\n "c": {"d": 1,\n"e": 2, "d": 3}}', 3, 'the key "d" stands twice'),
        ("[1,\nNaN]", 2, 'found "NaN"'),
        ("[1,\n-Infinity]", 2, 'found "-Infinity"'),
        ("[\n1e999]", 2, "too large"),
        (f"[\n{'9' * 5000}]", 2, "5000 digits"),
        ('[\n"\\ud800"]', 2, "\\ud800 is half a character"),
        ('[\n"\\ude00\\ud83d"]', 2, "\\ude00 is half a character"),
        ('{"\\udfff": 1}', 1, "half a character"),
        ("[1]\n[2]", 2, 'expected the end of the text, found "["'),
        ("[1,\n]", 2, 'expected a value, found "]"'),
        ('"never\nclosed"', 1, "control character"),
        ('[\n"open', 2, "unterminated string"),
        ('"\\q"', 1, "escape"),
        ("[1\n2]", 2, 'expected "," or a closing bracket, found "2"'),
        ('{"a"\n1}', 2, 'expected ":" after the key, found "1"'),
        ("{1: 2}", 1, "expected a key in double quotes"),
        ("[01]", 1, 'expected "," or a closing bracket'),
        ("[1.]", 1, 'expected "," or a closing bracket'),
        ("[+1]", 1, 'expected a value, found "+1"'),
        ("[True]", 1, 'found "True"'),
        ("\x00", 1, "\\x00"),
        ("[1] \u202e", 1, "\\u202e"),
    ],
)
def test_a_mistake_is_named_with_its_line(source: str, line: int, said: str) -> None:
    problem = problem_in(source)
    assert said in problem.what
    assert problem.line == line


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("{'a': 1}", "double quotes"),
        ("[1, // one\n2]", "no comments"),
        ('{"a": 1,}', "last comma"),
        ('"a\nb"', "\\n"),
    ],
)
def test_common_mistakes_come_with_a_hint(source: str, hint: str) -> None:
    assert hint in problem_in(source).hint


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_a_hundred_thousand_brackets_are_an_error_not_a_crash(opening: str) -> None:
    assert f"more than {MAX_DEPTH} levels" in problem_in("[\n" + opening * 100_000).what


def test_depth_up_to_the_limit_is_fine() -> None:
    assert parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH, "f.json").line() == 1
    assert "levels deep" in problem_in("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)).what


def test_one_huge_line_takes_linear_time() -> None:
    def seconds(count: int) -> float:
        source = "[" + ",".join(['{"a": "x"}'] * count) + "]"
        start = time.process_time()
        parse_json(source, "f.json")
        return time.process_time() - start

    assert min(seconds(20_000) for _ in range(3)) < 40 * max(seconds(2_000) for _ in range(3))


def test_the_first_line_number_is_added() -> None:
    assert problem_in("[\nx]", first_line=7).line == 8
