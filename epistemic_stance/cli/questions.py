"""`stance questions`: what a stance asks, what of it the model has seen, and which half each question belongs to."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from epistemic_stance.foundation.console import figure_table
from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.files import dump_json
from epistemic_stance.foundation.settings import QuestionsSettings
from epistemic_stance.foundation.terminal import plain
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records.analysis import Exposure
from epistemic_stance.records.written import AskingDesign, QuestionSet
from epistemic_stance.stance.load import Stance, load_stance_and_pairs
from epistemic_stance.stance.question_index import KnownQuestion, QuestionIndex
from epistemic_stance.stance.splits import SPLITS

EXPOSURES: tuple[Exposure, ...] = ("seen", "paraphrase", "unseen")
HOW_TO_READ = (
    "answers: of a comprehensive run. seen: a prompt of the corpus in use; paraphrase: nearly one, or said to reword "
    "one. select: to choose a checkpoint by; report: to report on it."
)


def run_questions(settings: QuestionsSettings) -> None:
    """Print a table of the sets, or one JSON line per question. Raises InputError for a wrong stance or set."""
    stance, pairs = load_stance_and_pairs(settings.stance, settings.corpus)
    wanted = [settings.questions] if settings.questions else list(stance.question_sets)
    for name in wanted:
        if name not in stance.question_sets:
            what = f"{shorten(name)} is no question set of the stance"
            hint = f"{stance.name} has {', '.join(stance.question_sets) or 'none'}"
            raise InputError([Problem("--questions", what, hint=hint)])
    index = QuestionIndex(stance, pairs)
    console = Console(highlight=False)
    if settings.json:
        for name in wanted:
            _print_lines(stance.question_sets[name], index, console)
        return
    console.print(_table(stance, wanted, index, settings.corpus))
    console.print(plain(HOW_TO_READ, "dim"))


def _print_lines(questions: QuestionSet, index: QuestionIndex, console: Console) -> None:
    for question in questions.questions:
        known = index.lookup(question.text)
        line = {"set": questions.name, "id": question.id, "category": question.category}
        console.out(dump_json(line | {"exposure": known.exposure, "split": known.split, "text": question.text}))


def _table(stance: Stance, names: list[str], index: QuestionIndex, corpus: Path | None) -> Table:
    """One row per set, or per category of a single set. Exposures that do not occur have no column."""
    rows: list[tuple[str, int, list[KnownQuestion]]] = []
    for name in names:
        each = answers_each(stance.designs[name])
        questions = stance.question_sets[name]
        if len(names) > 1:
            rows.append((name, each, [index.lookup(question.text) for question in questions.questions]))
        for category in questions.categories if len(names) == 1 else ():
            asked = [index.lookup(question.text) for question in questions.questions if question.category == category]
            rows.append((category, each, asked))
    everything = [known for _, _, members in rows for known in members]
    exposures = [name for name in EXPOSURES if any(known.exposure == name for known in everything)]
    table = figure_table(
        f"Questions of {stance.name} against {corpus or stance.corpus.name}",
        "set" if len(names) > 1 else names[0],
        *("questions", "answers", *exposures, *SPLITS),
    )

    def counts(members: list[KnownQuestion], answers: int) -> list[str]:
        by_exposure = Counter(known.exposure for known in members)
        by_half = Counter(known.split for known in members)
        figures = [*(by_exposure[name] for name in exposures), *(by_half[name] for name in SPLITS)]
        return [f"{figure:,}" for figure in (len(members), answers, *figures)]

    for title, each, members in rows:
        table.add_row(plain(title), *counts(members, len(members) * each))
    table.add_section()
    table.add_row(plain("all", "bold"), *counts(everything, sum(len(members) * each for _, each, members in rows)))
    return table


def answers_each(design: AskingDesign) -> int:
    """Answers to one question of a set that is asked whole: temperature 0 is greedy and asked once."""
    return sum(design.iterations if temperature > 0 else 1 for temperature in design.temperatures)
