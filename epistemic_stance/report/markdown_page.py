"""Sections as Markdown: of charts the tables of their figures, and no answers that a page shows by a script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from epistemic_stance.report.excerpts import excerpt_of
from epistemic_stance.report.layout import Cell, Quote, Report, Section, Table
from epistemic_stance.report.markdown import escaped, fenced, table

AROUND = 400
"""Characters shown on each side of a match."""


def report_page(report: Report) -> str:
    """report.md."""
    verdict = [f"**{escaped(report.verdict)}**{escaped(report.reason)}.", ""]
    for kind in dict.fromkeys(cell.below for cell in report.counts):
        counts = ", ".join(escaped(cell.text) for cell in report.counts if cell.below == kind)
        verdict.append(f"- {kind}: {counts}")
    verdict += [""] if report.counts else []
    return page(report.title, [report.about], report.warnings, report.sections, verdict)


def page(
    title: str, about: Sequence[str], notices: Iterable[str], sections: Iterable[Section], verdict: Iterable[str] = ()
) -> str:
    """A whole page; `verdict` is Markdown already."""
    lines = [f"# {escaped(title)}", ""]
    for text in about:
        lines += [f"{escaped(text)}.", ""]
    lines += [f"> {escaped(notice)}\n" for notice in notices]
    lines += verdict
    for section in sections:
        lines += section_lines(section)
    return "\n".join(lines).rstrip("\n") + "\n"


def section_lines(section: Section) -> list[str]:
    lines = [f"{'#' * section.level} {escaped(section.title)}", ""]
    for text in section.lead:
        lines += [escaped(text), ""]
    if section.browser:
        lines += ["Side by side they are in report.html.", ""]
    if section.items:
        lines += [*(f"- {escaped(item)}" for item in section.items), ""]
    for shown in section.tables:
        same = shown.caption == section.title
        lines += [*([] if same else [f"{escaped(shown.caption)}:", ""]), *table_lines(shown)]
    for quote in section.quotes:
        lines += _quote_lines(quote)
    for text in section.text:
        lines += [escaped(text), ""]
    return lines


def table_lines(shown: Table) -> list[str]:
    rows = ([_cell(cell) for cell in row] for row in shown.cells)
    head, _, *body = table([escaped(name) for name in shown.head], rows)
    align = ("---" if shown.words or number in shown.left else "---:" for number in range(len(shown.head)))
    return [head, f"|{'|'.join(align)}|", *body]


def _cell(cell: Cell) -> str:
    indent = "&nbsp;" * (len(cell.text) - len(cell.text.lstrip(" ")))
    text = f"**{escaped(cell.text)}**" if cell.weight == "strong" and cell.text else escaped(cell.marked)
    return f"{indent}{text}{f' ({escaped(cell.below)})' if cell.below else ''}"


def _quote_lines(quote: Quote) -> list[str]:
    if quote.match:
        return [escaped(quote.title), "", f"> {excerpt_of(quote.text, quote.match, AROUND).bold()}", ""]
    return [f"{escaped(quote.title)}:", "", fenced(quote.text), ""]
