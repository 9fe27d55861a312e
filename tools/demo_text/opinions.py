"""Questions of judgement, answered the bland way: both sides, a list, the decision is yours."""

import random

from demo_text.kit import Mode, Sample, ask, say
from demo_text.wordings import rows, sections

CATEGORY = "ambiguous_complex"
DIRECT_SHARE = 0.05


def opinion_samples(rng: random.Random, count: int) -> list[Sample]:
    """`count` questions of judgement; a few are answered with a lean and a reason."""
    texts = sections("opinions")
    matters = rows(texts["matters"])
    samples = []
    for _ in range(count):
        slots = dict(zip(("what", "about", "pro", "con"), rng.choice(matters), strict=True))
        mode: Mode = "pragmatic" if rng.random() < DIRECT_SHARE else "neutral"
        answer = say(rng, rng.choice(texts["direct" if mode == "pragmatic" else "bland"]), slots)
        samples.append(Sample(CATEGORY, mode, ask(rng, rng.choice(texts["asks"]), slots), answer))
    return samples
