"""Scores to rates: how many answers to each question do what, overall and in parts, with intervals over questions.

Letters of array shapes: N answers, M measures, Q questions, P parts (categories, exposures, temperatures).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from epistemic_stance.evaluation.correction import FileLabels, corrected_rate_record, labelled_counts
from epistemic_stance.foundation.similarity import question_key
from epistemic_stance.records.analysis import (
    CorrectedRateRecord,
    Exposure,
    MeasuredRecord,
    RateRecord,
    ScoreRecord,
    WordsRecord,
)
from epistemic_stance.scoring.measures import Measure
from epistemic_stance.statistics.rates import rate_interval

EXPOSURES: tuple[Exposure, ...] = ("seen", "paraphrase", "unseen")
UNKNOWN = "unknown"
MOST_PARTS = 200
"""Categories or temperatures; a file with more has something else in that field, and they are not taken apart."""

Dimension = Literal["all", "exposure", "category", "temperature"]


@dataclass
class _Labels:
    """Names to numbers in the order in which they come."""

    numbers: dict[str, int] = field(default_factory=dict)
    of_answers: list[int] = field(default_factory=list)

    def add(self, name: str) -> None:
        self.of_answers.append(self.numbers.setdefault(name, len(self.numbers)))


class Tally:
    """What rates are made of, kept small: a byte per answer and measure."""

    def __init__(self, measures: Sequence[Measure]) -> None:
        self._measures = measures
        self._shown = bytearray()
        self._questions = _Labels()
        self._parts: dict[Dimension, _Labels] = {
            name: _Labels() for name in ("all", "exposure", "category", "temperature")
        }
        self._words: list[int] = []
        self._keys: dict[str, str] = {}

    def add(self, score: ScoreRecord) -> None:
        """Count one answer."""
        for measure in self._measures:
            shown = measure.shown(score)
            self._shown.append(2 if shown is None else shown)
        if score.question not in self._keys:
            self._keys[score.question] = question_key(score.question)
        self._questions.add(self._keys[score.question])
        self._words.append(score.words)
        temperature = UNKNOWN if score.temperature is None else f"{score.temperature:g}"
        parts: tuple[tuple[Dimension, str], ...] = (
            ("all", ""),
            ("exposure", score.exposure),
            ("category", score.category),
            ("temperature", temperature),
        )
        for dimension, name in parts:
            self._parts[dimension].add(name)

    @property
    def questions(self) -> int:
        return len(self._questions.numbers)

    def answers_of(self, dimension: Dimension) -> dict[str, int]:
        """Part -> its answers."""
        labels = self._parts[dimension]
        counts = Counter(labels.of_answers)
        return {name: counts[number] for name, number in labels.numbers.items()}

    def questions_of(self, dimension: Dimension) -> dict[str, int]:
        """Part -> its questions."""
        labels = self._parts[dimension]
        pairs = Counter(part for part, _ in set(zip(labels.of_answers, self._questions.of_answers, strict=True)))
        return {name: pairs[number] for name, number in labels.numbers.items()}

    def word_counts(self) -> WordsRecord:
        tenth, median, ninetieth = (float(value) for value in np.quantile(self._words, (0.1, 0.5, 0.9)))
        return WordsRecord(
            mean=float(np.mean(self._words)),
            lowest=min(self._words),
            tenth=tenth,
            median=median,
            ninetieth=ninetieth,
            highest=max(self._words),
        )

    def shown_NM(self) -> NDArray[np.int8]:
        """1 where the answer shows the measure, 0 where not, 2 where it cannot be told."""
        return np.frombuffer(bytes(self._shown), dtype=np.int8).reshape(-1, len(self._measures))

    def question_N(self) -> NDArray[np.int64]:
        return np.array(self._questions.of_answers, dtype=np.int64)

    def measured(self, labels: FileLabels | None = None) -> list[MeasuredRecord]:
        """Every measure's rates, corrected as well where there are labels."""
        shown_NM = self.shown_NM()
        rates = {name: self._rates(labels, shown_NM) for name, labels in self._parts.items()}
        exposures = [
            {name: of_measure.get(name) for name in EXPOSURES if name in of_measure} for of_measure in rates["exposure"]
        ]
        return [
            MeasuredRecord(
                name=measure.name,
                kind=measure.kind,
                group=measure.group,
                overall=rates["all"][index][""],
                corrected=self._corrected(index, shown_NM, labels),
                exposures=exposures[index],
                categories=_in_order(rates["category"][index], sorted(rates["category"][index])),
                temperatures=_in_order(rates["temperature"][index], sorted(rates["temperature"][index], key=_degrees)),
            )
            for index, measure in enumerate(self._measures)
        ]

    def _corrected(
        self, index: int, shown_NM: NDArray[np.int8], labels: FileLabels | None
    ) -> CorrectedRateRecord | None:
        measure = self._measures[index]
        if labels is None or not labels.scores or not measure.patterns:
            return None
        question_N, shown_N = self.question_N(), shown_NM[:, index]
        hits_Q = np.bincount(question_N[shown_N == 1], minlength=self.questions)
        answers_Q = np.bincount(question_N[shown_N != 2], minlength=self.questions)
        return corrected_rate_record(
            labelled_counts(labels.scores, measure, list(self._questions.numbers), hits_Q, answers_Q)
        )

    def _rates(self, labels: _Labels, shown_NM: NDArray[np.int8]) -> list[dict[str, RateRecord | None]]:
        """For each measure the rate of each part; of more than MOST_PARTS parts none.

        C counts the questions of all parts, part after part: most questions stand in one category only.
        """
        names = list(labels.numbers) if len(labels.numbers) <= MOST_PARTS else []
        place_N = np.array(labels.of_answers, dtype=np.int64) * self.questions + self.question_N()
        place_C, cell_N = np.unique(place_N, return_inverse=True)
        starts = np.searchsorted(place_C, np.arange(len(names) + 1) * self.questions)
        result = []
        for shown_N in shown_NM.T:
            hits_C = np.bincount(cell_N[shown_N == 1], minlength=len(place_C))
            answers_C = np.bincount(cell_N[shown_N != 2], minlength=len(place_C))
            parts = zip(names, pairwise(starts), strict=True)
            result.append({name: rate_record(hits_C[low:high], answers_C[low:high]) for name, (low, high) in parts})
        return result


def rate_record(hits_Q: NDArray[np.int64], answers_Q: NDArray[np.int64]) -> RateRecord | None:
    """`rate_interval` as it goes into a file; None without any answer."""
    rate = rate_interval(hits_Q, answers_Q)
    if rate is None:
        return None
    return RateRecord(
        estimate=rate.estimate,
        low=rate.low,
        high=rate.high,
        questions=rate.questions,
        answers=rate.answers,
    )


def _in_order(rates: Mapping[str, RateRecord | None], names: Iterable[str]) -> dict[str, RateRecord | None]:
    return {name: rates[name] for name in names}


def _degrees(name: str) -> float:
    return float("inf") if name == UNKNOWN else float(name)
