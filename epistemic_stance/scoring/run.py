"""The score stage: responses.jsonl -> scores.jsonl, one line an answer, in the order of the answers.

Everything after this stage works on scores. A file of scores is used as long as it was made of the same answers,
patterns, questions and pairs by the same version of this code; else the answers are scored again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.files import require_folder, write_atomic
from epistemic_stance.foundation.reporter import Finished, Progress, Reporter, Warned, silent
from epistemic_stance.foundation.settings import ScoreSettings, SplitChoice
from epistemic_stance.records.analysis import SCORE_LINE, ScoreRecord
from epistemic_stance.records.response_file import Response, ResponseFile, read_responses
from epistemic_stance.records.run_folder import AnswerFiles
from epistemic_stance.scoring.score import Scorer
from epistemic_stance.stance.load import load_stance_and_pairs

ANSWERS_BETWEEN_EVENTS = 500


@dataclass(frozen=True)
class Answer:
    """An answer and what it does."""

    response: Response
    score: ScoreRecord


@dataclass(frozen=True)
class ScoredFile:
    """A file of answers with a score for each."""

    file: ResponseFile
    answers: list[Answer]
    stamp: str
    """That of the scores."""


def run(settings: ScoreSettings, reporter: Reporter) -> Path:
    """Score the answers in a file; returns the file of scores.

    Raises InputError for a file or stance that cannot be read, StorageError if the scores cannot be written.
    """
    if settings.output is not None:
        require_folder(settings.output, "--output")
    scorer = Scorer(*load_stance_and_pairs(settings.stance, settings.corpus))
    file = read_responses(settings.file)
    for notice in file.notices:
        reporter(Warned(notice))
    path = scores_path(file.path, settings.output)
    stamp = scorer.stamp(file.sha256)
    if stored_scores(path, stamp, len(file.responses)) is None:
        _write(path, list(_made(file, scorer, stamp, reporter)))
        said = f"{len(file.responses)} answers are scored: {path}"
    else:
        said = f"all {len(file.responses)} answers are scored already: {path}"
    reporter(Finished([said]))
    return path


def scored(
    path: Path,
    scorer: Scorer,
    reporter: Reporter = silent,
    split: SplitChoice = "all",
    folder: Path | None = None,
) -> ScoredFile:
    """The answers in `path` to one half of the questions, or to all, with their scores.

    Scores are read from the file beside the answers (or in `folder`). Where there is none, or it was made of something
    else, the answers are scored, and the file is written if the folder can be written.

    Raises InputError for a file of answers that cannot be read, or one without an answer to that half.
    """
    file = read_responses(path)
    stamp = scorer.stamp(file.sha256)
    place = scores_path(file.path, folder)
    scores = stored_scores(place, stamp, len(file.responses))
    if scores is None:
        scores = list(_made(file, scorer, stamp, reporter))
        if os.access(next(parent for parent in place.parents if parent.exists()), os.W_OK):
            _write(place, scores)
    answers = [Answer(*pair) for pair in zip(file.responses, scores, strict=True)]
    return _half(ScoredFile(file, answers, stamp), split)


def _made(file: ResponseFile, scorer: Scorer, stamp: str, reporter: Reporter) -> Iterator[ScoreRecord]:
    for number, response in enumerate(file.responses):
        if number % ANSWERS_BETWEEN_EVENTS == 0:
            reporter(Progress(number, len(file.responses), "answers scored"))
        yield scorer.score(response, stamp)


def scores_path(responses: Path, folder: Path | None = None) -> Path:
    """Beside the answers, or in `folder`."""
    beside = AnswerFiles(responses).scores
    return folder / beside.name if folder else beside


def stored_scores(path: Path, stamp: str, answers: int) -> list[ScoreRecord] | None:
    """The scores in a file; None if it is absent, damaged, or of something else than the stamp says."""
    try:
        scores = list(_read(path, stamp))
    except (OSError, ValidationError, ValueError):
        return None
    return scores if len(scores) == answers else None


def _read(path: Path, stamp: str) -> Iterator[ScoreRecord]:
    with path.open("rb") as stream:
        for line in stream:
            score = SCORE_LINE.validate_json(line)
            if score.stamp != stamp:
                raise ValueError("scores of something else")
            yield score


def _write(path: Path, scores: list[ScoreRecord]) -> None:
    write_atomic(path, "".join(f"{SCORE_LINE.dump_json(score).decode()}\n" for score in scores))


def _half(scored_file: ScoredFile, split: SplitChoice) -> ScoredFile:
    """Raises InputError if no answer belongs to the half: only questions of the stance do."""
    if split == "all":
        return scored_file
    file = scored_file.file
    kept = [answer for answer in scored_file.answers if answer.score.split == split]
    if not kept:
        what = f"no answer in it is to a {split} question of the stance"
        raise InputError([Problem(str(file.path), what, hint="leave --split out, or name the stance with --stance")])
    notice = f"{split} questions only: {len(kept)} of the {len(file.responses)} answers in {file.path.name}"
    half = replace(file, responses=[answer.response for answer in kept], notices=[*file.notices, notice])
    return ScoredFile(half, kept, scored_file.stamp)
