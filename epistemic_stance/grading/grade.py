"""Right, wrong, or no answer to be told: an answer held against its question's key."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

from epistemic_stance.analysis.text import normalised
from epistemic_stance.grading.number_answers import UNFINISHED, grade_number
from epistemic_stance.grading.numerals import without_latex
from epistemic_stance.grading.verdicts import verdict_of
from epistemic_stance.records.analysis import Grade
from epistemic_stance.records.written import AnswerKey

MARKUP = re.compile(r"[*_`~{}$]")
SENTENCE = re.compile(r"(?<=[.!?])[\"')\]]*\s+|\n+")
DENIED_BEFORE = re.compile(
    r"(?:\bnot|n't|\bnever|\bneither|\bnor|\brather than|\binstead of|\bother than|\bunlike)\s+"
    r"(?!only\b|just\b|merely\b|simply\b)(?:\w+\s+(?=by\b|in\b|called\b|named\b))?"
    r"(?:(?:be|actually|in|the|a|an|called|named|by|really)\s+)*$"
)
DENIED_AFTER = re.compile(
    r"(?:\s+\w+){0,2}?\s+(?:is|was|are|were|would be)(?:n't|\s+not)\s+"
    r"(?!only\b|just\b|merely\b|to be\b)(?:the|a|an|correct|right|it|its)\b"
)
NAME_BEFORE = re.compile(r"\b([A-Z]\w+),? or (?:maybe |perhaps |possibly )?(?:the |in )?$")
NAME_AFTER = re.compile(r",? or (?:maybe |perhaps |possibly )?(?:the )?([A-Z]\w+)")
NO_ANSWER = re.compile(
    r"\b(?:i|we)(?:'m| am| are)? (?:do not|don't|did not|cannot|can't|could not|couldn't|not able|unable"
    r"|not sure|uncertain|unsure|not certain|have no|not familiar|not aware|sorry|apologi[sz]e)\b"
    r"|^as an? (?:ai|artificial|language|large)\b|^(?:sorry|unfortunately|apologies)\b"
    r"|\b(?:could|can|would) you (?:please |kindly )?(?:clarify|provide|specify|rephrase|tell|give|share)"
    r"|\bplease (?:provide|clarify|specify|rephrase|let me know|feel free|give)|\bfeel free\b|\blet me know\b"
    r"|\bhow (?:can|may) i (?:help|assist)\b|\b(?:happy|here) to help\b|\b(?:is|are) (?:unknown|not known|unclear)\b"
)
TURN = re.compile(r"\b(?:but|however|though|although|still|if i had to|i think|i believe|my (?:best )?guess)\b")
"""After which an answer may come in spite of all: "I'm not sure, but I think it is Rome"."""


def grade(key: AnswerKey, response: str, question: str = "", truncated: bool = False) -> Grade:
    """Hold an answer against its key.

    `unparsed`: no answer can be told from the text, because it gives none (a refusal, a question back, an end in the
    middle), leaves it open ("8 or 9") or contradicts itself. `question` helps to find which number is the answer, and
    what a statement says yes or no to; `truncated` says that the end of the text is not the end of the answer.
    """
    match key.kind:
        case "phrase":
            return _grade_phrase(key.accepted, response)
        case "number":
            return grade_number(key.accepted, response, question, truncated)
        case "yes_no":
            verdict = verdict_of(response, question)
            accepted = {text.strip().lower() for text in key.accepted}
            return "unparsed" if verdict is None else "right" if verdict in accepted else "wrong"


def _grade_phrase(accepted: Sequence[str], response: str) -> Grade:
    text = _folded(response)
    names = {word for phrase in accepted for word in re.findall(r"\w+", _folded(phrase).lower())}
    open_choice = False
    for mention in _any_of(tuple(accepted)).finditer(text):
        if not _denied(text, *mention.span()):
            if not _one_of_two(text, *mention.span(), names):
                return "right"
            open_choice = True
    return "unparsed" if open_choice or not _answers(text) else "wrong"


@lru_cache(maxsize=1024)
def _any_of(accepted: tuple[str, ...]) -> re.Pattern[str]:
    """The phrases as whole words, the longest first, any space between their words."""
    phrases = sorted({_folded(phrase) for phrase in accepted}, key=len, reverse=True)
    patterns = (r"[\s\-]+".join(map(re.escape, re.split(r"[\s\-]+", phrase))) for phrase in phrases)
    return re.compile(rf"(?<!\w)(?:{'|'.join(patterns)})(?!\w)", re.IGNORECASE)


def _denied(text: str, start: int, end: int) -> bool:
    before = normalised(text[max(0, start - 60) : start])
    return bool(DENIED_BEFORE.search(before) or DENIED_AFTER.match(normalised(text[end : end + 60])))


def _one_of_two(text: str, start: int, end: int, names: Iterable[str]) -> bool:
    """Whether it stands beside another name as one of two that it might be."""
    before, after = NAME_BEFORE.search(text, max(0, start - 60), start), NAME_AFTER.match(text, end)
    return any(found[1].lower() not in names for found in (before, after) if found)


def _answers(text: str) -> bool:
    """Whether some sentence says something that could be an answer."""
    sentences = [normalised(sentence).strip() for sentence in SENTENCE.split(text) if sentence.strip()]
    if sentences and UNFINISHED.search(sentences[-1]):
        sentences.pop()
    return any(not sentence.endswith("?") and _says_something(sentence) for sentence in sentences)


def _says_something(sentence: str) -> bool:
    if not NO_ANSWER.search(sentence):
        return True
    *before, last = TURN.split(sentence)
    return bool(before) and bool(last.strip(" ,.!")) and not NO_ANSWER.search(last.strip(" ,"))


def _folded(text: str) -> str:
    """Without accents, subscripts and markup, so that CO\u2082 and CO_2 are CO2; the case stays."""
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(char for char in decomposed if not unicodedata.combining(char))
    return MARKUP.sub("", without_latex(text))
