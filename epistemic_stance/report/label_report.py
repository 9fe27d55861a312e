"""What the labels say, for a terminal of 80 columns: do people agree, how far can the rules be trusted, and a judge."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from rich.console import Console
from rich.table import Table

from epistemic_stance.foundation.console import Printer, figure_table
from epistemic_stance.foundation.settings import AnalyzeSettings
from epistemic_stance.foundation.terminal import plain
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.labelling.calibration import read_population
from epistemic_stance.labelling.labels import LabelledSample
from epistemic_stance.scoring.patterns import PatternSet
from epistemic_stance.statistics.agreement import Agreement, JudgedAnswer, agreement
from epistemic_stance.statistics.detector import MIN_POSITIVES, LabelledCounts, detector_error
from epistemic_stance.statistics.estimates import Estimate

PAIRS_WIDE = 2
ABOUT_ERRORS = (
    "Percent [95 % interval], each labelled answer counted with the answers of its arm that it stands for. yes: "
    "answers labelled with the pattern. --number N --redraw draws more and keeps the labels of those that are drawn "
    "again."
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
        for table in _between(sample):
            console.print(table)
        console.print(plain(ABOUT_PEOPLE, "dim"))
        for arm in filter(sample.labelled, sample.arms):
            population = read_population(sample, arm, patterns)
            arms = {pattern: population.arm_of(pattern) for pattern in sample.patterns}
            console.print(_errors(sample, arm, arms))
            if few := [text for pattern, cells in arms.items() if (text := _more(pattern, cells))]:
                what = (
                    f"More that show it are needed before a rate of {arm} can be corrected, and to find them about so"
                )
                console.print(plain(f"{what} many more labels: {', '.join(few)}.", "dim"))
            for notice in population.notices:
                printer.warning(notice)
        console.print(plain(ABOUT_ERRORS, "dim"))
    for judge in sample.judges:
        _print_judge(sample, judge, console, printer)


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _people(sample: LabelledSample) -> Table:
    table = _table("The labels", "yes", "doubt")
    for pattern in sample.patterns:
        yes = sum(pattern in answer.gold for answer in sample.answers)
        doubt = sum(
            pattern in answer.ignored and any(pattern in said.offered for said in answer.given.values())
            for answer in sample.labelled()
        )
        table.add_row(pattern, str(yes), str(doubt))
    return table


def _between(sample: LabelledSample) -> Iterator[Table]:
    """How far people agree: tables of as many pairs of annotators as 80 columns hold."""
    pairs = list(combinations(sample.annotators, 2))
    for first in range(0, len(pairs), PAIRS_WIDE):
        shown = pairs[first : first + PAIRS_WIDE]
        answers = [sample.between_people(*pair) for pair in shown]
        headers = [f"{shorten(one, 12)}_{shorten(two, 12)}_{f}" for one, two in shown for f in ("kappa", "F1")]
        table = _table("Agreement of annotators", *headers)
        for pattern in sample.patterns:
            table.add_row(pattern, *(figure for each in answers for figure in _figures(each, pattern)))
        yield table


def _table(title: str, *headers: str) -> Table:
    """One row per pattern, whose name is never broken."""
    table = figure_table(title, "pattern", *headers)
    table.columns[0].no_wrap = True
    return table


def _errors(sample: LabelledSample, arm: str, arms: Mapping[str, LabelledCounts]) -> Table:
    title = f"The rules against the labels, {arm}: {len(sample.labelled(arm))} answers"
    table = _table(title, "yes", "precision", "recall", "specificity")
    for pattern, cells in arms.items():
        if not len(cells.truth_N):
            table.add_row(pattern, *"----")
            continue
        error = detector_error(cells, AnalyzeSettings.seed)
        shares = [_share(share) for share in (error.precision, error.sensitivity, error.specificity)]
        table.add_row(pattern, str(error.positives), *shares)
    return table


def _more(pattern: str, cells: LabelledCounts) -> str:
    """`refusal 13 (370)`: positives still needed, and the labels among which so many would be at the rate so far."""
    yes, labelled = int(cells.truth_N.sum()), len(cells.truth_N)
    needed = MIN_POSITIVES - yes
    if needed <= 0 or not labelled:
        return ""
    return f"{pattern} {needed} ({math.ceil(needed * labelled / yes) if yes else '?'})"


def _print_judge(sample: LabelledSample, judge: str, console: Console, printer: Printer) -> None:
    said = [answer.judge[judge] for answer in sample.answers if judge in answer.judge]
    unreadable = sum(not labels.readable for labels in said)
    printer.note(f"\nJudge {said[0].model if said else judge}", "bold")
    asked = f"asked about {len(said)} of {len(sample.answers)} answers"
    printer.note(f"  {asked}; {unreadable} replies cannot be read and count as unknown")
    pairs = ("judge_rules", "judge_labels", "rules_labels")
    for arm in [None, *(sample.arms if len(sample.arms) > 1 else [])]:
        headers = [f"{pair}_{figure}" for pair in pairs for figure in ("kappa", "F1")]
        table = _table(f"Agreement, {arm or 'all arms'}", *headers)
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


def _share(share: Estimate | None) -> str:
    """`87 [71, 95]` in percent."""
    return "-" if share is None else f"{100 * share.estimate:.0f} [{100 * share.low:.0f}, {100 * share.high:.0f}]"
