"""Rates and changes as people would label them: the labels of a run beside the counts of its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from epistemic_stance.evaluation.measures import Measure
from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.similarity import question_key
from epistemic_stance.labelling.label_matching import matched
from epistemic_stance.labelling.labels import (
    SAMPLE_FILE,
    SampledAnswer,
    labels_folder_of,
    offered,
    place_of,
    read_label_folder,
)
from epistemic_stance.records.analysis import CorrectedRateRecord, ScoreRecord
from epistemic_stance.records.response_file import Response, ResponseFile
from epistemic_stance.scoring.score import Scorer
from epistemic_stance.statistics.detector import LabelledCounts, Refused, corrected_rate
from epistemic_stance.statistics.estimates import IntArray


@dataclass(frozen=True)
class LabelledScore:
    """A labelled answer of the file that is counted."""

    question: str
    """Key of its question."""
    found: ScoreRecord
    truth: ScoreRecord
    """The same with what people say it shows."""
    doubtful: frozenset[str]
    """Patterns that it can show and of which nothing is known."""
    weight: float


@dataclass(frozen=True)
class FileLabels:
    """The labels that speak for one file of answers."""

    folder: Path
    scores: list[LabelledScore]
    notices: list[str]


def read_file_labels(file: ResponseFile, folder: Path | None, scorer: Scorer) -> FileLabels | None:
    """Labels of answers in `file`, from `folder` or from where its run keeps them; None if it has none.

    Labels of another model's answers, or of answers that are not in the file, do not count; the others are held against
    what is found in the answers as the file has them. Raises InputError if the folder cannot be read.
    """
    if folder is not None and not (folder / SAMPLE_FILE).is_file():
        hint = "a folder that `stance label` has made: RUN/labels"
        raise InputError([Problem(str(folder), f"no {SAMPLE_FILE} in it", field="--labels", hint=hint)])
    place = folder or labels_folder_of(file.path)
    if place is None:
        return None
    sample = read_label_folder(place, scorer.patterns)
    arm = _arm_of(file, {name: sample.digests(name) for name in sample.arms})
    if arm is None:
        return FileLabels(place, [], [f"{place} has no labels of the model that gave the answers in {file.path.name}"])
    labelled = sample.labelled(arm)
    responses = ((_question_set(file, response), response) for response in file.responses)
    scores = [_scored(answer, response, scorer) for answer, response in matched(labelled, responses)]
    notices = [f"labels: {notice}" for notice in sample.notices if notice.startswith((f"{arm}:", "no answer"))]
    if labelled and not scores:
        notices.append(f"none of the answers that are labelled in {place} is in {file.path.name}")
    return FileLabels(place, scores, notices)


def _arm_of(file: ResponseFile, arms: dict[str, set[str | None]]) -> str | None:
    """By the weights, where both sides know them; else by the name of the folder that the answers are in."""
    digests = {origin.get("weights_digest") for origin in file.origins}
    name = place_of(file.path).arm
    known = [arm for arm, found in arms.items() if None not in found and found == digests]
    if known:
        return name if name in known else known[0]
    return name if name in arms and (None in arms[name] or None in digests) else None


def _question_set(file: ResponseFile, response: Response) -> str | None:
    """By the folder that the answers are in, or what they say."""
    named = place_of(file.path).question_set or response.origin.get("question_set")
    return named if isinstance(named, str) else None


def _scored(answer: SampledAnswer, response: Response, scorer: Scorer) -> LabelledScore:
    """Patterns that the category of the response rules out are known to be absent."""
    possible = frozenset(offered(response.category, scorer.patterns.patterns))
    found = scorer.score(response)
    truth = replace(found, patterns=sorted(answer.gold & possible))
    return LabelledScore(question_key(response.question), found, truth, answer.ignored & possible, answer.weight)


def labelled_counts(
    labels: FileLabels, measure: Measure, questions: Sequence[str], hits_Q: IntArray, answers_Q: IntArray
) -> LabelledCounts:
    """Counts of a measure by question with the labels that count for it: those that no doubt could change."""
    rows = {question: row for row, question in enumerate(questions)}
    counting = [
        (one, row, truth, found)
        for one in labels.scores
        if (row := rows.get(one.question)) is not None
        for truth, found in [(measure.known(one.truth, one.doubtful), measure.shown(one.found))]
        if truth is not None and found is not None and answers_Q[row]
    ]
    return LabelledCounts(
        hits_Q=hits_Q,
        answers_Q=answers_Q,
        truth_N=np.array([truth for _, _, truth, _ in counting], dtype=np.bool_),
        found_N=np.array([found for _, _, _, found in counting], dtype=np.bool_),
        weight_N=np.array([one.weight for one, _, _, _ in counting], dtype=np.float64),
        question_N=np.array([row for _, row, _, _ in counting], dtype=np.int64),
    )


def corrected_rate_record(counts: LabelledCounts, seed: int) -> CorrectedRateRecord:
    """`detector.corrected_rate` as it goes into a file."""
    rate = corrected_rate(counts, seed)
    labels = {"labelled": len(counts.truth_N), "positives": int(np.count_nonzero(counts.truth_N))}
    if isinstance(rate, Refused):
        return CorrectedRateRecord(**labels, refused=rate.reason, estimate=None, low=None, high=None)
    return CorrectedRateRecord(**labels, refused=None, estimate=rate.estimate, low=rate.low, high=rate.high)
