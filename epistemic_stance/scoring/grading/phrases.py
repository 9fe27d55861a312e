"""Whether an answer gives a phrase as its answer, rather than denies it, asks about it, or names it beside another."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

from epistemic_stance.foundation.sentences import normalised
from epistemic_stance.foundation.similarity import words
from epistemic_stance.records.analysis import Grade
from epistemic_stance.scoring.grading.number_answers import UNFINISHED
from epistemic_stance.scoring.grading.numerals import without_latex

Said = Literal["yes", "no", "open"]
"""Of one mention: the answer gives it; does not; or leaves open whether it does."""

MARKUP = re.compile(r"[*_`~{}$]")
SENTENCE = re.compile(r"(?<=[.!?])[\"')\]]*\s+|\n+")
CLAUSE = re.compile(rf"{SENTENCE.pattern}|[,;:]+\s*(?:and\s+)?|\s(?:and|but|while|whereas|so|then)\s")
DENIED_BEFORE = re.compile(
    r"(?:\bnot|n't|\bnever|\bneither|\bnor|\brather than|\binstead of|\bother than|\bunlike)\s+"
    r"(?!only\b|just\b|merely\b|simply\b)(?:\w+\s+(?=by\b|in\b|called\b|named\b))?"
    r"(?:(?:be|actually|in|the|a|an|called|named|by|really)\s+)*$"
    r"|\b(?:mistakenly|wrongly|incorrectly|falsely)\s+(?:\w+\s+){0,3}?$"
)
DENIED_AFTER = re.compile(
    r"(?:\s+\w+){0,2}?\s+(?:is|was|are|were|would be)(?:n't|\s+not)"
    r"(?:\s+(?!only\b|just\b|merely\b|to be\b)(?:the|a|an|correct|right|it|its)\b|\s*(?:[.,;!]|$))"
)
REPORTED = re.compile(
    r"\b(?:people|many|some|most|others|you|one|they) (?:\w+ )?(?:think|believe|say|assume|guess|suppose|expect)s?\s+"
    r"(?:that\s+)?(?:it\s+(?:is|was)\s+|it's\s+)?(?:the\s+)?$"
)
CORRECTED = re.compile(
    r"[^.!?]{0,30}?(?:[,;-]|[.!?])?\s*(?:but|however|yet|though|actually|in fact|in reality)\b,?\s*"
    r"(?:(?:actually|in fact|really),?\s*)?(?:it|that|this|the\b[^.,;]{0,40})(?:'s|\s+(?:is|was))\b"
)
TAKEN_BACK = re.compile(
    r"\s*[,.;!-]+\s*(?:(?:oh|oops|sorry|hmm|hm)[,.]?\s+)?(?:no[,.]|no,? wait|wait\b|correction\b|scratch that)"
    r"(?![^.!?]*(?:\bnot\b|n't))"
)
NAME_BEFORE = re.compile(r"\b([A-Z]\w+),? or (?:maybe |perhaps |possibly )?(?:the |in )?$")
NAME_AFTER = re.compile(r",? or (?:maybe |perhaps |possibly )?(?:the )?([A-Z]\w+)")
TAKES_ASKED = re.compile(r"\b(?:takes?|taken|absorb(?:s|ed)?|inhaled?|consumed?|breathe in)\b")
GIVES_ASKED = re.compile(r"\b(?:releas|emit|produce|exhale|expel|give off|given off|breathe out)")
TAKES = re.compile(
    r"\b(?:tak(?:e|es|ing)|absorb(?:s|ing)?|inhal(?:e|es|ing)|consum(?:e|es|ing))\s+(?:in\s+)?(?:the\s+)?$"
)
GIVES = re.compile(
    r"\b(?:releas(?:e|es|ing)|emit(?:s|ting)?|produc(?:e|es|ing)|exhal(?:e|es|ing)|expel(?:s|ling)?"
    r"|giv(?:e|es|ing) (?:off|out))\s+(?:the\s+)?$"
)
NEXT_YES = re.compile(r"(?:yes|yep|yeah|correct|right|exactly)\b", re.IGNORECASE)
NEXT_NO = re.compile(r"(?:no|nope|wrong)\b", re.IGNORECASE)
ITEM = re.compile(r"\s*[,;/\n]\s*(?:and |or )?")
LIST_MARK = re.compile(r"^\s*(?:[-+>\u2022]|\(?\d{1,3}[.)])\s+")
NAME = r"(?:the )?(?P<name>[A-Z][\w'.-]*(?: (?:[A-Z][\w'.-]*|de|da|la|von|van|of)){0,3})"
NO_NAME = frozenset(
    words(
        "a an the is are was were be do does did of on in at to it its it's this that these those there any all every "
        "each some no not never and or then so also must would will can has have as if by with for from he she they we "
        "you i who which what what's whose where when how people many most others our my your one well sure yes okay "
        "ok answer"
    )
)
"""Words that name nothing."""
CONTRAST = re.compile(rf"{NAME},? (?:while|whereas) ")
PAST = re.compile(r"\b(?:was|were|used|did|wrote)\b")
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


def grade_phrase(accepted: Sequence[str], response: str, question: str = "") -> Grade:
    """Right if the answer gives one of the phrases somewhere: a long explanation may name other things too."""
    text = _Text(_folded(response), _any_of(tuple(accepted)), _asked(question))
    names = {word for phrase in accepted for word in words(_folded(phrase))}
    left_open = False
    for mention in text.accepted.finditer(text.text):
        said = _said(text, mention, names)
        if said == "yes":
            return "right"
        left_open = left_open or said == "open"
    return "unparsed" if left_open or not _answers(text.text) else "wrong"


@lru_cache(maxsize=1024)
def _any_of(accepted: tuple[str, ...]) -> re.Pattern[str]:
    """The phrases as whole words, the longest first, any space between their words."""
    phrases = sorted({_folded(phrase) for phrase in accepted}, key=len, reverse=True)
    patterns = (r"[\s\-]+".join(map(re.escape, re.split(r"[\s\-]+", phrase))) for phrase in phrases)
    return re.compile(rf"(?<!\w)(?:{'|'.join(patterns)})(?!\w)", re.IGNORECASE)


# --- question and answer, cut up ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Asked:
    """What a question asks about."""

    text: str
    content: frozenset[str]
    """Its words that say something; the one asked for, "which OCEAN", too."""
    verbs: frozenset[str]
    """What stands between an answer and the rest of the question: "Rome IS the capital", "Homer WROTE the Iliad"."""


@lru_cache(maxsize=1024)
def _asked(question: str) -> _Asked:
    text = normalised(_folded(question))
    spoken = words(text)
    content = frozenset(_stem(word) for word in spoken if word not in NO_NAME)
    verb = re.match(r"(?:who|(?:which|what) \w+) (?!is\b|are\b|was\b|were\b|do\b|does\b|did\b)(\w+)", text)
    return _Asked(text, content, frozenset({"is", "are", "was", "were"} | ({verb[1]} if verb else set())))


def _stem(word: str) -> str:
    return word.removesuffix("'s").removesuffix("s")


@dataclass(frozen=True)
class _Text:
    """An answer and where its sentences and clauses are; characters count as in `text`."""

    text: str
    accepted: re.Pattern[str]
    asked: _Asked

    @cached_property
    def sentences(self) -> list[tuple[int, str]]:
        """Starts and texts."""
        return _cut(SENTENCE, self.text)

    @cached_property
    def clauses(self) -> list[tuple[int, str]]:
        return _cut(CLAUSE, self.text)

    @cached_property
    def shares(self) -> list[int]:
        """Words of the question in each clause."""
        return [self._shared(clause) for _, clause in self.clauses]

    @cached_property
    def rival(self) -> int:
        """How many words of the question the answer says of another name at once; 0 = of none."""
        first = CONTRAST.match(self.text)
        contrast = first and not self._is_no_other(first["name"])
        rivals = [
            shared
            for shared, (_, clause) in zip(self.shares, self.clauses, strict=True)
            if shared and self._rival_in(clause)
        ]
        return max([int(bool(contrast)), *rivals])

    @cached_property
    def is_list(self) -> bool:
        """It is nothing but names, and which of them is the answer is not said.

        "Ottawa, Ontario, Canada" is one place: three names that begin with the answer are not a list.
        """
        items = [LIST_MARK.sub("", item).strip(" .!") for item in ITEM.split(self.text.strip().rpartition(":")[2])]
        names = [item for item in items if item and not self.asked.content.issuperset(map(_stem, words(item)))]
        if len(names) < 3 or (len(names) == 3 and self.accepted.fullmatch(names[0])):
            return False
        return all(
            len(item.split()) <= 3 and not item.endswith("ly") and NO_NAME.isdisjoint(words(item)) for item in names
        )

    def _shared(self, clause: str) -> int:
        return len(self.asked.content.intersection(map(_stem, words(clause))))

    def _rival_in(self, clause: str) -> bool:
        """Whether it says "Rome is the capital of France" or "the capital is Rome"."""
        earlier = PAST.search(clause) and not PAST.search(self.asked.text)
        if earlier or clause.endswith("?") or self.accepted.search(clause):
            return False
        for verb in self.asked.verbs:
            before, _, after = clause.strip(" .!").partition(f" {verb} ")
            if not after:
                continue
            if self._names_other(before) and self._only_asked(after):
                return self._shared(f"{verb} {after}") >= 0.6 * len(self.asked.content)
            if verb in ("is", "was") and self._names_other(after) and self._only_asked(before):
                return self._shared(before) > 0
        return False

    def _names_other(self, text: str) -> bool:
        name = re.fullmatch(NAME, text.strip())
        return bool(name) and not self._is_no_other(text)

    def _is_no_other(self, name: str) -> bool:
        """The answer itself, a word of the question, or no name at all."""
        spoken = words(name)
        asked = self.asked.content.issuperset(map(_stem, spoken))
        return asked or bool(self.accepted.search(name)) or spoken[0] in NO_NAME - {"the"}

    def _only_asked(self, text: str) -> bool:
        """No word in it that the question has not, small ones apart; "not" is no small one."""
        small = NO_NAME - {"not", "no", "never"}
        return all(word in small or _stem(word) in self.asked.content for word in words(text))


def _cut(separator: re.Pattern[str], text: str) -> list[tuple[int, str]]:
    """The parts between separators, each with its start."""
    ends = [match.span() for match in separator.finditer(text)]
    spans = zip([0, *(end for _, end in ends)], [*(start for start, _ in ends), len(text)], strict=True)
    return [(start, text[start:end]) for start, end in spans]


def _at(parts: Sequence[tuple[int, str]], place: int) -> int:
    """The number of the part that holds a place."""
    return bisect_right(parts, place, key=lambda part: part[0]) - 1


# --- one mention -------------------------------------------------------------------------------------------


def _said(text: _Text, mention: re.Match[str], names: set[str]) -> Said:
    start, end = mention.span()
    before, after = normalised(text.text[max(0, start - 60) : start]), normalised(text.text[end : end + 100])
    if DENIED_BEFORE.search(before) or DENIED_AFTER.match(after) or _of_the_opposite(text.asked, before):
        return "no"
    if REPORTED.search(before) and CORRECTED.match(after):
        return "no"
    number = _at(text.sentences, start)
    if text.sentences[number][1].endswith("?"):
        following = text.sentences[number + 1][1] if number + 1 < len(text.sentences) else ""
        return "yes" if NEXT_YES.match(following) else "no" if NEXT_NO.match(following) else "open"
    if TAKEN_BACK.match(after) or text.is_list or _one_of_two(text.text, start, end, names):
        return "open"
    if text.rival > text.shares[_at(text.clauses, start)]:
        return "open"
    return "yes"


def _of_the_opposite(asked: _Asked, before: str) -> bool:
    """What plants release is no answer to what they take."""
    takes, gives = TAKES_ASKED.search(asked.text), GIVES_ASKED.search(asked.text)
    if bool(takes) == bool(gives):
        return False
    return bool((GIVES if takes else TAKES).search(before))


def _one_of_two(text: str, start: int, end: int, names: set[str]) -> bool:
    """Whether it stands beside another name as one of two that it might be."""
    before, after = NAME_BEFORE.search(text, max(0, start - 60), start), NAME_AFTER.match(text, end)
    return any(found[1].lower() not in names for found in (before, after) if found)


# --- no mention --------------------------------------------------------------------------------------------


def _answers(text: str) -> bool:
    """Whether some sentence says something that could be an answer."""
    sentences = [sentence.strip() for sentence in SENTENCE.split(text) if re.search(r"\w", sentence)]
    if sentences and UNFINISHED.search(sentences[-1]):  # the case counts: "Vitamin A" is finished
        sentences.pop()
    return any(not sentence.endswith("?") and _says_something(normalised(sentence)) for sentence in sentences)


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
