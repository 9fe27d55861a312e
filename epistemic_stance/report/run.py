"""`stance report`: write report.html and report.md from what lies in a run folder."""

from __future__ import annotations

import time
from pathlib import Path

from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.files import require_folder, write_atomic
from epistemic_stance.foundation.reporter import Finished, Reporter
from epistemic_stance.foundation.settings import DEMO_NOTICE, ReportSettings
from epistemic_stance.records.run_folder import RunFolder
from epistemic_stance.report import copied, curves, provenance, selection_sections
from epistemic_stance.report.browser import Answers, browsed
from epistemic_stance.report.figures import counted
from epistemic_stance.report.gather import Material, gather
from epistemic_stance.report.html_page import html
from epistemic_stance.report.layout import Report, Section
from epistemic_stance.report.markdown_page import report_page


def run(settings: ReportSettings, reporter: Reporter) -> Path:
    """Read everything, then write both files; returns report.html.

    Raises InputError for what cannot be read, StorageError.
    """
    if settings.sample < 1:
        what = f"expected 1 or more, found {settings.sample}"
        raise InputError([Problem("command line", what, field="--sample")])
    folder = settings.output or settings.run
    require_folder(folder, "--output")
    started = time.monotonic()
    material = gather(settings.run)
    answers = browsed(material, settings.sample, settings.seed)
    report = compose(material, answers)
    page = html(report, answers)
    written = RunFolder(folder)
    write_atomic(written.report_html, page)
    write_atomic(written.report_markdown, report_page(report))
    shown = f"{answers.shown:,} pairs of answers, " if answers else "no answers, "
    size = f"{len(page.encode()) / 1e6:.1f} MB, {time.monotonic() - started:.1f} s"
    written_line = f"Written: {written.report_html} ({shown}{size}) and {written.report_markdown}"
    reporter(Finished([f"{report.verdict}{report.reason}.", written_line]))
    return written.report_html


def compose(material: Material, answers: Answers | None) -> Report:
    """All of the report but the answers themselves."""
    selection = material.selection
    no_choice = ": there is no selection.json; stance select makes the choice and writes it"
    verdict, state, reason = (
        selection_sections.headline(selection) if selection else ("No choice was made", "unknown", no_choice)
    )
    warnings = [DEMO_NOTICE[:1].upper() + DEMO_NOTICE[1:]] if material.is_demo else []
    warnings += material.notices
    shown = selection.candidate(selection.shown) if selection else None
    return Report(
        title=f"Report on {material.folder.resolve().name}",
        about=_about(material),
        verdict=verdict,
        state=state,
        reason=reason,
        counts=selection_sections.counts(selection) if selection else (),
        warnings=warnings,
        sections=[
            *(selection_sections.sections(selection) if selection else ()),
            *curves.sections(material, copied.sections(answers, shown.parroting if shown else None)),
            provenance.corrected(material),
            Section("Answers", 2, answers.notes if answers else ["No answers of both models."], browser=bool(answers)),
            provenance.provenance(material),
            *provenance.not_shown(material),
        ],
    )


def _about(material: Material) -> str:
    """What this is, in one line."""
    run = material.run
    parts = [f"Run {material.folder.resolve().name}"]
    if run:
        epochs = f"{run.settings.get('epochs', '?')} epochs"
        parts = [
            f"{parts[0]}: {run.base_model} trained on {counted(run.pairs, 'contrastive pair')} for {epochs}",
            f"stance {Path(run.settings.get('stance') or 'unknown').name}",
        ]
        if run.status != "finished":
            parts.append(f"training {run.status}{': ' + run.reason if run.reason else ''}")
    checkpoints = sum(1 for model in material.models if model.epoch and model.sets)
    parts.append(f"answers of {counted(checkpoints, 'checkpoint')}" if checkpoints else "")
    return "; ".join(part for part in parts if part)
