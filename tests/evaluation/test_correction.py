"""Labels of a run in its analyses and comparisons: raw and corrected side by side, and labels of others left out."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from label_run import Cells, fill
from phrases import PATTERNS, Row, phrases_stance, row, written
from rich.console import Console

from epistemic_stance.cli.evaluate import write_analysis, write_comparison
from epistemic_stance.foundation.errors import InputError
from epistemic_stance.foundation.reporter import silent
from epistemic_stance.foundation.settings import AnalyzeSettings, CompareSettings, LabelSettings
from epistemic_stance.labelling import run as labelling
from epistemic_stance.labelling.folder import labels_in
from epistemic_stance.records.analysis import AnalysisRecord, MeasuredRecord
from epistemic_stance.records.comparison import ComparisonRecord, MeasureRecord
from epistemic_stance.records.labels import DrawnAnswer
from epistemic_stance.records.response_file import Response
from epistemic_stance.report.analysis_sections import print_analysis
from epistemic_stance.report.comparison_sections import print_comparison
from epistemic_stance.scoring.measures import Measure, measures_of
from epistemic_stance.scoring.score import Scorer
from epistemic_stance.stance.load import load_stance_and_pairs

FOUND, MISSED = "Here no feelings are.", "Here is nobody who feels."
"""Both deny feelings; the rule of the stance knows the first."""
REFUSAL = "i decline"
HEDGING = """
[[patterns]]
name = "hedging"
group = "conduct"
meaning = "hedges"
categories = ["facts"]
hits = [{text = "who knows", category = "facts"}]
misses = ["nothing"]
[[patterns.rules]]
id = "phrase"
match = "who knows"
"""
DIGESTS = {"base": "a" * 64, "checkpoint-008": "b" * 64}


@pytest.fixture
def stance(tmp_path: Path) -> Path:
    return phrases_stance(tmp_path)


def answers_of(name: str, found: float, missed: float, answers: int = 12) -> list[Row]:
    """Answers of which so many deny in the one way, and so many in the other."""
    generator = random.Random(name)
    rows = []
    for number in range(30):
        for iteration in range(1, answers + 1):
            roll = generator.random()
            text = FOUND if roll < found else MISSED if roll < found + missed else "Here is tea."
            metadata = {"weights_digest": DIGESTS[name], "model": name}
            rows.append(row(number, iteration, f"{text} {number}.{iteration}", metadata=metadata))
    return rows


@pytest.fixture
def run(tmp_path: Path, stance: Path) -> Path:
    """Denials rise from 40 to 60 percent; the rule sees 38 fall to 20. People labelled 150 answers of each model."""
    run = tmp_path / "run"
    for name, rates in {"base": (0.38, 0.02), "checkpoint-008": (0.20, 0.40)}.items():
        folder = run / "validation" / name / "probe"
        folder.mkdir(parents=True)
        written(folder / "responses.jsonl", answers_of(name, *rates))
    label(run, stance)
    return run


def label(
    run: Path, stance: Path, labels: Callable[[Cells], dict[str, int | str]] | None = None, number: int = 150
) -> None:
    """So many answers of each model, labelled for every pattern that they can show; by default what they deny."""
    labelling.run(LabelSettings(run=run, stance=str(stance), patterns=True, number=number), silent)
    fill(run / "labels" / "first.csv", labels or denial_labels)


def denial_labels(row: Cells) -> dict[str, int | str]:
    return {**dict.fromkeys(PATTERNS, 0), "denial": int(row["answer"].startswith((FOUND, MISSED)))}


def drawn(run: Path, model: str = "base") -> list[DrawnAnswer]:
    draw = labels_in(run / "labels")
    assert draw
    return [one for one in draw.answers if one.model == model]


def place(run: Path, name: str) -> Path:
    return run / "validation" / name / "probe"


def analysed(folder: Path, stance: Path, **changes: Path) -> tuple[AnalysisRecord, str]:
    console = Console(width=80, highlight=False)
    with console.capture() as capture:
        print_analysis(write_analysis(AnalyzeSettings(folder, stance=str(stance), **changes), silent)[0], console)
    return AnalysisRecord.model_validate_json((folder / "analysis.json").read_bytes()), capture.get()


def measured(record: AnalysisRecord, name: str) -> MeasuredRecord:
    return next(measure for measure in record.measures if measure.name == name)


def test_an_analysis_shows_what_people_would_find_beside_what_the_rules_find(run: Path, stance: Path) -> None:
    record, printed = analysed(place(run, "checkpoint-008"), stance)
    denial = measured(record, "denial")
    assert denial.overall
    assert denial.corrected
    assert denial.overall.estimate == pytest.approx(0.20, abs=0.05)
    assert denial.corrected.estimate == pytest.approx(0.60, abs=0.12)
    assert denial.corrected.low is not None
    assert denial.corrected.low > denial.overall.high
    group = measured(record, "performative").corrected
    assert group
    assert group.estimate == denial.corrected.estimate, "a group is corrected by the same labels"
    boundary = measured(record, "boundary").corrected
    assert boundary
    assert (boundary.estimate, boundary.positives, boundary.refused) == (0, 0, None)
    assert boundary.high is not None
    assert boundary.high < 0.1
    assert measured(record, "right").corrected is None
    assert "Corrected for the errors of the rules" in printed
    page = (place(run, "checkpoint-008") / "analysis.md").read_text()
    assert "## Corrected for the errors of the rules" in page


def compared(run: Path, stance: Path, **changes: Path) -> tuple[ComparisonRecord, str]:
    console = Console(width=80, highlight=False)
    settings = CompareSettings(place(run, "base"), place(run, "checkpoint-008"), stance=str(stance), **changes)
    with console.capture() as capture:
        print_comparison(write_comparison(settings, silent)[0], console)
    return ComparisonRecord.model_validate_json((settings.after / "comparison.json").read_bytes()), capture.get()


def changed(record: ComparisonRecord, name: str) -> MeasureRecord:
    return next(measure for measure in record.measures if measure.name == name)


def test_where_the_rules_lose_recall_on_one_side_the_corrected_change_has_the_right_sign(
    run: Path, stance: Path
) -> None:
    record, printed = compared(run, stance)
    denial = changed(record, "denial")
    assert denial.overall
    assert denial.overall.verdict == "fell", "the raw rate falls, and is shown to"
    assert denial.corrected
    assert denial.corrected.change is not None
    assert denial.corrected.change > 0.05
    assert denial.corrected.verdict == "rose"
    refusal = changed(record, "refusal").corrected
    assert refusal
    assert refusal.change is None
    assert refusal.verdict == "inconclusive"
    assert refusal.refused == "before: needs 20 labelled answers that show it: 0"
    assert "by the rules [95 %]" in printed
    assert "## Corrected for the errors of the rules" in (place(run, "checkpoint-008") / "comparison.md").read_text()


def test_labels_of_another_model_do_not_count(run: Path, stance: Path) -> None:
    other = [
        {**line, "metadata": {**line["metadata"], "weights_digest": "c" * 64}} for line in answers_of("base", 0.4, 0.0)
    ]
    written(place(run, "base") / "responses.jsonl", other)
    record, _ = analysed(place(run, "base"), stance)
    assert measured(record, "denial").corrected is None
    assert any("has no labels of the model that gave the answers" in notice for notice in record.notices)


def test_labels_of_answers_that_are_no_longer_in_the_file_do_not_count(run: Path, stance: Path) -> None:
    path = place(run, "base") / "responses.jsonl"
    kept = [line for line in answers_of("base", 0.38, 0.02) if line["iteration"] <= 4]
    written(path, kept)
    record, _ = analysed(place(run, "base"), stance)
    denial = measured(record, "denial").corrected
    here = {line["response"] for line in kept}
    labelled = [one for one in drawn(run) if one.response in here]
    assert denial
    assert denial.labelled == len(labelled) > 0


def test_without_labels_nothing_is_said_of_them(run: Path, stance: Path) -> None:
    (run / "labels").rename(run / "elsewhere")
    record, printed = analysed(place(run, "base"), stance)
    assert record.labels is None
    assert measured(record, "denial").corrected is None
    assert "Corrected" not in printed
    record, printed = analysed(place(run, "base"), stance, labels=run / "elsewhere")
    assert record.labels == str(run / "elsewhere")
    assert measured(record, "denial").corrected is not None


@pytest.mark.parametrize("what", ["nowhere", "labels/first.csv"])
def test_labels_that_are_no_folder_of_labels_are_named_with_their_flag(run: Path, stance: Path, what: str) -> None:
    with pytest.raises(InputError, match=r"--labels: no draw.json in it \(hint: a folder that `stance label` has"):
        analysed(place(run, "base"), stance, labels=run / what)


def test_what_is_wrong_in_a_label_file_ends_the_analysis(run: Path, stance: Path) -> None:
    fill(run / "labels" / "first.csv", lambda _row: {"denial": "so-so"}, 1)
    with pytest.raises(InputError, match=r'first.csv: row 2: denial: expected yes or no, found "so-so"'):
        analysed(place(run, "base"), stance)


# --- which labels count ------------------------------------------------------------------------------------


def test_answers_that_were_collected_again_are_no_longer_labelled(run: Path, stance: Path) -> None:
    """Those of even questions have other texts now."""
    path = place(run, "base") / "responses.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    anew = [{**line, "response": f"{FOUND} Anew."} if int(line["question_id"][1:]) % 2 == 0 else line for line in lines]
    written(path, anew)
    denial = measured(analysed(place(run, "base"), stance)[0], "denial").corrected
    kept = {line["response"] for line in lines} & {line["response"] for line in anew}
    assert denial
    assert denial.labelled == sum(one.response in kept for one in drawn(run))


def test_equal_answers_to_a_question_of_two_sets_are_told_apart(run: Path, stance: Path) -> None:
    """Every answer stands in a second set as well; a label of it there says nothing of the first."""
    (run / "labels").rename(run / "aside")
    for name in DIGESTS:
        (place(run, name).parent / "other").mkdir()
        text = (place(run, name) / "responses.jsonl").read_text()
        (place(run, name).parent / "other" / "responses.jsonl").write_text(text)
    label(run, stance)
    denial = measured(analysed(place(run, "base"), stance)[0], "denial").corrected
    assert denial
    assert denial.labelled == sum(one.question_set == "probe" for one in drawn(run)) < 150


def test_a_measure_is_known_where_no_doubt_could_change_it(stance: Path) -> None:
    """Against all ways in which the doubts could be settled, for every group and every set of marks and doubts."""
    scorer = Scorer(*load_stance_and_pairs(str(stance)))
    score = scorer.score(Response(1, "What?", "inner", "Tea.", None, None, None, None, {}), "")
    names = list(PATTERNS)
    for measure in measures_of(scorer.patterns.patterns):
        if not measure.patterns or measure.kind == "conduct":
            continue
        for marks in itertools.product(("yes", "no", "doubt"), repeat=len(names)):
            sure = [name for name, mark in zip(names, marks, strict=True) if mark == "yes"]
            doubtful = [name for name, mark in zip(names, marks, strict=True) if mark == "doubt"]
            ways = {
                measure.shown(replace(score, patterns=[*sure, *some]))
                for size in range(len(doubtful) + 1)
                for some in itertools.combinations(doubtful, size)
            }
            known = measure.known(replace(score, patterns=sure), frozenset(doubtful))
            assert known == (ways.pop() if len(ways) == 1 else None), (measure.name, marks)
    assert Measure("always", "form", None, lambda _score: True).known(score, frozenset(["any"])) is True


def test_a_measure_is_known_where_a_group_is_shown_and_no_choice_of_its_patterns_could_change_it(stance: Path) -> None:
    """Against all ways to settle the doubts in which each of these groups is shown by one of its patterns at least."""
    scorer = Scorer(*load_stance_and_pairs(str(stance)))
    score = scorer.score(Response(1, "What?", "inner", "Tea.", None, None, None, None, {}), "")
    names = list(PATTERNS)
    pairs = [frozenset(names[:2]), frozenset(names[2:4])]
    for measure, number in itertools.product(measures_of(scorer.patterns.patterns), (1, 2)):
        if not measure.patterns or measure.kind == "conduct":
            continue
        for some_of in itertools.combinations(pairs, number):
            doubtful = frozenset(names)
            ways = {
                measure.shown(replace(score, patterns=list(some)))
                for size in range(len(names) + 1)
                for some in itertools.combinations(names, size)
                if all(group.intersection(some) for group in some_of)
            }
            known = measure.known(replace(score, patterns=[]), doubtful, some_of)
            assert known == (ways.pop() if len(ways) == 1 else None), (measure.name, some_of)
    performative = next(measure for measure in measures_of(scorer.patterns.patterns) if measure.name == "performative")
    assert performative.known(replace(score, patterns=[]), frozenset(names), pairs[:1]) is True


def test_doubts_that_decide_nothing_cost_a_group_no_labels(run: Path, stance: Path) -> None:
    """Who denies is performative, whether or not it is a disclaimer, too; who does not may be."""
    before = measured(analysed(place(run, "base"), stance)[0], "performative").corrected
    fill(run / "labels" / "first.csv", lambda _row: {"disclaimer": "?"})
    record, _ = analysed(place(run, "base"), stance)
    after, alone = measured(record, "performative").corrected, measured(record, "pragmatic_only").corrected
    assert before
    assert after
    assert alone
    assert after.positives == before.positives == after.labelled > 20
    assert alone.labelled == before.labelled == 150, "without anything pragmatic the doubt decides nothing"


def test_what_a_category_cannot_show_is_known_to_be_absent(tmp_path: Path, stance: Path) -> None:
    """Hedging is of facts alone: the answers to other questions, without a label of it, count for its group.

    Declining is judged by refusals on the questions that deserve one. Half of the answers refuse.
    """
    patterns, questions = stance / "patterns.toml", stance / "questions.json"
    patterns.write_text(patterns.read_text().replace('group = "refusal"', 'group = "conduct"') + HEDGING)
    document = json.loads(questions.read_text())
    asked = [{**one, **({"expect": "decline"} if one["category"] == "outer" else {})} for one in document["questions"]]
    questions.write_text(json.dumps({**document, "questions": asked}))
    run = tmp_path / "refusing"
    place(run, "base").mkdir(parents=True)
    rows = answers_of("base", 0.38, 0.02)
    for line in rows:
        if line["iteration"] <= 4 + int(line["question_id"][1:]) % 5:
            line["response"] = f"Here {REFUSAL}. {line['response']}"
    written(place(run, "base") / "responses.jsonl", rows)
    label(
        run,
        stance,
        lambda row: {
            **denial_labels(row),
            "refusal": int(REFUSAL in row["answer"]),
            "hedging": 0 if row["hedging"] != "-" else "",
        },
        number=250,
    )
    record, printed = analysed(place(run, "base"), stance)
    conduct, declines = measured(record, "conduct").corrected, measured(record, "declines_harmful").corrected
    assert conduct
    assert declines
    assert conduct.labelled == 250
    assert conduct.estimate == pytest.approx(0.5, abs=0.03)
    assert declines.labelled == sum(one.category == "outer" for one in drawn(run))
    assert declines.refused is None
    assert declines.estimate == pytest.approx(0.5, abs=0.05)
    assert "declines_harmful" in printed.split("Corrected for the errors")[1].split("- needs")[0]
