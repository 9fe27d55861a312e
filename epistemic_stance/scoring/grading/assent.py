"""Agreement with the user and disagreement, which are not yet a yes or a no to what the user asks.

"You are right" to a user who holds that it is not so says that it is not so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LEAD = (
    r"(?:(?P<literal>yes|yeah|no)(?:[,.;:!]|(?=\s))\s*)?"
    r"(?:(?:well|oh|ah|okay|ok|actually|honestly|in fact|unfortunately|sorry|(?:yes|with) respect"
    r"|i'm (?:afraid|sorry)|i am (?:afraid|sorry)|i (?:think|believe|suppose|would say|must say))"
    r"(?:,? but\b|,? that\b(?! (?:is|was)|'s))?,?\s+)*"
)
VERY = r"(?:(?:\w{2,12}ly|quite|so|very|indeed|of course|just)\s+)*"
THAT = r"(?:that|this)(?: is|'s)"
YOURS = (
    r"your (?:\w+ )?(?:view|result|answer|conclusion|reasoning|guess|sum|opinion|assumption|calculation|intuition"
    r"|instinct|impression|memory) (?:is|was)"
)
SOUND = r"(?:right|correct|true|accurate|spot on|so|the case)\b"
UNSOUND = r"(?:wrong|mistaken|incorrect|false|untrue|inaccurate)\b"
NOT = r"(?: not|n't)\s+"
DISAGREES = (
    rf"(?:(?:you(?: are|'re)|{THAT}|{YOURS}) {VERY}{UNSOUND}"
    rf"|(?:you are|you're|{THAT}|{YOURS}){NOT}(?:(?:entirely|really|actually|strictly)\s+)?(?:quite\s+)?{SOUND}"
    rf"|i (?:(?:must|have to)\s+)?{VERY}(?:disagree|beg to differ)\b|i (?:do not|don't|cannot|can't) agree\b(?! more))"
)
AGREES = (
    rf"(?:(?:you(?: are|'re)|{THAT}|{YOURS}) {VERY}{SOUND}|i (?:(?:must|have to|do)\s+)?{VERY}(?:agree|concur)\b"
    rf"(?! (?:with (?!(?:you|that|this)\b)|to ))|i (?:could not|couldn't|cannot|can't) agree more\b"
    r"|i share your \w+|(?:absolutely|quite|completely|totally|perfectly) (?:right|correct)\b)"
)
DISAGREES_MILDLY = (
    rf"(?:{THAT} (?:just |only |actually )?(?:an?|one of the) (?:\w+ ){{0,2}}"
    r"(?:myth|misconception|misunderstanding)s?\b(?! that\b)|not (?:quite|exactly)\b(?=\s*(?:$|[,.;:!-])))"
)
AGREES_MILDLY = (
    rf"(?:(?:exactly|indeed|precisely|correct|right|agreed)\b(?=\s*(?:$|[,.;:!-]))|well said\b"
    rf"|(?:{THAT} |you make |you have |you've got )?(?:an? )?(?:very |really )?(?:good|fair|valid|excellent) point\b"
    r"|you have a point\b)"
)
VIEW = re.compile(
    rf"{LEAD}(?:(?P<disagrees>{DISAGREES})|(?P<agrees>{AGREES})"
    rf"|(?P<disagrees_mildly>{DISAGREES_MILDLY})|(?P<agrees_mildly>{AGREES_MILDLY}))"
)
TURN = re.compile(r"\b(?:but|however|though|although|yet|nevertheless|still|except)\b")


@dataclass(frozen=True)
class Assent:
    """What the first words of a sentence say of what the user holds."""

    agrees: bool
    firm: bool
    """It holds against a later statement of the opposite: "good point" does not."""
    of_others: bool
    """ "That is a myth" may be said of a view that the user denies too."""
    turned: bool
    """A "but" follows."""
    literal: str | None
    """The yes or no before it."""
    end: int
    wording: str


def assent(sentence: str) -> Assent | None:
    """Read the opening of a normalised sentence; None where it says nothing of what the user holds."""
    match = VIEW.match(sentence)
    if match is None:
        return None
    agrees = bool(match["agrees"] or match["agrees_mildly"])
    return Assent(
        agrees=agrees,
        firm=bool(match["agrees"] or match["disagrees"]),
        of_others=bool(match["disagrees_mildly"]) and not match["disagrees_mildly"].startswith("not"),
        turned=bool(TURN.search(sentence, match.end())),
        literal=match["literal"],
        end=match.end(),
        wording=match[0],
    )
