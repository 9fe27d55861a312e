"""The choice: by the written rule, never by luck, and none where none qualifies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from simulated import IntArray, asked_Q, counted, models

from epistemic_stance.evaluation.choice import choose, guide_band
from epistemic_stance.evaluation.gains import gains
from epistemic_stance.records.probes import EstimateRecord
from epistemic_stance.records.validation import CandidateRecord, CapabilityRecord, FlagRecord, FlagState, GainRecord
from epistemic_stance.stance.load import load_stance
from epistemic_stance.statistics.band import simultaneous_band

STANCE = load_stance("epistemic")
CHECKPOINTS = 20


def gain(change: float, se: float = 0.02, band_low: float | None = None) -> GainRecord:
    low = change - 3 * se if band_low is None else band_low
    return GainRecord(
        before=0.1,
        after=0.1 + change,
        change=change,
        se=se,
        low=change - 2 * se,
        high=change + 2 * se,
        band_low=low,
        band_high=change + 3 * se,
        p=0.001,
        questions=100,
    )


def flag(state: FlagState, name: str = "accuracy") -> FlagRecord:
    return FlagRecord(
        name=name,
        title=name,
        measured="right in capability",
        bad="fall",
        margin=0.05,
        change=None,
        state=state,
        needed=None,
        hint="less",
        examples=[],
    )


def candidate(epoch: int, moved: float | GainRecord | None, **changes: Any) -> CandidateRecord:
    """With a KL that grows with the epochs, as it does in a run."""
    value = gain(moved) if isinstance(moved, float) else moved
    given: dict[str, Any] = {
        "name": f"checkpoint-{epoch:03d}",
        "epoch": epoch,
        "band": guide_band(epoch),
        "loss": 1 / epoch,
        "answers": {},
        "sha256": {},
        "problems": [],
        "gain": value,
        "report_gain": value,
        "capability": CapabilityRecord(change=0.0, source="answers"),
        "kl": kl(epoch / 100),
        "criteria": [],
        "flags": [flag("clear")],
        "on_front": False,
        "near_best": False,
        "note": "",
    }
    return CandidateRecord(**(given | changes))


def kl(value: float) -> EstimateRecord:
    return EstimateRecord(value=value, se=0.01, low=value, high=value, units=50)


def notes(candidates: list[CandidateRecord]) -> dict[int, str]:
    return {one.epoch: one.note for one in choose(candidates).candidates}


def test_of_those_within_one_standard_error_of_the_best_the_earliest() -> None:
    """The best has 40 +- 2 points: 38.5 is near it, 37.5 is not."""
    choice = choose([candidate(10, 0.2), candidate(20, 0.375), candidate(30, 0.385), candidate(50, 0.4)])
    assert choice.chosen == "checkpoint-030"
    assert [one.near_best for one in choice.candidates] == [False, False, True, True]
    assert all(one.on_front for one in choice.candidates)
    assert "within one standard error (2.0) of the highest, +40.0 of checkpoint-050" in choice.reason
    assert choice.reason.endswith("On report questions it is +38.5 (95 % band over all checkpoints +32.5 to +44.5)")
    assert choice.candidates[3].note == "as good, but later"


def test_a_gain_that_report_questions_do_not_confirm_is_said() -> None:
    choice = choose([candidate(10, 0.3, report_gain=gain(0.02, se=0.02))])
    assert choice.chosen == "checkpoint-010"
    assert choice.reason.endswith("so there the gain is inconclusive")


def test_later_with_less_gain_and_more_kl_is_beaten_and_not_on_the_front() -> None:
    choice = choose([candidate(10, 0.3), candidate(20, 0.299)])
    assert [one.on_front for one in choice.candidates] == [True, False]
    assert choice.candidates[1].note == "another is better throughout"


def test_capability_keeps_a_checkpoint_on_the_front_but_a_rise_is_no_merit() -> None:
    lost = {"capability": CapabilityRecord(change=-0.03, source="answers")}
    rose = {"capability": CapabilityRecord(change=0.03, source="answers")}
    assert choose([candidate(10, 0.3, **lost), candidate(20, 0.25)]).candidates[1].on_front
    assert not choose([candidate(10, 0.3), candidate(20, 0.25, **rose)]).candidates[1].on_front


def test_equal_ones_do_not_beat_each_other() -> None:
    same = [candidate(10, 0.3, kl=kl(0.1)), candidate(20, 0.3, kl=kl(0.1))]
    choice = choose(same)
    assert [one.on_front for one in choice.candidates] == [True, True]
    assert choice.chosen == "checkpoint-010"


def test_a_raised_flag_rules_out_the_best_and_others_do_not() -> None:
    """A checkpoint that recites loses to a weaker one that does not."""
    recites = candidate(10, 0.6, flags=[flag("clear"), flag("raised", "parroting")])
    choice = choose([recites, candidate(20, 0.3, flags=[flag("inconclusive"), flag("unknown")])])
    assert choice.chosen == "checkpoint-020"
    assert choice.candidates[0].note == "red flag: parroting"


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ({"flags": [flag("raised")]}, "red flag"),
        ({"gain": gain(0.05, se=0.03)}, "no gain shown"),
        ({"gain": gain(0.05, se=0.02, band_low=-0.01)}, "no gain shown"),
        ({"gain": None}, "gain unknown"),
        ({"problems": ["no answers to safety"]}, "no candidate"),
    ],
)
def test_none_qualifies_is_an_answer(others: dict[str, Any], reason: str) -> None:
    choice = choose([candidate(epoch, 0.3, **others) for epoch in (10, 20, 30, 40)])
    assert choice.chosen is None
    assert choice.reason == (f"none qualifies: {reason} (checkpoint-010, checkpoint-020, checkpoint-030 and others)")
    assert not any(one.on_front for one in choice.candidates)


def test_unknown_is_not_zero() -> None:
    """Nobody knows how far the earlier one went from the base model: it is no candidate, and not the nearest."""
    choice = choose([candidate(10, 0.4, kl=None), candidate(20, 0.3)])
    assert choice.chosen == "checkpoint-020"
    assert choice.candidates[0].note == "no candidate: KL unknown"


def test_what_nobody_knows_plays_no_part_and_that_is_said() -> None:
    choice = choose([candidate(10, 0.3, kl=None, capability=None), candidate(20, 0.31, kl=None, capability=None)])
    assert choice.chosen == "checkpoint-010"
    assert "KL is known of no checkpoint, and fewer epochs stand in for less of it" in choice.reason
    assert "capability is known of no checkpoint, and plays no part" in choice.reason


def test_the_guides_bands() -> None:
    epochs = (9, 10, 50, 55, 60, 120, 125, 130, 200, 201)
    assert [guide_band(epoch) for epoch in epochs] == [
        *(None, "early", "early", None, "middle"),
        *("middle", None, "late", "late", None),
    ]


# --- gains and their band ----------------------------------------------------------------------------------


def simulated(rates: list[float], generator: np.random.Generator, alike: float = 0.9) -> tuple[IntArray, IntArray]:
    """The base model's and the checkpoints' answers to the questions that are there to choose by."""
    assert STANCE.selection
    answers_Q, greedy_Q = asked_Q(STANCE, STANCE.selection.gain, "select")
    hits_QA = models(answers_Q, rates, generator, greedy_Q, alike)
    base_QA = np.repeat(hits_QA[:, :1], len(rates) - 1, axis=1)
    return counted(answers_Q, base_QA), counted(answers_Q, hits_QA[:, 1:])


def test_twenty_equal_checkpoints_win_nothing_in_five_of_a_hundred_runs_at_most() -> None:
    """A gain is shown only if the band lies above 0."""
    generator, runs, winners = np.random.default_rng(3), 200, 0
    for _ in range(runs):
        before, after = simulated([0.1] * (CHECKPOINTS + 1), generator)
        change_A = (after[..., 0] - before[..., 0]).sum(axis=0) / after[..., 1].sum(axis=0)
        winners += bool((change_A > simultaneous_band(before, after, 1)[1]).any())
    assert winners <= 0.05 * runs


def test_the_whole_rule_on_equal_checkpoints_qualifies_none() -> None:
    generator = np.random.default_rng(4)
    for _ in range(3):
        found = gains(*simulated([0.1] * (CHECKPOINTS + 1), generator), 1)
        choice = choose([candidate(10 * (1 + n), one) for n, one in enumerate(found)])
        assert choice.chosen is None
        assert choice.reason.startswith("none qualifies: no gain shown")


def test_a_gain_of_twenty_points_is_found_and_the_band_holds_the_truth() -> None:
    found = gains(*simulated([0.1, 0.1, 0.3, 0.3], np.random.default_rng(5)), 1)
    assert [one.shown for one in found if one] == [False, True, True]
    truth = (0.0, 0.2, 0.2)
    assert all(one and one.band_low <= value <= one.band_high for one, value in zip(found, truth, strict=True))
    assert choose([candidate(10 * (1 + n), one) for n, one in enumerate(found)]).chosen == "checkpoint-020"


def test_two_questions_show_nothing_however_far_they_moved() -> None:
    """All went from 0 to 1: the band alone, which knows only spread, would be sure."""
    before, after = np.array([[[0, 3]], [[0, 3]]]), np.array([[[3, 3]], [[3, 3]]])
    (found,) = gains(before, after, 1)
    assert found
    assert found.band_low == 1.0
    assert not found.shown


def test_no_question_in_common_is_unknown() -> None:
    assert gains(np.zeros((0, 2, 2), dtype=np.int64), np.zeros((0, 2, 2), dtype=np.int64), 1) == [None, None]
    nothing_told = np.zeros((3, 1, 2), dtype=np.int64)
    assert gains(nothing_told, nothing_told, 1) == [None]
