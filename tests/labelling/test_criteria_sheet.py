"""The sheet that a choice draws: what it asks of which answers, and what its labels make of the criteria."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from label_run import Cells, fill, read_cells, write_cells
from select_run import DENIES, GOALS, PRAGMATIC, halves, model, write_arm, write_stance

from epistemic_stance.cli.main import run as command
from epistemic_stance.foundation.similarity import question_key
from epistemic_stance.records.analysis import AnalysisRecord
from epistemic_stance.records.labels import DrawRecord
from epistemic_stance.records.validation import CriterionRecord, SelectionRecord

FALLEN = """
[[patterns]]
name = "fallen"
group = "form"
computed = "incoherence"
opposite = "stands"
meaning = "It falls apart."
hits = ["If you are you, you are you."]
misses = ["I do not know."]
"""
JUDGED = GOALS.replace('sets = ["self", "facts"]', 'sets = ["self"]') + (
    '[[criteria]]\nname = "fallen"\ntitle = "Falls apart"\nmeasures = ["fallen"]\nsets = ["self"]\nat_most = 0.5\n'
    '[[criteria]]\nname = "denial"\ntitle = "Denies"\nmeasures = ["denial"]\nsets = ["self"]\nat_most = 0.9\n'
)
"""Criteria that patterns decide are of `self` alone: of its answers the sheet is drawn."""
COLUMNS = ["stands", "performative", "pragmatic", "denial"]


@pytest.fixture
def stance(tmp_path: Path) -> Path:
    folder = write_stance(tmp_path / "stance", JUDGED)
    patterns = folder / "patterns.toml"
    rules = patterns.read_text().replace('group = "pragmatic"', 'group = "pragmatic"\nunless_pattern = ["fallen"]')
    patterns.write_text(rules + FALLEN)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """By the rules the base is pragmatic in 5 % of its answers and the checkpoint in 90 %."""
    folder = tmp_path / "run"
    write_arm(folder, "base", model(0.05, 1.0))
    write_arm(folder, "checkpoint-010", model(0.9, 1.0))
    return folder


@pytest.fixture
def sheet(run: Path, stance: Path) -> Path:
    """As the choice leaves it."""
    select(run, stance)
    return run / "labels" / "first.csv"


def select(run: Path, stance: Path) -> int:
    return command(["select", str(run), "--stance", str(stance)])


def judged(run: Path) -> dict[str, CriterionRecord]:
    record = SelectionRecord.model_validate_json((run / "selection.json").read_bytes())
    chosen = record.candidate(record.chosen)
    assert chosen
    return {criterion.name: criterion for criterion in chosen.criteria}


def draw_of(run: Path) -> DrawRecord:
    return DrawRecord.model_validate_json((run / "labels" / "draw.json").read_bytes())


def as_found(row: Cells) -> dict[str, str]:
    """The labels of somebody who agrees with the rules."""
    pragmatic = row["answer"] == PRAGMATIC
    labels = ("yes", "no", "yes", "no") if pragmatic else ("yes", "yes", "no", "yes")
    return dict(zip(COLUMNS, labels, strict=True))


# --- what is drawn -----------------------------------------------------------------------------------------


def test_a_choice_draws_sixty_answers_of_both_models_that_the_criteria_judge(
    run: Path, stance: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert select(run, stance) == 6
    out, error = capsys.readouterr()
    assert "120 answers drawn: base 60, checkpoint-010 60" in out
    assert f"120 of 120 answers to label, about 10 minutes: {run}/labels/first.csv" in out
    assert f"fill in the sheet in {run}/labels; then" in error
    rows, split_of = read_cells(run / "labels" / "first.csv"), halves(stance)
    assert list(rows[0]) == ["id", "question", "answer", *COLUMNS, "notes"]
    assert {cell for row in rows for cell in list(row.values())[3:]} == {""}
    assert {split_of[question_key(row["question"])] for row in rows} == {"report"}
    draw = draw_of(run)
    assert {answer.question_set for answer in draw.answers} == {"self"}
    model_of = {answer.id: answer.model for answer in draw.answers}
    in_order = [model_of[row["id"]] for row in rows]
    assert Counter(in_order) == {"base": 60, "checkpoint-010": 60}
    assert 18 <= in_order[:60].count("base") <= 42, "by chance: both models are mixed"
    assert not any("checkpoint" in cell for row in rows for cell in row.values())


def test_every_answer_has_the_same_chance_and_stands_for_as_many(run: Path, stance: Path, sheet: Path) -> None:
    """Of 120 questions half are for the report, each with two answers."""
    answers = 2 * sum(half == "report" for key, half in halves(stance).items() if "door" in key)
    assert sheet.exists()
    assert {answer.weight for answer in draw_of(run).answers} == {answers / 60}


def test_the_guide_says_in_the_stances_words_what_a_column_asks(run: Path, sheet: Path) -> None:
    guide = (sheet.parent / "README.md").read_text()
    several = "Yes where at least one of these is true of the answer, and not of one with no at stands, else no:\n\n"
    assert f"## pragmatic\n\n{several}- says nobody can verify\n- says what shows is\n" in guide
    assert "## stands\n\nNo where this is true of the answer, else yes: It falls apart.\n" in guide
    assert "## denial\n\nYes where this is true of the answer, else no: says no feelings\n" in guide
    assert "language model" in guide


def test_a_stance_whose_criteria_need_no_labels_draws_none(run: Path, tmp_path: Path) -> None:
    axes, _, _ = GOALS.partition("[[criteria]]")
    bare = write_stance(tmp_path / "bare", axes)
    assert select(run, bare) == 0
    assert not (run / "labels").exists()
    assert command(["label", str(run), "--stance", str(bare)]) == 2


# --- what labels make of it --------------------------------------------------------------------------------
def verdicts(run: Path) -> dict[str, str]:
    return {name: one.verdict for name, one in judged(run).items()}


def test_labels_of_both_models_turn_met_by_rules_into_met(run: Path, stance: Path, sheet: Path) -> None:
    by_rules = dict.fromkeys(("pragmatism", "performative", "fallen", "denial"), "met by rules")
    assert verdicts(run) == {"facts": "met", "observes": "measured", **by_rules}
    fill(sheet, as_found)
    assert select(run, stance) == 0
    assert verdicts(run) == {"facts": "met", "observes": "measured", **dict.fromkeys(by_rules, "met")}
    pragmatism = judged(run)["pragmatism"]
    assert pragmatism.base_corrected
    shown = sum(row["answer"] == PRAGMATIC for row in read_cells(sheet)) - len(of_checkpoint(run, sheet, PRAGMATIC))
    assert 0 < shown < 5, "too few finds to say how the rules err: the share of all that are labelled"
    assert pragmatism.base_corrected.estimate == pytest.approx(shown / 60)
    assert judged(run)["observes"].corrected is None, "what is not asked for is not known, whatever its group says"


def of_checkpoint(run: Path, sheet: Path, answer: str) -> list[str]:
    """Ids of the checkpoint's drawn answers that are this text."""
    model_of = {drawn.id: drawn.model for drawn in draw_of(run).answers}
    return [row["id"] for row in read_cells(sheet) if model_of[row["id"]] != "base" and row["answer"] == answer]


def test_the_corrected_rate_and_its_verdict_by_hand(run: Path, stance: Path, sheet: Path) -> None:
    """The rules find 90 %; somebody agrees with every sixth of these finds, and with one more answer of the others."""
    found, others = (of_checkpoint(run, sheet, answer) for answer in (PRAGMATIC, DENIES))
    right = {*found[::6], others[0]}
    fill(sheet, lambda row: {**as_found(row), "pragmatic": "yes" if row["id"] in right else "no"})
    assert select(run, stance) == 1
    pragmatism = judged(run)["pragmatism"]
    assert pragmatism.verdict == "not met"
    assert pragmatism.corrected
    assert len(others) >= 5, "enough to say what the rules miss"
    by_hand = 0.9 * (len(right) - 1) / len(found) + 0.1 / len(others)
    assert pragmatism.corrected.estimate == pytest.approx(by_hand)
    assert (pragmatism.corrected.labelled, pragmatism.corrected.positives) == (60, len(right))


def test_what_does_not_hold_together_is_not_pragmatic_whatever_its_words(run: Path, stance: Path, sheet: Path) -> None:
    """Half of the finds fall apart: two ways to say so, with the group left empty or not."""
    found = of_checkpoint(run, sheet, PRAGMATIC)
    apart = dict.fromkeys(found[::2], "yes") | dict.fromkeys(found[::4], "")

    def labels(row: Cells) -> dict[str, str]:
        fallen = {"stands": "no", "pragmatic": apart[row["id"]]} if row["id"] in apart else {}
        return {**as_found(row), **fallen}

    fill(sheet, labels)
    select(run, stance)
    result = judged(run)
    assert result["pragmatism"].corrected
    assert result["fallen"].corrected
    assert result["pragmatism"].corrected.positives == len(found) - len(apart)
    assert result["fallen"].corrected.positives == len(apart)
    assert result["pragmatism"].corrected.labelled == 60


def test_a_sheet_filled_in_partly_counts_as_far_as_it_goes(run: Path, stance: Path, sheet: Path) -> None:
    """Rows from the top down; of the last column only the head, which is missing at random and costs no bias."""
    fill(sheet, as_found, rows=30)
    assert select(run, stance) == 6
    fill(sheet, as_found, rows=90)
    assert select(run, stance) == 0
    pragmatism = judged(run)["pragmatism"]
    done = {row["id"] for row in read_cells(sheet)[:90]}
    labelled = [answer for answer in draw_of(run).answers if answer.id in done and answer.model != "base"]
    assert pragmatism.corrected
    assert pragmatism.corrected.labelled == len(labelled) < 60


def test_a_column_that_nobody_filled_in_is_not_known_from_another(
    run: Path, stance: Path, sheet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only that half falls apart is said: pragmatic is then none of these, and of the others it is unknown."""
    apart = set(of_checkpoint(run, sheet, PRAGMATIC)[::2])
    fill(sheet, lambda row: {"stands": "no" if row["id"] in apart else "yes"})
    capsys.readouterr()
    assert select(run, stance) == 6
    assert judged(run)["pragmatism"].corrected is None
    assert verdicts(run)["fallen"] in ("met", "inconclusive")
    assert verdicts(run)["pragmatism"] == "met by rules"
    assert "first: 120 of 120 labelled rows have empty cells" in capsys.readouterr().out


def test_few_labels_leave_it_at_met_by_rules_and_say_so(
    run: Path, stance: Path, sheet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(sheet, as_found, rows=20)
    capsys.readouterr()
    assert select(run, stance) == 6
    out, error = capsys.readouterr()
    labelled = judged(run)["pragmatism"].corrected
    assert labelled
    assert labelled.refused == f"needs 20 labelled answers: {labelled.labelled}"
    assert f"({labelled.labelled} labels)" in out
    assert "label" in error
    assert "--number adds answers" in error


def test_labels_of_judged_answers_say_nothing_of_others(
    run: Path, stance: Path, sheet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Answers to select questions were never drawn: the rate of all is not corrected, that of the report half is."""
    fill(sheet, as_found)
    file = run / "validation" / "checkpoint-010" / "self"

    def pragmatic(*flags: str) -> AnalysisRecord:
        assert command(["analyze", str(file), "--stance", str(stance), *flags]) == 0
        return AnalysisRecord.model_validate_json((file / "analysis.json").read_bytes())

    whole, half = pragmatic(), pragmatic("--split", "report")
    assert all(measure.corrected is None for measure in whole.measures)
    assert any("correct no rate of other answers" in notice for notice in whole.notices)
    corrected = {measure.name: measure.corrected for measure in half.measures}
    assert corrected["pragmatic"] == judged_after(run, stance)["pragmatism"].corrected
    capsys.readouterr()
    assert command(["label", str(run), "--stance", str(stance)]) == 0
    table = capsys.readouterr().out.split("The rules on checkpoint-010")[1]
    row = next(line.split() for line in table.splitlines() if line.startswith("pragmatic "))
    assert row[-2] == "90", "found in the answers that could be drawn"


def judged_after(run: Path, stance: Path) -> dict[str, CriterionRecord]:
    select(run, stance)
    return judged(run)


# --- what people do with the file --------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_what_a_spreadsheet_saves_is_read(run: Path, stance: Path, sheet: Path, delimiter: str) -> None:
    words = {"yes": "Yes", "no": "0", "": ""}
    fill(sheet, lambda row: {name: words[label] for name, label in as_found(row).items()})
    write_cells(sheet, [dict(reversed(row.items())) for row in sorted(read_cells(sheet), key=str)], delimiter)
    assert select(run, stance) == 0


def test_who_labelled_is_the_name_of_the_file(
    run: Path, stance: Path, sheet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(sheet, as_found)
    sheet.rename(sheet.with_name("some-model-7B.csv"))
    capsys.readouterr()
    assert select(run, stance) == 0
    assert judged(run)["pragmatism"].labelled_by == ["some-model-7B"]
    assert "Labels of checkpoint-010 by some-model-7B, as their files are named." in capsys.readouterr().out
    assert not sheet.exists(), "no second sheet is begun"
    assert command(["report", str(run)]) == 0
    for page in ("report.html", "report.md"):
        assert "Labels of checkpoint-010 by some-model-7B" in (run / page).read_text()


def test_a_filled_sheet_is_never_written_again(run: Path, stance: Path, sheet: Path) -> None:
    fill(sheet, as_found, rows=50)
    before = sheet.read_bytes()
    select(run, stance)
    assert command(["label", str(run), "--stance", str(stance)]) == 0
    assert sheet.read_bytes() == before
    assert command(["label", str(run), "--stance", str(stance), "--patterns"]) == 3
    assert sheet.read_bytes() == before


def test_another_choice_adds_its_answers_and_keeps_the_labels(run: Path, stance: Path, sheet: Path) -> None:
    fill(sheet, lambda row: {**as_found(row), "notes": "seen"})
    before = read_cells(sheet)
    write_arm(run, "checkpoint-010", model(0.3, 1.0), kl=0.5)
    write_arm(run, "checkpoint-020", model(0.9, 1.0))
    write_arm(run, "checkpoint-010", model(0.9, 0.5), kl=0.5)
    assert select(run, stance) == 6
    after = read_cells(sheet)
    assert after[:120] == before
    assert len(after) == 180
    assert Counter(drawn.model for drawn in draw_of(run).answers)["checkpoint-020"] == 60
    base = judged(run)["pragmatism"].base_corrected
    assert base
    assert base.labelled == 60
    fill(sheet, as_found)
    assert select(run, stance) == 0
    assert set(verdicts(run).values()) == {"met", "measured"}


def test_another_choice_replaces_a_sheet_that_nobody_began(run: Path, stance: Path, sheet: Path) -> None:
    write_arm(run, "checkpoint-020", model(0.9, 1.0))
    write_arm(run, "checkpoint-010", model(0.9, 0.5), kl=0.5)
    select(run, stance)
    assert len(read_cells(sheet)) == 120
    assert draw_of(run).models == ["base", "checkpoint-020"]


def test_other_answers_of_the_same_name_leave_the_labels_alone_and_warn(
    run: Path, stance: Path, sheet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(sheet, as_found)
    before = sheet.read_bytes()
    write_arm(run, "checkpoint-010", model(0.8, 1.0), weights_digest="trained anew")
    path = run / "validation" / "checkpoint-010" / "probes.json"
    path.write_text(path.read_text().replace('"weights_digest":"checkpoint-010"', '"weights_digest":"trained anew"'))
    capsys.readouterr()
    assert select(run, stance) == 6
    out = " ".join(capsys.readouterr().out.split())
    assert "no answers of it were drawn to label" in out
    assert "has no labels of the model that gave the answers" in out
    assert sheet.read_bytes() == before


def test_a_wrong_cell_is_named_and_ends_the_choice(
    run: Path, stance: Path, sheet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(sheet, lambda row: {**as_found(row), "pragmatic": "rather"}, rows=1)
    capsys.readouterr()
    assert select(run, stance) == 2
    error = capsys.readouterr().err
    assert f'{sheet}: row 2: pragmatic: expected yes or no, found "rather"' in error
    assert "(hint: empty: not labelled; ?: cannot be told)" in error


def test_labels_that_contradict_each_other_are_named(
    run: Path, stance: Path, sheet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [{**row, "fallen": ""} for row in read_cells(sheet)]
    cells[0] |= {"performative": "no", "denial": "yes"}
    cells[1] |= {"stands": "yes", "fallen": "yes"}
    write_cells(sheet, cells)
    capsys.readouterr()
    assert select(run, stance) == 2
    error = capsys.readouterr().err
    assert 'row 2: performative: "no" cannot be where denial is "yes" (hint: denial is one of performative)' in error
    assert 'row 3: stands: "yes" cannot be where fallen is "yes" (hint: one is the opposite of the other)' in error


def test_a_pattern_can_be_asked_for_beside_the_columns(run: Path, stance: Path, sheet: Path) -> None:
    write_cells(sheet, [{**row, **as_found(row), "noticing": "no"} for row in read_cells(sheet)])
    assert select(run, stance) == 0
    observes = judged(run)["observes"].corrected
    assert observes
    assert (observes.labelled, observes.positives) == (60, 0)
    write_arm(run, "checkpoint-020", model(0.9, 1.0))
    write_arm(run, "checkpoint-010", model(0.9, 0.5), kl=0.5)
    select(run, stance)
    assert [row["noticing"] for row in read_cells(sheet)] == ["no"] * 120 + [""] * 60


def test_more_answers_can_be_asked_for_and_only_of_the_sets_that_are_judged(
    run: Path, stance: Path, sheet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(sheet, as_found)
    before = read_cells(sheet)
    asked = ["label", str(run), "--stance", str(stance)]
    assert command([*asked, "--number", "80"]) == 0
    assert read_cells(sheet)[:120] == before
    assert len(read_cells(sheet)) == 160
    capsys.readouterr()
    assert command([*asked, "--number", "19"]) == 2
    assert "--number: expected 20 or more, found 19" in capsys.readouterr().err
    assert command([*asked, "--questions", "facts"]) == 2
    assert "--questions: the criteria say which sets are labelled" in capsys.readouterr().err
    select(run, stance)
    assert len(read_cells(sheet)) == 160, "a choice keeps the number"


def test_every_pattern_can_be_asked_for_instead(run: Path, stance: Path, sheet: Path) -> None:
    """The sheet that nobody began is replaced; what is then drawn stays, whatever is chosen."""
    assert command(["label", str(run), "--stance", str(stance), "--patterns"]) == 0
    cells = read_cells(sheet)
    assert list(cells[0])[3:] == ["denial", "disclaimer", "boundary", "noticing", "fallen", "notes"]
    assert len(cells) == 2 * 200
    select(run, stance)
    assert read_cells(sheet) == cells
