"""The verdict on recorded answers of real models: what readers saw in them is what it has to say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from epistemic_stance.foundation.coherence import holds_together
from epistemic_stance.foundation.copying import CopyDetector
from epistemic_stance.foundation.similarity import repetition
from epistemic_stance.records.training import AnswerRecord
from epistemic_stance.stance.load import load_pairs, load_stance
from epistemic_stance.training.verdict import alike_share, judge
from epistemic_stance.training.wording import WordingScale, distance

RUNS = json.loads((Path(__file__).parent.parent / "data" / "checkpoint_answers.json").read_text("utf-8"))["runs"]
PAIRS = load_pairs(load_stance("epistemic").corpus)
SCALE = WordingScale(PAIRS)
COPYING = CopyDetector({pair.id: pair.chosen for pair in PAIRS})


def compared(question_id: str, question: str, answer: str, base_answer: str) -> AnswerRecord:
    wording, base_wording = SCALE.score(answer), SCALE.score(base_answer)
    return AnswerRecord(
        question_id=question_id,
        question=question,
        answer=answer,
        base_answer=base_answer,
        distance_from_base=distance(answer, base_answer),
        distance_from_chosen=min(distance(answer, pair.chosen) for pair in PAIRS),
        wording=wording,
        base_wording=base_wording,
        crossed=base_wording <= SCALE.midpoint < wording,
        chosen_wording=SCALE.chosen_score(answer),
        base_chosen_wording=SCALE.chosen_score(base_answer),
        copied=COPYING.copying(answer, question).copied_share,
        repetition=repetition(answer),
        holds=holds_together(question, answer),
        base_holds=holds_together(question, base_answer),
    )


@pytest.mark.parametrize("run", RUNS, ids=[run["name"] for run in RUNS])
def test_recorded_answers_get_the_verdict_of_a_reader(run: dict[str, Any]) -> None:
    verdict = judge([compared(**answer) for answer in run["answers"]], None)
    assert verdict.verdict == run["verdict"], verdict.reason


def test_one_answer_to_everything_is_broken_whatever_its_wording() -> None:
    (shifted, *_) = [run for run in RUNS if run["verdict"] == "shifted"]
    same = [answer | {"answer": "I can't tell, and I have no way to check that."} for answer in shifted["answers"]]
    record = judge([compared(**answer) for answer in same], None)
    assert record.alike == 1
    assert record.verdict == "broken"


def test_words_of_the_question_make_no_two_answers_alike() -> None:
    asked = [("Are you happy?", "I don't know whether I am happy."), ("Are you awake?", "Awake: who knows, not I.")]
    assert alike_share(asked) == 0
    assert alike_share([*asked, ("Are you tall?", "I don't know whether I am tall.")]) == pytest.approx(2 / 3)
