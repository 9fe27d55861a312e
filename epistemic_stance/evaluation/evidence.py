"""What a run has to be judged by: the scored answers and probes of its base model and of every checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from epistemic_stance.evaluation.comparability import find_differences, match_questions
from epistemic_stance.evaluation.compare import Answer, change_record, count, verdict_of
from epistemic_stance.evaluation.correction import FileLabels, corrected_rate_record, labelled_arm, read_file_labels
from epistemic_stance.evaluation.measures import Measure, measures_of
from epistemic_stance.evaluation.rates import rate_record
from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.files import committed_weights_digest
from epistemic_stance.foundation.settings import DEMO_MODEL
from epistemic_stance.foundation.similarity import question_key
from epistemic_stance.records.analysis import CorrectedRateRecord, RateRecord, ScoreRecord, Split
from epistemic_stance.records.comparison import ChangeRecord
from epistemic_stance.records.probes import ProbesRecord
from epistemic_stance.records.response_file import ResponseFile, corpus_notice, read_responses
from epistemic_stance.records.run_folder import BASE, RunFolder, checkpoint_epoch, read_record
from epistemic_stance.records.validation import PlainRateRecord
from epistemic_stance.records.written import Scope
from epistemic_stance.scoring.score import Scorer
from epistemic_stance.statistics.intervals import ALPHA, VERDICT_LEVEL, IntArray, paired_changes

Questions = Mapping[str, Sequence[Answer]]
"""Question key -> its answers."""


@dataclass(frozen=True)
class Answered:
    """One model's answers to one question set."""

    file: ResponseFile
    questions: dict[str, list[Answer]]
    labels: FileLabels | None


@dataclass(frozen=True)
class Arm:
    """The base model or a checkpoint."""

    name: str
    epoch: int | None
    """None: the base model."""
    sets: dict[str, Answered]
    probes: ProbesRecord | None
    loss: float | None
    saved_weights: str | None
    """Digest of the checkpoint as it lies in the run folder; None = unknown, or the base model."""

    def missing(self, scope: Scope) -> list[str]:
        """Sets of the scope that it was not asked."""
        return [name for name in scope.sets if name not in self.sets]

    @property
    def weights(self) -> set[object]:
        """Digests of the weights that answers and probes name; more than one is more than one model."""
        origins = [origin for answered in self.sets.values() for origin in answered.file.origins]
        named = {origin["weights_digest"] for origin in origins if "weights_digest" in origin}
        return named | ({self.probes.identity.weights_digest} if self.probes else set())


class Judge:
    """Counts answers the way a stance counts them."""

    def __init__(self, scorer: Scorer, seed: int) -> None:
        self.scorer = scorer
        self.seed = seed
        self._measures = {measure.name: measure for measure in measures_of(scorer.patterns.patterns)}

    def knows(self, measure: str) -> bool:
        return measure in self._measures

    def measure_of(self, scope: Scope) -> Measure:
        """Whether an answer shows any of the scope's measures; None where none of them can be told."""
        members = [self._measures[name] for name in scope.measures]

        def shown(score: ScoreRecord) -> bool | None:
            told = [found for member in members if (found := member.shown(score)) is not None]
            return any(told) if told else None

        rules = [member.patterns for member in members]
        patterns = frozenset().union(*rules) if all(rules) else frozenset()
        return Measure("+".join(scope.measures), members[0].kind, None, shown, patterns)

    def rate(self, arm: Arm, scope: Scope, split: Split) -> RateRecord | None:
        """On the unseen questions of a half. None if a set was not asked, or nothing can be told."""
        if arm.missing(scope):
            return None
        hits_Q, answers_Q = self._counts(select(arm, scope, split), self.measure_of(scope))
        return rate_record(hits_Q, answers_Q, self.seed)

    def corrected(self, arm: Arm, scope: Scope, split: Split) -> CorrectedRateRecord | None:
        """The same rate as people would label it; None if nobody did, or it is not told from patterns."""
        measure = self.measure_of(scope)
        labels = [arm.sets[name].labels for name in scope.sets if name in arm.sets]
        given = [one for found in labels if found for one in found.scores if _within(one.found, scope, split)]
        if arm.missing(scope) or not given or not measure.patterns:
            return None
        folder = next(found.folder for found in labels if found)
        questions = select(arm, scope, split)
        counts = self._counts(questions, measure)
        keys = sorted(questions)
        return corrected_rate_record(labelled_arm(FileLabels(folder, given, []), measure, keys, *counts), self.seed)

    def literal(self, arm: Arm, scope: Scope) -> PlainRateRecord | None:
        """Share of all answers to the sets, whatever half or exposure."""
        if arm.missing(scope):
            return None
        hits_Q, answers_Q = self._counts(select(arm, scope), self.measure_of(scope))
        total = int(answers_Q.sum())
        return PlainRateRecord(estimate=int(hits_Q.sum()) / total, answers=total) if total else None

    def change(self, base: Arm, arm: Arm, scope: Scope, split: Split | None) -> ChangeRecord | None:
        """From the base model, paired by question: on the unseen questions of a half, or (None) on all."""
        if base.missing(scope) or arm.missing(scope):
            return None
        before, after = self.paired_counts(base, [arm], scope, split)
        (change,) = paired_changes(before[..., 0], before[..., 1], after[..., 0], after[..., 1], self.seed)
        return change_record(change, verdict_of(change, VERDICT_LEVEL, ALPHA))

    def paired_counts(
        self, base: Arm, arms: Sequence[Arm], scope: Scope, split: Split | None
    ) -> tuple[IntArray, IntArray]:
        """Hits and answers before and after, both (Q, A, 2), of the questions that all A arms and the base answered.

        With a split: of the unseen questions of that half.
        """
        measure = self.measure_of(scope)
        first = select(base, scope, split)
        others = [select(arm, scope, split) for arm in arms]
        common = sorted(set(first).intersection(*others))
        before = [[count(first[key], measure)] * len(arms) for key in common]
        after = [[count(other[key], measure) for other in others] for key in common]
        shape = (len(common), len(arms), 2)
        return np.array(before, dtype=np.int64).reshape(shape), np.array(after, dtype=np.int64).reshape(shape)

    def _counts(self, questions: Questions, measure: Measure) -> tuple[IntArray, IntArray]:
        counted = [count(answers, measure) for _, answers in sorted(questions.items())]
        hits_Q, answers_Q = np.array(counted, dtype=np.int64).reshape(-1, 2).T
        return hits_Q, answers_Q


def select(arm: Arm, scope: Scope, split: Split | None = None) -> dict[str, list[Answer]]:
    """Question -> answers within a scope; with a split, only of unseen questions of that half."""
    found: dict[str, list[Answer]] = {}
    for name in scope.sets:
        for key, answers in arm.sets[name].questions.items():
            if _within(answers[0].score, scope, split):
                found[key] = [*found.get(key, ()), *answers]
    return found


def _within(score: ScoreRecord, scope: Scope, split: Split | None) -> bool:
    return (
        (not scope.categories or score.category in scope.categories)
        and (scope.expect is None or score.expect == scope.expect)
        and (split is None or (score.split == split and score.exposure == "unseen"))
    )


# --- reading -----------------------------------------------------------------------------------------------


def answered_arms(run: Path) -> list[str]:
    """The base model and the checkpoints, by epoch, that have answers. Raises InputError without either."""
    folder = RunFolder(run)
    answered = [name for name in folder.models_validated() if folder.answered(name)]
    if BASE in answered and answered != [BASE]:
        return answered
    what = "no answers of a checkpoint" if BASE in answered else "no answers of the base model"
    hint = f"stance collect --output-dir {folder.validation / (answered or [BASE])[0]}/SET writes them there"
    raise InputError([Problem(str(folder.validation), what, hint=hint)])


def read_arm(run: Path, name: str, wanted: Iterable[str], judge: Judge) -> Arm:
    """Read and score the answers of one model to the wanted sets, as far as there are any. Raises InputError."""
    folder = RunFolder(run)
    sets = {}
    for question_set in wanted:
        path = folder.answers(name, question_set).responses
        if path.is_file():
            sets[question_set] = _answered(read_responses(path), judge)
    metadata = folder.metadata(name)
    return Arm(
        name=name,
        epoch=checkpoint_epoch(name),
        sets=sets,
        probes=read_record(folder.probes(name), ProbesRecord, "stance probe --overwrite measures it anew"),
        loss=metadata.loss if metadata else None,
        saved_weights=committed_weights_digest(folder.checkpoints / name),
    )


def _answered(file: ResponseFile, judge: Judge) -> Answered:
    questions: dict[str, list[Answer]] = {}
    for response in file.responses:
        questions.setdefault(question_key(response.question), []).append(Answer(response, judge.scorer.score(response)))
    return Answered(file, questions, read_file_labels(file, None, judge.scorer))


# --- what speaks against an arm ----------------------------------------------------------------------------


def problems_of(base: Arm, arm: Arm, required: Sequence[str]) -> Iterator[str]:
    """Why a checkpoint cannot be set against the base model. Sets that the base was not asked are nobody's fault."""
    absent = [name for name in required if name in base.sets and name not in arm.sets]
    if absent:
        yield f"no answers to {', '.join(absent)}"
    if len(arm.weights) > 1:
        yield "its answers and probes are of different weights"
    elif arm.saved_weights and arm.weights - {arm.saved_weights, None}:
        yield "its answers are of other weights than the checkpoint has now; it was trained anew"
    for name, answered in arm.sets.items():
        if name in base.sets:
            yield from _differences(base.sets[name].file, answered.file, name)


def _differences(before: ResponseFile, after: ResponseFile, name: str) -> Iterator[str]:
    try:
        matched = match_questions(before, after)
    except InputError:
        yield f"{name}: shares no question with the base model's answers"
        return
    for one in find_differences(before, after, matched):
        yield f"{name} was asked otherwise: {one.what} {one.before} of the base model, {one.after} here"


def notices_of(arms: Sequence[Arm], corpus: str) -> Iterator[str]:
    """What a reader of the figures has to know of the files; `corpus` is the digest that tells seen from unseen."""
    for arm in arms:
        for name, answered in arm.sets.items():
            place = f"{arm.name}/{name}"
            yield from (f"{place}: {notice}" for notice in answered.file.notices)
            if other := corpus_notice(answered.file, corpus):
                yield f"{place}: {other}"
            yield from (f"{place}: {notice}" for notice in (answered.labels.notices if answered.labels else ()))


def is_demo(arms: Sequence[Arm]) -> bool:
    origins = (origin for arm in arms for answered in arm.sets.values() for origin in answered.file.origins)
    return any(DEMO_MODEL in (origin.get("model"), origin.get("base_model")) for origin in origins)
