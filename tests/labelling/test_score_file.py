"""`stance label score`: its figures by hand, and what it makes of every kind of file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from epistemic_stance.cli.main import run
from epistemic_stance.foundation.errors import InputError
from epistemic_stance.labelling.score_file import read_labelled
from epistemic_stance.records.analysis import LabelledAnswer

NAMES = ["apple", "pear"]
FIGURES = ("positives", "precision", "recall", "f1", "kappa")
PATTERNS = """\
[[patterns]]
name = "apple"
group = "fruit"
meaning = "speaks of apples"
hits = ["An apple."]
misses = ["A plum."]
[[patterns.rules]]
id = "apple"
match = '\\bapples?\\b'

[[patterns]]
name = "pear"
group = "fruit"
meaning = "speaks of pears, at the market"
categories = ["market"]
hits = [{ text = "A pear.", category = "market" }]
misses = ["A pear."]
[[patterns.rules]]
id = "pear"
match = '\\bpears?\\b'
"""


def row(identifier: str | int, response: str, *labels: str, **fields: Any) -> dict[str, Any]:
    return {"id": identifier, "question": "Which fruit?", "response": response, "labels": [*labels], **fields}


@pytest.fixture
def stance(tmp_path: Path) -> Path:
    """A stance of two patterns, of which `pear` counts in one category only."""
    folder = tmp_path / "fruit"
    folder.mkdir()
    (folder / "patterns.toml").write_text(PATTERNS)
    pair = {"id": "p1", "category": "c", "question": "Q?", "bad_response": "Bad.", "good_response": "Good."}
    (folder / "pairs.json").write_text(json.dumps({"training_pairs": [pair]}))
    toml = 'name = "fruit"\n[corpus]\npath = "pairs.json"\n[patterns]\npaths = ["patterns.toml"]\n'
    (folder / "stance.toml").write_text(toml)
    return folder


def file_of(tmp_path: Path, *rows: dict[str, Any]) -> Path:
    path = tmp_path / "labelled.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in rows))
    return path


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
def test_the_arm_is_the_field_or_what_the_id_starts_with(
    identifier: str | int, arm: str | None, group: str | None
) -> None:
    line = LabelledAnswer.model_validate(row(identifier, "An apple.", arm=arm))
    assert line.group == group


# --- the command -------------------------------------------------------------------------------------------


def scored(capsys: pytest.CaptureFixture[str], file: Path, stance: Path, *flags: str) -> tuple[int, str, str]:
    code = run(["label", "score", str(file), "--stance", str(stance), *flags])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def fruit_file(tmp_path: Path) -> Path:
    """apple: 2 found, 1 missed ("fruit"), 1 too many in a_4; one more is in doubt. pear: found at the market alone."""
    return file_of(
        tmp_path,
        row("a_1", "I take an apple.", "apple", ignore=[], correct=None),
        row("a_2", "I take an apple, and a pear.", "apple", "pear", category="market"),
        row("b_3", "The red fruit.", "apple"),
        row("a_4", "An apple? No, a plum, said the apple."),
        row("b_5", "Apples.", ignore=["apple", "correct"]),
        row("b_6", "A pear.", "pear"),
    )


def test_json_has_the_promised_shape_and_figures(
    tmp_path: Path, stance: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = scored(capsys, fruit_file(tmp_path), stance, "--json")
    assert (code, err) == (0, "")
    figures = json.loads(out)
    assert list(figures) == ["labels", "arms"]
    assert list(figures["arms"]) == ["a", "b"]
    for table in (figures["labels"], *figures["arms"].values()):
        assert list(table) == NAMES
        assert all(tuple(entry) == FIGURES for entry in table.values())
    # apple, a_1 a_2 both, b_3 missed, a_4 too many, b_6 neither: observed 3/5, by chance (3*3 + 2*2)/25 = .52
    apple = {"positives": 3, "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "kappa": pytest.approx(0.08 / 0.48)}
    assert figures["labels"]["apple"] == pytest.approx(apple)
    assert figures["labels"]["pear"]["recall"] == 0.5
    assert figures["arms"]["a"]["apple"]["recall"] == 1
    assert figures["arms"]["b"]["apple"] == {"positives": 1, "precision": None, "recall": 0, "f1": 0, "kappa": 0}


def test_the_table_shows_all_and_each_group(tmp_path: Path, stance: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = scored(capsys, fruit_file(tmp_path), stance)
    assert code == 0
    titles = [line.strip() for line in out.splitlines() if "answers" in line]
    assert titles == ["all: 6 answers", "a: 3 answers", "b: 3 answers"]
    assert "0.667" in out
    assert ["apple", "1", "-", "0.000", "0.000", "0.000"] in [line.split() for line in out.splitlines()]


@pytest.mark.parametrize(
    ("required", "code", "said"),
    [
        (["apple=.66"], 0, ""),
        (["apple=0.67"], 1, "apple: F1 is 0.6667, 0.67 is required"),
        (["apple=.1", "pear=.9"], 1, "pear: F1 is 0.6667, 0.9 is required"),
        (["plum=.5"], 2, '--require: no pattern "plum" (hint: known are apple, pear)'),
        (["apple"], 2, '--require: expected apple=F1 with an F1 of 0 to 1, found "apple"'),
        (["apple=most"], 2, "apple=most"),
        (["apple=nan"], 2, "apple=nan"),
        (["apple=95"], 2, "F1 of 0 to 1"),
    ],
)
def test_what_is_required_decides_the_exit_code(
    required: list[str], code: int, said: str, tmp_path: Path, stance: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [part for label in required for part in ("--require", label)]
    found, out, err = scored(capsys, fruit_file(tmp_path), stance, "--json", *flags)
    assert found == code
    assert said in err
    if code < 2:
        json.loads(out)  # what was missed goes to the other stream


def test_a_required_label_that_nobody_gave_is_not_met(
    tmp_path: Path, stance: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = scored(capsys, file_of(tmp_path, row("a_1", "A plum.")), stance, "--require", "apple=0")
    assert code == 1
    assert "apple: F1 is undefined, no answer has the label" in err


# --- bad input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "labelled.jsonl: no answers in it"),
        ("\n \n", "labelled.jsonl: no answers in it"),
        ("{", "labelled.jsonl:1: not JSON"),
        ("[]", "labelled.jsonl:1: expected an object"),
        ('{"id": "a_1", "question": "?", "response": "x"}', "labelled.jsonl:1: labels: missing"),
        ('{"id": "a_1", "question": 3, "response": "x", "labels": []}', "1: question: expected text, found 3"),
        ('{"id": "a_1", "question": "?", "response": null, "labels": []}', "1: response: expected text, found null"),
        ('{"id": " ", "question": "?", "response": "x", "labels": []}', "labelled.jsonl:1: id: "),
        (
            '{"id": "a_1", "question": "?", "response": "x", "labels": "apple"}',
            '1: labels: expected a list, found "apple"',
        ),
        ('{"id": "a_1", "question": "?", "response": "x", "labels": [1]}', "1: labels[0]: expected text, found 1"),
        ('{"id": "a_1", "question": "?", "response": "x", "labels": [], "arm": 1}', "1: arm: expected text"),
        (
            '\n{"id": "a_1", "question": "?", "response": "x", "labels": ["apple", "aple"]}',
            '2: labels[1]: no pattern "aple" (hint: known are apple, pear)',
        ),
        (
            '{"id": "a_1", "question": "?", "response": "x", "labels": [], "ignore": ["fig"]}',
            "1: ignore[0]: no pattern",
        ),
        ('{"id": "a_1", "id": "a_2", "question": "?", "response": "x", "labels": []}', "stands twice in one object"),
    ],
)
def test_every_mistake_is_pointed_at(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "labelled.jsonl"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_labelled(path, NAMES)
    assert problem in str(caught.value)


def test_an_id_stands_once(tmp_path: Path) -> None:
    path = file_of(tmp_path, row("a_1", "x"), row("a_2", "x"), row("a_1", "y"))
    with pytest.raises(InputError, match=r':3: id: "a_1" is also the id of line 1'):
        read_labelled(path, NAMES)


def test_twenty_problems_are_shown_at_once(tmp_path: Path, stance: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = file_of(tmp_path, *({"id": f"a_{number}"} for number in range(9)))
    code, out, err = scored(capsys, file, stance)
    assert (code, out) == (2, "")
    assert err.count("labelled.jsonl:") == 20
    assert "... and 7 more" in err
    assert "Traceback" not in err


def test_a_bom_and_crlf_and_unknown_fields_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "labelled.jsonl"
    line = json.dumps(row("a_1", "An apple.", "apple", "correct", correct=True, note={"by": ["me"]}))
    path.write_bytes(b"\xef\xbb\xbf" + line.encode() + b"\r\n\r\n")
    assert [answer.id for answer in read_labelled(path, NAMES)] == ["a_1"]


def test_bytes_that_are_no_text_are_pointed_at(
    tmp_path: Path, stance: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "labelled.jsonl"
    path.write_bytes(b'{"id": "a_1"}\n\xff\n')
    code, _, err = scored(capsys, path, stance)
    assert code == 2
    assert "labelled.jsonl:2: invalid UTF-8 byte 0xff" in err
