"""A comparison for people: what fits a terminal, and everything (`markdown`), from comparison.json."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import fill

from rich.console import Console

from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records.comparison import (
    AnswerPairRecord,
    ChangeRecord,
    ComparisonRecord,
    MeasureRecord,
    SideRecord,
    Verdict,
)
from epistemic_stance.report.analysis_sections import not_corrected
from epistemic_stance.report.figures import change, corrected_change, counted, points
from epistemic_stance.report.layout import Cell, Quote, Section, Table
from epistemic_stance.report.markdown_page import page
from epistemic_stance.report.terminal import print_notices, print_sections
from epistemic_stance.statistics.changes import fewest_moved
from epistemic_stance.statistics.estimates import ALPHA

FLIPS_SHOWN = 12
HOW_TO_READ = (
    "Percent of answers; changes in points, paired by question, with the 95 % interval of each change alone. rose, "
    "fell: told apart from chance, with all rows accounted for. A model identical to BEFORE shows any in at most 5 % "
    "of comparisons, so of twenty checkpoints one may; stance select accounts for all of them. inconclusive: these "
    "answers do not show a change; that is not to say that nothing changed. "
    f"{fewest_moved(ALPHA)} questions that moved are the fewest that can get rose or fell."
)
ABOUT_CORRECTED = (
    "Changes in points. Corrected: what people would find, judged by the answers of each side that they labelled. "
    "Where the two differ, the rules err differently on the two models, and the corrected change is the one to believe."
)
ABOUT_PARTS = "A category or exposure gets a verdict (*) only where the whole did."
ABOUT_FLIPS = "Questions whose answers are split change sides by chance, too."
MARKS: dict[Verdict, str] = {"rose": "*", "fell": "*", "inconclusive": ""}
NAME_WIDTH = 15
KINDS = {"group": "groups", "pattern": "patterns", "grade": "grades", "conduct": "conduct", "form": "form"}


def print_comparison(record: ComparisonRecord, console: Console) -> None:
    print_notices(_notices(record), console)
    first = Section(f"{_compared(record)}", 2, [f"before: {_side(record.before)}", f"after: {_side(record.after)}"])
    headline = [m for m in record.measures if (m.kind == "group" or m.name == "right") and m.overall]
    narrow = [_exposures(record, headline), *_categories(record, headline)]
    print_sections([first, _changes(record), *_corrected(record), *narrow, _flips(record), _pairs(record)], console)


def markdown(record: ComparisonRecord) -> str:
    """comparison.md."""
    about = [f"before: {_side(record.before)}", f"after: {_side(record.after)}"]
    about.append(f"stance: {record.stance}; {_compared(record)}")
    sections = [_changes(record), _tests(record), *_corrected(record), _exposures(record, record.measures)]
    sections += [*_each_category(record), _flips(record, len(record.flips)), _pairs(record)]
    for who, questions in (("BEFORE", record.only_before), ("AFTER", record.only_after)):
        sections += [Section(f"Left out: only {who} has them", 2, items=questions)] if questions else []
    return page("Comparison", about, _notices(record), sections)


def _compared(record: ComparisonRecord) -> str:
    return f"{counted(record.questions, 'question')} {'is' if record.questions == 1 else 'are'} compared"


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


# --- what changed ------------------------------------------------------------------------------------------


def _changes(record: ComparisonRecord) -> Section:
    rows: list[list[Cell | str]] = []
    previous = ""
    for measure in record.measures:
        if measure.kind in ("grade", "conduct") and not measure.overall:
            continue  # no question is made to measure it
        if measure.kind != previous:
            rows += [[]] if rows else []
            rows.append([Cell(KINDS[measure.kind], weight="strong"), *[""] * 4])
            previous = measure.kind
        rows.append([f" {measure.name}", *_change_cells(measure.overall)])
    title = "What changed"
    head = ("", "before", "after", "change [95 %]", "verdict")
    return Section(title, 2, tables=[Table(title, head, rows)], text=[HOW_TO_READ])


def _change_cells(found: ChangeRecord | None) -> list[Cell | str]:
    if found is None:
        return ["", "", Cell("unknown", weight="faint"), ""]
    texts = (f"{100 * found.before:.1f}", f"{100 * found.after:.1f}", change(found), found.verdict)
    return [Cell(text, weight="faint" if found.verdict == "inconclusive" else "strong") for text in texts]


def _tests(record: ComparisonRecord) -> Section:
    rows = [
        [m.name, str(c.questions), str(c.moved), f"{c.p:.4f}", f"{c.adjusted_p:.4f}"]
        for m in record.measures
        if (c := m.overall)
    ]
    title = "Tests"
    return Section(title, 2, tables=[Table(title, ("", "questions", "moved", "p", "adjusted p"), rows)])


def _corrected(record: ComparisonRecord) -> Iterator[Section]:
    """Nothing where nobody labelled answers of both sides."""
    known = {m.name: (m.overall, m.corrected) for m in record.measures if m.overall and m.corrected}
    rows = [
        [name, change(overall), corrected_change(corrected), corrected.verdict]
        for name, (overall, corrected) in known.items()
        if corrected.change is not None
    ]
    refusals = {name: corrected.refused for name, (_, corrected) in known.items() if corrected.refused}
    if rows or refusals:
        title = "Corrected for the errors of the rules"
        head = ("", "by the rules [95 %]", "corrected [95 %]", "verdict")
        tables = [Table(title, head, rows)] if rows else []
        yield Section(title, 2, tables=tables, items=not_corrected(refusals), text=[ABOUT_CORRECTED])


# --- parts -------------------------------------------------------------------------------------------------


def _exposures(record: ComparisonRecord, measures: list[MeasureRecord]) -> Section:
    questions: dict[str, int] = {}
    for measure in record.measures:
        for name, part in measure.exposures.items():
            if part is not None:
                questions[name] = max(questions.get(name, 0), part.questions)
    rows: list[list[Cell | str]] = []
    for measure in measures:
        parts = {str(name): part for name, part in measure.exposures.items()}
        rows.append([_in_lines(measure.name), *(_part(parts[name]) for name in questions)])
    title = "Seen in training, or not"
    head = ("(questions)", *(f"{name} ({number})" for name, number in questions.items()))
    return Section(title, 2, tables=[Table(title, head, rows)], text=[ABOUT_PARTS])


def _categories(record: ComparisonRecord, measures: list[MeasureRecord]) -> Iterator[Section]:
    rows: list[list[Cell | str]] = []
    for category in record.measures[0].categories:
        changes = [measure.categories[category] for measure in measures]
        questions = max((part.questions for part in changes if part), default=0)
        rows.append([_in_lines(f"{category} ({questions})"), *map(_part, changes)])
    if rows:
        head = ("category (questions)", *(measure.name for measure in measures))
        yield Section("By category", 2, tables=[Table("By category", head, rows)])


def _each_category(record: ComparisonRecord) -> Iterator[Section]:
    """Every measure on its own: there are more of them than fit across a page."""
    for measure in record.measures:
        rows: list[list[Cell | str]] = [[name, _part(part)] for name, part in measure.categories.items() if part]
        if rows:
            title = f"By category: {measure.name}"
            yield Section(title, 3, tables=[Table(title, ("category", "before -> after, change [95 %]"), rows)])


def _part(change: ChangeRecord | None) -> Cell:
    """Fits a narrow column; nothing for an unknown change."""
    if change is None:
        return Cell("")
    rates = f"{100 * change.before:.0f} -> {100 * change.after:.0f}{MARKS[change.verdict]}"
    return Cell(rates, f"{points(change.low, 0)} to {points(change.high, 0)}")


def _in_lines(name: str) -> str:
    """A name over several lines, each of which ends at a space or an underscore."""
    return fill(name.replace("_", "_ "), NAME_WIDTH, break_long_words=False, break_on_hyphens=False).replace("_ ", "_")


# --- questions and answers ---------------------------------------------------------------------------------


def _flips(record: ComparisonRecord, most: int = FLIPS_SHOWN) -> Section:
    title = "Questions that flipped"
    if not record.flips:
        return Section(title, 2, ["No question went from one side of half its answers to the other."])
    rows = [
        [
            f"{100 * flip.before:.0f} -> {100 * flip.after:.0f}",
            flip.measure,
            f"{f'{flip.question_id}: ' if flip.question_id else ''}{shorten(flip.question)} ({flip.category})",
        ]
        for flip in record.flips[:most]
    ]
    more = f"... and {len(record.flips) - most} more in the files. " if len(record.flips) > most else ""
    table = Table(title, ("percent of answers", "measure", "question"), rows, words=True)
    return Section(title, 2, tables=[table], text=[f"{more}{ABOUT_FLIPS}"])


def _pairs(record: ComparisonRecord) -> Section:
    quotes = [quote for pair in record.pairs for quote in _quotes(pair)]
    return Section(f"{counted(len(record.pairs), 'random pair')} of answers", 2, quotes=quotes)


def _quotes(pair: AnswerPairRecord) -> Iterator[Quote]:
    asked = f"{pair.question} ({pair.category}, {pair.exposure})"
    for side, text, patterns in (
        (f"{asked}, before", pair.before, pair.before_patterns),
        ("after", pair.after, pair.after_patterns),
    ):
        yield Quote(f"{side} [{', '.join(patterns) or 'no pattern'}]", text)
