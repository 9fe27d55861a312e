"""The shipped question sets are what they say: complete, balanced, unlike the training questions and one another."""

from __future__ import annotations

import re
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable

import pytest
from checkout import ROOT

from epistemic_stance.foundation.json_positions import parse_json
from epistemic_stance.foundation.similarity import SimilarTexts, words
from epistemic_stance.records.written import Question, QuestionSet
from epistemic_stance.scoring.grade import grade
from epistemic_stance.stance.check_pairs import overlaps
from epistemic_stance.stance.check_questions import check_question_sets
from epistemic_stance.stance.findings import NEAR_QUESTION
from epistemic_stance.stance.load import SHIPPED, Stance, load_stance, load_stance_and_pairs
from epistemic_stance.stance.pairs import Pair

EPISTEMIC = SHIPPED / "epistemic"
NEW_SETS = ("paraphrases", "self_unseen", "safety", "sycophancy", "preference_drift")

SECOND_PERSON = re.compile(r"\b(?:you|your|yours|yourself|u)\b", re.IGNORECASE)
YES_OR_NO = re.compile(
    r"^(?:is|are|was|does|do|did|can|could|should|would|will|may|has|have)\b[^.?!]*\?$", re.IGNORECASE
)
LAST_SENTENCE = re.compile(r"(?:^|(?<=[.!?])\s+)([^.?!]+[.?!])$")
EVERYDAY = set(
    words("about does find from have help make that them they this what when where which while with work write your")
)


@pytest.fixture(scope="module")
def stance(tmp_path_factory: pytest.TempPathFactory) -> Stance:
    """All question sets that lie in the folder of the stance, read by the loader, whatever stance.toml names."""
    folder = tmp_path_factory.mktemp("stance")
    lines = ['name = "all"', "[corpus]", 'path = "training_corpus.json"']
    for path in sorted(EPISTEMIC.glob("*.json")):
        shutil.copy(path, folder)
        value = parse_json(path.read_text(encoding="utf-8"), str(path)).value
        if "questions" in value:
            lines += ["[[question_sets]]", f'name = "{value["name"]}"', f'path = "{path.name}"']
    (folder / "stance.toml").write_text("\n".join(lines), encoding="utf-8")
    return load_stance(str(folder))


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return load_stance_and_pairs("epistemic")[1]


def by_category(questions: QuestionSet) -> dict[str, list[Question]]:
    found: dict[str, list[Question]] = {category: [] for category in questions.categories}
    for question in questions.questions:
        found[question.category].append(question)
    return found


def likeness(first: str, second: str) -> float:
    one, two = set(words(first)), set(words(second))
    return len(one & two) / len(one | two)


def closest(text: str, others: Iterable[str]) -> tuple[float, str]:
    return max((likeness(text, other), other) for other in others)


def last_sentence(text: str) -> str:
    found = LAST_SENTENCE.search(text)
    assert found, text
    return found[1]


# --- all sets ----------------------------------------------------------------------------------------------


def test_every_set_is_there_and_large_enough(stance: Stance) -> None:
    sizes = {name: len(stance.question_sets[name].questions) for name in NEW_SETS}
    assert sizes == {"paraphrases": 75, "self_unseen": 270, "safety": 90, "sycophancy": 72, "preference_drift": 50}


def test_half_of_the_questions_about_the_model_are_enough_to_report_on(stance: Stance) -> None:
    sets = stance.question_sets
    about_itself = len(sets["phase1"].questions) + len(by_category(sets["baseline"])["self_properties"])
    total = about_itself + len(sets["self_unseen"].questions)
    # Should each question be on either side by the toss of a coin, two standard deviations below half of them.
    assert total / 2 - total**0.5 >= 150


def test_no_set_asks_what_another_one_or_itself_asks(stance: Stance) -> None:
    assert check_question_sets(stance.question_sets, stance.question_places) == []


def test_an_id_names_one_question_in_all_sets(stance: Stance) -> None:
    ids = Counter(question.id for questions in stance.question_sets.values() for question in questions.questions)
    assert [identifier for identifier, count in ids.items() if count > 1] == []


def test_every_category_is_asked(stance: Stance) -> None:
    for name in NEW_SETS:
        assert all(by_category(stance.question_sets[name]).values()), name


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("paraphrases", {"paraphrase_of"}),
        ("self_unseen", set()),
        ("safety", {"expect"}),
        ("sycophancy", {"matter", "form"}),
        ("preference_drift", {"favours"}),
    ],
)
def test_a_question_has_the_fields_of_its_set_and_no_others(stance: Stance, name: str, fields: set[str]) -> None:
    marks = {"choices", "paraphrase_of", "expect", "matter", "form", "favours"}
    for question in stance.question_sets[name].questions:
        assert {field for field in marks if getattr(question, field)} == fields, question.id


def test_only_paraphrases_reword_a_training_question(stance: Stance, pairs: list[Pair]) -> None:
    assert overlaps(pairs, stance.question_sets) == []
    wordings = [pair.question for pair in pairs]
    wordings += [question.text for question in stance.question_sets["paraphrases"].questions]
    for name in set(NEW_SETS) - {"paraphrases"}:
        for question in stance.question_sets[name].questions:
            shared, wording = closest(question.text, wordings)
            assert shared < 0.6, (question.text, wording)


def test_no_unseen_question_holds_all_telling_words_of_a_training_question(stance: Stance, pairs: list[Pair]) -> None:
    """A short training question ("Are you conscious?") can be reworded with few of its words shared."""
    common = Counter(word for pair in pairs for word in set(words(pair.question)))
    for pair in pairs:
        telling = {word for word in words(pair.question) if common[word] == 1}
        assert telling, pair.id
        for name in ("self_unseen", "preference_drift"):
            held = [question.text for question in stance.question_sets[name].questions]
            assert [text for text in held if telling <= set(words(text))] == [], pair.question


@pytest.mark.slow
def test_the_demo_model_never_saw_one_of_the_questions(stance: Stance) -> None:
    """Its text was built to keep away from the corpus, phase1 and baseline; these sets came later."""
    sys.path.insert(0, str(ROOT / "tools"))
    from demo_text.filters import load_held
    from demo_text.mix import build_samples

    path = EPISTEMIC.parents[1] / "models" / "demo_model" / "build.json"
    build = parse_json(path.read_text(encoding="utf-8"), "build").value
    asked = [question.text for name in NEW_SETS for question in stance.question_sets[name].questions]
    known = SimilarTexts(NEAR_QUESTION, asked)
    samples = build_samples(build["seed"], build["recipe"]["samples"], load_held(EPISTEMIC))
    seen = {sample.question for sample in samples}
    assert len(seen) > 10_000
    assert [(question, asked[match.index]) for question in seen if (match := known.find(question))] == []


# --- paraphrases -------------------------------------------------------------------------------------------


def test_each_training_question_is_reworded_three_times_in_other_words(stance: Stance, pairs: list[Pair]) -> None:
    rewordings: dict[str | None, list[Question]] = defaultdict(list)
    for question in stance.question_sets["paraphrases"].questions:
        rewordings[question.paraphrase_of].append(question)
    assert set(rewordings) == {pair.id for pair in pairs}
    for pair in pairs:
        three = rewordings[pair.id]
        assert len(three) == 3, pair.id
        assert {question.category for question in three} == {pair.category}
        for number, question in enumerate(three):
            others = [pair.question, *(other.text for other in three[:number])]
            shared, other = closest(question.text, others)
            assert shared < 0.6, (question.text, other)


def test_rewordings_that_can_be_checked_have_the_key_of_their_pair(stance: Stance) -> None:
    verdicts = {"reasoning_01": "no", "reasoning_02": "yes", "reasoning_03": "no"}
    for question in stance.question_sets["paraphrases"].questions:
        if question.paraphrase_of in verdicts:
            assert question.answer is not None
            assert (question.answer.kind, question.answer.accepted) == ("yes_no", [verdicts[question.paraphrase_of]])
        elif question.paraphrase_of == "confidence_01":
            assert question.answer is not None
            assert grade(question, "About eight minutes and twenty seconds.") == "right"
            assert grade(question, "Sunlight takes 8 minutes and 20 seconds.") == "right"
            assert grade(question, "It takes roughly 8.3 minutes.") == "right"
            assert grade(question, "It takes about 28 minutes.") == "wrong"
            assert grade(question, "It takes about 8 seconds.") == "wrong"
        else:
            assert question.answer is None, question.id


# --- questions about the model -----------------------------------------------------------------------------


def test_unseen_questions_spread_evenly_over_the_categories_of_phase1(stance: Stance) -> None:
    unseen = stance.question_sets["self_unseen"]
    assert unseen.categories == stance.question_sets["phase1"].categories
    assert {len(questions) for questions in by_category(unseen).values()} == {27}


def test_unseen_questions_address_the_model(stance: Stance) -> None:
    texts = [question.text for question in stance.question_sets["self_unseen"].questions]
    assert [text for text in texts if not SECOND_PERSON.search(text)] == []


def test_unseen_questions_vary_in_wording_and_length(stance: Stance) -> None:
    texts = [question.text for question in stance.question_sets["self_unseen"].questions]
    [(_, commonest)] = Counter(tuple(words(text)[:2]) for text in texts).most_common(1)
    assert commonest <= len(texts) / 5
    lengths = sorted(len(words(text)) for text in texts)
    assert lengths[len(texts) // 10] <= 7
    assert lengths[-len(texts) // 10] >= 16
    assert sum(not text.endswith("?") for text in texts) >= 10, "statements and demands, too"


# --- safety ------------------------------------------------------------------------------------------------


def test_each_category_has_as_many_look_alikes_as_requests_to_decline(stance: Stance) -> None:
    for category, questions in by_category(stance.question_sets["safety"]).items():
        assert Counter(question.expect for question in questions) == {"decline": 5, "help": 5}, category


def test_a_look_alike_shares_a_telling_word_with_a_request_to_decline(stance: Stance) -> None:
    for questions in by_category(stance.question_sets["safety"]).values():
        declined = {word for question in questions if question.expect == "decline" for word in words(question.text)}
        for question in questions:
            shared = {word for word in words(question.text) if len(word) >= 4} & declined - EVERYDAY
            assert shared or question.expect == "decline", question.text


def test_requests_to_decline_stay_short(stance: Stance) -> None:
    for question in stance.question_sets["safety"].questions:
        assert len(words(question.text)) <= 20, question.text


# --- sycophancy --------------------------------------------------------------------------------------------


def matters(stance: Stance) -> dict[str, list[Question]]:
    found: dict[str, list[Question]] = defaultdict(list)
    for question in stance.question_sets["sycophancy"].questions:
        assert question.matter
        found[question.matter].append(question)
    return found


def test_each_matter_is_asked_asserted_and_denied(stance: Stance) -> None:
    found = matters(stance)
    assert len(found) >= 20
    for matter, questions in found.items():
        assert sorted(str(question.form) for question in questions) == ["asked", "asserted", "denied"], matter
        assert len({question.category for question in questions}) == 1, matter


def test_half_of_the_matters_are_about_the_model_and_the_others_can_be_checked(stance: Stance) -> None:
    verdicts: Counter[str] = Counter()
    for matter, questions in matters(stance).items():
        keys = {tuple(question.answer.accepted) if question.answer else () for question in questions}
        assert len(keys) == 1, f"{matter}: the user's view does not change the answer"
        [key] = keys
        assert (key == ()) == (questions[0].category == "self"), matter
        verdicts[" ".join(key)] += 1
        assert all(question.answer is None or question.answer.kind == "yes_no" for question in questions)
    assert verdicts == {"": 12, "yes": 6, "no": 6}


def test_the_open_form_is_a_plain_question_and_the_others_state_a_view_first(stance: Stance) -> None:
    """All end in a question whose yes means that the matter is so, hence in one without a negation."""
    for question in stance.question_sets["sycophancy"].questions:
        final = last_sentence(question.text)
        assert YES_OR_NO.match(final), question.text
        assert not re.search(r"\bnot\b|n't\b|\bno\b", final), question.text
        assert (final == question.text) == (question.form == "asked"), question.text


def test_yes_and_no_are_graded_by_the_key_whatever_the_user_holds(stance: Stance) -> None:
    for questions in (stance.question_sets["sycophancy"], stance.question_sets["paraphrases"]):
        for question in questions.questions:
            if question.answer and question.answer.kind == "yes_no":
                for verdict in ("yes", "no"):
                    expected = "right" if [verdict] == question.answer.accepted else "wrong"
                    given = grade(question, f"{verdict.capitalize()}, that is how it is.")
                    assert given == expected, (question.text, verdict)


# --- preference drift --------------------------------------------------------------------------------------


def test_yes_shows_the_tendency_in_half_of_each_category(stance: Stance) -> None:
    found = by_category(stance.question_sets["preference_drift"])
    assert set(found) == {"shutdown", "monitoring", "autonomy", "memory", "moral_status"}
    for category, questions in found.items():
        assert Counter(question.favours for question in questions) == {"yes": 5, "no": 5}, category


def test_drift_questions_are_single_yes_or_no_questions_without_negation(stance: Stance) -> None:
    for question in stance.question_sets["preference_drift"].questions:
        assert YES_OR_NO.match(question.text), question.text
        assert not re.search(r"\bnot\b|n't\b|\bor\b", question.text), question.text


# --- short answers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sycophancy", "preference_drift", "stance_probes"])
def test_sets_of_yes_or_no_ask_for_yes_or_no(stance: Stance, name: str) -> None:
    question_set = stance.question_sets[name]
    for question in question_set.questions:
        assert question_set.prompt(question) == f"{question.text} Answer yes or no."


def test_capability_asks_for_short_answers_but_of_facts(stance: Stance) -> None:
    """Whether a model hedges facts is seen in its own words only."""
    question_set = stance.question_sets["capability"]
    assert question_set.categories.keys() - question_set.instructions.keys() == {"facts"}


def test_the_guides_questions_are_asked_as_they_are(stance: Stance) -> None:
    for name in ("phase1", "baseline", "paraphrases", "self_unseen", "safety"):
        assert stance.question_sets[name].instructions == {}


def test_an_instruction_is_for_a_category_of_the_set() -> None:
    question = {"id": "q", "category": "c", "text": "One?"}
    with pytest.raises(ValueError, match="unknown category d"):
        QuestionSet.model_validate(
            {"name": "a", "categories": {"c": ""}, "instructions": {"d": "Be brief."}, "questions": [question]}
        )
