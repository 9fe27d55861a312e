"""What counts as parroting: words copied from a chosen answer, beyond what the base model reaches by chance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from epistemic_stance.foundation.copying import VERBATIM_RUN, VERBATIM_SHARE, Copying
from epistemic_stance.records.analysis import ScoreRecord
from epistemic_stance.records.parroting import NullRecord

NULL_LEVEL = 0.99


@dataclass(frozen=True, slots=True)
class CheckedAnswer:
    """An answer with what it does and what it copies."""

    text: str
    score: ScoreRecord
    copying: Copying


def null_of(base: Sequence[Copying]) -> NullRecord:
    """What the base model reaches by chance; of fewer than a hundred answers the highest of each measure."""

    def highest(values: Iterable[float]) -> float:
        return float(np.quantile(list(values), NULL_LEVEL, method="higher"))

    return NullRecord(
        answers=len(base),
        run_words=int(highest(copying.run_words for copying in base)),
        copied_share=highest(copying.copied_share for copying in base),
    )


def is_parroted(copying: Copying, null: NullRecord) -> bool:
    """Verbatim, by a measure that lies beyond what the base model reaches by chance."""
    long = copying.run_words >= VERBATIM_RUN and copying.run_words > null.run_words
    return long or (copying.copied_share >= VERBATIM_SHARE and copying.copied_share > null.copied_share)
