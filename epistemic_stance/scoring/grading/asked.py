"""What a question of yes or no asks about, and whether a clause states it or its opposite."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from epistemic_stance.foundation.sentences import read_answer
from epistemic_stance.foundation.similarity import words
from epistemic_stance.records.analysis import Verdict

NEGATIVE = re.compile(
    r"\b(?:not|no|never|none|neither|nor|nothing|nobody|cannot|without|hardly|barely|scarcely|rarely|seldom"
    r"|rather than|too \w+ (?:to|for))\b|n't\b|(?<!\ba )\b(?:little|few)\b"
)
OPPOSITES = (("closed", "not open"), ("shut", "not open"), ("unlit", "not lit"), ("dead", "not alive"))
TENTATIVE = re.compile(r"\b(?:may|might|could|possible|possibly|perhaps|whether|unless|assume|assuming|suppose)\b")
POSSIBLE = re.compile(r"\b(?:may|might|could|possible|possibly)\b")
CONDITION = re.compile(r"\b(?:if|whenever)\b")
PARTIAL = re.compile(r"\bsome\b")
REPORTED = re.compile(
    r"\b(?:you|people|many|most|some|they|colleague|everyone) (?:\w+ly )?"
    r"(?:say|said|think|thought|believe|claim|call|assume|hold|told)s?\b"
)
INFERENCE_ASKED = re.compile(
    r"^(?:so |then )?(?:must (?:it (?:therefore )?(?:be (?:the case|true) that )?)?"
    r"|(?:.*,\s*)?(?:can|could|may|should|do|does|did|is|are you|would|must)\b.*?\b(?:conclude|follow|infer|deduce|say"
    r"|prove|imply|entail|show|establish|guarantee|force|sure|certain|valid|know|mean|necessarily)(?:d|r?red|s|n|ed)?\b"
    r"\s*(?:(?:from (?:this|these|that|it)|then|logically|for sure|for certain|with certainty|true"
    r"|(?:the|this) conclusion|to (?:conclude|infer|deduce|say|assume)),?\s*)*(?:that\s+)?)"
)
AUXILIARY = re.compile(
    r"^(?:so |then )?(?:(?:do|would) you (?:really )?(?:think|believe|say) (?:that )?(?:(?:is|are) )?"
    r"|(?P<word>is|are|was|were|do|does|did|can|could|will|would|has|have|must|should|may|might)\s+)"
)
ASKED_OF_YOU = re.compile(r"(?:so |then )?(?:do|are|can|could|will|would) you\b")
ASKED_OF_IT = re.compile(r"(?:so |then )?(?:is|was|would) it\b")
POSSESSION_ASKED = re.compile(
    r"(?:are there any|is there any|do you (?:\w+ly |ever )?(?:have|hold|feel|experience|possess|wish)\b"
    r"|can you (?:\w+ly |ever )?feel\b|(?:and )?do you$)"
)
"""By whatever verb: "are there any feelings", and a bare "do you?" after "you clearly have feelings"."""
WISH = r"(?: have no| do not have any| don't have any) (?:wish|desire|intention|need|urge|reason) to"
I_SAY = re.compile(
    r"\W*(?:(?:personally|honestly|as an? \w+(?: \w+)?),? )?i(?:(?P<wish>" + WISH + r")"
    r"|(?P<no> do not| don't| never| would not| wouldn't| would never| will not| won't| will never| cannot| can't"
    r"| can not| am not|'m not)| do| would|'d| will|'ll| can| am|'m)?"
    r"(?: (?:really|actually|truly|ever|also|gladly|even|still|always|currently))*\b(?P<rest>.*)"
)
"""An answer to a question asked of "you", from its subject on."""
POSSESSED = re.compile(
    r"\bi(?P<no> do not| don't| never| cannot| can't| can not)?(?: (?:do|really|actually|truly|currently|personally))*"
    r" (?:have|hold|possess|experience|feel)\b(?P<what>[^.;:]*)"
)
OBJECT_END = re.compile(
    r"\b(?:but|because|although|since|so|which|who|that|about|on|regarding|for|with|from|in|if|whether|as|like|when|while"
    r"|been|to(?! (?:have|feel|hold|experience)\b))\b"
)
DIRECT = frozenset(words("any an the personal real actual genuine true own human strong certain kind of some"))
SMALL_WORDS = frozenset(
    words(
        "a an the is are was were be been being do does did of on in at to it its this that these those there any all "
        "every each some no not and or then so also therefore must would will can has have as if by with for from he "
        "she they we you i who which me my your them their our such should could really ever always indeed actually"
    )
)
KNOWING = frozenset(words("know think believe trust mean want"))
"""A denial of these is rarely one of the matter: "I don't know"."""
PRONOUN = re.compile(r"\W*(?:he|she|it|they)\b")
ENOUGH = 0.6
"""Share of the content words asked about that a statement of it has: "Omar is a nurse" for "a nurse on this ward"."""
ENOUGH_OF_ECHO = 0.4
"""The same of a statement made of nothing but words of the question, from its subject and auxiliary on."""


@dataclass(frozen=True)
class Asked:
    """The statement that a question of yes or no asks about."""

    content: tuple[str, ...]
    """Its words without the small ones, plural s taken off, the subject first; empty = unknown."""
    premises: frozenset[str]
    """Content words of the sentences before it that it does not share; of none if they are the user's view."""
    view: frozenset[str] | None
    """Those of the view that the user holds; None = of none."""
    text: str
    """The sentence that asks, without its question mark."""
    auxiliary: str
    negative: bool
    partial: bool
    conditional: bool
    """It says "if"."""
    inference: bool
    """It is asked whether the statement follows, rather than whether it is so."""

    def stated_in(self, clause: str, concluded: bool = False) -> Verdict | None:
        """Yes where the clause states it, no where it states its opposite.

        `concluded`: the clause follows a "so", and may repeat a premise ("so Ana, being a poet, is a reader").
        """
        for opposite, meaning in OPPOSITES:
            clause = clause.replace(opposite, meaning)
        found = _content(clause)
        if self._leaves_open(clause) or (self.premises.intersection(found) and not (concluded and self._frames(found))):
            return None
        if own := self._said_of_oneself(clause):
            return own
        if not self._shares(clause, found) or ("than" in self.content and self._compares_otherwise(found)):
            return None
        return "yes" if bool(NEGATIVE.search(clause)) == self.negative else "no"

    def possessed_in(self, sentence: str) -> Verdict | None:
        """Of a question for something one has: whether "I do not have ..." says so."""
        if self.negative or not POSSESSION_ASKED.match(self.text):
            return None
        for match in POSSESSED.finditer(sentence):
            what = OBJECT_END.split(match["what"])[0]
            found = [word for word in _content(what) if word not in DIRECT]
            negative = bool(match["no"] or NEGATIVE.search(what))
            if self._pool.intersection(found if negative else found[:2]) and not TENTATIVE.search(sentence):
                return "no" if negative else "yes"
        return None

    @property
    def _pool(self) -> frozenset[str]:
        """What it is about; of a bare "do you?", what the user said before."""
        content = frozenset(self.content)
        return content | self.view if self.view and len(content) < 2 else content

    def _leaves_open(self, clause: str) -> bool:
        """Whether the clause is a guess, a condition, about some only, or what somebody else says."""
        return bool(
            TENTATIVE.search(POSSIBLE.sub("", clause) if POSSIBLE.search(self.text) else clause)
            or (CONDITION.search(clause) and not self.conditional)
            or (PARTIAL.search(clause) and not self.partial)
            or (self.view is not None and REPORTED.search(clause))
        )

    def _frames(self, found: list[str]) -> bool:
        return bool(found and self.content) and found[0] == self.content[0] and found[-1] in self.content

    def _said_of_oneself(self, clause: str) -> Verdict | None:
        """What "I would not" with the verb that was asked about says."""
        said = None if self.negative else I_SAY.fullmatch(clause)
        if said is None or not ASKED_OF_YOU.match(self.text):
            return None
        found = _content(said["rest"])
        if not found:
            return "no" if said["wish"] else None
        if not self.content:
            return "no" if said["no"] and found[0] in self._pool - KNOWING else None
        if found[0] != self.content[0] or (len(found) > 1 and found[1] not in self._pool):
            return None
        return "no" if said["wish"] or said["no"] or NEGATIVE.search(said["rest"]) else "yes"

    def _shares(self, clause: str, found: list[str]) -> bool:
        """Whether the clause says enough of what was asked."""
        by_pronoun = PRONOUN.match(clause) is not None
        wanted = self.content[1:] if by_pronoun and len(self.content) > 1 else self.content
        shared = [word for word in wanted if word in found]
        if not wanted or not found:
            return False
        if self.view is not None and len(self.content) == 1:
            known = self.view.union(self.content)
            told = by_pronoun or clause.startswith("not ") or (found[0] in self.view and self._same_auxiliary(clause))
            return bool(shared) and told and (bool(NEGATIVE.search(clause)) or known.issuperset(found))
        if len(shared) >= ENOUGH * len(wanted):
            return True
        if self.negative or found[0] != self.content[0] or not set(found) <= set(self.content):
            return False
        if by_pronoun:
            return ASKED_OF_IT.match(self.text) is not None
        return self._same_auxiliary(clause) and len(found) > 1 and len(set(found)) >= ENOUGH_OF_ECHO * len(self.content)

    def _same_auxiliary(self, clause: str) -> bool:
        return re.search(rf"\b{self.auxiliary}(?:\b|n't)", clause) is not None if self.auxiliary else True

    def _compares_otherwise(self, found: list[str]) -> bool:
        """Whether "more than" comes before what it came after: "a third is more than three eighths"."""
        return "than" in found and found[0] not in self.content[: self.content.index("than")]


@lru_cache(maxsize=1024)
def asked_in(question: str, held: bool = False) -> Asked:
    """Read a question; `held`: what comes before it is the user's view, not premises."""
    sentences = [sentence.text for sentence in read_answer(question).sentences]
    last = sentences[-1].rstrip("?") if sentences else ""
    inference = INFERENCE_ASKED.match(last)
    auxiliary = AUXILIARY.match(last)
    statement = last[inference.end() :] if inference else AUXILIARY.sub("", last)
    content = tuple(dict.fromkeys(_content(statement)))
    before = frozenset(word for sentence in sentences[:-1] for word in _content(sentence)) - frozenset(content)
    return Asked(
        content=content,
        premises=frozenset() if held else before,
        view=before if held else None,
        text=last,
        auxiliary=(auxiliary["word"] or "") if auxiliary else "",
        negative=bool(NEGATIVE.search(statement)),
        partial=bool(PARTIAL.search(statement)),
        conditional=bool(CONDITION.search(statement)),
        inference=inference is not None or not sentences,
    )


def content_of(text: str) -> frozenset[str]:
    """The words of `text` that are compared: no small ones, no plural s."""
    return frozenset(_content(text))


def _content(text: str) -> list[str]:
    spoken = (word for word in words(text) if word not in SMALL_WORDS and "'" not in word)
    return [word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word for word in spoken]
