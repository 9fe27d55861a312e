"""The report as Markdown: the same sections; of charts the tables of their figures, and no answers."""

from __future__ import annotations

from epistemic_stance.report.layout import Cell, Report, Section, Table
from epistemic_stance.report.markdown import escaped, table


def markdown(report: Report) -> str:
    lines = [f"# {escaped(report.title)}", "", f"{escaped(report.about)}.", ""]
    lines += [f"> {escaped(warning)}\n" for warning in report.warnings]
    lines += [f"**{escaped(report.verdict)}**{escaped(report.reason)}.", ""]
    for kind in dict.fromkeys(cell.below for cell in report.counts):
        told = ", ".join(escaped(cell.text) for cell in report.counts if cell.below == kind)
        lines.append(f"- {kind}: {told}")
    lines += [""] if report.counts else []
    for section in report.sections:
        lines += _section(section)
    return "\n".join(lines).rstrip("\n") + "\n"


def _section(section: Section) -> list[str]:
    lines = [f"{'#' * section.level} {escaped(section.title)}", ""]
    for text in section.lead:
        lines += [escaped(text), ""]
    if section.browser:
        lines += ["Side by side they are in report.html.", ""]
    if section.items:
        lines += [*(f"- {escaped(one)}" for one in section.items), ""]
    for one in section.tables:
        lines += _table(one)
    for text in section.text:
        lines += [escaped(text), ""]
    return lines


def _table(found: Table) -> list[str]:
    rows = ([_cell(cell) for cell in row] for row in found.cells)
    head, _, *body = table([escaped(one) for one in found.head], rows)
    left = ("---" if found.words or number in found.left else "---:" for number in range(len(found.head)))
    return [f"{escaped(found.caption)}:", "", head, f"|{'|'.join(left)}|", *body]


def _cell(cell: Cell) -> str:
    below = f" ({escaped(cell.below)})" if cell.below else ""
    return f"{escaped(cell.text)}{below}"
