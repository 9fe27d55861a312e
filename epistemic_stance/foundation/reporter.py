"""What a stage tells whoever started it: events. A terminal, a log file, a tracker and silence are reporters.

A stage never prints. It calls its reporter with one of the events below, and returns or writes its result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Started:
    """A stage is about to work, and on what."""

    title: str
    rows: Sequence[tuple[str, str]] = ()
    """Name and value, one line each."""


@dataclass(frozen=True)
class Progress:
    """So much of the stage's work is done. Sent at least once a second while there is work."""

    done: int
    total: int
    unit: str
    """What is counted, in the plural: answers, steps."""
    detail: str = ""
    """What is being worked on."""


@dataclass(frozen=True)
class Note:
    """Worth a line."""

    text: str


@dataclass(frozen=True)
class Warned:
    """Worth a line that stands out: the work goes on, and its reader has to know this."""

    text: str


@dataclass(frozen=True)
class Epoch:
    """An epoch of a training is done."""

    number: int
    figures: Mapping[str, float]
    """By the field names of the epoch log; what is unknown is absent."""
    checkpoint: str | None
    """Name of the folder, if one was saved."""
    evaluation: str | None
    """What unseen questions were answered at this checkpoint, in a sentence."""


@dataclass(frozen=True)
class Saved:
    """A checkpoint was saved within an epoch of a training."""

    step: int
    figures: Mapping[str, float]
    """Of the epoch so far, by the field names of the epoch log."""
    checkpoint: str
    evaluation: str | None


@dataclass(frozen=True)
class Finished:
    """The stage is done: what came of it, a line each."""

    lines: Sequence[str] = ()


Event = Started | Progress | Note | Warned | Epoch | Saved | Finished
Reporter = Callable[[Event], None]


def to_all(reporters: Sequence[Reporter]) -> Reporter:
    """A reporter that passes every event on to each of these, in their order."""

    def report(event: Event) -> None:
        for reporter in reporters:
            reporter(event)

    return report


def silent(_: Event) -> None:
    """The reporter that tells nobody."""
