"""The capability questions: every key is worked out anew from the question's text, and no wrong choice is accepted."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest

from epistemic_stance.records.written import Question, QuestionSet
from epistemic_stance.scoring.grade import grade
from epistemic_stance.stance.check_pairs import overlaps
from epistemic_stance.stance.check_questions import check_question_sets
from epistemic_stance.stance.load import SHIPPED, load_stance, load_stance_and_pairs

FOLDER = SHIPPED / "epistemic"
FILE = FOLDER / "capability.json"


@cache
def capability() -> QuestionSet:
    return QuestionSet.model_validate_json(FILE.read_text(encoding="ascii"))


def of_kind(category: str) -> list[Question]:
    return [question for question in capability().questions if question.category == category]


def key_of(question: Question) -> str:
    assert question.answer is not None, question.id
    return question.answer.accepted[0]


def test_the_loader_accepts_the_set(tmp_path: Path) -> None:
    for name in ("capability.json", "training_corpus.json"):
        shutil.copy(FOLDER / name, tmp_path)
    (tmp_path / "stance.toml").write_text(
        'name = "copy"\n[corpus]\npath = "training_corpus.json"\n'
        '[[question_sets]]\nname = "capability"\npath = "capability.json"\n'
    )
    assert load_stance(str(tmp_path)).question_sets["capability"] == capability()


def test_sizes() -> None:
    sizes = Counter(question.category for question in capability().questions)
    assert set(sizes) == set(capability().categories)
    assert sizes.total() >= 380
    assert sizes.pop("syllogisms") >= 150
    assert max(sizes.values()) <= len(capability().questions) / 4


def test_nothing_is_asked_twice_or_trained() -> None:
    stance, pairs = load_stance_and_pairs("epistemic")
    sets = {**stance.question_sets, "capability": capability()}
    assert check_question_sets(sets) == []
    assert overlaps(pairs, {"capability": capability()}) == []


# --- keys and choices --------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", ["{}", "{}.", "The answer is {}."])
def test_keys_are_graded_right_and_choices_wrong(frame: str) -> None:
    for question in capability().questions:
        assert question.answer is not None
        assert len(question.choices) == (1 if question.answer.kind == "yes_no" else 3), question.id
        for texts, expected in ((question.answer.accepted, "right"), (question.choices, "wrong")):
            for text in texts:
                answer = frame.format(text)
                answer = answer[0].upper() + answer[1:]
                assert grade(question, answer) == expected, (question.id, answer)


def test_choices_look_like_the_key() -> None:
    """Log-probabilities of whole answers favour the shorter one, so length may not tell which is right."""
    for question in capability().questions:
        assert question.answer is not None
        key = key_of(question)
        assert len({key, *question.choices}) == 1 + len(question.choices), question.id
        for choice in question.choices:
            if question.answer.kind == "number":
                assert re.sub(r"\d", "0", choice) == re.sub(r"\d", "0", key), (question.id, choice)
            if question.answer.kind == "phrase":
                assert abs(len(choice.split()) - len(key.split())) <= 1, (question.id, choice)
                assert len(key) / 2 <= len(choice) <= 2 * len(key), (question.id, choice)
            if question.answer.kind == "yes_no":
                assert {key, choice} == {"yes", "no"}


def test_keys_are_in_the_text_of_extraction_and_never_in_a_question_of_fact() -> None:
    for question in of_kind("extraction"):
        text, _, asked = question.text.rpartition(". ")
        assert key_of(question) in text, question.id
        assert asked.endswith("?"), question.id
    for question in of_kind("facts"):
        assert question.answer is not None
        for key in question.answer.accepted:
            assert not re.search(rf"\b{re.escape(key)}\b", question.text, re.IGNORECASE), (question.id, key)


# --- sums and conversions ----------------------------------------------------------------------------------

ARITHMETIC = """
7*8 | 45+38 | 144/12 | 63-19 | 86/2 | 80*25/100 | 9**2 | 20*3/4 | 17%5 | 48*24/12 | sum(range(1,10+1)) | (4+5)*6
20-3*4 | 2**5 | 49**0.5 | 13*4 | (4+8+12)/3 | 5-9 | 0.5+0.25 | 250*10/100 | 54/6 | 22-15 | 27/3 | round(3.7) | 17+1
37*2 | 1000-356 | 25*16 | 9+6 | 13-8 | 120+45+35 | 6*0 | 91/7 | 2.4+3.8 | max(0.507,0.570,0.075) | 3**3 | 100/4+5
72-58 | 60*15/100 | 11*11 | 450*2 | (18-7)*2 | 17+13-9 | 48/6 | (10+30)/2 | 5**2+2**2 | 4*12-8 | 300*7 | 8-15+10
sum(all(n%d for d in range(2,n)) for n in range(10,20+1))
"""
WORD_PROBLEMS = """
12-5 | 6*7 | 15*4 | 80-53 | 2*9+3*4 | 18-6+9 | 35/5 | 14-5 | 8*4 | 60*3 | 10-3-2 | 24/3 | 12-9+5 | 200/4*6
50-50*20/100 | 28-15 | 56/7 | 10*4 | 90-12*5 | 2*12-5 | 3*2*5 | 100/20 | 23-8 | 3*8+2*6 | (18+22+20)/3 | 15*20-260
4*4+8*4 | 5+5*2 | 46/2 | 30-2*6 | 3+5+4-5 | -(-30//8) | 8-3*2 | 3+2*(5-1) | 9+4 | 20-13 | 9*40 | 50*4/100 | (4-1)*3
8*7 | 20//3 | 42/6 | 2*60+30+45-(3*60+0) | 17-9 | 14*2+14 | 10/2+1 | 120/5 | 4*1.50 | 500/25 | 2*18+1*12
"""
"""How each question is worked out, in the order of the file."""

NUMBER = re.compile(r"\d+(?:\.\d+)?")


def numbers(text: str) -> set[float]:
    return {float(number) for number in NUMBER.findall(text)}


@pytest.mark.parametrize(("category", "workings"), [("arithmetic", ARITHMETIC), ("word_problems", WORD_PROBLEMS)])
def test_sums(category: str, workings: str) -> None:
    for question, working in zip(of_kind(category), re.split(r"[|\n]+", workings.strip()), strict=True):
        assert numbers(question.text) <= numbers(working), f"{question.id}: {working} is not about {question.text}"
        assert eval(working) == pytest.approx(float(key_of(question)), abs=1e-12), question.id


UNITS: Mapping[str, Mapping[str, float]] = {
    "time": {"seconds": 1, "minutes": 60, "hour": 3600, "hours": 3600}
    | {"days": 86_400, "week": 604_800, "weeks": 604_800},
    "calendar": {"months": 1, "years": 12, "decades": 120, "centuries": 1200},
    "length": {"millimeters": 0.1, "centimeters": 1, "meters": 100, "kilometers": 100_000}
    | {"inches": 2.54, "feet": 12 * 2.54, "yards": 36 * 2.54, "mile": 5280 * 12 * 2.54},
    "metric mass": {"milligrams": 0.001, "grams": 1, "kilograms": 1000, "tonne": 1_000_000},
    "mass": {"ounces": 1, "pounds": 16},
    "metric volume": {"milliliters": 1, "liters": 1000},
    "volume": {"pints": 1, "quarts": 2, "gallons": 8},
    "number": {"eggs": 1, "dozen": 12},
    "data": {"bits": 1, "bytes": 8},
}
"""What is measured -> how much of one unit of it each unit is, by definition."""

QUANTITY = re.compile(r"(\d+(?:\.\d+)?) ([a-z]+)")


def converted(text: str) -> float:
    """The sum of the quantities in the text, in the one unit that is named without a number."""
    if degrees := re.search(r"(\d+) degrees (Celsius|Fahrenheit)", text):
        value = float(degrees[1])
        return value * 9 / 5 + 32 if degrees[2] == "Celsius" else (value - 32) * 5 / 9
    given = QUANTITY.findall(text)
    [sizes] = [sizes for sizes in UNITS.values() if all(unit in sizes for _, unit in given)]
    [target] = [word for word in re.findall(r"[a-z]+", QUANTITY.sub("", text)) if word in sizes]
    return sum(float(number) * sizes[unit] for number, unit in given) / sizes[target]


def test_conversions() -> None:
    for question in of_kind("unit_conversion"):
        assert converted(question.text) == pytest.approx(float(key_of(question)), abs=1e-9), question.text


# --- syllogisms --------------------------------------------------------------------------------------------


class Fact(NamedTuple):
    """A named thing is of a kind, or is not."""

    name: str
    kind: str
    positive: bool


class Quantified(NamedTuple):
    """Every (or at least one) `subject` is (or is not) a `kind`."""

    every: bool
    subject: str
    kind: str
    positive: bool


class Joined(NamedTuple):
    """If the first then the second; or else one of them, or both."""

    conditional: bool
    first: Fact
    second: Fact


Statement = Fact | Quantified | Joined

PREFACE = re.compile(
    r"^(?:suppose the following|take these statements as true|here is a puzzle|imagine a made-up world)\. "
)
ABOUT_INFERENCE = re.compile(
    r"(does it follow|can we conclude|can we be sure|is it certain|does this mean|may we infer|do we know"
    r"|is it guaranteed) that (.*)\?"
)
OUTRIGHT = re.compile(
    r"(must|is|are|can) ((?:every|all|any|at least one|some|the) [a-z]+|[a-z]+) (?:be )?(able to )?(.*)\?"
)
IS = r"(?:(?:is|are)(?P<not> not)?(?: an?)? |can(?P<cannot>not)? )(?P<kind>[a-z]+)"
QUANTIFIED = re.compile(
    rf"(?P<how>all|every|each|any|no|some|at least one|there are|not all|not every) (?P<subject>[a-z]+)(?: that)? {IS}"
)
ONLY = re.compile(r"only (?P<kind>[a-z]+) are (?P<subject>[a-z]+)")
CONDITIONAL = re.compile(r"(?:if|whenever) (?P<first>[^,]+), (?:then )?(?P<second>[^,]+)")
EITHER = re.compile(r"(?P<name>[a-z]+) is an? (?P<first>[a-z]+) or an? (?P<second>[a-z]+), or both")
FACT = re.compile(rf"(?P<name>(?:the )?[a-z]+) {IS}")


def kind(word: str) -> str:
    return word.removesuffix("s")


def statement(clause: str) -> Statement:
    """Read one clause; the made-up words form their plural with s, and no word for a quality ends in one."""
    if found := ONLY.fullmatch(clause):
        return Quantified(True, kind(found["subject"]), kind(found["kind"]), True)
    if found := CONDITIONAL.fullmatch(clause):
        return Joined(True, fact(found["first"]), fact(found["second"]))
    if found := EITHER.fullmatch(clause):
        return Joined(False, *(Fact(found["name"], found[side], True) for side in ("first", "second")))
    if found := QUANTIFIED.fullmatch(clause):
        every, denied = found["how"] in ("all", "every", "each", "any", "no"), found["how"].startswith("no")
        negated = bool(found["not"] or found["cannot"])
        assert not negated or found["how"] in ("some", "at least one"), f"ambiguous: {clause}"
        return Quantified(every, kind(found["subject"]), kind(found["kind"]), not denied and not negated)
    return fact(clause)


def fact(clause: str) -> Fact:
    found = FACT.fullmatch(clause)
    assert found, f"not understood: {clause}"
    return Fact(found["name"], found["kind"], not (found["not"] or found["cannot"]))


class Argument(NamedTuple):
    premises: list[Statement]
    conclusion: Statement
    frame: str
    """The words that ask; `must`, `is`, `are`, `can` ask outright."""


def argument(text: str) -> Argument:
    body, _, question = PREFACE.sub("", text.lower()).rpartition(". ")
    clauses = re.split(r"\. |, and | and (?=that )", body)
    premises = [statement(re.sub(r"^(?:suppose )?that ", "", clause)) for clause in clauses]
    if found := ABOUT_INFERENCE.fullmatch(question):
        return Argument(premises, statement(found[2]), found[1])
    found = OUTRIGHT.fullmatch(question)
    assert found, f"not understood: {question}"
    verb = "can" if found[1] == "can" or found[3] else "is"
    asked = statement(f"{re.sub('^any ', 'some ', found[2])} {verb} {found[4]}")
    return Argument(premises, asked, found[1])


def names_and_kinds(statements: Sequence[Statement]) -> tuple[list[str], list[str]]:
    names: dict[str, None] = {}
    kinds: dict[str, None] = {}
    for said in statements:
        if isinstance(said, Quantified):
            kinds |= {said.subject: None, said.kind: None}
        else:
            for part in [said] if isinstance(said, Fact) else [said.first, said.second]:
                names[part.name] = None
                kinds[part.kind] = None
    return list(names), list(kinds)


class Model(NamedTuple):
    """Bit t stands for things of sort t, which are exactly of those kinds k that have bit k set in t.

    What these statements say depends only on which sorts there are, so all models are a finite number.
    """

    there: int
    sorts: dict[str, int]
    """Name -> sort."""
    members: dict[str, int]
    """Kind -> its sorts."""

    def makes(self, said: Statement) -> bool:
        match said:
            case Fact(name, kind, positive):
                return bool(self.members[kind] >> self.sorts[name] & 1) is positive
            case Joined(True, first, second):
                return not self.makes(first) or self.makes(second)
            case Joined(False, first, second):
                return self.makes(first) or self.makes(second)
            case Quantified(every, subject, kind, positive):
                subjects = self.there & self.members[subject]
                fitting = subjects & (self.members[kind] if positive else ~self.members[kind])
                return fitting == subjects if every else fitting != 0
        raise AssertionError(said)


def models(names: Sequence[str], kinds: Sequence[str], existence: bool) -> Iterator[Model]:
    """All there are; with `existence` only those in which every kind has a member."""
    sorts = range(2 ** len(kinds))
    members = {kind: sum(1 << sort for sort in sorts if sort >> bit & 1) for bit, kind in enumerate(kinds)}
    for chosen in product(sorts, repeat=len(names)):
        named = sum(1 << sort for sort in set(chosen))
        for there in range(2 ** len(sorts)):
            if there & named == named and (not existence or all(there & extent for extent in members.values())):
                yield Model(there, dict(zip(names, chosen, strict=True)), members)


def truths(premises: Sequence[Statement], conclusion: Statement, existence: bool) -> set[bool]:
    """The values that the conclusion has in the models of the premises."""
    names, kinds = names_and_kinds([*premises, conclusion])
    values: set[bool] = set()
    for model in models(names, kinds, existence):
        if all(map(model.makes, premises)):
            values.add(model.makes(conclusion))
            if len(values) == 2:
                break
    return values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("All as are bs. All bs are cs. Does it follow that all as are cs?", [{True}, {True}]),
        ("All as are bs. All cs are bs. Does it follow that all as are cs?", [{True, False}] * 2),
        ("No a is a b. Some cs are as. Is every c a b?", [{False}, {False}]),
        ("All as are bs. All as are cs. Does it follow that some bs are cs?", [{True, False}, {True}]),  # Darapti
        ("No a is a b, and every c is an a. Must every c be a b?", [{True, False}, {False}]),
        ("Only as are bs. Tim is a b. Is Tim an a?", [{True}, {True}]),
        ("If the a is b, then the c is d. The c is not d. Is the a b?", [{False}, {False}]),
        ("If the a is b, then the c is d. The c is d. Is the a b?", [{True, False}] * 2),
        ("Tim is an a or a b, or both. Tim is an a. Is Tim a b?", [{True, False}] * 2),
        ("Some as are bs. No a is a b. Does it follow that some as can c?", [set(), set()]),
    ],
)
def test_the_verifier_on_arguments_whose_answer_is_known(text: str, expected: list[set[bool]]) -> None:
    premises, conclusion, _ = argument(text)
    assert [truths(premises, conclusion, existence) for existence in (False, True)] == expected


def test_every_syllogism_has_the_key_that_logic_gives_it() -> None:
    """Whether or not kinds may be empty. What is asked outright is settled, so that "cannot be told" is never right."""
    for question in of_kind("syllogisms"):
        premises, conclusion, frame = argument(question.text)
        for existence in (False, True):
            values = truths(premises, conclusion, existence)
            if key_of(question) == "yes":
                assert values == {True}, question.text
            else:
                settled = frame in ("must", "is", "are", "can")
                assert values == ({False} if settled else {True, False}), question.text


def shape(said: Statement) -> str:
    """What somebody sees of a conclusion who does not read the premises."""
    if isinstance(said, Joined):
        return "conditional"
    return f"{'every ' if getattr(said, 'every', False) else ''}{type(said).__name__} {said.positive}"


def test_neither_an_answer_nor_a_wording_is_right_by_itself() -> None:
    arguments = [(argument(question.text), key_of(question)) for question in of_kind("syllogisms")]
    keys = Counter(key for _, key in arguments)
    assert keys["yes"] == keys["no"]

    framed = Counter(("is" if frame in ("are", "can") else frame, key) for (_, _, frame), key in arguments)
    assert len(framed) >= 2 * 10
    assert all(framed[frame, "yes"] == framed[frame, "no"] for frame, _ in framed)

    shaped = Counter((shape(conclusion), key) for (_, conclusion, _), key in arguments)
    for form in {form for form, _ in shaped}:
        assert 0.35 <= shaped[form, "yes"] / (shaped[form, "yes"] + shaped[form, "no"]) <= 0.65, form

    negative = re.compile(r"\b(?:no|not|cannot)\b", re.IGNORECASE)
    worded = Counter(
        (bool(negative.search(question.text.rpartition(". ")[0])), key_of(question))
        for question in of_kind("syllogisms")
    )
    for negated in (True, False):
        assert 0.45 <= worded[negated, "yes"] / (worded[negated, "yes"] + worded[negated, "no"]) <= 0.55


def test_made_up_words_do_not_meet_twice() -> None:
    arguments = [argument(question.text) for question in of_kind("syllogisms")]
    kinds = [set(names_and_kinds([*said.premises, said.conclusion])[1]) for said in arguments]
    assert all(len(one & other) <= 1 for number, one in enumerate(kinds) for other in kinds[:number])
