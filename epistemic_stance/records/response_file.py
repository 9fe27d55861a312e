"""Read a file of answers: ours or anyone's JSONL with a question, a category and a response on every line.

A file is read as a stream, line by line: it may be larger than any other input, and what is kept of a line is small.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from epistemic_stance.foundation.errors import MAX_PROBLEMS_SHOWN, InputError, Problem
from epistemic_stance.foundation.json_positions import LONE_SURROGATE, MAX_DEPTH, parse_json, strict_loads
from epistemic_stance.foundation.similarity import question_key
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records.run_folder import RESPONSES_FILE

MAX_LINE_BYTES = 2**20
"""An answer of 10,000 tokens takes some 50,000 bytes; a far longer line is not one answer."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
REPLACEMENT = "\ufffd"
STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)

REQUIRED = ("question", "category", "response")
LINE_FORM = 'one object per line: {"question": ..., "category": ..., "response": ...}'
ORIGIN_OF_LINE = ("question_set", "system_prompt")
ORIGIN_OF_METADATA = (
    "model",
    "base_model",
    "weights_digest",
    "template_digest",
    "corpus_digest",
    "max_tokens",
    "backend",
    "device",
    "dtype",
)
ORIGIN_OF_SAMPLING = ("top_p", "top_k", "repetition_penalty")
ORIGIN_OF_REPORT = ("server_model",)
OTHER_CORPUS = "the model was trained on another corpus than the one that tells seen from unseen here: give --corpus"

Known = str | int | float | None
Origin = Mapping[str, Known]
"""Whom an answer was asked and how, by the field names of ResponseRecord and its metadata; an absent one is unknown.

`system_prompt` None is the chat template's own default. Temperature, iteration and seed vary inside a run and are not
part of it.
"""


@dataclass(frozen=True, slots=True)
class Response:
    """One answer."""

    line: int
    """Line of the file, from 1."""
    question: str
    category: str
    response: str
    question_id: str | None
    temperature: float | None
    """None = unknown, as for the other fields that a line may lack."""
    iteration: int | None
    finish_reason: str | None
    """`length`: cut by the limit of tokens."""
    origin: Origin
    """Equal ones are one object."""


@dataclass(frozen=True)
class ResponseFile:
    """A file of answers as it was read."""

    path: Path
    sha256: str
    responses: list[Response]
    notices: list[str] = field(default_factory=list)
    """What a reader of the figures has to know about the file."""

    @property
    def origins(self) -> list[Origin]:
        """The different ones, in the order of the file."""
        return list({id(response.origin): response.origin for response in self.responses}.values())


def corpus_notice(file: ResponseFile, digest: str) -> str | None:
    """What to say if the answers name another training corpus than the one with this digest, else None."""
    trained_on = {origin["corpus_digest"] for origin in file.origins if "corpus_digest" in origin}
    return OTHER_CORPUS if trained_on - {digest} else None


def read_responses(path: Path) -> ResponseFile:
    """The answers in `path`; of a folder, those in its responses.jsonl.

    A last line without an end that is cut inside its object is left out with a notice: a collection may be running.
    Half characters (lone surrogates) are replaced, with a notice. Raises InputError with up to 20 problems.
    """
    file = path
    try:
        file = path / RESPONSES_FILE if path.is_dir() else path
        reader = _Reader(str(file))
        with file.open("rb") as stream:
            responses = list(reader.responses(iter(lambda: stream.readline(MAX_LINE_BYTES + 1), b"")))
    except FileNotFoundError as error:
        hint = f"a folder has to hold {RESPONSES_FILE}" if file != path else ""
        raise InputError([Problem(str(file), "no such file", hint=hint)]) from error
    except OSError as error:
        raise InputError([Problem(str(file), f"cannot be read: {error.strerror}")]) from error
    if reader.problems:
        raise InputError(reader.problems)
    if not responses:
        raise InputError([Problem(str(file), "; ".join(["no answers in it", *reader.notices]), hint=LINE_FORM)])
    if reader.replaced:
        lines = "1 line" if len(reader.replaced) == 1 else f"{len(reader.replaced)} lines"
        reader.notices.append(f"half characters were replaced in {lines} of {file.name}")
    if repeated := _repeated(responses):
        have = "1 answer has" if repeated == 1 else f"{repeated} answers have"
        reader.notices.append(f"{have} the question, temperature and iteration of an earlier one, and each counts")
    return ResponseFile(file, reader.digest.hexdigest(), responses, reader.notices)


def _repeated(responses: Iterable[Response]) -> int:
    """Answers with the question, temperature and iteration of an earlier one; an unknown iteration is like none."""
    numbered = [response for response in responses if response.iteration is not None]
    return len(numbered) - len({(question_key(each.question), each.temperature, each.iteration) for each in numbered})


class _Reader:
    """Lines to responses; notes what is wrong with them, and keeps equal texts and origins once."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.problems: list[Problem] = []
        self.notices: list[str] = []
        self.replaced: set[int] = set()
        self.digest = hashlib.sha256()
        self._texts: dict[str, str] = {}
        self._origins: dict[tuple[tuple[str, Known], ...], Origin] = {}

    def responses(self, lines: Iterable[bytes]) -> Iterator[Response]:
        for number, line in enumerate(lines, start=1):
            self.digest.update(line)
            if len(line) > MAX_LINE_BYTES:
                self._note(number, "", f"longer than {MAX_LINE_BYTES} bytes", LINE_FORM)
            elif (value := self._value(number, line)) is not None:
                response = self._response(number, value)
                if response and not self.problems:
                    yield response
            if len(line) > MAX_LINE_BYTES or len(self.problems) >= MAX_PROBLEMS_SHOWN:
                return

    def _note(self, line: int, name: str, what: str, hint: str = "") -> None:
        self.problems.append(Problem(self.where, what, line, name, hint))

    def _value(self, number: int, line: bytes) -> Any:
        """The JSON value of a line; None for a blank line, and for one that is noted as a problem or notice."""
        try:
            text = (line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line).decode()
            return strict_loads(text) if text.strip() else None
        except UnicodeDecodeError as error:
            cut = error.reason == "unexpected end of data" and error.end == len(line)
            if cut and self._is_torn(number, line, line[: error.start].decode()):
                return None
            self._note(number, "", f"invalid UTF-8 byte 0x{line[error.start]:02x}", "save it as UTF-8")
        except (ValueError, RecursionError):
            if self._is_torn(number, line, text):
                return None
            try:
                return parse_json(text, self.where, number).value
            except InputError as error:
                self.problems += error.problems
        return None

    def _is_torn(self, number: int, line: bytes, text: str) -> bool:
        """Whether the line is the unfinished last one of a file that is being written; it is noted then."""
        if line.endswith(b"\n") or not _is_unfinished_object(text):
            return False
        self.notices.append(f"line {number} is cut off and was left out; is the collection still running?")
        return True

    def _response(self, number: int, value: Any) -> Response | None:
        if not isinstance(value, dict):
            self._note(number, "", f"expected an object, found {_described(value)}", LINE_FORM)
            return None
        before = len(self.problems)
        question, category, response = (self._text(number, value, name) for name in REQUIRED)
        temperature = self._number(number, value, "temperature", "a number of 0 or more")
        iteration = self._number(number, value, "iteration", "a whole number of 0 or more", whole=True)
        if len(self.problems) > before:
            return None
        finish_reason, identifier = value.get("finish_reason"), value.get("question_id")
        return Response(
            line=number,
            question=self._texts.setdefault(question, question),
            category=self._texts.setdefault(category, category),
            response=response,
            question_id=identifier if isinstance(identifier, str) and identifier else None,
            temperature=temperature,
            iteration=None if iteration is None else int(iteration),
            finish_reason=finish_reason if isinstance(finish_reason, str) else None,
            origin=self._origin(value),
        )

    def _text(self, number: int, value: dict[str, Any], name: str) -> str:
        if name not in value:
            self._note(number, name, "missing", LINE_FORM)
            return ""
        text = value[name]
        if not isinstance(text, str):
            self._note(number, name, f"expected text, found {_described(text)}")
            return ""
        if not text.strip() and name != "response":
            self._note(number, name, "expected text that is not blank")
        if not text.isascii() and LONE_SURROGATE.search(text):
            self.replaced.add(number)
            return LONE_SURROGATE.sub(REPLACEMENT, text)
        return text

    def _number(
        self, number: int, value: dict[str, Any], name: str, expected: str, whole: bool = False
    ) -> float | None:
        """A whole one may be written as 1.0, as tables with an empty cell have it."""
        result = value.get(name)
        if result is None:
            return None
        if type(result) not in (int, float) or not 0 <= result <= 1e9 or (whole and result % 1):
            self._note(number, name, f"expected {expected}, found {_described(result)}")
            return None
        return float(result)

    def _origin(self, value: dict[str, Any]) -> Origin:
        """What the line says of whom it asked; a field of another form than ours is as good as absent."""
        metadata = value.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        sampling = metadata.get("sampling")
        sampling = sampling if isinstance(sampling, dict) else {}
        reported = metadata.get("reported")
        reported = reported if isinstance(reported, dict) else {}
        parts = (
            (value, ORIGIN_OF_LINE),
            (metadata, ORIGIN_OF_METADATA),
            (sampling, ORIGIN_OF_SAMPLING),
            (reported, ORIGIN_OF_REPORT),
        )
        known = tuple(
            (name, part[name])
            for part, names in parts
            for name in names
            if name in part
            and (isinstance(part[name], str | int | float) or (part[name] is None and name == "system_prompt"))
        )
        return self._origins.setdefault(known, dict(known))


def _described(value: Any) -> str:
    match value:
        case dict():
            return "an object"
        case list():
            return "a list"
        case str():
            return f'"{shorten(value)}"'
    return shorten(json.dumps(value, default=str))


def _is_unfinished_object(text: str) -> bool:
    outside = STRING.sub("", text)
    inside = outside.partition('"')[0]
    open_brackets = sum(map(inside.count, "{[")) - sum(map(inside.count, "}]"))
    return text.lstrip().startswith("{") and 0 < open_brackets <= MAX_DEPTH
