"""How often the 95 % intervals hold the true value, and how often identical models are said to differ.

Simulated answers: each question has a rate of its own, drawn from a population with a given mean and intraclass
correlation (ICC); answers are independent given the question. Prints the tables of docs/statistics.md.

    python benchmarks/coverage.py [--runs 2000] [--tables rates changes ...]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from scipy.special import betaincinv, expit, logit, ndtr, stdtrit

from epistemic_stance.statistics.changes import Change, paired_changes
from epistemic_stance.statistics.estimates import ALPHA, FloatArray, IntArray
from epistemic_stance.statistics.rates import rate_interval

DESIGNS = ((67, 20), (50, 3), (30, 20), (20, 5), (10, 20), (8, 3), (7, 20), (6, 3))
RATES = (0.05, 0.3, 0.6, 0.95)
CHANGES = ((0.05, 0.05), (0.3, 0.3), (0.3, 0.1), (0.7, 0.1), (0.1, 0.03))
POPULATIONS = ("beta", "two-point", "logit-normal")
LOGIT_SPREAD = {0.2: 1.2, 0.5: 3.0}
"""Standard deviations of logits that give about these ICCs at a mean of 30 %."""


def question_rates(
    generator: np.random.Generator, shape: tuple[int, int], rate: float, icc: float, population: str
) -> FloatArray:
    if population == "beta":
        total = 1 / icc - 1
        return np.asarray(generator.beta(rate * total, (1 - rate) * total, shape))
    if population == "two-point":
        high = generator.random(shape) < rate
        return np.where(high, rate + (1 - rate) * np.sqrt(icc), rate * (1 - np.sqrt(icc)))
    return np.asarray(expit(centre(rate, LOGIT_SPREAD[icc]) + LOGIT_SPREAD[icc] * generator.normal(size=shape)))


def centre(rate: float, spread: float) -> float:
    """The mean of normal logits whose probabilities have this mean, by bisection."""
    logits = spread * np.random.default_rng(0).normal(size=200_000)
    low, high = -30.0, 30.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if expit(middle + logits).mean() < rate else (low, middle)
    return low


def rate_coverage(generator: np.random.Generator, runs: int, population: str) -> None:
    print(f"\nOne rate, {population} population: coverage % (mean half-width, points); {runs} runs a cell")
    print("questions x answers | ICC | " + " | ".join(f"{100 * rate:.0f} %" for rate in RATES))
    for questions, answers in DESIGNS:
        for icc in (0.2, 0.5):
            cells = []
            for rate in RATES:
                rates = question_rates(generator, (runs, questions), rate, icc, population)
                hits = generator.binomial(answers, rates)
                asked = np.full(questions, answers)
                found = [interval for row in hits if (interval := rate_interval(row, asked))]
                covered = np.mean([interval.low <= rate <= interval.high for interval in found])
                width = np.mean([interval.high - interval.low for interval in found]) / 2
                cells.append(f"{100 * covered:.1f} ({100 * width:.1f})")
            print(f"{questions} x {answers} | {icc} | " + " | ".join(cells), flush=True)


def rejected_methods(generator: np.random.Generator, runs: int) -> None:
    """What other intervals would cover on the same designs, so that the choice can be checked."""
    methods = {"percentile bootstrap": percentile, "t on logits": logit_t, "Korn-Graubard": korn_graubard}
    print(f"\nMethods not chosen, beta population, ICC 0.5: coverage % (mean half-width, points); {runs} runs a cell")
    print(f"questions x answers | rate | {' | '.join(methods)}")
    for questions, answers in ((67, 20), (50, 3), (7, 20), (6, 3)):
        for rate in (0.05, 0.3):
            rates = question_rates(generator, (runs, questions), rate, 0.5, "beta")
            shares = generator.binomial(answers, rates) / answers
            cells = []
            for method in methods.values():
                low, high = method(shares, answers)
                cells.append(f"{100 * np.mean((low <= rate) & (rate <= high)):.1f} ({50 * np.mean(high - low):.1f})")
            print(f"{questions} x {answers} | {100 * rate:.0f} % | {' | '.join(cells)}", flush=True)


def percentile(shares_NQ: FloatArray, _answers: int) -> tuple[FloatArray, FloatArray]:
    questions = shares_NQ.shape[1]
    weights = np.random.default_rng(1).multinomial(questions, np.full(questions, 1 / questions), 2000) / questions
    low, high = np.quantile(shares_NQ @ weights.T, [0.025, 0.975], axis=1)
    return low, high


def logit_t(shares_NQ: FloatArray, _answers: int) -> tuple[FloatArray, FloatArray]:
    """A t interval over questions on the logit scale; of no width where every answer is the same."""
    questions = shares_NQ.shape[1]
    mean = np.clip(shares_NQ.mean(axis=1), 1e-9, 1 - 1e-9)
    error = shares_NQ.std(axis=1, ddof=1) / np.sqrt(questions) / (mean * (1 - mean))
    reach = stdtrit(questions - 1, 0.975) * error
    return expit(logit(mean) - reach), expit(logit(mean) + reach)


def korn_graubard(shares_NQ: FloatArray, answers: int) -> tuple[FloatArray, FloatArray]:
    """Clopper-Pearson on the effective sample size (Korn and Graubard 1998)."""
    questions = shares_NQ.shape[1]
    mean, variance = shares_NQ.mean(axis=1), shares_NQ.var(axis=1, ddof=1) / questions
    size = np.where(variance > 0, mean * (1 - mean) / np.where(variance > 0, variance, 1), questions)
    size = np.minimum(size, questions * answers)
    size *= (stdtrit(questions * answers - 1, 0.975) / stdtrit(questions - 1, 0.975)) ** 2
    hits = mean * size
    low = betaincinv(np.maximum(hits, 1e-9), size - hits + 1, 0.025)
    high = betaincinv(hits + 1, np.maximum(size - hits, 1e-9), 0.975)
    return np.where(hits > 0, low, 0), np.where(hits < size, high, 1)


def question_rates_of(scores: FloatArray, rate: float, icc: float) -> FloatArray:
    """Beta rates of questions by their normal scores, so that two sides can be correlated."""
    total = 1 / icc - 1
    rates = betaincinv(rate * total, (1 - rate) * total, np.clip(ndtr(scores), 1e-9, 1 - 1e-9))
    return np.asarray(np.clip(rates, 0, 1))


def paired_rates(
    generator: np.random.Generator, shape: tuple[int, int], change: tuple[float, float], r: float, icc: float
) -> tuple[FloatArray, FloatArray]:
    """Rates of questions before and after, their normal scores correlated by r."""
    score = generator.normal(size=shape)
    other = r * score + np.sqrt(1 - r**2) * generator.normal(size=shape)
    return question_rates_of(score, change[0], icc), question_rates_of(other, change[1], icc)


def coverage_of(found: list[Change | None], true: float) -> str:
    held = np.mean([change.low - 1e-9 <= true <= change.high + 1e-9 for change in found if change])
    width = np.mean([change.high - change.low for change in found if change]) / 2
    return f"{100 * held:.1f} ({100 * width:.1f})"


def change_coverage(generator: np.random.Generator, runs: int) -> None:
    print(f"\nA change, paired: coverage % (mean half-width, points); {runs} runs a cell; r = correlation of the sides")
    columns = [(change, r) for change in CHANGES for r in (1.0, 0.5)]
    head = (f"{100 * before:.0f} to {100 * after:.0f}, r {r:g}" for (before, after), r in columns)
    print("questions x answers | ICC | " + " | ".join(head))
    for questions, answers in DESIGNS:
        for icc in (0.2, 0.5):
            cells = []
            for (before, after), r in columns:
                rates = paired_rates(generator, (questions, runs), (before, after), r, icc)
                first, second = (generator.binomial(answers, side) for side in rates)
                asked = np.full(first.shape, answers)
                cells.append(coverage_of(paired_changes(first, asked, second, asked, 1), after - before))
            print(f"{questions} x {answers} | {icc} | " + " | ".join(cells), flush=True)


def uneven_answers(
    generator: np.random.Generator, design: str, before: FloatArray, after: FloatArray
) -> tuple[IntArray, IntArray]:
    """Numbers of answers to each question, before and after.

    tied: those of 20 that can be parsed, before mostly the right ones, after mostly the others.
    """
    if design == "tied":
        return generator.binomial(20, 0.1 + 0.85 * before), generator.binomial(20, 0.95 - 0.85 * after)
    few_Q = np.arange(len(before)) % 2 == 1 if design == "swapped" else np.zeros(len(before), dtype=np.bool_)
    asked = np.repeat(np.where(few_Q, 3, 20)[:, None], before.shape[1], axis=1)
    return asked, 23 - asked


def uneven_coverage(generator: np.random.Generator, runs: int) -> None:
    """The true change weighs the questions of the population as the estimate does those that were asked."""
    columns = (((0.3, 0.3), 1.0), ((0.3, 0.3), 0.5), ((0.5, 0.5), 1.0), ((0.7, 0.3), 1.0), ((0.05, 0.05), 1.0))
    print(f"\nA change, unequal numbers of answers: coverage % (mean half-width, points); {runs} runs a cell")
    head = (f"{100 * before:.0f} to {100 * after:.0f}, r {r:g}" for (before, after), r in columns)
    print("answers | questions | ICC | " + " | ".join(head))
    for design in ("20 and 3", "swapped", "tied"):
        for questions in (67, 20, 7):
            for icc in (0.2, 0.5):
                cells = []
                for change, r in columns:
                    before, after = paired_rates(generator, (200_000, 1), change, r, icc)
                    asked, asked_after = uneven_answers(generator, design, before, after)
                    weights = asked * asked_after / np.maximum(asked + asked_after, 1)
                    true = float((weights * (after - before)).sum() / weights.sum())
                    before, after = paired_rates(generator, (questions, runs), change, r, icc)
                    asked, asked_after = uneven_answers(generator, design, before, after)
                    first, second = generator.binomial(asked, before), generator.binomial(asked_after, after)
                    cells.append(coverage_of(paired_changes(first, asked, second, asked_after, 1), true))
                print(f"{design} | {questions} | {icc} | " + " | ".join(cells), flush=True)


def identical_models(generator: np.random.Generator, families: int, measures: int = 22, models: int = 20) -> None:
    """Twenty models equal to the base, each compared with it: how many comparisons have any verdict."""
    print(f"\nIdentical models: {families} families of {models} models and one base, {measures} measures")
    print("questions x answers | ICC | comparisons with any adjusted p <= .05, % | with any verdict, %")
    for questions, answers in ((67, 20), (50, 3), (20, 5)):
        for icc in (0.2, 0.5):
            least = np.ones((families, models))
            any_verdict = np.zeros((families, models), dtype=np.bool_)
            for family in range(families):
                means = generator.choice([0.01, 0.03, 0.05, 0.1, 0.3, 0.5, 0.8], measures)
                total = 1 / icc - 1
                rates = generator.beta(means * total, (1 - means) * total, (questions, measures))
                asked = np.full(rates.shape, answers)
                base = generator.binomial(answers, rates)
                for model in range(models):
                    changes = paired_changes(base, asked, generator.binomial(answers, rates), asked, 1)
                    least[family, model] = min(change.adjusted_p for change in changes if change)
                    any_verdict[family, model] = any(change.verdict != "inconclusive" for change in changes if change)
            shares = (np.mean(least <= ALPHA), any_verdict.mean())
            print(
                f"{questions} x {answers} | {icc} | {' | '.join(f'{100 * share:.2f}' for share in shares)}", flush=True
            )


def power(generator: np.random.Generator, runs: int, measures: int = 22) -> None:
    """How often one shifted measure of many gets its verdict; the order of questions stays (correlation 1)."""
    shifts = ((0.3, 0.25), (0.3, 0.2), (0.3, 0.15), (0.3, 0.1), (0.1, 0.05), (0.1, 0.02))
    print(f"\nPower: verdicts for one shifted measure of {measures}, % of {runs} runs")
    print("questions x answers | ICC | " + " | ".join(f"{100 * a:.0f} to {100 * b:.0f} %" for a, b in shifts))
    for questions, answers in ((67, 20), (50, 3)):
        for icc in (0.2, 0.5):
            cells = []
            for before, after in shifts:
                fell = 0
                for _ in range(runs):
                    score = generator.normal(size=(questions, measures))
                    rates = question_rates_of(score, before, icc)
                    shifted = np.concatenate([question_rates_of(score[:, :1], after, icc), rates[:, 1:]], axis=1)
                    asked = np.full(rates.shape, answers)
                    counts = (generator.binomial(answers, rates), generator.binomial(answers, shifted))
                    change = paired_changes(counts[0], asked, counts[1], asked, 1)[0]
                    fell += change is not None and change.verdict == "fell"
                cells.append(f"{100 * fell / runs:.0f}")
            print(f"{questions} x {answers} | {icc} | {' | '.join(cells)}", flush=True)


def all_rates(generator: np.random.Generator, runs: int) -> None:
    for population in POPULATIONS:
        rate_coverage(generator, runs, population)


TABLES: dict[str, tuple[Callable[[np.random.Generator, int], None], int]] = {
    "rates": (all_rates, 1),
    "rejected": (rejected_methods, 1),
    "changes": (change_coverage, 4),
    "uneven": (uneven_coverage, 4),
    "power": (power, 10),
    "identical": (identical_models, 40),
}
"""Name -> the function that prints it, and by what its runs are fewer than those of a rate: changes take longer."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    options = parser.parse_args()
    for name in options.tables:
        table, fewer = TABLES[name]
        table(np.random.default_rng(20), max(1, options.runs // fewer))


if __name__ == "__main__":
    main()
