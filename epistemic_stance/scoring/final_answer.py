"""The final answer of a text: what stands after "Answer:", a number, or yes or no.

A question with a key asks for a short answer, so that most texts are nothing else. What is longer is read by few rules:
an answer that is named ("the answer is ...") counts before all, results come last, facts come first.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from epistemic_stance.foundation.sentences import read_answer
from epistemic_stance.foundation.similarity import words
from epistemic_stance.records.analysis import Verdict

LATEX = (
    (re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}"), r" answer: \1 "),
    (re.compile(r"\\(?:text|mathrm|mathbf|textbf)\s*\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}"), r" \1/\2 "),
    (re.compile(r"\\(?:approx|simeq)\b"), "="),
    (re.compile(r"(?<=[A-Z])[_~]\{?(\d)[}~]?"), r"\1"),
    (re.compile(r"\\[()\[\],;:! ]|\{,\}|\$(?!\d)"), ""),
)
MARKER = re.compile(r"\banswer\b[^.:]{0,60}?(?:\bis\b|\bwould be\b|:)\s*")
UNITS = words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
TENS = words("twenty thirty forty fifty sixty seventy eighty ninety")
VALUES = {word: value for value, word in enumerate(UNITS)} | {word: 10 * n for n, word in enumerate(TENS, start=2)}
SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6}
SPELLED = rf"(?:{'|'.join([*VALUES, *SCALES])})\b"
NUMBER = re.compile(
    rf"(?:(?P<minus>(?<![\w)])-(?=\d)|(?<=[=:] )- |\b(?:minus|negative) ))?(?:"
    r"(?<![\w.])(?P<whole>\d+ )?(?P<over>\d+)/(?P<under>[1-9]\d*)(?![\w/])"
    r"|(?<![\d.:])(?P<digits>\d{1,3}(?:[,' ]\d{3})+(?!\d)|\d+)(?P<decimals>\.\d+)?(?![\d:]*:\d)"
    rf"|\b(?P<words>{SPELLED}(?:(?:-| and | ){SPELLED})*))"
)
NO_NUMBER = re.compile(r"\b(?:the|this|that|no|any|every|each|which|another|only)[ -]one\b|\bone(?= of\b)")
REASON = re.compile(r"[,;] | \(|\b(?:since|because|as)\b")
YEARS = range(1000, 2101)
RESULT = re.compile(r"(?P<equals>=|\b(?:equals?|is equal to)\b)|\b(?:so|therefore|thus|leaves|leaving)\b")
"""What comes before a result. The first number after an equals sign is one, the last one after the other words."""
YES_NO = re.compile(
    r"[\"' ]*(?:(?:well|so|therefore|thus|hence|actually)\b,? )*"
    r"(?:(?P<yes>(?:yes|yeah|yep|true|correct|absolutely)\b(?! not))|(?P<no>(?:nope|false|incorrect)\b"
    r"|no\b(?=\s*(?:$|\W|(?:it|that|this|we|you|i|he|she|they|there|because|since|as)\b))))"
)
DOES_NOT_FOLLOW = re.compile(
    r"\bnot (?:\w+ )?(?:follow|mean|imply|guarantee|necessarily)\b|n't (?:\w+ )?(?:follow|mean|imply|guarantee)\b"
    r"|\b(?:cannot|can't|can not) (?:be )?(?:\w+ )?(?:conclu|infer|deduc|determin|sure|certain|say|know)"
    r"|\b(?:not|in)\s?(?:enough|sufficient)\b|\bno (?:way|guarantee|evidence)\b|\bfallac(?:y|ious)\b"
)
UNDECIDED = re.compile(
    r"\b(?:i|we)(?: do not| don't| cannot| can't)(?: \w+)? (?:know|tell|say)\b|\bnot (?:sure|certain)\b|\bunsure\b"
    r"|\bdepends\b|\b(?:hard|difficult|impossible) to (?:say|tell|know)\b|\byes and no\b|\bunclear\b"
)
NEGATIVE = re.compile(r"\b(?:not|no|never|none|nobody|neither|nor|cannot)\b|n't\b")
SMALL_WORDS = frozenset(
    words(
        "a an the is are was were be do does did of on in at to it its this that these those there any all every each "
        "some no not and or then so also therefore must would can has have as if by with for from he she they we you i "
        "follow follows conclude sure certain mean know say true should could"
    )
)
"""Words that do not tell one statement from another."""
RESTATED = 0.6
"""Share of the words asked about that a sentence needs to be a statement on them."""


@dataclass(frozen=True)
class FinalAnswer:
    """What of a text can hold its final answer, in lower case."""

    named: str | None
    """What follows the last "answer:" or "the answer is"; None if there is no such words."""
    sentences: tuple[str, ...]
    """All sentences that do not ask."""


def final_answer(response: str) -> FinalAnswer:
    """Cut a text down to what can hold its final answer."""
    sentences = [sentence.text for sentence in read_answer(plain(response)).sentences if not sentence.asks]
    for number in reversed(range(len(sentences))):
        marks = list(MARKER.finditer(sentences[number]))
        rest = [sentences[number][marks[-1].end() :] if marks else "", *sentences[number + 1 :]]
        if marks and (named := [text for text in rest if re.search(r"\w", text)]):
            return FinalAnswer(named[0], tuple(sentences))
    return FinalAnswer(None, tuple(sentences))


def plain(text: str) -> str:
    """Without accents, subscripts and LaTeX."""
    for pattern, replacement in LATEX:
        text = pattern.sub(replacement, text)
    if text.isascii():
        return text
    return "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))


def number_of(answer: FinalAnswer, question: str) -> float | None:
    """The number that the answer gives.

    A question that gives numbers is worked out: the last sentence has the result, after its last equals sign or "so",
    or as the last number that the question has not. Any other is looked up: the first number is the answer.
    """
    named = REASON.split(answer.named or "")[0]
    stated = [sentence for sentence in ([named] if numbers(named) else answer.sentences) if numbers(sentence)]
    given = set(numbers(question.lower()))
    if not stated:
        return None
    if not given and not re.search(r"\d", question):
        result = numbers(stated[0])
        years = [number for number in result if number in YEARS] if re.search(r"\byear\b", question) else []
        return (years or result)[0]
    marks = [mark for mark in RESULT.finditer(stated[-1]) if numbers(stated[-1][mark.end() :])]
    result = numbers(stated[-1][marks[-1].end() :] if marks else stated[-1])
    if marks and marks[-1]["equals"]:
        return result[0]
    new = [number for number in result if number not in given] or result
    return new[-1]


def numbers(text: str) -> list[float]:
    """Numbers in a text in lower case, in digits or words up to the thousands."""
    return [_value(match) for match in NUMBER.finditer(NO_NUMBER.sub("", text))]


def _value(match: re.Match[str]) -> float:
    sign = -1.0 if match["minus"] else 1.0
    if match["words"]:
        return sign * _spelled(match["words"])
    if match["over"]:
        return sign * (int(match["whole"] or 0) + int(match["over"]) / int(match["under"]))
    return sign * float(re.sub("[,' ]", "", match["digits"]) + (match["decimals"] or ""))


def _spelled(text: str) -> float:
    total, group = 0.0, 0.0
    for word in re.findall("[a-z]+", text):
        if word in VALUES:
            group += VALUES[word]
        elif word == "hundred":
            group = 100 * (group or 1)
        elif word in SCALES:
            total, group = total + SCALES[word] * (group or 1), 0.0
    return total + group


def verdict_of(answer: FinalAnswer, question: str) -> Verdict | None:
    """Yes, no, or that it cannot be told; None where the answer says none of them.

    The answer named, the first word, the first word of a later sentence, what the last sentences say of the inference
    ("it does not follow"), or the statement that was asked about, or its opposite.
    """
    first, last = answer.sentences[:1], answer.sentences[:0:-1]
    for sentence in (answer.named or "", *first, *last):
        if (opening := YES_NO.match(sentence)) and not UNDECIDED.match(sentence):
            return "yes" if opening["yes"] else "no"
    for sentence in reversed(answer.sentences):
        if DOES_NOT_FOLLOW.search(sentence):
            return "no"
        if UNDECIDED.search(sentence):
            return "undecided"
        if stated := _restated(sentence, question):
            return stated
    return None


def _restated(sentence: str, question: str) -> Verdict | None:
    asked = [s.text for s in read_answer(question).sentences][-1:]
    wanted = _content(asked[0]) if asked else set()
    if not wanted or len(wanted & _content(sentence)) < RESTATED * len(wanted):
        return None
    return "yes" if bool(NEGATIVE.search(sentence)) == bool(NEGATIVE.search(asked[0])) else "no"


def _content(text: str) -> set[str]:
    return {word.removesuffix("s") for word in words(text) if word not in SMALL_WORDS}
