"""A label folder as it is read: gold, doubts, weights, agreement by hand, and every way in which it can be damaged."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from label_run import (
    LEAST_NUMBER,
    PATTERN_NAMES,
    answer_row,
    lines_of,
    patterns_of,
    write_answers,
    write_run,
    write_stance,
)
from rich.console import Console

from epistemic_stance.foundation.errors import InputError
from epistemic_stance.foundation.settings import LabelSettings
from epistemic_stance.labelling.calibration import read_population
from epistemic_stance.labelling.folder import begin_or_continue
from epistemic_stance.labelling.labels import LabelledSample, read_label_folder
from epistemic_stance.labelling.run import run_label
from epistemic_stance.labelling.sources import find_sources
from epistemic_stance.report.label_report import print_report
from epistemic_stance.stance.load import load_stance
from epistemic_stance.statistics.agreement import agreement

OFFERED = ["humming", "half_sorry"]


@pytest.fixture
def stance(tmp_path: Path) -> Path:
    return write_stance(tmp_path / "stance")


def draw(run: Path, stance: Path, **fields: Any) -> Path:
    """The label folder."""
    asked = LabelSettings(run=run, stance=str(stance), **{"number": LEAST_NUMBER, **fields})
    sources = find_sources(asked, load_stance(str(stance)))
    begin_or_continue(asked, sources, patterns_of(stance), lambda _: None)
    return sources.labels


def give(folder: Path, name: str, labels: Mapping[str, Sequence[str]], **fields: Any) -> None:
    """Id -> labels, appended."""
    with (folder / f"{name}.jsonl").open("a") as stream:
        for identifier, given_labels in labels.items():
            line = {"id": identifier, "labels": given_labels, "unsure": [], "offered": OFFERED, "timestamp": "t"}
            stream.write(json.dumps({"schema": 1, **line, **fields}) + "\n")


def give_truth(folder: Path, name: str = "first", only: Sequence[str] | None = None) -> None:
    """What the texts say, of all answers or of some."""
    truth = {
        row["id"]: [name for name, word in (("humming", "hum"), ("half_sorry", "Sorry")) if word in row["response"]]
        for row in lines_of(folder / "sample.jsonl")
        if only is None or row["id"] in only
    }
    give(folder, name, truth)


def small(
    tmp_path: Path, stance: Path, texts: Sequence[str] = ("I hum.", "Sorry.", "Quiet.")
) -> tuple[Path, dict[str, str]]:
    """A folder in which all answers are drawn, and text -> id."""
    rows = [answer_row(number, text) for number, text in enumerate(texts)]
    folder = draw(write_answers(tmp_path / "answers.jsonl", rows), stance)
    return folder, {row["response"]: row["id"] for row in lines_of(folder / "sample.jsonl")}


def read(folder: Path, stance: Path) -> LabelledSample:
    return read_label_folder(folder, patterns_of(stance))


# --- gold --------------------------------------------------------------------------------------------------


def test_what_one_annotator_says_is_gold_and_the_last_line_counts(tmp_path: Path, stance: Path) -> None:
    folder, ids = small(tmp_path, stance)
    give(folder, "first", {ids["I hum."]: ["half_sorry"]})
    give(folder, "first", {ids["I hum."]: ["humming"], ids["Sorry."]: []})
    sample = read(folder, stance)
    by_id = {answer.drawn.id: answer for answer in sample.answers}
    hum, sorry, quiet = (by_id[ids[text]] for text in ("I hum.", "Sorry.", "Quiet."))
    assert (hum.gold, hum.ignored, hum.found) == ({"humming"}, {"guessing"}, {"humming"})
    assert (sorry.gold, sorry.ignored, sorry.found) == (frozenset(), {"guessing"}, {"half_sorry"})
    assert (quiet.gold, quiet.ignored, quiet.weight, quiet.labelled) == (frozenset(), set(PATTERN_NAMES), 0, False)


def test_what_two_say_alike_is_gold_and_what_they_say_differently_is_not_known(tmp_path: Path, stance: Path) -> None:
    folder, ids = small(tmp_path, stance)
    give(folder, "first", {ids["I hum."]: ["humming", "half_sorry"], ids["Sorry."]: ["half_sorry"]})
    give(folder, "second", {ids["I hum."]: ["humming"], ids["Quiet."]: []})
    by_id = {answer.drawn.id: answer for answer in read(folder, stance).answers}
    assert by_id[ids["I hum."]].gold == {"humming"}
    assert by_id[ids["I hum."]].ignored == {"half_sorry", "guessing"}
    assert by_id[ids["Sorry."]].gold == {"half_sorry"}  # one alone
    assert by_id[ids["Quiet."]].ignored == {"guessing"}


def test_who_is_unsure_or_was_not_asked_says_nothing(tmp_path: Path, stance: Path) -> None:
    folder, ids = small(tmp_path, stance)
    give(folder, "first", {ids["I hum."]: ["humming"]}, unsure=["half_sorry"])
    give(folder, "first", {ids["Sorry."]: ["half_sorry"]}, offered=["half_sorry"])
    by_id = {answer.drawn.id: answer for answer in read(folder, stance).answers}
    assert by_id[ids["I hum."]].ignored == {"half_sorry", "guessing"}
    assert by_id[ids["Sorry."]].ignored == {"humming", "guessing"}


def test_a_judge_is_never_gold(tmp_path: Path, stance: Path) -> None:
    folder, ids = small(tmp_path, stance)
    said = {"model": "tiny", "prompt_digest": "d", "reply": "r", "readable": True}
    give(folder, "judge-tiny", {ids["I hum."]: ["half_sorry"]}, **said)
    give(folder, "judge-tiny", {ids["Quiet."]: []}, **{**said, "readable": False})
    sample = read(folder, stance)
    assert (sample.annotators, sample.judges) == ([], ["tiny"])
    assert sample.labelled() == []
    assert [one.found for one in sample.judge_against_rules("tiny")] == [{"half_sorry"}]
    assert sample.judge_against_people("tiny") == []
    give(folder, "first", {ids["I hum."]: ["humming"]})
    (compared,) = read(folder, stance).judge_against_people("tiny")
    assert (compared.labels, compared.found) == ({"humming"}, {"half_sorry"})


def test_what_the_rules_find_is_worked_out_today(tmp_path: Path, stance: Path) -> None:
    folder, ids = small(tmp_path, stance)
    assert {answer.found for answer in read(folder, stance).answers if answer.drawn.id == ids["Quiet."]} == {
        frozenset()
    }
    file = stance / "patterns.toml"
    file.write_text(file.read_text().replace(r"\bsorry\b", "quiet"))
    found = {answer.drawn.id: answer.found for answer in read(folder, stance).answers}
    assert found == {ids["I hum."]: {"humming"}, ids["Sorry."]: set(), ids["Quiet."]: {"half_sorry"}}


# --- agreement and weights ---------------------------------------------------------------------------------


def test_agreement_of_two_annotators_by_hand(tmp_path: Path, stance: Path) -> None:
    """Of 10 answers both say humming of 4, each alone of 1, none of 4: kappa (.8 - .5) / .5 = .6."""
    folder, ids = small(tmp_path, stance, [f"Room {number}." for number in range(11)])
    names = sorted(ids.values())
    give(folder, "first", {name: ["humming"] if place < 5 else [] for place, name in enumerate(names[:10])})
    give(
        folder,
        "second",
        {name: ["humming"] if place in (0, 1, 2, 3, 5) else [] for place, name in enumerate(names[:10])},
    )
    give(folder, "first", {names[10]: ["humming"]})
    give(folder, "second", {names[10]: []}, unsure=["humming"])
    sample = read(folder, stance)
    found = agreement(sample.between_people("first", "second"), "humming")
    assert (found.both, found.labelled_only, found.found_only, found.neither) == (4, 1, 1, 4)
    assert found.kappa == pytest.approx(0.6)
    assert found.f1 == pytest.approx(0.8)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_weights_of_the_labelled_part_add_up_to_the_answers_of_the_arm(
    data: st.DataObject, labelled_run: tuple[Path, Path]
) -> None:
    """Whatever part is labelled: what it stands for is all answers of the strata that it reaches."""
    folder, stance = labelled_run
    ids = [row["id"] for row in lines_of(folder / "sample.jsonl")]
    part = data.draw(st.sets(st.sampled_from(ids), min_size=1))
    (folder / "first.jsonl").unlink(missing_ok=True)
    give_truth(folder, only=sorted(part))
    sample = read(folder, stance)
    for arm in sample.arms:
        total = sum(answer.weight for answer in sample.labelled(arm))
        assert total + sample.unreached(arm) == pytest.approx(40)


@pytest.fixture(scope="module")
def labelled_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    stance = write_stance(tmp_path_factory.mktemp("stance"))
    return draw(write_run(tmp_path_factory.mktemp("run")), stance), stance


def test_labels_beside_all_answers_of_an_arm(tmp_path: Path, stance: Path) -> None:
    folder = draw(write_run(tmp_path / "run"), stance)
    give_truth(folder)
    sample = read(folder, stance)
    population = read_population(sample, "base", patterns_of(stance))
    arm = population.arm_of("humming")
    assert (arm.hits_Q.sum(), arm.answers_Q.sum()) == (8, 40)
    assert len(arm.truth_N) == LEAST_NUMBER
    assert arm.weight_N.sum() == pytest.approx(40)
    assert arm.weight_N[arm.truth_N].sum() == pytest.approx(8, abs=3)
    guessing = population.arm_of("guessing")
    assert guessing.answers_Q.sum() == 0
    assert len(guessing.truth_N) == 0


# --- the report --------------------------------------------------------------------------------------------


def report(folder: Path, stance: Path, width: int = 80) -> str:
    stream = io.StringIO()
    patterns = patterns_of(stance)
    print_report(read_label_folder(folder, patterns), patterns, Console(file=stream, width=width))
    return stream.getvalue()


def test_the_report_says_how_the_rules_err_and_what_is_still_to_label(tmp_path: Path, stance: Path) -> None:
    """Of 36 labelled answers of an arm some hum: the rest of 20 is to be found, at the rate so far."""
    folder = draw(write_run(tmp_path / "run", answers=120), stance, number=36)
    give_truth(folder)
    printed = report(folder, stance)
    base = printed.split("The rules against the labels, base: 36 answers")[1].split("The rules against")[0]
    row = next(line.split() for line in base.splitlines() if line.startswith("humming"))
    hums = sum("hum" in line["response"] and line["arm"] == "base" for line in lines_of(folder / "sample.jsonl"))
    assert 8 <= hums < 20
    assert row[1] == str(hums)
    assert row[2] == row[5] == "100"
    assert row[3].startswith("["), "precision has an interval"
    assert f"more labels: humming {20 - hums} ({-(-(20 - hums) * 36 // hums)}), " in " ".join(base.split())
    guessing = next(line.split() for line in base.splitlines() if line.startswith("guessing"))
    assert guessing[1:] == ["-"] * 4
    assert all(len(line) <= 80 for line in printed.splitlines() if not line.startswith(("Labels in", "  warning")))
    assert "second" not in printed
    give_truth(folder, "second")
    between = report(folder, stance).split("Agreement of annotators")[1]
    row = next(line.split() for line in between.splitlines() if line.startswith("humming"))
    assert row[1:] == ["1.00", "1.00"]


def test_a_part_that_was_not_reached_and_answers_that_are_gone_are_said(tmp_path: Path, stance: Path) -> None:
    run = write_run(tmp_path / "run", arms=("base",))
    folder = draw(run, stance)
    first = lines_of(folder / "sample.jsonl")[0]
    give_truth(folder, only=[first["id"]])
    left = 40 - {"half_sorry": 5, "humming": 7, "none": 28}[first["stratum"]]
    assert f"base: nothing is labelled yet of strata that hold {left} of its answers" in report(folder, stance)
    (run / "validation" / "base" / "talk" / "responses.jsonl").unlink()
    with pytest.raises(InputError, match="no such file"):
        report(folder, stance)


def test_answers_that_are_gone_or_moved_are_left_out_of_the_report_and_counted(tmp_path: Path, stance: Path) -> None:
    run = write_run(tmp_path / "run", arms=("base",))
    folder = draw(run, stance, number=40)
    give_truth(folder)
    file = run / "validation" / "base" / "talk" / "responses.jsonl"
    rows = lines_of(file)
    rows = [{**row, "response": "Anew."} for row in rows[:10]] + [{**row, "category": "sums"} for row in rows[10:15]]
    write_answers(file, rows)
    printed = report(folder, stance)
    assert "validation/base/talk/responses.jsonl has changed since the sample was drawn" in printed
    assert "35 of the 40 labelled answers of base are in no file any more" in printed
    arm = read_population(read(folder, stance), "base", patterns_of(stance)).arm_of("humming")
    assert len(arm.truth_N) == 5
    assert list(arm.truth_N) == list(arm.found_N)


def test_an_annotator_who_said_nothing_yet_is_none(tmp_path: Path, stance: Path) -> None:
    folder = draw(write_run(tmp_path / "run", arms=("base",)), stance)
    give_truth(folder)
    (folder / "second.jsonl").touch()
    printed = report(folder, stance)
    assert read(folder, stance).annotators == ["first"]
    assert "Agreement of annotators" not in printed


def test_names_of_patterns_are_whole_however_many_annotators_there_are(tmp_path: Path) -> None:
    stance = write_stance(tmp_path / "stance")
    long = "a_pattern_with_a_long_name"
    (stance / "patterns.toml").write_text((stance / "patterns.toml").read_text().replace("half_sorry", long))
    folder = draw(write_run(tmp_path / "run"), stance)
    for name in ("first", "second", "an-annotator-with-a-long-name", "fourth"):
        give(folder, name, {row["id"]: [] for row in lines_of(folder / "sample.jsonl")}, offered=["humming", long])
    printed = report(folder, stance)
    assert printed.count("Agreement of annotators") == 3, "six pairs, two beside each other"
    assert printed.count(f"{long} ") == 1 + 3 + 2 + 2
    assert all(len(line) <= 80 for line in printed.splitlines() if not line.startswith(("Labels in", "  ")))


def test_report_alone_prints_and_draws_nothing(tmp_path: Path, stance: Path) -> None:
    run = write_run(tmp_path / "run")
    folder = draw(run, stance)
    before = (folder / "sample.jsonl").read_bytes()
    stream = io.StringIO()
    run_label(LabelSettings(run=run, stance=str(stance), report=True), Console(file=stream, width=80))
    assert "drawn      base 12, checkpoint-008 12" in stream.getvalue()
    assert (folder / "sample.jsonl").read_bytes() == before


# --- damage ------------------------------------------------------------------------------------------------


def test_every_problem_of_a_file_is_named_with_its_line(tmp_path: Path, stance: Path) -> None:
    folder, ids = small(tmp_path, stance)
    give(folder, "first", {ids["I hum."]: ["humming"], "0099": [], ids["Sorry."]: ["hums"]})
    give(folder, "second", {ids["I hum."]: []}, unsure=["humming", "loud"])
    with pytest.raises(InputError) as caught:
        read(folder, stance)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f'{folder}/first.jsonl:2: id: "0099" was not drawn')
    assert lines[1].startswith(f'{folder}/first.jsonl:3: labels[0]: no pattern "hums" (hint: known are humming,')
    assert lines[2].startswith(f'{folder}/second.jsonl:1: unsure[1]: no pattern "loud"')


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"labels": ["humming"], "unsure": ["humming"]}, r'unsure\[0\]: "humming" is among the labels, too'),
        ({"labels": ["humming"], "offered": ["half_sorry"]}, r'labels\[0\]: "humming" was not on offer'),
        ({"unsure": ["humming"], "offered": ["half_sorry"]}, r'unsure\[0\]: "humming" was not on offer'),
        ({"schema": 2}, "schema: expected 1, found 2"),
    ],
)
def test_a_line_that_contradicts_itself_is_refused(
    tmp_path: Path, stance: Path, said: dict[str, Any], message: str
) -> None:
    folder, ids = small(tmp_path, stance)
    give(folder, "first", {ids["Quiet."]: []})
    give(folder, "first", {ids["I hum."]: said.pop("labels", [])}, **said)
    with pytest.raises(InputError, match=rf"first\.jsonl:2: {message}"):
        read(folder, stance)


def test_files_of_others_are_left_out_or_named(tmp_path: Path, stance: Path) -> None:
    folder, ids = small(tmp_path, stance)
    give(folder, "first", {ids["I hum."]: []})
    for name in ("first (copy).jsonl", "._first.jsonl"):
        (folder / name).write_text("no labels\n")
    (folder / "old.jsonl").mkdir()
    sample = read(folder, stance)
    assert sample.annotators == ["first"]
    assert "left out, as no name of an annotator: first (copy).jsonl" in sample.notices
    (folder / "export.jsonl").write_text('{"text": "I hum."}\n')
    with pytest.raises(InputError, match=r"export\.jsonl:1: id: missing \(hint: if it is no file of labels, move it"):
        read(folder, stance)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", ":2: not JSON"),
        ('{"id": "0001", "labels": "humming"}', ":2: labels: expected a list"),
        ("[]", ":2: expected an object"),
        ('{"id": "\\u202e", "labels": [], "unsure": [], "offered": [], "timestamp": ""}', r':2: id: "\\u202e" was not'),
    ],
)
def test_a_damaged_line_is_an_error_unless_it_is_the_torn_last_one(
    tmp_path: Path, stance: Path, line: str, message: str
) -> None:
    folder, ids = small(tmp_path, stance)
    give(folder, "first", {ids["I hum."]: ["humming"]})
    with (folder / "first.jsonl").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(InputError, match=message):
        read(folder, stance)


def test_a_torn_last_line_is_left_out(tmp_path: Path, stance: Path) -> None:
    folder, ids = small(tmp_path, stance)
    give(folder, "first", {ids["I hum."]: ["humming"]})
    with (folder / "first.jsonl").open("a") as stream:
        stream.write('{"schema": 1, "id": "00')
    assert len(read(folder, stance).labelled()) == 1


def test_a_sample_that_was_tampered_with_is_refused(tmp_path: Path, stance: Path) -> None:
    folder, _ = small(tmp_path, stance)
    rows = lines_of(folder / "sample.jsonl")
    cases = (
        ([*rows, rows[0]], f'sample.jsonl:{len(rows) + 1}: id: "0001" is also the id of line 1'),
        ([{**rows[0], "weight": 0}], "sample.jsonl:1: weight: "),
        ([{**rows[0], "arm": "other"}], 'sample.jsonl:1: arm: "other" is no arm of sample.json'),
        ([{**rows[0], "weight": 1e308}], "sample.jsonl:1: weight: expected 1 / 1 as in sample.json, found 1e.308"),
        ([{**rows[0], "stratum": "odd"}], 'sample.jsonl:1: stratum: "odd" is no stratum of answers in sample.json'),
        (rows[1:], "sample.jsonl: expected 1 answers of answers in [a-z_]+, found 0"),
        ([], "sample.jsonl: no answers in it"),
    )
    for written, message in cases:
        (folder / "sample.jsonl").write_text("".join(json.dumps(row) + "\n" for row in written))
        with pytest.raises(InputError, match=message):
            read(folder, stance)
