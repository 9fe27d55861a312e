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


def guide_band(epoch: int) -> Band | None:
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
    knows_kl = any(one.kl for one in candidates)
    knows_capability = any(one.capability for one in candidates)
    noted = [_noted(one, knows_kl, knows_capability) for one in candidates]
    open_ones = [one for one in noted if not one.note]
    front = [one for one in open_ones if not any(_beats(other, one) for other in open_ones)]
    if not front:
        return Choice(noted, None, _why_none(noted))
    best = max(front, key=_gain)
    assert best.gain
    near = [one for one in front if _gain(one) >= best.gain.change - best.gain.se]
    chosen = min(near, key=lambda one: one.epoch)
    on_front, near_best = ({one.name for one in some} for some in (front, near))
    final = [
        one.model_copy(
            update={
                "on_front": one.name in on_front,
                "near_best": one.name in near_best,
                "note": one.note or _place(one, chosen, on_front, near_best),
            }
        )
        for one in noted
    ]
    return Choice(final, chosen.name, _why(chosen, best, near, knows_kl, knows_capability))


def _noted(one: CandidateRecord, knows_kl: bool, knows_capability: bool) -> CandidateRecord:
    """With the note that puts it out, if one does."""
    if one.problems:
        note = f"no candidate: {'; '.join(one.problems)}"
    elif one.raised:
        note = f"red flag: {', '.join(one.raised)}"
    elif (knows_kl and one.kl is None) or (knows_capability and one.capability is None):
        note = f"no candidate: {'KL' if knows_kl and one.kl is None else 'capability'} unknown"
    elif one.gain is None:
        note = "gain unknown"
    else:
        note = "" if one.gain.shown else "no gain shown"
    return one.model_copy(update={"note": note, "on_front": False, "near_best": False})


def _gain(one: CandidateRecord) -> float:
    assert one.gain
    return one.gain.change


def _axes(one: CandidateRecord) -> tuple[float, float, float]:
    """Gain, capability kept, nearness to the base model: more is better. KL is known of all here, or of none."""
    kept = min(one.capability.change, 0.0) if one.capability else 0.0
    return _gain(one), kept, -one.kl.value if one.kl else -float(one.epoch)


def _beats(one: CandidateRecord, other: CandidateRecord) -> bool:
    first, second = _axes(one), _axes(other)
    return first != second and all(a >= b for a, b in zip(first, second, strict=True))


def _place(one: CandidateRecord, chosen: CandidateRecord, on_front: set[str], near_best: set[str]) -> str:
    if one.name == chosen.name:
        return "chosen"
    if one.name in near_best:
        return "as good, but later"
    return "on the front, less gain" if one.name in on_front else "another is better throughout"


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
    for one in noted:
        reasons.setdefault(one.note.partition(":")[0], []).append(one.name)
    told = [
        f"{why} ({', '.join(names[:3])}{' and others' if len(names) > 3 else ''})" for why, names in reasons.items()
    ]
    return f"none qualifies: {'; '.join(told)}"
