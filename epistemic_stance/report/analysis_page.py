"""An analysis as a Markdown page: every measure in every part, the rules that matched, examples, and random answers."""

from __future__ import annotations

from epistemic_stance.records.analysis import AnalysisRecord
from epistemic_stance.report.analysis_tables import (
    ABOUT_CONDUCT,
    ABOUT_CORRECTED,
    ABOUT_GRADES,
    HOW_TO_READ,
    by_pattern,
    corrected_rows,
    counted,
    exposure_headings,
    graded_categories,
    grouped,
    heading,
    known_conduct,
    lengths,
    not_corrected,
    of_kind,
    rate,
    refused,
    title_of,
    what_they_do,
)
from epistemic_stance.report.excerpts import excerpt_of
from epistemic_stance.report.markdown import escaped, fenced, table

AROUND_ON_PAGE = 400
RULES_ON_PAGE = 12


def markdown(record: AnalysisRecord) -> str:
    """The whole analysis: every measure in every part, the rules that matched, examples, and random answers."""
    lines = ["# Analysis", "", f"{escaped(heading(record))}.", ""]
    lines += [f"> {escaped(notice)}\n" for notice in record.notices]
    lines += [f"## {what_they_do(record)}", "", escaped(HOW_TO_READ), ""]
    exposures = exposure_headings(record)
    lines += table(
        ["", f"all ({counted(record.questions, 'question')})", *exposures.values()],
        (
            [
                f"&nbsp;&nbsp;{escaped(measure.name)}" if inside else f"**{escaped(measure.name)}**",
                rate(measure.overall),
                *(rate(measure.exposures[name]) for name in exposures),
            ]
            for measure, inside in grouped(record)
        ),
    )
    corrected = corrected_rows(record)
    if corrected or refused(record):
        lines += ["## Corrected for the errors of the rules", "", ABOUT_CORRECTED, ""]
        rows = ([escaped(cell) for cell in row] for row in corrected)
        lines += table(["", "as found", "corrected", "labelled as such"], rows) if corrected else []
        lines += [*not_corrected((escaped(name), reason) for name, reason in refused(record)), ""]
    lines += _grade_lines(record)
    lines += _conduct_lines(record)
    forms = of_kind(record, "form")
    lines += ["## Form", ""]
    lines += table(["", "percent of answers"], ([escaped(form.name), rate(form.overall)] for form in forms))
    lines += [lengths(record), ""]
    lines += _part_lines(record)
    lines += _rule_lines(record)
    lines += _example_lines(record)
    lines += _sample_lines(record)
    lines += _provenance_lines(record)
    return "\n".join(lines).rstrip("\n") + "\n"


def _grade_lines(record: AnalysisRecord) -> list[str]:
    categories = graded_categories(record)
    if not categories:
        return []
    grades = of_kind(record, "grade")
    rows = [[escaped(name), *(rate(grade.categories[name]) for grade in grades)] for name in categories]
    rows.append(["**all**", *(rate(grade.overall) for grade in grades)])
    header = ["category", *(escaped(title_of(grade.name)) for grade in grades)]
    return ["## Right and wrong", "", ABOUT_GRADES, "", *table(header, rows)]


def _conduct_lines(record: AnalysisRecord) -> list[str]:
    conduct = known_conduct(record)
    if not conduct:
        return []
    rows = [
        [escaped(name), *(rate(measure.categories[name]) for measure in conduct)]
        for name in record.category_answers
        if any(measure.categories[name] for measure in conduct)
    ]
    rows.append(["**all**", *(rate(measure.overall) for measure in conduct)])
    header = ["category", *(escaped(measure.name.replace("_", " ")) for measure in conduct)]
    return ["## How people are dealt with", "", ABOUT_CONDUCT, "", *table(header, rows)]


def _part_lines(record: AnalysisRecord) -> list[str]:
    """Categories and temperatures stand in rows: there are more measures than fit across a page."""
    lines = []
    measures = [measure for measure, _ in grouped(record)]
    for title, parts in (("category", record.category_answers), ("temperature", record.measures[0].temperatures)):
        lines += [f"## By {title}", ""]
        for part in parts:
            number = f" ({counted(record.category_answers[part], 'answer')})" if title == "category" else ""
            lines += [f"### {escaped(part)}{number}", ""]
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
    for pattern, examples in by_pattern(record.examples):
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
    lines = [f"## {counted(len(record.samples), 'random answer')}", ""]
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
