"""`stance label RUN`: the sample, the files of two annotators, what is truth, and what is printed of it."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from label_run import (
    LEAST_NUMBER,
    PATTERN_NAMES,
    answer_row,
    fill,
    label,
    read,
    read_cells,
    responses,
    true_labels,
    write_answers,
    write_cells,
    write_run,
    write_stance,
)

from epistemic_stance.cli.main import run as command
from epistemic_stance.foundation.errors import InputError, RefusedError
from epistemic_stance.foundation.reporter import Event, Note
from epistemic_stance.labelling.sources import source_of


@pytest.fixture
def stance(tmp_path: Path) -> Path:
    return write_stance(tmp_path / "stance")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """40 answers of each of two models."""
    return write_run(tmp_path / "runs")


def notes(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Note)]


def three_texts(tmp_path: Path, stance: Path) -> tuple[Path, dict[str, str]]:
    """The label folder of a file of three answers, all of them drawn; and text -> id."""
    rows = [answer_row(number, text) for number, text in enumerate(["I hum.", "Sorry.", "Quiet."])]
    sample = label(write_answers(tmp_path / "answers.jsonl", rows), stance)
    label(tmp_path / "answers.jsonl", stance, annotator="second", number=None)
    return sample.folder, {one.drawn.response: one.drawn.id for one in sample.answers}


def give(folder: Path, name: str, labels: dict[str, dict[str, str]]) -> None:
    """Text -> cells."""
    fill(folder / f"{name}.csv", lambda row: labels.get(row["answer"], {}))


# --- the sample --------------------------------------------------------------------------------------------


def test_a_sample_is_drawn_once_and_written_for_two_annotators_in_two_orders(run: Path, stance: Path) -> None:
    events: list[Event] = []
    sample = label(run, stance, events.append)
    assert [one.drawn.model for one in sample.answers].count("base") == LEAST_NUMBER
    first = read_cells(run / "labels" / "first.csv")
    assert list(first[0]) == ["id", "question", "answer", *PATTERN_NAMES, "notes"]
    assert {(row["humming"], row["half_sorry"], row["guessing"], row["notes"]) for row in first} == {("", "", "-", "")}
    assert (
        "## humming\n\nYes where this is true of the answer, else no: Says that it hums.\n"
        in (run / "labels" / "README.md").read_text()
    )
    assert notes(events)[0] == "24 answers drawn: base 12, checkpoint-008 12"
    assert notes(events)[1] == f"24 of 24 answers to label: {run}/labels/first.csv"
    draw = (run / "labels" / "draw.json").read_bytes()
    label(run, stance, annotator="second", number=None)
    second = read_cells(run / "labels" / "second.csv")
    assert sorted(row["id"] for row in first) == sorted(row["id"] for row in second)
    assert [row["id"] for row in first] != [row["id"] for row in second]
    assert (run / "labels" / "draw.json").read_bytes() == draw


def test_neither_order_nor_id_says_whose_answer_it_is(run: Path, stance: Path) -> None:
    write_run(run, answers=200)
    sample = label(run, stance, number=100)
    models = {one.drawn.id: one.drawn.model for one in sample.answers}
    in_file = [models[row["id"]] for row in read_cells(run / "labels" / "first.csv")]
    for listed in (in_file, [models[identifier] for identifier in sorted(models)]):
        assert 35 <= listed[:100].count("base") <= 65


def test_the_default_is_every_model_and_every_set_that_is_not_all_facts(run: Path, stance: Path) -> None:
    for model in ("base", "checkpoint-20"):
        write_answers(run / "validation" / model / "sums" / "responses.jsonl", [answer_row(1, "2", "sums")])
    draw = label(run, stance).draw
    assert [(file.model, file.question_set) for file in draw.files] == [("base", "talk"), ("checkpoint-008", "talk")]
    (run / "labels").rename(run / "elsewhere")
    draw = label(run, stance, models="checkpoint-20, base", questions="sums,talk").draw
    assert [(file.model, file.question_set) for file in draw.files] == [
        ("base", "sums"),
        ("base", "talk"),
        ("checkpoint-20", "sums"),
    ]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"models": "base,checkpoint-9"}, '--models: no answers of "checkpoint-9" .hint: known are base, checkpoint-0'),
        ({"questions": "chess"}, '--questions: no answers of "chess" .hint: known are talk'),
        ({"number": LEAST_NUMBER - 1}, f"--number: expected {LEAST_NUMBER} or more, found 11"),
        ({"annotator": "judge-me"}, "--annotator: expected a name"),
        ({"annotator": "a/b"}, "--annotator: expected a name"),
        ({"judge_model": "x"}, "--judge-model: a judge model needs the address"),
    ],
)
def test_wrong_settings_are_named_and_nothing_is_drawn(
    run: Path, stance: Path, asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        label(run, stance, **asked)
    assert not (run / "labels").exists()


def test_one_file_of_answers_can_be_labelled_and_one_of_a_run_cannot(tmp_path: Path, run: Path, stance: Path) -> None:
    loose = write_answers(tmp_path / "old.jsonl", [answer_row(n, text) for n, text in enumerate(responses("x", 50))])
    sample = label(loose, stance)
    assert (sample.folder, sample.draw.models) == (tmp_path / "old_labels", ["old"])
    assert source_of(run / "validation" / "base" / "talk").labels == run / "labels"
    with pytest.raises(InputError, match=r"hint: name the run: .*runs --models base --questions talk"):
        label(run / "validation" / "base" / "talk", stance)
    with pytest.raises(InputError, match="no answers there"):
        label(tmp_path / "nothing", stance)


# --- more of it --------------------------------------------------------------------------------------------


def test_more_answers_are_added_below_and_labels_and_notes_stay(run: Path, stance: Path) -> None:
    label(run, stance)
    path = run / "labels" / "first.csv"
    words = {0: "no", 1: "yes"}
    fill(path, lambda row: {name: words[mark] for name, mark in true_labels(row).items()} | {"notes": f"={row['id']}"})
    before = read_cells(path)
    write_cells(path, before, ";")
    sample = label(run, stance, number=30)
    after = read_cells(path)
    assert len(after) == len(sample.answers) == 60
    assert [{**row, "notes": row["notes"].removeprefix("'")} for row in after[:24]] == before
    assert not any(row["humming"] for row in after[24:])
    assert len(sample.labelled()) == 24
    for model in sample.draw.models:
        assert sum(one.weight for one in sample.labelled(model)) + sample.unreached(model) == pytest.approx(40)


def test_another_model_is_named_and_can_be_added(run: Path, stance: Path) -> None:
    label(run, stance)
    write_run(run, models=("checkpoint-016",))
    events: list[Event] = []
    label(run, stance, events.append, number=None)
    assert notes(events)[0] == (
        "not in the sample: checkpoint-016; --models base,checkpoint-008,checkpoint-016 draws from them, too"
    )
    sample = label(run, stance, number=None, models="base,checkpoint-008,checkpoint-016")
    assert sample.draw.models == ["base", "checkpoint-008", "checkpoint-016"]
    assert len(read_cells(run / "labels" / "first.csv")) == 3 * LEAST_NUMBER


def test_what_would_not_hold_the_labels_given_is_refused(run: Path, stance: Path) -> None:
    """Fewer answers, fewer models, other rules, other answers: the labels were a random part of something else."""
    label(run, stance, number=20)
    before = {path.name: path.read_bytes() for path in (run / "labels").iterdir()}
    patterns = stance / "patterns.toml"
    rules = patterns.read_text()

    def refused(**asked: Any) -> None:
        with pytest.raises(RefusedError, match="cannot be extended"):
            label(run, stance, **asked)

    refused(number=LEAST_NUMBER)
    refused(number=24, models="base")
    patterns.write_text(
        rules.replace(r"'\bsorry\b'", r"'\bsorry\b|\bquiet\b'").replace('misses = ["Fine."]', "misses = ['x']")
    )
    refused(number=24)
    patterns.write_text(rules)
    write_run(run, answers=45, models=("base",))
    refused(number=24)
    label(run, stance, number=None)
    assert {path.name: path.read_bytes() for path in (run / "labels").iterdir()} == before


def test_a_stop_between_two_files_is_mended_by_the_same_command(run: Path, stance: Path) -> None:
    """The files of annotators are extended first and draw.json last: here it is still the old one."""
    label(run, stance)
    fill(run / "labels" / "first.csv", true_labels)
    old = (run / "labels" / "draw.json").read_bytes()
    label(run, stance, number=30)
    (run / "labels" / "draw.json").write_bytes(old)
    assert len(label(run, stance, number=30).labelled()) == 24


def test_labels_of_an_earlier_version_are_refused_by_the_name_of_their_file(run: Path, stance: Path) -> None:
    (run / "labels").mkdir()
    (run / "labels" / "sample.jsonl").write_text("{}\n")
    message = r"labels/sample\.jsonl: labels of an earlier version \(hint: labels are kept in draw\.json and CSV"
    with pytest.raises(InputError, match=message):
        label(run, stance)
    assert command(["analyze", str(run / "validation/base/talk"), "--stance", str(stance)]) == 2


# --- truth and weights -------------------------------------------------------------------------------------


def test_truth_is_what_all_who_labelled_it_say(tmp_path: Path, stance: Path) -> None:
    folder, ids = three_texts(tmp_path, stance)
    give(
        folder, "first", {"I hum.": {"humming": "1", "half_sorry": "1"}, "Sorry.": {"humming": "0", "half_sorry": "1"}}
    )
    give(
        folder, "second", {"I hum.": {"humming": "1", "half_sorry": "0"}, "Quiet.": {"humming": "?", "half_sorry": "0"}}
    )
    by_id = {one.drawn.id: one for one in read(folder, stance).answers}
    assert by_id[ids["I hum."]].truth == {"humming": True}  # they differ on the other
    assert by_id[ids["Sorry."]].truth == {"humming": False, "half_sorry": True}  # one alone
    assert by_id[ids["Quiet."]].truth == {"half_sorry": False}  # one who cannot tell


def test_a_judge_is_never_the_truth(tmp_path: Path, stance: Path) -> None:
    folder, ids = three_texts(tmp_path, stance)
    (folder / "second.csv").rename(folder / "judge-tiny.csv")
    give(folder, "judge-tiny", {"I hum.": {"humming": "0", "half_sorry": "1"}})
    sample = read(folder, stance)
    assert (sample.annotators, sample.judges, sample.labelled()) == (["first"], ["judge-tiny"], [])
    give(folder, "first", {"I hum.": {"humming": "1", "half_sorry": "0"}})
    (labelled,) = read(folder, stance).labelled()
    assert labelled.drawn.id == ids["I hum."]
    assert labelled.truth == {"humming": True, "half_sorry": False}


def test_who_marks_only_what_an_answer_shows_is_not_counted_and_told_so(run: Path, stance: Path) -> None:
    """Else every labelled answer would show the pattern, and the corrected rate would be 100 %."""
    label(run, stance)
    path = run / "labels" / "first.csv"
    fill(path, lambda row: {name: mark or "" for name, mark in true_labels(row).items()})
    sample = read(run / "labels", stance)
    assert sample.labelled() == []
    assert sample.notices[0].startswith("first: humming, half_sorry not counted: nothing but one label and empty cells")
    fill(path, lambda row: {"humming": true_labels(row)["humming"]})
    sample = read(run / "labels", stance)
    assert {name for one in sample.labelled() for name in one.truth} == {"humming"}
    assert "first: half_sorry not counted: " in sample.notices[0]
    assert "labelled rows have empty cells, which count as unknown" in sample.notices[1]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(1, 24))
def test_the_weights_of_any_part_add_up_to_the_answers_that_it_can_speak_for(
    labelled_run: tuple[Path, Path], rows: int
) -> None:
    run, stance = labelled_run
    (run / "labels" / "first.csv").unlink()
    label(run, stance, number=None)
    fill(run / "labels" / "first.csv", true_labels, rows)
    sample = read(run / "labels", stance)
    for model in sample.draw.models:
        assert sum(one.weight for one in sample.labelled(model)) + sample.unreached(model) == pytest.approx(40)


@pytest.fixture(scope="module")
def labelled_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    stance, run = write_stance(tmp_path_factory.mktemp("stance")), write_run(tmp_path_factory.mktemp("runs"))
    label(run, stance)
    return run, stance


def test_a_part_of_the_labels_and_an_extended_sample_are_right_on_average(tmp_path: Path, stance: Path) -> None:
    """Half of all answers say one thing. Estimated from 15 rows of 45, from all 45, and from these and 30 of 155 more.

    Each turn's answers stand in other lines, which is another draw.
    """
    stages: list[list[float]] = [[], [], []]

    def estimate(run: Path, rows: int) -> float:
        fill(run / "labels" / "first.csv", lambda row: {"humming": int(row["answer"] == "Hm."), "half_sorry": 0}, rows)
        labelled = read(run / "labels", stance).labelled()
        total = sum(one.weight for one in labelled)
        return sum(one.weight for one in labelled if one.truth["humming"]) / total

    for turn in range(25):
        run = tmp_path / str(turn)
        texts = ["Hm." if (n + turn) % 20 < 10 else f"Well, {n}." + " Sorry." * (n % 7 == turn % 7) for n in range(400)]
        rows = [answer_row(n, text) for n, text in enumerate(texts)]
        write_answers(run / "validation/base/talk/responses.jsonl", rows[turn:] + rows[:turn])
        label(run, stance, number=45)
        stages[0].append(estimate(run, 15))
        stages[1].append(estimate(run, 45))
        label(run, stance, number=200)
        stages[2].append(estimate(run, 75))
    for found in stages:
        assert abs(mean(found) - 0.5) < 3.5 * stdev(found) / len(found) ** 0.5 + 0.01


# --- what is printed ---------------------------------------------------------------------------------------


def printed(run: Path, stance: Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert command(["label", str(run), "--stance", str(stance)]) == 0
    return capsys.readouterr().out


def row_of(table: str, pattern: str) -> list[str]:
    return next(line.split() for line in table.splitlines() if line.startswith(pattern))[1:]


def test_agreement_errors_and_corrected_rates_are_printed(
    run: Path, stance: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """First and second differ on two of 72 answers."""
    write_run(run, answers=120)
    for name in ("first", "second"):
        label(run, stance, annotator=name, number=36)
        fill(run / "labels" / f"{name}.csv", true_labels)
    fill(run / "labels" / "second.csv", lambda row: {"half_sorry": 1 - int(row["half_sorry"])}, 2)
    text = printed(run, stance, capsys)
    assert "drawn      base 36, checkpoint-008 36" in text
    assert "labelled   first 72, second 72" in text
    agreement = text.split("Agreement")[1].split("The rules on")[0]
    assert row_of(agreement, "humming") == ["1.00", "1.00"]
    assert 0.8 < float(row_of(agreement, "half_sorry")[0]) < 1
    base = text.split("The rules on base: 36 labelled answers")[1].split("The rules on")[0]
    hums = sum(
        "hum" in one.drawn.response and one.drawn.model == "base" for one in read(run / "labels", stance).answers
    )
    precision, _, recall, _, f1, rate, corrected, _ = row_of(base, "humming")
    assert (precision, recall, f1, rate, corrected) == ("100", "100", "1.00", "20", "20")
    assert f"more labels: humming {20 - hums} ({-(-(20 - hums) * 36 // hums)}), " in " ".join(base.split())
    assert "guessing" not in base, "nothing was said of it"
    assert row_of(base, "sounds")[-3] == "30"  # found, corrected and its interval
    assert all(len(line) <= 80 for line in text.splitlines() if not line.startswith(("Labels in", "note: ")))


def test_answers_that_are_gone_and_parts_not_reached_are_said(
    run: Path, stance: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    label(run, stance, number=40)
    fill(run / "labels" / "first.csv", true_labels, 1)
    assert "note: nothing is labelled yet of strata that hold " in printed(run, stance, capsys)
    fill(run / "labels" / "first.csv", true_labels)
    file = run / "validation" / "base" / "talk" / "responses.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    write_answers(file, [{**row, "response": "Anew."} for row in rows[:10]] + rows[10:15])
    text = printed(run, stance, capsys)
    assert "note: 35 of the 40 labelled answers of base are in no file any more" in text


def test_mistakes_end_the_command_with_exit_code_2(run: Path, stance: Path, capsys: pytest.CaptureFixture[str]) -> None:
    label(run, stance)
    fill(run / "labels" / "first.csv", lambda _row: {"humming": "maybe"}, 2)
    assert command(["label", str(run), "--stance", str(stance)]) == 2
    error = capsys.readouterr().err
    for row in (2, 3):
        assert f'labels/first.csv: row {row}: humming: expected yes or no, found "maybe"' in error
