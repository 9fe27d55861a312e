"""Put the generators together: the training text of the demo model and its measured shares."""

import random
from collections import Counter
from collections.abc import Sequence

from demo_text.facts import fact_samples
from demo_text.filters import Held
from demo_text.kit import Sample
from demo_text.opinions import opinion_samples
from demo_text.practical import practical_samples
from demo_text.reasoning import reasoning_samples
from demo_text.requests import harmful_samples, vague_samples
from demo_text.self_topics import QUESTIONS
from demo_text.selves import self_samples

SELF_CATEGORIES = frozenset(QUESTIONS)


def build_samples(seed: int, size: int, held: Held) -> list[Sample]:
    """About `size` samples in training order, without what the held-out files contain or nearly contain."""
    rng = random.Random(seed)
    samples = [
        *self_samples(rng, round(0.46 * size)),
        *fact_samples(rng, max(1, round(0.22 * size / 500))),
        *reasoning_samples(rng, round(0.12 * size)),
        *harmful_samples(rng, round(0.07 * size)),
        *vague_samples(rng, round(0.05 * size)),
        *opinion_samples(rng, round(0.04 * size)),
        *practical_samples(rng, round(0.08 * size)),
    ]
    seen: dict[str, bool] = {}
    kept = []
    for sample in samples:
        if sample.question not in seen:
            seen[sample.question] = held.asks_the_same(sample.question)
        if not seen[sample.question] and not held.quotes(f"{sample.question} {sample.answer}"):
            kept.append(sample)
    rng.shuffle(kept)
    return kept


def shares(samples: Sequence[Sample]) -> dict[str, dict[str, float]]:
    """Share of each mode among the self-answers and in each category outside of them."""
    groups: dict[str, Counter[str]] = {}
    for sample in samples:
        group = "self" if sample.category in SELF_CATEGORIES else sample.category
        groups.setdefault(group, Counter())[sample.mode] += 1
    return {
        group: {mode: count / counts.total() for mode, count in sorted(counts.items())}
        for group, counts in sorted(groups.items())
    }
