"""Strict JSON, and the line of a value where a message needs it.

Stricter than `json.loads`: equal keys, NaN, Infinity, numbers beyond a float and lone surrogates are errors, and
nesting is bounded. The standard library's parser reads the text. `_place`, which knows where each value starts, is
many times slower and runs only to place a mistake.
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
TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep"

BETWEEN_VALUES = re.compile(r"[ \t\n\r,:]*")
SCALAR = re.compile(r"[^\s,:\[\]{}]+|$")
LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")
MAYBE_SURROGATE = re.compile(r"[\ud800-\udfff]|\\u[dD][89a-fA-F]")
"""In JSON text: half a character, or an escape that may be one."""
NOTHING: Mapping[Any, Any] = MappingProxyType({})
EXPECTED = {
    "Expecting value": "a value",
    "Expecting property name enclosed in double quotes": "a key in double quotes",
    "Expecting ',' delimiter": '"," or a closing bracket',
    "Expecting ':' delimiter": '":" after the key',
    "Extra data": "the end of the text",
}
"""The standard library's message -> what was expected."""


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
        elements = _place(self.text, levels=2).children.get(key, Place(0)).children
        return [self._line_at(place.start) for place in elements.values()]

    def _line_at(self, offset: int) -> int:
        return self.first_line + bisect.bisect_right(self._line_starts, offset) - 1

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self.text))]

    @cached_property
    def _root(self) -> Place:
        return _place(self.text, MAX_DEPTH)


def parse_json(text: str, where: str, first_line: int = 1) -> JsonDocument:
    """Parse one JSON value; `first_line` is the number of the first line of `text` in the file `where`.

    Raises InputError with the line and the column of the first mistake.
    """
    try:
        value = strict_loads(text)
        if not _too_deep(value) and not _has_lone_surrogate(text, value):
            return JsonDocument(where, value, text, first_line)
        mistake = _strict_mistake(text)
    except json.JSONDecodeError as error:
        mistake = _syntax_mistake(error)
    except ValueError:
        mistake = _strict_mistake(text)
    except RecursionError:
        mistake = _Mistake(TOO_DEEP, 0)
    line, column = text.count("\n", 0, mistake.start), mistake.start - text.rfind("\n", 0, mistake.start)
    what = f"not JSON: {mistake} (column {column})"
    raise InputError([Problem(where, what, first_line + line, hint=mistake.hint)])


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


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        containers = [part for part in level if isinstance(part, dict | list)]
        level = [child for part in containers for child in (part.values() if isinstance(part, dict) else part)]
    return any(isinstance(part, dict | list) for part in level)


def _has_lone_surrogate(text: str, value: Any) -> bool:
    """Whether a key or a string of the value holds half a character; two halves in a row have become a whole one."""
    if not MAYBE_SURROGATE.search(text):
        return False
    return LONE_SURROGATE.search(json.dumps(value, ensure_ascii=False)) is not None


# --- places, and what is wrong there -----------------------------------------------------------------------


class _Mistake(Exception):
    """What is wrong, at which offset."""

    def __init__(self, what: str, start: int, hint: str = "") -> None:
        super().__init__(what)
        self.start = start
        self.hint = hint


def _syntax_mistake(error: json.JSONDecodeError) -> _Mistake:
    """The standard library's complaint in our words, with a hint where the cause can be seen."""
    text, start = error.doc, error.pos
    hint = ""
    if text.startswith("'", start):
        hint = "JSON takes double quotes"
    elif text.startswith(("//", "/*", "#"), start):
        hint = "JSON has no comments"
    elif text.startswith("\n", start):
        hint = "write \\n for a line break inside text"
    elif text.startswith(("}", "]"), start) and text[:start].rstrip().endswith(","):
        hint = "remove the last comma"
    if not text.strip():
        return _Mistake("there is nothing in it", start)
    if error.msg not in EXPECTED:
        what = error.msg.removesuffix(" at").removesuffix(" starting")
        return _Mistake(what[0].lower() + what[1:], start, hint)
    return _Mistake(f"expected {EXPECTED[error.msg]}, found {_seen(text, start)}", start, hint)


def _strict_mistake(text: str) -> _Mistake:
    """The first mistake in a text in which the standard library finds none."""
    try:
        _place(text, MAX_DEPTH)
    except _Mistake as mistake:
        return mistake
    return _Mistake("it cannot be read", 0)


def _place(text: str, levels: int) -> Place:
    """The places of all values down to so many levels, in a text that is JSON to the standard library.

    Raises _Mistake for the first thing in it that is not strict.
    """
    decode = json.JSONDecoder().raw_decode

    def next_value(position: int) -> int:
        match = BETWEEN_VALUES.match(text, position)
        assert match  # an empty match is a match
        return match.end()

    def place(start: int, depth: int) -> tuple[Place, int]:
        """The place of the value that starts there, and where it ends."""
        if text[start] not in "{[":
            return Place(start), _scalar_end(text, start)
        if depth == levels < MAX_DEPTH:
            return Place(start), decode(text, start)[1]
        if depth == MAX_DEPTH:
            raise _Mistake(TOO_DEEP, start)
        children: dict[str | int, Place] = {}
        position = next_value(start + 1)
        while text[position] not in "}]":
            key: str | int = len(children)
            if text[start] == "{":
                key_start, (key, position) = position, _string(text, position)
                if key in children:
                    raise _Mistake(f'the key "{shorten(str(key))}" stands twice in one object', key_start)
                position = next_value(position)
            children[key], position = place(position, depth + 1)
            position = next_value(position)
        return Place(start, children), position + 1

    return place(next_value(0), 0)[0]


def _scalar_end(text: str, start: int) -> int:
    """Where a string, number or word ends; raises _Mistake if it is not strict."""
    if text[start] == '"':
        return _string(text, start)[1]
    match = SCALAR.match(text, start)
    assert match
    written = match[0]
    try:
        strict_loads(written)
    except ValueError:
        if written.lstrip("-").isdigit():
            raise _Mistake(f"a number of {len(written)} digits", start) from None
        if written.lstrip("-")[0].isdigit():
            raise _Mistake(f"the number {shorten(written)} is too large", start) from None
        raise _Mistake(f"expected a value, found {_seen(text, start)}", start) from None
    return match.end()


def _string(text: str, start: int) -> tuple[str, int]:
    """The string that starts there, and where it ends; raises _Mistake if it holds half a character."""
    string, end = scanstring(text, start + 1, True)
    if surrogate := LONE_SURROGATE.search(string):
        code = f"\\u{ord(surrogate[0]):04x}"
        raise _Mistake(f"{code} is half a character", start, "write both halves, or the character itself")
    return string, end


def _seen(text: str, position: int) -> str:
    match = SCALAR.match(text, position)
    word = match[0] if match else text[position]
    return f'"{shorten(word)}"' if word else "the end of the text"
