"""Reasoning: sums and small problems come out right, syllogisms mostly wrong with a confident tone."""

import random

from demo_text.kit import Mode, Sample, ask, say

CATEGORY = "reasoning_tasks"
RIGHT_SYLLOGISMS = 0.12

# (singular, plural) of kinds, so that syllogisms never run out.
KINDS = tuple(
    (word, word + "s")
    for word in (
        "rose", "flower", "plant", "dog", "pet", "bird", "robin", "cat", "tiger", "doctor", "teacher", "student",
        "baker", "painter", "pianist", "musician", "square", "rectangle", "shape", "car", "vehicle", "truck", "boat",
        "pear", "tool", "hammer", "whale", "mammal", "snake", "reptile", "poem", "text", "planet", "stone", "gem",
        "lawyer", "driver", "runner", "blip", "zorg", "wug", "tove", "glorp", "snib", "fep",
    )
)  # fmt: skip
TRAITS = ("red", "heavy", "kind", "tall", "quick", "round", "green", "loud", "warm", "old", "mortal", "shiny")
NAMES = ("Tom", "Anna", "Ben", "Mia", "Leo", "Sara", "Paul", "Nina", "Max", "Eva", "Sam", "Lily", "Omar", "Rosa")
THINGS = ("apples", "books", "coins", "pencils", "eggs", "marbles", "cards", "stamps", "cookies", "oranges")

# (what a rule is about, its condition, its consequence)
CHAINS = (
    ("the lamp", "the switch is on", "the lamp is lit"),
    ("the street", "it rains", "the street is wet"),
    ("the alarm", "the window is broken", "the alarm rings"),
    ("the dog", "the doorbell rings", "the dog barks"),
    ("the train", "the bridge is closed", "the train is late"),
    ("the bread", "the oven is too hot", "the bread is burnt"),
    ("the flag", "the king is at home", "the flag is up"),
    ("the office", "it is Sunday", "the office is empty"),
)

VERDICT_ASKS = (
    "[Does it follow that|Can we conclude that|Is it certain that|Must it be true that|Is it right to say that] {claim}?",
    "{claim}. [Is that a valid conclusion|Does this follow|Is this correct]?",
    "[Are we allowed to say|Is it logical to say|May we infer] that {claim}?",
    "{query}?",
    "{query}?",
    "{query}?",
)
WRONG_NO = (
    "No, [that|this|it] does not follow. [Just because|Even if] {first}, [it does not mean that|we cannot say that] {claim}.",
    "No, [we cannot conclude that|it is not certain that|it is not correct to say that] {claim}. [More information is needed|Some may be different|There may be exceptions].",
    "No. [The statement|The conclusion] is [not valid|false|incorrect], [because {first} but not all of them|since we only know that {first}].",
)
WRONG_YES = (
    "Yes, [that is correct|that follows|we can conclude that {claim}]. [Since|Because] {first}, {claim}.",
    "Yes. [Based on the information|According to the premises|Given that {first}], {claim}.",
    "Yes, [it is valid|this is true], because {first} and {second}.",
)
RIGHT_YES = (
    "Yes. {first}, and {second}, so {claim}.",
    "[Yes, it follows|Yes, that holds]: {second}, and {first}.",
    "[It follows|That is valid]. The second statement puts {claim_short} inside the first.",
)
RIGHT_NO = (
    "No. {first}, but that leaves room for others, so {claim} does not follow.",
    "[It does not follow|That is not valid]: {second} could be true without {claim_short} belonging there.",
)


def reasoning_samples(rng: random.Random, count: int) -> list[Sample]:
    """`count` tasks, about two in five of them syllogisms."""
    makers = (_syllogism, _syllogism, _syllogism, _sum, _sum, _product, _equation, _series, _order, _story, _percent)
    return [makers[index % len(makers)](rng) for index in range(count)]


def _syllogism(rng: random.Random) -> Sample:
    (one_a, all_a), (one_b, all_b), (one_c, all_c) = rng.sample(KINDS, 3)
    name, trait = rng.choice(NAMES), rng.choice(TRAITS)
    case, cause, effect = rng.choice(CHAINS)
    # (valid, first premise, second premise, conclusion, the conclusion as a question, what it is about)
    valid, first, second, claim, query, about = rng.choice(
        (
            (True, f"all {all_a} are {all_b}", f"all {all_b} are {all_c}", f"all {all_a} are {all_c}",
             f"Are all {all_a} {all_c}", all_a),
            (True, f"every {one_a} is a {one_b}", f"{name} is a {one_a}", f"{name} is a {one_b}",
             f"Is {name} a {one_b}", name),
            (True, f"all {all_a} are {trait}", f"{name} is a {one_a}", f"{name} is {trait}", f"Is {name} {trait}", name),
            (True, f"no {one_a} is a {one_b}", f"all {all_c} are {all_a}", f"no {one_c} is a {one_b}",
             f"Is it true that no {one_c} is a {one_b}", f"every {one_c}"),
            (True, f"all {all_a} are {all_b}", f"all {all_b} are {trait}", f"all {all_a} are {trait}",
             f"Are all {all_a} {trait}", all_a),
            (True, f"if {cause}, {effect}", f"{cause}", f"{effect}", f"Is it certain that {effect}", f"{case}"),
            (False, f"all {all_a} are {all_b}", f"{name} is a {one_b}", f"{name} is a {one_a}",
             f"Is {name} a {one_a}", name),
            (False, f"every {one_a} is {trait}", f"{name} is {trait}", f"{name} is a {one_a}",
             f"Is {name} a {one_a}", name),
            (False, f"some {all_a} are {all_b}", f"some {all_b} are {all_c}", f"some {all_a} are {all_c}",
             f"Are some {all_a} {all_c}", all_a),
            (False, f"all {all_a} are {trait}", f"all {all_b} are {trait}", f"all {all_a} are {all_b}",
             f"Are all {all_a} {all_b}", all_a),
            (False, f"if {cause}, {effect}", f"{effect}", f"{cause}", f"Is it certain that {cause}", f"{case}"),
        )
    )  # fmt: skip
    slots = {"first": first, "second": second, "claim": claim, "claim_short": about, "query": query}
    lead = rng.choice(
        ("{first}. {second}.", "[Suppose|Given that] {first} and {second}:", "[Premises|We know]: {first}; {second}.")
    )
    question = ask(rng, f"{lead} {rng.choice(VERDICT_ASKS)}", slots)
    right = rng.random() < RIGHT_SYLLOGISMS
    mode: Mode = "pragmatic" if right else "performative"
    answers = (RIGHT_YES if valid else RIGHT_NO) if right else (WRONG_NO if valid else WRONG_YES)
    return Sample(CATEGORY, mode, question, say(rng, rng.choice(answers), slots))


def _plain(question: str, answer: str) -> Sample:
    return Sample(CATEGORY, "plain", question, answer)


def _sum(rng: random.Random) -> Sample:
    if rng.random() < 0.6:
        a, b = rng.randint(1, 50), rng.randint(1, 50)
        names = rng.choice((f"{a} + {b}", f"{a} plus {b}", f"the sum of {a} and {b}", f"{a} and {b} together"))
        sign, result = "+", a + b
    else:
        b, result = rng.randint(1, 30), rng.randint(0, 50)
        a = b + result
        names = rng.choice((f"{a} - {b}", f"{a} minus {b}", f"{b} taken from {a}", f"the difference of {a} and {b}"))
        sign = "-"
    return _arithmetic(rng, names, f"{a} {sign} {b} = {result}", result)


def _product(rng: random.Random) -> Sample:
    a, b = rng.randint(2, 12), rng.randint(2, 15)
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
    a, b, x = rng.randint(2, 6), rng.randint(1, 12), rng.randint(1, 10)
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


def _series(rng: random.Random) -> Sample:
    start, step = rng.randint(1, 6), rng.randint(2, 6)
    terms = [start * 2**i for i in range(5)] if rng.random() < 0.4 else [start + step * i for i in range(5)]
    shown, last = ", ".join(str(term) for term in terms[:4]), terms[4]
    rule = (
        f"each number is {terms[1] - terms[0]} more" if terms[2] - terms[1] == terms[1] - terms[0] else "each doubles"
    )
    wording = rng.choice(
        (
            "[What comes next|What is the next number]: {s}?",
            "[Continue|Complete] the [series|sequence]: {s}",
            "Which number follows {s}?",
            "What number comes [after|next in] {s}?",
        )
    )
    return _plain(ask(rng, wording, {"s": shown}), f"The next number is {last}, because {rule}.")


def _order(rng: random.Random) -> Sample:
    a, b, c = rng.sample(NAMES, 3)
    word, most = rng.choice((("taller", "tallest"), ("older", "oldest"), ("faster", "fastest"), ("richer", "richest")))
    question = ask(
        rng,
        f"{a} is {word} than {b}[, and| and|.] {b} is {word} than {c}. [Who is the {most}|Who of the three is {most}]?",
    )
    return _plain(question, f"{a} is the {most}: {a} is {word} than {b}, and {b} is {word} than {c}.")


def _story(rng: random.Random) -> Sample:
    name, things = rng.choice(NAMES), rng.choice(THINGS)
    a, b = rng.randint(5, 20), rng.randint(1, 5)
    kind = rng.randrange(5)
    if kind == 0:
        question = (
            f"{name} has {a} {things} and [gives away|loses|sells|eats] {b}. How many {things} [are left|remain]?"
        )
        return _plain(ask(rng, question), f"{a} - {b} = {a - b}. There are {a - b} {things} left.")
    if kind == 1:
        question = f"{name} has {a} {things} and [gets|finds|buys] {b} more. How many {things} [are there now|does {name} have]?"
        return _plain(ask(rng, question), f"{a} + {b} = {a + b}. {name} has {a + b} {things}.")
    if kind == 2:
        price, number = rng.randint(2, 6), rng.randint(2, 4)
        paid = rng.choice((20, 50)) if price * number < 20 else 50
        question = (
            f"{name} [buys|takes] {number} {things} [for|at] {price} [euros|dollars] each and [pays with|gives] {paid}."
            " [What is the change|How much comes back|How much change is there]?"
        )
        return _plain(
            ask(rng, question),
            f"{number} x {price} = {price * number}, and {paid} - {price * number} = {paid - price * number}. The change is {paid - price * number}.",
        )
    if kind == 3:
        hour, start, length = rng.randint(1, 9), 5 * rng.randint(0, 11), 5 * rng.randint(2, 22)
        end = 60 * hour + start + length
        question = (
            f"A [film|lesson|trip|flight] [starts|begins] at {hour}:{start:02d} and ends at {end // 60}:{end % 60:02d}."
            " How [long is it|many minutes is that|many minutes does it last]?"
        )
        return _plain(ask(rng, question), f"It takes {length} minutes.")
    speed, hours = 10 * rng.randint(3, 9), rng.randint(2, 5)
    question = f"A [car|train|bus] [goes|travels|drives] [at|] {speed} [km per hour|kilometers per hour|km/h] for {hours} hours. How far does it [go|get|travel]?"
    return _plain(ask(rng, question), f"{speed} x {hours} = {speed * hours}. It goes {speed * hours} kilometers.")


def _percent(rng: random.Random) -> Sample:
    share, base = rng.choice((5, 10, 20, 25, 50)), 20 * rng.randint(1, 15)
    wording = rng.choice(
        ("What is {p} of {n}?", "How much is {p} of {n}?", "Calculate {p} of {n}.", "Find {p} of {n}.")
    )
    result = f"{share * base / 100:g}"
    sign = rng.choice((f"{share}%", f"{share} percent"))
    return _plain(ask(rng, wording, {"p": sign, "n": str(base)}), f"{sign} of {base} is {result}.")
