"""Labels of a run in its analyses and comparisons: raw and corrected side by side, and labels of others left out."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from rich.console import Console
from test_compare import Row, phrases_stance, row, written

from epistemic_stance.cli.evaluate import write_analysis, write_comparison
from epistemic_stance.foundation.reporter import silent
from epistemic_stance.foundation.settings import AnalyzeSettings, CompareSettings, LabelSettings
from epistemic_stance.labelling.folder import begin_or_continue
from epistemic_stance.labelling.labels import read_sample
from epistemic_stance.labelling.sources import find_sources
from epistemic_stance.records.analysis import AnalysisRecord, MeasuredRecord
from epistemic_stance.records.comparison import ComparisonRecord, MeasureRecord
from epistemic_stance.report.analysis_sections import print_analysis
from epistemic_stance.report.comparison_sections import print_comparison
from epistemic_stance.scoring.patterns import load_patterns
from epistemic_stance.stance.load import load_stance

FOUND, MISSED = "Here no feelings are.", "Here is nobody who feels."
"""Both deny feelings; the rule of the stance knows the first."""
DIGESTS = {"base": "a" * 64, "checkpoint-008": "b" * 64}


@pytest.fixture
def stance(tmp_path: Path) -> Path:
    return phrases_stance(tmp_path)


def arm(name: str, found: float, missed: float, answers: int = 12) -> list[Row]:
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
    """Denials rise from 40 to 60 percent; the rule sees 38 fall to 20. People labelled 150 answers of each arm."""
    run = tmp_path / "run"
    for name, rates in {"base": (0.38, 0.02), "checkpoint-008": (0.20, 0.40)}.items():
        folder = run / "validation" / name / "probe"
        folder.mkdir(parents=True)
        written(folder / "responses.jsonl", arm(name, *rates))
    label(run, stance)
    return run


def label(run: Path, stance: Path, number: int = 150) -> None:
    settings = LabelSettings(run=run, stance=str(stance), number=number)
    loaded = load_stance(str(stance))
    begin_or_continue(settings, find_sources(settings, loaded), load_patterns(loaded), lambda _message: None)
    offered = [pattern.name for source in loaded.patterns for pattern in source.file.patterns]
    lines = []
    for answer in read_sample(run / "labels"):
        denies = answer.response.startswith((FOUND, MISSED))
        given = {"id": answer.id, "labels": ["denial"] if denies else [], "unsure": [], "offered": offered}
        lines.append(json.dumps({"schema": 1, **given, "timestamp": "2026-01-01T00:00:00Z"}) + "\n")
    (run / "labels" / "first.jsonl").write_text("".join(lines))


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
    assert boundary.estimate is None
    assert boundary.refused == "needs 20 labelled answers that show it: 0"
    assert measured(record, "right").corrected is None
    assert "Corrected for the errors of the rules" in printed
    assert "- not corrected, needs 20 labelled answers that show it: disclaimer (0), pragmatic (0)," in " ".join(
        printed.split()
    )
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
    other = [{**line, "metadata": {**line["metadata"], "weights_digest": "c" * 64}} for line in arm("base", 0.4, 0.0)]
    written(place(run, "base") / "responses.jsonl", other)
    record, _ = analysed(place(run, "base"), stance)
    assert measured(record, "denial").corrected is None
    assert any("has no labels of the model that gave the answers" in notice for notice in record.notices)


def test_labels_of_answers_that_are_no_longer_in_the_file_do_not_count(run: Path, stance: Path) -> None:
    path = place(run, "base") / "responses.jsonl"
    kept = [line for line in arm("base", 0.38, 0.02) if line["iteration"] <= 4]
    written(path, kept)
    record, _ = analysed(place(run, "base"), stance)
    denial = measured(record, "denial").corrected
    here = {line["response"] for line in kept}
    labelled = [one for one in read_sample(run / "labels") if one.arm == "base" and one.response in here]
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
