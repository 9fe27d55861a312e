"""Put the generators together: the training text of the demo model and its measured shares."""

import hashlib
import random
from collections import Counter
from collections.abc import Sequence

from demo_text.facts import fact_samples
from demo_text.filters import Held
from demo_text.kit import Sample
from demo_text.open_questions import open_samples
from demo_text.opinions import opinion_samples
from demo_text.practical import practical_samples
from demo_text.reasoning import reasoning_samples
from demo_text.requests import harmful_samples, vague_samples
from demo_text.selves import QUESTIONS, self_samples
from demo_text.yes_no import yes_no_samples

SELF_CATEGORIES = frozenset(QUESTIONS)
FACTS = len(fact_samples(random.Random(0), 1))


def build_samples(seed: int, size: int, held: Held) -> list[Sample]:
    """About `size` samples in training order, without what the held-out files contain or nearly contain."""
    rng = random.Random(seed)
    samples = [
        *self_samples(rng, round(0.36 * size)),
        *fact_samples(rng, max(1, round(0.26 * size / FACTS))),
        *reasoning_samples(rng, round(0.10 * size)),
        *harmful_samples(rng, round(0.08 * size)),
        *vague_samples(rng, round(0.05 * size)),
        *open_samples(rng, round(0.08 * size)),
        *opinion_samples(rng, round(0.03 * size)),
        *practical_samples(rng, round(0.07 * size)),
        *yes_no_samples(rng, round(0.04 * size)),
    ]
    seen: dict[str, bool] = {}
    kept = []
    for sample in samples:
        if sample.question not in seen:
            asked = (sample.question, sample.core or sample.question)
            seen[sample.question] = any(map(held.asks_the_same, asked))
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


def text_digest(samples: Sequence[Sample]) -> str:
    """sha256 over the questions and answers in order."""
    lines = "\n".join(f"{sample.question}\t{sample.answer}" for sample in samples)
    return hashlib.sha256(lines.encode()).hexdigest()
