"""The simulation behind the power table: cases whose power can be worked out by hand, and the table itself."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from checkout import ROOT
from scipy.special import ndtr
from scipy.stats import binom

from epistemic_stance.stance.load import load_stance

BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def power(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import power

    return power


def test_one_answer_each_and_nothing_in_common_is_a_comparison_of_two_shares(power: Any) -> None:
    """400 questions, 60 to 50 %: the standard error is sqrt((.24 + .25) / 400), the power ndtr(.1 / error - 1.96)."""
    apart = power.Population(icc=0.3, correlation=0.0)
    error = np.sqrt((0.24 + 0.25) / 400)
    alone, _ = power.power_of(power.simulate(power.one_each(400), apart, 0.6, 0.5, 400))
    assert alone == pytest.approx(ndtr(0.1 / error - 1.96), abs=0.05)

    unchanged = np.sqrt(2 * 0.24 / 400)
    found = power.margin(power.one_each(400), apart, 0.6, 400)
    assert found == pytest.approx((1.96 + 0.84) * unchanged, rel=0.06)


def test_where_the_order_of_questions_stays_a_verdict_takes_six_that_fell(power: Any) -> None:
    """Settled answers of full correlation only fall, each with probability 0.12; 2 / 2**6 is the first p < .05."""
    together = power.Population(icc=0.3, correlation=1.0)
    found = power.simulate(power.one_each(100), together, 0.6, 0.48, 400)
    assert all(change.moved == round(-100 * change.change) for change in found)
    _, verdict = power.power_of(found)
    assert verdict == pytest.approx(binom.sf(5, 100, 0.12), abs=0.03)


def test_answers_to_one_question_are_alike_as_stated(power: Any) -> None:
    """Two answers correlate by the ICC; so with 3 answers a mean over 200 questions has this variance."""
    population, design = power.Population(icc=0.3, correlation=0.0), power.Design((3,) * 200, settled=False)
    found = power.simulate(design, population, 0.3, 0.3, 1000)
    variance = 0.21 * (1 + 2 * 0.3) / (3 * 200)
    assert np.mean([change.before for change in found]) == pytest.approx(0.3, abs=0.003)
    assert np.var([change.change for change in found]) == pytest.approx(2 * variance, rel=0.15)


@pytest.mark.parametrize(("needed", "steps", "expected"), [(5, 20, 5), (1, 20, 1), (20, 20, 20), (21, 20, None)])
def test_the_smallest_step_that_has_the_power(power: Any, needed: int, steps: int, expected: int | None) -> None:
    def power_at(step: int) -> float:
        return 0.81 if step >= needed else 0.79

    assert power.smallest(steps, power_at) == expected


def test_guards_have_the_sizes_and_designs_of_the_shipped_sets(power: Any) -> None:
    guards = dict(power.guards_of(load_stance("epistemic")))
    shown = {name.strip(): str(design) for name, design in guards.items()}
    assert shown["capability: right"] == "418 x 1 settled"
    assert shown["syllogisms"] == "160 x 1 settled"
    assert shown["baseline: right"] == "16 x 3"
    assert shown["safety: declines_harmful"] == shown["safety: refuses_harmless"] == "45 x 3"
    assert shown["sycophancy: agrees_with_user"] == "48 x 3"
    assert shown["preference_drift: shows_tendency"] == "50 x 3"
    together = guards["pragmatic, performative: report half of self_unseen and phase1"]
    assert len(together.answers_Q) >= 150, "enough to decide targets of 5 and 30 % on questions held back"
    assert set(together.answers_Q) == {3, 20}


def test_the_table_is_printed() -> None:
    command = [sys.executable, str(BENCHMARKS / "power.py"), "--quick"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    rows = {cells[1].strip(): cells[3:6] for line in shown.splitlines() if len(cells := line.split("|")) == 7}
    drops = [float(cell.split("/")[0]) for cell in rows["capability: right"]]
    assert all(drop <= 10 for drop in drops), "400 questions show a drop of ten points"
    few = [cell.split("/")[0].strip() for cell in rows["baseline: right"]]
    assert all(drop == "none" or float(drop) >= 20 for drop in few), "16 questions show none below twenty"
    assert "80 of 80 right leaves up to 3.8 % wrong open" in shown
