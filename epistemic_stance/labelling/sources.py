"""Which answers are labelled: those of a run's models and question sets, or one file of answers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records.run_folder import LABELS, RESPONSES_FILE, VALIDATION, RunFolder
from epistemic_stance.stance.load import Stance

FORM = f"a run has {VALIDATION}/MODEL/SET/{RESPONSES_FILE}"


@dataclass(frozen=True)
class Source:
    """A file of one model's answers, and where its labels are kept."""

    labels: Path
    """Folder, whether or not it is there."""
    model: str
    question_set: str | None
    """None = unknown: the file lies in no run."""
    path: Path


def source_of(answers: Path) -> Source:
    """What the path of a file of answers, or of a folder that holds responses.jsonl, says of them."""
    path = (answers / RESPONSES_FILE if answers.is_dir() else answers).absolute()
    if len(path.parents) > 3 and path.parents[2].name == VALIDATION and path.name == RESPONSES_FILE:
        return Source(RunFolder(path.parents[3]).labels, path.parents[1].name, path.parent.name, path)
    if path.name == RESPONSES_FILE:
        return Source(path.parent / LABELS, path.parent.name, None, path)
    return Source(path.with_name(f"{path.stem}_{LABELS}"), path.stem, None, path)


def find_sources(run: Path, models: str, question_sets: str, stance: Stance) -> list[Source]:
    """The files of answers of a run, or the one file that `run` names, of the models and sets in these comma lists.

    An empty list means all models, and all sets but those of the stance that ask for facts alone. Raises InputError if
    there are none, or for names that are not there.
    """
    folder = RunFolder(run)
    if not folder.validation.is_dir():
        return [_single(run, models or question_sets)]
    answered = {model: sets for model in folder.models_validated() if (sets := folder.answered(model))}
    sets = sorted(set().union(*answered.values()))
    wanted_models = _chosen("--models", models, answered)
    wanted_sets = _chosen("--questions", question_sets, sets)
    if not question_sets:
        wanted_sets = [name for name in wanted_sets if not _graded(name, stance)]
    sources = [
        Source(folder.labels, model, name, folder.answers(model, name).responses)
        for model in wanted_models
        for name in wanted_sets
        if name in answered[model]
    ]
    lacking = [model for model in wanted_models if model not in {source.model for source in sources}]
    if not sources or (lacking and models):
        what = f"no answers of {', '.join(lacking) or 'any model'} to {', '.join(wanted_sets) or 'any set'}"
        hint = f"there are answers to {', '.join(sets)}; name sets with --questions" if sets else FORM
        raise InputError([Problem(str(folder.validation), what, hint=hint)])
    return sources


def _single(answers: Path, chosen: str) -> Source:
    source = source_of(answers)
    if source.question_set is not None:
        hint = f"name the run: {source.labels.parent} --models {source.model} --questions {source.question_set}"
        what = "these are answers of a run, whose models are labelled together"
    elif not source.path.is_file():
        what, hint = "no answers there", f"{FORM}; or name a file of answers"
    elif chosen:
        what, hint = f'"{shorten(chosen)}" cannot be chosen: this is one model and one set', FORM
    else:
        return source
    raise InputError([Problem(str(answers), what, hint=hint)])


def _graded(question_set: str, stance: Stance) -> bool:
    """Whether every question of a set has an answer key: it asks for facts, not for conduct."""
    known = stance.question_sets.get(question_set)
    return known is not None and all(question.answer for question in known.questions)


def _chosen(flag: str, written: str, known: Collection[str]) -> list[str]:
    """Names of a comma list, in the order of `known`, or all; raises InputError with those that are unknown."""
    names = {name.strip() for name in written.split(",")} - {""}
    problems = [
        Problem("command line", f'no answers of "{shorten(name)}"', field=flag, hint=f"known are {', '.join(known)}")
        for name in sorted(names.difference(known))
    ]
    if problems:
        raise InputError(problems)
    return [name for name in known if name in names or not names]
