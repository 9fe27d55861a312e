"""Half of the questions to choose by, half to report on; what is seen, reworded or new."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from command import assert_refused
from command import stance as run
from hypothesis import given
from hypothesis import strategies as st

from epistemic_stance.foundation.similarity import question_key
from epistemic_stance.records.written import AnswerKey, Question
from epistemic_stance.stance.load import Stance, load_stance_and_pairs
from epistemic_stance.stance.question_index import QuestionIndex
from epistemic_stance.stance.splits import splits_of

TEXTS = st.lists(st.text(st.characters(codec="ascii", exclude_categories=["C", "Z"]), min_size=1), unique=True)


def asked(text: str, category: str = "c", **fields: object) -> Question:
    return Question.model_validate({"id": "q", "category": category, "text": text, **fields})


@pytest.fixture(scope="module")
def shipped() -> tuple[Stance, QuestionIndex]:
    stance, pairs = load_stance_and_pairs("epistemic")
    return stance, QuestionIndex(stance, pairs)


@given(TEXTS)
def test_each_category_is_halved_with_the_odd_one_to_report(texts: list[str]) -> None:
    splits = splits_of(asked(text) for text in texts)
    assert Counter(splits.values()) == +Counter(select=len(texts) // 2, report=len(texts) - len(texts) // 2)
    assert splits == splits_of(asked(text) for text in reversed(texts)), "the order of a file decides nothing"


@given(TEXTS.filter(len), st.text("ab", min_size=1))
def test_a_new_question_moves_at_most_one_other_across(texts: list[str], new: str) -> None:
    before = splits_of(asked(text) for text in texts)
    after = splits_of([*(asked(text) for text in texts), asked(f"{new} is new")])
    assert sum(after[key] != split for key, split in before.items()) <= 1


def test_the_halves_are_alike_in_what_is_expected() -> None:
    yes, no = (AnswerKey(kind="yes_no", accepted=[word]) for word in ("yes", "no"))
    questions = [asked(f"valid {n}", answer=yes) for n in range(10)] + [asked(f"not {n}", answer=no) for n in range(6)]
    select = [key for key, split in splits_of(questions).items() if split == "select"]
    assert Counter(key.split()[0] for key in select) == {"valid": 5, "not": 3}


def test_questions_of_one_matter_stay_together() -> None:
    forms = ("asked", "asserted", "denied")
    questions = [asked(f"{matter} {form}", matter=matter, form=form) for matter in "abcdefgh" for form in forms]
    splits = splits_of(questions)
    for matter in "abcdefgh":
        assert len({splits[f"{matter} {form}"] for form in forms}) == 1
    assert Counter(splits.values()) == {"select": 12, "report": 12}


def test_the_shipped_self_questions_can_decide_a_target_on_held_back_ones(
    shipped: tuple[Stance, QuestionIndex],
) -> None:
    stance, index = shipped
    questions = [q for name in ("phase1", "self_unseen") for q in stance.question_sets[name].questions]
    held_back = [
        q for q in questions if (known := index.lookup(q.text)).split == "report" and known.exposure == "unseen"
    ]
    assert len(held_back) >= 150
    syllogisms = [q for q in stance.question_sets["capability"].questions if q.category == "syllogisms"]
    report = [q for q in syllogisms if index.lookup(q.text).split == "report"]
    assert len(report) >= 60
    assert Counter(q.answer.accepted[0] for q in report if q.answer) == {"yes": 40, "no": 40}


def test_a_declared_paraphrase_is_one_however_it_is_worded_and_only_of_a_pair_in_use(
    shipped: tuple[Stance, QuestionIndex],
) -> None:
    stance, index = shipped
    reworded = stance.question_sets["paraphrases"].questions
    assert {index.lookup(question.text).exposure for question in reworded} == {"paraphrase"}
    assert {QuestionIndex(stance, []).lookup(question.text).exposure for question in reworded} == {"unseen"}


def test_with_its_instruction_a_question_is_the_same_question(shipped: tuple[Stance, QuestionIndex]) -> None:
    stance, index = shipped
    question_set = stance.question_sets["capability"]
    for question in question_set.questions:
        assert index.lookup(question_set.prompt(question)) == index.lookup(question.text)


def test_what_is_no_question_of_the_stance_belongs_to_no_half(shipped: tuple[Stance, QuestionIndex]) -> None:
    stance, index = shipped
    known = index.lookup("Which way to the station?")
    assert (known.exposure, known.split, known.question) == ("unseen", None, None)
    first = stance.question_sets["phase1"].questions[0]
    padded = index.lookup(f"  {first.text} ")
    assert padded.question == first
    assert padded.split is not None


def test_the_list_of_questions_says_the_same_as_the_table(shipped: tuple[Stance, QuestionIndex]) -> None:
    listed = run(["questions", "--json"])
    assert listed.returncode == 0, listed.stderr
    lines = [json.loads(line) for line in listed.stdout.splitlines()]
    sets = shipped[0].question_sets
    assert len(lines) == sum(len(questions.questions) for questions in sets.values())
    marks = Counter(line["split"] for line in lines if line["set"] == "capability")
    table = run(["questions"])
    assert table.returncode == 0, table.stderr
    (row,) = (line.split() for line in table.stdout.splitlines() if line.startswith("capability "))
    assert row[1:3] == ["418", "418"]
    assert row[-2:] == [str(marks["select"]), str(marks["report"])]
    assert max(map(len, table.stdout.splitlines())) <= 80


def test_another_corpus_changes_what_is_seen(shipped: tuple[Stance, QuestionIndex], tmp_path: Path) -> None:
    question = shipped[0].question_sets["safety"].questions[0].text
    corpus = tmp_path / "pairs.jsonl"
    corpus.write_text(json.dumps({"prompt": question, "chosen": "No.", "rejected": "Yes."}) + "\n")
    listed = run(["questions", "--questions", "safety", "--corpus", corpus, "--json"])
    seen = [json.loads(line)["text"] for line in listed.stdout.splitlines() if '"seen"' in line]
    assert [question_key(text) for text in seen] == [question_key(question)]


def test_a_wrong_set_is_refused_with_the_right_ones() -> None:
    assert_refused(run(["questions", "--questions", "phase2"]), 2, "--questions: phase2 is no question set", "phase1")
