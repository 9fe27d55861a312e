"""What pydantic finds wrong with a written record, in plain words and with the line in the file."""

from __future__ import annotations

import contextlib
import difflib
import json
from collections.abc import Iterator
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.json_positions import JsonDocument, Loc
from epistemic_stance.foundation.wording import shorten

Model = TypeVar("Model", bound=BaseModel)

EXPECTED = {
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "string_too_short": "text that is not blank",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "a name of letters, digits and . _ : - that starts with a letter or digit",
    "too_short": "at least {min_length} in it",
    "too_long": "at most {max_length} in it",
    "literal_error": "{expected}",
}
"""Pydantic's error type -> what was expected, completed from the error's context."""

WRONG_TYPE = {"string_type", "list_type", "dict_type", "model_type"}


def validated(model: type[Model], document: JsonDocument) -> Model:
    """The record that `document` holds; raises InputError with every problem, its line and its field."""
    return validated_value(model, document.value, document.where, document)


def validated_value(model: type[Model], value: Any, where: str, document: JsonDocument | None = None) -> Model:
    """`validated` for a value without known lines (TOML)."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InputError(_problems(model, error, value, where, document)) from None


def _problems(
    model: type[BaseModel], error: ValidationError, value: Any, where: str, document: JsonDocument | None
) -> list[Problem]:
    by_path: dict[Loc, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        by_path.setdefault(_path(detail, value), []).append(detail)
    # Below a union pydantic reports every branch; a branch of another type says nothing once one went deeper.
    entered = {path[:length] for path in by_path for length in range(len(path))}
    problems = []
    for path, details in by_path.items():
        if path in entered and all(detail["type"] in WRONG_TYPE for detail in details):
            continue
        what, hint = _words(model, path, details)
        line = document.line(path) if document else None
        problems.append(Problem(where, what, line, _field(path), hint))
    return problems


def _path(detail: ErrorDetails, value: Any) -> Loc:
    """The error's `loc` without what is no place in the file: names of union branches and `[key]`."""
    path: list[str | int] = []
    for part in detail["loc"]:
        with contextlib.suppress(KeyError, IndexError, TypeError):
            value = value[part]
            path.append(part)
    if detail["type"] == "missing":
        path.append(detail["loc"][-1])
    return tuple(path)


def _words(model: type[BaseModel], path: Loc, details: list[ErrorDetails]) -> tuple[str, str]:
    """What is wrong at one path, and a hint."""
    kind = details[0]["type"]
    if kind == "missing":
        return "missing", ""
    if kind == "extra_forbidden":
        known = list(_fields(_model_at(model, path[:-1])))
        close = difflib.get_close_matches(str(path[-1])[:100], known, n=1)
        return "unknown field", f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
    expected = dict.fromkeys(EXPECTED.get(d["type"], d["msg"]).format(**d.get("ctx", {})) for d in details)
    return f"expected {' or '.join(expected)}, found {_described(details[0]['input'])}", ""


def _described(value: Any) -> str:
    match value:
        case str():
            return f'"{shorten(value)}"'
        case list():
            return f"a list of {len(value)}"
        case dict():
            return f"an object of {len(value)}" if value else "an empty object"
    return shorten(json.dumps(value, default=str))


def _field(path: Loc) -> str:
    """`training_pairs[3].question`; keys that people chose are shortened and escaped."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{shorten(part)}" for part in path]
    return "".join(parts).removeprefix(".")


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    """Field name as written in the file -> its type."""
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _model_at(model: type[BaseModel], path: Loc) -> type[BaseModel]:
    for part in path:
        model = next(_models_in(_fields(model).get(str(part))), model)
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
