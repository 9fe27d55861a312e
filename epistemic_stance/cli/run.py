"""`stance run`: from the checkpoints of a training to a choice and a report."""

from __future__ import annotations

from rich.console import Console

from epistemic_stance.cli.evaluate import select_checkpoint, write_report
from epistemic_stance.cli.terminal_reporter import unfailing
from epistemic_stance.cli.validate import validate
from epistemic_stance.foundation.errors import NotMetError
from epistemic_stance.foundation.settings import ReportSettings, RunSettings, SelectSettings


def run_pipeline(settings: RunSettings, console: Console) -> None:
    """Validate, select, report. What is finished and unchanged is not done again.

    Raises what the stages raise; NotMetError of the selection after the report is written, which is wanted most then.
    """
    verdict: NotMetError | None = None
    with unfailing(console):
        validate(settings, console)
        try:
            select_checkpoint(SelectSettings(settings.run, stance=settings.stance, seed=settings.seed), console)
        except NotMetError as error:
            verdict = error
        write_report(ReportSettings(settings.run))
    if verdict:
        raise verdict
