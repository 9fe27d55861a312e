"""score, analyze, compare, select and report: call the stage, write its page, print its tables."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from epistemic_stance.cli.terminal_reporter import terminal_reporter
from epistemic_stance.evaluation import analyze, compare, select
from epistemic_stance.foundation.files import write_atomic
from epistemic_stance.foundation.reporter import Reporter
from epistemic_stance.foundation.settings import (
    AnalyzeSettings,
    CompareSettings,
    LabelSettings,
    ReportSettings,
    ScoreSettings,
    SelectSettings,
)
from epistemic_stance.foundation.terminal import plain
from epistemic_stance.labelling import run as labelling
from epistemic_stance.records.analysis import AnalysisRecord
from epistemic_stance.records.comparison import ComparisonRecord
from epistemic_stance.records.run_folder import RunFolder
from epistemic_stance.report import analysis_sections, comparison_sections
from epistemic_stance.report import run as reporting
from epistemic_stance.report.cards import write_cards
from epistemic_stance.report.selection_sections import print_selection
from epistemic_stance.scoring import run as scoring


def score_answers(settings: ScoreSettings) -> None:
    with terminal_reporter(Console(highlight=False)) as reporter:
        scoring.run(settings, reporter)


def analyze_answers(settings: AnalyzeSettings) -> None:
    console = Console(highlight=False)
    with terminal_reporter(console) as reporter:
        record, written = write_analysis(settings, reporter)
    analysis_sections.print_analysis(record, console)
    _print_written(written, console)


def write_analysis(settings: AnalyzeSettings, reporter: Reporter) -> tuple[AnalysisRecord, list[Path]]:
    """Analyse, and write analysis.md beside analysis.json; returns what is written as well."""
    record = analyze.run(settings, reporter)
    path = analyze.analysis_path(Path(record.file), settings.output)
    page = path.with_suffix(".md")
    write_atomic(page, analysis_sections.markdown(record))
    return record, [page, path, scoring.scores_path(Path(record.file), settings.output)]


def compare_answers(settings: CompareSettings) -> None:
    console = Console(highlight=False)
    with terminal_reporter(console) as reporter:
        record, written = write_comparison(settings, reporter)
    comparison_sections.print_comparison(record, console)
    _print_written(written, console)


def write_comparison(settings: CompareSettings, reporter: Reporter) -> tuple[ComparisonRecord, list[Path]]:
    """Compare, and write comparison.md beside comparison.json; returns what is written as well."""
    record = compare.run(settings, reporter)
    path = compare.comparison_path(Path(record.after.file), settings.output)
    page = path.with_suffix(".md")
    write_atomic(page, comparison_sections.markdown(record))
    return record, [path, page]


def select_checkpoint(settings: SelectSettings, console: Console | None = None) -> None:
    """Choose, write the cards, print the tables, draw answers to label.

    Raises NotMetError as `select.require_success` does.
    """
    console = console or Console(highlight=False)
    with terminal_reporter(console) as reporter:
        record = select.run(settings, reporter)
    write_cards(RunFolder(settings.run), record)
    print_selection(record, console)
    _print_written([RunFolder(settings.run).selection], console)
    if record.chosen is not None:
        with terminal_reporter(console) as reporter:
            labelling.offer(LabelSettings(settings.run, stance=settings.stance, corpus=settings.corpus), reporter)
    select.require_success(record, settings.run)


def write_report(settings: ReportSettings) -> None:
    with terminal_reporter(Console(highlight=False)) as reporter:
        reporting.run(settings, reporter)


def _print_written(paths: list[Path], console: Console) -> None:
    console.print(plain(f"Written: {', '.join(map(str, paths))}"), soft_wrap=True)
