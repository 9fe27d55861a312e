"""`stance validate`: full passes over the base model and a few checkpoints, analysed and compared with the base."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from epistemic_stance.cli.budget import fitting, parse_budget, run_within
from epistemic_stance.cli.evaluate import write_analysis, write_comparison
from epistemic_stance.cli.model_passes import (
    ModelPass,
    collection_of,
    probe_settings,
    run_passes,
    trained_corpus,
)
from epistemic_stance.cli.screen import header, make_prober, prepare_screening, run_screening, screen
from epistemic_stance.cli.terminal_reporter import terminal_reporter
from epistemic_stance.evaluation.rule import freeze_rule, rule_of
from epistemic_stance.foundation.console import program
from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.files import folder_lock
from epistemic_stance.foundation.reporter import Finished, Progress, Reporter, Started, Warned, silent
from epistemic_stance.foundation.settings import (
    DEMO_MODEL,
    DEMO_NOTICE,
    AnalyzeSettings,
    CompareSettings,
    RunSettings,
    ValidateSettings,
)
from epistemic_stance.foundation.signals import stoppable
from epistemic_stance.foundation.terminal import plain
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.probing.targets import Target, TargetModel, find_target
from epistemic_stance.records.run_folder import BASE, RunFolder, require_run_folder
from epistemic_stance.report.screening_table import print_screening
from epistemic_stance.stance.load import Stance, load_stance
from epistemic_stance.stance.trained_questions import TRAINED

ALL = "all"


def run_validate(settings: ValidateSettings, console: Console) -> None:
    """The command: the first look alone, or all of it."""
    if not settings.screen:
        validate(settings, console)
        console.print(plain(f"next: {program()} select {settings.run}"), soft_wrap=True)
        return
    if settings.questions:
        what = "cannot be chosen with --screen: the stance says which sets a first look asks"
        raise InputError([Problem("command line", what, field="--questions")])
    with terminal_reporter(console) as reporter:
        record = screen(settings, reporter)
    print_screening(record, console)


def validate(settings: RunSettings, console: Console) -> None:
    """Probe and ask every model, opened once, then analyse and compare.

    Without named checkpoints a first look at all of them is taken, and those that it finds promising are opened a
    second time for the rest; the base model is asked everything the first time. What is finished and unchanged is not
    done again. Raises what the stages raise; whatever was answered is kept, and the same command does the rest.
    """
    budget = parse_budget(settings.budget) if settings.budget else None
    run = require_run_folder(settings.run)
    checkpoints = settings.checkpoints if settings.checkpoints != ALL else ""
    target = find_target(probe_settings(settings, checkpoints))
    stance = load_stance(target.stance)
    names = _question_sets(settings, stance)
    passes = [_full_pass(settings, run, target, model, names) for model in target.models]
    screening = None if settings.checkpoints else prepare_screening(settings, target)
    freeze_rule(run, rule_of(stance))
    again = "the same command without --overwrite" if settings.overwrite else "the same command"
    kept = f"what was answered lies in {run.validation}"
    with (
        terminal_reporter(console) as reporter,
        folder_lock(run.validation),
        stoppable(kept, f"{again} does the rest"),
    ):
        prober = make_prober(stance, target, settings)
        if screening is not None:
            reporter(Started("First look at all checkpoints", header(screening)))
            also = passes[0].collections if budget is None else []
            record = run_screening(screening, prober, reporter, also, budget)
            reporter(Finished())
            print_screening(record, console)
            names = record.promising if budget is None else fitting(record, budget, passes[0], stance)
            passes = [each for each in passes if each.model.name in (BASE, *names)]
        reporter(Started("stance validate", _header(run, target, passes)))
        if target.base_model == DEMO_MODEL and screening is None:
            reporter(Warned(DEMO_NOTICE))
        if budget is None:
            run_passes(passes, settings, prober, reporter)
        else:
            passes, _ = run_within(budget, passes, stance=stance, settings=settings, prober=prober, reporter=reporter)
        _evaluate(passes, target, reporter)
        reporter(Finished([f"answers, analyses and comparisons: {run.validation}"]))


def _question_sets(settings: RunSettings, stance: Stance) -> list[str]:
    """Raises InputError for a set that the stance does not have."""
    names = [part.strip() for part in settings.questions.split(",") if part.strip()]
    known = ", ".join(stance.question_sets)
    problems = [
        Problem("--questions", f"{shorten(name)} is no question set of the stance", hint=f"it has {known}")
        for name in names
        if name not in (*stance.question_sets, TRAINED)
    ]
    if problems:
        raise InputError(problems)
    return names or [*(name for name, design in stance.designs.items() if design.sampled and name != TRAINED), TRAINED]


def _full_pass(
    settings: RunSettings, run: RunFolder, target: Target, model: TargetModel, names: Sequence[str]
) -> ModelPass:
    files = (run.answers(model.name, name) for name in names)
    return ModelPass(model, [collection_of(settings, target, model, file, "comprehensive") for file in files])


def _header(run: RunFolder, target: Target, passes: Sequence[ModelPass]) -> list[tuple[str, str]]:
    sets = ", ".join(collection.design.question_set for collection in passes[0].collections)
    number = sum(collection.total for collection in passes[0].collections)
    models = len(passes)
    return [
        ("run", str(run.root)),
        ("models", f"{target.base_model} and {', '.join(each.model.name for each in passes[1:])}"),
        ("asked", f"{sets}: {number:,} answers of each of {models} models = {models * number:,}"),
        ("answers", str(run.validation)),
    ]


def _evaluate(passes: Sequence[ModelPass], target: Target, reporter: Reporter) -> None:
    """Analyse every file of answers, and compare those of checkpoints with the base model's."""
    collections = [collection for each in passes for collection in each.collections]
    corpus, base = trained_corpus(target), passes[0].collections
    for number, collection in enumerate(collections):
        reporter(
            Progress(
                number, len(collections), "files evaluated", f"{collection.model} {collection.design.question_set}"
            )
        )
        write_analysis(AnalyzeSettings(collection.files.responses, stance=target.stance, corpus=corpus), silent)
        if collection.model != BASE:
            before = base[number % len(base)].files.responses
            write_comparison(
                CompareSettings(before, collection.files.responses, stance=target.stance, corpus=corpus), silent
            )
