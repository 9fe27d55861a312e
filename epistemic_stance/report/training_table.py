"""A finished training for people: the guide's targets on the training pairs, and what unseen questions got."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath

from rich.table import Table

from epistemic_stance.foundation.console import figure_table
from epistemic_stance.foundation.settings import LossName
from epistemic_stance.records.training import CheckpointMetadata, EpochRecord

LOSS_TARGET, LOSS_BEST = 0.3, 0.2
ACCURACY_TARGET, ACCURACY_BEST = 0.70, 0.80
"""The guide's targets for training loss and accuracy."""


def training_table(epochs: Sequence[EpochRecord], loss: LossName) -> Table:
    """Loss and accuracy of the first and the last epoch beside the guide's targets.

    The targets for the loss are those of the sigmoid loss; another loss has other values and gets no verdict.
    """
    first, last = epochs[0], epochs[-1]
    table = figure_table(
        "Training finished: the guide's targets on the training pairs",
        *("", "first epoch", "last epoch", "target", "best", "verdict"),
    )
    value = last.preference_loss
    targets = (f"< {LOSS_TARGET}", f"< {LOSS_BEST}", _verdict(value < LOSS_TARGET, value < LOSS_BEST))
    table.add_row(
        "preference loss",
        f"{first.preference_loss:z.4f}",
        f"{last.preference_loss:z.4f}",
        *(targets if loss == "sigmoid" else ("", "", f"none for {loss}")),
    )
    table.add_row(
        "accuracy",
        f"{first.avg_accuracy:.1%}",
        f"{last.avg_accuracy:.1%}",
        f"> {ACCURACY_TARGET:.0%}",
        f"> {ACCURACY_BEST:.0%}",
        _verdict(last.avg_accuracy > ACCURACY_TARGET, last.avg_accuracy > ACCURACY_BEST),
    )
    return table


def checkpoint_lines(epochs: Sequence[EpochRecord], within: Sequence[tuple[str, CheckpointMetadata]]) -> Iterator[str]:
    """What unseen questions were answered at each checkpoint; nothing if none were asked.

    Args:
        within: name and metadata of the checkpoints of steps.
    """
    saved = [(each.step, PurePath(each.checkpoint).name, each.evaluation) for each in epochs if each.checkpoint]
    saved += [(each.step, name, each.evaluation) for name, each in within]
    evaluated = [(name, evaluation) for _, name, evaluation in sorted(saved, key=lambda each: each[0]) if evaluation]
    if evaluated:
        yield "Loss and accuracy say nothing about other questions. What unseen questions got:"
    for name, evaluation in evaluated:
        yield f"  {name}  {evaluation.summary}"


def _verdict(target: bool, best: bool) -> str:
    return "met (best)" if best else "met" if target else "not met"
