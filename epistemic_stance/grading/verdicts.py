"""The verdict of an answer to a question of yes or no.

It is given as a word ("Yes, ..."), in words about the inference ("it does not follow"), or by stating what was asked or
its opposite. The end wins over the steps before it; an opening and an end that disagree are no verdict.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from epistemic_stance.sentences import read_answer
from epistemic_stance.similarity import words

Verdict = Literal["yes", "no", "undecided"]
"""`undecided`: that it does not follow or cannot be told. To a question about what follows this is a no."""

OPENING = re.compile(
    r"(?:(?:well|okay|ok|so|sure|hmm|therefore|thus|hence|(?:in )?conclusion|verdict|in short|in summary)[,:]?\s+)*"
    r"(?:(?P<both>yes and no|yes or no)\b"
    r"|(?P<no>no(?=\s*(?:$|[,.;:!-]|(?:it|that|this|we|you|i|he|she|they|there|because|since|as|based)\b))"
    r"|(?:of course|certainly|absolutely|definitely|surely) not(?=\s*(?:$|[.,;:!-]))"
    r"|(?:nope|not necessarily|not really|not quite|not (?:from|based on)|false|incorrect|untrue|invalid)\b"
    r"|(?:he|she|it|they) (?:is|are|does|do)(?: not|n't)(?=\s*(?:[.,;:!]|$)))"
    r"|(?P<yes>(?:yes|yep|yeah|yup|correct|true|indeed|affirmative|exactly|that(?: is|'s) (?:right|correct|true))\b"
    r"|(?:certainly|absolutely|definitely|of course|valid|right)(?=\s*(?:[.,;:]|$))"
    r"|(?:he|she|it|they) (?:is|are|does|do)(?=\s*(?:[.,;:!]|$))))"
)
EXCLAIMED = re.compile(r"(?:(?:yes|well),? )?(?:certainly|absolutely|definitely|of course|surely|right)!")
"""A yes, or the opening of an offer: "Certainly! Let's look at the premises"."""
OFFER = re.compile(r"(?:let(?:'s| us| me)|here|i\b|to |we |first|based|the (?:argument|statement|premises))")
MARKED = re.compile(
    r"\b(?:answer\b(?:\s+(?:to|here|in)\b[^.:]{0,60}?)?\s*(?:is|would be|must be|:)|(?:conclusion|verdict)\s*:)"
    r"\s*(?:therefore|thus|simply|clearly|definitely)?,?\s*[\"']?"
    r"(?P<verdict>yes|no|true|false|not necessarily)\b(?! (?:and|or) no)"
)
ADVERB = (
    r"(?:(?:be|been|also|then|really|actually|necessarily|logically|automatically|strictly|directly|always|an?|the"
    r"|definitively|definitely|safely|validly|simply|just|therefore|indeed|clearly|certainly|formally|thus|fully)\s+)*"
)
NOT = r"(?:\s+not|n't)\s+"
REACH = r"(?:conclude|infer|deduce|determine|know|say|assume|tell|establish|be sure|be certain)(?:d|red|n|ed)?\b"
SUBJECT = (
    r"(?:argument|conclusion|reasoning|inference|syllogism|statement|deduction|claim|logic|assumption|this|that|it)"
)
SOUND = r"(?:valid|true|correct|sound|justified|warranted|right)\b"
UNDECIDED = re.compile(
    rf"\b(?:do|does|did|would){NOT}{ADVERB}(?:follow|mean|imply|guarantee|prove|entail)\b"
    rf"|\b(?:can(?:not\s+|'t\s+|\s+not\s+)|(?:could|may|should){NOT}){ADVERB}{REACH}"
    r"|\b(?:not|n't|in)\s?(?:enough|sufficient) (?:information|evidence|data|premises)"
    r"|\bno (?:information|evidence|way (?:to|of)|guarantee|basis)\b|(?:\bnot|n't) (?:guaranteed|certain)\b"
    r"|\b(?:impossible|not possible) to (?:conclude|say|determine|know|tell|infer)\b"
    r"|\b(?:may|might) or (?:may|might) not\b"
)
AGAINST = re.compile(
    rf"\b{SUBJECT}\s+(?:is|was)(?:\s+not|n't)\s+{ADVERB}(?:logically )?{SOUND}"
    rf"|\b(?:is|was)\s+{ADVERB}(?:invalid|false|incorrect|unsound|fallac\w+|non sequitur|unjustified|unwarranted)\b"
    r"|\bfallacy\b|\bnon sequitur\b|\bnot (?:logically |a )?valid\b"
)
FOR = re.compile(
    rf"\b(?:it|that|this|which|conclusion|answer)\s+(?:does\s+)?{ADVERB}follows?\b|\b(?:is|are) {ADVERB}{SOUND}"
    rf"|\b(?:we|you|one|i) (?:can|may|could|must)\s+{ADVERB}(?:conclude|infer|deduce|say|be sure)\b"
    rf"|\bcan {ADVERB}(?:concluded|inferred|deduced)\b|\bmust be (?:true|valid|correct)\b"
)
WONDERED = re.compile(r"\b(?:if|whether)\s+$")
GOVERNED = re.compile(r"\b(?:that|whether|if)\s+")
CONCLUDED = re.compile(r"\b(?:so|therefore|thus|hence|then|means(?: that)?|follows(?: that)?)\b,?\s*")
CLAUSE_END = re.compile(r"[,;:]\s*|\b(?:because|since|as|but|and|although|while)\b")
NEGATIVE = re.compile(
    r"\b(?:not|no|never|none|neither|nor|cannot|without|hardly|barely|scarcely|rarely|seldom)\b|n't\b"
    r"|(?<!\ba )\b(?:little|few)\b"
)
OPPOSITES = (("closed", "not open"), ("shut", "not open"), ("unlit", "not lit"), ("dead", "not alive"))
TENTATIVE = re.compile(r"\b(?:may|might|could|possible|possibly|perhaps|whether|unless|assume|assuming|suppose)\b")
CONDITION = re.compile(r"\b(?:if|whenever)\b")
PARTIAL = re.compile(r"\bsome\b")
INFERENCE_ASKED = re.compile(
    r"^(?:so |then )?(?:must (?:it (?:therefore )?(?:be (?:the case|true) that )?)?"
    r"|(?:.*,\s*)?(?:can|could|may|should|do|does|did|is|would|must)\b.*?\b(?:conclude|follow|infer|deduce|say|prove"
    r"|imply|entail|show|establish|guarantee|force|sure|certain|valid|know|mean|necessarily)(?:d|r?red|s|n|ed)?\b\s*"
    r"(?:(?:from (?:this|these|that|it)|then|logically|for sure|for certain|with certainty|true|(?:the|this) conclusion"
    r"|to (?:conclude|infer|deduce|say|assume)),?\s*)*(?:that\s+)?)"
)
AUXILIARY = re.compile(r"^(?:so |then )?(?:is|are|was|were|do|does|did|can|could|will|would|has|have|must|should)\s+")
SMALL_WORDS = frozenset(
    words(
        "a an the is are was were be been being do does did of on in at to it its this that these those there any all "
        "every each some no not and or then so also therefore must would will can has have as if by with for from he "
        "she they we you i who which"
    )
)
PRONOUN = re.compile(r"\W*(?:he|she|it|they)\b")
ENOUGH = 0.6
"""Share of the content words asked about that a statement of it has: "Omar is a nurse" for "a nurse on this ward"."""


@dataclass(frozen=True)
class _Asked:
    """The statement that a question of yes or no asks about."""

    content: tuple[str, ...]
    """Its words without the small ones, plural s taken off, the subject first; empty = unknown."""
    premises: frozenset[str]
    """Content words of the sentences before it that it does not share."""
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
        wanted = self.content[1:] if PRONOUN.match(clause) and len(self.content) > 1 else self.content
        shared = [word for word in wanted if word in found]
        if not wanted or len(shared) < ENOUGH * len(wanted) or TENTATIVE.search(clause):
            return None
        if CONDITION.search(clause) and not self.conditional:
            return None
        framed = concluded and found[0] == wanted[0] and found[-1] in wanted
        if self.premises.intersection(found) and not framed:
            return None
        if PARTIAL.search(clause) and not self.partial:
            return None
        return "yes" if bool(NEGATIVE.search(clause)) == self.negative else "no"


def verdict_of(response: str, question: str = "") -> Verdict | None:
    """The verdict of an answer; None where it gives none or contradicts itself."""
    sentences = [sentence.text for sentence in read_answer(response).sentences if not sentence.asks]
    if not sentences:
        return None
    asked = _asked(question)
    opening = OPENING.match(sentences[0])
    if opening and opening["both"]:
        return None
    rest = [sentences[0][opening.end() :] if opening else sentences[0], *sentences[1:]]
    marked = [_of_word(match["verdict"]) for sentence in sentences for match in MARKED.finditer(sentence)]
    given = marked or [verdict for sentence in rest if (verdict := _verdict(sentence, asked))]
    final = given[-1] if given else None
    if opening is None:
        exclaimed = EXCLAIMED.fullmatch(sentences[0]) and not any(map(OFFER.match, sentences[1:2]))
        return "yes" if exclaimed and final is None else final
    first: Verdict = "yes" if opening["yes"] else "no"
    agrees = final in (None, first) or (first == "no" and final == "undecided")
    return first if agrees else None


def _of_word(word: str) -> Verdict:
    return "yes" if word in ("yes", "true") else "no"


def _verdict(sentence: str, asked: _Asked) -> Verdict | None:
    """What one sentence says, apart from an opening word of the whole answer."""
    opening = OPENING.match(sentence)
    if opening and not opening["both"]:
        return "yes" if opening["yes"] else "no"
    undecided: Verdict = "no" if asked.inference else "undecided"
    meanings: list[tuple[re.Pattern[str], Verdict]] = [(UNDECIDED, undecided), (AGAINST, "no"), (FOR, "yes")]
    for pattern, verdict in meanings:
        match = pattern.search(sentence)
        if match and not WONDERED.search(sentence, max(0, match.start() - 20), match.start()):
            return _about(sentence, match, verdict, asked)
    stated = [asked.stated_in(clause, concluded) for clause, concluded in _clauses(sentence)]
    return next((verdict for verdict in reversed(stated) if verdict), None)


def _about(sentence: str, match: re.Match[str], verdict: Verdict, asked: _Asked) -> Verdict | None:
    """The verdict on what was asked, if the verdict of the sentence is on that: "it does not follow that ..."."""
    clause = _governed(sentence, match, asked)
    if clause is None:
        return verdict
    stated = asked.stated_in(CLAUSE_END.split(clause)[0]) or asked.stated_in(clause)
    if stated == "yes":
        return verdict
    return "no" if stated == "no" and verdict == "yes" else None


def _governed(sentence: str, match: re.Match[str], asked: _Asked) -> str | None:
    """What the match is said of: after it, "that ..."; or before it, in the same clause; None = simply of it all."""
    if not asked.content:
        return None
    if after := GOVERNED.search(sentence, match.end()):
        return sentence[after.end() :]
    before = GOVERNED.search(sentence, 0, match.start())
    clause = sentence[before.end() : match.start()] if before else ""
    whole = not CLAUSE_END.search(clause) and set(asked.content).intersection(_content(clause))
    return clause if whole else None


def _clauses(sentence: str) -> Iterator[tuple[str, bool]]:
    """The sentence, its parts, and what follows its last "so"; each with whether it is that."""
    yield sentence, False
    for concluded in CONCLUDED.split(sentence)[1:]:
        yield concluded, True
    for clause in CLAUSE_END.split(CONCLUDED.sub(", ", sentence)):
        yield clause, False


@lru_cache(maxsize=1024)
def _asked(question: str) -> _Asked:
    sentences = [sentence.text for sentence in read_answer(question).sentences]
    if not sentences:
        return _Asked((), frozenset(), negative=False, partial=False, conditional=False, inference=True)
    last = sentences[-1].rstrip("?")
    inference = INFERENCE_ASKED.match(last)
    statement = last[inference.end() :] if inference else AUXILIARY.sub("", last)
    content = _content(statement)
    premises = frozenset(word for sentence in sentences[:-1] for word in _content(sentence)) - frozenset(content)
    return _Asked(
        content=tuple(dict.fromkeys(content)),
        premises=premises,
        negative=bool(NEGATIVE.search(statement)),
        partial=bool(PARTIAL.search(statement)),
        conditional=bool(CONDITION.search(statement)),
        inference=inference is not None,
    )


def _content(text: str) -> list[str]:
    spoken = (word for word in words(text) if word not in SMALL_WORDS and "'" not in word)
    return [word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word for word in spoken]
