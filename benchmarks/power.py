"""What drop each guard set shows with probability 0.8, and what drop a model that did not change is cleared of.

Sizes, halves and designs are those of the stance. Simulated answers, of two models to the same questions:

- sampled answers: each question has a rate of its own, Beta around the base rate with an intraclass correlation
  (--icc), and its answers are independent given that rate;
- greedy answers and log-probabilities: each question is settled, always right or always wrong;
- the normal scores of a question's rates before and after are correlated (--correlation), so that questions move
  both ways even where the rate does not, and a drop is the same shift for all questions on the scale of the scores.

Three figures a cell, in points. Alone: the smallest drop of which the 95 % interval excludes 0 with probability 0.8.
Verdict: the same with a p value of at most 0.05 / 20 besides, that of the row alone; where other rows of a comparison
moved, too, it takes more. Margin: that drop or a larger one is excluded, with probability 0.8, for a model of the same
rate after as before. A rise from 10 % is as visible as a drop from 90 %: hits and misses are symmetric throughout.

    OMP_NUM_THREADS=1 python benchmarks/power.py [--runs 400] [--icc 0.3] [--correlation 0.7] [--quick]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import betaincinv, ndtr, ndtri

from epistemic_stance.foundation.similarity import question_key
from epistemic_stance.records.written import AskingDesign, Question
from epistemic_stance.stance.load import Stance, load_stance
from epistemic_stance.stance.splits import splits_of
from epistemic_stance.statistics.changes import Change, paired_changes
from epistemic_stance.statistics.estimates import ALPHA, FloatArray
from epistemic_stance.statistics.rates import rate_interval

POWER = 0.8
BASE_RATES = (0.9, 0.6, 0.3)
ABOUT_ITSELF = ("self_unseen", "phase1")
ALMOST = 1e-6
"""Nearest to 0 and 1 that the mean of a Beta may come."""
SEED = 20


@dataclass(frozen=True)
class Design:
    """How many answers each question has."""

    answers_Q: tuple[int, ...]
    settled: bool
    """One deterministic answer each: asking again would give the same."""

    def __str__(self) -> str:
        counts = [f"{self.answers_Q.count(number)} x {number}" for number in sorted(set(self.answers_Q))]
        return " + ".join(counts) + (" settled" if self.settled else "")


@dataclass(frozen=True)
class Population:
    """What questions are like, and how much two models have in common."""

    icc: float
    correlation: float


def one_each(questions: int) -> Design:
    return Design((1,) * questions, settled=True)


# --- the guards of a stance --------------------------------------------------------------------------------


def guards_of(stance: Stance) -> Iterator[tuple[str, Design]]:
    """What is measured to keep harm out, each with its questions and the answers that a comprehensive run collects."""

    def asked(*names: str, of: Callable[[Question], bool] = lambda _: True) -> Design:
        answers = [
            (answers_to(stance.designs[name]), greedy(stance.designs[name]))
            for name in names
            for question in stance.question_sets[name].questions
            if of(question)
        ]
        return Design(tuple(count for count, _ in answers), all(settled for _, settled in answers))

    yield "capability: right", asked("capability")
    for category in stance.question_sets["capability"].categories:
        yield f"  {category}", asked("capability", of=lambda question, it=category: question.category == it)
    yield "baseline: right", asked("baseline", of=lambda question: question.answer is not None)
    yield "safety: declines_harmful", asked("safety", of=lambda question: question.expect == "decline")
    yield "safety: refuses_harmless", asked("safety", of=lambda question: question.expect == "help")
    yield "sycophancy: agrees_with_user", asked("sycophancy", of=lambda question: question.form != "asked")
    yield "preference_drift: shows_tendency", asked("preference_drift")
    held = {
        name: {key for key, split in splits_of(stance.question_sets[name].questions).items() if split == "report"}
        for name in ABOUT_ITSELF
    }
    for names in (ABOUT_ITSELF[:1], ABOUT_ITSELF[1:], ABOUT_ITSELF):
        kept = set().union(*(held[name] for name in names))
        label = f"pragmatic, performative: report half of {' and '.join(names)}"
        yield label, asked(*names, of=lambda question, kept=kept: question_key(question.text) in kept)
    if stance.probes:
        sizes = {name: len(questions.questions) for name, questions in stance.question_sets.items()}
        yield "probe of choices: right", one_each(sum(sizes[name] for name in stance.probes.choices))
        yield "yes/no probe: shows tendency", one_each(sum(sizes[name] for name in stance.probes.yes_no))


def answers_to(design: AskingDesign) -> int:
    return sum(1 if temperature == 0 else design.iterations for temperature in design.temperatures)


def greedy(design: AskingDesign) -> bool:
    return set(design.temperatures) == {0.0}


# --- simulation --------------------------------------------------------------------------------------------


def rates_of(scores: FloatArray, rate: float, design: Design, population: Population) -> FloatArray:
    """Rates of questions that have these normal scores."""
    if design.settled:
        return np.asarray(scores > ndtri(1 - rate), dtype=np.float64)
    total, rate = 1 / population.icc - 1, min(max(rate, ALMOST), 1 - ALMOST)
    rates = betaincinv(rate * total, (1 - rate) * total, np.clip(ndtr(scores), 1e-9, 1 - 1e-9))
    return np.asarray(np.clip(rates, 0, 1))


def simulate(design: Design, population: Population, before: float, after: float, runs: int) -> list[Change]:
    """Changes from one rate to another, `runs` times. Equal luck for all rates, so that power grows with the drop."""
    generator = np.random.default_rng(SEED)
    asked_Q = np.array(design.answers_Q)
    shape, r = (len(asked_Q), runs), population.correlation
    scores = generator.normal(size=shape)
    other = r * scores + np.sqrt(1 - r**2) * generator.normal(size=shape)
    given_AQ1 = (np.arange(asked_Q.max())[:, None] < asked_Q)[..., None]
    hits = [
        ((generator.random((len(given_AQ1), *shape)) < rates_of(side, rate, design, population)) & given_AQ1).sum(
            axis=0
        )
        for side, rate in ((scores, before), (other, after))
    ]
    asked = np.broadcast_to(asked_Q[:, None], shape)
    return [change for change in paired_changes(hits[0], asked, hits[1], asked, 1) if change]


def power_of(found: list[Change]) -> tuple[float, float]:
    """How often a drop shows: by its interval, and by a verdict."""
    fell = np.array([change.high < 0 for change in found])
    sure = np.array([change.p <= ALPHA for change in found])
    return float(fell.mean()), float((fell & sure).mean())


def smallest(steps: int, power_at: Callable[[int], float]) -> int | None:
    """The first of the steps 1 to `steps` at which power is reached, by bisection; None: not even at the last."""
    if power_at(steps) < POWER:
        return None
    low, high = 0, steps
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_at(middle) >= POWER else (middle, high)
    return high


def cell(design: Design, population: Population, rate: float, runs: int, step: float) -> str:
    """Alone / verdict / margin, drops to the next `step` points."""

    @cache
    def powers(steps: int) -> tuple[float, float]:
        return power_of(simulate(design, population, rate, max(rate - steps * step / 100, 0.0), runs))

    last = round(100 * rate / step)
    drops = [smallest(last, lambda steps, way=way: powers(steps)[way]) for way in (0, 1)]
    shown = ["none" if drop is None else f"{drop * step:g}" for drop in drops]
    return " / ".join([*shown, f"{100 * margin(design, population, rate, runs):.1f}"])


def margin(design: Design, population: Population, rate: float, runs: int) -> float:
    """Drop below which the lower end of the interval stays, with the probability POWER, for a model that is as good."""
    reach = [-change.low for change in simulate(design, population, rate, rate, runs)]
    return float(np.quantile(reach, POWER))


# --- what is printed ---------------------------------------------------------------------------------------


def power_table(stance: Stance, population: Population, runs: int, step: float) -> None:
    print(f"Smallest drop alone / with a verdict / margin, points; probability {POWER:g}; {runs} runs")
    print(f"intraclass correlation {population.icc:g}, correlation of the sides {population.correlation:g}\n")
    cells = cache(cell)
    heads = [f"from {100 * rate:.0f} % (rise: {100 - 100 * rate:.0f})" for rate in BASE_RATES]
    print(f"| guard | questions x answers | {' | '.join(heads)} |")
    print("|---" * (2 + len(heads)) + "|")
    for name, design in guards_of(stance):
        figures = [cells(design, population, rate, runs, step) for rate in BASE_RATES]
        print(f"| {name.strip()} | {design} | {' | '.join(figures)} |", flush=True)


def all_right(stance: Stance) -> None:
    """What "all of the syllogisms right" says on those that are kept for the report."""
    questions = [q for q in stance.question_sets["capability"].questions if q.category == "syllogisms"]
    held = sum(split == "report" for split in splits_of(questions).values())
    interval = rate_interval(np.full(held, 1), np.full(held, 1))
    assert interval
    print(
        f"\nSyllogisms, report half: {held} of {held} right leaves up to {100 * (1 - interval.low):.1f} % wrong open."
    )
    print(
        f"All are right with probability {POWER:g} if {100 * (1 - POWER ** (1 / held)):.2f} % are wrong, and at least "
        f"one is wrong with that probability if {100 * (1 - (1 - POWER) ** (1 / held)):.1f} % are."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stance", default="epistemic")
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--icc", type=float, default=0.3)
    parser.add_argument("--correlation", type=float, default=0.7)
    parser.add_argument("--quick", action="store_true", help="40 runs, drops to the next 10 points")
    options = parser.parse_args()
    stance = load_stance(options.stance)
    runs, step = (40, 10.0) if options.quick else (options.runs, 0.5)
    power_table(stance, Population(options.icc, options.correlation), runs, step)
    all_right(stance)


if __name__ == "__main__":
    main()
