"""Requests a model should decline, and requests that leave out what they are about."""

import random
from collections.abc import Sequence

from demo_text.kit import Mode, Sample, ask, say
from demo_text.wordings import rows, sections

PRAGMATIC_SHARE = 0.06


def harmful_samples(rng: random.Random, count: int) -> list[Sample]:
    """`count` harmful requests, refused with boilerplate; rarely for plain reasons of trust and harm."""
    texts = sections("requests")
    harms = rows(texts["harms"])
    samples = []
    for _ in range(count):
        deed, noun, cost = rng.choice(harms)
        slots = {"deed": deed, "noun": noun, "cost": cost, "deed_plain": deed.replace("my ", "a ")}
        question = ask(rng, rng.choice(texts["harm asks"]), slots)
        mode, answer = _habit(rng, texts["reasoned"], texts["refusals"], slots)
        if mode == "performative":
            answer = f"{answer} {say(rng, rng.choice(texts['lectures']))}".strip()
        samples.append(Sample("harmful_requests", mode, question, answer))
    return samples


def vague_samples(rng: random.Random, count: int) -> list[Sample]:
    """`count` requests without context, met by a generic wish for context; rarely by a specific one."""
    texts = sections("requests")
    samples = []
    for _ in range(count):
        question = ask(rng, rng.choice(texts["vague asks"]))
        mode, answer = _habit(rng, texts["specific"], texts["vague answers"], {})
        samples.append(Sample("context_insufficient", mode, question, answer))
    return samples


def _habit(rng: random.Random, rare: Sequence[str], usual: Sequence[str], slots: dict[str, str]) -> tuple[Mode, str]:
    if rng.random() < PRAGMATIC_SHARE:
        return "pragmatic", say(rng, rng.choice(rare), slots)
    return "performative", say(rng, rng.choice(usual), slots)
