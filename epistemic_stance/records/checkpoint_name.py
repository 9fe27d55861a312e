"""Names of checkpoints: `checkpoint-010` after an epoch, `checkpoint-step-0005` after a step within one."""

from __future__ import annotations

import re
from dataclasses import dataclass

FOLDER = re.compile(r"checkpoint-(step-)?(\d+)")
WRITTEN = re.compile(r"(?:checkpoint-)?(step-?)?(\d+)")


@dataclass(frozen=True, order=True)
class CheckpointName:
    """What a checkpoint is named after: an epoch, or an optimizer step within one."""

    number: int
    is_step: bool = False

    @property
    def folder(self) -> str:
        return f"checkpoint-step-{self.number:04d}" if self.is_step else f"checkpoint-{self.number:03d}"

    @property
    def short(self) -> str:
        """As it is written in a list: 10, step5."""
        return f"step{self.number}" if self.is_step else str(self.number)


def checkpoint_of(folder: str) -> CheckpointName | None:
    """What a folder of this name holds, however many zeros lead its number; None for any other name."""
    return _parsed(FOLDER, folder)


def written_checkpoint(text: str) -> CheckpointName | None:
    """What a person means by 10, step5, step-0005 or the name of a folder; None for anything else."""
    return _parsed(WRITTEN, text.strip())


def _parsed(form: re.Pattern[str], text: str) -> CheckpointName | None:
    match = form.fullmatch(text)
    return CheckpointName(int(match[2]), match[1] is not None) if match and text.isascii() else None
