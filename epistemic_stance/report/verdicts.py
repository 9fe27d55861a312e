"""The decision: what was chosen and why, criteria and red flags, and every checkpoint beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from epistemic_stance.evaluation.rule import RULE
from epistemic_stance.foundation.settings import DEMO_MODEL
from epistemic_stance.records.validation import CandidateRecord, CriterionRecord, FlagRecord, SelectionRecord
from epistemic_stance.report import figures
from epistemic_stance.report.figures import marked, percent
from epistemic_stance.report.gather import Material
from epistemic_stance.report.layout import Cell, Section, Table
from epistemic_stance.report.selection_tables import ABOUT_CRITERIA, ABOUT_FLAGS, FROZEN, bound_of, points

NO_CHOICE = "No choice was made"
ABOUT_CANDIDATES = (
    "Gain: on unseen questions, in points, with the 95 % band over all checkpoints together; select questions are "
    "there to choose by, report questions to tell what was chosen. Capability: change of what it can do, by answers or "
    "by probes. KL: distance from the base model."
)
BANDS = ("early", "middle", "late")
VERDICTS = ("met", "not met", "inconclusive", "measured", "unknown")
STATES = ("raised", "clear", "inconclusive", "unknown")


def about(material: Material) -> str:
    """What this is, in one line."""
    run = material.run
    parts = [f"Run {material.folder.resolve().name}"]
    if run:
        epochs = f"{run.settings.get('epochs', '?')} epochs"
        parts = [
            f"{parts[0]}: {run.base_model} trained on {figures.counted(run.pairs, 'contrastive pair')} for {epochs}",
            f"stance {Path(run.settings.get('stance') or 'unknown').name}",
        ]
        if run.status != "finished":
            parts.append(f"training {run.status}{': ' + run.reason if run.reason else ''}")
    checkpoints = sum(1 for arm in material.models if arm.epoch and arm.sets)
    parts.append(f"answers of {figures.counted(checkpoints, 'checkpoint')}" if checkpoints else "")
    return "; ".join(part for part in parts if part)


def is_demo(material: Material) -> bool:
    screened = material.screening.base_model if material.screening else None
    return DEMO_MODEL in (material.run.base_model if material.run else None, screened)


def headline(selection: SelectionRecord | None) -> tuple[str, str, str]:
    """The choice, its state, and the reason as it goes on after it."""
    if selection is None:
        return NO_CHOICE, "unknown", ": there is no selection.json; stance select makes the choice and writes it"
    if selection.chosen is None:
        return "No checkpoint qualifies", "not met", f": {selection.reason.removeprefix('none qualifies: ')}"
    failed = [one.title for one in _shown(selection).criteria if one.verdict == "not met"]
    but = f". It does not meet: {', '.join(failed)}" if failed else ""
    reason = selection.reason.removeprefix(f"{selection.chosen}: ")
    return f"{selection.chosen} is chosen", "not met" if failed else "met", f", because {reason}{but}"


def counts(selection: SelectionRecord | None) -> list[Cell]:
    """How many criteria and flags are in which state."""
    if selection is None or not (shown := selection.candidate(selection.shown)):
        return []
    verdicts: Counter[str] = Counter(one.verdict for one in shown.criteria)
    states: Counter[str] = Counter(one.state for one in shown.flags)
    told = [Cell(f"{verdicts[name]} {name}", "criteria", name) for name in VERDICTS if verdicts[name]]
    return told + [Cell(f"{states[name]} {name}", "red flags", name) for name in STATES if states[name]]


def sections(material: Material) -> list[Section]:
    selection = material.selection
    if selection is None:
        return []
    shown = selection.candidate(selection.shown)
    found = [Section("Criteria and red flags", 2, _whose(selection))]
    if shown and shown.criteria:
        found.append(Section("Criteria", 3, tables=[_criteria(shown.criteria)], text=(ABOUT_CRITERIA,)))
        found.append(Section("Red flags", 3, tables=[_flags(shown.flags)], text=(ABOUT_FLAGS,)))
        found += _raised(selection)
    found += [
        Section("The choice", 2, _beside(selection), [_candidates(selection)], text=(ABOUT_CANDIDATES,)),
        Section("The rule", 3, (_frozen(selection),), items=RULE.split("\n")),
    ]
    return found


def _shown(selection: SelectionRecord) -> CandidateRecord:
    shown = selection.candidate(selection.shown)
    assert shown
    return shown


def _whose(selection: SelectionRecord) -> list[str]:
    if selection.shown is None:
        return ["No checkpoint could be judged."]
    if selection.chosen:
        return [f"Of {selection.chosen}, the chosen checkpoint."]
    return [f"Of {selection.shown}, which has the highest gain. It is not chosen."]


# --- criteria and flags ------------------------------------------------------------------------------------


def _criteria(criteria: Sequence[CriterionRecord]) -> Table:
    head = ("verdict", "criterion", "bound", "base", "after [95 %]", "literal reading")
    return Table("Success criteria, in percent of answers", head, [_criterion(one) for one in criteria], left=(0, 1))


def _criterion(one: CriterionRecord) -> list[Cell | str]:
    read = figures.corrected(one.corrected)
    has_literal = one.literal or one.literal_base
    return [
        _verdict(one),
        one.title,
        bound_of(one).replace(">=", "\u2265").replace("<=", "\u2264") or "none",
        percent(one.base.estimate) if one.base else figures.UNKNOWN,
        Cell(figures.interval(one.rate), f"corrected {read}" if read else ""),
        f"{figures.plain_rate(one.literal_base)} \u2192 {figures.plain_rate(one.literal)}" if has_literal else "",
    ]


def _verdict(one: CriterionRecord) -> Cell:
    """In words, with what would decide it; of a measured one what the change was."""
    if one.verdict == "measured":
        return Cell(marked("measured"), f"change: {one.change.verdict}" if one.change else "", one.verdict)
    below = ""
    if one.verdict == "inconclusive":
        below = f"needs about {one.needed:,} questions" if one.needed else "at the bound"
    return Cell(marked(one.verdict), below, one.verdict)


def _flags(flags: Sequence[FlagRecord]) -> Table:
    head = ("state", "red flag", "margin", "base", "change [95 %]")
    ordered = sorted(flags, key=lambda one: one.state != "raised")
    rows = [_flag(one) for one in ordered]
    return Table("Red flags, in points of change from the base model", head, rows, left=(0, 1))


def _flag(one: FlagRecord) -> list[Cell | str]:
    below = f"needs about {one.needed:,} questions" if one.needed else ""
    unmeasured = figures.UNKNOWN if one.state == "unknown" else ""
    return [
        Cell(marked(one.state), below, one.state),
        one.title,
        f"{'-' if one.bad == 'fall' else '+'}{percent(one.margin)}",
        percent(one.change.before) if one.change else unmeasured,
        figures.change(one.change) if one.change else unmeasured,
    ]


def _raised(selection: SelectionRecord) -> list[Section]:
    """Every raised flag, where it moved most: what was seen, examples, what to try."""
    worst: dict[str, tuple[FlagRecord, str]] = {}
    for candidate in selection.candidates:
        for flag in candidate.flags:
            known = worst.get(flag.name)
            if flag.state == "raised" and (known is None or _size(flag) > _size(known[0])):
                worst[flag.name] = flag, candidate.name
    found = []
    for flag, name in worst.values():
        number = sum(flag.name in candidate.raised for candidate in selection.candidates)
        told = f"Watches {flag.measured}. Raised on {figures.counted(number, 'checkpoint')}, worst on {name}"
        rows = [[one.question, one.before or "(empty)", one.after or "(empty)"] for one in flag.examples]
        table = Table("Examples", ("question", "base model", name), rows, words=True)
        seen = f": {figures.change(flag.change)} points" if flag.change else ""
        text = (f"{told}{seen}.", f"What to try: {flag.hint}.")
        found.append(Section(f"Raised: {flag.title}", 3, text, [table] if rows else ()))
    return found


def _size(flag: FlagRecord) -> float:
    return abs(flag.change.change) if flag.change else 0.0


# --- the choice --------------------------------------------------------------------------------------------


def _candidates(selection: SelectionRecord) -> Table:
    head = ("checkpoint", "gain, select [band]", "gain, report [band]", "capability", "KL", "red flags", "decided by")
    rows: list[list[Cell | str]] = []
    for one in selection.candidates:
        marks = "lowest loss" if one.name == selection.best_by_loss else ""
        below = ", ".join(part for part in (f"{one.band} band" if one.band else "", marks) if part)
        source = one.capability.source if one.capability else ""
        rows.append(
            [
                Cell(one.name, below, "chosen" if one.name == selection.chosen else ""),
                figures.gain(one.gain),
                figures.gain(one.report_gain),
                Cell(points(one.capability.change) if one.capability else figures.UNKNOWN, source),
                f"{one.kl.value:.3f}" if one.kl else figures.UNKNOWN,
                ", ".join(one.raised) or "none",
                Cell(one.note, "; ".join(one.problems)),
            ]
        )
    return Table("Checkpoints: gains in points on unseen questions, KL in nats a token", head, rows, left=(0, 5, 6))


def _beside(selection: SelectionRecord) -> list[str]:
    """The choice, and what other ways of choosing would have taken."""
    told = [f"{selection.reason.replace('none', 'None', 1) if selection.chosen is None else selection.reason}."]
    bands = []
    for band in BANDS:
        best = [one for one in selection.candidates if one.band == band and one.gain]
        top = max(best, key=lambda one: one.gain.change if one.gain else 0.0, default=None)
        bands.append(f"{band} {top.name if top else 'has none'}")
    told.append(
        f"Lowest training loss (best_model): {selection.best_by_loss or 'unknown'}. Highest gain in the guide's bands: "
        f"{', '.join(bands)}."
    )
    return told


def _frozen(selection: SelectionRecord) -> str:
    return f"The rule was {FROZEN[selection.frozen]} (sha256 {selection.rule.digest})."
