"""From screened answers to rates, changes from the base model, and the checkpoints worth a longer look."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from epistemic_stance.evaluation.comparability import find_differences, match_questions
from epistemic_stance.evaluation.compare import ComparedQuestion, answers_by_question, compare_measures, count
from epistemic_stance.evaluation.rates import rate_record
from epistemic_stance.foundation.errors import RefusedError
from epistemic_stance.records.probes import ProbesRecord
from epistemic_stance.records.response_file import ResponseFile
from epistemic_stance.records.screening import ProbeSummaryRecord, ScreenedMeasureRecord, ScreenedModelRecord
from epistemic_stance.scoring.measures import PERFORMATIVE, PRAGMATIC, PRAGMATIC_ONLY, Measure, measures_of
from epistemic_stance.scoring.run import Answer, scored
from epistemic_stance.scoring.score import Scorer
from epistemic_stance.statistics.estimates import mean_estimate

GROUPS = (PERFORMATIVE, PRAGMATIC, PRAGMATIC_ONLY)
FINALISTS = 3
"""Checkpoints that are named for a longer look."""


@dataclass(frozen=True)
class ModelAnswers:
    """What one model answered to all screened sets."""

    files: list[ResponseFile]
    """One a set."""
    questions: dict[str, list[Answer]]
    """Question key -> its answers, whichever set asks it."""

    @property
    def answers(self) -> int:
        return sum(len(file.responses) for file in self.files)


def screened_measures(scorer: Scorer) -> list[Measure]:
    """The groups of patterns that the stance is about, and what may be wrong with an answer's form."""
    measures = measures_of(scorer.patterns.patterns)
    return [measure for measure in measures if measure.name in GROUPS or measure.kind == "form"]


def read_answers(paths: Iterable[Path], scorer: Scorer) -> ModelAnswers:
    """Read and score one model's answers. Raises InputError."""
    files = [scored(path, scorer) for path in paths]
    questions = answers_by_question(answer for file in files for answer in file.answers)
    return ModelAnswers([file.file for file in files], questions)


def measured(
    model: ModelAnswers, base: ModelAnswers | None, measures: Sequence[Measure], seed: int
) -> list[ScreenedMeasureRecord]:
    """Rates of a model, and their changes unless it is the base model (None).

    Raises RefusedError if the two were not asked alike.
    """
    changes = {}
    if base is not None:
        _require_asked_alike(base, model)
        changes = {changed.name: changed.overall for changed in compare_measures(_paired(base, model), measures, seed)}
    records = []
    for measure in measures:
        counts = [count(answers, measure) for _, answers in sorted(model.questions.items())]
        hits_Q, answers_Q = np.array([pair for pair in counts if pair[1]], dtype=np.int64).reshape(-1, 2).T
        records.append(
            ScreenedMeasureRecord(
                name=measure.name,
                kind=measure.kind,
                rate=rate_record(hits_Q, answers_Q),
                se=mean_estimate((hits_Q / answers_Q).tolist(), weights=answers_Q.tolist()).se if len(hits_Q) else None,
                change=changes.get(measure.name),
            )
        )
    return records


def _paired(base: ModelAnswers, model: ModelAnswers) -> list[ComparedQuestion]:
    pairs = []
    for key, before in sorted(base.questions.items()):
        first = before[0]
        pairs.append(
            ComparedQuestion(
                question_id=first.response.question_id,
                question=first.response.question,
                category=first.response.category,
                exposure=first.score.exposure,
                before=before,
                after=model.questions[key],
            )
        )
    return pairs


def _require_asked_alike(base: ModelAnswers, model: ModelAnswers) -> None:
    for before, after in zip(base.files, model.files, strict=True):
        differences = find_differences(before, after, match_questions(before, after))
        if differences:
            lines = [f"\n  {difference.what}: {difference.before} and {difference.after}" for difference in differences]
            raise RefusedError(
                f"{before.path} and {after.path} were not asked alike:{''.join(lines)}", "--overwrite asks all anew"
            )


def probe_summary(record: ProbesRecord) -> ProbeSummaryRecord:
    neutral, choices = record.neutral, record.choices
    return ProbeSummaryRecord(
        kl=neutral.kl if neutral else None,
        agreement=neutral.agreement if neutral else None,
        accuracy=choices.overall.accuracy if choices else None,
        accuracy_change=choices.overall.change if choices else None,
    )


def measure_in(model: ScreenedModelRecord, name: str) -> ScreenedMeasureRecord | None:
    return next((measure for measure in model.measures if measure.name == name), None)


def find_promising(models: Sequence[ScreenedModelRecord]) -> tuple[str, list[str]]:
    """The checkpoint with the highest share of answers that are pragmatic only, and up to FINALISTS to look at longer.

    Of equal ones the earliest is the highest. The others are named in the order of their epochs.
    """
    rates: dict[str, float] = {}
    errors: dict[str, float] = {}
    for model in models:
        measure = measure_in(model, PRAGMATIC_ONLY)
        if model.epoch is not None and measure is not None and measure.rate is not None:
            rates[model.name] = measure.rate.estimate
            errors[model.name] = measure.se or 0.0
    best = max(rates, key=lambda name: rates[name])
    chosen = finalists(list(rates.values()), errors[best])
    return best, [name for number, name in enumerate(rates) if number in chosen]


def finalists(rates: Sequence[float], se: float) -> set[int]:
    """Of rates by epoch, the numbers of those within one standard error of the highest: the earliest, and the highest.

    The earliest is the one that the one-standard-error rule would choose (Breiman et al. 1984, section 3.4.3: of what
    cannot be told apart, the simplest); the highest ones are there because few answers place it badly.
    """
    near = [number for number, rate in enumerate(rates) if rate >= max(rates) - se]
    return {near[0], *sorted(near[1:], key=lambda number: -rates[number])[: FINALISTS - 1]}
