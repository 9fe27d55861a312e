"""The band around the gains of many checkpoints: by hand, and how it knows what checkpoints have in common."""

from __future__ import annotations

import numpy as np
import pytest
from simulated import counted, models

from epistemic_stance.statistics.band import simultaneous_band


def test_standard_error_and_band_by_hand() -> None:
    """Four questions of one answer, of which one and three were lost, won: changes 0 0 0 1 and 1 1 1 0."""
    before = np.array([[[0, 1], [0, 1]]] * 3 + [[[0, 1], [1, 1]]])
    after = np.array([[[0, 1], [1, 1]]] * 3 + [[[1, 1], [1, 1]]])
    se_A, reach_A = simultaneous_band(before, after, 1)
    # Mean .25 and .75, deviations -.25 three times and .75 once: sum of squares .75, / 4 / 3.
    assert se_A == pytest.approx([0.25, 0.25])
    # The two are one thing with its sign turned, so the largest of both is as large as one: Student's t with 3 degrees.
    assert reach_A / se_A == pytest.approx([3.18, 3.18], abs=0.15)


def test_two_checkpoints_that_have_nothing_in_common_take_a_wider_band_than_two_alike() -> None:
    generator = np.random.default_rng(2)
    reaches = []
    for alike in (0.0, 1.0):
        base, apart, same = models(np.full(400, 20), [0.3] * 3, generator, np.zeros(400, dtype=bool), 0.0).T
        other = same if alike == 0.0 else apart
        answers_Q = np.full(400, 20)
        before, after = counted(answers_Q, np.stack([base] * 2, 1)), counted(answers_Q, np.stack([apart, other], 1))
        se_A, reach_A = simultaneous_band(before, after, 1)
        reaches.append(float((reach_A / se_A)[0]))
    assert reaches[0] > reaches[1] + 0.05
    assert reaches[1] == pytest.approx(1.96, abs=0.08)
