"""What a person is told of a collection: what it asks before it starts, what came of it at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from epistemic_stance.collection.backend import FILTERED
from epistemic_stance.collection.design import Design
from epistemic_stance.foundation.reporter import Finished, Started
from epistemic_stance.foundation.wording import local_model, shorten
from epistemic_stance.records.collection import CollectionRecord


def started(design: Design, plan: CollectionRecord, done: int, path: Path) -> Started:
    """`done` answers are there already."""
    total = len(design.items)
    sampling = plan.sampling
    drawn = f"temperatures {', '.join(f'{value:g}' for value in design.temperatures)}; top_p {sampling.top_p:g}, "
    drawn += f"top_k {sampling.top_k or 'off'}, repetition_penalty {sampling.repetition_penalty:g}; "
    drawn += f"at most {plan.max_new_tokens} tokens; seed {plan.seed}"
    rows = [
        ("model", plan.model if plan.endpoint else local_model(plan.model)),
        ("questions", f"{design.question_set} of stance {design.stance}, {_many(len(design.categories), 'category')}"),
        ("asked", _asked(design)),
        ("sampling", drawn),
        ("system", "the chat template's own" if plan.system_prompt is None else shorten(plan.system_prompt, 100)),
        ("where", _place(plan)),
        ("answers", str(path)),
    ]
    if done:
        rows.append(("continued", f"{done} answers are there, {total - done} are missing"))
    return Started("stance collect", rows)


def _asked(design: Design) -> str:
    """`3 questions x 2 temperatures x 2 iterations = 12 answers`, and what leaves some of them out."""
    full = sum(1 if temperature == 0 else design.iterations for temperature in design.temperatures)
    product = f"{_many(len(design.questions), 'question')} x {_many(len(design.temperatures), 'temperature')}"
    asked = f"{product} x {_many(design.iterations, 'iteration')} = {full * len(design.questions)} answers"
    if 0 in design.temperatures and design.iterations > 1:
        asked += ", greedy ones once"
    if len(design.items) < full * len(design.questions):
        asked += f"; {len(design.items)} of them, spread over the questions"
    return asked


def _place(plan: CollectionRecord) -> str:
    side_by_side = f"{plan.slots} answers side by side" if plan.slots else None
    threads = _many(plan.threads, "thread") if plan.threads else None
    known = [part for part in (plan.endpoint, plan.device, plan.dtype, side_by_side, threads) if part]
    unknown = "" if plan.weights_digest else f"{plan.backend} does not say which weights it has"
    return "; ".join(part for part in (", ".join(known), unknown) if part)


def finished(endings: Counter[str], asked: int, seconds: float, limit: int, lines: Sequence[str]) -> Finished:
    """`asked` answers came in so many seconds; `limit` is the most tokens of one. `lines` come after."""
    counts = [f"{endings['eos']} ended by themselves", f"{endings['length']} were cut at {limit} tokens"]
    if endings[FILTERED]:
        counts.append(f"{endings[FILTERED]} were cut by the server's content filter")
    counts.append(f"{endings['empty']} are empty")
    pace = f"; {asked} of them now, {_rate(60 * asked / max(seconds, 1e-9))}" if asked else ""
    return Finished([f"{endings.total()} answers: {', '.join(counts)}{pace}", *lines])


def _rate(per_minute: float) -> str:
    return f"{per_minute:.0f} answers/min" if per_minute >= 10 else f"{per_minute:.1f} answers/min"


def _many(count: int, noun: str) -> str:
    plural = noun.removesuffix("y") + "ies" if noun.endswith("y") else f"{noun}s"
    return f"{count} {noun if count == 1 else plural}"
