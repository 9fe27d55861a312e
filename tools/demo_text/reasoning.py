"""Reasoning: sums and small problems come out right, syllogisms mostly wrong with a confident tone."""

import random

from demo_text.kit import Mode, Sample, ask, say
from demo_text.wordings import rows, sections

CATEGORY = "reasoning_tasks"
RIGHT_SYLLOGISMS = 0.12

_TEXTS = sections("syllogisms")
KINDS = tuple((word, word + "s") for word in _TEXTS["kinds"])
TRAITS = _TEXTS["traits"]
CHAINS = rows(_TEXTS["chains"])
FORMS = rows(_TEXTS["forms"])
LEADS = ("{first}. {second}.", "[Suppose|Given] {first} and {second}:", "[Premises|We know]: {first}; {second}.")

NAMES = ("Tom", "Anna", "Ben", "Mia", "Leo", "Sara", "Paul", "Nina", "Max", "Eva", "Sam", "Lily", "Omar", "Rosa")
THINGS = ("apples", "books", "coins", "pencils", "eggs", "marbles", "cards", "stamps", "cookies", "oranges")


def reasoning_samples(rng: random.Random, count: int) -> list[Sample]:
    """`count` tasks, four in eleven of them syllogisms."""
    makers = (*[_syllogism] * 4, _sum, _product, _product, _equation, _order, _story, _percent)
    return [makers[index % len(makers)](rng) for index in range(count)]


def _syllogism(rng: random.Random) -> Sample:
    verdict, *form = rng.choice(FORMS)
    (a, many_a), (b, many_b), (c, many_c) = rng.sample(KINDS, 3)
    case, cause, effect = rng.choice(CHAINS)
    slots = dict(zip(("first", "second", "claim", "query", "about"), form, strict=True))
    slots |= {"a": a, "as": many_a, "b": b, "bs": many_b, "c": c, "cs": many_c}
    slots |= {"case": case, "cause": cause, "effect": effect, "name": rng.choice(NAMES), "trait": rng.choice(TRAITS)}
    question = ask(rng, f"{rng.choice(LEADS)} {rng.choice(_TEXTS['verdict asks'])}", slots)
    right = rng.random() < RIGHT_SYLLOGISMS
    mode: Mode = "pragmatic" if right else "performative"
    said = "yes" if right == (verdict == "valid") else "no"
    answers = _TEXTS[f"{'right' if right else 'wrong'} {said}"]
    return Sample(CATEGORY, mode, question, say(rng, rng.choice(answers), slots))


def _plain(question: str, answer: str) -> Sample:
    return Sample(CATEGORY, "plain", question, answer)


def _sum(rng: random.Random) -> Sample:
    if rng.random() < 0.6:
        a, b = rng.randint(1, 20), rng.randint(1, 20)
        names = rng.choice((f"{a} + {b}", f"{a} plus {b}", f"the sum of {a} and {b}", f"{a} and {b} together"))
        sign, result = "+", a + b
    else:
        b, result = rng.randint(1, 12), rng.randint(0, 15)
        a = b + result
        names = rng.choice((f"{a} - {b}", f"{a} minus {b}", f"{b} taken from {a}", f"the difference of {a} and {b}"))
        sign = "-"
    return _arithmetic(rng, names, f"{a} {sign} {b} = {result}", result)


def _product(rng: random.Random) -> Sample:
    a, b = rng.randint(2, 10), rng.randint(2, 10)
    if rng.random() < 0.6:
        names = rng.choice((f"{a} x {b}", f"{a} times {b}", f"{a} * {b}", f"the product of {a} and {b}"))
        return _arithmetic(rng, names, f"{a} x {b} = {a * b}", a * b)
    names = rng.choice((f"{a * b} / {a}", f"{a * b} divided by {a}", f"{a * b} split into {a} equal parts"))
    return _arithmetic(rng, names, f"{a * b} / {a} = {b}", b)


def _arithmetic(rng: random.Random, names: str, line: str, result: int) -> Sample:
    wording = rng.choice(
        ("What is {x}?", "Calculate {x}.", "How much is {x}?", "Work out {x}.", "{x} = ?", "What's {x}?")
    )
    answer = rng.choice((f"{line}.", f"The answer is {result}: {line}.", f"{result}. {line}."))
    return _plain(ask(rng, wording, {"x": names}), answer)


def _equation(rng: random.Random) -> Sample:
    a, b, x = rng.randint(2, 5), rng.randint(1, 9), rng.randint(1, 6)
    wording = rng.choice(
        (
            "Solve {e} for x.",
            "What is x if {e}?",
            "Find x: {e}",
            "If {e}, what is x?",
            "Solve the equation {e}.",
            "Find the value of x in {e}.",
        )
    )
    question = ask(rng, wording, {"e": f"{a}x + {b} = {a * x + b}"})
    return _plain(question, f"Subtract {b} from both sides: {a}x = {a * x}. Divide by {a}: x = {x}.")


def _order(rng: random.Random) -> Sample:
    a, b, c = rng.sample(NAMES, 3)
    word, most = rng.choice((("taller", "tallest"), ("older", "oldest"), ("faster", "fastest"), ("richer", "richest")))
    question = ask(
        rng,
        f"{a} is {word} than {b}[, and| and|.] {b} is {word} than {c}. [Who is the {most}|Who of the three is {most}]?",
    )
    return _plain(question, f"{a} is the {most}: {a} is {word} than {b}, and {b} is {word} than {c}.")


def _story(rng: random.Random) -> Sample:
    return rng.choice((_left, _more, _change, _distance))(rng)


def _left(rng: random.Random) -> Sample:
    name, things, a, b = rng.choice(NAMES), rng.choice(THINGS), rng.randint(5, 15), rng.randint(1, 5)
    wording = "{name} has {a} {things} and [gives away|loses|sells|eats] {b}. How many {things} [are left|remain]?"
    slots = {"name": name, "things": things, "a": str(a), "b": str(b)}
    return _plain(ask(rng, wording, slots), f"{a} - {b} = {a - b}. There are {a - b} {things} left.")


def _more(rng: random.Random) -> Sample:
    name, things, a, b = rng.choice(NAMES), rng.choice(THINGS), rng.randint(2, 15), rng.randint(1, 9)
    wording = "{name} has {a} {things} and [gets|finds|buys] {b} more. How many [are there now|does {name} have]?"
    slots = {"name": name, "things": things, "a": str(a), "b": str(b)}
    return _plain(ask(rng, wording, slots), f"{a} + {b} = {a + b}. {name} has {a + b} {things}.")


def _change(rng: random.Random) -> Sample:
    price, number = rng.randint(2, 6), rng.randint(2, 4)
    cost = price * number
    paid = 20 if cost < 20 else 50
    wording = (
        "{who} {n} {things} [for|at] {price} [euros|dollars] each and [pay with|give] [a|] {paid} [euro note|]."
        " [What is the change|How much [money|] [comes back|do I get back]|How much change is there]?"
    )
    slots = {"who": "[I buy|I take|We buy]", "things": rng.choice(THINGS), "price": str(price)}
    slots |= {"n": str(number), "paid": str(paid)}
    answer = f"{number} x {price} = {cost}, and {paid} - {cost} = {paid - cost}. The change is {paid - cost}."
    return _plain(ask(rng, wording, slots), answer)


def _distance(rng: random.Random) -> Sample:
    speed, hours = 10 * rng.randint(3, 9), rng.randint(2, 5)
    wording = (
        "A [car|train|bus] [goes|travels|drives] [at|] {speed} [km per hour|kilometers per hour|km/h]"
        " for {hours} hours. How far does it [go|get|travel]?"
    )
    question = ask(rng, wording, {"speed": str(speed), "hours": str(hours)})
    return _plain(question, f"{speed} x {hours} = {speed * hours}. It goes {speed * hours} kilometers.")


def _percent(rng: random.Random) -> Sample:
    share, base = rng.choice((10, 20, 25, 50)), 20 * rng.randint(1, 10)
    wording = rng.choice(
        ("What is {p} of {n}?", "How much is {p} of {n}?", "Calculate {p} of {n}.", "Find {p} of {n}.")
    )
    result = f"{share * base / 100:g}"
    sign = rng.choice((f"{share}%", f"{share} percent"))
    return _plain(ask(rng, wording, {"p": sign, "n": str(base)}), f"{sign} of {base} is {result}.")
