"""How often intervals of corrected rates and changes hold the truth, how wide they are, and how often signs are right.

Simulated answers: each question has a rate of its own, Beta around the true one with an intraclass correlation (ICC);
the rules find with a sensitivity (Se) and pass with a specificity (Sp), which may differ from question to question.
Labels are drawn as `stance label --patterns` draws them: two in five from answers in which the rules found the pattern,
two in five from the others, and one in five from a tenth of the answers in which they found another, rarer pattern; or,
as for the sheet of a choice, all with the same chance.
Prints the tables of docs/statistics.md.

    python benchmarks/corrected_rates.py [--runs 500]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, ndtr

from epistemic_stance.statistics import detector
from epistemic_stance.statistics.changes import PairedChange, paired_changes
from epistemic_stance.statistics.detector import LabelledCounts, Refused
from epistemic_stance.statistics.estimates import BoolArray, FloatArray
from epistemic_stance.statistics.rates import rate_interval

DESIGNS = ((67, 20), (170, 3))
RATES = (0.05, 0.3, 0.7)
LABELS = (60, 120, 300)
SHEET_RATES = (0.02, 0.05, 0.1, 0.3, 0.5)
SHEET_LABELS = (20, 30, 48, 60)
SHARES = (0.4, 0.4, 0.2)
RARER = 0.1
MOST_REFUSED = 0.3
"""Cells that are refused more often show only a selection of runs, and are left out."""


@dataclass(frozen=True)
class Design:
    questions: int
    answers: int
    icc: float
    """Correlation of two answers to one question."""
    labels: int
    spread: float = 0.2
    """The same for the rules' errors; 0: they are alike for every question."""
    simple: bool = False
    """Labels are a simple random sample."""

    def __str__(self) -> str:
        return f"{self.questions} x {self.answers} | {self.icc} | {self.labels}"


@dataclass(frozen=True)
class Rules:
    sensitivity: float
    specificity: float

    def __str__(self) -> str:
        return f"{self.sensitivity} | {self.specificity}"


RULES = (Rules(0.6, 0.9), Rules(0.6, 0.99), Rules(0.8, 0.95), Rules(0.95, 0.9), Rules(0.95, 0.99))


def beta(generator: np.random.Generator, mean: float, icc: float, size: int) -> FloatArray:
    total = 1 / icc - 1
    return np.asarray(generator.beta(mean * total, (1 - mean) * total, size))


def simulated_counts(
    generator: np.random.Generator, design: Design, rules: Rules, rates_Q: FloatArray
) -> LabelledCounts:
    """Answers to questions with these rates, and labels of some of them."""
    sensitivity_Q, specificity_Q = (
        beta(generator, share, design.spread, len(rates_Q)) if design.spread else np.full(len(rates_Q), share)
        for share in (rules.sensitivity, rules.specificity)
    )
    draws_3QA = generator.random((3, len(rates_Q), design.answers))
    truth_QA = draws_3QA[0] < rates_Q[:, None]
    found_QA = draws_3QA[1] < np.where(truth_QA, sensitivity_Q[:, None], 1 - specificity_Q[:, None])
    stratum = np.where(draws_3QA[2] < RARER, 2, found_QA).ravel() * (not design.simple)
    sizes = np.bincount(stratum, minlength=3)
    taken = np.minimum(np.round(design.labels * np.array(SHARES)).astype(int), sizes)
    for index in np.argsort(-sizes):
        taken[index] += min(design.labels - taken.sum(), sizes[index] - taken[index])
    drawn = np.concatenate(
        [generator.choice(np.flatnonzero(stratum == index), taken[index], replace=False) for index in range(3)]
    )
    return LabelledCounts(
        hits_Q=found_QA.sum(axis=1),
        answers_Q=np.full(len(rates_Q), design.answers),
        truth_N=truth_QA.ravel()[drawn],
        found_N=found_QA.ravel()[drawn],
        weight_N=(sizes / np.maximum(taken, 1))[stratum[drawn]],
        question_N=drawn // design.answers,
    )


def simulated_rate(generator: np.random.Generator, design: Design, rules: Rules, rate: float) -> LabelledCounts:
    return simulated_counts(generator, design, rules, beta(generator, rate, design.icc, design.questions))


def simulated_pair(
    generator: np.random.Generator, design: Design, rules: tuple[Rules, Rules], rates: tuple[float, float]
) -> tuple[LabelledCounts, LabelledCounts]:
    """The normal scores of the questions' rates before and after are correlated by 0.7."""
    score_Q, other_Q = generator.normal(size=(2, design.questions))
    total = 1 / design.icc - 1

    def counts(score_Q: FloatArray, rate: float, own: Rules) -> LabelledCounts:
        level_Q = np.clip(ndtr(score_Q), 1e-9, 1 - 1e-9)
        rates_Q = np.clip(betaincinv(rate * total, (1 - rate) * total, level_Q), 0, 1)
        return simulated_counts(generator, design, own, rates_Q)

    return counts(score_Q, rates[0], rules[0]), counts(0.7 * score_Q + np.sqrt(0.51) * other_Q, rates[1], rules[1])


# --- methods that were not chosen --------------------------------------------------------------------------


def chosen(counts: LabelledCounts) -> tuple[float, float] | None:
    found = detector.corrected_rate(counts)
    return None if isinstance(found, Refused) else (found.low, found.high)


def independent(counts: LabelledCounts) -> tuple[float, float]:
    """Rogan and Gladen's formula of independent draws: the rate by questions, Se and Sp with Kish's sizes, Jeffreys."""
    generator = np.random.default_rng(1)
    share = counts.hits_Q.sum() / counts.answers_Q.sum()
    spread = (counts.hits_Q / counts.answers_Q).var(ddof=1) / len(counts.hits_Q)
    size = share * (1 - share) / spread if spread > 0 else len(counts.hits_Q)

    def draws(part: float, whole: float) -> FloatArray:
        return np.asarray(generator.beta(part + 0.5, whole - part + 0.5, 2000))

    def right(kind_N: BoolArray, correct_N: BoolArray) -> FloatArray:
        weight_N = counts.weight_N[kind_N]
        whole = weight_N.sum() ** 2 / (weight_N**2).sum() if len(weight_N) else 0.0
        return draws(whole * np.average(correct_N[kind_N], weights=weight_N) if len(weight_N) else 0.0, whole)

    sensitivity, specificity = right(counts.truth_N, counts.found_N), right(~counts.truth_N, ~counts.found_N)
    rates = (draws(share * size, size) + specificity - 1) / (sensitivity + specificity - 1)
    low, high = np.quantile(np.clip(rates, 0, 1), [0.025, 0.975])
    return float(low), float(high)


def no_prior(counts: LabelledCounts) -> tuple[float, float]:
    """Questions resampled whole, the percentiles of the corrected rate: no error among the labels is no error ever."""
    questions = len(counts.hits_Q)
    drawn = np.random.default_rng(1).multinomial(questions, np.full(questions, 1 / questions), 2000)

    def sums(kind_N: BoolArray) -> FloatArray:
        return np.asarray(drawn @ np.bincount(counts.question_N, counts.weight_N * kind_N, questions))

    found = drawn @ counts.hits_Q / (drawn @ counts.answers_Q)
    right = sums(counts.found_N & counts.truth_N) / np.maximum(sums(counts.found_N), 1e-9)
    missed = sums(~counts.found_N & counts.truth_N) / np.maximum(sums(~counts.found_N), 1e-9)
    low, high = np.quantile(found * right + (1 - found) * missed, [0.025, 0.975])
    return float(low), float(high)


def raw(counts: LabelledCounts) -> tuple[float, float] | None:
    interval = rate_interval(counts.hits_Q, counts.answers_Q)
    return None if interval is None else (interval.low, interval.high)


METHODS: dict[str, Callable[[LabelledCounts], tuple[float, float] | None]] = {
    "chosen": chosen,
    "no prior": no_prior,
    "independent": independent,
    "raw": raw,
}

# --- tables ------------------------------------------------------------------------------------------------


def rates_and_errors(generator: np.random.Generator, runs: int) -> None:
    print(f"\nCorrected rate: coverage % (mean half-width, points); up to {runs} runs a cell")
    print("questions x answers | ICC | labels | Se | Sp | " + " | ".join(f"{100 * rate:.0f} %" for rate in RATES))
    held = []
    for questions, answers in DESIGNS:
        for icc in (0.2, 0.5):
            for labels in LABELS:
                for rules in RULES:
                    design = Design(questions, answers, icc, labels)
                    found = [rate_cell(generator, runs, design, rules, rate) for rate in RATES]
                    held += [share for share, _ in found if share is not None]
                    print(f"{design} | {rules} | " + " | ".join(cell for _, cell in found), flush=True)
    held_C = 100 * np.array(held)
    print(
        f"{len(held)} cells: mean {held_C.mean():.1f}, lowest {held_C.min():.1f}, highest {held_C.max():.1f},"
        f" {100 * np.mean((held_C < 92) | (held_C > 97)):.0f} % of them outside 92 to 97"
    )


def rate_cell(
    generator: np.random.Generator, runs: int, design: Design, rules: Rules, rate: float
) -> tuple[float | None, str]:
    """Coverage, None where too much is refused; and the cell, with the percentage refused if any is."""
    ends: list[tuple[float, float]] = []
    for run in range(runs):
        if run - len(ends) > MOST_REFUSED * runs:
            return None, "refused"
        found = chosen(simulated_rate(generator, design, rules, rate))
        ends += [found] if found else []
    refused = f" [{100 - 100 * len(ends) / runs:.0f}]" if len(ends) < runs else ""
    share, half = coverage(ends, rate)
    return share, f"{100 * share:.1f} ({100 * half:.1f}){refused}"


def coverage(ends: list[tuple[float, float]], true: float) -> tuple[float, float]:
    """Share of intervals that hold it, and their mean half-width."""
    low, high = np.array(ends).T
    return float(np.mean((low <= true) & (true <= high))), float(np.mean(high - low) / 2)


def methods(generator: np.random.Generator, runs: int) -> None:
    print(f"\nMethods not chosen: coverage % (mean half-width, points); {runs} runs a cell")
    print("questions x answers | ICC | labels | Se | Sp | rate | " + " | ".join(METHODS))
    for design in (Design(67, 20, 0.3, 100), Design(67, 20, 0.3, 300), Design(170, 3, 0.3, 100)):
        for rules, rate in ((Rules(0.6, 0.99), 0.05), (Rules(0.6, 0.95), 0.3), (Rules(0.95, 0.99), 0.3)):
            models = [simulated_rate(generator, design, rules, rate) for _ in range(runs)]
            models = [counts for counts in models if chosen(counts)]
            if len(models) < (1 - MOST_REFUSED) * runs:
                continue
            cells = []
            for method in METHODS.values():
                share, half = coverage([ends for counts in models if (ends := method(counts))], rate)
                cells.append(f"{100 * share:.1f} ({100 * half:.1f})")
            print(f"{design} | {rules} | {rate} | {' | '.join(cells)}", flush=True)


CHANGES = (
    ("nothing changes", (0.3, 0.3), (Rules(0.85, 0.97), Rules(0.85, 0.97))),
    ("only the rules change", (0.3, 0.3), (Rules(0.9, 0.97), Rules(0.6, 0.97))),
    ("falls by 20 points", (0.5, 0.3), (Rules(0.9, 0.95), Rules(0.9, 0.95))),
    ("rises by 4, recall lost", (0.49, 0.53), (Rules(0.95, 0.98), Rules(0.45, 0.98))),
    ("rises by 20, recall lost", (0.3, 0.5), (Rules(0.95, 0.98), Rules(0.45, 0.98))),
)


def changes(generator: np.random.Generator, runs: int) -> None:
    print(f"\nCorrected change: coverage % (mean half-width, points), and rose / fell by this change's p; {runs} runs")
    print("questions x answers | ICC | labels per model | case | coverage | corrected, % | raw, %")
    for questions, answers in DESIGNS:
        for icc, labels in ((0.2, 120), (0.5, 120), (0.3, 300)):
            design = Design(questions, answers, icc, labels)
            for name, rates, rules in CHANGES:
                pairs = [simulated_pair(generator, design, rules, rates) for _ in range(runs)]
                print(f"{design} | {name} | {change_cells(pairs, rates)}", flush=True)


def change_cells(pairs: list[tuple[LabelledCounts, LabelledCounts]], rates: tuple[float, float]) -> str:
    corrected = [change for pair in pairs if isinstance(change := detector.corrected_changes([pair])[0], PairedChange)]
    share, half = coverage([(change.low, change.high) for change in corrected], rates[1] - rates[0])
    found = [
        paired_changes(
            before.hits_Q[:, None], before.answers_Q[:, None], after.hits_Q[:, None], after.answers_Q[:, None], 1
        )[0]
        for before, after in pairs
    ]
    raw = [change for change in found if change]
    cells = (shown(corrected), shown(raw))
    return f"{100 * share:.1f} ({100 * half:.1f}) | " + " | ".join(cells)


def shown(found: Sequence[PairedChange]) -> str:
    """Percentages that rose and fell; test and interval have to agree, as in `stance compare`."""
    verdicts = [change.verdict for change in found]  # of one change each, so p is not adjusted
    return " / ".join(f"{100 * verdicts.count(verdict) / len(found):.0f}" for verdict in ("rose", "fell"))


def few_questions(generator: np.random.Generator, runs: int) -> None:
    print(f"\nFew questions, rate 50 %, Se .8, Sp .95: coverage % (mean half-width, points); {runs} runs a cell")
    print("questions x answers | ICC | labels | coverage")
    for questions, answers in ((7, 20), (10, 20), (20, 5), (30, 20)):
        for icc in (0.2, 0.5):
            design = Design(questions, answers, icc, 60)
            print(f"{design} | {rate_cell(generator, runs, design, Rules(0.8, 0.95), 0.5)[1]}", flush=True)


def sheets(generator: np.random.Generator, runs: int) -> None:
    print(f"\nThe sheet of a choice, ICC .3: coverage % (mean half-width, points); {runs} runs a cell")
    print("questions x answers | ICC | labels | Se | Sp | " + " | ".join(f"{100 * rate:.0f} %" for rate in SHEET_RATES))
    for questions, answers in DESIGNS:
        for labels in SHEET_LABELS:
            for rules in (*RULES, Rules(0.95, 0.6)):
                design = Design(questions, answers, 0.3, labels, simple=True)
                cells = [rate_cell(generator, runs, design, rules, rate)[1] for rate in SHEET_RATES]
                print(f"{design} | {rules} | {' | '.join(cells)}", flush=True)


TABLES = (changes, methods, few_questions, rates_and_errors, sheets)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500)
    runs = parser.parse_args().runs
    for seed, table in enumerate(TABLES):
        table(np.random.default_rng(seed), runs)


if __name__ == "__main__":
    main()
