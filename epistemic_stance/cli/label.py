"""label run and label score: call the stage, print its tables."""

from __future__ import annotations

from rich.console import Console

from epistemic_stance.cli.terminal_reporter import terminal_reporter
from epistemic_stance.evaluation.correction import rule_errors
from epistemic_stance.foundation.errors import NotMetError
from epistemic_stance.foundation.settings import LabelScoreSettings, LabelSettings
from epistemic_stance.labelling import run, score_file
from epistemic_stance.report.label_report import label_notices, label_sections, score_json, score_sections
from epistemic_stance.report.terminal import print_notices, print_sections


def label_answers(settings: LabelSettings) -> None:
    console = Console(highlight=False)
    with terminal_reporter(console) as reporter:
        sample = run.run(settings, reporter)
    errors = rule_errors(sample, run.scorer_of(settings))
    print_notices(label_notices(sample, errors), console)
    print_sections(label_sections(sample, errors), console)


def score_labels(settings: LabelScoreSettings) -> None:
    """Raises NotMetError if a figure is below what --require asks."""
    scored = score_file.run(settings)
    console = Console(highlight=False)
    if settings.json:
        console.out(score_json(scored), highlight=False)
    else:
        print_sections(score_sections(scored), console)
    if scored.missed:
        raise NotMetError("\n".join(scored.missed))
