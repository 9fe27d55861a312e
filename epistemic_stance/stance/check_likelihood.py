"""Whether a model could say the answers of a corpus: their log-probability per token before any training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from epistemic_stance.foundation.wording import shorten
from epistemic_stance.stance.check_pairs import file_of
from epistemic_stance.stance.findings import Finding, warning
from epistemic_stance.stance.pairs import EncodedPair, Pair

RARELY_SAID = -4.0
"""Nats a token of a chosen answer. Answers down to -3.9 left a model of 0.5B parameters its sentences."""
RARELY_SAID_MEAN = -3.5
"""Nats a token, mean over pairs. One epoch at -4.7 broke that model, one at -3.0 did not; between, nothing was tried
(docs/measurements.md)."""
NAMED = 10
"""Pairs that a warning names; all of them stand in the table of `stance check`."""


@dataclass(frozen=True)
class PairLikelihood:
    """Mean log-probability of an answer's tokens, in nats, the end of its turn included as in training."""

    pair: Pair
    chosen: float
    rejected: float


def pair_likelihoods(
    pairs: Sequence[Pair], encoded: Sequence[EncodedPair], logps: Mapping[str, tuple[float, float]]
) -> list[PairLikelihood]:
    """`encoded` are the `pairs` in the same order; `logps` are the sums over (chosen, rejected) by pair id."""
    return [
        PairLikelihood(pair, logps[pair.id][0] / len(tokens.chosen_ids), logps[pair.id][1] / len(tokens.rejected_ids))
        for pair, tokens in zip(pairs, encoded, strict=True)
    ]


def least_likely(likelihoods: Sequence[PairLikelihood]) -> list[PairLikelihood]:
    """By their chosen answers, those that the model would say least first."""
    return sorted(likelihoods, key=lambda likelihood: likelihood.chosen)


def check_likelihoods(likelihoods: Sequence[PairLikelihood]) -> list[Finding]:
    """At most one warning, of chosen answers that the model would hardly ever give."""
    mean = round(fmean(likelihood.chosen for likelihood in likelihoods), 2)  # judged as it is shown
    rare = [likelihood for likelihood in least_likely(likelihoods) if round(likelihood.chosen, 2) < RARELY_SAID]
    faults = []
    if mean < RARELY_SAID_MEAN:
        faults.append(f"the mean is {mean:.2f}, expected at least {RARELY_SAID_MEAN:g}")
    if rare:
        named = ", ".join(f"{shorten(likelihood.pair.id)} {likelihood.chosen:.2f}" for likelihood in rare[:NAMED])
        more = f" and {len(rare) - NAMED} more" if len(rare) > NAMED else ""
        faults.append(f"{len(rare)} of {len(likelihoods)} answers are below {RARELY_SAID:g}: {named}{more}")
    if not faults:
        return []
    what = (
        f"log-probability in nats a token, before training: {'; '.join(faults)}; trained towards answers that it would "
        "hardly ever give, a small model loses its sentences within an epoch"
    )
    hint = "say the same in plainer words and shorter sentences"
    return [warning(file_of([likelihood.pair for likelihood in likelihoods]), "chosen", what, hint)]
