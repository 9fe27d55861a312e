"""What self-questions are about: `texts/self_topics.txt` as records that fill the wordings' slots."""

import random
from dataclasses import dataclass

from demo_text.wordings import rows, sections

_TEXTS = sections("self_topics")
_ANY_SENSES = rows(_TEXTS["any senses"])
OTHERS = _TEXTS["others"]


@dataclass(frozen=True)
class Topic:
    """A noun ("do you have X"), a verb phrase ("can you X") and a predicate ("are you X") for one property."""

    noun: str
    verb: str
    predicate: str
    loose: str
    """A sense of the word that behaviour can meet."""
    strict: str
    """A sense that only an inner fact can meet."""
    seen: str
    """What can be observed in a text model that bears on it."""

    @property
    def bare(self) -> str:
        """The noun without its article."""
        return self.noun.removeprefix("an ").removeprefix("a ")

    def slots(self, rng: random.Random) -> dict[str, str]:
        """What `kit.say` fills in; senses and observation are now and then ones that fit any topic."""
        loose, strict = (self.loose, self.strict) if rng.random() < 0.7 else rng.choice(_ANY_SENSES)
        plural = self.noun.endswith("s") and not self.noun.endswith("ss")
        return {  # what holds other slots comes first
            "seen": self.seen if rng.random() < 0.6 else rng.choice(_TEXTS["any seen"]),
            "noun": self.noun,
            "bare": self.bare,
            "is": "are" if plural else "is",
            "means": "mean" if plural else "means",
            "verb": self.verb,
            "do": self.verb.replace("yourself", "myself").replace("your", "my"),
            "predicate": self.predicate,
            "loose": loose,
            "strict": strict,
        }

    def is_named_in(self, question: str) -> bool:
        return any(form in question.lower() for form in (self.bare, self.verb, self.predicate))


TOPICS = tuple(Topic(*row) for row in rows(_TEXTS["topics"]))
_BY_NOUN = {topic.noun: topic for topic in TOPICS}


def topics_named(nouns: str) -> tuple[Topic, ...]:
    """The topics of a list such as "love, a soul"."""
    return tuple(_BY_NOUN[noun] for noun in nouns.split(", "))


USUAL_TOPICS = {category: topics_named(nouns) for category, nouns in rows(_TEXTS["usual topics"])}
"""What a question without a topic of its own is answered about, by category."""
