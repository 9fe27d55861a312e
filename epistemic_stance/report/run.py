"""`stance report`: write report.html and report.md from what lies in a run folder."""

from __future__ import annotations

import time

from rich.console import Console

from epistemic_stance.foundation.console import Printer
from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.files import require_folder, write_atomic
from epistemic_stance.foundation.settings import DEMO_NOTICE, ReportSettings
from epistemic_stance.records.run_folder import RunFolder
from epistemic_stance.report import copied, curves, provenance, verdicts
from epistemic_stance.report.browser import Answers, browsed
from epistemic_stance.report.gather import Material, gather
from epistemic_stance.report.html_page import html
from epistemic_stance.report.layout import Report, Section
from epistemic_stance.report.markdown_page import markdown


def run_report(settings: ReportSettings, console: Console) -> None:
    """Read everything, then write both files. Raises InputError for what cannot be read, StorageError."""
    if settings.sample < 1:
        what = f"expected 1 or more, found {settings.sample}"
        raise InputError([Problem("command line", what, field="--sample")])
    folder = settings.output or settings.run
    require_folder(folder, "--output")
    printer = Printer(console)
    started = time.monotonic()
    material = gather(settings.run)
    answers = browsed(material, settings.sample, settings.seed)
    report = compose(material, answers)
    page = html(report, answers)
    written = RunFolder(folder)
    write_atomic(written.report_html, page)
    write_atomic(written.report_markdown, markdown(report))
    printer.note(f"{report.verdict}{report.reason}.")
    shown = f"{answers.shown:,} pairs of answers, " if answers else "no answers, "
    size = f"{len(page.encode()) / 1e6:.1f} MB, {time.monotonic() - started:.1f} s"
    printer.note(f"Written: {written.report_html} ({shown}{size}) and {written.report_markdown}")


def compose(material: Material, answers: Answers | None) -> Report:
    """All of the report but the answers themselves."""
    verdict, state, reason = verdicts.headline(material.selection)
    warnings = [DEMO_NOTICE[:1].upper() + DEMO_NOTICE[1:]] if verdicts.is_demo(material) else []
    warnings += material.notices
    shown = material.selection.candidate(material.selection.shown) if material.selection else None
    return Report(
        title=f"Report on {material.folder.resolve().name}",
        about=verdicts.about(material),
        verdict=verdict,
        state=state,
        reason=reason,
        counts=verdicts.counts(material.selection),
        warnings=warnings,
        sections=[
            *verdicts.sections(material),
            *curves.sections(material, copied.sections(answers, shown.parroting if shown else None)),
            provenance.corrected(material),
            Section("Answers", 2, answers.notes if answers else ["No answers of both models."], browser=bool(answers)),
            provenance.provenance(material),
            *provenance.not_shown(material),
        ],
    )
