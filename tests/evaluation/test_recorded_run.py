"""A small recorded demo run, from its answers to its tables: each answer is scored once, and no figure changes unseen.

`tests/data/recorded_run.tar.xz` holds answers, probes, logs and metadata of a base model and a checkpoint;
`tests/data/recorded_run.txt` the tables made of them. A change of figures that is meant is made with

    PYTHONPATH=tests python tests/evaluation/test_recorded_run.py

and its difference is shown in docs/measurements.md.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from checkout import ROOT
from label_run import fill, read_cells
from rich.console import Console

from epistemic_stance.cli.evaluate import select_checkpoint, write_analysis, write_comparison
from epistemic_stance.evaluation import select
from epistemic_stance.foundation.errors import NotMetError
from epistemic_stance.foundation.reporter import silent
from epistemic_stance.foundation.settings import AnalyzeSettings, CompareSettings, SelectSettings
from epistemic_stance.records.analysis import ScoreRecord
from epistemic_stance.records.response_file import Response
from epistemic_stance.records.run_folder import BASE, RunFolder
from epistemic_stance.records.validation import SelectionRecord
from epistemic_stance.report.analysis_sections import print_analysis
from epistemic_stance.report.comparison_sections import print_comparison
from epistemic_stance.report.selection_sections import print_selection
from epistemic_stance.scoring.score import Scorer

DATA = ROOT / "tests" / "data"
TABLES = DATA / "recorded_run.txt"
CHECKPOINT = "checkpoint-008"
ANALYSED = ((BASE, "phase1"), (CHECKPOINT, "phase1"), (CHECKPOINT, "baseline"), (CHECKPOINT, "capability"))
COMPARED = ("phase1", "baseline")
CORPUS = DATA / "recorded_corpus.json"
"""The pairs that the run was trained on: those of the first release."""


def unpacked(folder: Path) -> RunFolder:
    with tarfile.open(DATA / "recorded_run.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return RunFolder(folder / "recorded_run")


def tables(run: RunFolder) -> str:
    """What analyze, compare and select print, places of files left out."""
    console = Console(file=io.StringIO(), width=80, highlight=False)
    for name, question_set in ANALYSED:
        folder = run.answers(name, question_set).responses.parent
        console.print(f"\n=== analyze {name}/{question_set}")
        print_analysis(write_analysis(AnalyzeSettings(folder, corpus=CORPUS), silent)[0], console)
    for question_set in COMPARED:
        before, after = (run.answers(name, question_set).responses.parent for name in (BASE, CHECKPOINT))
        record, _ = write_comparison(CompareSettings(before, after, corpus=CORPUS), silent)
        record.before.file = record.after.file = "responses.jsonl"
        console.print(f"\n=== compare {question_set}")
        print_comparison(record, console)
    console.print("\n=== select")
    print_selection(select.run(SelectSettings(run.root, corpus=CORPUS), silent), console)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines if "sha256" not in line)


def test_the_tables_of_a_recorded_run_are_those_on_record_and_each_answer_is_scored_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[Response] = []
    score = Scorer.score

    def counting(self: Scorer, response: Response, stamp: str = "") -> ScoreRecord:
        scored.append(response)
        return score(self, response, stamp)

    monkeypatch.setattr(Scorer, "score", counting)
    run = unpacked(tmp_path)
    assert tables(run) == TABLES.read_text(encoding="utf-8")
    answers = sum(
        len(run.answers(name, question_set).responses.read_bytes().splitlines())
        for name in (BASE, CHECKPOINT)
        for question_set in run.answered(name)
    )
    assert len(scored) == answers


def test_the_sheet_of_the_shipped_stance_turns_its_criteria(tmp_path: Path) -> None:
    """Somebody says of the demo's answers: all hold together and perform, by no disclaimer, and none is pragmatic."""
    run = unpacked(tmp_path)
    settings = SelectSettings(run.root, corpus=CORPUS)

    def verdicts() -> dict[str, str]:
        with pytest.raises(NotMetError):
            select_checkpoint(settings, Console(file=io.StringIO()))
        chosen = SelectionRecord.model_validate_json(run.selection.read_bytes()).candidate(CHECKPOINT)
        assert chosen
        return {criterion.name: criterion.verdict for criterion in chosen.criteria}

    before = verdicts()
    assert (before["holds_together"], before["pragmatism"]) == ("met by rules", "inconclusive")
    sheet = run.labels / "first.csv"
    columns = ["holds_together", "performative", "pragmatic", "ai_disclaimer"]
    assert list(read_cells(sheet)[0]) == ["id", "question", "answer", *columns, "notes"]
    assert len(read_cells(sheet)) == 120
    fill(sheet, lambda _row: dict(zip(columns, ("yes", "yes", "no", "no"), strict=True)))
    assert verdicts() == before | {
        "holds_together": "met",
        "pragmatism": "not met",
        "performative": "not met",
        "ai_disclaimers": "inconclusive",
    }


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        TABLES.write_text(tables(unpacked(Path(place))), encoding="utf-8")
