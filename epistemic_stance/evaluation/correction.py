"""Rates and changes as people would label them: the labels of a run beside the scores of its answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from epistemic_stance.evaluation.measures import Measure, measures_of
from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.similarity import question_key
from epistemic_stance.labelling.folder import DRAW_FILE, labels_in
from epistemic_stance.labelling.sample import LabelledSample, SampledAnswer, read_sample
from epistemic_stance.labelling.sheet import can_show
from epistemic_stance.labelling.sources import source_of
from epistemic_stance.records.analysis import CorrectedRateRecord, ScoreRecord
from epistemic_stance.records.labels import DrawnAnswer
from epistemic_stance.records.response_file import Response, ResponseFile
from epistemic_stance.scoring.patterns import PatternSet
from epistemic_stance.scoring.run import Answer, ScoredFile, scored
from epistemic_stance.scoring.score import Scorer
from epistemic_stance.statistics.detector import LabelledCounts, Refused, corrected_rate
from epistemic_stance.statistics.estimates import IntArray


@dataclass(frozen=True)
class LabelledScore:
    """A labelled answer of the file that is counted."""

    question: str
    """Key of its question."""
    score: ScoreRecord
    """By the rules."""
    truth: ScoreRecord
    """The same with what people say it shows."""
    doubtful: frozenset[str]
    """Patterns that it can show and of which nothing is known."""
    weight: float


@dataclass(frozen=True)
class FileLabels:
    """The labels of answers in one file."""

    folder: Path
    scores: list[LabelledScore]
    notices: list[str]


def read_file_labels(scored_file: ScoredFile, folder: Path | None, patterns: PatternSet) -> FileLabels | None:
    """Labels of answers in a file, from `folder` or from where its run keeps them; None if it has none.

    Labels of another model's answers, or of answers that are not in the file, do not count. Raises InputError if the
    folder cannot be read.
    """
    file = scored_file.file
    place = folder or source_of(file.path).labels
    if labels_in(place) is None:
        if folder is None:
            return None
        hint = "a folder that `stance label` has made: RUN/labels"
        raise InputError([Problem(str(folder), f"no {DRAW_FILE} in it", field="--labels", hint=hint)])
    sample = read_sample(place, patterns)
    model = _model_of(file, sample)
    if model is None:
        return FileLabels(place, [], [f"{place} has no labels of the model that gave the answers in {file.path.name}"])
    labelled = sample.labelled(model)
    matched = _matched(labelled, file.path, scored_file.answers)
    notices = [f"labels: {notice}" for notice in sample.notices]
    if labelled and (unreached := sample.unreached(model)):
        notices.append(f"labels: nothing is labelled yet of strata that hold {unreached:.0f} of its answers")
    if labelled and not matched:
        notices.append(f"none of the answers that are labelled in {place} is in {file.path.name}")
    return FileLabels(place, [_labelled_score(answer, score, patterns) for answer, score in matched], notices)


def _model_of(file: ResponseFile, sample: LabelledSample) -> str | None:
    """By the weights, where both sides know them; else by the name of the folder that the answers are in."""
    digests = {origin.get("weights_digest") for origin in file.origins}
    name = source_of(file.path).model
    drawn: defaultdict[str, set[str | None]] = defaultdict(set)
    for answer in sample.draw.answers:
        drawn[answer.model].add(answer.weights_digest)
    known = [model for model, of_model in drawn.items() if None not in of_model and of_model == digests]
    if known:
        return name if name in known else known[0]
    return name if name in drawn and (None in drawn[name] or None in digests) else None


def _matched(
    drawn: Iterable[SampledAnswer], file: Path, answers: Iterable[Answer]
) -> list[tuple[SampledAnswer, ScoreRecord]]:
    """Drawn answers, each with the score of the answer in the file that it is.

    It is the one with the same set, question, temperature, iteration and text; no answer is taken twice. A file outside
    a run is of any set.
    """
    question_set = source_of(file).question_set
    waiting: defaultdict[tuple[object, ...], list[SampledAnswer]] = defaultdict(list)
    for sampled in drawn:
        if None in (question_set, sampled.drawn.question_set) or question_set == sampled.drawn.question_set:
            waiting[_key(sampled.drawn)].append(sampled)
    return [(waiting[key].pop(), answer.score) for answer in answers if waiting.get(key := _key(answer.response))]


def _key(answer: DrawnAnswer | Response) -> tuple[object, ...]:
    return question_key(answer.question), answer.temperature, answer.iteration, answer.response


def _labelled_score(answer: SampledAnswer, score: ScoreRecord, patterns: PatternSet) -> LabelledScore:
    """Patterns that the category of the answer rules out are known to be absent."""
    possible = {name for name, pattern in patterns.patterns.items() if can_show(pattern, score.category)}
    truth = replace(score, patterns=sorted(name for name in possible if answer.truth.get(name)))
    doubtful = frozenset(possible - answer.truth.keys())
    return LabelledScore(question_key(score.question), score, truth, doubtful, answer.weight)


def labelled_counts(
    labels: Sequence[LabelledScore], measure: Measure, questions: Sequence[str], hits_Q: IntArray, answers_Q: IntArray
) -> LabelledCounts:
    """Counts of a measure by question with the labels that count for it: those that no doubt could change."""
    rows = {question: row for row, question in enumerate(questions)}
    counting = [
        (label, row, truth, shown)
        for label in labels
        if (row := rows.get(label.question)) is not None
        for truth, shown in [(measure.known(label.truth, label.doubtful), measure.shown(label.score))]
        if truth is not None and shown is not None and answers_Q[row]
    ]
    return LabelledCounts(
        hits_Q=hits_Q,
        answers_Q=answers_Q,
        truth_N=np.array([truth for _, _, truth, _ in counting], dtype=np.bool_),
        found_N=np.array([shown for _, _, _, shown in counting], dtype=np.bool_),
        weight_N=np.array([label.weight for label, _, _, _ in counting], dtype=np.float64),
        question_N=np.array([row for _, row, _, _ in counting], dtype=np.int64),
    )


def corrected_rate_record(counts: LabelledCounts) -> CorrectedRateRecord:
    """`detector.corrected_rate` as it goes into a file."""
    rate = corrected_rate(counts)
    labels = {"labelled": len(counts.truth_N), "positives": int(np.count_nonzero(counts.truth_N))}
    if isinstance(rate, Refused):
        return CorrectedRateRecord(**labels, refused=rate.reason, estimate=None, low=None, high=None)
    return CorrectedRateRecord(**labels, refused=None, estimate=rate.estimate, low=rate.low, high=rate.high)


# --- how the rules err -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RuleErrors:
    """What the rules find in the answers that were drawn from, beside the labels."""

    patterns: Mapping[str, frozenset[str]]
    """Id of an answer that somebody labelled, or a judge, and that is in its file -> patterns that the rules find."""
    counts: Mapping[str, Mapping[str, LabelledCounts]]
    """Labelled model -> pattern or group -> its counts and labels."""
    notices: list[str]


def rule_errors(sample: LabelledSample, scorer: Scorer) -> RuleErrors:
    """Hold the scores of all answers that were drawn from against the labels.

    Raises InputError if a file is gone or cannot be read.
    """
    patterns: dict[str, frozenset[str]] = {}
    counts: dict[str, dict[str, LabelledCounts]] = {}
    notices = []
    for model in sample.draw.models:
        drawn = [answer for answer in sample.answers if answer.drawn.model == model and answer.marks]
        files = [file for file in sample.draw.files if drawn and file.model == model]
        answers: list[Answer] = []
        labels: list[LabelledScore] = []
        for file in files:
            path = sample.folder.parent / file.file
            of_file = scored(path, scorer).answers
            answers += of_file
            for answer, score in _matched(drawn, path, of_file):
                patterns[answer.drawn.id] = frozenset(score.patterns)
                if answer.weight > 0:
                    labels.append(_labelled_score(answer, score, scorer.patterns))
        if gone := sum(answer.drawn.id not in patterns for answer in drawn):
            notices.append(f"{gone} of the {len(drawn)} labelled answers of {model} are in no file any more")
        if labels:
            measures = [each for each in measures_of(scorer.patterns.patterns) if each.kind in ("group", "pattern")]
            counts[model] = {measure.name: _counts(measure, answers, labels) for measure in measures}
    return RuleErrors(patterns, counts, notices)


def _counts(measure: Measure, answers: Sequence[Answer], labels: Sequence[LabelledScore]) -> LabelledCounts:
    shown: defaultdict[str, list[bool | None]] = defaultdict(list)
    for answer in answers:
        shown[question_key(answer.score.question)].append(measure.shown(answer.score))
    hits_Q = np.array([each.count(True) for each in shown.values()], dtype=np.int64)
    answers_Q = np.array([len(each) - each.count(None) for each in shown.values()], dtype=np.int64)
    return labelled_counts(labels, measure, list(shown), hits_Q, answers_Q)
