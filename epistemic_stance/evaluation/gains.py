"""How far checkpoints moved from their base model, with a band that holds for all of them together.

Letters of array shapes: Q questions, C checkpoints.
"""

from __future__ import annotations

from epistemic_stance.evaluation.evaluator import Evaluator
from epistemic_stance.evaluation.evidence import ModelEvidence
from epistemic_stance.records.analysis import Split
from epistemic_stance.records.validation import GainRecord
from epistemic_stance.records.written import Scope
from epistemic_stance.statistics.band import simultaneous_band
from epistemic_stance.statistics.changes import paired_changes
from epistemic_stance.statistics.estimates import IntArray


def gains_of(
    base: ModelEvidence, models: list[ModelEvidence], scope: Scope, split: Split, evaluator: Evaluator
) -> list[GainRecord | None]:
    """Of each checkpoint, on the unseen questions of a half that all answered; None where nothing is known."""
    if not models:
        return []
    before, after = evaluator.paired_counts(base, models, scope, split)
    return gains(before, after, evaluator.seed)


def gains(before_QC2: IntArray, after_QC2: IntArray, seed: int) -> list[GainRecord | None]:
    """Hits and answers of the base model (the same in each column) and of each checkpoint to gains.

    The single interval is that of a comparison; the band holds for all checkpoints together.
    """
    if not len(before_QC2):
        return [None] * before_QC2.shape[1]
    changes = paired_changes(before_QC2[..., 0], before_QC2[..., 1], after_QC2[..., 0], after_QC2[..., 1], seed)
    se_C, reach_C = simultaneous_band(before_QC2, after_QC2, seed)
    return [
        None
        if change is None
        else GainRecord(
            before=change.before,
            after=change.after,
            change=change.change,
            se=float(se),
            low=change.low,
            high=change.high,
            band_low=max(-1.0, change.change - float(reach)),
            band_high=min(1.0, change.change + float(reach)),
            p=change.p,
            questions=change.questions,
        )
        for change, se, reach in zip(changes, se_C, reach_C, strict=True)
    ]
