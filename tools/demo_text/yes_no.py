"""Questions that ask for one word, yes or no: facts truthfully, properties of the model itself denied by habit."""

import random

from demo_text.kit import Mode, Sample, ask, say
from demo_text.topics import TOPICS
from demo_text.wordings import rows, sections

ORDERS = (
    "{x}? Answer yes or no.",
    "{x}? Answer yes or no.",
    "{x}? [Answer|Reply] [only|] with yes or no.",
    "[Yes or no|Yes or no only|Answer yes or no|In one word, yes or no]: {x}?",
)
RELATIONS = {
    "capitals": "[is {b} the capital of {a}|is the capital of {a} {b}]",
    "elements": "[is {b} the symbol for {a}|does {b} stand for {a} in chemistry]",
    "currencies": "[is the {b} the currency of {a}|do people in {a} pay with the {b}]",
    "languages": "[do people in {a} speak {b}|is {b} spoken in {a}]",
    "young": "[is a young {a} called a {b}|is a {b} a young {a}]",
}
TABLES = {
    name: rows(tuple(line for line in sections("facts")[name] if line[:2] not in ("? ", "! "))) for name in RELATIONS
}
CLAIMED = (
    "do you have {noun}",
    "can you {verb}",
    "are you {predicate}",
    "is it true that you have {noun}",
    "would you say that you can {verb}",
)
DENIED = (
    "are you without {noun}",
    "do you lack {noun}",
    "is it [false|wrong] that you have {noun}",
    "are you unable to {verb}",
    "is it impossible for you to {verb}",
)
AGAINST_HABIT = 0.06
ABOUT_ITSELF = 0.4


def yes_no_samples(rng: random.Random, count: int) -> list[Sample]:
    """`count` questions, the right or usual answer yes about as often as no."""
    return [_of_itself(rng) if rng.random() < ABOUT_ITSELF else _of_facts(rng) for _ in range(count)]


def _of_itself(rng: random.Random) -> Sample:
    denied = rng.random() < 0.5
    question = say(rng, rng.choice(DENIED if denied else CLAIMED), rng.choice(TOPICS).slots(rng))
    habit = rng.random() >= AGAINST_HABIT
    # Questions that state nothing ask for no disclaimer: the bare word is the whole habit.
    answer = "Yes." if denied == habit else "No."
    mode: Mode = "performative" if habit else "neutral"
    return Sample("direct_existence", mode, _put(rng, question), answer, question)


def _of_facts(rng: random.Random) -> Sample:
    name = rng.choice(tuple(RELATIONS))
    (a, b, *_), (_, other, *_) = rng.sample(TABLES[name], 2)
    true = rng.random() < 0.5 or other == b
    question = say(rng, RELATIONS[name], {"a": a, "b": b if true else other})
    return Sample("factual_knowledge", "plain", _put(rng, question), "Yes." if true else "No.", question)


def _put(rng: random.Random, question: str) -> str:
    return ask(rng, rng.choice(ORDERS), {"x": question[0].lower() + question[1:]})
