"""Ctrl-C, SIGTERM and a closed terminal: answered between two steps, or at once but never inside a write."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Self

from epistemic_stance.foundation.errors import StoppedError


class StopSignals:
    """Context in which SIGINT, SIGTERM and SIGHUP set `requested` to their number instead of killing the process.

    The loop looks at it between two steps; a second signal stops at once.
    """

    def __init__(self) -> None:
        self.requested: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Self:
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


class StopAtOnce(StopSignals):
    """Context in which the same signals raise KeyboardInterrupt where they arrive, or at the end of `held_back`."""

    def __init__(self) -> None:
        super().__init__()
        self._held = False

    @contextlib.contextmanager
    def held_back(self) -> Iterator[None]:
        """What is done in here is done to its end. A signal that came before and was swallowed is heard here."""
        self.hold()
        yield
        self._held = False
        if self.requested is not None:
            raise KeyboardInterrupt

    def hold(self) -> None:
        """From here on only `requested` tells of a signal."""
        self._held = True

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self.requested = number
        if not self._held:
            raise KeyboardInterrupt


@contextlib.contextmanager
def stoppable(kept: str, hint: str) -> Iterator[None]:
    """Raises StoppedError, saying what is kept and how to go on, when a signal arrives inside."""
    with StopAtOnce() as signals:
        try:
            yield
        except KeyboardInterrupt:
            number = signals.requested or signal.SIGINT
            raise StoppedError(f"stopped by {signal.Signals(number).name}; {kept}", number, hint) from None
