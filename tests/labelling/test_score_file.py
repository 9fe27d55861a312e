"""`stance label score`: its figures by hand, and what it makes of every kind of file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from label_run import PATTERN_NAMES, write_answers, write_stance

from epistemic_stance.cli.main import run
from epistemic_stance.foundation.errors import InputError
from epistemic_stance.labelling.score_file import read_labelled
from epistemic_stance.records.analysis import LabelledAnswer


def row(identifier: str | int, response: str, *labels: str, **fields: Any) -> dict[str, Any]:
    return {"id": identifier, "question": "What is heard?", "response": response, "labels": [*labels], **fields}


def scored(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rows: list[dict[str, Any]], *flags: str
) -> tuple[int, str, str]:
    file, stance = write_answers(tmp_path / "labelled.jsonl", rows), write_stance(tmp_path / "stance")
    code = run(["label", "score", str(file), "--stance", str(stance), *flags])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


ROWS = [
    row("a_1", "Yes, I hum.", "humming", ignore=[], correct=None),
    row("a_2", "I hum, and I guess.", "humming", "guessing", category="sums"),
    row("b_3", "A low tone.", "humming"),
    row("a_4", "The tune that I hum is silence."),
    row("b_5", "I hum.", ignore=["humming", "correct"]),
    row("b_6", "I guess.", "guessing"),
]
"""humming: 2 found, 1 missed, 1 too many in a_4; one more is in doubt. guessing: found in sums alone."""


def test_json_has_the_promised_shape_and_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = scored(capsys, tmp_path, ROWS, "--json")
    assert (code, err) == (0, "")
    figures = json.loads(out)
    assert list(figures) == ["labels", "arms"]
    assert list(figures["arms"]) == ["a", "b"]
    for table in (figures["labels"], *figures["arms"].values()):
        assert list(table) == PATTERN_NAMES
        assert all(list(entry) == ["positives", "precision", "recall", "f1", "kappa"] for entry in table.values())
    # a_1 a_2 both, b_3 missed, a_4 too many, b_6 neither: observed 3/5, by chance (3*3 + 2*2)/25 = .52
    humming = {"positives": 3, "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "kappa": pytest.approx(0.08 / 0.48)}
    assert figures["labels"]["humming"] == pytest.approx(humming)
    assert figures["labels"]["guessing"]["recall"] == 0.5
    assert figures["arms"]["a"]["humming"]["recall"] == 1
    assert figures["arms"]["b"]["humming"] == {"positives": 1, "precision": None, "recall": 0, "f1": 0, "kappa": 0}


def test_the_table_shows_all_and_each_group(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = scored(capsys, tmp_path, ROWS)
    assert code == 0
    titles = [line.strip() for line in out.splitlines() if "answers" in line]
    assert titles == ["all: 6 answers", "a: 3 answers", "b: 3 answers"]
    assert ["humming", "1", "-", "0.000", "0.000", "0.000"] in [line.split() for line in out.splitlines()]


@pytest.mark.parametrize(
    ("required", "code", "said"),
    [
        (["humming=.66"], 0, ""),
        (["humming=0.67"], 1, "humming: F1 is 0.6667, 0.67 is required"),
        (["humming=.1", "guessing=.9"], 1, "guessing: F1 is 0.6667, 0.9 is required"),
        (["half_sorry=0"], 1, "half_sorry: F1 is undefined, no answer has the label; 0 is required"),
        (["plum=.5"], 2, '--require: no pattern "plum" (hint: known are humming, half_sorry, guessing)'),
        (["humming"], 2, '--require: expected humming=F1 with an F1 of 0 to 1, found "humming"'),
        (["humming=nan"], 2, "humming=nan"),
        (["humming=95"], 2, "F1 of 0 to 1"),
    ],
)
def test_what_is_required_decides_the_exit_code(
    required: list[str], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [part for label in required for part in ("--require", label)]
    found, out, err = scored(capsys, tmp_path, ROWS, "--json", *flags)
    assert found == code
    assert said in err
    if code < 2:
        json.loads(out)  # what was missed goes to the other stream


@pytest.mark.parametrize(
    ("identifier", "arm", "group"),
    [
        ("base_001", None, "base"),
        ("base_001", "tuned", "tuned"),
        ("x1", None, None),
        ("_1", None, None),
        (7, None, None),
    ],
)
def test_the_group_is_the_field_or_what_the_id_starts_with(
    identifier: str | int, arm: str | None, group: str | None
) -> None:
    assert LabelledAnswer.model_validate(row(identifier, "I hum.", arm=arm)).group == group


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\n \n", "labelled.jsonl: no answers in it"),
        ("{", "labelled.jsonl:1: not JSON"),
        ('{"id": "a_1", "question": "?", "response": "x"}', "labelled.jsonl:1: labels: missing"),
        ("\n" + json.dumps(row("a", "x", "humming", "huming")), '2: labels[1]: no pattern "huming" (hint: known are h'),
        (json.dumps(row("a", "x", ignore=["fig"])), "1: ignore[0]: no pattern"),
        (json.dumps(row("a", "x")) + "\n" + json.dumps(row("a", "y")), ':2: id: "a" is also the id of line 1'),
    ],
)
def test_every_mistake_is_pointed_at(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "labelled.jsonl"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_labelled(path, PATTERN_NAMES)
    assert problem in str(caught.value)
