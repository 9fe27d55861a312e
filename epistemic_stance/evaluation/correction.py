"""Rates and changes as people would label them: the labels of a run beside the scores of its answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.similarity import question_key
from epistemic_stance.labelling.columns import Column, columns_of, is_judged, judged_by_patterns
from epistemic_stance.labelling.folder import DRAW_FILE, labels_in
from epistemic_stance.labelling.sample import LabelledSample, SampledAnswer, read_sample
from epistemic_stance.labelling.sources import Source, source_of
from epistemic_stance.records.analysis import CorrectedRateRecord, ScoreRecord
from epistemic_stance.records.labels import DrawnAnswer, DrawRecord
from epistemic_stance.records.response_file import Response, ResponseFile
from epistemic_stance.scoring.measures import Measure, measures_of
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
    labels: Mapping[Column, bool]
    """What people agree on: yes or no."""
    columns: Collection[Column]
    """All that there could be labels for."""
    possible: frozenset[str]
    """Patterns that answers of its category can show."""
    weight: float

    def known(self, measure: Measure) -> bool | None:
        """The measure by the labels; None where they leave it open."""
        return self._by(self.labels, measure)

    def implied(self, measure: Measure) -> bool:
        """Whether it is known without the columns that ask for it: from a group that is not shown, for example."""
        others = {column: label for column, label in self.labels.items() if not column.patterns <= measure.patterns}
        return self._by(others, measure) is not None

    def _by(self, labels: Mapping[Column, bool], measure: Measure) -> bool | None:
        """Patterns that the category rules out are known to be absent, and those that do not count for what is known.

        An answer without a group has none of its patterns. One with it has one at least, and which is not known.
        What labels of two people contradict is not known either.
        """
        shown = [column for column, label in labels.items() if column.shows(label)]
        absent = _patterns_of(column for column, label in labels.items() if not column.shows(label))
        alone = _patterns_of(column for column in shown if len(column.patterns) == 1)
        sure = _patterns_of(column for column in shown if len(column.patterns) == 1 and column.unless.isdisjoint(alone))
        broken = _patterns_of(column for column in self.columns if not column.unless.isdisjoint(alone)) - sure
        doubtful = (self.possible - absent - broken - sure) | (sure & absent)
        groups = (column.patterns for column in shown if column.patterns.isdisjoint(sure))
        some_of = [left for group in groups if (left := group & doubtful)]
        truth = replace(self.score, patterns=sorted(sure & self.possible - doubtful))
        return measure.known(truth, doubtful, some_of)


@dataclass(frozen=True)
class FileLabels:
    """The labels of answers in one file."""

    folder: Path
    scores: list[LabelledScore]
    annotators: list[str]
    """People who labelled answers of its model."""
    drawable: Callable[[ScoreRecord], bool]
    """Whether an answer of the file could be drawn: the labels say nothing of others."""
    notices: list[str]


def read_all_labels(scored_file: ScoredFile, folder: Path | None, scorer: Scorer) -> FileLabels | None:
    """The same where all answers of the file are counted: without labels if some could not be drawn."""
    labels = read_file_labels(scored_file, folder, scorer)
    if labels is None or not labels.scores or all(labels.drawable(answer.score) for answer in scored_file.answers):
        return labels
    notice = f"labels in {labels.folder} are of the answers that criteria judge, and correct no rate of other answers"
    return replace(labels, scores=[], notices=[*labels.notices, notice])


def read_file_labels(scored_file: ScoredFile, folder: Path | None, scorer: Scorer) -> FileLabels | None:
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
    sample = read_sample(place, scorer.patterns)
    source, model = source_of(file.path), _model_of(file, sample)
    if model is None:
        asked = folder is not None or source.model in sample.draw.models
        notice = f"{place} has no labels of the model that gave the answers in {file.path.name}"
        return FileLabels(place, [], [], lambda _score: False, [notice] if asked else [])
    labelled = sample.labelled(model)
    of_set = _of_set(labelled, source.question_set)
    matched = _matched(of_set, scored_file.answers)
    notices = [f"labels: {notice}" for notice in sample.notices]
    if labelled and (unreached := sample.unreached(model)):
        notices.append(f"labels of {model}: nothing is labelled yet of strata that hold {unreached:.0f} of its answers")
    if of_set and not matched:
        notices.append(f"none of the answers that are labelled in {place} is in {file.path.name}")
    scores = [_labelled_score(answer, score, scorer.patterns) for answer, score in matched]
    return FileLabels(place, scores, sample.annotators_of(model), _drawable(sample.draw, source, scorer), notices)


def _drawable(draw: DrawRecord, source: Source, scorer: Scorer) -> Callable[[ScoreRecord], bool]:
    if draw.design == "patterns":
        sets = {file.question_set for file in draw.files}
        return lambda _score: source.question_set in sets or None in (source.question_set, *sets)
    criteria = judged_by_patterns(scorer.stance.criteria, scorer.patterns.patterns)
    return lambda score: is_judged(criteria, source.question_set, score)


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


def _of_set(answers: Iterable[SampledAnswer], question_set: str | None) -> list[SampledAnswer]:
    """Those drawn from the answers to a set; a file outside a run is of any set."""
    return [
        answer
        for answer in answers
        if None in (question_set, answer.drawn.question_set) or question_set == answer.drawn.question_set
    ]


def _matched(drawn: Iterable[SampledAnswer], answers: Iterable[Answer]) -> list[tuple[SampledAnswer, ScoreRecord]]:
    """Drawn answers of a set, each with the score of the answer that it is.

    It is the one with the same question, temperature, iteration and text; no answer is taken twice.
    """
    waiting: defaultdict[tuple[object, ...], list[SampledAnswer]] = defaultdict(list)
    for sampled in drawn:
        waiting[_key(sampled.drawn)].append(sampled)
    return [(waiting[key].pop(), answer.score) for answer in answers if waiting.get(key := _key(answer.response))]


def _key(answer: DrawnAnswer | Response) -> tuple[object, ...]:
    return question_key(answer.question), answer.temperature, answer.iteration, answer.response


def _labelled_score(answer: SampledAnswer, score: ScoreRecord, patterns: PatternSet) -> LabelledScore:
    columns = columns_of(patterns.patterns)
    return LabelledScore(
        question=question_key(score.question),
        score=score,
        labels={columns[name]: label for name, label in answer.truth.items()},
        columns=columns.values(),
        possible=frozenset(name for name in patterns.patterns if columns[name].possible(score.category)),
        weight=answer.weight,
    )


def _patterns_of(columns: Iterable[Column]) -> frozenset[str]:
    return frozenset().union(*(column.patterns for column in columns))


def labelled_counts(
    labels: Sequence[LabelledScore], measure: Measure, questions: Sequence[str], hits_Q: IntArray, answers_Q: IntArray
) -> LabelledCounts:
    """Counts of a measure by question with the labels that count for it: those that no doubt could change.

    Some answers need no label of their own: where a group is not shown, none of its patterns is. The others that have
    one stand for those that have none, or else what is known would be known by its outcome.
    """
    rows = {question: row for row, question in enumerate(questions)}
    here = [
        (label, row, shown, label.known(measure))
        for label in labels
        if (row := rows.get(label.question)) is not None and answers_Q[row]
        if (shown := measure.shown(label.score)) is not None
    ]
    missing = sum(label.weight for label, _, _, truth in here if truth is None)
    known = [(label, row, shown, truth) for label, row, shown, truth in here if truth is not None]
    implied = [label.implied(measure) for label, *_ in known]
    asked = sum(label.weight for (label, *_), known_anyway in zip(known, implied, strict=True) if not known_anyway)
    if missing and not asked:
        known, implied = [], []
    factors = [1.0 if known_anyway else 1 + missing / asked for known_anyway in implied]
    return LabelledCounts(
        hits_Q=hits_Q,
        answers_Q=answers_Q,
        truth_N=np.array([truth for *_, truth in known], dtype=np.bool_),
        found_N=np.array([shown for _, _, shown, _ in known], dtype=np.bool_),
        weight_N=np.array([label.weight for label, *_ in known], dtype=np.float64) * np.array(factors),
        question_N=np.array([row for _, row, _, _ in known], dtype=np.int64),
    )


def corrected_rate_record(counts: LabelledCounts) -> CorrectedRateRecord | None:
    """`detector.corrected_rate` as it goes into a file; None if no label says anything of it."""
    if not len(counts.truth_N):
        return None
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
            drawable = _drawable(sample.draw, source_of(path), scorer)
            of_file = [answer for answer in scored(path, scorer).answers if drawable(answer.score)]
            answers += of_file
            for answer, score in _matched(_of_set(drawn, source_of(path).question_set), of_file):
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
