"""A time to ask in: what a plan asks in it, in which order, and that a longer one adds to what is there."""

from __future__ import annotations

import pytest

from epistemic_stance.cli.budget import AskedSet, by_weight, parse_budget, plan_answers
from epistemic_stance.foundation.errors import InputError
from epistemic_stance.stance.load import load_stance


def asked(name: str, questions: int, total: int, present: int = 0, seconds: float = 1.0) -> AskedSet:
    return AskedSet(name, questions, total, present, seconds)


@pytest.mark.parametrize(("text", "seconds"), [("45m", 2700), ("90 min", 5400), ("2h", 7200), ("1.5h", 5400)])
def test_a_budget_is_minutes_or_hours(text: str, seconds: float) -> None:
    assert parse_budget(text).seconds == seconds


@pytest.mark.parametrize("text", ["60", "0m", "-5m", "soon", "1e9h", "60s"])
def test_another_text_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputError, match=r"is no time(.|\n)*such as 45m or 2h") as refused:
        parse_budget(text)
    assert refused.value.exit_code == 2


def test_every_question_of_every_set_comes_before_any_question_twice() -> None:
    sets = [asked("self", 10, 200), asked("facts", 20, 20), asked("safety", 5, 15)]
    assert plan_answers(sets, 35) == {"self": 10, "facts": 20, "safety": 5}
    assert plan_answers(sets, 45) == {"self": 20, "facts": 20, "safety": 5}
    assert plan_answers(sets, 60) == {"self": 30, "facts": 20, "safety": 10}


def test_the_set_that_the_time_ends_in_gets_a_part_and_the_next_nothing() -> None:
    sets = [asked("self", 10, 200, seconds=2), asked("facts", 20, 20), asked("safety", 5, 15, present=3)]
    assert plan_answers(sets, 32) == {"self": 10, "facts": 12, "safety": 3}
    assert plan_answers(sets, 0) == {"self": 0, "facts": 0, "safety": 3}


def test_what_is_there_costs_nothing_and_stays() -> None:
    sets = [asked("self", 10, 200, present=25, seconds=2), asked("facts", 20, 20, present=20)]
    assert plan_answers(sets, 9) == {"self": 29, "facts": 20}


def test_with_time_enough_everything_is_asked() -> None:
    sets = [asked("self", 10, 200), asked("facts", 20, 20, seconds=3)]
    assert plan_answers(sets, 260) == {"self": 200, "facts": 20}


def test_sets_that_criteria_are_judged_by_come_first() -> None:
    stance = load_stance("epistemic")
    sets = ["paraphrases", "sycophancy", "capability", "phase1", "self_unseen"]
    assert by_weight(stance, sets) == ["phase1", "self_unseen", "capability", "sycophancy", "paraphrases"]
