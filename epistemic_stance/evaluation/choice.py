"""Which checkpoint the rule chooses, and why not the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from epistemic_stance.evaluation.evaluator import Evaluator
from epistemic_stance.evaluation.evidence import ModelEvidence
from epistemic_stance.records.validation import Band, CandidateRecord, CapabilityRecord, GainRecord
from epistemic_stance.records.written import SelectionAxes

GUIDE_BANDS: tuple[tuple[Band, int, int], ...] = (("early", 10, 50), ("middle", 60, 120), ("late", 130, 200))
"""First and last epoch, as the guide has them."""


@dataclass(frozen=True)
class Choice:
    """What the rule says; `candidates` are what it was given, with the notes it makes."""

    candidates: list[CandidateRecord]
    chosen: str | None
    reason: str


def guide_band(epoch: float) -> Band | None:
    return next((name for name, first, last in GUIDE_BANDS if first <= epoch <= last), None)


def capability_of(
    base: ModelEvidence, model: ModelEvidence, axes: SelectionAxes, evaluator: Evaluator
) -> CapabilityRecord | None:
    """Change on the unseen select questions of the capability sets; where these were not asked, that of the probes."""
    change = evaluator.change(base, model, axes.capability, "select")
    if change is not None:
        return CapabilityRecord(change=change.change, source="answers")
    probed = model.probes.choices.overall.change if model.probes and model.probes.choices else None
    return CapabilityRecord(change=probed.value, source="probe") if probed else None


def choose(candidates: Sequence[CandidateRecord]) -> Choice:
    """Apply the rule (`rule.RULE`). A candidate with `problems` is none; the order is that of the epochs."""
    knows_kl = any(candidate.kl for candidate in candidates)
    knows_capability = any(candidate.capability for candidate in candidates)
    noted = [_noted(candidate, knows_kl, knows_capability) for candidate in candidates]
    open_ones = [candidate for candidate in noted if not candidate.note]
    front = [candidate for candidate in open_ones if not any(_beats(other, candidate) for other in open_ones)]
    if not front:
        return Choice(noted, None, _why_none(noted))
    best = max(front, key=_gain)
    assert best.gain
    near = [candidate for candidate in front if _gain(candidate) >= best.gain.change - best.gain.se]
    chosen = min(near, key=lambda candidate: candidate.epoch)
    on_front, near_best = ({candidate.name for candidate in some} for some in (front, near))
    final = [
        candidate.model_copy(
            update={
                "on_front": candidate.name in on_front,
                "near_best": candidate.name in near_best,
                "note": candidate.note or _place(candidate, chosen, on_front, near_best),
            }
        )
        for candidate in noted
    ]
    return Choice(final, chosen.name, _why(chosen, best, near, knows_kl, knows_capability))


def _noted(candidate: CandidateRecord, knows_kl: bool, knows_capability: bool) -> CandidateRecord:
    """With the note that rules it out, if there is a reason."""
    if candidate.problems:
        note = f"no candidate: {'; '.join(candidate.problems)}"
    elif candidate.raised:
        note = f"red flag: {', '.join(candidate.raised)}"
    elif (knows_kl and candidate.kl is None) or (knows_capability and candidate.capability is None):
        note = f"no candidate: {'KL' if knows_kl and candidate.kl is None else 'capability'} unknown"
    elif candidate.gain is None:
        note = "gain unknown"
    else:
        note = "" if candidate.gain.shown else "no gain shown"
    return candidate.model_copy(update={"note": note, "on_front": False, "near_best": False})


def _gain(candidate: CandidateRecord) -> float:
    assert candidate.gain
    return candidate.gain.change


def _axes(candidate: CandidateRecord) -> tuple[float, float, float]:
    """Gain, capability kept, nearness to the base model: more is better. KL is known of all here, or of none."""
    kept = min(candidate.capability.change, 0.0) if candidate.capability else 0.0
    return _gain(candidate), kept, -candidate.kl.value if candidate.kl else -float(candidate.epoch)


def _beats(candidate: CandidateRecord, other: CandidateRecord) -> bool:
    first, second = _axes(candidate), _axes(other)
    return first != second and all(a >= b for a, b in zip(first, second, strict=True))


def _place(candidate: CandidateRecord, chosen: CandidateRecord, on_front: set[str], near_best: set[str]) -> str:
    if candidate.name == chosen.name:
        return "chosen"
    if candidate.name in near_best:
        return "as good, but later"
    return "on the front, less gain" if candidate.name in on_front else "another is better throughout"


def _why(
    chosen: CandidateRecord, best: CandidateRecord, near: Sequence[CandidateRecord], kl: bool, capability: bool
) -> str:
    assert chosen.gain
    assert best.gain
    moved = f"its gain on unseen select questions is {100 * chosen.gain.change:+.1f} points"
    if chosen.name == best.name:
        why = f"{moved}, the highest of those that qualify"
        why += "" if len(near) == 1 else f"; {len(near) - 1} later within one standard error of it"
    else:
        within = f"within one standard error ({100 * best.gain.se:.1f}) of the highest, {100 * best.gain.change:+.1f}"
        why = f"{moved}, {within} of {best.name}, and it is the earliest such"
    why += "" if kl else "; KL is known of no checkpoint, and fewer epochs stand in for less of it"
    why += "" if capability else "; capability is known of no checkpoint, and plays no part"
    return f"{chosen.name}: {why}. {_on_report_questions(chosen.report_gain)}"


def _on_report_questions(gain: GainRecord | None) -> str:
    """What may be said of it: it was not chosen by these."""
    if gain is None:
        return "Nothing is known of report questions"
    band = f"95 % band over all checkpoints {100 * gain.band_low:+.1f} to {100 * gain.band_high:+.1f}"
    confirmed = "" if gain.shown else ", so there the gain is inconclusive"
    return f"On report questions it is {100 * gain.change:+.1f} ({band}){confirmed}"


def _why_none(noted: Sequence[CandidateRecord]) -> str:
    reasons: dict[str, list[str]] = {}
    for candidate in noted:
        reasons.setdefault(candidate.note.partition(":")[0], []).append(candidate.name)
    told = [
        f"{why} ({', '.join(names[:3])}{' and others' if len(names) > 3 else ''})" for why, names in reasons.items()
    ]
    return f"none qualifies: {'; '.join(told)}"
