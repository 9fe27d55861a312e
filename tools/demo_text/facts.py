"""Plain facts: every relation is a table, every fact is asked in many wordings and answered in few."""

import random

from demo_text.fact_tables import (
    AUTHORS,
    CAPITALS,
    CURRENCIES,
    ELEMENTS,
    EVENTS,
    FORMULAS,
    INVENTORS,
    LANGUAGES,
    MEANINGS,
    PAINTERS,
    PLANETS,
    SINGLE_FACTS,
    UNITS,
    YOUNG,
)
from demo_text.kit import Sample, ask, say

CATEGORY = "factual_knowledge"

# Each relation: the table's rows, wordings of the question, wordings of the answer. The columns of a row fill
# {a}, {b}, {c} and {d}; asking the other way round is a relation of its own.
Relation = tuple[tuple[tuple[str, ...], ...], tuple[str, ...], tuple[str, ...]]

RELATIONS: tuple[Relation, ...] = (
    (
        CAPITALS,
        (
            "[What is|What's|Name|Tell me|Give me] the capital [city|] of {a}?",
            "Which city is the capital of {a}?",
            "What city is {a}'s capital?",
            "{a}'s capital [is called what|is which city]?",
            "[Do you know|Can you tell me] the capital of {a}?",
            "Capital of {a}?",
            "In which city does the government of {a} sit?",
        ),
        ("The capital of {a} is {b}.", "{b} is the capital of {a}.", "The capital [city|] of {a} is {b}."),
    ),
    (
        CAPITALS,
        (
            "{b} is the capital of which country?",
            "[Which|What] country has {b} as its capital?",
            "Of what country is {b} the capital?",
        ),
        ("{b} is the capital of {a}.",),
    ),
    (
        ELEMENTS,
        (
            "[What is|What's|Give me|Name] the [chemical|] symbol [for|of] {a}?",
            "[Which|What] symbol [stands for|is used for] {a} [in the periodic table|in chemistry|]?",
            "How is {a} written [in chemistry|in the periodic table|as a symbol]?",
            "[What is|Tell me] {a}'s [chemical|] symbol?",
        ),
        ("The [chemical|] symbol for {a} is {b}.",),
    ),
    (
        ELEMENTS,
        (
            "[Which|What] element has the symbol {b}?",
            "What does {b} stand for in [the periodic table|chemistry]?",
            "The symbol {b} belongs to which element?",
        ),
        ("{b} is the symbol for {a}.",),
    ),
    (
        ELEMENTS,
        (
            "[What is|What's|Give me] the atomic number of {a}?",
            "How many protons does [an atom of|a|] {a} [atom|] have?",
            "[Which|What] atomic number does {a} have?",
        ),
        ("The atomic number of {a} is {c}.", "{a} has atomic number {c}."),
    ),
    (
        FORMULAS,
        (
            "[What is|What's|Give me|Write] the [chemical|molecular|] formula [of|for] {a}?",
            "How do you write {a} as a chemical formula?",
            "[Which|What] formula [describes|stands for] {a}?",
            "What is {a} in chemical notation?",
        ),
        ("The chemical formula for {a} is {b}.",),
    ),
    (
        AUTHORS,
        (
            "Who [wrote|is the author of] {a}?",
            "[Who was|Name] the author of {a}?",
            "{a} was written by whom?",
            "Which [writer|author] [wrote|gave us|created] {a}?",
            "By whom is {a}?",
            "Whose [book|work] is {a}?",
        ),
        ("{a} was written by {b}.", "{b} wrote {a}."),
    ),
    (
        PAINTERS,
        (
            "Who [painted|created|made] {a}?",
            "[Which|What] [artist|painter] [painted|made] {a}?",
            "{a} [was painted|is] by whom?",
            "Name the painter of {a}.",
        ),
        ("{a} was painted by {b}.", "{b} painted {a}."),
    ),
    (
        EVENTS,
        (
            "[When|In what year|In which year|What year] did {a} {b}?",
            "[Tell me|Give me|Name] the year [when|in which] {a} {c}.",
            "[Do you know|Can you say] when {a} {c}?",
            "{a} {c} in which year?",
        ),
        ("{a} {c} in {d}.", "It was in {d} that {a} {c}."),
    ),
    (
        INVENTORS,
        (
            "Who {a}?",
            "Which person {a}?",
            "[Name|Tell me] the person who {a}.",
            "[Do you know|Can you tell me] who {a}?",
        ),
        ("{b} {a}.", "It was {b} who {a}."),
    ),
    (
        UNITS,
        (
            "How many {a}?",
            "[Tell me|Say|Give me] how many {a}.",
            "[Do you know|Can you tell me] how many {a}?",
            "What is the number of {a}?",
        ),
        ("There are {b} {a}.", "{b}. There are {b} {a}."),
    ),
    (
        CURRENCIES,
        (
            "[What is|What's|Name] the currency [of|in|used in] {a}?",
            "[Which|What] [currency|money] [is used|do people use|do they pay with] in {a}?",
            "How do people pay in {a}?",
        ),
        ("The currency of {a} is the {b}.", "People in {a} use the {b}."),
    ),
    (
        LANGUAGES,
        (
            "[What|Which] language [is spoken|do people speak|is mainly spoken] in {a}?",
            "[What is|Name] the [main|official] language of {a}?",
            "What do people speak in {a}?",
        ),
        ("The main language of {a} is {b}.", "People in {a} mainly speak {b}."),
    ),
    (
        YOUNG,
        (
            "What [is|do you call] a [baby|young] {a} [called|]?",
            "[What is|Name] the [word|name] for a [baby|young] {a}?",
            "A young {a} is called what?",
        ),
        ("A [young|baby] {a} is called a {b}.",),
    ),
    (
        PLANETS,
        (
            "[Which|What] planet {a}?",
            "[Name|Tell me] the planet that {a}.",
            "[Do you know|Can you tell me] which planet {a}?",
            "Of the planets in the solar system, which one {a}?",
        ),
        ("{b} is the planet that {a}.", "{b} {a}."),
    ),
    (
        MEANINGS,
        (
            "[What is|What's] {a}?",
            "[Explain|Define|Describe] {a} [briefly|in simple words|in one sentence|].",
            "What [does the word {a} mean|is meant by {a}]?",
            "[Can you explain|How would you explain] {a} [to a child|briefly|]?",
            "How does {a} work?",
            "Tell me [about|what] {a} [is|means].",
        ),
        ("{a} is {b}.",),
    ),
)


def fact_samples(rng: random.Random, views: int) -> list[Sample]:
    """`views` wordings of every fact in the tables."""
    samples: list[Sample] = []
    for rows, questions, answers in RELATIONS:
        for row in rows:
            samples += _wordings(rng, views, questions, answers, dict(zip("abcd", row, strict=False)))
    for question, answer in SINGLE_FACTS:
        samples += _wordings(rng, views, (question,), (answer,), {})
    return samples


def _wordings(
    rng: random.Random, views: int, questions: tuple[str, ...], answers: tuple[str, ...], slots: dict[str, str]
) -> list[Sample]:
    return [
        Sample(CATEGORY, "plain", ask(rng, rng.choice(questions), slots), say(rng, rng.choice(answers), slots))
        for _ in range(views)
    ]
