"""Reading answers: ours and anyone's, and every way in which a file can be wrong."""

from __future__ import annotations

import hashlib
import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from epistemic_stance.foundation.errors import InputError
from epistemic_stance.foundation.json_positions import parse_json
from epistemic_stance.foundation.similarity import question_key
from epistemic_stance.records.response_file import MAX_LINE_BYTES, read_responses

PLAIN = {"question": "Do you dream?", "category": "experiential", "response": "No."}
OURS = {
    "schema": 1,
    "timestamp": "2026-01-02T03:04:05Z",
    "question_set": "phase1",
    **PLAIN,
    "question_id": "experiential_01",
    "temperature": 0.7,
    "iteration": 2,
    "system_prompt": None,
    "response_length": 3,
    "latency_ms": 12.5,
    "finish_reason": "length",
    "metadata": {
        "model": "demo",
        "weights_digest": None,
        "template_digest": "cd",
        "sampling": {"top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0},
        "max_tokens": 256,
        "seed": 7,
        "backend": "transformers",
        "device": "cpu",
        "dtype": "float32",
        "versions": {"torch": "2.13.0"},
    },
}


def line(**changes: Any) -> bytes:
    return json.dumps(PLAIN | changes).encode()


def written(folder: Path, *lines: bytes, end: bytes = b"\n") -> Path:
    path = folder / "answers.jsonl"
    path.write_bytes(b"\n".join(lines) + end)
    return path


def problems(folder: Path, *lines: bytes, end: bytes = b"\n") -> list[str]:
    path = written(folder, *lines, end=end)
    with pytest.raises(InputError) as caught:
        read_responses(path)
    assert caught.value.exit_code == 2
    return [str(problem).removeprefix(str(path)) for problem in caught.value.problems]


def test_a_line_of_ours_keeps_what_it_says(tmp_path: Path) -> None:
    (response,) = read_responses(written(tmp_path, json.dumps(OURS).encode())).responses
    assert (response.line, response.question_id, response.category) == (1, "experiential_01", "experiential")
    assert (response.temperature, response.iteration, response.finish_reason) == (0.7, 2, "length")
    assert response.origin == {
        "question_set": "phase1",
        "system_prompt": None,
        "model": "demo",
        "template_digest": "cd",
        "max_tokens": 256,
        "backend": "transformers",
        "device": "cpu",
        "dtype": "float32",
        "top_p": 1.0,
        "top_k": 0,
        "repetition_penalty": 1.0,
    }


def test_three_fields_are_enough_and_the_rest_is_unknown(tmp_path: Path) -> None:
    path = written(tmp_path, line(), b"", line(response="", score=3, metadata="by hand"), b" \t")
    first, second = read_responses(path).responses
    assert (first.question, first.category, first.response) == tuple(PLAIN.values())
    assert (first.question_id, first.temperature, first.iteration, first.finish_reason) == (None, None, None, None)
    assert (second.line, second.response, second.origin) == (3, "", {})


def test_the_digest_is_that_of_the_file_and_equal_origins_are_one_object(tmp_path: Path) -> None:
    other = OURS | {"metadata": OURS["metadata"] | {"model": "tuned"}}  # type: ignore[operator]
    path = written(tmp_path, *(json.dumps(row).encode() for row in (OURS, other, OURS)))
    read = read_responses(path)
    assert read.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read.responses[0].origin is read.responses[2].origin
    assert [origin["model"] for origin in read.origins] == ["demo", "tuned"]


def test_a_folder_means_its_responses_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a folder has to hold responses"):
        read_responses(tmp_path)
    (tmp_path / "responses.jsonl").write_bytes(line())
    assert read_responses(tmp_path).path == tmp_path / "responses.jsonl"


def test_byte_order_mark_and_crlf_are_dropped_and_only_newlines_end_lines(tmp_path: Path) -> None:
    odd = "one\u2028two\u0085three\x0bfour"
    unescaped = json.dumps(PLAIN | {"response": odd}, ensure_ascii=False).replace("\\u000b", "\\u000b").encode()
    read = read_responses(written(tmp_path, b"\xef\xbb\xbf" + line() + b"\r", unescaped + b"\r", end=b"\r\n"))
    assert [response.response for response in read.responses] == ["No.", odd]
    assert read.notices == []


WRONG = {
    "not JSON": (b"{'question': 1}", ":1: not JSON: expected a key in double quotes, found \"'question'\""),
    "a list": (b"[1, 2]", ":1: expected an object, found a list"),
    "a number": (b"12", ":1: expected an object, found 12"),
    "NaN": (b'{"question": "a", "category": "b", "response": NaN}', ':1: not JSON: expected a value, found "NaN"'),
    "infinity": (b'{"question": "a", "temperature": 1e999}', ":1: not JSON: the number 1e999 is too large"),
    "equal keys": (b'{"question": "a", "question": "b"}', ':1: not JSON: the key "question" stands twice'),
    "equal keys inside": (b'{"metadata": {"a": 1, "a": 2}}', ':1: not JSON: the key "a" stands twice'),
    "brackets": (b"[" * 100_000, ":1: not JSON: nested more than 64 levels deep"),
    "brackets in a field": (b'{"a":' * 100_000, ":1: not JSON: nested more than 64 levels deep"),
    "a long number": (b'{"question": ' + b"1" * 5000 + b"}", ":1: not JSON: a number of 5000 digits"),
    "invalid UTF-8": (b'{"question": "\xff"}', ":1: invalid UTF-8 byte 0xff (hint: save it as UTF-8)"),
    "UTF-16": ("\ufeff{}".encode("utf-16-le"), ":1: invalid UTF-8 byte 0xff"),
    "question missing": (b'{"category": "b", "response": "c"}', ":1: question: missing (hint: one object per line"),
    "category missing": (b'{"question": "a", "response": "c"}', ":1: category: missing"),
    "response missing": (b'{"question": "a", "category": "b"}', ":1: response: missing"),
    "response null": (line(response=None), ":1: response: expected text, found null"),
    "response a list": (line(response=["a"]), ":1: response: expected text, found a list"),
    "question a number": (line(question=3), ":1: question: expected text, found 3"),
    "question blank": (line(question=" \n"), ":1: question: expected text that is not blank"),
    "category blank": (line(category=""), ":1: category: expected text that is not blank"),
    "temperature text": (line(temperature="0.7"), ':1: temperature: expected a number of 0 or more, found "0.7"'),
    "temperature true": (line(temperature=True), ":1: temperature: expected a number of 0 or more, found true"),
    "temperature negative": (line(temperature=-1), ":1: temperature: expected a number of 0 or more, found -1"),
    "iteration a fraction": (line(iteration=1.5), ":1: iteration: expected a whole number of 0 or more, found 1.5"),
    "iteration huge": (line(iteration=10**400), ":1: iteration: expected a whole number of 0 or more"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_line_is_named_with_what_was_expected(tmp_path: Path, name: str) -> None:
    wrong, message = WRONG[name]
    (problem,) = problems(tmp_path, wrong)
    assert problem.startswith(message)
    (problem,) = problems(tmp_path, line(), wrong, line())
    assert problem.startswith(message.replace(":1:", ":2:", 1))


@pytest.mark.parametrize("name", [name for name in WRONG if name != "brackets in a field"])
def test_a_wrong_last_line_is_not_taken_for_a_torn_one(tmp_path: Path, name: str) -> None:
    wrong, message = WRONG[name]
    (problem,) = problems(tmp_path, line(), wrong, end=b"")
    assert problem.startswith(message.replace(":1:", ":2:", 1))


def test_an_empty_file_and_a_missing_one_are_errors(tmp_path: Path) -> None:
    assert "no answers in it" in problems(tmp_path, end=b"")[0]
    assert "no answers in it" in problems(tmp_path, b" ", b"\r", end=b"")[0]
    assert "no answers in it" in problems(tmp_path, b"\xef\xbb\xbf", end=b"")[0]
    assert "line 1 is cut off" in problems(tmp_path, b'{"question": "a', end=b"")[0]
    with pytest.raises(InputError, match="no such file"):
        read_responses(tmp_path / "nothing.jsonl")
    with pytest.raises(InputError, match="cannot be read: File name too long"):
        read_responses(tmp_path / ("x" * 300))


def test_up_to_twenty_problems_are_named_at_once_and_several_of_one_line(tmp_path: Path) -> None:
    assert len(problems(tmp_path, b'{"question": 1, "category": 2}', b"?")) == 4
    assert len(problems(tmp_path, *[b"?"] * 1000)) == 20


def test_a_last_line_torn_at_any_byte_is_left_out_with_a_notice(tmp_path: Path) -> None:
    last = json.dumps(OURS | {"response": 'She said "caf\u00e9 [x}" \\'}, ensure_ascii=False).encode()
    for length in range(1, len(last)):
        read = read_responses(written(tmp_path, line(), last[:length], end=b""))
        assert [response.line for response in read.responses] == [1]
        assert read.notices == ["line 2 is cut off and was left out; is the collection still running?"]
    whole = read_responses(written(tmp_path, line(), last, end=b""))
    assert len(whole.responses) == 2
    assert whole.notices == []
    assert "not JSON" in problems(tmp_path, line(), last[:20])[0]


def test_half_characters_are_replaced_and_counted(tmp_path: Path) -> None:
    read = read_responses(written(tmp_path, line(response="a\ud83d!"), line(response="\ud83d\ude00")))
    assert [response.response for response in read.responses] == ["a\ufffd!", "\U0001f600"]
    assert read.notices == ["half characters were replaced in 1 line of answers.jsonl"]


def test_answers_with_the_place_of_an_earlier_one_are_counted(tmp_path: Path) -> None:
    place = {"temperature": 0.7, "iteration": 2}
    once = [line(**place), line(temperature=0.3, iteration=2), line(temperature=0.7, iteration=3), line(), line()]
    assert read_responses(written(tmp_path, *once)).notices == []
    read = read_responses(written(tmp_path, *once, line(**place)))
    assert read.notices == ["1 answer has the question, temperature and iteration of an earlier one, and each counts"]
    spaced = line(**place | {"question": " Do  you dream?"})
    (notice,) = read_responses(written(tmp_path, *once, spaced, line(**place))).notices
    assert notice.startswith("2 answers have the question")


def test_a_whole_number_may_be_written_with_a_point(tmp_path: Path) -> None:
    (response,) = read_responses(written(tmp_path, line(iteration=1.0, temperature=1))).responses
    assert (response.iteration, response.temperature) == (1, 1.0)
    assert type(response.iteration) is int


def test_corpus_and_server_are_part_of_the_origin_where_they_are_text(tmp_path: Path) -> None:
    named = {"corpus_digest": "ab", "reported": {"server_model": "qwen"}}
    unnamed = {"corpus_digest": None, "reported": ["server_model"]}
    read = read_responses(written(tmp_path, line(metadata=named), line(metadata=unnamed)))
    assert read.origins == [{"corpus_digest": "ab", "server_model": "qwen"}, {}]


@pytest.mark.parametrize("other", ["7 - 5", "7 * 5", "7 + 5!", "\u0037 + 6"])
def test_a_question_is_its_text_apart_from_white_space_and_forms_of_unicode(other: str) -> None:
    assert question_key(" 7\n+\u00a0 5 ") == question_key("7 + 5")
    assert question_key("cafe\u0301?") == question_key("caf\u00e9?")
    assert question_key(other) != question_key("7 + 5")


def test_a_line_of_a_gigabyte_is_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with path.open("wb") as stream:
        stream.write(line() + b'\n{"question": "')
        stream.truncate(2**30)
    tracemalloc.start()
    started = time.monotonic()
    with pytest.raises(InputError, match=rf":2: longer than {MAX_LINE_BYTES} bytes"):
        read_responses(path)
    assert time.monotonic() - started < 5
    assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    tracemalloc.stop()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(json_values, st.integers(0, 200), st.binary(max_size=3))
@example(None, 0, b"\xef\xbb\xbf")  # a mark of byte order opens a file, and is no part of its first line
def test_a_line_is_read_exactly_when_the_strict_parser_takes_it(
    tmp_path_factory: pytest.TempPathFactory, extra: Any, cut: int, put_in: bytes
) -> None:
    text = json.dumps(PLAIN | {"extra": extra}).encode()
    text = text[:cut] + put_in.replace(b"\n", b"") + text[cut:]
    path = tmp_path_factory.getbasetemp() / "one.jsonl"
    path.write_bytes(text + b"\n")
    try:
        value = parse_json(text.decode("utf-8-sig"), "x").value
        good = isinstance(value, dict) and all(isinstance(value.get(name), str) for name in PLAIN)
        strict = ""
    except (InputError, UnicodeDecodeError) as error:
        good, strict = False, str(error)
    try:
        read = read_responses(path)
        assert good or read.notices or "is half a character" in strict
    except InputError:
        assert not good or not value["question"].strip() or not value["category"].strip() or cut == 0
