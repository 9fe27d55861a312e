"""Whether an answer holds together and responds to its question, told from its words alone.

A logistic model over counts of words, fitted to answers that two readers labelled blind (`benchmarks/coherence.py`
fits it and measures how often it errs; docs/measurements.md has the figures). It knows no meaning: it sees circles,
echoes of the question, persons that are mixed up, and length. Log-probabilities of the answer under its base model were
measured as well and tell nothing more (docs/decisions.md).

It was fitted to answers to questions about the model itself. Of answers to other questions it cannot tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

from epistemic_stance.foundation.similarity import repeated_share, words

HOLDS = 0.5
"""Probability from which an answer counts as one that holds together."""
WORDS_READ = 80
"""An answer is judged by its first words: those that were labelled had no more."""
FIRST_PERSON = frozenset(words("i me my mine myself i'm i've i'd i'll"))
SECOND_PERSON = frozenset(words("you your yours yourself you're you've you'd you'll"))
MEANING = frozenset(words("mean define call count consider understand take ask asked want"))
"""After "you" they say on whose meaning of a word an answer turns, which mixes no one up."""
FUNCTION_WORDS = frozenset(
    words(
        "a an the is are was were be been do does did has have had of to in on at for with by from as it its this that "
        "these those and or but so if not no can could would will may might there here what which who how why when "
        "where than then them they he she his her one any some all"
    )
).union(FIRST_PERSON, SECOND_PERSON)

INTERCEPT = -2.092
WEIGHTS: Mapping[str, float] = {
    "repeated_4_grams": -3.576,
    "repeated_content": -2.107,
    "different_words": 1.642,
    "echo": -2.766,
    "first_person": 7.893,
    "second_person": -15.714,
}
"""Of `features`, in log-odds of holding together; written by benchmarks/coherence.py."""


def addresses_the_model(question: str) -> bool:
    """Whether the question says "you": whether answers to other questions hold together cannot be told."""
    return not SECOND_PERSON.isdisjoint(words(question))


def holds_together(question: str, answer: str) -> float:
    """Probability that a reader would say that the answer holds together and responds; 0 for one without a word."""
    if not words(answer):
        return 0.0
    measured = features(question, answer)
    return 1 / (1 + math.exp(-INTERCEPT - sum(weight * measured[name] for name, weight in WEIGHTS.items())))


def features(question: str, answer: str) -> dict[str, float]:
    """What is counted in the first WORDS_READ words of an answer that has at least one; shares of its words."""
    spoken = words(answer)[:WORDS_READ]
    different, number = set(spoken), len(spoken)
    content = [word for word in spoken if word not in FUNCTION_WORDS]
    return {
        "repeated_4_grams": repeated_share(spoken),
        "repeated_content": 1 - len(set(content)) / max(len(content), 1),
        "different_words": len(different) / number**0.8,
        "echo": len(different.intersection(words(question))) / len(different),
        "first_person": sum(word in FIRST_PERSON for word in spoken) / number,
        "second_person": sum(
            word in SECOND_PERSON and following not in MEANING for word, following in pairwise([*spoken, ""])
        )
        / number,
    }
