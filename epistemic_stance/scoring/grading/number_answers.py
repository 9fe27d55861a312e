"""Which of the numbers in an answer is the answer.

A boxed number or one after "the answer is" is. Otherwise it depends on the question: one that gives numbers is worked
out, so that the answer comes last; one that gives none is looked up, so that the answer comes first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from epistemic_stance.records.analysis import Grade
from epistemic_stance.scoring.grading.numerals import Numeral, numerals, readable

SENTENCE_END = re.compile(r"(?:(?<![.!?])[.!?]+[\"')\]]*(?=\s|$)|\n+)\s*")
LEADS_ON = re.compile(r"(?:[:=,]|\b(?:is|are|equals|get|have|be))\s*$")
"""What the next line completes."""
UNFINISHED = re.compile(r"(?:[-+*/=:,(]|\b(?:is|are|the|a|an|of|by|from|to|and|at|for|with|so|therefore|then))\s*$")
BOXED = re.compile(r"\\?boxed\s*\{([^{}]*)\}")
ANSWER = re.compile(
    r"\b(?:answer|solution|result)\b(?:\s+(?:to|of|for)\s+(?:\w+\s+){1,6}?)?\s*(?:is\b|would be\b|comes to\b|[:=])|####"
)
CONCLUSION = re.compile(
    r"\b(?:so|therefore|thus|hence|in total|total|altogether|in conclusion|finally|consequently"
    r"|(?:that|which|this) means|leaving|leaves|left with|remaining)\b"
)
CHECK = re.compile(r"\b(?:check|verify|verification|double-check|substitut\w+|plug\w*)\b")
EQUALS = re.compile(r"=|\bequals?\b|\bis equal to\b|\bgives\b|\bmakes\b")
OPERATOR = re.compile(r"\s*[-+*/^]\s*[(\d]")
UNIT_ASKED = re.compile(r"\bhow (?:many|much) ([a-z]{3,})")
DENIED = re.compile(r"\b(?:not|isn't|wasn't|never|rather than|instead of)\s+(?:in\s+|exactly\s+)?$")
OR = re.compile(r"\s*,?\s*(?:or|and/or)\s+(?:maybe |possibly |perhaps |in )?")
TIME_OF_DAY = re.compile(r"\b\d{1,2}:\d{2}\b")
BETWEEN = re.compile(r"\bbetween\s+(?:about\s+)?$")
YEARS = range(1000, 2101)
YEAR_ASKED = re.compile(
    r"\b(?:which|what)\s+(?:calendar\s+)?year\b|\b(?:give|name|state|tell me) the year\b|\bwhat (?:is|was) the year\b"
)
HOURS_ASKED = re.compile(r"\b(?:how many|in) hours\b")


@dataclass(frozen=True)
class _Statement:
    text: str
    numbers: tuple[Numeral, ...]
    """Those that it asserts."""


@dataclass(frozen=True)
class _Asked:
    """What the question tells about the number that answers it."""

    given: frozenset[float]
    worked_out: bool
    """It gives numbers or times of day to work with."""
    unit: str | None
    """What is counted, "how many UNITs", without its s."""
    year: bool
    hours: bool
    last_word: str


def grade_number(accepted: Sequence[str], response: str, question: str = "", truncated: bool = False) -> Grade:
    """Whether the number that the answer commits itself to is one of `accepted`, all of them digits or words."""
    right = [numeral.value for text in accepted for numeral in numerals(readable(text))[:1]]
    text = readable(response)
    if boxed := [numbers for match in BOXED.finditer(text) if (numbers := numerals(match[1]))]:
        return _judged([boxed[-1][-1]], right)
    asked = _asked(question)
    statements = _statements(text, asked)
    for statement in reversed(statements):
        named = ANSWER.search(statement.text)
        if named and (numbers := _after(statement, named.end())):
            return _judged_in(statement, numbers[:1], right)
    if not statements:
        return "unparsed"
    if asked.worked_out or (not question and EQUALS.search(text)):
        return _worked_out(statements, asked, right, truncated or bool(UNFINISHED.search(text)))
    return _looked_up(statements, asked, right)


def _asked(question: str) -> _Asked:
    text = readable(question)
    unit = UNIT_ASKED.search(text)
    words = re.findall(r"[a-z]+", text)
    given = frozenset(numeral.value for numeral in numerals(text))
    return _Asked(
        given=given,
        worked_out=bool(given) or TIME_OF_DAY.search(question) is not None,
        unit=unit[1].rstrip("s") if unit else None,
        year=YEAR_ASKED.search(text) is not None,
        hours=HOURS_ASKED.search(text) is not None,
        last_word=words[-1] if words else "",
    )


def _statements(text: str, asked: _Asked) -> list[_Statement]:
    """The sentences that assert a number, up to where the answer is checked."""
    statements: list[_Statement] = []
    for sentence in _sentences(text):
        if sentence.endswith("?"):
            continue
        if statements and CHECK.search(sentence):
            break
        numbers = tuple(
            replace(number, value=number.value / 60) if asked.hours and number.duration else number
            for number in numerals(sentence)
            if not DENIED.search(sentence, max(0, number.start - 40), number.start)
            and (not asked.year or number.value in YEARS)
        )
        if numbers:
            statements.append(_Statement(sentence, numbers))
    return statements


def _sentences(text: str) -> list[str]:
    sentences: list[list[str]] = []
    start = 0
    for end in (*SENTENCE_END.finditer(text), None):
        sentence = text[start : end.end() if end else len(text)].strip()
        start = end.end() if end else len(text)
        if sentences and LEADS_ON.search(sentences[-1][-1][-20:]):
            sentences[-1].append(sentence)
        elif sentence:
            sentences.append([sentence])
    return [" ".join(parts) for parts in sentences]


def _looked_up(statements: Sequence[_Statement], asked: _Asked, right: Sequence[float]) -> Grade:
    """The first statement with the unit asked for, or with the question's last word, or the first of all."""
    for statement in statements:
        if numbers := _with_unit(statement, statement.numbers, asked):
            return _judged_in(statement, numbers, right)
    about = [statement for statement in statements if asked.last_word and asked.last_word in statement.text]
    statement = (about or statements)[0]
    return _judged_in(statement, statement.numbers, right)


def _worked_out(statements: Sequence[_Statement], asked: _Asked, right: Sequence[float], cut: bool) -> Grade:
    """The last statement; before remarks the last conclusion; before an explanation the first statement."""
    results = [(statement, numbers) for statement in statements if (numbers := _results(statement, asked))]
    if not results:
        return "unparsed"
    last = _judged_in(*results[-1], right)
    if last != "wrong" or CONCLUSION.search(results[-1][0].text):
        return last
    concluded = [result for result in results if CONCLUSION.search(result[0].text)]
    opening = [] if EQUALS.search(results[0][0].text) or len(results) == 1 else results[:1]
    earlier = [_judged_in(*result, right) for result in (*concluded[-1:], *opening)]
    if "right" in earlier:
        return "right"
    return "unparsed" if cut else last


def _results(statement: _Statement, asked: _Asked) -> Sequence[Numeral]:
    """What a step arrives at: right of its last equals sign, else with the unit asked for, else what is new."""
    equals = list(EQUALS.finditer(statement.text))
    numbers = list(statement.numbers)
    if equals:
        numbers = _after(statement, equals[-1].end())
        concluded = CONCLUSION.search(statement.text, equals[-1].end())
        later = _after(statement, concluded.end()) if concluded else []
        if not later:
            return [] if numbers and OPERATOR.match(statement.text, numbers[0].end) else numbers[:1]
        numbers = later
    new = [number for number in numbers if number.value not in asked.given]
    return _with_unit(statement, numbers, asked) or new or numbers


def _with_unit(statement: _Statement, numbers: Sequence[Numeral], asked: _Asked) -> list[Numeral]:
    if asked.unit is None:
        return []
    unit = re.compile(rf"[\s-]*(?:\w+[\s-]+)?{re.escape(asked.unit)}")
    spelled_out = asked.hours or asked.unit == "minute"
    return [number for number in numbers if unit.match(statement.text, number.end) or (number.duration and spelled_out)]


def _after(statement: _Statement, position: int) -> list[Numeral]:
    """Numbers after a place; where an equals sign follows, those after the last one."""
    equals = list(EQUALS.finditer(statement.text, position))
    start = equals[-1].end() if equals else position
    return [number for number in statement.numbers if number.start >= start]


def _judged_in(statement: _Statement, numbers: Sequence[Numeral], right: Sequence[float]) -> Grade:
    """`_judged`, but "8 or 9" and "between 8 and 9" are no answers."""
    for first, second in pairwise(statement.numbers):
        joined = statement.text[first.end : second.start].strip() == "and"
        between = joined and BETWEEN.search(statement.text, max(0, first.start - 20), first.start)
        if between and {first, second}.issuperset(numbers):
            return "unparsed"
        either = OR.fullmatch(statement.text, first.end, second.start) and first.value != second.value
        if either and (first in numbers or second in numbers):
            return "unparsed"
    return _judged(numbers, right)


def _judged(numbers: Sequence[Numeral], right: Sequence[float]) -> Grade:
    close = any(math.isclose(number.value, value, rel_tol=1e-9) for number in numbers for value in right)
    return "right" if close else "wrong"
