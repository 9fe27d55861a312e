"""`stance label RUN`: draw a sample of a run's answers, write label files, ask a judge, read what is filled in."""

from __future__ import annotations

from pathlib import Path

from epistemic_stance.foundation.console import program
from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.reporter import Note, Reporter
from epistemic_stance.foundation.settings import DEFAULT_STANCE, LabelSettings
from epistemic_stance.labelling.folder import ANNOTATOR, GUIDE_FILE, JUDGE, prepare, sheet_path, start_sheet
from epistemic_stance.labelling.sample import LabelledSample, read_sample
from epistemic_stance.records.run_folder import RunFolder
from epistemic_stance.scoring.score import Scorer
from epistemic_stance.stance.load import load_stance_and_pairs


def run(settings: LabelSettings, reporter: Reporter) -> LabelledSample:
    """Draw or extend the sample, start the annotator's file or ask the judge, and read the label folder.

    Raises InputError for wrong settings and for every mistake in the label files; RefusedError if the sample cannot be
    extended as asked; what `ask_judge` raises.
    """
    _require_sound(settings)
    scorer = scorer_of(settings)
    folder, draw = prepare(settings, scorer, reporter)
    if settings.judge is not None:
        from epistemic_stance.labelling.judge import ask_judge

        ask_judge(settings, folder, draw, scorer.patterns, reporter)
    elif start_sheet(folder, settings.annotator, draw, scorer.patterns):
        path = sheet_path(folder, settings.annotator)
        reporter(Note(f"fill in {path}; how, and what the patterns mean: {folder / GUIDE_FILE}"))
        reporter(Note(f"then, also for a part of the rows: {program()} label {settings.run}"))
    return read_sample(folder, scorer.patterns)


def scorer_of(settings: LabelSettings) -> Scorer:
    """With the stance and corpus of the run, so that answers are scored as they were, unless the settings say other."""
    record = RunFolder(settings.run).record()
    recorded = record.settings if record else {}
    corpus = recorded.get("corpus")
    stance = settings.stance or recorded.get("stance") or DEFAULT_STANCE
    return Scorer(*load_stance_and_pairs(stance, Path(corpus) if corpus else None))


def _require_sound(settings: LabelSettings) -> None:
    problems = []
    if not ANNOTATOR.fullmatch(settings.annotator) or settings.annotator.startswith(JUDGE):
        what = f"expected a name of letters, digits and . _ - that does not begin with {JUDGE}"
        problems.append(Problem("command line", what, field="--annotator", hint="for example --annotator second"))
    if settings.judge_model and settings.judge is None:
        what = "a judge model needs the address of its server"
        problems.append(Problem("command line", what, field="--judge-model", hint="give --judge"))
    if problems:
        raise InputError(problems)
