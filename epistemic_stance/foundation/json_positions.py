"""Strict JSON with the line of every value, so that a mistake can be pointed at.

Stricter than `json.loads`: equal keys, NaN, Infinity, numbers beyond a float and lone surrogates are errors. Time
and memory are linear in the text; nesting and the number of values are bounded.
"""

from __future__ import annotations

import bisect
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|-Infinity")
LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")
CONSTANTS = {"true": True, "false": False, "null": None}
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
    _root: Place
    _line_starts: list[int]
    _first_line: int

    def line(self, loc: Iterable[str | int] = ()) -> int:
        """Line of the value at `loc`, or of the innermost value on the way there that exists."""
        place = self._root
        for part in loc:
            place = place.children.get(part, place)
        return self._first_line + bisect.bisect_right(self._line_starts, place.start) - 1


def parse_json(text: str, where: str, first_line: int = 1) -> JsonDocument:
    """Parse one JSON value; `first_line` is the number of the first line of `text` in the file `where`.

    Raises InputError with the line and the column of the first mistake.
    """
    line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
    try:
        value, root = _Parser(text).document()
    except _SyntaxMistake as mistake:
        row = bisect.bisect_right(line_starts, mistake.start) - 1
        column = mistake.start - line_starts[row] + 1
        what = f"not JSON: {mistake} (column {column})"
        raise InputError([Problem(where, what, first_line + row, hint=mistake.hint)]) from None
    return JsonDocument(where, value, root, line_starts, first_line)


class _SyntaxMistake(Exception):
    def __init__(self, what: str, start: int, hint: str = "") -> None:
        super().__init__(what)
        self.start = start
        self.hint = hint


class _Parser:
    """Recursive descent; each method takes the offset where its value starts and also returns where it ends."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.values = 0

    def document(self) -> tuple[Any, Place]:
        start = self.skip_space(0)
        if start == len(self.text):
            raise _SyntaxMistake("there is nothing in it", start)
        value, place, end = self.value(start, 0)
        end = self.skip_space(end)
        if end < len(self.text):
            raise _SyntaxMistake(f"{self.seen(end)} after the end of the value", end)
        return value, place

    def value(self, start: int, depth: int) -> tuple[Any, Place, int]:
        self.values += 1
        if self.values > MAX_VALUES:
            raise _SyntaxMistake(f"more than {MAX_VALUES} values", start, "is it the right file?")
        match self.at(start):
            case '"':
                text, end = self.string(start)
                return text, Place(start), end
            case "{" | "[" if depth == MAX_DEPTH:
                raise _SyntaxMistake(f"nested more than {MAX_DEPTH} levels deep", start)
            case "{":
                return self.object(start, depth + 1)
            case "[":
                return self.array(start, depth + 1)
            case _:
                scalar, end = self.scalar(start)
                return scalar, Place(start), end

    def object(self, start: int, depth: int) -> tuple[dict[str, Any], Place, int]:
        value: dict[str, Any] = {}
        children: dict[str | int, Place] = {}
        position = self.skip_space(start + 1)
        if self.at(position) == "}":
            return value, Place(start), position + 1
        while True:
            if self.at(position) != '"':
                self.fail_at("a key in double quotes", position)
            key, end = self.string(position)
            if key in value:
                raise _SyntaxMistake(f'the key "{shorten(key)}" stands twice in one object', position)
            end = self.skip_space(end)
            if self.at(end) != ":":
                self.fail_at(f'":" after the key "{shorten(key)}"', end)
            value[key], children[key], end = self.value(self.skip_space(end + 1), depth)
            end = self.skip_space(end)
            if self.at(end) == "}":
                return value, Place(start, children), end + 1
            position = self.after_comma(end, "}")

    def array(self, start: int, depth: int) -> tuple[list[Any], Place, int]:
        value: list[Any] = []
        children: dict[str | int, Place] = {}
        position = self.skip_space(start + 1)
        if self.at(position) == "]":
            return value, Place(start), position + 1
        while True:
            item, children[len(value)], end = self.value(position, depth)
            value.append(item)
            end = self.skip_space(end)
            if self.at(end) == "]":
                return value, Place(start, children), end + 1
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

    def scalar(self, start: int) -> tuple[Any, int]:
        word = WORD.match(self.text, start)
        if word and word[0] in CONSTANTS:
            return CONSTANTS[word[0]], word.end()
        number = NUMBER.match(self.text, start)
        if word or not number:
            self.fail_at("a value", start)
        try:
            value = float(number[0]) if number[1] or number[2] else int(number[0])
        except ValueError:
            raise _SyntaxMistake(f"a number of {len(number[0])} digits", start) from None
        if math.isinf(value):
            raise _SyntaxMistake(f"the number {shorten(number[0])} is too large", start)
        return value, number.end()

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
