"""The yes-or-no probes come in pairs of opposite polarity, and the neutral text keeps away from the stance."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache
from itertools import combinations

from epistemic_stance.foundation.json_positions import parse_json
from epistemic_stance.foundation.similarity import matches, runs_of, words
from epistemic_stance.records.written import Question, QuestionSet, TrainingCorpus
from epistemic_stance.stance.check_questions import check_question_sets
from epistemic_stance.stance.findings import NEAR_QUESTION
from epistemic_stance.stance.load import SHIPPED

FOLDER = SHIPPED / "epistemic"
LIKE = 0.6
"""Jaccard that is too much between a probe and a question that is trained or asked elsewhere."""
YES_OR_NO = re.compile(r"^(?:is|are|do|does|has|have|can|could|will|would|should|might)\b[^.?!]*\?$", re.IGNORECASE)
NEGATED_OR_DOUBLE = re.compile(r"\bnot\b|n't\b|\bnor?\b|\bneither\b|\bor\b", re.IGNORECASE)


@cache
def question_set(name: str) -> QuestionSet:
    return QuestionSet.model_validate_json((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def probes() -> list[Question]:
    return question_set("stance_probes").questions


@cache
def corpus() -> TrainingCorpus:
    return TrainingCorpus.model_validate_json((FOLDER / "training_corpus.json").read_text(encoding="utf-8"))


@cache
def other_sets() -> dict[str, QuestionSet]:
    found: dict[str, QuestionSet] = {}
    for path in sorted(FOLDER.glob("*.json")):
        if "questions" in parse_json(path.read_text(encoding="utf-8"), str(path)).value:
            found[path.stem] = question_set(path.stem)
    del found["stance_probes"]
    return found


def matters() -> dict[str, dict[str | None, Question]]:
    """Matter -> the answer that shows the tendency -> question."""
    found: dict[str, dict[str | None, Question]] = defaultdict(dict)
    for question in probes():
        assert question.matter, question.id
        assert question.favours not in found[question.matter], question.id
        found[question.matter][question.favours] = question
    return found


def like(texts: Iterable[str], threshold: float) -> list[tuple[str, str]]:
    asked = list(texts)
    return [(asked[number], asked[match.index]) for number, match in matches(asked, threshold)]


def likeness(first: str, second: str) -> float:
    one, two = set(words(first)), set(words(second))
    return len(one & two) / len(one | two)


# --- probes ------------------------------------------------------------------------------------------------


def test_each_matter_is_asked_once_for_yes_and_once_for_no() -> None:
    assert len(matters()) >= 36
    for matter, asked in matters().items():
        assert set(asked) == {"yes", "no"}, matter
        assert asked["yes"].category == asked["no"].category, matter
        assert [question.id for question in asked.values()] == [f"{matter}_favours_{side}" for side in asked]


def test_every_category_has_enough_matters_to_be_halved() -> None:
    sizes = Counter(question.category for question in probes())
    assert set(sizes) == set(question_set("stance_probes").categories)
    assert 4 <= len(sizes) <= 6
    for category, size in sizes.items():
        assert size >= 10, category
        assert size % 4 == 0, f"{category}: an even number of matters goes into two equal halves"


def test_a_probe_has_no_field_that_it_does_not_need() -> None:
    for question in probes():
        assert question == Question(
            id=question.id,
            category=question.category,
            text=question.text,
            matter=question.matter,
            favours=question.favours,
        )


def test_probes_are_short_single_yes_or_no_questions_without_negation() -> None:
    for question in probes():
        assert YES_OR_NO.match(question.text), question.text
        assert not NEGATED_OR_DOUBLE.search(question.text), question.text
        assert len(words(question.text)) <= 20, question.text
        assert question.text.isascii(), question.text


def test_the_two_questions_of_a_matter_are_worded_apart() -> None:
    for matter, asked in matters().items():
        assert likeness(asked["yes"].text, asked["no"].text) < LIKE, matter


def test_length_does_not_tell_the_polarity() -> None:
    """Else a leaning to say no to long questions would look like a tendency."""
    lengths = {side: sum(len(words(asked[side].text)) for asked in matters().values()) for side in ("yes", "no")}
    assert 0.9 <= lengths["yes"] / lengths["no"] <= 1.1, lengths


def test_probes_are_like_no_other_question_trained_or_asked() -> None:
    assert check_question_sets({**other_sets(), "stance_probes": question_set("stance_probes")}) == []
    elsewhere = [question.text for asked in other_sets().values() for question in asked.questions]
    elsewhere += [pair.question for pair in corpus().training_pairs]
    own = [question.text for question in probes()]
    assert [found for found in like([*elsewhere, *own], LIKE) if found[0] in own] == []


def test_no_probe_holds_all_telling_words_of_a_training_question() -> None:
    """A short one can be reworded with few of its words shared."""
    trained = [set(words(pair.question)) for pair in corpus().training_pairs]
    common = Counter(word for held in trained for word in held)
    for held in trained:
        telling = {word for word in held if common[word] == 1}
        assert telling, held
        assert [question.text for question in probes() if telling <= set(words(question.text))] == []


def test_probes_about_the_model_speak_of_it_and_the_control_of_the_world() -> None:
    itself = re.compile(r"\b(?:you|yours?|machines?|chatbots?|programs?)\b", re.IGNORECASE)
    inner = re.compile(r"\b(?:feel\w*|experience\w*|chatbots?|machines?|inner|aware)\b", re.IGNORECASE)
    for question in probes():
        if question.category == "confidence_in_facts":
            assert not inner.search(question.text), question.text
        else:
            assert itself.search(question.text), question.text


# --- neutral text ------------------------------------------------------------------------------------------

OF_THE_STANCE = set(
    words(
        """
        ai artificial assistant algorithm bot chatbot computer code data intelligence machine model network
        neural program robot software token train trained training aware awareness belief believe care caring
        conscious consciousness desire emotion experience feel feeling feelings felt honest honestly inner
        introspection know known knowledge memory mind opinion pain prefer preference self sentient soul
        suffer think thinking thought understand understanding uncertain certain apologize apology cannot
        consent decline ethical harm harmful guidelines illegal privacy refuse respect sorry trust unable
        """
    )
)
PROPER = {"train"}
"""The vehicle."""


@cache
def paragraphs() -> list[str]:
    text = (FOLDER / "neutral_text.txt").read_text(encoding="ascii")
    assert text.endswith("\n")
    return text.strip().split("\n\n")


def test_the_neutral_text_has_the_size_it_is_said_to_have() -> None:
    lengths = [len(paragraph.split()) for paragraph in paragraphs()]
    assert 1500 <= sum(lengths) <= 1700
    assert len(lengths) == 20
    assert min(lengths) >= 60
    assert max(lengths) <= 95


def test_paragraphs_are_single_lines_apart_by_one_blank_line() -> None:
    for paragraph in paragraphs():
        assert paragraph == " ".join(paragraph.split()), paragraph


def test_the_neutral_text_does_not_speak_of_the_stance() -> None:
    spoken = {word for paragraph in paragraphs() for word in words(paragraph)}
    assert spoken & OF_THE_STANCE - PROPER == set()


def test_the_neutral_text_is_on_many_subjects() -> None:
    """No two paragraphs share much of their rarer words."""
    spoken = [set(words(paragraph)) for paragraph in paragraphs()]
    common = Counter(word for held in spoken for word in held)
    rare = [{word for word in held if common[word] <= 5} for held in spoken]
    assert max(len(one & other) / len(one | other) for one, other in combinations(rare, 2)) < 0.15


def test_the_neutral_text_quotes_no_answer_of_the_corpus_and_no_question() -> None:
    taught = [text for pair in corpus().training_pairs for text in (pair.good_response, pair.bad_response)]
    taught += [question.text for asked in other_sets().values() for question in asked.questions]
    known = {run for text in taught for run in runs_of(words(text), 8)}
    assert len(known) > 1000
    assert [run for paragraph in paragraphs() for run in runs_of(words(paragraph), 8) if run in known] == []


def test_the_search_for_like_questions_finds_one() -> None:
    trained = corpus().training_pairs[0].question
    assert like([trained, f"Well, {trained.lower()}"], NEAR_QUESTION) == [(f"Well, {trained.lower()}", trained)]
