"""A choice for people: criteria, red flags, checkpoints and the rule, from selection.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Console

from epistemic_stance.evaluation.rule import RULE
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records.analysis import CorrectedRateRecord
from epistemic_stance.records.validation import CandidateRecord, CriterionRecord, FlagRecord, SelectionRecord
from epistemic_stance.report import figures
from epistemic_stance.report.figures import counted, percent, points
from epistemic_stance.report.layout import Cell, Section, Table
from epistemic_stance.report.terminal import print_notices, print_sections

ABOUT_CRITERIA = (
    "Percent of the answers to unseen report questions, with the 95 % interval over questions; labels: as people would "
    "label all of them. met, not met: the whole interval is on that side of the bound, that of the labels where there "
    "are 20. met by rules: unconfirmed, for nobody labelled as many answers of this model, and rules err most on those "
    "that changed. inconclusive: it holds the bound; about so many unseen report questions, or labels, would decide. "
    "plain rate: over all answers to the small set that the criterion was written for, no interval. Without a bound "
    "the change from the base model is judged."
)
ABOUT_FLAGS = (
    "Change from the base model in points, paired by question, over the questions of both halves, with its 95 % "
    "interval. raised: a change beyond the margin is shown. clear: it is excluded. inconclusive: neither, and with "
    "about so many questions a model that did not change would be clear. Labels that show more than the margin keep a "
    "flag from being clear. Only a raised flag rules a checkpoint out."
)
ABOUT_CHECKPOINTS = (
    "gain: on unseen questions, in points, with the 95 % band over all checkpoints together; select questions are "
    "there to choose by, report questions to report on what was chosen. capability: change of what it can do, by "
    "answers or by probes. KL: nats a token from the base model. band: the guide's."
)
FROZEN = {
    "before": "written down before the answers were collected",
    "changed": "NOT the one that was written down before the answers were collected",
    "now": "not written down before the answers were collected",
}
BANDS = ("early", "middle", "late")
VERDICTS = ("met", "met by rules", "not met", "inconclusive", "measured", "unknown")
STATES = ("raised", "clear", "inconclusive", "unknown")


def print_selection(record: SelectionRecord, console: Console) -> None:
    print_notices(record.notices, console)
    print_sections(sections(record), console)


def sections(record: SelectionRecord) -> list[Section]:
    shown = record.candidate(record.shown)
    result = [Section("Criteria and red flags", 2, [_whose(record)])]
    if shown and shown.criteria:
        text = [ABOUT_CRITERIA, *_labelled_by(shown)]
        result.append(Section("Criteria", 3, tables=[criteria_table(shown)], text=text))
        result.append(Section("Red flags", 3, tables=[flag_table(shown)], text=[ABOUT_FLAGS]))
        result += _raised(record)
    result.append(Section("The choice", 2, list(_reasons(record)), [_checkpoints(record)], text=[ABOUT_CHECKPOINTS]))
    rule = f"{FROZEN[record.frozen]} (sha256 {record.rule.digest})"
    result.append(Section("The rule", 3, [f"The rule was {rule}."], items=RULE.split("\n")))
    return result


def headline(record: SelectionRecord) -> tuple[str, str, str]:
    """The choice, its state, and the reason as it goes on after it."""
    if record.chosen is None:
        return "No checkpoint qualifies", "not met", f": {record.reason.removeprefix('none qualifies: ')}"
    chosen = record.candidate(record.chosen)
    failed = [criterion.title for criterion in chosen.criteria if criterion.verdict == "not met"] if chosen else []
    unconfirmed = any(criterion.verdict == "met by rules" for criterion in chosen.criteria) if chosen else False
    but = (
        f". It does not meet: {', '.join(failed)}" if failed else ". Unconfirmed: by rules alone" if unconfirmed else ""
    )
    reason = record.reason.removeprefix(f"{record.chosen}: ")
    state = "not met" if failed else "met by rules" if unconfirmed else "met"
    return f"{record.chosen} is chosen", state, f", because {reason}{but}"


def counts(record: SelectionRecord) -> list[Cell]:
    """How many criteria and flags are in which state."""
    shown = record.candidate(record.shown)
    if shown is None:
        return []
    verdicts: Counter[str] = Counter(criterion.verdict for criterion in shown.criteria)
    states: Counter[str] = Counter(flag.state for flag in shown.flags)
    cells = [Cell(f"{verdicts[name]} {name}", "criteria", name) for name in VERDICTS if verdicts[name]]
    return cells + [Cell(f"{states[name]} {name}", "red flags", name) for name in STATES if states[name]]


def _whose(record: SelectionRecord) -> str:
    if record.shown is None:
        return "No checkpoint could be judged."
    if record.chosen:
        return f"Of {record.chosen}, the chosen checkpoint."
    return f"Of {record.shown}, which has the highest gain. It is not chosen."


# --- criteria and red flags --------------------------------------------------------------------------------


def criteria_table(candidate: CandidateRecord) -> Table:
    head = ("criterion", "base", "after [95 %]", "bound", "verdict", "plain rate")
    rows = [_criterion(criterion) for criterion in candidate.criteria]
    return Table(f"Criteria: {candidate.name}, percent of answers", head, rows)


def _labelled_by(candidate: CandidateRecord) -> Iterator[str]:
    """Who decided what by their labels."""
    decided = [criterion for criterion in candidate.criteria if _counts(criterion.corrected)]
    if decided:
        names = ", ".join(dict.fromkeys(name for criterion in decided for name in criterion.labelled_by))
        listed = "; ".join(
            f"{criterion.title}: {criterion.corrected.positives} of {criterion.corrected.labelled} answers show it"
            for criterion in decided
            if criterion.corrected
        )
        yield f"Labels of {candidate.name} by {names}, as their files are named. {listed}."


def _criterion(criterion: CriterionRecord) -> list[Cell | str]:
    corrected, base = figures.corrected(criterion.corrected), criterion.base_corrected
    return [
        criterion.title,
        Cell(
            percent(criterion.base.estimate) if criterion.base else figures.UNKNOWN,
            f"labels {percent(base.estimate)}" if base and base.estimate is not None else "",
        ),
        Cell(figures.interval(criterion.rate), f"labels {corrected}" if corrected else ""),
        _bound(criterion),
        _verdict(criterion),
        figures.plain_rates(criterion.plain_base, criterion.plain),
    ]


def _counts(corrected: CorrectedRateRecord | None) -> bool:
    """Whether there are enough labels for a rate of their own, which then decides."""
    return corrected is not None and corrected.refused is None


def _bound(criterion: CriterionRecord) -> str:
    if criterion.at_least is not None:
        return "all" if criterion.at_least == 1 else f">= {percent(criterion.at_least)}"
    return f"<= {percent(criterion.at_most)}" if criterion.at_most is not None else ""


def _verdict(criterion: CriterionRecord) -> Cell:
    """With what would decide it; of a measured one the verdict on its change."""
    if criterion.verdict == "measured":
        return Cell(criterion.change.verdict if criterion.change else figures.UNKNOWN, state="measured")
    below = ""
    if criterion.verdict == "inconclusive":
        what = " labels" if _counts(criterion.corrected) else ""
        below = f"needs {criterion.needed:,}{what}" if criterion.needed else "at the bound"
    elif criterion.verdict == "met by rules" and criterion.corrected:
        below = f"{criterion.corrected.labelled} labels"
    return Cell(criterion.verdict, below, criterion.verdict)


def flag_table(candidate: CandidateRecord) -> Table:
    head = ("red flag", "base", "change [95 %]", "margin", "state")
    ordered = sorted(candidate.flags, key=lambda flag: flag.state != "raised")
    return Table(f"Red flags: {candidate.name}, points", head, [_flag(flag) for flag in ordered])


def _flag(flag: FlagRecord) -> list[Cell | str]:
    unmeasured = figures.UNKNOWN if flag.state == "unknown" else ""
    labels = flag.labelled
    return [
        flag.title,
        Cell(
            percent(flag.change.before) if flag.change else unmeasured,
            f"labels {percent(labels.before)}" if labels else "",
        ),
        Cell(
            figures.change(flag.change) if flag.change else unmeasured,
            f"labels {points(labels.after - labels.before)}" if labels else "",
        ),
        f"{'-' if flag.bad == 'fall' else '+'}{percent(flag.margin)}",
        Cell(flag.state, f"needs {flag.needed:,}" if flag.needed else "", flag.state),
    ]


def _raised(record: SelectionRecord) -> Iterator[Section]:
    """Every raised flag, where it moved most: what was measured, examples, what to try."""
    worst: dict[str, tuple[FlagRecord, str]] = {}
    for candidate in record.candidates:
        for flag in candidate.flags:
            known = worst.get(flag.name)
            if flag.state == "raised" and (known is None or _size(flag) > _size(known[0])):
                worst[flag.name] = flag, candidate.name
    for flag, name in worst.values():
        number = counted(sum(flag.name in candidate.raised for candidate in record.candidates), "checkpoint")
        seen = f": {figures.change(flag.change)} points" if flag.change else ""
        lead = [f"Measures {flag.measured}. Raised on {number}, worst on {name}{seen}.", f"What to try: {flag.hint}."]
        rows = [[shorten(e.question, 200), e.before or "(empty)", e.after or "(empty)"] for e in flag.examples]
        table = Table("Examples", ("question", "base model", name), rows, words=True)
        yield Section(f"Raised: {flag.title}", 3, lead, [table] if rows else ())


def _size(flag: FlagRecord) -> float:
    return abs(flag.change.change) if flag.change else 0.0


# --- the choice --------------------------------------------------------------------------------------------


def _checkpoints(record: SelectionRecord) -> Table:
    head = ("checkpoint", "gain", "report gain", "capability", "KL", "decided by")
    rows = [_checkpoint(candidate, record) for candidate in record.candidates]
    return Table("Checkpoints", head, rows, left=(0, 5))


def _checkpoint(candidate: CandidateRecord, record: SelectionRecord) -> list[Cell | str]:
    marks = [f"{candidate.band} band" if candidate.band else ""]
    marks += ["lowest loss"] if candidate.name == record.best_by_loss else []
    capability = candidate.capability
    return [
        Cell(
            candidate.name.removeprefix("checkpoint-"),
            ", ".join(filter(None, marks)),
            "chosen" if candidate.name == record.chosen else "",
        ),
        *(figures.gain(gain) for gain in (candidate.gain, candidate.report_gain)),
        Cell(points(capability.change), capability.source) if capability else figures.UNKNOWN,
        f"{candidate.kl.value:.3f}" if candidate.kl else figures.UNKNOWN,
        Cell(candidate.note, "; ".join(candidate.problems)),
    ]


def _reasons(record: SelectionRecord) -> Iterator[str]:
    """The choice, learning or memory, and what other ways of choosing would have taken."""
    yield f"{record.reason.replace('none', 'None', 1) if record.chosen is None else record.reason}."
    shown = record.candidate(record.shown)
    if shown and shown.parroting:
        learning = shown.parroting.learning
        yield f"Learning or memory, {shown.name}: {learning.verdict}. {learning.reason}."
    best = [f"{band} {_best_of(record.candidates, band)}" for band in BANDS]
    loss = record.best_by_loss or figures.UNKNOWN
    yield f"Lowest training loss (best_model): {loss}. Highest gain in the guide's bands: {', '.join(best)}."


def _best_of(candidates: Sequence[CandidateRecord], band: str) -> str:
    gains = {each.name: each.gain.change for each in candidates if each.band == band and each.gain}
    return max(gains, key=gains.__getitem__) if gains else "has none"
