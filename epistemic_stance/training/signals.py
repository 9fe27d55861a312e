"""Ctrl-C, SIGTERM and a closed terminal as a request the loop answers between two steps; a second stops at once."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType

from epistemic_stance.errors import StoppedError


class StopSignals:
    """Context in which SIGINT, SIGTERM and SIGHUP set `requested` to their number instead of killing the process."""

    def __init__(self) -> None:
        self.requested: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> StopSignals:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # nohup: the run is meant to outlive its terminal
            self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self.requested is not None:
            raise StoppedError("stopped at once; the last saved state is intact", number, "continue with --resume")
        self.requested = number
