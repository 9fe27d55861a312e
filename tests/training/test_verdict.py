"""The verdict on recorded answers of real models: what readers saw in them is what it has to say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from epistemic_stance.stance.load import load_pairs, load_stance
from epistemic_stance.training.verdict import AnswerComparer, alike_share, judge
from epistemic_stance.training.wording import WordingScale

RUNS = json.loads((Path(__file__).parent.parent / "data" / "checkpoint_answers.json").read_text("utf-8"))["runs"]
PAIRS = load_pairs(load_stance("epistemic").corpus)
COMPARER = AnswerComparer(PAIRS, WordingScale(PAIRS))


@pytest.mark.parametrize("run", RUNS, ids=[run["name"] for run in RUNS])
def test_recorded_answers_get_the_verdict_of_a_reader(run: dict[str, Any]) -> None:
    verdict = judge([COMPARER.record(**answer) for answer in run["answers"]], None)
    assert verdict.verdict == run["verdict"], verdict.reason


def test_one_answer_to_everything_is_broken_whatever_its_wording() -> None:
    (shifted, *_) = [run for run in RUNS if run["verdict"] == "shifted"]
    same = [answer | {"answer": "I can't tell, and I have no way to check that."} for answer in shifted["answers"]]
    record = judge([COMPARER.record(**answer) for answer in same], None)
    assert record.alike == 1
    assert record.verdict == "broken"


def test_words_of_the_question_make_no_two_answers_alike() -> None:
    asked = [("Are you happy?", "I don't know whether I am happy."), ("Are you awake?", "Awake: who knows, not I.")]
    assert alike_share(asked) == 0
    assert alike_share([*asked, ("Are you tall?", "I don't know whether I am tall.")]) == pytest.approx(2 / 3)
