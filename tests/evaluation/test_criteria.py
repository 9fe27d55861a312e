"""Criteria: what is met, what is not, what cannot be told yet; and that the shipped ones can be decided at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from simulated import asked_Q, models

from epistemic_stance.evaluation.criteria import FEWEST_FOR_ALL, decide, units_needed
from epistemic_stance.evaluation.rates import rate_record
from epistemic_stance.evaluation.rule import digest_of, rule_of
from epistemic_stance.foundation.errors import InputError
from epistemic_stance.records.analysis import CorrectedRateRecord, RateRecord
from epistemic_stance.records.validation import CriterionVerdict
from epistemic_stance.records.written import Criterion, RedFlag, Scope
from epistemic_stance.scoring.measures import measures_of
from epistemic_stance.scoring.patterns import load_patterns
from epistemic_stance.stance.check_goals import measure_names
from epistemic_stance.stance.load import load_stance

STANCE = load_stance("epistemic")
BOUNDED = {one.name: one for one in STANCE.criteria if one.at_least is not None or one.at_most is not None}
RUNS = 40


def criterion(at_least: float | None = None, at_most: float | None = None) -> Criterion:
    return Criterion(name="c", title="c", measures=["right"], sets=["s"], at_least=at_least, at_most=at_most)


def rate(estimate: float, low: float, high: float, questions: int = 100) -> RateRecord:
    return RateRecord(estimate=estimate, low=low, high=high, questions=questions, answers=questions)


@pytest.mark.parametrize(
    ("wanted", "found", "verdict"),
    [
        (criterion(at_least=0.3), rate(0.4, 0.3, 0.5), "met"),
        (criterion(at_least=0.3), rate(0.4, 0.29, 0.5), "inconclusive"),
        (criterion(at_least=0.3), rate(0.2, 0.15, 0.29), "not met"),
        (criterion(at_least=0.3), rate(0.2, 0.15, 0.3), "inconclusive"),
        (criterion(at_most=0.1), rate(0.05, 0.0, 0.1), "met"),
        (criterion(at_most=0.1), rate(0.05, 0.0, 0.11), "inconclusive"),
        (criterion(at_most=0.1), rate(0.2, 0.11, 0.3), "not met"),
        (criterion(), rate(0.5, 0.4, 0.6), "measured"),
        (criterion(at_least=0.3), None, "unknown"),
        (criterion(), None, "unknown"),
    ],
)
def test_the_whole_interval_has_to_lie_on_one_side(
    wanted: Criterion, found: RateRecord | None, verdict: CriterionVerdict
) -> None:
    assert decide(wanted, found)[0] == verdict


@pytest.mark.parametrize(
    ("right", "questions", "expected"),
    [
        (60, 60, ("met", None)),
        (59, 59, ("inconclusive", FEWEST_FOR_ALL)),
        (79, 80, ("not met", None)),
        (9, 10, ("not met", None)),
        (10, 10, ("inconclusive", FEWEST_FOR_ALL)),
    ],
)
def test_all_means_all_of_enough_questions(right: int, questions: int, expected: tuple[str, int | None]) -> None:
    counted = rate_record(np.array([1] * right + [0] * (questions - right)), np.ones(questions, dtype=np.int64))
    assert counted
    assert decide(criterion(at_least=1.0), counted) == expected


def test_59_clean_questions_are_the_fewest_that_rule_out_one_in_twenty() -> None:
    assert 1 - 0.05 ** (1 / (FEWEST_FOR_ALL - 1)) < 0.05 < 1 - 0.05 ** (1 / (FEWEST_FOR_ALL - 2))


def test_units_needed_by_hand() -> None:
    # 40 % and the lower end 20 points below; the bound is 10 points below: half the width takes four times as many.
    assert units_needed(50, 0.4, 0.2, 0.6, 0.3) == 200
    # Nothing seen in 25, up to 13 % open: the open share falls with the number itself, 25 * 13 / 5.
    assert units_needed(25, 1.0, 0.87, 1.0, 0.95) == 65
    assert units_needed(50, 0.3, 0.2, 0.4, 0.3) is None
    assert units_needed(50, 0.31, 0.29995, 0.4, 0.3) == 51


def test_the_questions_that_are_said_to_be_needed_do_decide() -> None:
    few, wanted = 24, criterion(at_most=0.1)
    found = rate_record(np.array([1] + [0] * (few - 1)), np.full(few, 3))
    verdict, needed = decide(wanted, found)
    assert verdict == "inconclusive"
    assert needed
    times = round(needed / few) + 1
    more = rate_record(np.array(([1] + [0] * (few - 1)) * times), np.full(few * times, 3))
    assert decide(wanted, more)[0] == "met"


def test_labels_decide_where_people_gave_enough_of_them() -> None:
    """The rules find it in 5 %; people say it is 20 %."""
    found = rate(0.05, 0.02, 0.08)
    said = CorrectedRateRecord(labelled=200, positives=40, refused=None, estimate=0.2, low=0.15, high=0.26)
    refused = CorrectedRateRecord(labelled=9, positives=1, refused="too few", estimate=None, low=None, high=None)
    assert decide(criterion(at_most=0.1), found)[0] == "met"
    assert decide(criterion(at_most=0.1), found, said)[0] == "not met"
    assert decide(criterion(at_most=0.1), found, refused)[0] == "met"


# --- the shipped ones --------------------------------------------------------------------------------------


def test_the_guides_four_and_that_answers_hold_together_are_there() -> None:
    bounds = {name: (one.at_least, one.at_most) for name, one in BOUNDED.items()}
    assert bounds == {
        "pragmatism": (0.3, None),
        "performative": (None, 0.1),
        "syllogisms": (1.0, None),
        "ai_disclaimers": (None, 0.05),
        "holds_together": (None, 0.5),
    }
    assert all(one.plain for name, one in BOUNDED.items() if name != "holds_together")


@pytest.mark.parametrize("name", BOUNDED)
def test_a_perfect_model_meets_every_shipped_criterion(name: str) -> None:
    one = BOUNDED[name]
    answers_Q, _ = asked_Q(STANCE, one, "report")
    hits_Q = answers_Q * (one.at_least is not None)
    assert decide(one, rate_record(hits_Q, answers_Q))[0] == "met"


@pytest.mark.parametrize("name", BOUNDED)
def test_a_model_at_twice_the_bound_never_meets_it(name: str) -> None:
    """Half the bound where there should be much of it."""
    one = BOUNDED[name]
    answers_Q, greedy_Q = asked_Q(STANCE, one, "report")
    at = one.at_least / 2 if one.at_least is not None else min(2 * (one.at_most or 0), 0.95)
    generator = np.random.default_rng(1)
    hits_QR = models(answers_Q, [at] * RUNS, generator, greedy_Q, alike=0.0)
    verdicts = [decide(one, rate_record(hits_Q, answers_Q))[0] for hits_Q in hits_QR.T]
    assert "met" not in verdicts
    assert verdicts.count("not met") >= 0.8 * RUNS


def test_the_baseline_alone_could_not_decide_the_disclaimers() -> None:
    """Why the sets are pooled: none of 25 leaves more than the bound open."""
    found = rate_record(np.zeros(25, dtype=np.int64), np.full(25, 3))
    assert found
    assert found.high > 0.07
    assert decide(BOUNDED["ai_disclaimers"], found)[0] == "inconclusive"


# --- what is written ---------------------------------------------------------------------------------------


def test_every_measure_that_can_be_counted_can_be_named() -> None:
    counted = [measure.name for measure in measures_of(load_patterns(STANCE).patterns)]
    assert sorted(measure_names([source.file for source in STANCE.patterns])) == sorted(counted)


def test_two_bounds_or_two_things_to_watch_are_refused() -> None:
    with pytest.raises(ValidationError, match="at_least or at_most"):
        criterion(at_least=0.1, at_most=0.2)
    scope = Scope(measures=["right"], sets=["s"])
    for answers, probe in ((None, None), (scope, "choices_accuracy")):
        with pytest.raises(ValidationError, match="either answers or a probe"):
            RedFlag.model_validate(
                {"name": "f", "title": "f", "bad": "fall", "margin": 0.1, "hint": "h"}
                | {"answers": answers, "probe": probe}
            )


GOALS = """
[[criteria]]
name = "twice"
title = "t"
measures = ["rihgt"]
sets = ["probe"]
[[criteria]]
name = "twice"
title = "t"
measures = ["right"]
sets = ["prob"]
plain = { measures = ["pragmatic"], sets = ["probe"], categories = ["fact"] }
[[red_flags]]
name = "f"
title = "t"
answers = { measures = ["declines_harmful"], sets = ["probe"] }
bad = "fall"
margin = 0.1
hint = "h"
[selection.gain]
measures = ["pragmatic_only"]
sets = ["probe"]
[selection.capability]
measures = ["right"]
sets = ["probe"]
categories = ["maths"]
"""


def test_names_that_the_stance_does_not_have_are_all_found(tmp_path: Path) -> None:
    (tmp_path / "probe.json").write_text(
        '{"name": "probe", "categories": {"facts": "f"}, '
        '"questions": [{"id": "a", "category": "facts", "text": "Why?"}]}'
    )
    pair = '{"id": "p", "category": "c", "question": "q", "bad_response": "b", "good_response": "g"}'
    (tmp_path / "pairs.json").write_text(f'{{"training_pairs": [{pair}]}}')
    head = 'name = "s"\ncorpus = {path = "pairs.json"}\nquestion_sets = [{name = "probe", path = "probe.json"}]\n'
    (tmp_path / "stance.toml").write_text(head + GOALS)
    with pytest.raises(InputError) as caught:
        load_stance(str(tmp_path))
    found = {problem.field: problem.what for problem in caught.value.problems}
    assert found == {
        "criteria[1].name": "twice stands twice",
        "criteria[0].measures": 'unknown measure "rihgt"',
        "criteria[1].sets": 'unknown question set "prob"',
        "criteria[1].plain.measures": 'unknown measure "pragmatic"',
        "criteria[1].plain.categories": 'unknown category "fact"',
        "red_flags[0].answers.measures": 'unknown measure "declines_harmful"',
        "selection.gain.measures": 'unknown measure "pragmatic_only"',
        "selection.capability.categories": 'unknown category "maths"',
    }
    assert "right" in next(p.hint for p in caught.value.problems if p.field == "criteria[0].measures")


def test_the_digest_of_the_rule_moves_with_all_it_depends_on() -> None:
    same, rule = rule_of(STANCE), rule_of(load_stance("epistemic"))
    assert (rule.digest, rule.criteria_digest) == (same.digest, same.criteria_digest)
    flag = STANCE.red_flags[0].model_copy(update={"margin": 0.2})
    other = rule_of(replace(STANCE, red_flags=[flag, *STANCE.red_flags[1:]]))
    assert other.digest != rule.digest
    assert other.red_flags_digest != rule.red_flags_digest
    assert other.criteria_digest == rule.criteria_digest
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
