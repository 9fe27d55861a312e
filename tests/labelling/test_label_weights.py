"""Estimates from a part of the labels: right on average however far the labelling has come, and after a new draw."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import mean, stdev

import pytest
from label_run import patterns_of, write_answers, write_stance
from rich.console import Console

from epistemic_stance.foundation.files import dump_json
from epistemic_stance.foundation.settings import LabelSettings
from epistemic_stance.labelling.folder import begin_or_continue
from epistemic_stance.labelling.labels import LabelledSample, read_label_folder, read_labels, read_sample
from epistemic_stance.labelling.session import Labelled, Session, screens_of
from epistemic_stance.labelling.sources import find_sources
from epistemic_stance.labelling.view import Shown, View
from epistemic_stance.records.labels import GivenLabels
from epistemic_stance.scoring.patterns import PatternSet
from epistemic_stance.stance.load import Stance, load_stance

FREQUENT = "Hm."


class Blind(View):
    """Shows nothing, in no time."""

    def show(self, shown: Shown) -> None:
        """Nothing."""

    def show_guide(self, page: int) -> bool:
        return page == 0


def draw(run: Path, stance: Stance, patterns: PatternSet, **settings: int | bool) -> None:
    asked = LabelSettings(run=run, **settings)  # type: ignore[arg-type]
    begin_or_continue(asked, find_sources(asked, stance), patterns, lambda _message: None)


def label(folder: Path, patterns: PatternSet, texts: int, shows: Callable[[str], bool]) -> None:
    """The annotator labels up to so many more texts, as in a terminal; `humming` is what a text shows."""
    drawn = read_sample(folder)
    file = folder / "first.jsonl"
    given = {name: labels for name, (_, labels) in read_labels(file, GivenLabels).items()}
    answers = {answer.id: answer.response for answer in drawn}

    def save(lines: Sequence[Labelled]) -> None:
        with file.open("a") as stream:
            for name, offered, _ in lines:
                labels = ["humming"] if shows(answers[name]) else []
                said = GivenLabels(id=name, labels=labels, unsure=[], offered=list(offered), timestamp="t")
                stream.write(dump_json(said.model_dump(mode="json")) + "\n")

    def keys() -> Iterator[str]:
        yield from "" if given else " "  # the guide
        yield from itertools.repeat("\r", texts)
        yield "q"

    Session(screens_of(drawn, patterns.patterns, "first"), given, Blind(Console(), patterns.patterns), save).run(keys())


def estimate(folder: Path, patterns: PatternSet) -> float:
    """Weighted share of the labelled answers that show humming."""
    sample: LabelledSample = read_label_folder(folder, patterns)
    labelled = sample.labelled()
    return sum(one.weight for one in labelled if "humming" in one.gold) / sum(one.weight for one in labelled)


def close_to(truth: float, found: Sequence[float]) -> bool:
    return bool(abs(mean(found) - truth) < 3.5 * stdev(found) / len(found) ** 0.5 + 0.01)


@pytest.fixture
def stance(tmp_path: Path) -> Path:
    return write_stance(tmp_path / "stance")


def half_the_same(run: Path) -> Path:
    """20 questions; 10 of 20 answers to each are one text."""
    rows = [
        {
            "question": f"What of thing {question}?",
            "category": "noise",
            "response": FREQUENT if turn < 10 else f"Well, {question} and {turn}.",
            "temperature": 0.7,
            "iteration": turn,
        }
        for question in range(20)
        for turn in range(20)
    ]
    write_answers(run / "validation" / "base" / "talk" / "responses.jsonl", rows)
    return run / "labels"


def test_a_part_of_the_labels_and_a_new_draw_over_represent_no_text(tmp_path: Path, stance: Path) -> None:
    """Half of all answers are of a text that comes ten times; labelled once, each answer counts in its turn alone.

    Stages: 8 texts of the small sample, all of it, carried over to a larger one, and 10 and 50 texts more of that.
    """
    loaded, patterns = load_stance(str(stance)), patterns_of(stance)
    stages: list[list[float]] = [[] for _ in range(5)]
    for seed in range(30):
        run = tmp_path / "run"
        folder = half_the_same(run)
        draw(run, loaded, patterns, number=45, seed=seed)
        for stage, texts in enumerate((8, 100)):
            label(folder, patterns, texts, FREQUENT.__eq__)
            stages[stage].append(estimate(folder, patterns))
        draw(run, loaded, patterns, number=200, seed=seed, redraw=True)
        carried = len((folder / "first.jsonl").read_text().splitlines())
        assert carried == 45
        for stage, texts in enumerate((0, 10, 50), start=2):
            if texts:
                label(folder, patterns, texts, FREQUENT.__eq__)
            stages[stage].append(estimate(folder, patterns))
        shutil.rmtree(run)
    assert [round(mean(found), 2) for found in stages if not close_to(0.5, found)] == []


def test_labels_kept_from_other_strata_stand_for_themselves_alone(tmp_path: Path, stance: Path) -> None:
    """The rule learns `pardon` between the draws: of its finds, those with `sorry` are labelled already, and all hum.

    Of 400 answers 100 say sorry and hum, 100 beg pardon and do not, 200 do neither.
    """
    before, file = load_stance(str(stance)), stance / "patterns.toml"
    old_patterns = patterns_of(stance)
    file.write_text(file.read_text().replace(r"'\bsorry\b'", r"'\bsorry\b|\bpardon\b'"))
    after, patterns = load_stance(str(stance)), patterns_of(stance)
    texts = [("Sorry, humming", "Pardon", "Quiet", "Silence")[n % 4] + f" {n}." for n in range(400)]
    rows = [
        {"question": f"Room {n % 20}?", "category": "noise", "response": text, "iteration": n}
        for n, text in enumerate(texts)
    ]
    found = []
    for seed in range(30):
        run = tmp_path / "run"
        write_answers(run / "validation" / "base" / "talk" / "responses.jsonl", rows)
        draw(run, before, old_patterns, number=40, seed=seed)
        label(run / "labels", old_patterns, 40, lambda text: "humming" in text)
        draw(run, after, patterns, number=120, seed=seed, redraw=True)
        label(run / "labels", patterns, 30, lambda text: "humming" in text)
        found.append(estimate(run / "labels", patterns))
        batches = {answer.batch for answer in read_sample(run / "labels")}
        assert batches == {0, 1}
        shutil.rmtree(run)
    assert close_to(0.25, found), mean(found)
