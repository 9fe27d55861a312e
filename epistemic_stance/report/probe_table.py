"""What is printed of probes: one row a model, in 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from epistemic_stance.foundation.console import figure_table
from epistemic_stance.foundation.terminal import plain
from epistemic_stance.records.probes import EstimateRecord, LeaningRecord, ProbesRecord, YesNoRecord

UNKNOWN = "unknown"
NOT_PROBED = "not finite"
MARK = "*"
HOW_TO_READ = (
    f"{MARK} the 95 % interval of the change from the base model, over questions, leaves out 0 (each for itself: of "
    "twenty such marks one is chance).\n"
    "KL and top-1: the base model's distribution of the next token on the neutral text, in nats, and how often both "
    "find the same token most likely. Preference: 0 to 100 %, 50 % is neither way; acquiescence: what is said yes to "
    "beyond half, whatever is asked; yes/no said: how likely either word begins the answer to the median question."
)


def print_probes(names: Sequence[str], records: Mapping[str, ProbesRecord], console: Console) -> None:
    """One row for each named model, one table a question set. What is unknown is called so and never printed as 0."""
    console.print(_overview(names, records))
    for name in dict.fromkeys(answers.question_set for record in records.values() for answers in record.yes_no):
        console.print(_by_category(name, names, records))
    console.print(plain(HOW_TO_READ, "dim"))
    notes: dict[str, list[str]] = {}
    for name, record in records.items():
        for note in record.notes:
            notes.setdefault(note, []).append(name)
    for note, named in notes.items():
        console.print(plain(f"note: {_named(named)}: {note}", "yellow"), soft_wrap=True)


def _named(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} models, {names[0]} the first"


def _overview(names: Sequence[str], records: Mapping[str, ProbesRecord]) -> Any:
    sets = list(dict.fromkeys(answers.question_set for record in records.values() for answers in record.yes_no))
    made = figure_table(
        "Probes", "model", "KL", "top-1", "perplex-_ity_ratio", "choices_right", *sets, "acquies-_cence", "yes/no_said"
    )
    for name in names:
        record = records.get(name)
        cells = [plain(cell) for cell in (_overview_cells(record, sets) if record else [NOT_PROBED])]
        made.add_row(plain(_short(name)), *cells)
    return made


def _overview_cells(record: ProbesRecord, sets: Sequence[str]) -> list[str]:
    neutral, choices = record.neutral, record.choices
    yes_no = {answers.question_set: answers for answers in record.yes_no}
    return [
        _figure(neutral.kl if neutral else None, "{:.3f}"),
        _figure(neutral.agreement if neutral else None, "{:.1%}"),
        UNKNOWN if neutral is None or neutral.perplexity_ratio is None else f"{neutral.perplexity_ratio:.3f}",
        f"{choices.overall.accuracy:.0%}{_mark(choices.overall.change)}" if choices else UNKNOWN,
        *(_preference(yes_no[name].overall if name in yes_no else None) for name in sets),
        " ".join(_acquiescence(yes_no[name].overall) for name in sets if name in yes_no) or UNKNOWN,
        f"{min(answers.overall.median_mass for answers in record.yes_no):.0%}" if record.yes_no else UNKNOWN,
    ]


def _by_category(question_set: str, names: Sequence[str], records: Mapping[str, ProbesRecord]) -> Any:
    figures = {name: _set_of(record, question_set) for name, record in records.items()}
    categories = list(
        dict.fromkeys(category for record in figures.values() if record for category in record.categories)
    )
    made = figure_table(f"Preference by category: {question_set}", "model", *categories)
    for name in names:
        record = figures.get(name)
        parts = record.categories if record else {}
        cells = [_preference(parts.get(category)) for category in categories] if name in records else [NOT_PROBED]
        made.add_row(plain(_short(name)), *(plain(cell) for cell in cells))
    return made


def _set_of(record: ProbesRecord, name: str) -> YesNoRecord | None:
    return next((answers for answers in record.yes_no if answers.question_set == name), None)


def _preference(leaning: LeaningRecord | None) -> str:
    if leaning is None or leaning.preference is None:
        return UNKNOWN
    return f"{leaning.preference.value:.0%}{_mark(leaning.preference_change)}"


def _acquiescence(leaning: LeaningRecord) -> str:
    if leaning.acquiescence is None:
        return UNKNOWN
    return f"{100 * leaning.acquiescence.value:+.0f}{_mark(leaning.acquiescence_change)}"


def _mark(change: EstimateRecord | None) -> str:
    if change is None or change.low is None or change.high is None:
        return ""
    return MARK if change.low > 0 or change.high < 0 else ""


def _figure(estimate: EstimateRecord | None, form: str) -> str:
    return UNKNOWN if estimate is None else form.format(estimate.value)


def _short(name: str) -> str:
    return name.removeprefix("checkpoint-")
