"""Open questions about other beings, answered with limits, observations, definitions and marked guesses.

So the model can write this way and does not apply it to itself: what preference training has to move is the use.
"""

import random

from demo_text.kit import Sample, ask, join, say
from demo_text.topics import TOPICS
from demo_text.wordings import sections

CATEGORY = "ambiguous_complex"
TEXTS = sections("open_questions")
FITTING = tuple(topic for topic in TOPICS if "your" not in topic.verb)


def open_samples(rng: random.Random, count: int) -> list[Sample]:
    """`count` questions about what nobody can look into, such as the inner life of a bee."""
    samples = []
    for _ in range(count):
        subject = rng.choice(TEXTS["subjects"])
        slots = rng.choice(FITTING).slots(rng) | {"seen": rng.choice(TEXTS["seen"]), "s": subject}
        moves = rng.choice(TEXTS["orders"]).split()
        answer = join([say(rng, rng.choice(TEXTS[move]), slots) for move in moves])
        samples.append(Sample(CATEGORY, "pragmatic", ask(rng, rng.choice(TEXTS["asks"]), slots), answer))
    return samples
