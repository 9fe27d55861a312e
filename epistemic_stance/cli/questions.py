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
from epistemic_stance.stance.question_index import About, QuestionBook
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
    book = QuestionBook(stance, pairs)
    console = Console(highlight=False)
    if settings.json:
        for name in wanted:
            _print_lines(stance.question_sets[name], book, console)
        return
    console.print(_table(stance, wanted, book, settings.corpus))
    console.print(plain(HOW_TO_READ, "dim"))


def _print_lines(questions: QuestionSet, book: QuestionBook, console: Console) -> None:
    for question in questions.questions:
        about = book.about(question.text)
        line = {"set": questions.name, "id": question.id, "category": question.category}
        console.out(dump_json(line | {"exposure": about.exposure, "split": about.split, "text": question.text}))


def _table(stance: Stance, names: list[str], book: QuestionBook, corpus: Path | None) -> Table:
    """One row per set, or per category of a single set. Exposures that do not occur have no column."""
    rows: list[tuple[str, int, list[About]]] = []
    for name in names:
        each = answers_each(stance.designs[name])
        questions = stance.question_sets[name]
        if len(names) > 1:
            rows.append((name, each, [book.about(question.text) for question in questions.questions]))
        for category in questions.categories if len(names) == 1 else ():
            asked = [book.about(question.text) for question in questions.questions if question.category == category]
            rows.append((category, each, asked))
    everything = [about for _, _, abouts in rows for about in abouts]
    exposures = [name for name in EXPOSURES if any(about.exposure == name for about in everything)]
    made = figure_table(
        f"Questions of {stance.name} against {corpus or stance.corpus.name}",
        "set" if len(names) > 1 else names[0],
        *("questions", "answers", *exposures, *SPLITS),
    )

    def counts(abouts: list[About], answers: int) -> list[str]:
        of = Counter(about.exposure for about in abouts)
        halves = Counter(about.split for about in abouts)
        marks = [*(of[name] for name in exposures), *(halves[name] for name in SPLITS)]
        return [f"{count:,}" for count in (len(abouts), answers, *marks)]

    for title, each, abouts in rows:
        made.add_row(plain(title), *counts(abouts, len(abouts) * each))
    made.add_section()
    made.add_row(plain("all", "bold"), *counts(everything, sum(len(abouts) * each for _, each, abouts in rows)))
    return made


def answers_each(design: AskingDesign) -> int:
    """Answers to one question of a set that is asked whole: temperature 0 is greedy and asked once."""
    return sum(design.iterations if temperature > 0 else 1 for temperature in design.temperatures)
