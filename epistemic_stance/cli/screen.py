"""`stance validate --screen`: probes and a few answers of every model of a run, to choose which to ask everything."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime

from epistemic_stance.cli.budget import SCREEN_SHARE, Budget, run_within
from epistemic_stance.cli.model_passes import (
    Collection,
    ModelPass,
    PassResult,
    collection_of,
    probe_settings,
    run_passes,
    trained_corpus,
)
from epistemic_stance.evaluation.screening import (
    ModelAnswers,
    find_promising,
    measured,
    probe_summary,
    read_answers,
    screened_measures,
)
from epistemic_stance.foundation.errors import InputError, Problem, RefusedError
from epistemic_stance.foundation.files import folder_lock
from epistemic_stance.foundation.provenance import versions
from epistemic_stance.foundation.reporter import Note, Reporter, Started, Warned
from epistemic_stance.foundation.settings import DEMO_MODEL, DEMO_NOTICE, RunSettings
from epistemic_stance.foundation.signals import stoppable
from epistemic_stance.probing.run import Prober
from epistemic_stance.probing.targets import Target, TargetModel, find_target
from epistemic_stance.records.run_folder import RunFolder, require_run_folder, write_record
from epistemic_stance.records.screening import ScreenedModelRecord, ScreenedSetRecord, ScreeningRecord
from epistemic_stance.scoring.measures import PRAGMATIC_ONLY, Measure
from epistemic_stance.scoring.score import Scorer
from epistemic_stance.stance.load import STANCE_FILE, Stance, load_stance, load_stance_and_pairs, patterns_digest
from epistemic_stance.stance.pairs import corpus_digest


@dataclass(frozen=True)
class Screening:
    """A first look that is about to be taken."""

    run: RunFolder
    settings: RunSettings
    target: Target
    scorer: Scorer
    measures: list[Measure]
    passes: list[ModelPass]
    """The base model, then the checkpoints by epoch, each with the sets that are screened."""

    @property
    def collections(self) -> list[Collection]:
        """Those of one model: all are asked alike."""
        return self.passes[0].collections


def screen(settings: RunSettings, reporter: Reporter) -> ScreeningRecord:
    """Take the first look alone, and write screening.json.

    Raises what `run_screening` raises.
    """
    require_run_folder(settings.run)
    screening = prepare_screening(settings, find_target(probe_settings(settings, settings.checkpoints)))
    run, stance = screening.run, screening.scorer.stance
    prober = make_prober(stance, screening.target, settings)
    reporter(Started("stance validate --screen", header(screening)))
    with folder_lock(run.validation) if prober else nullcontext():
        return run_screening(screening, prober, reporter)


def prepare_screening(settings: RunSettings, target: Target) -> Screening:
    """Everything that can be wrong with settings and stance is found here. Raises InputError or RefusedError."""
    run = RunFolder(settings.run)
    _require_own_stance(settings, target)
    stance, pairs = load_stance_and_pairs(target.stance, trained_corpus(target))
    names = [name for name, design in stance.designs.items() if design.screen]
    if not names:
        hint = "give a set [question_sets.screen] with temperatures and iterations; the shipped stance shows how"
        what = "no question set has a `screen` part, which says what a first look asks"
        raise InputError([Problem(str(stance.folder / STANCE_FILE), what, hint=hint)])
    scorer = Scorer(stance, pairs)
    measures = screened_measures(scorer)
    if PRAGMATIC_ONLY not in [measure.name for measure in measures]:
        what = "no groups performative and pragmatic, by which a screen ranks checkpoints"
        raise InputError([Problem(str(stance.folder / STANCE_FILE), what, field="patterns")])

    def sets_of(model: TargetModel) -> list[Collection]:
        files = (run.screen_answers(model.name, name) for name in names)
        return [collection_of(settings, target, model, file, "screen") for file in files]

    passes = [ModelPass(model, sets_of(model)) for model in target.models]
    return Screening(run, settings, target, scorer, measures, passes)


def _require_own_stance(settings: RunSettings, target: Target) -> None:
    """Raises RefusedError if the stance is another one than the run was trained on."""
    trained_on = target.trained.settings.get("stance") if target.trained else None
    if settings.stance is None or trained_on in (None, settings.stance):
        return
    asked = load_stance(settings.stance).name
    try:
        known = load_stance(trained_on).name
    except InputError:
        known = trained_on
    if asked != known:
        what = f"{settings.run} was trained on the stance {known}, not on {asked}: its answers would say nothing of it"
        raise RefusedError(what, "leave --stance out, or name the stance's folder as it is now")


def make_prober(stance: Stance, target: Target, settings: RunSettings) -> Prober | None:
    """None for a stance without [probes]."""
    return Prober(target, stance, probe_settings(settings, "")) if stance.probes else None


def header(screening: Screening) -> Sequence[tuple[str, str]]:
    asked = ", ".join(
        f"{len(asked.design.questions)} of {asked.design.question_set} x {asked.total // len(asked.design.questions)}"
        for asked in screening.collections
    )
    total = sum(collection.total for collection in screening.collections)
    return [
        ("run", f"{screening.run.root}, of the stance {screening.scorer.stance.name}"),
        ("models", f"{screening.target.base_model} and {len(screening.target.others)} checkpoints"),
        ("asked", f"{asked} = {total} answers of each model, to select questions"),
        ("answers", str(screening.run.screen)),
    ]


def run_screening(
    screening: Screening,
    prober: Prober | None,
    reporter: Reporter,
    also: Sequence[Collection] = (),
    budget: Budget | None = None,
) -> ScreeningRecord:
    """Probe, ask, score, write screening.json.

    Args:
        also: what else the base model is asked while it is open; nothing where there is a budget.
        budget: of which a part is for the first look.

    Raises InputError, RefusedError, StorageError, NumericError; StoppedError on a signal: what was measured and
    answered is kept, and the same command does the rest.
    """
    started = time.perf_counter()
    run, target, settings = screening.run, screening.target, screening.settings
    if target.base_model == DEMO_MODEL:
        reporter(Warned(DEMO_NOTICE))
    again = "the same command without --overwrite" if settings.overwrite else "the same command"
    base, *others = screening.passes
    passes = [ModelPass(base.model, [*base.collections, *also]), *others]
    kept = f"what was answered lies in {run.screen}"
    with folder_lock(run.screen), stoppable(kept, f"{again} does the rest"):
        if budget is None:
            results = run_passes(passes, settings, prober, reporter)
        else:
            _, results = run_within(
                budget.part(SCREEN_SHARE),
                passes,
                stance=screening.scorer.stance,
                settings=settings,
                prober=prober,
                reporter=reporter,
            )
        models = _screened_models(screening, results, prober)
        best, promising = find_promising(models)
        record = ScreeningRecord(
            timestamp=datetime.now(UTC).isoformat(timespec="seconds"),
            run=str(run.root),
            base_model=target.base_model,
            stance=target.stance,
            patterns_digest=patterns_digest(screening.scorer.stance),
            corpus_digest=target.trained.corpus_digest if target.trained else corpus_digest(screening.scorer.pairs),
            seed=settings.seed,
            sets=[_set_record(collection) for collection in screening.collections],
            models=models,
            ranked_by=PRAGMATIC_ONLY,
            best=best,
            promising=promising,
            seconds=round(time.perf_counter() - started, 2),
            versions=versions(),
        )
        write_record(run.screening, record)
    reporter(Note(f"Written: {run.screening}"))
    return record


def _screened_models(
    screening: Screening, results: Mapping[str, PassResult], prober: Prober | None
) -> list[ScreenedModelRecord]:
    """Score every model's answers and compare them with those of the base model, which comes first."""
    base: ModelAnswers | None = None
    records = []
    for each in screening.passes:
        started, result = time.perf_counter(), results[each.model.name]
        answers = read_answers([collection.files.responses for collection in each.collections], screening.scorer)
        measures = measured(answers, base, screening.measures, screening.settings.seed)
        base = base or answers
        probes = prober.records.get(each.model.name) if prober else None
        records.append(
            ScreenedModelRecord(
                name=each.model.name,
                epoch=screening.run.epochs_done(each.model.name),
                model=each.model.files.name,
                weights_digest=each.model.files.digest(),
                answers=answers.answers,
                asked=sum(collected.asked for collected in result.collected[: len(each.collections)]),
                seconds={"ask": round(result.seconds, 2), "score": round(time.perf_counter() - started, 2)},
                probe_seconds=probes.seconds if probes else None,
                probes=probe_summary(probes) if probes else None,
                measures=measures,
            )
        )
    return records


def _set_record(collection: Collection) -> ScreenedSetRecord:
    design = collection.design
    return ScreenedSetRecord(
        name=design.question_set,
        questions=len(design.questions),
        temperatures=design.temperatures,
        iterations=design.iterations,
        answers=len(design.items),
        questions_digest=design.questions_digest,
    )
