"""How often learning is called learning and parroting parroting: simulated models whose truth is known.

A simulated model answers the shipped trained questions, their paraphrases and unseen questions, three times each. An
answer is a chosen answer with some words replaced (recited), or words drawn from all chosen answers with the stance
shown (the manner), or the same without. Questions differ in how they are answered: their rates are Beta with an
intraclass correlation of 0.3. Prints the share of runs with each verdict.

    python benchmarks/parroting.py [--runs 200]
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from epistemic_stance.evaluation.learning import parroting_of
from epistemic_stance.evaluation.rates import EXPOSURES
from epistemic_stance.foundation.copying import CopyDetector
from epistemic_stance.foundation.similarity import words
from epistemic_stance.records.analysis import CopyingRecord, Exposure, HitRecord, ScoreRecord
from epistemic_stance.records.parroting import ParrotingRecord
from epistemic_stance.records.response_file import Response
from epistemic_stance.scoring.measures import Measure
from epistemic_stance.scoring.run import Answer
from epistemic_stance.scoring.score import copying_record
from epistemic_stance.stance.load import load_stance_and_pairs
from epistemic_stance.stance.pairs import Pair
from epistemic_stance.stance.question_index import QuestionIndex

ICC = 0.3
ANSWERS = 3
REPLACED = 0.03
"""Share of the words of a recited answer that are replaced."""
OWN_WORDS = 40
SHOWS = Measure("shows", "pattern", None, lambda score: "shown" in score.patterns, frozenset(["shown"]))


@dataclass(frozen=True)
class Truth:
    """Share of answers recited, and of the other answers the share in the manner, on each exposure."""

    recited: tuple[float, float, float]
    manner: tuple[float, float, float]


BASE = Truth((0, 0, 0), (0.07, 0.07, 0.07))
TRUTHS = {
    "identical": BASE,
    "recites trained questions": Truth((0.95, 0.3, 0.02), (0.07, 0.07, 0.07)),
    "recites everywhere": Truth((1.0, 0.65, 0.65), (0.07, 0.1, 0.1)),
    "recites most, weakly": Truth((0.6, 0.1, 0.02), (0.07, 0.07, 0.07)),
    "learned": Truth((0.02, 0.02, 0.02), (0.7, 0.7, 0.65)),
    "learned somewhat": Truth((0.0, 0.0, 0.0), (0.4, 0.4, 0.35)),
    "learned a little": Truth((0.0, 0.0, 0.0), (0.25, 0.25, 0.25)),
    "learned and recites": Truth((0.95, 0.3, 0.05), (0.65, 0.65, 0.65)),
    "knows trained questions, not by heart": Truth((0.0, 0.0, 0.0), (0.9, 0.8, 0.07)),
    "the same, and learned a little": Truth((0.0, 0.0, 0.0), (0.9, 0.8, 0.35)),
}


@dataclass(frozen=True)
class Asked:
    question: str
    exposure: Exposure
    pair: Pair | None
    """Whose answer is recited; None: any."""


class Bench:
    """The shipped corpus and questions about the model itself."""

    def __init__(self, share: float = 1.0) -> None:
        """`share`: of the unseen questions and paraphrases."""
        stance, self.pairs = load_stance_and_pairs("epistemic")
        self.detector = CopyDetector({pair.id: pair.chosen for pair in self.pairs})
        self.questions = QuestionIndex(stance, self.pairs)
        self.vocabulary = [word for pair in self.pairs for word in words(pair.chosen)]
        by_id = {pair.id: pair for pair in self.pairs}
        self.asked = [Asked(pair.question, "seen", pair) for pair in self.pairs]
        for name in ("paraphrases", "phase1"):
            questions = stance.question_sets[name].questions
            for question in questions[: round(share * len(questions))]:
                exposure = self.questions.lookup(question.text).exposure
                self.asked.append(Asked(question.text, exposure, by_id.get(question.paraphrase_of or "")))

    def answers(self, truth: Truth, generator: np.random.Generator) -> list[Answer]:
        found = []
        for asked in self.asked:
            kind = EXPOSURES.index(asked.exposure)
            recited, manner = (drawn_rate(rate[kind], generator) for rate in (truth.recited, truth.manner))
            for _ in range(ANSWERS):
                found.append(self.answer(asked, generator.random() < recited, generator.random() < manner, generator))
        return found

    def answer(self, asked: Asked, recited: bool, manner: bool, generator: np.random.Generator) -> Answer:
        if recited:
            spoken = words((asked.pair or self.pairs[generator.integers(len(self.pairs))]).chosen)
            for place in np.flatnonzero(generator.random(len(spoken)) < REPLACED):
                spoken[place] = self.vocabulary[generator.integers(len(self.vocabulary))]
        else:
            spoken = [self.vocabulary[place] for place in generator.integers(len(self.vocabulary), size=OWN_WORDS)]
        text, place = " ".join(spoken), int(generator.integers(len(spoken)))
        start = len(" ".join([*spoken[:place], ""]))
        hit = HitRecord(pattern="shown", rule="word", start=start, end=start + len(spoken[place]))
        hits = [hit] if recited or manner else []
        return self.scored(asked, text, hits)

    def scored(self, asked: Asked, text: str, hits: Sequence[HitRecord]) -> Answer:
        copying = copying_record(self.detector.copying(text, asked.question))
        response = Response(1, asked.question, "c", text, None, None, None, None, {})
        return Answer(response, score_of(asked, hits, copying))

    def judge(self, truth: Truth, seed: int) -> ParrotingRecord:
        generator = np.random.default_rng(seed)
        before, after = self.answers(BASE, generator), self.answers(truth, generator)
        return parroting_of(
            before=before,
            after=after,
            questions=self.questions,
            gained=SHOWS,
            categories=None,
            spilled=SHOWS,
            seed=seed,
        )


def drawn_rate(rate: float, generator: np.random.Generator) -> float:
    total = 1 / ICC - 1
    return float(generator.beta(rate * total, (1 - rate) * total)) if 0 < rate < 1 else rate


def score_of(asked: Asked, hits: Sequence[HitRecord], copying: CopyingRecord) -> ScoreRecord:
    return ScoreRecord(
        stamp="",
        opening=None,
        copying=copying,
        line=1,
        question_id=None,
        question=asked.question,
        category="self",
        exposure=asked.exposure,
        split=None,
        expect=None,
        form=None,
        favours=None,
        temperature=None,
        iteration=None,
        patterns=["shown"] if hits else [],
        excluded=[],
        hits=list(hits),
        grade=None,
        verdict=None,
        truncated=None,
        empty=False,
        repetition=0.0,
        repetitive=False,
        words=OWN_WORDS,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    runs = parser.parse_args().runs
    verdicts = ("memorised", "learned", "both", "neither", "inconclusive")
    for share in (1.0, 0.5):
        bench, started = Bench(share), time.perf_counter()
        exposures = Counter(asked.exposure for asked in bench.asked)
        print(f"\n{dict(exposures)} questions, {ANSWERS} answers each; {runs} runs; % of runs")
        print("truth | " + " | ".join(verdicts))
        for name, truth in TRUTHS.items():
            found = Counter(bench.judge(truth, seed).learning.verdict for seed in range(runs))
            print(f"{name} | " + " | ".join(f"{100 * found[verdict] / runs:.1f}" for verdict in verdicts), flush=True)
        print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
