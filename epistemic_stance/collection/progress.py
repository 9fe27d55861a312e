"""What a person sees of a collection: header, progress with rate and time left, what came of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from epistemic_stance.collection.design import Design
from epistemic_stance.collection.plan import FILTERED
from epistemic_stance.foundation.console import Printer, duration
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records.collection import CollectionRecord

BAR_WIDTH = 20
"""Leaves room for counts, rate and time left in 80 columns."""
SECONDS_TO_FIRST_LINE = 5.0
SECONDS_BETWEEN_LINES = 20.0
"""Where there is no terminal to draw a bar on; the first line tells how long it will take."""
SECONDS_BETWEEN_WAITS = 10.0
"""From the end of a wait that was shown until another as long is."""


class Display(Printer):
    """Prints a collection; `done` and `total` count the answers of the whole file, the rate those of this run."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        columns = (
            BarColumn(BAR_WIDTH),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[pace]}"),
        )
        self._progress = Progress(*columns, console=console, transient=True) if console.is_terminal else None
        self._task = self._progress.add_task("answers", start=False, total=None, pace="") if self._progress else None
        self._begun = self._last_line = 0.0
        self._done_before = self._done = self._total = 0
        self._ahead = 0
        """Answers of groups that are not written yet."""
        self._silent_until = 0.0

    def start(self, done: int, total: int) -> None:
        self._begun = time.monotonic()
        self._last_line = self._begun + SECONDS_TO_FIRST_LINE - SECONDS_BETWEEN_LINES
        self._done_before = self._done = done
        self._total = total
        if self._progress and self._task is not None:
            self._progress.update(self._task, total=total, completed=done)
            self._progress.start_task(self._task)
            self._progress.start()

    def stop(self) -> None:
        if self._progress:
            self._progress.stop()

    def answered(self) -> None:
        """One more answer is complete, though not on the disk yet."""
        self._ahead += 1
        self._show()

    def written(self, answers: int) -> None:
        self._done += answers
        self._ahead = 0
        self._show()

    def waiting(self, what: str, wait_s: float) -> None:
        """A request failed and is made again after so many seconds; many do at once, and few are shown."""
        end = time.monotonic() + wait_s
        if end >= self._silent_until:
            self._silent_until = end + SECONDS_BETWEEN_WAITS
            self.note(f"  {what}", "yellow")

    def _show(self) -> None:
        done = min(self._done + self._ahead, self._total)
        per_minute = 60 * (done - self._done_before) / max(time.monotonic() - self._begun, 1e-9)
        pace = f"{_rate(per_minute)}, about {duration(60 * (self._total - done) / per_minute)} left"
        now = time.monotonic()
        if self._progress and self._task is not None:
            self._progress.update(self._task, completed=done, pace=pace)
        elif now - self._last_line >= SECONDS_BETWEEN_LINES and done < self._total:
            self._last_line = now
            self.note(f"{done} of {self._total} answers; {pace}")

    def finished(self, reasons: Counter[str], limit: int, path: Path, next_command: str) -> None:
        asked, seconds = self._done - self._done_before, max(time.monotonic() - self._begun, 1e-9)
        counts = [f"{reasons['eos']} ended by themselves", f"{reasons['length']} were cut at {limit} tokens"]
        if reasons[FILTERED]:
            counts.append(f"{reasons[FILTERED]} were cut by the server's content filter")
        counts.append(f"{reasons['empty']} are empty")
        speed = f"; {asked} of them now, {_rate(60 * asked / seconds)}" if asked else ""
        self.note(f"{reasons.total()} answers: {', '.join(counts)}{speed}")
        self.note(f"answers: {path}")
        self.note(f"next: {next_command}")


def _rate(per_minute: float) -> str:
    return f"{per_minute:.0f} answers/min" if per_minute >= 10 else f"{per_minute:.1f} answers/min"


def header_rows(design: Design, plan: CollectionRecord, done: int, path: Path) -> Sequence[tuple[str, str]]:
    count = len(design.items)
    full = sum(1 if temperature == 0 else design.iterations for temperature in design.temperatures)
    product = f"{_many(len(design.questions), 'question')} x {_many(len(design.temperatures), 'temperature')}"
    asked = f"{product} x {_many(design.iterations, 'iteration')} = {full * len(design.questions)} answers"
    if 0 in design.temperatures and design.iterations > 1:
        asked += ", greedy ones once"
    if count < full * len(design.questions):
        asked += f"; {count} of them, spread over the questions"
    sampling = plan.sampling
    top_k = sampling.top_k or "off"
    drawn = f"temperatures {', '.join(f'{value:g}' for value in design.temperatures)}; top_p {sampling.top_p:g}, "
    drawn += f"top_k {top_k}, repetition_penalty {sampling.repetition_penalty:g}; "
    drawn += f"at most {plan.max_new_tokens} tokens; seed {plan.seed}"
    prompt = "the chat template's own" if plan.system_prompt is None else shorten(plan.system_prompt, 100)
    if plan.backend == "endpoint":
        place = f"{plan.endpoint}; the server does not say which weights it has"
    else:
        place = f"{plan.device}, {plan.dtype}, {plan.slots} answers side by side, {_many(plan.threads or 1, 'thread')}"
    rows = [
        ("model", plan.model),
        ("questions", f"{design.question_set} of stance {design.stance}, {_many(len(design.categories), 'category')}"),
        ("asked", asked),
        ("sampling", drawn),
        ("system", prompt),
        ("where", place),
        ("answers", str(path)),
    ]
    return [*rows, ("continued", f"{done} answers are there, {count - done} are missing")] if done else rows


def _many(count: int, noun: str) -> str:
    plural = noun.removesuffix("y") + "ies" if noun.endswith("y") else f"{noun}s"
    return f"{count} {noun if count == 1 else plural}"
