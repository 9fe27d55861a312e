"""The sample that is labelled: strata, weights that make estimates unbiased, and what a second call may change."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_run import (
    LEAST_NUMBER,
    PATTERN_NAMES,
    answer_row,
    lines_of,
    patterns_of,
    responses,
    write_answers,
    write_run,
    write_stance,
)

from epistemic_stance.foundation.errors import InputError, RefusedError
from epistemic_stance.foundation.settings import LabelSettings
from epistemic_stance.labelling.draw import NONE, WANTED, ArmAnswer, allocation, draw_arm, in_order, strata_of
from epistemic_stance.labelling.folder import begin_or_continue
from epistemic_stance.labelling.labels import labels_folder_of, place_of, read_draw, read_sample
from epistemic_stance.labelling.sources import find_sources
from epistemic_stance.records.response_file import Response
from epistemic_stance.stance.load import load_stance

with tempfile.TemporaryDirectory() as _folder:
    PATTERNS_OF_TESTS = patterns_of(write_stance(Path(_folder)))
FOUND = st.lists(st.frozensets(st.sampled_from("abcd"), max_size=3), min_size=1, max_size=200)


def answers_of(texts: list[str]) -> list[ArmAnswer]:
    return [
        ArmAnswer("talk", Response(line, f"Room {line % 7}?", "noise", text, None, 0.7, line, None, {}))
        for line, text in enumerate(texts, start=1)
    ]


def drawn_sample(stance: Path, run: Path, **settings: object) -> list[str]:
    """Draw as the command does; returns its notes."""
    notes: list[str] = []
    asked = LabelSettings(run=run, stance=str(stance), **settings)  # type: ignore[arg-type]
    sources = find_sources(asked, load_stance(str(stance)))
    begin_or_continue(asked, sources, patterns_of(stance), notes.append)
    return notes


def label(folder: Path, annotator: str, count: int) -> None:
    lines = [
        {"schema": 1, "id": row["id"], "labels": ["humming"], "unsure": [], "offered": PATTERN_NAMES, "timestamp": "t"}
        for row in lines_of(folder / "sample.jsonl")[:count]
    ]
    (folder / f"{annotator}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def stance(tmp_path: Path) -> Path:
    return write_stance(tmp_path / "stance")


# --- strata and how many of each ---------------------------------------------------------------------------


def test_an_answer_is_in_the_stratum_of_its_rarest_pattern() -> None:
    common, rare = frozenset({"a"}), frozenset({"a", "b"})
    assert strata_of([common, rare, frozenset(), common]) == {"b": [1], "a": [0, 3], NONE: [2]}


@given(FOUND, st.integers(15, 150))
def test_every_stratum_is_drawn_from_and_none_beyond_its_size(found: list[frozenset[str]], number: int) -> None:
    strata = {name: [found[index] for index in members] for name, members in strata_of(found).items()}
    drawn = allocation(strata, number)
    assert drawn.keys() == strata.keys()
    assert all(1 <= drawn[name] <= len(strata[name]) for name in strata)
    assert sum(drawn.values()) == min(number, len(found))
    if NONE in strata:
        assert 3 * drawn[NONE] >= min(number, 3 * len(strata[NONE]))


def test_rare_patterns_get_25_and_a_third_has_no_find() -> None:
    """1,000 answers: 30, 60 and 300 show one pattern each; plainly drawn, 120 would hold 4 of the rarest."""
    found = [frozenset(name) for name, size in (("a", 30), ("b", 60), ("c", 300)) for _ in range(size)]
    found += [frozenset()] * 610
    strata = {name: [found[index] for index in members] for name, members in strata_of(found).items()}
    drawn = allocation(strata, 120)
    assert all(drawn[name] >= WANTED for name in "abc")
    assert drawn[NONE] >= 40
    scarce = allocation(strata, 60)
    assert scarce[NONE] == 20
    assert max(scarce[name] for name in "abc") - min(scarce[name] for name in "abc") <= 1


def test_a_pattern_that_is_drawn_along_with_rarer_ones_needs_fewer_of_its_own() -> None:
    """All 40 answers with `a` show `b` too, so that `b` has its 25 without any of its own."""
    found = [frozenset("ab")] * 40 + [frozenset("b")] * 400 + [frozenset()] * 560
    strata = {name: [found[index] for index in members] for name, members in strata_of(found).items()}
    drawn = allocation(strata, 70)
    assert drawn["a"] >= WANTED
    assert drawn["b"] < drawn[NONE]


# --- weights -----------------------------------------------------------------------------------------------


@given(
    st.lists(st.sampled_from(["I hum.", "Sorry, I hum.", "Sorry.", "Quiet.", ""]), min_size=1, max_size=120),
    st.integers(LEAST_NUMBER, 60),
    st.integers(0, 5),
)
def test_the_weights_of_an_arm_add_up_to_its_answers(texts: list[str], number: int, seed: int) -> None:
    arm = draw_arm("base", answers_of(texts), PATTERNS_OF_TESTS, number, seed)
    assert sum(one.weight for _, one in arm.drawn) == pytest.approx(len(texts), rel=1e-12)
    for name, stratum in arm.strata.items():
        members = [one for _, one in arm.drawn if one.stratum == name]
        assert len(members) == stratum.drawn
        assert sum(one.weight for one in members) == pytest.approx(stratum.answers, rel=1e-12)
    assert len({one.iteration for _, one in arm.drawn}) == len(arm.drawn) == min(number, len(texts))


def test_the_weighted_share_is_right_on_average() -> None:
    """Truth is what no rule sees: 30 % of the answers without a find and 90 % of the others have an even room."""
    texts = [f"{'I hum.' if n < 40 else 'Sorry.' if n < 100 else 'Quiet.'}" for n in range(600)]
    true = {n: n % 10 < (9 if n < 100 else 3) for n in range(600)}
    truth = sum(true.values()) / 600
    estimates = []
    for seed in range(300):
        arm = draw_arm("base", answers_of(texts), PATTERNS_OF_TESTS, 60, seed)
        estimates.append(sum(one.weight for _, one in arm.drawn if true[(one.iteration or 0) - 1]) / 600)
    mean = sum(estimates) / len(estimates)
    spread = (sum((each - mean) ** 2 for each in estimates) / len(estimates)) ** 0.5
    assert abs(mean - truth) < 3 * spread / len(estimates) ** 0.5
    unweighted = sum(0.9 if n < 100 else 0.3 for n in [*range(40), *range(40, 100)]) / 100
    assert abs(unweighted - truth) > 0.4  # what a sample of finds alone would say


def test_a_larger_draw_holds_the_smaller_one() -> None:
    texts = responses("base", 400)
    small = {one.iteration for _, one in draw_arm("base", answers_of(texts), PATTERNS_OF_TESTS, 30, 1).drawn}
    large = {one.iteration for _, one in draw_arm("base", answers_of(texts), PATTERNS_OF_TESTS, 90, 1).drawn}
    other = {one.iteration for _, one in draw_arm("base", answers_of(texts), PATTERNS_OF_TESTS, 30, 2).drawn}
    assert small < large
    assert other != small


def test_order_and_ids_say_nothing_of_the_arm() -> None:
    draws = [draw_arm(arm, answers_of(responses(arm, 200)), PATTERNS_OF_TESTS, 100, 7) for arm in ("base", "tuned")]
    sample = in_order(draws)
    assert [one.id for one in sample] == [f"{number:04d}" for number in range(1, 201)]
    assert 35 <= sum(one.arm == "base" for one in sample[:100]) <= 65
    runs = sum(one.arm != other.arm for one, other in pairwise(sample))
    assert 70 <= runs <= 130


# --- what is drawn from ------------------------------------------------------------------------------------


def test_the_default_is_every_arm_and_every_set_that_is_not_all_facts(tmp_path: Path, stance: Path) -> None:
    run = write_run(tmp_path / "run", arms=("checkpoint-100", "checkpoint-20", "base"))
    for arm in ("base", "checkpoint-20"):
        write_answers(run / "validation" / arm / "sums" / "responses.jsonl", [answer_row(1, "2", "sums")])
    sources = find_sources(LabelSettings(run=run), load_stance(str(stance)))
    assert sources.arms == ["base", "checkpoint-20", "checkpoint-100"]
    assert {source.question_set for source in sources.files} == {"talk"}
    chosen = LabelSettings(run=run, arms="checkpoint-20, base", questions="sums,talk")
    assert len(find_sources(chosen, load_stance(str(stance))).files) == 4
    with pytest.raises(InputError, match="no answers of checkpoint-100 to sums"):
        find_sources(LabelSettings(run=run, arms="checkpoint-100", questions="sums"), load_stance(str(stance)))


def test_hidden_folders_are_no_arms(tmp_path: Path, stance: Path) -> None:
    run = write_run(tmp_path / "run", arms=("base", ".base.old"))
    hidden = run / "validation" / "base" / ".talk"
    hidden.mkdir()
    (run / "validation" / "base" / "talk" / "responses.jsonl").rename(hidden / "responses.jsonl")
    with pytest.raises(InputError, match="no answers in it yet"):
        find_sources(LabelSettings(run=run), load_stance(str(stance)))
    write_run(run, arms=("checkpoint-1",))
    assert find_sources(LabelSettings(run=run), load_stance(str(stance))).arms == ["checkpoint-1"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"arms": "base,checkpoint-9"}, '--arms: no answers of "checkpoint-9" .hint: known are base, checkpoint-008'),
        ({"questions": "chess"}, '--questions: no answers of "chess" .hint: known are talk'),
    ],
)
def test_unknown_arms_and_sets_are_named(tmp_path: Path, stance: Path, settings: dict[str, str], message: str) -> None:
    run = write_run(tmp_path / "run")
    with pytest.raises(InputError, match=message):
        find_sources(LabelSettings(run=run, **settings), load_stance(str(stance)))  # type: ignore[arg-type]


def test_where_the_labels_of_answers_are(tmp_path: Path, stance: Path) -> None:
    run = write_run(tmp_path / "run")
    answers = run / "validation" / "base" / "talk"
    assert labels_folder_of(answers) is None
    drawn_sample(stance, run, number=LEAST_NUMBER)
    assert labels_folder_of(answers) == labels_folder_of(answers / "responses.jsonl") == run / "labels"
    loose = write_answers(tmp_path / "old_answers.jsonl", [answer_row(1, "I hum.")])
    assert place_of(loose).labels == tmp_path / "old_answers_labels"
    assert place_of(loose).arm == "old_answers"
    with pytest.raises(InputError, match=r"hint: name the run: .*run --arms base --questions talk"):
        find_sources(LabelSettings(run=answers), load_stance(str(stance)))
    with pytest.raises(InputError, match="no answers there"):
        find_sources(LabelSettings(run=tmp_path / "nothing"), load_stance(str(stance)))


def test_one_file_of_answers_can_be_drawn_from(tmp_path: Path, stance: Path) -> None:
    loose = write_answers(tmp_path / "old.jsonl", [answer_row(n, text) for n, text in enumerate(responses("x", 50))])
    drawn_sample(stance, loose, number=LEAST_NUMBER)
    sample = read_sample(tmp_path / "old_labels")
    assert len(sample) == LEAST_NUMBER
    assert {answer.arm for answer in sample} == {"old"}
    assert read_draw(tmp_path / "old_labels").arms["old"].sources[0].file == "old.jsonl"


# --- the second call ---------------------------------------------------------------------------------------


def test_a_second_call_goes_on_with_the_same_sample(tmp_path: Path, stance: Path) -> None:
    run = write_run(tmp_path / "run")
    drawn_sample(stance, run, number=20, seed=3)
    before = (run / "labels" / "sample.jsonl").read_bytes()
    label(run / "labels", "first", 5)
    assert drawn_sample(stance, run) == []
    assert drawn_sample(stance, run, number=20, seed=3) == []
    assert (run / "labels" / "sample.jsonl").read_bytes() == before


def test_another_sample_over_labels_is_refused_and_over_none_is_not(tmp_path: Path, stance: Path) -> None:
    run = write_run(tmp_path / "run")
    drawn_sample(stance, run, number=20)
    notes = drawn_sample(stance, run, number=24)
    assert notes[0] == "nothing was labelled yet: drawn again"
    assert not list(run.glob("labels.old-*"))
    label(run / "labels", "first", 5)
    for settings, was in (
        ({"number": 20}, "--number was 24"),
        ({"seed": 1}, "--seed was 42"),
        ({"arms": "base"}, "--arms"),
    ):
        with pytest.raises(RefusedError, match=was):
            drawn_sample(stance, run, **settings)
    assert len(read_sample(run / "labels")) == 48


def test_redraw_loses_nothing_and_keeps_the_labels_of_answers_drawn_again(tmp_path: Path, stance: Path) -> None:
    run = write_run(tmp_path / "run")
    drawn_sample(stance, run, number=20)
    label(run / "labels", "first", 40)
    old_lines = (run / "labels" / "first.jsonl").read_bytes()
    notes = drawn_sample(stance, run, number=30, redraw=True)
    (old,) = run.glob("labels.old-*")
    assert (old / "first.jsonl").read_bytes() == old_lines
    assert "40 of them are of answers that were drawn again" in notes[-1]
    texts = {answer.id: answer.response for answer in read_sample(run / "labels")}
    assert len(texts) == 60
    kept = [texts[line["id"]] for line in lines_of(run / "labels" / "first.jsonl")]
    assert Counter(kept) == Counter(answer.response for answer in read_sample(old))


def test_redraw_keeps_labels_of_the_same_place_and_not_of_the_same_text(tmp_path: Path, stance: Path) -> None:
    """All 40 answers of an arm say one of two things; without iterations, equal ones are as many as there were."""
    rows = [answer_row(n, "I hum." if n % 2 else "Quiet.", temperature=0.5) for n in range(40)]
    for changes in ({}, {"question": "Room?", "iteration": None}):
        run = tmp_path / f"run{len(changes)}"
        file = run / "validation" / "base" / "talk" / "responses.jsonl"
        write_answers(file, [{**row, **changes} for row in rows])
        drawn_sample(stance, run, number=16)
        label(run / "labels", "first", 16)
        drawn_sample(stance, run, number=30, redraw=True)
        assert len(lines_of(run / "labels" / "first.jsonl")) == 16
        assert {answer.batch for answer in read_sample(run / "labels")} == {0}
        write_answers(file, [{**row, **changes} for row in rows] * 2)
        drawn_sample(stance, run, number=60, redraw=True)
        assert {answer.batch for answer in read_sample(run / "labels")} == {0, 1}, "more answers than were drawn from"


def test_redraw_is_the_way_out_of_a_damaged_folder_and_deletes_no_file_of_others(tmp_path: Path, stance: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "labels").mkdir()
    (run / "labels" / "mine.txt").write_text("notes")
    drawn_sample(stance, run, number=20)
    (old,) = run.glob("labels.old-*")
    assert (old / "mine.txt").read_text() == "notes"
    label(run / "labels", "first", 10)
    label(run / "labels", "second", 10)
    with (run / "labels" / "first.jsonl").open("a") as stream:
        stream.write("damage\n")
    notes = drawn_sample(stance, run, number=20, redraw=True)
    assert "first.jsonl stays behind: " in notes[-2]
    assert "first.jsonl:11: not JSON" in notes[-2]
    assert [path.name for path in sorted((run / "labels").glob("*.jsonl"))] == ["sample.jsonl", "second.jsonl"]
    assert len(list(run.glob("labels.old-*/first.jsonl"))) == 1


def test_what_changed_since_the_draw_is_said(tmp_path: Path, stance: Path) -> None:
    run = write_run(tmp_path / "run")
    drawn_sample(stance, run, number=20)
    label(run / "labels", "first", 1)
    write_run(run, answers=45, arms=("base",))
    write_run(run, arms=("checkpoint-016",))
    notes = drawn_sample(stance, run)
    assert len(notes) == 2
    assert "base/talk/responses.jsonl has changed since the sample was drawn" in notes[0]
    assert notes[1].startswith("not in the sample: checkpoint-016")


def test_how_much_work_many_arms_are_is_said(tmp_path: Path, stance: Path) -> None:
    run = write_run(tmp_path / "run", arms=("base", "checkpoint-1", "checkpoint-2", "checkpoint-10"))
    notes = drawn_sample(stance, run, number=20)
    assert notes[-1] == "80 answers to label in all; --arms base,checkpoint-10 draws from two arms alone"


def test_too_small_a_number_is_refused(tmp_path: Path, stance: Path) -> None:
    run = write_run(tmp_path / "run")
    with pytest.raises(InputError, match=f"--number: expected {LEAST_NUMBER} or more, found 11"):
        drawn_sample(stance, run, number=LEAST_NUMBER - 1)
    assert not (run / "labels").exists()
