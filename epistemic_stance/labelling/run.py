"""`stance label RUN`: draw a sample of a run's answers, write label files, ask a judge, read what is filled in."""

from __future__ import annotations

from pathlib import Path

from epistemic_stance.foundation.console import program
from epistemic_stance.foundation.errors import InputError, Problem, RefusedError
from epistemic_stance.foundation.reporter import Note, Reporter, Warned
from epistemic_stance.foundation.settings import DEFAULT_STANCE, LabelSettings
from epistemic_stance.labelling.columns import judged_by_patterns
from epistemic_stance.labelling.folder import ANNOTATOR, GUIDE_FILE, JUDGE, people_in, sheet_path, start_sheet
from epistemic_stance.labelling.prepare import prepare
from epistemic_stance.labelling.sample import LabelledSample, read_sample
from epistemic_stance.records.run_folder import RunFolder
from epistemic_stance.scoring.score import Scorer
from epistemic_stance.stance.load import load_stance_and_pairs

FIRST = "first"
"""Name of the file that is written where none is."""
SECONDS_PER_ANSWER = 5
"""To read a short answer and to say yes or no to four questions about it."""


def run(settings: LabelSettings, reporter: Reporter) -> LabelledSample:
    """Draw or extend the sample, start the annotator's file or ask the judge, and read the label folder.

    Raises InputError for wrong settings and for every mistake in the label files; RefusedError if the sample cannot be
    extended as asked; what `ask_judge` raises.
    """
    _require_sound(settings)
    return _run(settings, scorer_of(settings), reporter)


def offer(settings: LabelSettings, reporter: Reporter) -> None:
    """The same after a choice, where the stance has criteria that labels can confirm; never a reason to fail."""
    scorer = scorer_of(settings)
    if judged_by_patterns(scorer.stance.criteria, scorer.patterns.patterns):
        try:
            _run(settings, scorer, reporter)
        except (InputError, RefusedError) as error:
            reporter(Warned(f"no answers of it were drawn to label: {error}"))


def _run(settings: LabelSettings, scorer: Scorer, reporter: Reporter) -> LabelledSample:
    folder, draw = prepare(settings, scorer, reporter)
    if settings.judge is not None:
        from epistemic_stance.labelling.judge import ask_judge

        ask_judge(settings, folder, draw, scorer.patterns, reporter)
        return read_sample(folder, scorer.patterns)
    name = settings.annotator or next(iter(people_in(folder)), FIRST)
    start_sheet(folder, name, draw, scorer.patterns)
    sample = read_sample(folder, scorer.patterns)
    left = sum(name not in answer.marks for answer in sample.answers)
    if left:
        minutes = -(-left * SECONDS_PER_ANSWER // 60) if draw.design == "criteria" else None
        about = f", about {minutes} minutes" if minutes else ""
        reporter(Note(f"{left} of {len(sample.answers)} answers to label{about}: {sheet_path(folder, name)}"))
        reporter(Note(f"write yes or no into each cell, save as CSV; what the columns ask: {folder / GUIDE_FILE}"))
        again = f"{program()} label {settings.run}"
        if draw.design == "criteria":
            again = f"{program()} run or {program()} select as before, which then judge by it"
        reporter(Note(f"then, also for a part of the rows: {again}"))
    return sample


def scorer_of(settings: LabelSettings) -> Scorer:
    """With the stance and corpus of the run, so that answers are scored as they were, unless the settings say other."""
    record = RunFolder(settings.run).record()
    recorded = record.settings if record else {}
    of_run = recorded.get("corpus")
    corpus = settings.corpus or (Path(of_run) if of_run else None)
    stance = settings.stance or recorded.get("stance") or DEFAULT_STANCE
    return Scorer(*load_stance_and_pairs(stance, corpus))


def _require_sound(settings: LabelSettings) -> None:
    problems = []
    name = settings.annotator
    if name and (not ANNOTATOR.fullmatch(name) or name.startswith(JUDGE)):
        what = f"expected a name of letters, digits and . _ - that does not begin with {JUDGE}"
        problems.append(Problem("command line", what, field="--annotator", hint="for example --annotator second"))
    if settings.judge_model and settings.judge is None:
        what = "a judge model needs the address of its server"
        problems.append(Problem("command line", what, field="--judge-model", hint="give --judge"))
    if problems:
        raise InputError(problems)
