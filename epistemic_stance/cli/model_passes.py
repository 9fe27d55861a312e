"""Open each model of a run once: probe it, ask it its question sets, and drop it before the next one is loaded."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from epistemic_stance.collection import source
from epistemic_stance.collection.backend import Backend
from epistemic_stance.collection.design import Design, read_design
from epistemic_stance.collection.run import Collected, collect
from epistemic_stance.foundation.console import duration
from epistemic_stance.foundation.reporter import Event, Note, Progress, Reporter, Warned
from epistemic_stance.foundation.settings import DEMO_NOTICE, CollectMode, CollectSettings, ProbeSettings, RunSettings
from epistemic_stance.probing.run import Prober
from epistemic_stance.probing.targets import Target, TargetModel
from epistemic_stance.records.collection import CollectionRecord
from epistemic_stance.records.run_folder import AnswerFiles
from epistemic_stance.stance.trained_questions import TRAINED

if TYPE_CHECKING:
    from epistemic_stance.models.open import OpenedModel


@dataclass(frozen=True)
class Collection:
    """A question set that a model is asked."""

    model: str
    settings: CollectSettings
    design: Design
    files: AnswerFiles

    @property
    def total(self) -> int:
        return len(self.design.items)

    def present(self) -> int:
        """Answers that are there and stay."""
        if self.settings.overwrite or not self.files.responses.is_file():
            return 0
        return min(self.total, self.files.responses.read_bytes().count(b"\n"))


@dataclass(frozen=True)
class ModelPass:
    """A model, and what it is asked while it is open."""

    model: TargetModel
    collections: list[Collection]


@dataclass(frozen=True)
class PassResult:
    collected: list[Collected]
    """One for each collection."""
    seconds: float
    """Loading and probing included."""

    @property
    def asked(self) -> int:
        """Answers that were asked for now; the others were there."""
        return sum(collected.asked for collected in self.collected)

    def after(self, earlier: PassResult | None) -> PassResult:
        """Both together; what was collected earlier is a part of what was now."""
        if earlier is None:
            return self
        before = {one.path: one for one in earlier.collected}
        collected = [
            replace(now, asked=then.asked + now.asked, seconds=then.seconds + now.seconds)
            if (then := before.get(now.path))
            else now
            for now in self.collected
        ]
        return PassResult(collected, earlier.seconds + self.seconds)


def probe_settings(settings: RunSettings, checkpoints: str) -> ProbeSettings:
    return ProbeSettings(
        str(settings.run),
        base=settings.base,
        stance=settings.stance,
        checkpoints=checkpoints,
        choices=settings.choices,
        overwrite=settings.overwrite,
        device=settings.device,
        dtype=settings.dtype,
        threads=settings.threads,
    )


def trained_corpus(target: Target) -> Path | None:
    """The pairs that the run was trained on; None = the stance's own."""
    written = target.trained.settings.get("corpus") if target.trained else None
    return Path(written) if written else None


def collection_of(
    settings: RunSettings, target: Target, model: TargetModel, files: AnswerFiles, mode: CollectMode
) -> Collection:
    """The question set is the folder of the files. Raises InputError for a set that the stance does not have."""
    name = files.responses.parent.name
    collect_settings = CollectSettings(
        model=model.files.name,
        stance=target.stance,
        questions=name,
        mode=mode,
        corpus=trained_corpus(target) if name == TRAINED else None,
        system_prompt=target.trained.system_prompt if target.trained else None,
        seed=settings.seed,
        output_dir=files.responses.parent,
        overwrite=settings.overwrite,
        device=settings.device,
        dtype=settings.dtype,
        slots=settings.slots,
        threads=settings.threads,
    )
    return Collection(model.name, collect_settings, read_design(collect_settings), files)


def run_passes(
    passes: Sequence[ModelPass], settings: RunSettings, prober: Prober | None, reporter: Reporter
) -> dict[str, PassResult]:
    """Run one model after the other, the base model first; returns what came of each.

    A model is loaded only if it has to be probed or lacks an answer, and then once. Without a prober nothing is probed.
    Raises what probing and collecting raise; what was measured and answered before is kept.
    """
    overall = OverallReporter(reporter, [collection for each in passes for collection in each.collections])
    results = {}
    for each in passes:
        started = time.monotonic()
        collected = _run_pass(each, settings, prober, overall)
        results[each.model.name] = PassResult(collected, time.monotonic() - started)
        overall.finish(each.model.name, results[each.model.name])
    asked, seconds = (
        sum(result.asked for result in results.values()),
        sum(result.seconds for result in results.values()),
    )
    answers = sum(collected.plan.responses for result in results.values() for collected in result.collected)
    reporter(Note(f"{answers:,} answers, {asked:,} of them now, in {duration(seconds)}"))
    return results


def _run_pass(
    each: ModelPass, settings: RunSettings, prober: Prober | None, overall: OverallReporter
) -> list[Collected]:
    files = each.model.files

    @functools.cache
    def opened() -> OpenedModel:
        from epistemic_stance.models.open import open_model

        return open_model(files, device=settings.device, dtype=settings.dtype, threads=settings.threads)

    def open_backend(
        collect_settings: CollectSettings, design: Design, begun: CollectionRecord | None, _reporter: Reporter
    ) -> Backend:
        return source.local_backend(opened(), collect_settings, design, begun)

    if prober and prober.needs(each.model):
        overall.detail(f"{each.model.name} probes")
        prober.probe(each.model, opened())
    model = source.local_source(files, open_backend)
    return [collect(asked.settings, asked.design, model, overall.of(asked)) for asked in each.collections]


class OverallReporter:
    """Reports many collections as one: the answers of all of them, each warning once, a line a model."""

    def __init__(self, reporter: Reporter, collections: Sequence[Collection]) -> None:
        self._reporter = reporter
        self._total = sum(collection.total for collection in collections)
        self._done = sum(collection.present() for collection in collections)
        self._warned: set[str] = set()

    def detail(self, text: str) -> None:
        """What is being worked on, without a new answer."""
        self._reporter(Progress(self._done, self._total, "answers", text))

    def of(self, collection: Collection) -> Reporter:
        """The reporter of one collection."""
        elsewhere = self._done - collection.present()
        name = f"{collection.model} {collection.design.question_set}"

        def report(event: Event) -> None:
            if isinstance(event, Progress):
                self._done = elsewhere + event.done
                self.detail(name)
            elif isinstance(event, Warned) and event.text not in self._warned and DEMO_NOTICE not in event.text:
                self._warned.add(event.text)
                self._reporter(Warned(f"{name}: {event.text}"))

        return report

    def finish(self, model: str, result: PassResult) -> None:
        total = sum(collected.plan.responses for collected in result.collected)
        asked = f"{result.asked:,} of them now, {duration(result.seconds)}" if result.asked else "all there"
        self._reporter(Note(f"  {model:<16} {total:,} answers, {asked}"))
