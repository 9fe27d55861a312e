"""The table at the end of a training: first and last epoch, the guide's targets and what they say."""

from __future__ import annotations

import io
import re

import pytest
from report_run import epoch_record
from rich.console import Console

from epistemic_stance.foundation.settings import LossName
from epistemic_stance.records.training import EpochRecord
from epistemic_stance.report.training_table import training_table


def shown(first: EpochRecord, last: EpochRecord, loss: LossName = "sigmoid") -> list[list[str]]:
    console = Console(file=io.StringIO(), width=80)
    console.print(training_table([first, epoch_record(2), last], loss))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    return [re.split(r" {2,}", line.strip()) for line in lines if line.startswith(("preference", "accuracy"))]


def epoch(preference_loss: float, accuracy: float) -> EpochRecord:
    return epoch_record(1).model_copy(update={"preference_loss": preference_loss, "avg_accuracy": accuracy})


@pytest.mark.parametrize(
    ("preference_loss", "accuracy", "verdicts"),
    [(0.31, 0.7, ("not met", "not met")), (0.29, 0.75, ("met", "met")), (0.19, 0.81, ("met (best)", "met (best)"))],
)
def test_targets_of_the_guide(preference_loss: float, accuracy: float, verdicts: tuple[str, str]) -> None:
    loss, share = shown(epoch(0.6931, 0.5), epoch(preference_loss, accuracy))
    assert loss == ["preference loss", "0.6931", f"{preference_loss:.4f}", "< 0.3", "< 0.2", verdicts[0]]
    assert share == ["accuracy", "50.0%", f"{accuracy:.1%}", "> 70%", "> 80%", verdicts[1]]


def test_the_targets_for_the_loss_are_those_of_the_sigmoid_loss() -> None:
    loss, share = shown(epoch(25.0, 0.5), epoch(0.1, 0.9), "ipo")
    assert loss == ["preference loss", "25.0000", "0.1000", "none for ipo"]
    assert share[-1] == "met (best)"


def test_rounding_below_zero_is_zero() -> None:
    assert shown(epoch(0.6931, 0.5), epoch(-1e-8, 1.0))[0][2] == "0.0000"
