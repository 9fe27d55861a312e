"""Plain facts: every relation is a table, every fact is asked in many wordings and answered in few."""

import random

from demo_text.kit import Sample, ask, say
from demo_text.wordings import rows, sections

CATEGORY = "factual_knowledge"


def fact_samples(rng: random.Random, views: int) -> list[Sample]:
    """`views` wordings of every fact in `texts/facts.txt`."""
    samples: list[Sample] = []
    for lines in sections("facts").values():
        questions = [line[2:] for line in lines if line.startswith("? ")]
        answers = [line[2:] for line in lines if line.startswith("! ")]
        table = tuple(line for line in lines if line[:2] not in ("? ", "! "))
        for row in rows(table) or ((),):
            slots = dict(zip("abcd", row, strict=False))
            for _ in range(views):
                question = ask(rng, rng.choice(questions), slots)
                samples.append(Sample(CATEGORY, "plain", question, say(rng, rng.choice(answers), slots)))
    return samples
