"""A red flag from the training log: chosen answers that became less likely than they were before training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from epistemic_stance.evaluation.evidence import Arm
from epistemic_stance.evaluation.red_flags import ComputedFlag, Watched
from epistemic_stance.foundation.errors import InputError
from epistemic_stance.records.run_folder import RunFolder
from epistemic_stance.records.validation import FlagChangeRecord
from epistemic_stance.records.written import RedFlag, Scope
from epistemic_stance.statistics.intervals import rate_interval

MARGIN = 0.25
"""Share of the pairs; 25 pairs of which none is displaced exclude it."""


def flag_of(scope: Scope) -> RedFlag:
    return RedFlag(
        name="displacement",
        title="Chosen answers less likely",
        answers=scope,
        bad="rise",
        margin=MARGIN,
        hint="train with --dpop-weight 5 or --nll-weight 0.2",
    )


def displacement_flag(run: Path, scope: Scope, seed: int) -> ComputedFlag:
    """Share of the pairs whose chosen answer lost likelihood against the reference, in the epoch of the checkpoint.

    Preference losses can raise the margin while both answers fall (Pal et al. 2402.13228). A pair counts as it stood
    at its own step of that epoch, which is all that is logged.
    """

    def watch(_: Arm, arm: Arm) -> Watched:
        lost = _lost(RunFolder(run), arm.epoch)
        rate = rate_interval(np.array(lost, dtype=np.int64), np.ones(len(lost), dtype=np.int64), seed) if lost else None
        if rate is None:
            return Watched(None, [])
        change = FlagChangeRecord(
            before=0.0, after=rate.estimate, change=rate.estimate, low=rate.low, high=rate.high, questions=len(lost)
        )
        return Watched(change, [])

    return ComputedFlag(flag_of(scope), "pairs whose chosen answer fell below the reference", watch)


def _lost(run: RunFolder, epoch: int | None) -> list[bool]:
    """One entry a pair; none where there is no log that can be read."""
    try:
        pairs = [pair for step in run.steps() if step.epoch == epoch for pair in step.pairs]
    except InputError:
        return []
    return list({pair.id: pair.chosen_reward < 0 for pair in pairs}.values())
