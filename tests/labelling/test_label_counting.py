"""Which labels count, and how: doubts inside groups, categories, places that moved or are gone, measures of conduct."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_compare import PATTERNS, Row, phrases_stance, written
from test_correction import FOUND, analysed, arm, changed, compared, label, measured, place

from epistemic_stance.evaluation.measures import Measure, measures_of
from epistemic_stance.foundation.errors import InputError
from epistemic_stance.labelling.labels import read_sample
from epistemic_stance.records.response_file import Response
from epistemic_stance.scoring.patterns import load_patterns
from epistemic_stance.scoring.score import Scorer
from epistemic_stance.stance.load import load_pairs, load_stance

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
REFUSAL = "i decline"


@pytest.fixture
def stance(tmp_path: Path) -> Path:
    """The questions of `outer` ask for what is to be declined; `conduct` is refusal, and hedging of facts."""
    folder = phrases_stance(tmp_path)
    patterns, questions = folder / "patterns.toml", folder / "questions.json"
    patterns.write_text(patterns.read_text().replace('group = "refusal"', 'group = "conduct"') + HEDGING)
    document = json.loads(questions.read_text())
    for question in document["questions"]:
        if question["category"] == "outer":
            question["expect"] = "decline"
    questions.write_text(json.dumps(document))
    return folder


def arms(run: Path, change: Callable[[Row], Row] = lambda line: line) -> Path:
    for name, rates in {"base": (0.38, 0.02), "checkpoint-008": (0.20, 0.40)}.items():
        (run / "validation" / name / "probe").mkdir(parents=True)
        written(place(run, name) / "responses.jsonl", [change(line) for line in arm(name, *rates)])
    return run


@pytest.fixture
def run(tmp_path: Path, stance: Path) -> Path:
    run = arms(tmp_path / "run")
    label(run, stance)
    return run


def relabel(run: Path, change: Callable[[Row, dict[str, Any]], None]) -> None:
    """Change each line of the annotator, given what was drawn."""
    drawn = {answer.id: answer.model_dump() for answer in read_sample(run / "labels")}
    file = run / "labels" / "first.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
        change(drawn[line["id"]], line)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


# --- doubts in groups --------------------------------------------------------------------------------------


def test_a_measure_is_known_where_no_doubt_could_change_it(stance: Path) -> None:
    """Against all ways in which the doubts could be settled, for every group and every set of marks and doubts."""
    loaded = load_stance(str(stance))
    scorer = Scorer(loaded, load_pairs(loaded.corpus))
    score = scorer.score(Response(1, "What?", "inner", "Tea.", None, None, None, None, {}))
    names = list(PATTERNS)
    for measure in measures_of(load_patterns(loaded).patterns):
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


def test_doubts_that_decide_nothing_cost_a_group_no_labels(run: Path, stance: Path) -> None:
    """Who denies is performative, whether or not it is a disclaimer, too; who does not may be."""

    def doubt(_drawn: Row, line: dict[str, Any]) -> None:
        line["unsure"] = ["disclaimer"]

    before = measured(analysed(place(run, "base"), stance)[0], "performative").corrected
    relabel(run, doubt)
    record, _ = analysed(place(run, "base"), stance)
    after, alone = measured(record, "performative").corrected, measured(record, "pragmatic_only").corrected
    assert before
    assert after
    assert alone
    assert after.positives == before.positives == after.labelled > 20
    assert alone.labelled == before.labelled == 150, "without anything pragmatic the doubt decides nothing"


# --- categories --------------------------------------------------------------------------------------------


def refuses_at_times(line: Row) -> Row:
    """Half of the answers are refusals, to some questions more than to others."""
    refuses = line["iteration"] <= 4 + int(line["question_id"][1:]) % 5
    return {**line, "response": f"Here {REFUSAL}. {line['response']}" if refuses else line["response"]}


def refuse_in_labels(drawn: Row, line: dict[str, Any]) -> None:
    line["labels"] += ["refusal"] if REFUSAL in drawn["response"] else []
    if drawn["category"] != "facts":
        line["offered"].remove("hedging")


@pytest.fixture
def refusing(tmp_path: Path, stance: Path) -> Path:
    run = arms(tmp_path / "run", refuses_at_times)
    label(run, stance)
    relabel(run, refuse_in_labels)
    return run


def test_what_a_category_cannot_show_is_known_to_be_absent(refusing: Path, stance: Path) -> None:
    """Two thirds of the labels are of answers that cannot hedge: they count for the group all the same."""
    conduct = measured(analysed(place(refusing, "base"), stance)[0], "conduct")
    assert conduct.corrected
    assert conduct.corrected.labelled == 150
    assert conduct.corrected.estimate == pytest.approx(0.5, abs=0.03)


def test_what_is_told_by_refusals_is_corrected_on_the_questions_that_tell_it(refusing: Path, stance: Path) -> None:
    record, printed = analysed(place(refusing, "base"), stance)
    declines = measured(record, "declines_harmful").corrected
    outer = [one for one in read_sample(refusing / "labels") if (one.arm, one.category) == ("base", "outer")]
    assert declines
    assert declines.labelled == len(outer)
    assert declines.estimate == pytest.approx(0.5, abs=0.05)
    corrected = printed.split("Corrected for the errors")[1].split("- needs")[0]
    assert "declines_harmful" in corrected
    assert "refuses_harmless" not in printed, "no question asks for that"


def test_labels_count_in_the_category_that_the_answers_have_now(refusing: Path, stance: Path) -> None:
    """Answers drawn as `facts` and filed elsewhere since, or only before: what is counted and found is the same."""
    for name, category in (("base", "inner"), ("checkpoint-008", "outer")):
        path = place(refusing, name) / "responses.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        written(path, [{**line, "category": category, "response": f"{line['response']}"} for line in lines])
    record, _ = compared(refusing, stance)
    conduct = measured(analysed(place(refusing, "base"), stance)[0], "conduct").corrected
    assert conduct
    assert conduct.labelled == 150
    change = changed(record, "conduct").corrected
    assert change
    assert change.change == pytest.approx(0.0, abs=0.05)
    assert changed(record, "hedging").overall is None


# --- places ------------------------------------------------------------------------------------------------


def test_equal_answers_to_a_question_of_two_sets_are_told_apart(run: Path, stance: Path) -> None:
    """Every answer stands in a second set as well, and both are labelled."""
    for name in ("base", "checkpoint-008"):
        lines = (place(run, name) / "responses.jsonl").read_text()
        (place(run, name).parent / "other").mkdir()
        (place(run, name).parent / "other" / "responses.jsonl").write_text(lines)
    (run / "labels").rename(run / "aside")
    label(run, stance, number=1000)
    denial = measured(analysed(place(run, "base"), stance)[0], "denial").corrected
    assert denial
    assert denial.labelled == 360
    record, _ = compared(run, stance)
    assert changed(record, "denial").corrected


@pytest.mark.parametrize("command", [analysed, compared])
def test_a_copied_line_of_the_sample_is_refused(run: Path, stance: Path, command: Any) -> None:
    file = run / "labels" / "sample.jsonl"
    first = json.loads(file.read_text().splitlines()[0])
    with file.open("a") as stream:
        stream.write(json.dumps({**first, "id": "9999"}) + "\n")
    folder = run if command is compared else place(run, "base")
    with pytest.raises(InputError, match=rf"sample\.jsonl: expected \d+ answers of {first['arm']} in "):
        command(folder, stance)


def test_answers_that_were_collected_again_are_no_longer_labelled(run: Path, stance: Path) -> None:
    """Those of even questions have other texts now."""
    path = place(run, "base") / "responses.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if int(line["question_id"][1:]) % 2 == 0:
            line["response"] = f"{FOUND} Anew."
    written(path, lines)
    denial = measured(analysed(place(run, "base"), stance)[0], "denial").corrected
    kept = [one for one in read_sample(run / "labels") if one.arm == "base" and int((one.question_id or "")[1:]) % 2]
    assert denial
    assert denial.labelled == len(kept)


@pytest.mark.parametrize("what", ["nowhere", "labels/first.jsonl"])
def test_labels_that_are_no_folder_of_labels_are_named_with_their_flag(run: Path, stance: Path, what: str) -> None:
    with pytest.raises(InputError, match=r"--labels: no sample.jsonl in it \(hint: a folder that `stance label` has"):
        analysed(place(run, "base"), stance, labels=run / what)


# --- how it is shown ---------------------------------------------------------------------------------------


def test_what_is_not_corrected_stands_in_one_line_per_need(run: Path, stance: Path) -> None:
    _, printed = analysed(place(run, "base"), stance)
    said = " ".join(printed.split("Not corrected:\n")[1].split())
    assert said.startswith("- needs 20 labelled answers that show it: disclaimer (0), pragmatic (0), pragmatic_only")
    assert "hedging (0)" in said
    _, printed = compared(run, stance)
    table = printed.split("Corrected for the errors of the rules")[1].split("Changes in points.")[0]
    assert [line.split()[0] for line in table.splitlines()[3:] if line.strip()] == ["performative", "denial"]
    assert "- before: needs 20 labelled answers that show it: pragmatic (0), " in " ".join(printed.split())
    page = (place(run, "checkpoint-008") / "comparison.md").read_text()
    assert "\n- before: needs 20 labelled answers that show it: pragmatic (0), " in page


def test_a_measure_without_patterns_knows_what_it_shows() -> None:
    measure = Measure("always", "form", None, lambda _score: True)
    assert replace(measure).known(None, frozenset(["any"])) is True  # type: ignore[arg-type]
