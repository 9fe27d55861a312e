"""What the labels say, for a terminal of 80 columns: do people agree, how far can the rules be trusted, and a judge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

from rich.console import Console
from rich.table import Table

from epistemic_stance.analysis.agreement import Agreement, JudgedAnswer, agreement
from epistemic_stance.analysis.calibration import Population, labelled_arm, read_population
from epistemic_stance.analysis.detector import MIN_POSITIVES, Arm, Share, detector_error
from epistemic_stance.analysis.labels import LabelledSample
from epistemic_stance.analysis.patterns import PatternSet
from epistemic_stance.console import Printer, figure_table
from epistemic_stance.settings import AnalyzeSettings
from epistemic_stance.terminal import plain

ABOUT_ERRORS = (
    "Percent [95 % interval], each labelled answer counted with the answers of its arm that it stands for. yes: "
    "answers labelled with the pattern. more: how many more of them are needed before a rate of this arm can be "
    "corrected, and in brackets about how many more answers have to be labelled to find them. --number N --redraw "
    "draws more and keeps the labels of those that are drawn again."
)
ABOUT_PEOPLE = (
    "yes: answers labelled with the pattern, in all arms. doubt: those that do not count for it, because annotators "
    "differ or could not tell."
)
ABOUT_JUDGE = (
    "A judge model is a second opinion: its labels are never taken for the truth, and an answer can talk it into "
    "something. Kappa and F1 over the drawn answers as they are, in which rare patterns are more frequent than in "
    "the run; of two, the one named last is taken as the truth for F1."
)


def print_report(sample: LabelledSample, patterns: PatternSet, console: Console) -> None:
    """Agreement of annotators, error of the rules per arm, and the judges beside both.

    Raises InputError if the answers that were drawn from are gone.
    """
    printer = Printer(console)
    drawn = {arm: sum(answer.arm == arm for answer in sample.answers) for arm in sample.arms}
    done = {name: sum(name in answer.given for answer in sample.answers) for name in sample.annotators}
    printer.note(f"Labels in {sample.folder}", "bold")
    printer.note(f"  drawn      {_listed(drawn)}")
    printer.note(f"  labelled   {_listed(done) or 'nothing yet'}")
    for notice in sample.notices:
        printer.warning(notice)
    if any(done.values()):
        console.print(_people(sample))
        console.print(plain(ABOUT_PEOPLE, "dim"))
        for arm in filter(sample.labelled, sample.arms):
            population = read_population(sample, arm, patterns)
            console.print(_errors(sample, arm, population))
            for notice in population.notices:
                printer.warning(notice)
        console.print(plain(ABOUT_ERRORS, "dim"))
    for judge in sample.judges:
        _print_judge(sample, judge, console, printer)


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _people(sample: LabelledSample) -> Table:
    pairs = list(combinations(sample.annotators, 2))
    headers = [f"{first}_{second}_{figure}" for first, second in pairs for figure in ("kappa", "F1")]
    table = figure_table("The labels", "pattern", "yes", "doubt", *headers)
    between = {pair: sample.between_people(*pair) for pair in pairs}
    for pattern in sample.patterns:
        yes = sum(pattern in answer.gold for answer in sample.answers)
        doubt = sum(
            pattern in answer.ignored and any(pattern in said.offered for said in answer.given.values())
            for answer in sample.labelled()
        )
        figures = [figure for pair in pairs for figure in _figures(between[pair], pattern)]
        table.add_row(pattern, str(yes), str(doubt), *figures)
    return table


def _errors(sample: LabelledSample, arm: str, population: Population) -> Table:
    title = f"The rules against the labels, {arm}: {len(sample.labelled(arm))} answers"
    table = figure_table(title, "pattern", "yes", "precision", "recall", "specificity", "more")
    for pattern in sample.patterns:
        cells = labelled_arm(sample, arm, pattern, population.counts_of(pattern))
        labelled = len(cells.truth_N)
        if not labelled:
            table.add_row(pattern, "-", "-", "-", "-", "-")
            continue
        error = detector_error(cells, AnalyzeSettings.seed)
        shares = [_precision(cells), _share(error.sensitivity), _share(error.specificity)]
        table.add_row(pattern, str(error.positives), *shares, _more(error.positives, labelled))
    return table


def _precision(cells: Arm) -> str:
    weight_found = float(cells.weight_N[cells.found_N].sum())
    right = float(cells.weight_N[cells.found_N & cells.truth_N].sum())
    return f"{100 * right / weight_found:.0f}" if weight_found else "-"


def _more(yes: int, labelled: int) -> str:
    """`13 (370)`: positives still needed, and the answers among which so many would be found at the rate so far."""
    needed = MIN_POSITIVES - yes
    if needed <= 0:
        return ""
    return f"{needed} ({math.ceil(needed * labelled / yes)})" if yes else f"{needed} (?)"


def _print_judge(sample: LabelledSample, judge: str, console: Console, printer: Printer) -> None:
    said = [answer.judge[judge] for answer in sample.answers if judge in answer.judge]
    unreadable = sum(not labels.readable for labels in said)
    printer.note(f"\nJudge {said[0].model if said else judge}", "bold")
    asked = f"asked about {len(said)} of {len(sample.answers)} answers"
    printer.note(f"  {asked}; {unreadable} replies cannot be read and count as unknown")
    pairs = ("judge_rules", "judge_labels", "rules_labels")
    for arm in [None, *(sample.arms if len(sample.arms) > 1 else [])]:
        headers = [f"{pair}_{figure}" for pair in pairs for figure in ("kappa", "F1")]
        table = figure_table(f"Agreement, {arm or 'all arms'}", "pattern", *headers)
        columns: Sequence[list[JudgedAnswer]] = (
            sample.judge_against_rules(judge, arm),
            sample.judge_against_people(judge, arm),
            sample.rules_against_people(arm),
        )
        for pattern in sample.patterns:
            table.add_row(pattern, *(figure for answers in columns for figure in _figures(answers, pattern)))
        console.print(table)
    console.print(plain(ABOUT_JUDGE, "dim"))


def _figures(answers: Sequence[JudgedAnswer], pattern: str) -> tuple[str, str]:
    found: Agreement = agreement(answers, pattern)
    return _shown(found.kappa), _shown(found.f1)


def _shown(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.2f}"


def _share(share: Share | None) -> str:
    """`87 [71, 95]` in percent."""
    return "-" if share is None else f"{100 * share.estimate:.0f} [{100 * share.low:.0f}, {100 * share.high:.0f}]"
