"""A comparison for people: tables for a terminal of 80 columns, and a Markdown page."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

from rich.console import Console
from rich.table import Table

from epistemic_stance.foundation.console import figure_table
from epistemic_stance.foundation.terminal import plain
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records.comparison import (
    ChangeRecord,
    ComparisonRecord,
    FlipRecord,
    MeasureRecord,
    SideRecord,
    Verdict,
)
from epistemic_stance.report.analysis_tables import not_corrected
from epistemic_stance.report.markdown import escaped, fenced, table
from epistemic_stance.statistics.intervals import ALPHA, LOOKS, VERDICT_LEVEL, fewest_moved

FLIPS_SHOWN = 12
ANSWER_SHOWN = 240
HOW_TO_READ = (
    "Percent of answers; changes in points, paired by question, with the 95 % interval of each change alone. rose, "
    f"fell: told apart from chance, with all rows and {LOOKS} such comparisons accounted for ({LOOKS} models identical "
    "to BEFORE show any in at most 5 % of cases). rose?, fell?: told apart if this were the only comparison made; of "
    "twenty, one may be chance. inconclusive: these answers cannot tell; it does not mean that nothing changed. "
    f"{fewest_moved(VERDICT_LEVEL)} questions that moved are the fewest that can get rose or fell, and "
    f"{fewest_moved(ALPHA)} the fewest that can get rose? or fell?."
)
CORRECTED_HEADS = ("as found [95 %]", "corrected [95 %]", "verdict")
ABOUT_CORRECTED = (
    "Changes in points. Corrected: what people would find, judged by the answers of each side that they labelled. "
    "Where the two differ, the rules err differently on the two models, and the corrected change is the one to believe."
)
ABOUT_PARTS = "A category or exposure gets a verdict (* sure, ? perhaps) only where the whole did, and none surer."
WORDS: dict[Verdict, str] = {"perhaps rose": "rose?", "perhaps fell": "fell?"}
MARKS: dict[Verdict, str] = {
    "rose": "*",
    "fell": "*",
    "perhaps rose": "?",
    "perhaps fell": "?",
    "inconclusive": "",
}
NAME_WIDTH = 15
ABOUT_FLIPS = "Questions whose answers are split change sides by chance, too."
KINDS = {"group": "groups", "pattern": "patterns", "grade": "grades", "conduct": "conduct", "form": "form"}
HEADLINES = ("group", "grade")


# --- numbers -----------------------------------------------------------------------------------------------


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def points(change: ChangeRecord) -> str:
    return f"{_signed(change.change, 1)} [{_signed(change.low, 1)}, {_signed(change.high, 1)}]"


def counted(number: int, one: str) -> str:
    return f"{number} {one}" if number == 1 else f"{number} {one}s"


def _compared(record: ComparisonRecord) -> str:
    return f"{counted(record.questions, 'question')} {'is' if record.questions == 1 else 'are'} compared"


def _drawn(record: ComparisonRecord) -> str:
    return f"{counted(len(record.pairs), 'random pair')} of answers"


def _lines_of(name: str) -> str:
    """A name over several lines, each of which ends at a space or an underscore."""
    return fill(name.replace("_", "_ "), NAME_WIDTH, break_long_words=False, break_on_hyphens=False).replace("_ ", "_")


def _signed(share: float, digits: int) -> str:
    return f"{round(100 * share, digits) + 0.0:+.{digits}f}"  # adding 0 turns -0 into 0


def verdict_word(change: ChangeRecord) -> str:
    return WORDS.get(change.verdict, change.verdict)


def short_form(change: ChangeRecord | None) -> str:
    """Two lines that fit a narrow column; nothing for an unknown change."""
    if change is None:
        return ""
    rates = f"{100 * change.before:.0f} -> {100 * change.after:.0f}{MARKS[change.verdict]}"
    return f"{rates}\n[{_signed(change.low, 0)}, {_signed(change.high, 0)}]"


def _side(side: SideRecord) -> str:
    models = ", ".join(str(model) for model in side.asked.get("model", ["unknown model"]))
    temperatures = ", ".join(f"{value:g}" for value in side.temperatures) or "unknown"
    least, most = side.answers_per_question
    each = str(least) if least == most else f"{least} to {most}"
    answers = counted(side.compared_answers, "answer")
    return f"{models} ({answers}, {each} per question, temperature {temperatures}; {side.file})"


def _notices(record: ComparisonRecord) -> list[str]:
    different = [f"asked differently: {d.what}: {d.before} before, {d.after} after" for d in record.differences]
    return different + record.notices


def _headline_measures(record: ComparisonRecord) -> list[MeasureRecord]:
    """Those whose parts fit a screen: groups, and right answers where there are answer keys."""
    return [m for m in record.measures if (m.kind == "group" or m.name == "right") and m.overall]


def _exposures(record: ComparisonRecord) -> list[tuple[str, int]]:
    """Name and number of questions of each exposure that occurs."""
    found: dict[str, int] = {}
    for measure in record.measures:
        for name, change in measure.exposures.items():
            if change is not None:
                found[name] = max(found.get(name, 0), change.questions)
    return list(found.items())


def _flip_rates(flip: FlipRecord) -> str:
    return f"{100 * flip.before:.0f} -> {100 * flip.after:.0f}"


# --- terminal ----------------------------------------------------------------------------------------------


def print_comparison(record: ComparisonRecord, console: Console) -> None:
    console.print(plain(f"before: {_side(record.before)}"), soft_wrap=True)
    console.print(plain(f"after:  {_side(record.after)}"), soft_wrap=True)
    console.print(f"{_compared(record)}.")
    for notice in _notices(record):
        console.print(plain(f"note: {notice}", "yellow"))
    print_changes(record, console)
    console.print(f"\n{HOW_TO_READ}")
    console.print(_exposure_table(record))
    if record.measures[0].categories:
        console.print(_category_table(record))
    console.print(ABOUT_PARTS)
    _print_flips(record.flips, console)
    _print_pairs(record, console)


def print_changes(record: ComparisonRecord, console: Console) -> None:
    """The table that says what changed over all questions, and beside it what did by the labels of people."""
    console.print(_measure_table(record))
    if _corrected_rows(record):
        console.print(_corrected_table(record))
        console.print(plain(ABOUT_CORRECTED, "dim"))
    for line in not_corrected(_refused(record)):
        console.print(plain(line, "dim"))


def _measure_table(record: ComparisonRecord) -> Table:
    made = figure_table("What changed", "", "before", "after", "change [95 %]", "verdict")
    previous = ""
    for measure in record.measures:
        if measure.kind in ("grade", "conduct") and not measure.overall:
            continue  # no question is made to tell it
        if measure.kind != previous:
            if previous:
                made.add_section()
            made.add_row(plain(KINDS[measure.kind], "bold"))
            previous = measure.kind
        change = measure.overall
        if change is None:
            made.add_row(plain(f" {measure.name}"), "", "", plain("unknown", "dim"), "")
            continue
        style = "dim" if change.verdict == "inconclusive" else "bold"
        cells = (percent(change.before), percent(change.after), points(change), verdict_word(change))
        made.add_row(plain(f" {measure.name}"), *(plain(cell, style) for cell in cells))
    return made


def _corrected_table(record: ComparisonRecord) -> Table:
    made = figure_table("Corrected for the errors of the rules", "", *CORRECTED_HEADS)
    for row in _corrected_rows(record):
        made.add_row(*map(plain, row))
    return made


def _corrected_rows(record: ComparisonRecord) -> list[list[str]]:
    """Name, raw and corrected change, verdict, of the measures that are corrected."""
    rows = []
    for measure in record.measures:
        found = measure.corrected
        if measure.overall and found and not (found.change is None or found.low is None or found.high is None):
            interval = f"{_signed(found.change, 1)} [{_signed(found.low, 1)}, {_signed(found.high, 1)}]"
            rows.append([measure.name, points(measure.overall), interval, WORDS.get(found.verdict, found.verdict)])
    return rows


def _refused(record: ComparisonRecord) -> list[tuple[str, str]]:
    """Name and reason of measures that are not corrected; those that no answer can show are not among them."""
    return [
        (measure.name, measure.corrected.refused)
        for measure in record.measures
        if measure.overall and measure.corrected and measure.corrected.refused
    ]


def _exposure_table(record: ComparisonRecord) -> Table:
    exposures = _exposures(record)
    heads = (f"{name} ({questions})" for name, questions in exposures)
    made = figure_table("Seen in training, or not", "(questions)", *heads)
    for measure in _headline_measures(record):
        parts = {str(name): change for name, change in measure.exposures.items()}
        made.add_row(plain(_lines_of(measure.name)), *(short_form(parts[name]) for name, _ in exposures))
    return made


def _category_table(record: ComparisonRecord) -> Table:
    measures = _headline_measures(record)
    made = figure_table("By category", "category (questions)", *(measure.name for measure in measures))
    for category in record.measures[0].categories:
        changes = [measure.categories[category] for measure in measures]
        questions = max((change.questions for change in changes if change), default=0)
        made.add_row(plain(_lines_of(f"{category} ({questions})")), *map(short_form, changes))
    return made


def _print_flips(flips: Sequence[FlipRecord], console: Console) -> None:
    if not flips:
        console.print("\nNo question went from one side of half its answers to the other.")
        return
    made = figure_table("Questions that flipped", "percent of answers", "measure", "question")
    for column in made.columns:
        column.justify = "left"
    for flip in flips[:FLIPS_SHOWN]:
        name = f"{flip.question_id}: " if flip.question_id else ""
        made.add_row(_flip_rates(flip), plain(flip.measure), plain(f"{name}{shorten(flip.question)}"))
    console.print(made)
    more = f"... and {len(flips) - FLIPS_SHOWN} more in the files. " if len(flips) > FLIPS_SHOWN else ""
    console.print(f"{more}{ABOUT_FLIPS}")


def _print_pairs(record: ComparisonRecord, console: Console) -> None:
    if record.pairs:
        console.print(f"\n{_drawn(record)}", style="bold")
    for pair in record.pairs:
        console.print(plain(f"\n{pair.question} ({pair.category}, {pair.exposure})", "bold"))
        for side, text, patterns in (
            ("before", pair.before, pair.before_patterns),
            ("after", pair.after, pair.after_patterns),
        ):
            shows = f" [{', '.join(patterns)}]" if patterns else ""
            console.print(plain(f"{side}{shows}:", "cyan"), plain(shorten(text, ANSWER_SHOWN) or "(empty)"))


# --- Markdown ----------------------------------------------------------------------------------------------


def markdown(record: ComparisonRecord) -> str:
    """The whole comparison: every measure in every category, every flip, the drawn answers in full."""
    lines = [
        "# Comparison",
        "",
        f"- before: {escaped(_side(record.before))}",
        f"- after: {escaped(_side(record.after))}",
    ]
    lines += [f"- stance: {escaped(record.stance)}; {_compared(record)}", ""]
    lines += [f"> {escaped(notice)}\n" for notice in _notices(record)]
    lines += ["## What changed", "", HOW_TO_READ, ""]
    header = ("", "before", "after", "change [95 %]", "verdict", "questions", "moved", "p", "adjusted p")
    lines += table(header, (_measure_row(measure) for measure in record.measures))
    if any(measure.corrected for measure in record.measures):
        lines += ["## Corrected for the errors of the rules", "", ABOUT_CORRECTED, ""]
        corrected = [[escaped(cell) for cell in row] for row in _corrected_rows(record)]
        lines += table(["", *CORRECTED_HEADS], corrected) if corrected else []
        lines += [*not_corrected((escaped(name), reason) for name, reason in _refused(record)), ""]
    exposures = _exposures(record)
    lines += ["## Seen in training, or not", "", ABOUT_PARTS.replace("*", "\\*"), ""]
    lines += table(
        ["", *(f"{name} (questions: {questions})" for name, questions in exposures)],
        (
            [escaped(m.name), *(_cell({str(k): v for k, v in m.exposures.items()}[name]) for name, _ in exposures)]
            for m in record.measures
        ),
    )
    if record.measures[0].categories:
        lines += ["## By category", ""]
    for measure in record.measures:
        if any(change is not None for change in measure.categories.values()):
            lines += [f"### {escaped(measure.name)}", ""]
            rows = ([escaped(name), _cell(change)] for name, change in measure.categories.items() if change)
            lines += table(["category", "before -> after, change [95 %]"], rows)
    lines += _flip_lines(record)
    lines += [f"## {_drawn(record)}", ""]
    for pair in record.pairs:
        lines += [f"### {escaped(pair.question)}", "", f"{escaped(pair.category)}, {pair.exposure}", ""]
        lines += [_heading("Before", pair.before_patterns), "", fenced(pair.before), ""]
        lines += [_heading("After", pair.after_patterns), "", fenced(pair.after), ""]
    lines += _left_out("only BEFORE", record.only_before) + _left_out("only AFTER", record.only_after)
    return "\n".join(lines).rstrip("\n") + "\n"


def _measure_row(measure: MeasureRecord) -> list[str]:
    change = measure.overall
    if change is None:
        return [escaped(measure.name), "unknown", *[""] * 7]
    numbers = [str(change.questions), str(change.moved), f"{change.p:.4f}", f"{change.adjusted_p:.4f}"]
    rates = [percent(change.before), percent(change.after), points(change)]
    return [escaped(measure.name), *rates, verdict_word(change), *numbers]


def _cell(change: ChangeRecord | None) -> str:
    if change is None:
        return ""
    mark = escaped(MARKS[change.verdict])
    return f"{percent(change.before)} -> {percent(change.after)}, {points(change)} {mark}".rstrip()


def _flip_lines(record: ComparisonRecord) -> list[str]:
    lines = ["## Questions that flipped", "", ABOUT_FLIPS, ""]
    header = ("measure", "percent of answers", "id", "category", "question")
    rows = (
        [*map(escaped, (f.measure, _flip_rates(f), f.question_id or "", f.category, f.question))] for f in record.flips
    )
    return lines + (list(table(header, rows)) if record.flips else ["None.", ""])


def _heading(side: str, patterns: Sequence[str]) -> str:
    return f"{side} ({', '.join(map(escaped, patterns)) or 'no pattern'}):"


def _left_out(who: str, questions: Sequence[str]) -> list[str]:
    if not questions:
        return []
    return [f"## Left out: {who} has them", "", *(f"- {escaped(question)}" for question in questions), ""]
