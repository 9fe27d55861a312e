"""An analysis for people: tables for a terminal of 80 columns, and a Markdown page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table

from epistemic_stance.analysis.excerpts import excerpt_of
from epistemic_stance.analysis.markdown import escaped, fenced, table
from epistemic_stance.analysis.measures import PERFORMATIVE, PRAGMATIC, PRAGMATIC_ONLY, RIGHT_OF_PARSED
from epistemic_stance.console import figure_table
from epistemic_stance.records.analysis import AnalysisRecord, ExampleRecord, Exposure, MeasuredRecord, RateRecord
from epistemic_stance.terminal import plain

AROUND = 60
"""Characters shown on each side of a match on a terminal."""
AROUND_ON_PAGE = 400
RULES_ON_PAGE = 12
HOW_TO_READ = (
    "Percent of answers [95 % interval for questions like these; whole questions are the unit]. Empty, truncated and "
    "repetitive answers are in every rate. seen: a question of the corpus; paraphrase: nearly one; - : unknown."
)
ABOUT_GRADES = (
    "Of the answers to questions with an answer key. Unparsed: no answer could be told, which is neither right nor "
    "wrong; right of parsed leaves them out."
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


def _counted(number: int, one: str) -> str:
    many = f"{one[:-1]}ies" if one.endswith("y") else f"{one}s"
    return f"{number:,} {one if number == 1 else many}"


def _headline(record: AnalysisRecord) -> str:
    models = ", ".join(str(model) for model in record.asked.get("model", [])) or "an unknown model"
    degrees = [name for name in record.measures[0].temperatures if name != "unknown"]
    parts = [
        _counted(record.answers, "answer"),
        _counted(record.questions, "question"),
        _counted(len(record.category_answers), "category"),
    ]
    warm = f", temperature {', '.join(degrees)}" if degrees else ""
    corpus = f"; seen and unseen as of {record.corpus}" if _exposures(record) else ""
    return f"{models}: {parts[0]} to {parts[1]} in {parts[2]}{warm}{corpus}"


def _lengths(record: AnalysisRecord) -> str:
    spread = record.words
    return (
        f"Words per answer: median {spread.median:.0f}; nine in ten answers have {spread.tenth:.0f} or more, one in "
        f"ten {spread.ninetieth:.0f} or more; the longest has {spread.highest}."
    )


def _exposures(record: AnalysisRecord) -> dict[Exposure, str]:
    """Exposure -> its heading; nothing where all questions are of one."""
    counts = record.exposure_questions
    return {name: f"{name} ({count})" for name, count in counts.items()} if len(counts) > 1 else {}


def _what_they_do(record: AnalysisRecord) -> str:
    only = "" if _exposures(record) else f", all to {next(iter(record.exposure_questions))} questions"
    return f"What the answers do{only}"


def _of_kind(record: AnalysisRecord, *kinds: str) -> list[MeasuredRecord]:
    return [measure for measure in record.measures if measure.kind in kinds]


def _grouped(record: AnalysisRecord) -> Iterator[tuple[MeasuredRecord, bool]]:
    """Groups, each followed by its patterns, which are marked so; then patterns without a group of their own."""
    groups = _of_kind(record, "group")
    names = {group.name for group in groups}
    patterns = _of_kind(record, "pattern")
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


def _graded_categories(record: AnalysisRecord) -> list[str]:
    grades = _of_kind(record, "grade")
    return [name for name in record.category_answers if any(grade.categories[name] for grade in grades)]


def _name(text: str) -> str:
    return text.replace("_", " ") if text == RIGHT_OF_PARSED else text


# --- terminal ----------------------------------------------------------------------------------------------


def print_analysis(record: AnalysisRecord, console: Console) -> None:
    console.print(plain(_headline(record), "bold"))
    for notice in record.notices:
        console.print(plain(f"note: {notice}", "yellow"))
    console.print(_pattern_table(record))
    console.print(plain(HOW_TO_READ, "dim"))
    if grades := _graded_categories(record):
        console.print(_grade_table(record, grades))
        console.print(plain(ABOUT_GRADES, "dim"))
    console.print(_form_table(record))
    console.print(plain(_lengths(record), "dim"))
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
    exposures = _exposures(record)
    made = figure_table(
        _what_they_do(record), "", f"all ({_counted(record.questions, 'question')})", *exposures.values()
    )
    previous = True
    for measure, inside in _grouped(record):
        if not inside and previous and made.row_count:
            made.add_section()
        previous = inside
        cells = [measure.overall, *(measure.exposures[name] for name in exposures)]
        style = "dim" if measure.overall is None or measure.overall.estimate == 0 else ""
        name = plain(f"  {measure.name}" if inside else measure.name, style or ("" if inside else "bold"))
        made.add_row(name, *(plain(rate(cell), style) for cell in cells))
    return made


def _grade_table(record: AnalysisRecord, categories: Sequence[str]) -> Table:
    grades = _of_kind(record, "grade")
    made = figure_table("Right and wrong", "category", *(_name(grade.name) for grade in grades))
    for name in categories:
        made.add_row(plain(name), *(plain(rate(grade.categories[name])) for grade in grades))
    if len(categories) > 1:
        made.add_section()
        made.add_row(plain("all", "bold"), *(plain(rate(grade.overall), "bold") for grade in grades))
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
    forms = _of_kind(record, "form")
    made = figure_table("Form", *(measure.name for measure in forms))
    made.columns[0].justify = "right"
    made.add_row(*(plain(rate(measure.overall)) for measure in forms))
    return made


def _print_examples(record: AnalysisRecord, console: Console) -> None:
    """One of each pattern; the page has them all."""
    if not record.examples:
        return
    console.print("\nExamples, one of each pattern; more of them and ten random answers are in the files", style="bold")
    for pattern, examples in _by_pattern(record.examples):
        example = next(iter(examples))
        console.print(plain(f"{pattern} (rule {example.rule}, line {example.line})", "cyan"))
        console.print(plain("  "), excerpt_of(example, AROUND).styled("bold underline"), sep="")


def _by_pattern(examples: Iterable[ExampleRecord]) -> Iterator[tuple[str, Iterator[ExampleRecord]]]:
    return groupby(examples, key=lambda example: example.pattern)


# --- Markdown ----------------------------------------------------------------------------------------------


def markdown(record: AnalysisRecord) -> str:
    """The whole analysis: every measure in every part, the rules that matched, examples, and random answers."""
    lines = ["# Analysis", "", f"{escaped(_headline(record))}.", ""]
    lines += [f"> {escaped(notice)}\n" for notice in record.notices]
    lines += [f"## {_what_they_do(record)}", "", escaped(HOW_TO_READ), ""]
    exposures = _exposures(record)
    lines += table(
        ["", f"all ({_counted(record.questions, 'question')})", *exposures.values()],
        (
            [
                f"&nbsp;&nbsp;{escaped(measure.name)}" if inside else f"**{escaped(measure.name)}**",
                rate(measure.overall),
                *(rate(measure.exposures[name]) for name in exposures),
            ]
            for measure, inside in _grouped(record)
        ),
    )
    lines += _grade_lines(record)
    forms = _of_kind(record, "form")
    lines += ["## Form", ""]
    lines += table(["", "percent of answers"], ([escaped(form.name), rate(form.overall)] for form in forms))
    lines += [_lengths(record), ""]
    lines += _part_lines(record)
    lines += _rule_lines(record)
    lines += _example_lines(record)
    lines += _sample_lines(record)
    lines += _provenance_lines(record)
    return "\n".join(lines).rstrip("\n") + "\n"


def _grade_lines(record: AnalysisRecord) -> list[str]:
    categories = _graded_categories(record)
    if not categories:
        return []
    grades = _of_kind(record, "grade")
    rows = [[escaped(name), *(rate(grade.categories[name]) for grade in grades)] for name in categories]
    rows.append(["**all**", *(rate(grade.overall) for grade in grades)])
    header = ["category", *(escaped(_name(grade.name)) for grade in grades)]
    return ["## Right and wrong", "", ABOUT_GRADES, "", *table(header, rows)]


def _part_lines(record: AnalysisRecord) -> list[str]:
    """Categories and temperatures stand in rows: there are more measures than fit across a page."""
    lines = []
    measures = [measure for measure, _ in _grouped(record)]
    for title, parts in (("category", record.category_answers), ("temperature", record.measures[0].temperatures)):
        lines += [f"## By {title}", ""]
        for part in parts:
            counted = f" ({_counted(record.category_answers[part], 'answer')})" if title == "category" else ""
            lines += [f"### {escaped(part)}{counted}", ""]
            found = [(m, (m.categories if title == "category" else m.temperatures)[part]) for m in measures]
            shown = [[escaped(m.name), rate(cell)] for m, cell in found if cell and cell.estimate > 0]
            none = [escaped(m.name) for m, cell in found if cell and cell.estimate == 0]
            lines += table(["", "percent of answers"], shown) if shown else []
            lines += [f"None: {', '.join(none)}.", ""] if none else []
    return lines


def _rule_lines(record: AnalysisRecord) -> list[str]:
    lines = ["## Rules", "", "Answers in which each rule matched, the most frequent rules of each pattern.", ""]
    rows = []
    for pattern, rules in record.rules.items():
        shown = ", ".join(f"{escaped(rule)} {count}" for rule, count in list(rules.items())[:RULES_ON_PAGE])
        more = f", and {len(rules) - RULES_ON_PAGE} more" if len(rules) > RULES_ON_PAGE else ""
        rows.append([escaped(pattern), f"{shown or 'none'}{more}"])
    return [*lines, *table(["pattern", "rules"], rows, "---")]


def _example_lines(record: AnalysisRecord) -> list[str]:
    lines = ["## Examples", "", "Drawn at random among the answers that show the pattern; what matched is bold.", ""]
    for pattern, examples in _by_pattern(record.examples):
        lines += [f"### {escaped(pattern)}", ""]
        for example in examples:
            place = f"line {example.line}, {escaped(example.category)}, rule {escaped(example.rule)}"
            lines += [
                f"{escaped(example.question)} ({place})",
                "",
                f"> {excerpt_of(example, AROUND_ON_PAGE).bold()}",
                "",
            ]
    return lines


def _sample_lines(record: AnalysisRecord) -> list[str]:
    lines = [f"## {_counted(len(record.samples), 'random answer')}", ""]
    for sample in record.samples:
        warm = "" if sample.temperature is None else f", temperature {sample.temperature:g}"
        shows = ", ".join(map(escaped, sample.patterns)) or "no pattern"
        graded = f"; {sample.grade}" if sample.grade else ""
        lines += [f"### {escaped(sample.question)}", ""]
        lines += [f"Line {sample.line}, {escaped(sample.category)}, {sample.exposure}{warm}: {shows}{graded}.", ""]
        lines += [fenced(sample.response), ""]
    return lines


def _provenance_lines(record: AnalysisRecord) -> list[str]:
    rows = [
        ["answers", f"{escaped(record.file)}, sha256 {record.sha256}"],
        ["stance", f"{escaped(record.stance)}, patterns sha256 {record.patterns_digest}"],
        ["corpus", f"{escaped(record.corpus)}, digest {record.corpus_digest}"],
        ["seed of intervals and choices", str(record.seed)],
    ]
    rows += [
        [escaped(name), ", ".join(escaped(_value(value)) for value in found)] for name, found in record.asked.items()
    ]
    return ["## Where this comes from", "", *table(["", ""], rows, "---")]


def _value(value: str | float | None) -> str:
    return "the template's own" if value is None else str(value)
