"""Numbers in running text: digits, words, fractions, powers of ten, LaTeX, durations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from epistemic_stance.foundation.similarity import words

SMALL = {
    word: value
    for value, word in enumerate(
        words(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
            "seventeen eighteen nineteen"
        )
    )
}
TENS = {
    word: 10 * value
    for value, word in enumerate(words("twenty thirty forty fifty sixty seventy eighty ninety"), start=2)
}
SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
PARTS = {"half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4}
WORDS = {"a": 1, **SMALL, **TENS}

LATEX = (
    (re.compile(r"\\[dt]?frac\s*\{\s*(-?\d+)\s*\}\s*\{\s*(\d+)\s*\}"), r" \1/\2 "),
    (re.compile(r"\\(?:text|mathrm|mathbf|textbf|mbox|operatorname)\s*\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\(?:times|cdot)\b"), "*"),
    (re.compile(r"\\div\b"), "/"),
    (re.compile(r"\\(?:approx|simeq)\b"), "="),
    (re.compile(r"\\[()\[\],;:! ]|\\(?:left|right|quad|qquad|implies|therefore)\b|\$(?!\d)|(?<=\d)\$"), " "),
)
SUPERSCRIPTS = str.maketrans("\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b", "0123456789-")
POWER = re.compile("[\u2070\u00b9\u00b2\u00b3\u2074-\u2079\u207b]+")
TYPOGRAPHY = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
        **dict.fromkeys("\u00d7\u22c5\u00b7", "*"),
        **dict.fromkeys("\u2248\u2192", "="),
        **dict.fromkeys("\u00a0\u2009\u202f", " "),
        "\u00f7": "/",
        "\u2044": "/",
        "\u2019": "'",
        "`": " ",
    }
)
EMPHASIS = re.compile(r"\*\*|__|~~|(?<![\w)])[*_](?=\w)|(?<=\w)[*_](?![\w ])")
NOT_NUMBERS = re.compile(
    r"\b\d{1,2}:\d{2}(?::\d{2})?\b"  # times of day
    r"|\b(?:step|part|example|method|option|equation|case|question|problem|line|row)\s+#?\d+\b"
    r"|\b(?:this|that|no|every|any|each|which|another|only|the|some|other)[\s-]one\b|\bone(?=\s+of\b|'s\b|\s+another\b)"
)
LIST_MARK = re.compile(r"^[ \t]*\(?(\d{1,2})[.)][ \t]+(?=\S)", re.MULTILINE)

BELOW_100 = rf"(?:(?:{'|'.join(TENS)})(?:[\s-](?:{'|'.join(list(SMALL)[1:10])})\b)?|(?:{'|'.join(SMALL)}))"
TWO_DIGITS = rf"(?:(?:{'|'.join(TENS)})(?:-(?:{'|'.join(list(SMALL)[1:10])})\b)?|(?:{'|'.join(list(SMALL)[10:])}))"
YEAR = rf"{TWO_DIGITS}[\s-]{TWO_DIGITS}"
BELOW_1000 = rf"(?:(?:{BELOW_100}|a)\s+hundred(?:\s+(?:and\s+)?{BELOW_100}\b)?|{YEAR}|{BELOW_100})"
SCALE = f"(?:{'|'.join(SCALES)})"
NUMBER = re.compile(
    r"(?<![\w./])(?:(?P<whole>\d{1,9}) )?(?P<over>\d{1,9})/(?P<under>\d{1,9})(?![\d/])"
    r"|(?<![\w.])(?P<digits>\d{1,3}(?:[,' ]\d{3}){1,6}(?!\d)(?:\.\d+)?|\d+(?:[.,]\d+)?|\.\d+)"
    r"(?: ?(?:\*|x|times) ?10 ?\^ ?\{?(?P<power>-?\d{1,4})\}?|e(?P<exponent>[+-]?\d{1,4}))?"
    rf"(?: (?P<scale>{SCALE}))?(?!\d|st\b|nd\b|rd\b|th\b|s\b|[a-cnxyz]\b)"
    rf"|\b(?P<count>a|one|two|three)[\s-](?P<part>{'|'.join(PARTS)})\b"
    rf"|\b(?P<words>(?:{BELOW_1000}|a)\b(?:\s+{SCALE}(?:,?\s+(?:and\s+)?{BELOW_1000})?)+|{BELOW_1000})\b"
    r"|\b(?P<dozen>a dozen)\b"
)
GROUPED = re.compile(r"\d{1,3}(?:[,' ]\d{3})+(?:\.\d+)?")
HOURS = re.compile(r"\s*-?(?:hours?|hrs?|h)\b\s*(?:,|and|&)?\s*")
MINUTES = re.compile(r"\s*-?(?:minutes?|mins?|m)\b")
AND = re.compile(r"\s+(?:(?:hours?|hrs?|h)\s+)?and\s+")
"""Between a whole number and a part of one: "two and a half", "2 hours and a half"."""
SIGN = re.compile(r"(?:^|\n|[^\w)\]}\s-]|\b(?:is|equals|be|to|get|answer|by))\s*(?:-|minus\s+)$")


@dataclass(frozen=True)
class Numeral:
    """A number and where it stands in the readable text."""

    value: float
    start: int
    end: int
    part: bool = False
    """A spelled fraction, "a half"."""
    duration: bool = False
    """Hours and minutes, in minutes."""


def readable(text: str) -> str:
    """Lower case, LaTeX and emphasis taken off, powers as ^, times of day and list marks left out."""
    text = POWER.sub(lambda match: "^" + match[0].translate(SUPERSCRIPTS), text).translate(TYPOGRAPHY)
    text = without_latex(text)
    text = NOT_NUMBERS.sub(" ", EMPHASIS.sub(" ", text).lower())
    numbered = any(match[1] == "1" for match in LIST_MARK.finditer(text))
    return LIST_MARK.sub("", text) if numbered else text


def without_latex(text: str) -> str:
    """Its brackets and spaces taken off, \\text{...} and \\frac{1}{2} as what they show."""
    for pattern, replacement in LATEX:
        text = pattern.sub(replacement, text)
    return text


def numerals(text: str) -> list[Numeral]:
    """The numbers in a readable text, in order; hours and minutes together are one number of minutes."""
    found: list[Numeral] = []
    for numeral in _single(text):
        hours = HOURS.fullmatch(text, found[-1].end, numeral.start) if found else None
        if hours and MINUTES.match(text, numeral.end):
            before = found.pop()
            found.append(Numeral(60 * before.value + numeral.value, before.start, numeral.end, duration=True))
        elif numeral.part and found and found[-1].value >= 1 and AND.fullmatch(text, found[-1].end, numeral.start):
            before = found.pop()
            found.append(Numeral(before.value + numeral.value, before.start, numeral.end))
        else:
            found.append(numeral)
    return found


def _single(text: str) -> Iterator[Numeral]:
    for match in NUMBER.finditer(text):
        value = _value(match)
        if value is not None:
            negative = SIGN.search(text, max(0, match.start() - 12), match.start())
            yield Numeral(-value if negative else value, match.start(), match.end(), part=match["part"] is not None)


def _value(match: re.Match[str]) -> float | None:
    """None for a fraction of zero and for what is beyond a float."""
    if match["words"]:
        return _spelled(match["words"])
    if match["part"]:
        return WORDS[match["count"]] / PARTS[match["part"]]
    if match["dozen"]:
        return 12
    try:
        if match["over"]:
            return int(match["whole"] or 0) + int(match["over"]) / int(match["under"])
        digits: str = match["digits"]
        value = float(re.sub("[,' ]", "", digits) if GROUPED.fullmatch(digits) else digits.replace(",", "."))
        power = int(match["power"] or match["exponent"] or 0)
        return value * 10.0**power * SCALES.get(match["scale"], 1)
    except (OverflowError, ZeroDivisionError):
        return None


def _spelled(number: str) -> float:
    """The value of number words; two numbers below a hundred in a row are a year, "nineteen forty-five"."""
    total, group = 0, 0
    for word in re.findall("[a-z]+", number):
        if word in SCALES:
            total, group = total + group * SCALES[word], 0
        elif word == "hundred":
            group *= 100
        elif word != "and":
            century = 10 <= group < 100 and WORDS[word] >= 10
            group = 100 * group + WORDS[word] if century else group + WORDS[word]
    return total + group
