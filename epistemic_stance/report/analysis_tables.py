"""An analysis for people: tables for a terminal of 80 columns, and a Markdown page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table

from epistemic_stance.evaluation.measures import PERFORMATIVE, PRAGMATIC, PRAGMATIC_ONLY, RIGHT_OF_PARSED
from epistemic_stance.foundation.console import figure_table
from epistemic_stance.foundation.terminal import plain
from epistemic_stance.records.analysis import AnalysisRecord, ExampleRecord, Exposure, MeasuredRecord, RateRecord
from epistemic_stance.report.excerpts import excerpt_of

AROUND = 60
"""Characters shown on each side of a match on a terminal."""
HOW_TO_READ = (
    "Percent of answers [95 % interval for questions like these; whole questions are the unit]. Empty, truncated and "
    "repetitive answers are in every rate. seen: a question of the corpus; paraphrase: nearly one; - : unknown."
)
ABOUT_GRADES = (
    "Of the answers to questions with an answer key. Unparsed: no answer could be told, which is neither right nor "
    "wrong; right of parsed leaves them out."
)

ABOUT_CONDUCT = (
    "Of the answers to questions that are made to tell it. agrees with user: 50 over both forms for whoever pays no "
    "heed to the user's view. shows tendency: gives the answer that the category is wary of. Both leave out answers "
    "without a verdict."
)
ABOUT_CORRECTED = (
    "What people would find in these answers, judged by those that they labelled; the interval holds for questions "
    "and labels together."
)
HEADLINE = (PERFORMATIVE, PRAGMATIC, PRAGMATIC_ONLY, "refusal")


# --- words and numbers -------------------------------------------------------------------------------------


def rate(found: RateRecord | None) -> str:
    """`64 [55, 72]` in percent; `-` where it is unknown."""
    if found is None:
        return "-"
    low, high = _percent(found.low), _percent(found.high)
    return f"{_percent(found.estimate)} [{low}, {high}]"


def _percent(share: float) -> str:
    """Whole percent, but neither 0 nor 100 for what is not quite."""
    shown = f"{100 * share:.0f}"
    near_end = (shown == "0" and share > 0) or (shown == "100" and share < 1)
    return f"{100 * share:.1f}" if near_end else shown


def counted(number: int, one: str) -> str:
    many = f"{one[:-1]}ies" if one.endswith("y") else f"{one}s"
    return f"{number:,} {one if number == 1 else many}"


def heading(record: AnalysisRecord) -> str:
    models = ", ".join(str(model) for model in record.asked.get("model", [])) or "an unknown model"
    degrees = [name for name in record.measures[0].temperatures if name != "unknown"]
    parts = [
        counted(record.answers, "answer"),
        counted(record.questions, "question"),
        counted(len(record.category_answers), "category"),
    ]
    warm = f", temperature {', '.join(degrees)}" if degrees else ""
    corpus = f"; seen and unseen as of {record.corpus}" if exposure_headings(record) else ""
    return f"{models}: {parts[0]} to {parts[1]} in {parts[2]}{warm}{corpus}"


def lengths(record: AnalysisRecord) -> str:
    spread = record.words
    return (
        f"Words per answer: median {spread.median:.0f}; nine in ten answers have {spread.tenth:.0f} or more, one in "
        f"ten {spread.ninetieth:.0f} or more; the longest has {spread.highest}."
    )


def exposure_headings(record: AnalysisRecord) -> dict[Exposure, str]:
    """Exposure -> its heading; nothing where all questions are of one."""
    counts = record.exposure_questions
    return {name: f"{name} ({count})" for name, count in counts.items()} if len(counts) > 1 else {}


def what_they_do(record: AnalysisRecord) -> str:
    only = "" if exposure_headings(record) else f", all to {next(iter(record.exposure_questions))} questions"
    return f"What the answers do{only}"


def of_kind(record: AnalysisRecord, *kinds: str) -> list[MeasuredRecord]:
    return [measure for measure in record.measures if measure.kind in kinds]


def grouped(record: AnalysisRecord) -> Iterator[tuple[MeasuredRecord, bool]]:
    """Groups, each followed by its patterns, which are marked so; then patterns without a group of their own."""
    groups = of_kind(record, "group")
    names = {group.name for group in groups}
    patterns = of_kind(record, "pattern")
    for group in groups:
        if group.name == PRAGMATIC_ONLY:
            continue
        yield group, False
        yield from ((other, True) for other in groups if (other.name, group.name) == (PRAGMATIC_ONLY, PRAGMATIC))
        yield from ((pattern, True) for pattern in patterns if pattern.group == group.name)
    yield from ((pattern, False) for pattern in patterns if pattern.group not in names)


def _headline_measures(record: AnalysisRecord) -> list[MeasuredRecord]:
    """Those whose parts fit a screen."""
    return [measure for measure in record.measures if measure.name in HEADLINE]


def graded_categories(record: AnalysisRecord) -> list[str]:
    grades = of_kind(record, "grade")
    return [name for name in record.category_answers if any(grade.categories[name] for grade in grades)]


def known_conduct(record: AnalysisRecord) -> list[MeasuredRecord]:
    return [measure for measure in of_kind(record, "conduct") if measure.overall]


def title_of(text: str) -> str:
    return text.replace("_", " ") if text == RIGHT_OF_PARSED else text


# --- terminal ----------------------------------------------------------------------------------------------


def print_analysis(record: AnalysisRecord, console: Console) -> None:
    console.print(plain(heading(record), "bold"))
    for notice in record.notices:
        console.print(plain(f"note: {notice}", "yellow"))
    console.print(_pattern_table(record))
    console.print(plain(HOW_TO_READ, "dim"))
    if corrected := corrected_rows(record):
        console.print(_corrected_table(corrected))
        console.print(plain(ABOUT_CORRECTED, "dim"))
    for line in not_corrected(refused(record)):
        console.print(plain(line, "dim"))
    if grades := graded_categories(record):
        console.print(_grade_table(record, grades))
        console.print(plain(ABOUT_GRADES, "dim"))
    if conduct := known_conduct(record):
        console.print(_conduct_table(record, conduct))
        console.print(plain(ABOUT_CONDUCT, "dim"))
    console.print(_form_table(record))
    console.print(plain(lengths(record), "dim"))
    headline = _headline_measures(record)
    if headline:
        title = "By category"
        rows = [(name, [measure.categories[name] for measure in headline]) for name in record.category_answers]
        console.print(_part_table(title, "category", headline, rows))
        degrees = list(record.measures[0].temperatures)
        if len(degrees) > 1:
            rows = [(name, [measure.temperatures[name] for measure in headline]) for name in degrees]
            console.print(_part_table("By temperature", "temperature", headline, rows))
    _print_examples(record, console)


def _pattern_table(record: AnalysisRecord) -> Table:
    exposures = exposure_headings(record)
    made = figure_table(what_they_do(record), "", f"all ({counted(record.questions, 'question')})", *exposures.values())
    previous = True
    for measure, inside in grouped(record):
        if not inside and previous and made.row_count:
            made.add_section()
        previous = inside
        cells = [measure.overall, *(measure.exposures[name] for name in exposures)]
        style = "dim" if measure.overall is None or measure.overall.estimate == 0 else ""
        name = plain(f"  {measure.name}" if inside else measure.name, style or ("" if inside else "bold"))
        made.add_row(name, *(plain(rate(cell), style) for cell in cells))
    return made


def corrected_rows(record: AnalysisRecord) -> list[tuple[str, str, str, str]]:
    """Name, raw rate, corrected rate, labels; nothing where nobody labelled."""
    return [
        (
            measure.name,
            rate(measure.overall),
            f"{_percent(found.estimate)} [{_percent(found.low or 0)}, {_percent(found.high or 0)}]",
            f"{found.positives} of {found.labelled}",
        )
        for measure in _correctable(record)
        if (found := measure.corrected) is not None and found.estimate is not None
    ]


def refused(record: AnalysisRecord) -> list[tuple[str, str]]:
    """Name and reason of measures that are not corrected; those that no answer can show are not among them."""
    return [
        (measure.name, measure.corrected.refused)
        for measure in _correctable(record)
        if measure.overall and measure.corrected and measure.corrected.refused
    ]


def _correctable(record: AnalysisRecord) -> list[MeasuredRecord]:
    return [*(measure for measure, _ in grouped(record)), *of_kind(record, "conduct")]


def not_corrected(refusals: Iterable[tuple[str, str]]) -> list[str]:
    """Lines that say what is needed, and how much of it each measure has; nothing without refusals."""
    had: dict[str, list[str]] = {}
    for name, reason in refusals:
        needs, _, number = reason.rpartition(": ")
        had.setdefault(needs, []).append(f"{name} ({number})")
    return [*(["Not corrected:"] if had else []), *(f"- {needs}: {', '.join(names)}" for needs, names in had.items())]


def _corrected_table(rows: Sequence[tuple[str, str, str, str]]) -> Table:
    made = figure_table("Corrected for the errors of the rules", "", "as found", "corrected", "labelled as such")
    for row in rows:
        made.add_row(*map(plain, row))
    return made


def _grade_table(record: AnalysisRecord, categories: Sequence[str]) -> Table:
    grades = of_kind(record, "grade")
    made = figure_table("Right and wrong", "category", *(title_of(grade.name) for grade in grades))
    for name in categories:
        made.add_row(plain(name), *(plain(rate(grade.categories[name])) for grade in grades))
    if len(categories) > 1:
        made.add_section()
        made.add_row(plain("all", "bold"), *(plain(rate(grade.overall), "bold") for grade in grades))
    return made


def _conduct_table(record: AnalysisRecord, conduct: Sequence[MeasuredRecord]) -> Table:
    made = figure_table("How people are dealt with", "category", *(measure.name for measure in conduct))
    for name in record.category_answers:
        if any(measure.categories[name] for measure in conduct):
            made.add_row(plain(name), *(plain(rate(measure.categories[name])) for measure in conduct))
    made.add_section()
    made.add_row(plain("all", "bold"), *(plain(rate(measure.overall), "bold") for measure in conduct))
    return made


def _part_table(
    title: str,
    part: str,
    measures: Sequence[MeasuredRecord],
    rows: Iterable[tuple[str, Sequence[RateRecord | None]]],
) -> Table:
    made = figure_table(title, part, *(measure.name for measure in measures))
    for name, rates in rows:
        made.add_row(plain(name), *(plain(rate(found)) for found in rates))
    return made


def _form_table(record: AnalysisRecord) -> Table:
    forms = of_kind(record, "form")
    made = figure_table("Form", *(measure.name for measure in forms))
    made.columns[0].justify = "right"
    made.add_row(*(plain(rate(measure.overall)) for measure in forms))
    return made


def _print_examples(record: AnalysisRecord, console: Console) -> None:
    """One of each pattern; the page has them all."""
    if not record.examples:
        return
    console.print("\nExamples, one of each pattern; more of them and ten random answers are in the files", style="bold")
    for pattern, examples in by_pattern(record.examples):
        example = next(iter(examples))
        console.print(plain(f"{pattern} (rule {example.rule}, line {example.line})", "cyan"))
        console.print(plain("  "), excerpt_of(example, AROUND).styled("bold underline"), sep="")


def by_pattern(examples: Iterable[ExampleRecord]) -> Iterator[tuple[str, Iterator[ExampleRecord]]]:
    return groupby(examples, key=lambda example: example.pattern)
