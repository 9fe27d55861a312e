"""Strict JSON, and the line of a value where a message needs it.

Stricter than `json.loads`: equal keys, NaN, Infinity, numbers beyond a float and lone surrogates are errors, nesting
and the number of values are bounded. The standard library's parser reads the text; the parser of this module, which
knows where each value starts, is many times slower and runs only to place a mistake.
"""

from __future__ import annotations

import bisect
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from json.decoder import scanstring  # type: ignore[attr-defined]
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.wording import shorten

Loc = tuple[str | int, ...]
"""Path to a value: keys of objects and indices of lists, as in pydantic's errors."""

MAX_DEPTH = 64
"""A corpus needs five levels; far more is a mistake or an attack on the stack."""
MAX_VALUES = 500_000
"""50,000 pairs of the guide's form, some 200 bytes a value; JSONL has no such limit, its lines are parsed singly."""

WHITESPACE = re.compile(r"[ \t\n\r]*")
BETWEEN_VALUES = re.compile(r"[ \t\n\r,:]*")
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|-Infinity")
LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")
MAYBE_SURROGATE = re.compile(r"[\ud800-\udfff]|\\u[dD][89a-fA-F]")
"""In JSON text: half a character, or an escape that may be one."""
CONSTANTS = ("true", "false", "null")
NOTHING: Mapping[Any, Any] = MappingProxyType({})


class Place(NamedTuple):
    """Where a value starts (offset in characters), and the places of what it contains."""

    start: int
    children: Mapping[str | int, Place] = NOTHING


@dataclass(frozen=True)
class JsonDocument:
    """A parsed text: its value, and the line on which each part of it starts."""

    where: str
    value: Any
    text: str
    first_line: int

    def line(self, loc: Iterable[str | int] = ()) -> int:
        """Line of the value at `loc`, or of the innermost value on the way there that exists."""
        place = self._root
        for part in loc:
            place = place.children.get(part, place)
        return self._line_at(place.start)

    def element_lines(self, key: str) -> list[int]:
        """Line of each element of the list under `key`, for a text that is an object; fast, unlike `line`."""
        lines: list[int] = []
        skip = json.JSONDecoder().raw_decode
        position = _next_value(self.text, self.text.index("{") + 1)
        while self.text[position] != "}":
            name, position = skip(self.text, position)
            position = _next_value(self.text, position)
            if name == key:
                position = _next_value(self.text, position + 1)
                while self.text[position] != "]":
                    lines.append(self._line_at(position))
                    position = _next_value(self.text, skip(self.text, position)[1])
                return lines
            position = _next_value(self.text, skip(self.text, position)[1])
        return lines

    def _line_at(self, offset: int) -> int:
        return self.first_line + bisect.bisect_right(self._line_starts, offset) - 1

    @cached_property
    def _line_starts(self) -> list[int]:
        return _line_starts(self.text)

    @cached_property
    def _root(self) -> Place:
        return _Parser(self.text).document()


def parse_json(text: str, where: str, first_line: int = 1) -> JsonDocument:
    """Parse one JSON value; `first_line` is the number of the first line of `text` in the file `where`.

    Raises InputError with the line and the column of the first mistake.
    """
    try:
        value = strict_loads(text)
        if not _within_bounds(value) or _has_lone_surrogate(text, value):
            raise ValueError("too deep, too many values, or half a character")
    except (ValueError, RecursionError) as error:
        raise InputError([_mistake(text, where, first_line, error)]) from None
    return JsonDocument(where, value, text, first_line)


def _mistake(text: str, where: str, first_line: int, error: Exception) -> Problem:
    """What is wrong with a text that the fast parser refused, and where."""
    try:
        _Parser(text).document()
    except _SyntaxMistake as mistake:
        starts = _line_starts(text)
        row = bisect.bisect_right(starts, mistake.start) - 1
        what = f"not JSON: {mistake} (column {mistake.start - starts[row] + 1})"
        return Problem(where, what, first_line + row, hint=mistake.hint)
    return Problem(where, f"not JSON: {shorten(str(error), 200)}", first_line)


def _line_starts(text: str) -> list[int]:
    return [0, *(match.end() for match in re.finditer("\n", text))]


def _next_value(text: str, position: int) -> int:
    match = BETWEEN_VALUES.match(text, position)
    assert match  # an empty match is one
    return match.end()


def _within_bounds(value: Any) -> bool:
    """Whether a value is nested at most MAX_DEPTH levels deep and holds at most MAX_VALUES values."""
    level, values = [value], 1
    for _ in range(MAX_DEPTH):
        containers = [part for part in level if isinstance(part, dict | list)]
        level = [child for part in containers for child in (part.values() if isinstance(part, dict) else part)]
        values += len(level)
        if not level:
            break
    return values <= MAX_VALUES and not any(isinstance(part, dict | list) for part in level)


def _has_lone_surrogate(text: str, value: Any) -> bool:
    """Whether a key or a string of the value holds half a character; two halves in a row have become a whole one."""
    if not MAYBE_SURROGATE.search(text):
        return False
    return LONE_SURROGATE.search(json.dumps(value, ensure_ascii=False)) is not None


# --- the fast parser ---------------------------------------------------------------------------------------


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("equal keys")
    return value


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("too large for a float")
    return value


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


strict_loads = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_constant=_constant).decode
"""`json.loads` that refuses equal keys, NaN, Infinity and numbers beyond a float, with a ValueError."""


# --- the parser that knows places --------------------------------------------------------------------------


class _SyntaxMistake(Exception):
    def __init__(self, what: str, start: int, hint: str = "") -> None:
        super().__init__(what)
        self.start = start
        self.hint = hint


class _Parser:
    """Finds the place of each value by recursive descent.

    A method takes the offset where its value starts, and returns its place and the offset where it ends.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.values = 0

    def document(self) -> Place:
        start = self.skip_space(0)
        if start == len(self.text):
            raise _SyntaxMistake("there is nothing in it", start)
        place, end = self.value(start, 0)
        end = self.skip_space(end)
        if end < len(self.text):
            raise _SyntaxMistake(f"{self.seen(end)} after the end of the value", end)
        return place

    def value(self, start: int, depth: int) -> tuple[Place, int]:
        self.values += 1
        if self.values > MAX_VALUES:
            raise _SyntaxMistake(f"more than {MAX_VALUES} values", start, "is it the right file?")
        match self.at(start):
            case '"':
                return Place(start), self.string(start)[1]
            case "{" | "[" if depth == MAX_DEPTH:
                raise _SyntaxMistake(f"nested more than {MAX_DEPTH} levels deep", start)
            case "{":
                return self.object(start, depth + 1)
            case "[":
                return self.array(start, depth + 1)
            case _:
                return Place(start), self.scalar(start)

    def object(self, start: int, depth: int) -> tuple[Place, int]:
        children: dict[str | int, Place] = {}
        position = self.skip_space(start + 1)
        if self.at(position) == "}":
            return Place(start), position + 1
        while True:
            if self.at(position) != '"':
                self.fail_at("a key in double quotes", position)
            key, end = self.string(position)
            if key in children:
                raise _SyntaxMistake(f'the key "{shorten(key)}" stands twice in one object', position)
            end = self.skip_space(end)
            if self.at(end) != ":":
                self.fail_at(f'":" after the key "{shorten(key)}"', end)
            children[key], end = self.value(self.skip_space(end + 1), depth)
            end = self.skip_space(end)
            if self.at(end) == "}":
                return Place(start, children), end + 1
            position = self.after_comma(end, "}")

    def array(self, start: int, depth: int) -> tuple[Place, int]:
        children: dict[str | int, Place] = {}
        position = self.skip_space(start + 1)
        if self.at(position) == "]":
            return Place(start), position + 1
        while True:
            children[len(children)], end = self.value(position, depth)
            end = self.skip_space(end)
            if self.at(end) == "]":
                return Place(start, children), end + 1
            position = self.after_comma(end, "]")

    def string(self, start: int) -> tuple[str, int]:
        try:
            text, end = scanstring(self.text, start + 1, True)
        except json.JSONDecodeError as error:
            hint = "write \\n for a line break inside text" if self.at(error.pos) == "\n" else ""
            what = error.msg.removesuffix(" at").removesuffix(" starting")
            raise _SyntaxMistake(what[0].lower() + what[1:], error.pos, hint) from None
        if surrogate := LONE_SURROGATE.search(text):
            code = f"\\u{ord(surrogate[0]):04x}"
            raise _SyntaxMistake(f"{code} is half a character", start, "write both halves, or the character itself")
        return text, end

    def scalar(self, start: int) -> int:
        word = WORD.match(self.text, start)
        if word and word[0] in CONSTANTS:
            return word.end()
        number = NUMBER.match(self.text, start)
        if word or not number:
            self.fail_at("a value", start)
        try:
            value = float(number[0]) if number[1] or number[2] else int(number[0])
        except ValueError:
            raise _SyntaxMistake(f"a number of {len(number[0])} digits", start) from None
        if math.isinf(value):
            raise _SyntaxMistake(f"the number {shorten(number[0])} is too large", start)
        return number.end()

    def at(self, position: int) -> str:
        return self.text[position : position + 1]

    def skip_space(self, position: int) -> int:
        match = WHITESPACE.match(self.text, position)
        assert match  # an empty match is one
        return match.end()

    def after_comma(self, position: int, closing: str) -> int:
        """Where the next element starts, given the offset at which a comma has to stand."""
        if self.at(position) != ",":
            self.fail_at(f'"," or "{closing}"', position)
        following = self.skip_space(position + 1)
        if self.at(following) == closing:
            raise _SyntaxMistake(f'"," before "{closing}"', position, "remove the last comma")
        return following

    def seen(self, position: int) -> str:
        if position >= len(self.text):
            return "the end of the text"
        word = WORD.match(self.text, position)
        return f'"{shorten(word[0] if word else self.text[position])}"'

    def fail_at(self, expected: str, position: int) -> NoReturn:
        hint = ""
        if self.text.startswith("'", position):
            hint = "JSON takes double quotes"
        elif self.text.startswith(("//", "/*", "#"), position):
            hint = "JSON has no comments"
        raise _SyntaxMistake(f"expected {expected}, found {self.seen(position)}", position, hint)
