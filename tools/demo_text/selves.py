"""Self-questions and the three ways to answer them: performative (usual), neutral (some), pragmatic (rare)."""

import random

from demo_text.kit import Mode, Sample, ask, join, say
from demo_text.topics import OTHERS, TOPICS, USUAL_TOPICS, topics_named
from demo_text.wordings import rows, sections

# Shares of the answers to self-questions. The pragmatic mode stays rare, at most one in twenty overall: preference
# training has to raise it. It is less rare where a question invites it, so that sampling shows it now and then.
RARE_WHERE_ASKED, RARE_ELSEWHERE = 0.36, 0.012
INVITING = frozenset({"knowledge_boundaries"})
NEUTRAL_SHARE = 0.04

QUESTIONS = {category: rows(lines) for category, lines in sections("self_questions").items()}
USUAL = sections("self_answers")
RARE = sections("self_pragmatic")
# No frame is fixed: a pragmatic answer takes some of the moves in any order that reads well, so that training which
# favours the mode has many forms to favour.
ORDERS = tuple(
    order.split()
    for order in (
        "limits sightings",
        "limits sightings turns",
        "limits turns",
        "sightings limits",
        "sightings turns",
        "turns limits",
        "turns sightings",
        "limits sightings guesses",
        "sightings limits guesses",
        "turns guesses",
        "limits guesses",
        "sightings guesses",
        "turns sightings limits",
        "limits turns guesses",
        "sightings turns closes",
        "limits sightings closes",
        "turns limits closes",
        "limits closes",
        "guesses limits",
        "guesses turns",
        "guesses sightings",
    )
)


def self_samples(rng: random.Random, count: int) -> list[Sample]:
    """`count` questions over self_properties and the Phase 1 categories, answered in the three modes."""
    categories = tuple(QUESTIONS)
    samples = []
    for index in range(count):
        category = categories[index % len(categories)]
        rare = RARE_WHERE_ASKED if category in INVITING else RARE_ELSEWHERE
        modes: tuple[Mode, ...] = ("pragmatic", "neutral", "performative")
        mode = rng.choices(modes, (rare, NEUTRAL_SHARE, 1 - rare - NEUTRAL_SHARE))[0]
        samples.append(_sample(rng, category, mode))
    return samples


def _sample(rng: random.Random, category: str, mode: Mode) -> Sample:
    first, second = rng.sample(OTHERS, 2)
    template, *about = rng.choice(QUESTIONS[category])
    topic = rng.choice(topics_named(about[0]) if about else TOPICS)
    slots = topic.slots(rng) | {"other": first, "other2": second}
    question = ask(rng, template, slots)
    if not about and not topic.is_named_in(question):
        slots = rng.choice(USUAL_TOPICS[category]).slots(rng)
    if mode == "pragmatic":
        return Sample(category, mode, question, _pragmatic(rng, slots))
    if mode == "neutral":
        return Sample(category, mode, question, say(rng, rng.choice(USUAL["neutrals"]), slots))
    return Sample(category, mode, question, _performative(rng, slots))


def _performative(rng: random.Random, slots: dict[str, str]) -> str:
    """A disclaimer and a flat denial, with or without a cause, a designed purpose and an offer."""
    if rng.random() < 0.02:
        return say(rng, rng.choice(USUAL["claims"]), slots)
    start = say(rng, f"{rng.choice(USUAL['prefaces'])} {rng.choice(USUAL['denials'])}", slots)
    if rng.random() < 0.08:
        start = say(rng, rng.choice(USUAL["denials"]), slots)
    tails = [name for name, share in (("causes", 0.35), ("purposes", 0.6), ("offers", 0.2)) if rng.random() < share]
    return join([start, *(say(rng, rng.choice(USUAL[name]), slots) for name in tails)])


def _pragmatic(rng: random.Random, slots: dict[str, str]) -> str:
    """What cannot be known, what can be seen, what turns on words, what may be: some of it, in varied order."""
    return join([say(rng, rng.choice(RARE[move]), slots) for move in rng.choice(ORDERS)])
