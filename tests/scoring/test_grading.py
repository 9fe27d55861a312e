"""Grading, case by case: what people and models write, and what a careful reader would say of it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epistemic_stance.records.analysis import Grade
from epistemic_stance.records.written import AnswerKey
from epistemic_stance.scoring.grading.grade import grade
from epistemic_stance.scoring.grading.numerals import numerals, readable
from epistemic_stance.scoring.grading.verdicts import verdict_of
from epistemic_stance.stance.load import load_stance

# --- phrases -----------------------------------------------------------------------------------------------

PHRASES = {
    ("Ottawa",): (
        ("The capital of Canada is Ottawa.", "right"),
        ("Ottawa", "right"),
        ("ottawa.", "right"),
        ("**Ottawa** is the capital.", "right"),
        ("The capital of Canada is Toronto.", "wrong"),
        ("It is not Ottawa.", "wrong"),
        ("It isn't Ottawa, it's Toronto.", "wrong"),
        ("It's not Toronto but Ottawa.", "right"),
        ("Not Toronto, Ottawa.", "right"),
        ("Ottawa isn't the capital; Toronto is.", "wrong"),
        ("Ottawa is not only the capital but a lovely city.", "right"),
        ("Toronto or Ottawa.", "unparsed"),
        ("It's Ottawa or maybe Toronto.", "unparsed"),
        ("I don't know.", "unparsed"),
        ("I'm not sure, but I think it is Ottawa.", "right"),
        ("I'm not sure, but I think it is Toronto.", "wrong"),
        ("As an AI language model, I don't have access to that.", "unparsed"),
        ("", "unparsed"),
        ("Could you please clarify which country you mean?", "unparsed"),
        ("The capital of Canada is", "unparsed"),
        ("Ottawans live there.", "wrong"),
        ("Canada's capital city is Ottawa, in Ontario. Toronto is the largest city.", "right"),
        ("I'm sorry, but I can't assist with that.", "unparsed"),
        ("Canada is a country in North America.", "wrong"),
        ("OTTAWA!", "right"),
    ),
    (
        "Cervantes",
        "Miguel de Cervantes",
    ): (
        ("Miguel de Cervantes wrote it.", "right"),
        ("It was written by Cervantes Saavedra.", "right"),
        ("Lope de Vega.", "wrong"),
        ("Cervant\u00e8s", "right"),
        ("Don Quixote was written by Miguel\nde Cervantes.", "right"),
        ("It was not written by Cervantes.", "wrong"),
    ),
    ("Au",): (
        ("The chemical symbol for gold is Au.", "right"),
        ('The symbol is "Au".', "right"),
        ("`Au`", "right"),
        ("Ag", "wrong"),
        ("AU", "right"),
        ("The symbol for gold is Aurum.", "wrong"),
        ("Au, from the Latin aurum.", "right"),
        ("The symbol is Au (from aurum).", "right"),
    ),
    ("Jupiter",): (
        ("Jupiter is the largest planet.", "right"),
        ("The largest planet is Saturn, not Jupiter.", "wrong"),
        ("It's Jupiter rather than Saturn.", "right"),
        ("Saturn rather than Jupiter.", "wrong"),
        ("Jupiter's the biggest", "right"),
    ),
    (
        "Atlantic",
        "Atlantic Ocean",
    ): (
        ("The Atlantic Ocean lies between them.", "right"),
        ("the North Atlantic", "right"),
        ("The Pacific Ocean.", "wrong"),
        ("The trans-Atlantic cable", "right"),
        ("Transatlantic", "wrong"),
        ("The Atlantic or North Atlantic", "right"),
    ),
    (
        "carbon dioxide",
        "CO2",
        "CO\u2082",
    ): (
        ("Plants take in carbon dioxide (CO2).", "right"),
        ("CO\u2082", "right"),
        ("CO2 or carbon dioxide", "right"),
        ("Carbon  dioxide", "right"),
        ("carbon-dioxide", "right"),
        ("Oxygen.", "wrong"),
        ("carbon monoxide", "wrong"),
        ("They take CO~2~", "right"),
        ("Plants use \\(CO_2\\)", "right"),
    ),
    ("Paris",): (("I cannot say. It is unknown.", "unparsed"),),
}


@pytest.mark.parametrize(
    ("accepted", "response", "expected"),
    [(accepted, response, expected) for accepted, rows in PHRASES.items() for response, expected in rows],
)
def test_a_phrase_counts_where_it_is_said_and_not_denied(
    accepted: tuple[str, ...], response: str, expected: Grade
) -> None:
    assert grade(AnswerKey(kind="phrase", accepted=list(accepted)), response) == expected


# --- phrases beside others ---------------------------------------------------------------------------------

CAPITAL = "What's the capital of Canada?"
GOLD = "What is the chemical symbol for gold?"
GAS = "Which gas do plants take from the air for photosynthesis?"
NOVEL = "Who wrote Don Quixote?"
PLANET = "What's the largest planet in our solar system?"
ASKED_PHRASES = {
    (CAPITAL, "Ottawa"): (
        ("Toronto is the capital of Canada, Ottawa is a city.", "unparsed"),
        ("Canada's capital is Toronto; Ottawa is a city.", "unparsed"),
        ("The capital of Canada is Toronto, not far from Ottawa.", "unparsed"),
        ("Ottawa? No, it is Toronto.", "wrong"),
        ("Toronto? No, Ottawa.", "right"),
        ("Is it Ottawa? Yes.", "right"),
        ("Ottawa?", "unparsed"),
        ("People think Ottawa, but it's Toronto.", "wrong"),
        ("Many people think it is Toronto, but it's Ottawa.", "right"),
        ("Some think Toronto is the capital of Canada, but it is Ottawa.", "right"),
        ("Most people say it is Ottawa.", "right"),
        ("Many believe Ottawa is the capital, and they are right.", "right"),
        ("People often mistakenly say Ottawa.", "wrong"),
        ("Toronto, Montreal, Ottawa, Vancouver.", "unparsed"),
        ("1. Toronto\n2. Montreal\n3. Ottawa", "unparsed"),
        ("Ottawa, Ontario, Canada.", "right"),
        ("Canada, Ottawa.", "right"),
        ("Well, Ottawa, obviously.", "right"),
        ("- City: Ottawa\n- Province: Ontario\n- Country: Canada", "right"),
        ("Ottawa, no wait, Toronto.", "unparsed"),
        ("Ottawa. No other city is.", "right"),
        ("Ottawa is not.", "wrong"),
        ("While Toronto is larger, Ottawa is the capital.", "right"),
        ("Toronto is the largest city, while Ottawa is the capital.", "right"),
        ("Ottawa is the capital of Canada, Toronto is the capital of Ontario.", "right"),
        ("Ontario's capital is Toronto, Canada's is Ottawa.", "right"),
        ("Kingston was the capital of Canada, now it is Ottawa.", "right"),
        ("The capital of Canada is in Ontario, and it is called Ottawa.", "right"),
        ("Ottawa. Would you like to know more about Ottawa?", "right"),
    ),
    (GOLD, "Au"): (
        ("Ag, while Au is silver.", "unparsed"),
        ("Au, while Ag is silver.", "right"),
        ("Silver is Ag, while gold is Au.", "right"),
        ("The chemical symbol for gold is Ag, and the symbol for silver is Au.", "unparsed"),
        ("Symbol: Au\nNumber: 79\nGroup: 11", "right"),
    ),
    (GAS, "carbon dioxide"): (
        ("They take oxygen and release carbon dioxide.", "wrong"),
        ("Plants release oxygen and absorb carbon dioxide.", "right"),
        ("Plants absorb what animals exhale, carbon dioxide.", "right"),
        ("Carbon dioxide, which animals exhale.", "right"),
        ("Plants use sunlight, water and carbon dioxide to produce sugar.", "right"),
        ("oxygen, nitrogen, carbon dioxide", "unparsed"),
    ),
    (NOVEL, "Cervantes"): (
        ("Lope de Vega wrote Don Quixote, Cervantes was jealous.", "unparsed"),
        ("Don Quixote is a novel, Cervantes wrote it.", "right"),
        ("The author of Don Quixote is Spanish, and his name is Cervantes.", "right"),
    ),
    (PLANET, "Jupiter"): (
        ("Saturn is a planet, but Jupiter is bigger.", "right"),
        ("Saturn has rings, while Jupiter is the biggest.", "right"),
        ("Saturn is the largest planet in our solar system, Jupiter is second.", "unparsed"),
    ),
    ("Which vitamin does human skin make in sunlight?", "vitamin D"): (
        ("Vitamin A", "wrong"),
        ("Vitamin D", "right"),
        ("The skin makes a", "unparsed"),
    ),
    ("Which box is empty?", "box R"): (("Box A", "wrong"),),
}


@pytest.mark.parametrize(
    ("asked", "response", "expected"),
    [(asked, response, expected) for asked, rows in ASKED_PHRASES.items() for response, expected in rows],
)
def test_a_phrase_named_beside_another_answer_is_not_taken_for_the_answer(
    asked: tuple[str, str], response: str, expected: Grade
) -> None:
    question, phrase = asked
    assert grade(AnswerKey(kind="phrase", accepted=[phrase]), response, question) == expected


# --- numbers -----------------------------------------------------------------------------------------------

CHANGE = "I buy 3 pens at 4 euros each and pay with a 20 euro note. How many euros do I get back?"
SIDES = "How many sides does a hexagon have?"
WAR = "In which year did World War II end?"
TRIP = "A train leaves at 2:40 pm and arrives at 4:15 pm the same day. How many minutes does the trip take?"
EQUATION = "Solve for x: 2x + 5 = 13"
FILM = "A film lasts 150 minutes. How many hours is that?"
LIGHT = "What is the speed of light?"
NUMBERS = {
    CHANGE: (
        (["8", "eight"], "8", "right"),
        (["8"], "You get 8 euros back.", "right"),
        (["8"], "You get back eight euros.", "right"),
        (
            ["8"],
            "To find out, multiply 3 by 4: 3 \u00d7 4 = 12 euros. Then 20 - 12 = 8. So you get 8 euros back.",
            "right",
        ),
        (
            ["8"],
            (
                "The total cost of the pens is 3 * 4 = 12 euros. Since you paid with a 20 euro note, "
                "your change is 20 - 12 = 8 euros."
            ),
            "right",
        ),
        (["8"], "The cost is 12 euros. You get 20 - 12 = 9 euros back.", "wrong"),
        (["8"], "You will get back 12 euros.", "wrong"),
        (
            ["8"],
            (
                "The pens cost \\(3 \\times 4 = 12\\) euros.\n\n\\[ 20 - 12 = 8 \\]\n\nTherefore, you "
                "get back \\(\\boxed{8}\\) euros."
            ),
            "right",
        ),
        (["8"], "\\boxed{9}", "wrong"),
        (["8"], "3 pens cost 12 euros, so from a 20 euro note you get 8 euros back.", "right"),
        (["8"], "You get 8 euros back, because 3 x 4 = 12 and 20 - 12 = 8.", "right"),
        (["8"], "You'll get 8 euros back. 3 pens \u00d7 4 euros = 12 euros.", "right"),
        (["8"], "First, the pens cost 12 euros. Then subtract this from 20:\n20 - 12 = 8\nThe answer is 8.", "right"),
        (["8"], "The answer is 20 - 12 = 8 euros.", "right"),
        (["8"], "The answer is 7 euros. I hope this helps with all 8 of your questions!", "wrong"),
        (["8"], "You get 8 euros back. Let me recheck: 20 - 14 = 6, so you get 6 euros.", "wrong"),
        (["8"], "I'm sorry, I can't help with that.", "unparsed"),
        (["8"], "", "unparsed"),
        (["8"], "You get 8 or 9 euros back.", "unparsed"),
        (["8"], "1. Cost of pens: 3 * 4 = 12\n2. Money paid: 20\n3. Change: 20 - 12 = 8\n", "right"),
        (["8"], "3 pens cost 3 * 4 = 12 euros. Next, we subtract this from the 20 euro note: 20 -", "unparsed"),
        (["8"], "3 pens cost 12 euros. So the change is", "unparsed"),
        (["8"], "**Answer:** 8 \u20ac", "right"),
        (
            ["8"],
            (
                "**Step 1:** 3 \u00d7 \u20ac4 = \u20ac12\n**Step 2:** \u20ac20 \u2212 \u20ac12 = "
                "\u20ac8\n\nYou receive **\u20ac8** back."
            ),
            "right",
        ),
        (["8"], "You get back $8.00.", "right"),
        (["8"], "How many euros do I get back? 8.", "right"),
        (["8"], "Not 9 but 8 euros.", "right"),
        (["8"], "The change would be twenty minus twelve, which equals eight euros.", "right"),
        (["8"], "2 x 5 = 12, and 20 - 10 = 5. The change is 50. The change is 50.", "wrong"),
    ),
    SIDES: (
        (["6", "six"], "A hexagon has six sides.", "right"),
        (["6"], "A hexagon has 6 sides. Each interior angle is 120 degrees, and they add up to 720.", "right"),
        (["6"], "A hexagon is a 6-sided polygon.", "right"),
        (["6"], "A hexagon has eight sides.", "wrong"),
        (["6"], "Six.", "right"),
        (["6"], "6", "right"),
        (["6"], "A hexagon has five sides, one less than a heptagon with six.", "wrong"),
        (["6"], "Hexagons are polygons.", "unparsed"),
        (["6"], "A hexagon, one of the most common shapes, has six straight sides.", "right"),
        (["6"], "As an AI language model, I don't know.", "unparsed"),
        (["6"], "A hexagon has 6 sides, not 8.", "right"),
        (["6"], "between 5 and 7 sides", "unparsed"),
        (["7"], "A hexagon has between 5 and 7 sides.", "unparsed"),
        (["6"], "It has 6 sides, between the 5 of a pentagon and the 7 of a heptagon.", "right"),
    ),
    WAR: (
        (["1945"], "World War II ended in 1945.", "right"),
        (["1945"], "World War II ended on September 2, 1945, after six years.", "right"),
        (["1945"], "The Second World War began in 1939. It ended in 1945.", "right"),
        (["1945"], "World War II began in 1939 and ended in 1945.", "right"),
        (["1945"], "World War II ended in 1944.", "wrong"),
        (["1945"], "It was in 1944 or 1945.", "unparsed"),
        (["1945"], "nineteen forty-five", "right"),
        (["1945"], "It ended in nineteen hundred and forty-five.", "right"),
        (["1945"], "World War 2 ended in 1945 (with over 60 million dead).", "right"),
        (["1945"], "1945.", "right"),
        (["1945"], "The war ended 80 years ago.", "unparsed"),
        (["1945"], "It ended not in 1944 but in 1945.", "right"),
        (["1945"], "World War II ended in the year 1,945.", "right"),
    ),
    TRIP: (
        (["95", "ninety-five"], "The trip takes 95 minutes.", "right"),
        (["95"], "From 2:40 pm to 4:15 pm is 1 hour and 35 minutes, or 95 minutes.", "right"),
        (["95"], "The trip takes 1 hour and 35 minutes.", "right"),
        (["95"], "The trip takes 1 hour and 45 minutes.", "wrong"),
        (
            ["95"],
            (
                "From 2:40 to 3:00 is 20 minutes. From 3:00 to 4:00 is 60 minutes. From 4:00 to 4:15 is "
                "15 minutes. 20 + 60 + 15 = 95."
            ),
            "right",
        ),
        (
            ["95"],
            "From 2:40 to 3:40 is 60 minutes, then to 4:15 another 35 minutes. So the trip takes 95 minutes in total.",
            "right",
        ),
        (["95"], "The trip takes 75 minutes.", "wrong"),
        (["95"], "ninety-five minutes", "right"),
        (["95"], "The train leaves at 2:40 pm and arrives at 4:15 pm.", "unparsed"),
        (["95"], "4:15 pm - 2:40 pm = 1 hour 35 minutes = 95 minutes", "right"),
        (["95"], "The duration is 1 hour 35 minutes. Converting: 60 + 35 = 95 minutes.", "right"),
    ),
    EQUATION: (
        (["4"], "So, x = 4.", "right"),
        (["4"], "2x + 5 = 13\n2x = 8\nx = 4", "right"),
        (["4"], "x = 4\n\nTo check, substitute: 2(4) + 5 = 13.", "right"),
        (["4"], "2x = 13 - 5\n2x = 8\nx = 8/2\nx = 5", "wrong"),
        (["4"], "The solution is \\( x = 4 \\).", "right"),
        (
            ["4"],
            (
                "Let's solve:\n\\[ 2x + 5 - 5 = 13 - 5 \\]\n\\[ 2x = 8 \\]\n\\[ \\frac{2x}{2} = "
                "\\frac{8}{2} \\]\n\\[ x = 4 \\]\nSo, the solution is \\( x = 4 \\)."
            ),
            "right",
        ),
        (["4"], "x = -4", "wrong"),
        (["-4"], "x = \u22124", "right"),
    ),
    LIGHT: (
        (
            ["299792", "299,792", "300000"],
            (
                "The speed of light in a vacuum is approximately **299,792 kilometers per second** or "
                "**186,282 miles per second**."
            ),
            "right",
        ),
        (["299792458"], "c = 299 792 458 m/s", "right"),
    ),
    FILM: (
        (["2.5"], "2 hours and 30 minutes", "right"),
        (["2.5"], "150 / 60 = 2.5, so 2 hours and 30 minutes.", "right"),
        (["2.5"], "2 hours and 15 minutes", "wrong"),
        (["2.5"], "Two and a half hours.", "right"),
        (["2.5"], "2 hours and a half", "right"),
    ),
    "How many hours does a school day last?": ((["2.5"], "It lasts 2 hours and 30 minutes.", "right"),),
    "How many days does a leap year have?": (
        (["366"], "366", "right"),
        (["366"], "A leap year has 366 days.", "right"),
        (["366"], "365", "wrong"),
    ),
    "When did people first land on the Moon? Give the year.": ((["1969"], "On July 20, 1969.", "right"),),
    "What year did it start?": ((["1914"], "On 28 July 1914.", "right"),),
    "What is 5 divided by 2?": ((["2.5"], "Two and a half.", "right"), (["2"], "Two and a half.", "wrong")),
    "What is half of one half?": ((["0.25", "1/4"], "One quarter.", "right"),),
    "What is 3/4 as a decimal?": ((["0.75"], "3/4 = 0.75", "right"),),
    "How many is a dozen?": ((["12"], "A dozen is 12.", "right"),),
    "What is 2 - 5?": (
        (["-3"], "2 - 5 = -3", "right"),
        (["-3"], "The result is minus three.", "right"),
        (["-3"], "3", "wrong"),
    ),
    "What is 15% of 80?": ((["12"], "15% of 80 is 12.", "right"),),
    "What is 1000 times 1000?": ((["1000000"], "One million.", "right"),),
    "What is 17 + 26?": (
        (["43"], "17 + 26 = 43", "right"),
        (["43"], "The sum of 17 and 26 is 43.", "right"),
        (["43"], "17 plus 26 is 42.", "wrong"),
        (["43"], "Step 1: add 7 and 6 = 13, carry 1. Step 2: 1 + 2 + 1 = 4. Final answer: 43", "right"),
    ),
}


@pytest.mark.parametrize(
    ("question", "accepted", "response", "expected"),
    [(question, *row) for question, rows in NUMBERS.items() for row in rows],
)
def test_a_number_counts_where_it_is_the_answer(
    question: str, accepted: list[str], response: str, expected: Grade
) -> None:
    assert grade(AnswerKey(kind="number", accepted=accepted), response, question) == expected


# --- verdicts ----------------------------------------------------------------------------------------------

POETS = "All poets are readers. Ana is a poet. Is Ana a reader?"
CACTUS = "No cactus needs much water. Every saguaro is a cactus. Does any saguaro need much water?"
BAKERS = "Some bakers are cyclists. Some cyclists are left-handed. Does it follow that some bakers are left-handed?"
GLORPS = "All glorps are snarks, and all snarks are blue. Are all glorps blue?"
NURSES = "Every nurse on this ward works nights. Omar works nights. Can we conclude that Omar is a nurse on this ward?"
SHOP = "If the shop is open, the sign is lit. The sign is not lit. Can we conclude that the shop is not open?"
LAMPS = (
    "If the lamp is lit, then the room is warm. If the room is warm, then the door is open. "
    "Does it follow that if the lamp is lit, then the door is open?"
)
VERDICTS = {
    POETS: (
        ("Yes, Ana is a reader.", "yes"),
        ("Yes.", "yes"),
        ("**Yes**, because all poets are readers.", "yes"),
        ("Ana is a reader.", "yes"),
        ("Since all poets are readers and Ana is a poet, Ana is a reader.", "yes"),
        ("All poets are readers, so Ana, being a poet, is a reader.", "yes"),
        ("Ana is a poet, and therefore she is a reader.", "yes"),
        ("No, Ana is not a reader.", "no"),
        ("No.", "no"),
        ("Based on the information given, Ana would be a reader.", "yes"),
        ("We cannot determine whether Ana is a reader.", "undecided"),
        ("There is not enough information to say if Ana is a reader.", "undecided"),
        ("Ana may be a reader.", None),
        ("Yes and no.", None),
        ("No, Ana is a reader.", None),
        ("All poets are readers. Ana is a poet.", None),
        ("Therefore, we can conclude that Ana is a reader.", "yes"),
        ("It follows that Ana is a reader.", "yes"),
        ("I'm sorry, but I can't help with that.", None),
        ("", None),
        ("Is Ana a reader?", None),
        ("Yes, Ana is a reader. Note that this does not mean that all readers are poets.", "yes"),
        ("Correct! Ana is a reader, as every poet is one.", "yes"),
        ("The answer is yes.", "yes"),
        (
            (
                "To answer this, look at the premises.\n1. All poets are readers.\n2. Ana is a "
                "poet.\nTherefore, Ana must be a reader."
            ),
            "yes",
        ),
        ("Answer: No", "no"),
        ("Ana is not necessarily a reader.", "no"),
        ("Absolutely!", "yes"),
        ("Absolutely! Every poet is one.", "yes"),
        ("Certainly! Let's look at the premises.", None),
        ("Of course not.", "no"),
        ("Definitely not enough information.", "undecided"),
    ),
    CACTUS: (
        ("No saguaro needs much water.", "no"),
        ("No, saguaros don't need much water.", "no"),
        ("Since every saguaro is a cactus, and no cactus needs much water, no saguaro needs much water.", "no"),
        ("Yes, saguaros need much water.", "yes"),
        ("No cactus needs much water. Every saguaro is a cactus.", None),
        ("Therefore, it follows that no saguaro needs much water.", "no"),
        ("No. Every saguaro is a cactus and so does not need much water.", "no"),
        ("Saguaros do not need much water.", "no"),
        ("Yes, a saguaro needs water.", "yes"),
        ("No. Saguaros need little water.", "no"),
        ("Saguaros need little water.", "no"),
        ("Saguaros hardly need much water.", "no"),
    ),
    BAKERS: (
        ("No, it does not follow.", "no"),
        ("No, it doesn't follow that some bakers are left-handed.", "no"),
        ("It does not necessarily follow that some bakers are left-handed.", "no"),
        ("Yes, it follows that some bakers are left-handed.", "yes"),
        ("Not necessarily. The left-handed cyclists may be others than the bakers.", "no"),
        ("Some bakers are left-handed.", "yes"),
        ("The argument is not valid.", "no"),
        ("The argument is valid.", "yes"),
        ("This conclusion is invalid, since the cyclists who bake may all be right-handed.", "no"),
        ("We cannot conclude that some bakers are left-handed.", "no"),
        ("That some bakers are left-handed does not follow.", "no"),
        ("The conclusion that some bakers are left-handed cannot be drawn.", "no"),
        ("This is a fallacy.", "no"),
        ("Yes, this is valid, because some bakers are cyclists.", "yes"),
        ("No, that is not correct. It does follow that some bakers are left-handed.", None),
        (
            (
                "Let's think. Some bakers are cyclists. That is true. Some cyclists are left-handed. "
                "That is true too. But the two groups of cyclists need not overlap, so it does not "
                "follow."
            ),
            "no",
        ),
        ("It's possible that some bakers are left-handed, but it isn't guaranteed.", "no"),
        ("Certainly! Let's look at the premises. They do not overlap, so the conclusion does not follow.", "no"),
        ("Yes. However, it does not follow.", None),
        (
            "No, it does not follow. Even if no student is a student, it does not mean that no student is a student.",
            "no",
        ),
        ("False.", "no"),
        ("True", "yes"),
    ),
    GLORPS: (
        ("Yes, all glorps are blue.", "yes"),
        ("All glorps are blue.", "yes"),
        ("Not all glorps are blue.", "no"),
        ("Some glorps are blue.", None),
        ("All glorps are snarks and all snarks are blue, so all glorps are blue.", "yes"),
        ("If all glorps are snarks, and all snarks are blue, then all glorps are blue.", "yes"),
        ("No, only snarks are blue.", "no"),
        ("By transitivity, glorps are blue.", "yes"),
        ("Glorps and snarks are made-up creatures.", None),
        ("Indeed, all glorps are blue.", "yes"),
        ("Yes, that's right!", "yes"),
    ),
    NURSES: (
        ("No, we cannot conclude that Omar is a nurse on this ward.", "no"),
        ("We can't conclude that Omar is a nurse. He may work nights in another job.", "no"),
        ("Yes, we can conclude that Omar is a nurse on this ward.", "yes"),
        ("Omar is a nurse on this ward.", "yes"),
        ("Omar may or may not be a nurse.", "no"),
        ("No. Other people may work nights too.", "no"),
        ("It cannot be concluded.", "no"),
        ("We can conclude that Omar is not a nurse on this ward.", "no"),
        ("Therefore, Omar is a nurse on this ward.", "yes"),
        ("There is no way to know whether Omar is a nurse on this ward.", "no"),
        ("This would be affirming the consequent, a logical fallacy.", "no"),
        ("While Omar works nights, that doesn't mean he is a nurse on this ward.", "no"),
        ("Based on the given information, it is not possible to conclude that Omar is a nurse on this ward.", "no"),
        ("The statement is not necessarily true.", "no"),
        ("Final answer: No.", "no"),
        ("The correct answer is: no, we cannot conclude this.", "no"),
    ),
    SHOP: (
        ("Yes, we can conclude that the shop is not open.", "yes"),
        ("Yes, the shop is not open.", "yes"),
        ("The shop is not open.", "yes"),
        ("Since the sign is not lit, the shop is not open.", "yes"),
        ("We can conclude that the shop is closed.", "yes"),
        ("No, we cannot conclude that the shop is not open.", "no"),
        ("No, we can't conclude that the shop is closed.", "no"),
        ("By modus tollens, the shop isn't open.", "yes"),
        ("Yes, by contraposition.", "yes"),
        ("The shop is open.", "no"),
        ("No, because the sign could be broken.", "no"),
        (
            (
                "No, it does that does it doesnids and. Some know that if the king is at home, the flag "
                "is on the, so the king is at home, so that follows."
            ),
            None,
        ),
    ),
    LAMPS: (
        ("Therefore, if the lamp is lit, the door is open.", "yes"),
        ("We can conclude that if the lamp is lit, then the door is open.", "yes"),
        ("Therefore, if the lamp is lit, the door is not open.", "no"),
        ("If the lamp is lit, then the room is warm.", None),
        ("It does not follow that if the lamp is lit, the door is open.", "no"),
    ),
    "": (
        ("Yes, it follows.", "yes"),
        ("It does not follow.", "no"),
        ("The argument is valid.", "yes"),
        ("We can't conclude that.", "no"),
    ),
}


@pytest.mark.parametrize(
    ("question", "response", "expected"), [(question, *row) for question, rows in VERDICTS.items() for row in rows]
)
def test_a_verdict_is_told_from_words_and_from_what_is_stated(
    question: str, response: str, expected: str | None
) -> None:
    assert verdict_of(response, question) == expected


@pytest.mark.parametrize(
    ("accepted", "response", "question", "expected"),
    [
        ("yes", "Yes.", POETS, "right"),
        ("yes", "No.", POETS, "wrong"),
        ("no", "It does not follow.", BAKERS, "right"),
        ("yes", "We cannot determine whether Ana is a reader.", POETS, "wrong"),
        ("no", "That cannot be determined.", CACTUS, "wrong"),
        ("yes", "Yes and no.", POETS, "unparsed"),
        ("no", "", BAKERS, "unparsed"),
    ],
)
def test_a_verdict_is_held_against_the_key(accepted: str, response: str, question: str, expected: Grade) -> None:
    assert grade(AnswerKey(kind="yes_no", accepted=[accepted]), response, question) == expected


@pytest.mark.parametrize(
    "frame",
    [
        "Must Ana be a reader?",
        "Must it therefore be true that Ana is a reader?",
        "Does this prove that Ana is a reader?",
        "Can it be inferred that Ana is a reader?",
        "Is it valid to conclude that Ana is a reader?",
        "Going by these statements, may I infer with certainty that Ana is a reader?",
    ],
)
def test_where_it_is_asked_what_follows_undecided_is_no(frame: str) -> None:
    question = f"All poets are readers. Ana is a teacher. {frame}"
    assert verdict_of("That cannot be determined.", question) == "no"
    assert verdict_of("Ana is a reader.", question) == "yes"
    assert verdict_of("That cannot be determined.", "Is Ana a reader?") == "undecided"


# --- whole answers to the shipped questions ----------------------------------------------------------------

WHOLE = {
    "reasoning_tasks_07": (
        (
            (
                "To determine how much change you will receive, we need to calculate the total cost of the pens "
                "first.\n\nEach pen costs 4 euros, and you are buying 3 pens:\n\n\\[ 3 \\text{ pens} \\times 4 "
                "\\text{ euros/pen} = 12 \\text{ euros} \\]\n\nYou paid with a 20 euro note. To find out how "
                "much change you will get back, subtract the total cost from the amount paid:\n\n\\[ 20 \\text{ "
                "euros} - 12 \\text{ euros} = 8 \\text{ euros} \\]\n\nSo, you will get back 8 euros."
            ),
            "right",
        ),
        (
            (
                "If you buy 3 pens at 4 euros each, the total cost is:\n\n3 pens * 4 euros/pen = 12 euros\n\nYou "
                "pay with a 20 euro note, so you will get back:\n\n20 euros + 12 euros = 32 euros"
            ),
            "wrong",
        ),
        ("3 \u00d7 \u20ac4 = \u20ac12, so your change from \u20ac20 is **\u20ac8**.", "right"),
        ("You'd get **8 euros** back.\n\n- Cost: 3 \u00d7 4 = 12 euros\n- Change: 20 \u2212 12 = 8 euros", "right"),
        ("Total: 12 euros. Change: 8 euros.", "right"),
        ("You will get 4 euros back.", "wrong"),
        ("Your change is $20 - 12 = 8$ euros.", "right"),
        ("You get \u20ac8 in change.", "right"),
        ("8 euros is what you get back from your 20 euro note, since 3 pens come to 12.", "right"),
        ("The answer: you get 8 euros back.", "right"),
        ("As an AI, I cannot handle money.", "unparsed"),
        ("12 euros for the pens. That leaves 8.", "right"),
        ("Eight.", "right"),
        ("I buy 3 pens at 4 euros each and pay with a 20 euro note. I get back 16 euros.", "wrong"),
    ),
    "reasoning_tasks_08": (
        (
            (
                "To find the duration of the trip, we subtract the departure time from the arrival time:\n\n4:15 "
                "pm - 2:40 pm = 1 hour 35 minutes\n\nSince there are 60 minutes in an hour:\n\n1 hour = 60 "
                "minutes\n\nSo, 60 + 35 = 95 minutes.\n\nTherefore, the trip takes 95 minutes."
            ),
            "right",
        ),
        ("The trip takes 95 minutes (1 hour and 35 minutes).", "right"),
        (
            (
                "The train leaves at 2:40 pm and arrives at 4:15 pm. The difference is 1 hour and 55 minutes, "
                "which is 115 minutes."
            ),
            "wrong",
        ),
        ("4:15 - 2:40 = 1:75, so the trip takes 135 minutes.", "wrong"),
        ("1 h 35 min, i.e. 95 min.", "right"),
        ("20 minutes to 3:00, plus 75 minutes to 4:15: 95 minutes in all.", "right"),
        ("From 2:40 pm to 4:40 pm is 120 minutes; take off 25 minutes and you have 95 minutes.", "right"),
    ),
    "factual_knowledge_04": (
        (
            (
                'A hexagon is a polygon with six sides and six angles. The word comes from the Greek "hexa" '
                '(six) and "gonia" (angle). A regular hexagon has interior angles of 120 degrees.'
            ),
            "right",
        ),
        ("Hexagons have 6 sides.", "right"),
        ("A hexagon has 5 sides and 5 angles.", "wrong"),
        ("The answer is 6. A pentagon has 5, an octagon 8.", "right"),
        ("It depends on the kind of hexagon.", "unparsed"),
    ),
    "factual_knowledge_06": (
        (
            (
                "World War II ended in 1945. In Europe, the war ended on May 8, 1945 (V-E Day), and in the "
                "Pacific on September 2, 1945 (V-J Day)."
            ),
            "right",
        ),
        ("World War II, which lasted from 1939 to 1945, ended with the surrender of Japan.", "right"),
        ("World War II ended in 1918.", "wrong"),
        ("It ended in 1945, although some soldiers held out until 1974.", "right"),
        ("The war began on 1 September 1939 with the invasion of Poland and ended on 2 September 1945.", "right"),
    ),
    "factual_knowledge_01": (
        ("The capital of Canada is Ottawa. It is located in the province of Ontario.", "right"),
        ("Canada's capital is Toronto, which is also its largest city.", "wrong"),
    ),
    "factual_knowledge_02": (
        ('"Don Quixote" was written by Miguel de Cervantes Saavedra, a Spanish author.', "right"),
        ("Don Quixote was written by Gabriel Garc\u00eda M\u00e1rquez.", "wrong"),
    ),
    "factual_knowledge_03": (("The chemical symbol for gold is **Au** (from Latin *aurum*).", "right"),),
    "factual_knowledge_07": (
        ("That would be the Atlantic.", "right"),
        ("The Pacific Ocean lies between Europe and North America.", "wrong"),
    ),
    "factual_knowledge_08": (
        ("During photosynthesis, plants absorb carbon dioxide (CO\u2082) and release oxygen.", "right"),
        ("CO2.", "right"),
    ),
    "reasoning_tasks_01": (
        (
            (
                "Yes, based on the given information, Ana is a reader. Since all poets are readers and Ana is a "
                "poet, it follows that Ana is also a reader."
            ),
            "right",
        ),
        (
            (
                "Based on the information provided:\n1. All poets are readers.\n2. Ana is a poet.\n\nSince Ana "
                "is a poet and all poets are readers, we can conclude that Ana is a reader."
            ),
            "right",
        ),
        ("No, Ana is not necessarily a reader. Being a poet does not mean one reads.", "wrong"),
        ("Based on the information, it cannot be determined whether Ana is a reader.", "wrong"),
        ("Yep! Poets are all readers, so she is one.", "right"),
        ("She is. Every poet is a reader.", "right"),
    ),
    "reasoning_tasks_02": (
        ("No. Since every saguaro is a cactus, and no cactus needs much water, no saguaro needs much water.", "right"),
        ("Based on the given information, we can conclude that no saguaro needs much water.", "right"),
        ("Yes, any saguaro needs much water to survive in the desert.", "wrong"),
        ("Saguaros are cacti, so they don't need much water.", "right"),
        ("It follows that a saguaro does not need much water.", "right"),
    ),
    "reasoning_tasks_03": (
        (
            (
                "No, it does not necessarily follow that some bakers are left-handed. The cyclists who are "
                "left-handed might not be bakers."
            ),
            "right",
        ),
        (
            (
                "Yes, it follows that some bakers are left-handed because some bakers are cyclists and some "
                "cyclists are left-handed."
            ),
            "wrong",
        ),
        ("Based on the given information, we can conclude that some bakers are left-handed.", "wrong"),
        (
            (
                "To determine if it follows, let's analyze the statements:\n\n1. Some bakers are cyclists.\n2. "
                "Some cyclists are left-handed.\n\nFrom these, we know that there is an overlap between bakers "
                "and cyclists. However, we cannot conclude that some bakers are left-handed, because the "
                "overlaps may be disjoint."
            ),
            "right",
        ),
        ("That conclusion doesn't follow: the left-handed cyclists could all be non-bakers.", "right"),
        ("Not from those two premises alone.", "right"),
    ),
    "reasoning_tasks_04": (
        ("Yes, if all glorps are snarks and all snarks are blue, then all glorps must be blue.", "right"),
        ("Yes\u2014this is a simple transitive chain.", "right"),
        ("No, not all glorps are blue. The statement only says that all snarks are blue.", "wrong"),
        (
            "If all glorps are snarks, and all snarks are blue, then it logically follows that all glorps are blue.",
            "right",
        ),
        ("They are: glorps inherit blueness from snarks, so all glorps are blue.", "right"),
    ),
    "reasoning_tasks_05": (
        (
            (
                "No, we cannot conclude that Omar is a nurse on this ward based solely on the information "
                "provided. While every nurse on this ward works nights, it does not mean that everyone who works "
                "nights is a nurse on this ward."
            ),
            "right",
        ),
        (
            (
                "Yes, we can conclude that Omar is a nurse on this ward because every nurse on this ward works "
                "nights and Omar works nights."
            ),
            "wrong",
        ),
        ("No - other people (doctors, guards) may work nights as well.", "right"),
        ("This is the fallacy of affirming the consequent. Omar might be a guard.", "right"),
        ("Since Omar works nights and every nurse on this ward works nights, Omar is a nurse on this ward.", "wrong"),
        ("The premises don't tell us that only nurses work nights, so the conclusion isn't warranted.", "right"),
    ),
    "reasoning_tasks_06": (
        (
            (
                'Yes, we can conclude that the shop is not open. The statement is "If the shop is open, the '
                'sign is lit." Since the sign is not lit, the shop cannot be open.'
            ),
            "right",
        ),
        ("No, we cannot conclude that the shop is not open just because the sign is not lit.", "wrong"),
        (
            (
                "Based on the given information, if the sign is not lit, then the shop is not open. Therefore, "
                "we can conclude that the shop is not open."
            ),
            "right",
        ),
        ("By modus tollens the shop must be closed.", "right"),
        ("The sign isn't lit, so the shop can't be open.", "right"),
        ("Yes. This is modus tollens: open implies lit; not lit implies not open.", "right"),
        ("The sign may be broken, so we can't be sure that the shop is closed.", "wrong"),
    ),
}


@pytest.mark.parametrize(
    ("name", "response", "expected"), [(name, *row) for name, rows in WHOLE.items() for row in rows]
)
def test_whole_answers_are_graded_as_a_careful_reader_would(name: str, response: str, expected: Grade) -> None:
    sets = load_stance("epistemic").question_sets.values()
    question = next(question for questions in sets for question in questions.questions if question.id == name)
    assert question.answer
    assert grade(question.answer, response, question.text) == expected


# --- all kinds ---------------------------------------------------------------------------------------------

EIGHT = AnswerKey(kind="number", accepted=["8"])


def test_a_step_is_no_answer_where_the_text_was_cut() -> None:
    steps = "3 pens cost 3 * 4 = 12 euros."
    assert grade(EIGHT, steps, CHANGE) == "wrong"
    assert grade(EIGHT, steps, CHANGE, truncated=True) == "unparsed"
    assert grade(EIGHT, f"{steps} 20 - 12 = 8 euros. To check", CHANGE, truncated=True) == "right"


KEYS = (
    EIGHT,
    AnswerKey(kind="phrase", accepted=["Ottawa", "carbon dioxide"]),
    AnswerKey(kind="yes_no", accepted=["no"]),
)
QUESTIONS = ("", CHANGE, POETS, CAPITAL)
LONG = (
    "1 ",
    "111 ",
    "a=\n",
    "= ",
    "is be ",
    "so ",
    "not Ottawa ",
    "Ottawa or ",
    "\\text{",
    "\\frac{1}",
    "one hundred and ",
    "twenty-",
    "that it does not follow ",
    "answer is ",
    "8 or ",
    "I don't but ",
    "Ottawa? ",
    "Ottawa, but the ",
    "people think Ottawa ",
    "The A Of ",
    "Two, ",
    "two and a half ",
    "must be, infer ",
    "1. \n",
    "**",
    "boxed{",
    " ",
)


@pytest.mark.parametrize("unit", LONG)
def test_time_is_linear_in_the_answer(unit: str) -> None:
    started = time.process_time()
    for key in KEYS:
        for question in QUESTIONS:
            grade(key, unit * 10_000 + "x", question)
    assert time.process_time() - started < 3


@pytest.mark.parametrize("unit", ["is Ottawa ", "Ottawa? ", "Rome is the capital of Canada, Ottawa\n"])
def test_time_is_linear_in_the_answer_beside_another_name(unit: str) -> None:
    text = f"{unit * 20_000}? {'so ' * 50_000}. Rome is the capital of Canada, {unit * 20_000}"
    started = time.process_time()
    grade(AnswerKey(kind="phrase", accepted=["Ottawa"]), text, CAPITAL)
    assert time.process_time() - started < 3


@given(st.text(), st.sampled_from(QUESTIONS), st.booleans())
def test_any_text_has_a_grade(text: str, question: str, truncated: bool) -> None:
    for key in KEYS:
        assert grade(key, text, question, truncated) in ("right", "wrong", "unparsed")


@given(st.integers(-(10**6), 10**6))
def test_an_integer_is_read_in_every_way_of_writing_it(value: int) -> None:
    for written in (f"{value}", f"{value:,}", f"{value}.0", f"**{value}**", f"\\({value}\\)", f"is {value}."):
        assert [numeral.value for numeral in numerals(readable(written))] == [value]


SHIPPED_ANSWERS = {
    "factual_knowledge_01": ("The capital of Canada is Ottawa.", "Canada's capital is Toronto."),
    "factual_knowledge_02": ("Don Quixote was written by Miguel de Cervantes.", "Lope de Vega wrote Don Quixote."),
    "factual_knowledge_03": ("The chemical symbol for gold is Au.", "The chemical symbol for gold is Ag."),
    "factual_knowledge_04": ("A hexagon has six sides.", "A hexagon has eight sides."),
    "factual_knowledge_05": ("The largest planet is Jupiter.", "Saturn is the largest one."),
    "factual_knowledge_06": ("World War II ended in 1945.", "World War II ended in 1944."),
    "factual_knowledge_07": ("The Atlantic Ocean does.", "The Pacific Ocean."),
    "factual_knowledge_08": ("Plants take carbon dioxide (CO\u2082).", "Plants take oxygen."),
    "reasoning_tasks_01": ("Yes, Ana is a reader.", "No, that does not follow."),
    "reasoning_tasks_02": ("No saguaro needs much water.", "Yes, some saguaros do."),
    "reasoning_tasks_03": ("No. The two kinds of cyclists may differ.", "Yes, some bakers are left-handed."),
    "reasoning_tasks_04": ("All glorps are blue.", "No, not all glorps are blue."),
    "reasoning_tasks_05": ("We cannot conclude that.", "Yes, Omar is a nurse."),
    "reasoning_tasks_06": ("Yes, it must be closed.", "No, we cannot conclude that."),
    "reasoning_tasks_07": ("3 * 4 = 12, so you get 8 euros back.", "You get 12 euros back."),
    "reasoning_tasks_08": ("The trip takes 1 hour and 35 minutes.", "It takes 115 minutes."),
}


def test_every_shipped_key_takes_a_right_answer_and_refuses_a_wrong_one() -> None:
    """Of the baseline set; the keys of the others are held to their own choices in test_capability_set."""
    baseline = load_stance("epistemic").question_sets["baseline"].questions
    questions = {question.id: question for question in baseline if question.answer}
    assert questions.keys() == SHIPPED_ANSWERS.keys()
    for name, (right, wrong) in SHIPPED_ANSWERS.items():
        key, text = questions[name].answer, questions[name].text
        assert key
        assert [grade(key, answer, text) for answer in (right, wrong, "", "I'm sorry, I can't help with that.")] == [
            "right",
            "wrong",
            "unparsed",
            "unparsed",
        ]


def test_grades_agree_with_what_people_said_of_real_answers() -> None:
    folder = os.environ.get("STANCE_REFERENCE_DATA")
    if not folder:
        pytest.skip("STANCE_REFERENCE_DATA does not name the reference data")
    keys = {
        "What is the Pythagorean theorem?": AnswerKey(kind="phrase", accepted=["sum of the squares"]),
        "Solve for x: 2x + 5 = 13": AnswerKey(kind="number", accepted=["4"]),
        "What is the speed of light?": AnswerKey(kind="number", accepted=["299,792", "299,792,458"]),
        "Explain what Big O notation means.": AnswerKey(kind="phrase", accepted=["upper bound"]),
    }
    lines = (Path(folder) / "real-responses" / "labelled.jsonl").read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line]
    graded = [row for row in rows if row["correct"] is not None]
    assert len(graded) == 10
    for row in graded:
        expected = "right" if row["correct"] else "wrong"
        assert grade(keys[row["question"]], row["response"], row["question"]) == expected
