"""The sample that is labelled: drawn once, extended where more is asked for or another checkpoint is chosen."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from epistemic_stance.foundation.errors import InputError, Problem, RefusedError
from epistemic_stance.foundation.reporter import Note, Reporter
from epistemic_stance.foundation.settings import DRAWN_PER_MODEL, JUDGED_PER_MODEL, LabelSettings
from epistemic_stance.labelling.columns import columns_for, is_judged, judged_by_patterns
from epistemic_stance.labelling.draw import Candidate, draw_simple, draw_stratified, least_number, lot
from epistemic_stance.labelling.folder import labels_in, somebody_labelled, write_folder
from epistemic_stance.labelling.sources import Source, find_sources, source_of
from epistemic_stance.records.labels import Design, DrawnAnswer, DrawnFile, DrawRecord
from epistemic_stance.records.run_folder import BASE, RunFolder, read_record
from epistemic_stance.records.validation import SelectionRecord
from epistemic_stance.scoring.run import scored
from epistemic_stance.scoring.score import Scorer
from epistemic_stance.statistics.detector import MIN_LABELLED

PATTERNS = "--patterns labels every pattern, in any answers"


@dataclass(frozen=True)
class _Plan:
    """What is drawn."""

    design: Design
    columns: list[str]
    sources: list[Source]
    number: int
    least: int
    """Fewest of a model."""
    counts: Callable[[Candidate], bool]
    draw: Callable[[Sequence[Candidate], int], list[DrawnAnswer]]


def prepare(settings: LabelSettings, scorer: Scorer, reporter: Reporter) -> tuple[Path, DrawRecord]:
    """The label folder, and the sample that the settings ask for: drawn, extended, or as it is.

    One of which nobody labelled anything is drawn anew where something else is asked for. Raises InputError for a wrong
    number and where there is nothing to draw from, RefusedError if what is asked for does not hold all that was drawn.
    """
    folder = RunFolder(settings.run).labels if _is_run(settings.run) else source_of(settings.run).labels
    old = labels_in(folder)
    labelled = old is not None and somebody_labelled(folder)
    if old is not None and settings.patterns and old.design != "patterns":
        if labelled:
            what = f"{folder} holds labels of what the criteria judge"
            raise RefusedError(what, "move the folder away to label every pattern")
        old = None
    design: Design = "patterns" if settings.patterns else old.design if old else "criteria"
    if design == "criteria":
        plan = _criteria_plan(settings, scorer, old, labelled)
    elif old is None or settings.number is not None or settings.models or settings.questions:
        plan = _patterns_plan(settings, scorer, old)
    else:
        _name_new_models(find_sources(settings.run, "", "", scorer.stance), old, reporter)
        return folder, old
    kept = old if old is not None and (labelled or design == "patterns") else None
    draw = _draw(plan, scorer, kept, folder, reporter)
    if draw != old:
        write_folder(folder, draw, scorer.patterns, anew=kept is None)
        counts = Counter(answer.model for answer in draw.answers)
        listed = ", ".join(f"{model} {counts[model]}" for model in draw.models)
        reporter(Note(f"{len(draw.answers)} answers drawn: {listed}"))
    return folder, draw


def _is_run(run: Path) -> bool:
    return RunFolder(run).validation.is_dir()


# --- what is drawn -----------------------------------------------------------------------------------------


def _criteria_plan(settings: LabelSettings, scorer: Scorer, old: DrawRecord | None, labelled: bool) -> _Plan:
    """Answers by which criteria are judged: of the base model, the chosen checkpoint, and those labelled before."""
    patterns = scorer.patterns.patterns
    criteria = judged_by_patterns(scorer.stance.criteria, patterns)
    problems = []
    if not _is_run(settings.run):
        problems.append(Problem(str(settings.run), "is no run, so no criterion judges these answers", hint=PATTERNS))
    elif not criteria:
        problems.append(Problem(scorer.stance.name, "has no criterion that patterns decide", hint=PATTERNS))
    if settings.questions:
        what = "the criteria say which sets are labelled"
        problems.append(Problem("command line", what, field="--questions", hint=PATTERNS))
    if problems:
        raise InputError(problems)
    models = settings.models or ",".join(_judged_models(settings.run))
    if old is not None and labelled:
        models = ",".join([*old.models, models])
    run = RunFolder(settings.run)
    answered = {name for model in run.models_validated() for name in run.answered(model)}
    sets = [name for name in scorer.stance.question_sets if any(name in each.sets for each in criteria)]
    asked = [name for name in sets if name in answered]
    if not asked:
        what = f"no answers to {', '.join(sets)}, by which the criteria judge"
        raise InputError([Problem(str(run.validation), what, hint="stance run asks them")])
    return _Plan(
        design="criteria",
        columns=columns_for(criteria, patterns),
        sources=find_sources(settings.run, models, ",".join(asked), scorer.stance),
        number=settings.number or (old.number if old else JUDGED_PER_MODEL),
        least=MIN_LABELLED,
        counts=lambda candidate: is_judged(criteria, candidate.question_set, candidate.answer.score),
        draw=draw_simple,
    )


def _judged_models(run: Path) -> list[str]:
    """The base model and the chosen checkpoint; none named = all."""
    selection = read_record(RunFolder(run).selection, SelectionRecord, "stance select writes it anew")
    return [BASE, selection.chosen] if selection and selection.chosen else []


def _patterns_plan(settings: LabelSettings, scorer: Scorer, old: DrawRecord | None) -> _Plan:
    """All answers of all models, or as the settings say."""
    sources = find_sources(settings.run, settings.models, settings.questions, scorer.stance)
    if old is not None and sources[0].question_set is not None:
        sets = dict.fromkeys(file.question_set or "" for file in old.files)
        models, named = settings.models or ",".join(old.models), settings.questions or ",".join(sets)
        sources = find_sources(settings.run, models, named, scorer.stance)
    return _Plan(
        design="patterns",
        columns=[],
        sources=sources,
        number=settings.number or (old.number if old else DRAWN_PER_MODEL),
        least=least_number(len(scorer.patterns.patterns)),
        counts=lambda _candidate: True,
        draw=draw_stratified,
    )


def _name_new_models(sources: Sequence[Source], old: DrawRecord, reporter: Reporter) -> None:
    if new := dict.fromkeys(source.model for source in sources if source.model not in old.models):
        asked = ",".join([*old.models, *new])
        reporter(Note(f"not in the sample: {', '.join(new)}; --models {asked} draws from them, too"))


# --- the sample --------------------------------------------------------------------------------------------


def _draw(plan: _Plan, scorer: Scorer, old: DrawRecord | None, folder: Path, reporter: Reporter) -> DrawRecord:
    if plan.number < plan.least:
        what, hint = f"expected {plan.least} or more, found {plan.number}", "fewer labels say too little"
        raise InputError([Problem("command line", what, field="--number", hint=hint)])
    answers: list[DrawnAnswer] = []
    for model in dict.fromkeys(source.model for source in plan.sources):
        candidates = [
            candidate
            for source in plan.sources
            if source.model == model
            for answer in scored(source.path, scorer, reporter).answers
            if plan.counts(candidate := Candidate(model, source.question_set, answer))
        ]
        if not candidates:
            what = f"no answers of {model} to draw from: none is to an unseen report question of a criterion"
            raise InputError([Problem(str(folder.parent), what, hint=PATTERNS)])
        answers += plan.draw(candidates, plan.number)
    if old is not None:
        _require_held(old.answers, answers, folder)
    drawn_from = [
        DrawnFile(
            model=source.model, question_set=source.question_set, file=os.path.relpath(source.path, folder.parent)
        )
        for source in plan.sources
    ]
    numbered = _numbered(answers, old.answers if old else [])
    return DrawRecord(design=plan.design, columns=plan.columns, number=plan.number, files=drawn_from, answers=numbered)


def _require_held(old: Sequence[DrawnAnswer], new: Sequence[DrawnAnswer], folder: Path) -> None:
    """The labels given so far are a random part of the new sample only where every stratum is what it was."""
    held = {(answer.place, answer.part) for answer in old} <= {(answer.place, answer.part) for answer in new}
    if not held or not _sizes(old).items() <= _sizes(new).items():
        what = (
            f"{folder} holds a sample that cannot be extended like this: fewer answers, models or sets are asked for, "
            "or more sets of the same models, or answers or rules have changed since"
        )
        raise RefusedError(what, "leave the flags out to go on with it, or move the folder away to draw anew")


def _sizes(sample: Sequence[DrawnAnswer]) -> dict[tuple[str, str], int]:
    """Answers in each stratum of each model, drawn or not."""
    drawn = Counter(answer.part for answer in sample)
    return {answer.part: round(drawn[answer.part] * answer.weight) for answer in sample}


def _numbered(answers: Sequence[DrawnAnswer], old: Sequence[DrawnAnswer]) -> list[DrawnAnswer]:
    """Those with an id first, then the others in random order: neither place nor id says whose answer it is."""
    ids = {answer.place: answer.id for answer in old}
    new = sorted((answer.place for answer in answers if answer.place not in ids), key=lambda place: lot(f"id|{place}"))
    ids |= {place: f"a{number:05d}" for number, place in enumerate(new, start=len(ids) + 1)}
    numbered = [answer.model_copy(update={"id": ids[answer.place]}) for answer in answers]
    return sorted(numbered, key=lambda answer: answer.id)
