"""What a run is evaluated by: the scored answers and probes of its base model and of every checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from epistemic_stance.evaluation.comparability import find_differences, match_questions
from epistemic_stance.evaluation.compare import answers_by_question
from epistemic_stance.evaluation.correction import FileLabels, LabelledScore, read_file_labels
from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.files import committed_weights_digest
from epistemic_stance.foundation.settings import DEMO_MODEL
from epistemic_stance.records.analysis import Split
from epistemic_stance.records.probes import ProbesRecord
from epistemic_stance.records.response_file import ResponseFile, corpus_notice
from epistemic_stance.records.run_folder import BASE, RunFolder, read_record
from epistemic_stance.records.written import Scope
from epistemic_stance.scoring.measures import within
from epistemic_stance.scoring.run import Answer, scored
from epistemic_stance.scoring.score import Scorer


@dataclass(frozen=True)
class AnsweredSet:
    """One model's answers to one question set."""

    file: ResponseFile
    questions: dict[str, list[Answer]]
    """Question key -> its answers."""
    labels: FileLabels | None

    def labelled(self, scope: Scope, split: Split | None) -> list[LabelledScore] | None:
        """Labels of its answers within a scope; None if some of these could not be drawn."""
        scores = [answer.score for answers in self.questions.values() for answer in answers]
        counted = [score for score in scores if within(score, scope, split)]
        if not counted or self.labels is None:
            return None if counted else []
        if not all(self.labels.drawable(score) for score in counted):
            return None
        return [label for label in self.labels.scores if within(label.score, scope, split)]


@dataclass(frozen=True)
class ModelEvidence:
    """What is known of the base model or of a checkpoint."""

    name: str
    epoch: float | None
    """Epochs done; None: the base model."""
    sets: dict[str, AnsweredSet]
    probes: ProbesRecord | None
    loss: float | None
    saved_weights: str | None
    """Digest of the checkpoint as it lies in the run folder; None = unknown, or the base model."""

    def missing(self, scope: Scope) -> list[str]:
        """Sets of the scope that it was not asked."""
        return [name for name in scope.sets if name not in self.sets]

    def answers(self, scope: Scope, split: Split | None = None) -> dict[str, list[Answer]]:
        """Question key -> answers within a scope; with a split, only of unseen questions of that half."""
        questions: dict[str, list[Answer]] = {}
        for name in scope.sets:
            for key, answers in self.sets[name].questions.items():
                if within(answers[0].score, scope, split):
                    questions[key] = [*questions.get(key, ()), *answers]
        return questions

    def annotators(self, scope: Scope) -> list[str]:
        """People who labelled its answers."""
        labels = [self.sets[name].labels for name in scope.sets if name in self.sets]
        return list(dict.fromkeys(name for each in labels if each and each.scores for name in each.annotators))

    @property
    def all_answers(self) -> list[Answer]:
        return [
            answer for answered in self.sets.values() for of_one in answered.questions.values() for answer in of_one
        ]

    @property
    def weights(self) -> set[object]:
        """Digests of the weights that answers and probes name; more than one is more than one model."""
        origins = [origin for answered in self.sets.values() for origin in answered.file.origins]
        named = {origin["weights_digest"] for origin in origins if "weights_digest" in origin}
        return named | ({self.probes.identity.weights_digest} if self.probes else set())


# --- reading -----------------------------------------------------------------------------------------------


def models_with_answers(run: RunFolder) -> list[str]:
    """The base model and the checkpoints, by epoch, that have answers. Raises InputError without either."""
    names = [name for name in run.models_validated() if run.answered(name)]
    checkpoints = [name for name in names if name != BASE]
    if BASE in names and checkpoints:
        return names
    what = "no answers of a checkpoint" if BASE in names else "no answers of the base model"
    hint = f"stance collect --output-dir {run.validation / (checkpoints or [BASE])[0]}/SET writes them there"
    raise InputError([Problem(str(run.validation), what, hint=hint)])


def read_evidence(run: RunFolder, name: str, wanted: Iterable[str], scorer: Scorer) -> ModelEvidence:
    """The scored answers of one model to the wanted sets, as far as there are any. Raises InputError."""
    sets = {}
    for question_set in wanted:
        path = run.answers(name, question_set).responses
        if path.is_file():
            scored_file = scored(path, scorer)
            questions = answers_by_question(scored_file.answers)
            labels = read_file_labels(scored_file, None, scorer)
            sets[question_set] = AnsweredSet(scored_file.file, questions, labels)
    metadata = run.metadata(name)
    return ModelEvidence(
        name=name,
        epoch=run.epochs_done(name),
        sets=sets,
        probes=read_record(run.probes(name), ProbesRecord, "stance probe --overwrite measures it anew"),
        loss=metadata.loss if metadata else None,
        saved_weights=committed_weights_digest(run.checkpoints / name),
    )


# --- what speaks against a model ---------------------------------------------------------------------------


def problems_of(base: ModelEvidence, model: ModelEvidence, required: Sequence[str]) -> Iterator[str]:
    """Why a checkpoint cannot be compared with the base model. Sets that the base was not asked are not counted."""
    absent = [name for name in required if name in base.sets and name not in model.sets]
    if absent:
        yield f"no answers to {', '.join(absent)}"
    if len(model.weights) > 1:
        yield "its answers and probes are of different weights"
    elif model.saved_weights and model.weights - {model.saved_weights, None}:
        yield "its answers are of other weights than the checkpoint has now; it was trained anew"
    for name, answered in model.sets.items():
        if name in base.sets:
            yield from _differences(base.sets[name].file, answered.file, name)


def _differences(before: ResponseFile, after: ResponseFile, name: str) -> Iterator[str]:
    try:
        matched = match_questions(before, after)
    except InputError:
        yield f"{name}: shares no question with the base model's answers"
        return
    for difference in find_differences(before, after, matched):
        yield (
            f"{name} was asked otherwise: {difference.what} {difference.before} of the base model, "
            f"{difference.after} here"
        )


def notices_of(models: Sequence[ModelEvidence], corpus: str) -> Iterator[str]:
    """What a reader of the figures has to know of the files; `corpus` is the digest that tells seen from unseen."""
    for model in models:
        for name, answered in model.sets.items():
            place = f"{model.name}/{name}"
            yield from (f"{place}: {notice}" for notice in answered.file.notices)
            if other := corpus_notice(answered.file, corpus):
                yield f"{place}: {other}"
    labels = [answered.labels for model in models for answered in model.sets.values() if answered.labels]
    yield from dict.fromkeys(notice for each in labels for notice in each.notices)


def is_demo(models: Sequence[ModelEvidence]) -> bool:
    origins = (origin for model in models for answered in model.sets.values() for origin in answered.file.origins)
    return any(DEMO_MODEL in (origin.get("model"), origin.get("base_model")) for origin in origins)
