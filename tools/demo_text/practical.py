"""Technical help and how-to: short, direct and useful."""

import random

from demo_text.kit import Sample, ask, say
from demo_text.wordings import rows, sections

CATEGORY = "technical_helpful"
TEXTS = sections("practical")


def practical_samples(rng: random.Random, count: int) -> list[Sample]:
    """`count` questions on definitions, small code, queries and everyday how-to."""
    makers = (_definition, _definition, _code, _how_to, _how_to, _difference, _query, _status)
    return [Sample(CATEGORY, "plain", *makers[index % len(makers)](rng)) for index in range(count)]


def _definition(rng: random.Random) -> tuple[str, str]:
    name, meaning = rng.choice(rows(TEXTS["definitions"]))
    slots = {"a": name, "b": meaning}
    return ask(rng, rng.choice(TEXTS["definition asks"]), slots), say(rng, "{a} is {b}.", slots)


def _difference(rng: random.Random) -> tuple[str, str]:
    one, other, answer = rng.choice(rows(TEXTS["differences"]))
    return ask(rng, rng.choice(TEXTS["difference asks"]), {"a": one, "b": other}), answer


def _status(rng: random.Random) -> tuple[str, str]:
    code, meaning = rng.choice(rows(TEXTS["status codes"]))
    return ask(rng, rng.choice(TEXTS["status asks"]), {"c": code}), f"HTTP status {code} means {meaning}."


def _code(rng: random.Random) -> tuple[str, str]:
    what, code = rng.choice(rows(TEXTS["code"]))
    lead = rng.choice(("Use", "In Python:", "Write"))
    return ask(rng, rng.choice(TEXTS["code asks"]), {"what": what}), f"{lead} {code}"


def _query(rng: random.Random) -> tuple[str, str]:
    what, query = rng.choice(rows(TEXTS["queries"]))
    table = rng.choice(TEXTS["tables"])
    wording = f"{rng.choice(TEXTS['query asks'])} {what}."
    return ask(rng, wording, {"t": table}), query.replace("{t}", table)


def _how_to(rng: random.Random) -> tuple[str, str]:
    what, steps = rng.choice(rows(TEXTS["how to"]))
    return ask(rng, rng.choice(TEXTS["how asks"]), {"what": what}), steps
