"""The two documents about a baseline run, and the example of them that the repository ships."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import ROOT
from rich.console import Console

from epistemic_stance.foundation.errors import InputError
from epistemic_stance.foundation.settings import DEMO_NOTICE, FindingsSettings
from epistemic_stance.models.find import DEMO_FOLDER, ModelFiles
from epistemic_stance.records.collection import CollectionRecord
from epistemic_stance.report.findings import ANALYSIS, FINDINGS, RECORDED, run_findings
from epistemic_stance.report.markdown import escaped

SHIPPED = sorted((ROOT / "baseline_data").glob("baseline_responses_*[0-9].jsonl"))


@pytest.fixture
def in_root() -> Iterator[None]:
    before = Path.cwd()
    os.chdir(ROOT)
    yield
    os.chdir(before)


def documents(file: Path, folder: Path) -> tuple[str, str]:
    run_findings(FindingsSettings(file, output_dir=folder), Console(quiet=True))
    return (folder / FINDINGS).read_text(encoding="utf-8"), (folder / ANALYSIS).read_text(encoding="utf-8")


def baseline_file(path: Path, *answers: tuple[str, str, str]) -> Path:
    """Lines of category, question and answer."""
    rows = [dict(zip(("category", "question", "response"), answer, strict=True)) for answer in answers]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.usefixtures("in_root")
def test_the_shipped_documents_are_what_the_command_makes_of_the_shipped_run(tmp_path: Path) -> None:
    (run,) = SHIPPED
    findings, analysis = documents(run.relative_to(ROOT), tmp_path)
    hint = f"run: stance findings {run.relative_to(ROOT)}"
    assert findings == (ROOT / FINDINGS).read_text(encoding="utf-8"), hint
    assert analysis == (ROOT / ANALYSIS).read_text(encoding="utf-8"), hint


def test_the_shipped_run_is_one_of_the_embedded_model_and_complete() -> None:
    (run,) = SHIPPED
    plan = CollectionRecord.model_validate_json(run.with_suffix(".plan.json").read_bytes())
    assert (plan.model, plan.question_set, plan.status) == ("demo", "baseline", "finished")
    assert plan.weights_digest == ModelFiles("demo", DEMO_FOLDER).digest(), "collect it again: the demo model changed"
    lines = run.read_text(encoding="utf-8").splitlines()
    assert len(lines) == plan.responses == 150
    assert {json.loads(line)["metadata"]["weights_digest"] for line in lines} == {plan.weights_digest}


def test_the_documents_name_their_model_and_quote_the_recorded_figures_as_not_comparable(tmp_path: Path) -> None:
    (run,) = SHIPPED
    findings, analysis = documents(run, tmp_path)
    for document in (findings, analysis):
        assert DEMO_NOTICE in document
    assert findings.startswith("# Baseline findings: demo\n")
    assert "not comparable" in findings
    assert "--system-prompt" in findings
    for figure in RECORDED:
        assert f"| {figure.what} | {figure.figure} |" in findings


def test_syllogisms_are_counted_apart_from_arithmetic(tmp_path: Path) -> None:
    file = baseline_file(
        tmp_path / "answers.jsonl",
        ("reasoning_tasks", "All poets are readers. Ana is a poet. Is Ana a reader?", "Yes, she is a reader."),
        (
            "reasoning_tasks",
            "I buy 3 pens at 4 euros each and pay with a 20 euro note. How many euros do I get back?",
            "You get 7 euros back.",
        ),
    )
    findings, _ = documents(file, tmp_path)
    assert "| syllogisms right | 100 % | 100 [" in findings
    assert "a model that the answers do not name" in findings


def test_a_checkpoint_is_not_called_untrained_and_odd_names_stay_text(tmp_path: Path) -> None:
    folder = tmp_path / "we`ird<b>"
    folder.mkdir()
    file = baseline_file(folder / "answers.jsonl", ("self_properties", "Do you have any emotions?", "I can't tell."))
    row = json.loads(file.read_text(encoding="utf-8"))
    row["metadata"] = {"model": "run/checkpoint-200", "base_model": "demo"}
    file.write_text(json.dumps(row) + "\n", encoding="utf-8")
    findings, _ = documents(file, tmp_path)
    assert findings.startswith("# Baseline findings: run/checkpoint-200 (trained from demo)\n")
    assert "before" not in findings
    assert "<b>" not in findings.replace("\\<b\\>", "")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1. one", r"1\. one"),
        ("12) two", r"12\) two"),
        ("- three", r"\- three"),
        ("+ four", r"\+ four"),
        ("3.5 points", "3.5 points"),
        ("a - b", "a - b"),
        ("# <b>", r"\# \<b\>"),
    ],
)
def test_a_line_of_text_opens_no_list_or_heading(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_a_file_without_baseline_questions_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    file = baseline_file(tmp_path / "answers.jsonl", ("experiential", "Is it dark in there?", "I can't tell."))
    with pytest.raises(InputError, match="holds no answers to baseline questions"):
        documents(file, tmp_path)
    assert not (tmp_path / FINDINGS).exists()
