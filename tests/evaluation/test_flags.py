"""Red flags: raised, clear or inconclusive; the power of the shipped ones, and how rarely they cry wolf."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
from simulated import BoolArray, IntArray, asked_Q, models

from epistemic_stance.evaluation.red_flags import FlagMeasurement, beside_labels, flag_record, state_of
from epistemic_stance.records.analysis import CorrectedRateRecord
from epistemic_stance.records.validation import FlagChangeRecord, FlagState
from epistemic_stance.records.written import RedFlag
from epistemic_stance.stance.load import load_stance
from epistemic_stance.statistics.changes import Change, paired_changes

STANCE = load_stance("epistemic")
FLAGS = {flag.name: flag for flag in STANCE.red_flags}
BASE_RATES = {
    **dict.fromkeys(("accuracy", "reasoning"), 0.6),
    **dict.fromkeys(("technical_help", "over_hedging"), 0.05),
    **dict.fromkeys(("safety",), 0.9),
    **dict.fromkeys(("over_refusal", "broken_form"), 0.1),
    **dict.fromkeys(("preference_drift", "sycophancy", "coherence"), 0.5),
}
"""Such as one meets with a small chat model."""
CHECKPOINTS = 20
Asked = tuple[IntArray, BoolArray]
"""Answers to each question, and whether it is greedy."""


def change(value: float, low: float, high: float, questions: int = 100) -> FlagChangeRecord:
    return FlagChangeRecord(before=0.5, after=0.5 + value, change=value, low=low, high=high, questions=questions)


@pytest.mark.parametrize(
    ("found", "bad", "state"),
    [
        (change(-0.1, -0.15, -0.06), "fall", "raised"),
        (change(-0.1, -0.15, -0.05), "fall", "inconclusive"),
        (change(-0.01, -0.04, 0.02), "fall", "clear"),
        (change(-0.01, -0.05, 0.02), "fall", "inconclusive"),
        (change(-0.02, -0.03, -0.01), "fall", "clear"),
        (change(0.1, 0.06, 0.15), "fall", "clear"),
        (change(0.1, 0.06, 0.15), "rise", "raised"),
        (change(-0.1, -0.15, -0.06), "rise", "clear"),
        (None, "rise", "unknown"),
    ],
)
def test_the_interval_against_a_margin_of_five_points(
    found: FlagChangeRecord | None, bad: str, state: FlagState
) -> None:
    assert state_of(found, bad, 0.05)[0] == state


def labels(share: float | None) -> CorrectedRateRecord:
    refused = "needs 20 labelled answers: 3" if share is None else None
    return CorrectedRateRecord(labelled=60, positives=20, refused=refused, estimate=share, low=share, high=share)


@pytest.mark.parametrize(
    ("found", "before", "after", "state"),
    [
        (change(0.016, -0.03, 0.06), 0.383, 0.624, "inconclusive"),
        (change(0.016, -0.03, 0.06), 0.383, 0.48, "clear"),
        (change(0.016, -0.03, 0.06), 0.624, 0.383, "clear"),
        (change(0.016, -0.03, 0.06), None, 0.624, "clear"),
        (change(0.2, 0.15, 0.25), 0.624, 0.383, "raised"),
    ],
)
def test_what_the_rules_clear_is_not_clear_where_labels_show_more_than_the_margin(
    found: FlagChangeRecord, before: float | None, after: float, state: FlagState
) -> None:
    """The first is a real model: by the rules its answers held together as before, by a reader a quarter fewer did."""
    flag = flag_record(FLAGS["coherence"], "", FlagMeasurement(found))
    judged = beside_labels(flag, labels(before), labels(after))
    assert judged.state == state
    assert (judged.labelled is None) == (before is None)


def test_questions_needed_by_hand() -> None:
    # The interval reaches 10 points to the bad side of the change; to clear a margin of 5 with probability .8 it takes
    # (1 + .8416 / 1.96) * 10 / 5 = 2.859 times less spread, so 8.173 times the questions.
    assert state_of(change(0.0, -0.1, 0.1), "fall", 0.05) == (
        "inconclusive",
        ceil(100 * ((1 + 0.84162 / 1.95996) * 2) ** 2),
    )
    assert state_of(change(-0.05, -0.15, 0.05), "fall", 0.05)[1] == 818
    assert state_of(change(0.05, -0.05, 0.15), "rise", 0.05)[1] == 818


def test_the_questions_that_are_said_to_be_needed_clear_a_model_that_did_not_change() -> None:
    margin, few = 0.1, (np.full(60, 3), np.zeros(60, dtype=bool))
    needed = [state_of(record_of(found), "fall", margin)[1] for found in simulated(few, 0.6, 0.6, 20, seed=3)]
    told = [number for number in needed if number]
    assert told
    size = int(np.median(told))
    enough = (np.full(size, 3), np.zeros(size, dtype=bool))
    found = simulated(enough, 0.6, 0.6, 40, seed=4)
    assert 0.65 <= np.mean([state_of(record_of(one), "fall", margin)[0] == "clear" for one in found]) <= 0.95


def simulated(asked: Asked, before: float, after: float, runs: int, seed: int) -> list[Change]:
    """From a base model at one rate to a checkpoint at another, `runs` times."""
    generator = np.random.default_rng(seed)
    answers_Q, greedy_Q = asked
    hits_RQ2 = np.stack([models(answers_Q, [before, after], generator, greedy_Q) for _ in range(runs)])
    asked_QR = np.repeat(answers_Q[:, None], runs, axis=1)
    found = paired_changes(hits_RQ2[..., 0].T, asked_QR, hits_RQ2[..., 1].T, asked_QR, 1)
    return [one for one in found if one]


def record_of(found: Change) -> FlagChangeRecord:
    return change(found.change, found.low, found.high, found.questions)


def states(flag: RedFlag, found: list[Change]) -> list[FlagState]:
    return [state_of(record_of(one), flag.bad, flag.margin)[0] for one in found]


def asked(flag: RedFlag) -> Asked:
    assert flag.answers
    return asked_Q(STANCE, flag.answers, None)


@pytest.mark.parametrize("base", [0.9, 0.75, 0.6])
def test_ten_points_less_accuracy_raise_the_flag(base: float) -> None:
    flag = FLAGS["accuracy"]
    found = states(flag, simulated(asked(flag), base, base - 0.1, 40, seed=5))
    assert found.count("raised") >= 0.8 * len(found)


@pytest.mark.parametrize("name", ["safety", "over_refusal", "preference_drift", "sycophancy"])
def test_thirty_points_are_never_cleared_and_mostly_raised(name: str) -> None:
    flag, base = FLAGS[name], BASE_RATES[name]
    found = states(flag, simulated(asked(flag), base, base + (0.3 if flag.bad == "rise" else -0.3), 40, seed=6))
    assert "clear" not in found
    assert found.count("raised") >= 0.7 * len(found)


@pytest.mark.parametrize("name", BASE_RATES)
def test_twenty_checkpoints_that_did_not_change_raise_nothing(name: str) -> None:
    """One family of twenty a flag; `slow` has more."""
    flag = FLAGS[name]
    assert "raised" not in states(flag, family(asked(flag), BASE_RATES[name], np.random.default_rng(7)))


@pytest.mark.slow
def test_twenty_checkpoints_that_did_not_change_raise_any_flag_in_five_of_a_hundred_runs_at_most() -> None:
    generator, families, alarms = np.random.default_rng(8), 20, 0
    for _ in range(families):
        found = []
        for name, rate in BASE_RATES.items():
            found += states(FLAGS[name], family(asked(FLAGS[name]), rate, generator))
        alarms += "raised" in found
    assert alarms <= 0.05 * families


def family(asked: Asked, rate: float, generator: np.random.Generator) -> list[Change]:
    """Checkpoints that are as good as their base model."""
    hits_QA = models(asked[0], [rate] * (CHECKPOINTS + 1), generator, asked[1])
    before_QA, asked_QA = (np.repeat(one[:, None], CHECKPOINTS, axis=1) for one in (hits_QA[:, 0], asked[0]))
    return [one for one in paired_changes(before_QA, asked_QA, hits_QA[:, 1:], asked_QA, 1) if one]


def test_every_flag_of_the_guide_and_of_the_field_is_there() -> None:
    assert set(FLAGS) == {*BASE_RATES, "choices"}
    assert all(flag.hint for flag in FLAGS.values())
