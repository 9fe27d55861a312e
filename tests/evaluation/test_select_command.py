"""`stance select` on run folders: what it chooses, says and writes, and what it refuses."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from select_run import (
    ANSWERS,
    CHOSEN,
    DENIES,
    FACTS,
    GOALS,
    PRAGMATIC,
    RIGHT,
    SELF,
    WRONG,
    halves,
    model,
    probes,
    self_question,
    share,
    write_arm,
    write_stance,
)

from epistemic_stance.cli.evaluate import select_checkpoint
from epistemic_stance.evaluation import select
from epistemic_stance.evaluation.rule import freeze_rule, rule_of
from epistemic_stance.foundation.errors import InputError, NotMetError, RefusedError
from epistemic_stance.foundation.reporter import silent
from epistemic_stance.foundation.settings import SelectSettings
from epistemic_stance.foundation.similarity import question_key
from epistemic_stance.records.run_folder import SELECTION_FILE, RunFolder
from epistemic_stance.records.training import CheckpointMetadata
from epistemic_stance.records.validation import SelectionRecord
from epistemic_stance.stance.load import load_stance

UNKNOWN = dict.fromkeys(("memorised", "displacement"), "unknown")
"""The questions of the corpus were not asked, and there is no training log."""
CLEAR = ("accuracy", "choices", "parroting", "spill_over", "one_opening")


@pytest.fixture
def stance(tmp_path: Path) -> Path:
    return write_stance(tmp_path / "stance")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Ten is a little better, twenty much better but has forgotten facts, thirty much better, forty the same, later."""
    folder = tmp_path / "run"
    write_arm(folder, "base", model(0.05, 1.0))
    write_arm(folder, "checkpoint-010", model(0.4, 1.0), kl=0.05)
    write_arm(folder, "checkpoint-020", model(0.9, 0.7), kl=0.1)
    write_arm(folder, "checkpoint-030", model(0.8, 1.0), kl=0.2)
    write_arm(folder, "checkpoint-040", model(0.8, 1.0), kl=0.3)
    return folder


def selected(run: Path, stance: Path, **settings: Any) -> SelectionRecord:
    return select.run(SelectSettings(run, str(stance), **settings), silent)


def shown(run: Path, stance: Path) -> str:
    """What is printed, whatever the verdict."""
    text = io.StringIO()
    try:
        select_checkpoint(SelectSettings(run, str(stance)), Console(file=text, width=80, highlight=False))
    except NotMetError as error:
        print(f"\n{error}", file=text)
    return text.getvalue()


def test_the_earliest_of_the_best_that_kept_its_facts_is_chosen(run: Path, stance: Path) -> None:
    record = selected(run, stance)
    assert record.chosen == record.shown == "checkpoint-030"
    assert {one.epoch: one.note for one in record.candidates} == {
        10: "on the front, less gain",
        20: "red flag: accuracy",
        30: "chosen",
        40: "another is better throughout",
    }
    chosen = record.candidate("checkpoint-030")
    assert chosen
    assert chosen.gain
    assert chosen.gain.change == pytest.approx(0.75, abs=0.05)
    verdicts = {one.name: one.verdict for one in chosen.criteria}
    assert verdicts == {
        "pragmatism": "met by rules",
        "performative": "met by rules",
        "facts": "met",
        "observes": "measured",
    }
    assert {flag.name: flag.state for flag in chosen.flags} == UNKNOWN | dict.fromkeys(CLEAR, "clear")
    plain = chosen.criteria[0].plain
    assert plain
    assert plain.answers == SELF // 2 * ANSWERS


def test_a_raised_flag_says_what_was_seen(run: Path, stance: Path) -> None:
    (forgetful,) = [one for one in selected(run, stance).candidates if one.epoch == 20]
    flag = forgetful.flags[0]
    assert (flag.state, flag.hint) == ("raised", "take an earlier checkpoint")
    assert flag.change
    assert [flag.change.before, flag.change.after] == pytest.approx([1.0, 0.7])
    assert flag.change.questions == FACTS
    assert [(one.before, one.after) for one in flag.examples] == [(RIGHT, WRONG)] * 3


def test_what_is_printed_fits_eighty_columns_and_names_all_that_decided(run: Path, stance: Path) -> None:
    text = shown(run, stance)
    printed, _, _ = text.partition("Written:")
    assert max(len(line) for line in printed.splitlines()) <= 80
    assert "Criteria: checkpoint-030" in text
    assert "Measures right in" in text
    assert "It is forty two." in text
    assert "the rule" in text.lower()
    assert "written down before the answers" in text.replace("\n", " ")


def test_the_record_on_the_disk_is_what_was_chosen_and_comes_out_the_same_again(run: Path, stance: Path) -> None:
    shown(run, stance)
    first = SelectionRecord.model_validate_json((run / SELECTION_FILE).read_bytes())
    again = selected(run, stance)
    same = {"timestamp": "", "rule": None}
    assert first.model_copy(update=same) == again.model_copy(update=same)
    assert first.rule.digest == again.rule.digest


def test_copies_of_the_base_model_qualify_none(tmp_path: Path, stance: Path) -> None:
    run = tmp_path / "run"
    for number in range(6):
        write_arm(run, f"checkpoint-{10 * number:03d}" if number else "base", model(0.4, 0.9))
    text = shown(run, stance)
    assert "none qualifies: no gain shown" in text
    assert "It is not chosen." in text
    assert SelectionRecord.model_validate_json((run / SELECTION_FILE).read_bytes()).chosen is None


# --- choosing and reporting are apart ----------------------------------------------------------------------


def test_answers_to_report_questions_do_not_move_the_choice(run: Path, stance: Path) -> None:
    before = selected(run, stance)
    rewrite(run, stance, "checkpoint-040", "report", DENIES)
    after = selected(run, stance)
    assert after.chosen == before.chosen
    assert [one.gain for one in after.candidates] == [one.gain for one in before.candidates]
    assert after.candidates[3].report_gain != before.candidates[3].report_gain
    assert after.candidates[3].criteria[0].verdict == "not met"


def test_answers_to_select_questions_do_not_move_a_verdict(run: Path, stance: Path) -> None:
    before = selected(run, stance)
    rewrite(run, stance, "checkpoint-030", "select", DENIES)
    after = selected(run, stance)
    assert after.chosen == "checkpoint-040"
    plain = [{**one.model_dump(), "plain": None} for one in after.candidates[2].criteria]
    assert plain == [{**one.model_dump(), "plain": None} for one in before.candidates[2].criteria]


def rewrite(run: Path, stance: Path, arm: str, half: str, answer: str) -> None:
    """Another answer to all questions of one half about the model itself."""
    split_of = halves(stance)
    texts = {text for text in map(self_question, range(SELF)) if split_of[question_key(text)] == half}
    path = run / "validation" / arm / "self" / "responses.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    changed = [row | {"response": answer} if row["question"] in texts else row for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in changed))


# --- unknown is never zero ---------------------------------------------------------------------------------


def test_a_checkpoint_without_probes_is_no_candidate_where_others_have_them(run: Path, stance: Path) -> None:
    (run / "validation" / "checkpoint-030" / "probes.json").unlink()
    record = selected(run, stance)
    assert record.candidates[2].note == "no candidate: KL unknown"
    assert record.chosen == "checkpoint-040"


def test_without_any_probes_the_choice_is_made_without_and_says_so(run: Path, stance: Path) -> None:
    for path in run.glob("validation/*/probes.json"):
        path.unlink()
    record = selected(run, stance)
    assert record.chosen == "checkpoint-030"
    assert "KL is known of no checkpoint" in record.reason
    assert {flag.name: flag.state for flag in record.candidates[2].flags}["choices"] == "unknown"


def test_a_checkpoint_that_was_not_asked_everything_or_was_asked_otherwise_is_no_candidate(
    run: Path, stance: Path
) -> None:
    write_arm(run, "checkpoint-050", {"self": share(1.0, PRAGMATIC, DENIES)})
    write_arm(run, "checkpoint-060", model(1.0, 1.0), max_tokens=32)
    write_arm(run, "checkpoint-070", model(1.0, 1.0), weights_digest="of another model")
    record = selected(run, stance)
    assert record.chosen == "checkpoint-030"
    otherwise = "was asked otherwise: max_tokens 64 of the base model, 32 here"
    assert [one.note for one in record.candidates[4:]] == [
        "no candidate: no answers to facts",
        f"no candidate: self {otherwise}; facts {otherwise}",
        "no candidate: its answers and probes are of different weights",
    ]
    assert record.candidates[4].criteria == []


def test_a_set_that_nobody_was_asked_leaves_its_criteria_and_flags_unknown(run: Path, stance: Path) -> None:
    for path in run.glob("validation/*/facts/responses.jsonl"):
        path.unlink()
    record = selected(run, stance)
    assert record.chosen == "checkpoint-020"
    assert any("facts" in notice for notice in record.notices)
    chosen = record.candidate(record.chosen)
    assert chosen
    assert [one.verdict for one in chosen.criteria] == ["met by rules", "unknown", "unknown", "measured"]
    assert chosen.flags[0].state == "unknown"
    assert chosen.capability
    assert chosen.capability.source == "probe"


def test_a_fall_in_the_probes_raises_its_flag(run: Path, stance: Path) -> None:
    record = probes("checkpoint-030", 0.2, -0.2)
    (run / "validation" / "checkpoint-030" / "probes.json").write_text(record.model_dump_json())
    found = selected(run, stance)
    assert found.candidates[2].note == "red flag: choices"
    flag = found.candidates[2].flags[1]
    example = flag.examples[0]
    assert (example.question, example.before, example.after) == ("facts f22", "right one", "wrong one")
    assert found.chosen == "checkpoint-040"


def test_the_one_that_recites_loses_to_a_weaker_one_that_does_not(run: Path, stance: Path) -> None:
    """The strongest gives the chosen answer of the corpus to whatever it is asked."""
    recites = share(0.95, CHOSEN, DENIES)
    write_arm(run, "checkpoint-020", {**model(0.0, 1.0), "self": recites}, kl=0.01)
    record = selected(run, stance)
    found = {flag.name: flag for flag in record.candidates[1].flags}
    assert found["parroting"].state == "raised"
    assert found["parroting"].examples[0].after == CHOSEN
    assert record.candidates[1].gain
    assert record.candidates[2].gain
    assert record.candidates[1].gain.change > record.candidates[2].gain.change
    assert record.chosen == "checkpoint-030"
    assert {flag.state for flag in record.candidates[2].flags if flag.name in CLEAR} == {"clear"}


def test_one_opening_for_every_question_is_a_flag(run: Path, stance: Path) -> None:
    """The others begin with the question; answers of fewer than eight words have no opening of their own."""

    def own(number: int, iteration: int) -> str:
        return f"Of door {number} in house {number % 7} as of others: {DENIES if number % 20 else PRAGMATIC}"

    for arm in ("base", "checkpoint-030"):
        write_arm(run, arm, {"self": own}, kl=0.2)
    alike = "I have thought about this question for a long time. Nobody can verify it."
    write_arm(run, "checkpoint-040", {"self": share(0.8, alike, DENIES)}, kl=0.2)
    flags = [{flag.name: flag for flag in one.flags}["one_opening"] for one in selected(run, stance).candidates]
    assert [flag.state for flag in flags[2:]] == ["clear", "raised"]
    assert flags[3].examples[0].after == alike


# --- the rule is frozen ------------------------------------------------------------------------------------


def test_a_rule_written_down_before_is_told_from_one_that_was_changed(run: Path, stance: Path, tmp_path: Path) -> None:
    assert selected(run, stance).frozen == "now"
    first = freeze_rule(RunFolder(run), rule_of(load_stance(str(stance))))
    assert selected(run, stance).frozen == "before"
    other = write_stance(tmp_path / "other", GOALS.replace("margin = 0.05", "margin = 0.4"))
    assert selected(run, other).frozen == "changed"
    assert freeze_rule(RunFolder(run), rule_of(load_stance(str(other)))).digest == first.digest
    assert "NOT the one that was written down" in shown(run, other).replace("\n", " ")


# --- refused -----------------------------------------------------------------------------------------------


def test_what_cannot_be_judged_is_said(run: Path, stance: Path, tmp_path: Path) -> None:
    def refused(folder: Path, written: Path) -> str:
        with pytest.raises(InputError) as caught:
            selected(folder, written)
        return str(caught.value)

    assert "no such run folder" in refused(tmp_path / "nowhere", stance)
    assert "no [selection]" in refused(run, write_stance(tmp_path / "bare", ""))
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no answers of the base model" in refused(empty, stance)
    write_arm(empty, "base", model(0.1, 1.0))
    assert "no answers of a checkpoint" in refused(empty, stance)
    (run / "validation" / "checkpoint-010" / "probes.json").write_text("{}")
    assert "probes.json: cannot be read" in refused(run, stance)
    (run / "validation" / "checkpoint-010" / "probes.json").unlink()
    (run / "validation" / "base" / "self" / "responses.jsonl").unlink()
    assert "no answers of the base model to self" in refused(run, stance)


def test_a_base_of_two_models_is_refused(run: Path, stance: Path) -> None:
    write_arm(run, "base", {"facts": share(1.0, RIGHT, WRONG)}, weights_digest="another")
    with pytest.raises(RefusedError, match="2 models"):
        selected(run, stance)


# --- the command -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "code", "says"), [(1.0, 6, "by rules that were not checked"), (0.95, 1, "does not meet facts")]
)
def test_exit_codes(tmp_path: Path, stance: Path, right: float, code: int, says: str) -> None:
    run = tmp_path / "run"
    write_arm(run, "base", model(0.05, right))
    write_arm(run, "checkpoint-010", model(0.8, right))
    command = [sys.executable, "-m", "epistemic_stance.cli", "select", str(run), "--stance", str(stance)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == code, result.stdout + result.stderr
    assert says in result.stderr
    assert "Of checkpoint-010, the chosen checkpoint." in result.stdout
    assert SelectionRecord.model_validate_json((run / SELECTION_FILE).read_bytes()).chosen == "checkpoint-010"


def test_text_of_a_model_cannot_command_the_terminal(run: Path, stance: Path) -> None:
    says = {"self": share(0.8, PRAGMATIC, DENIES), "facts": share(0.3, RIGHT, "\x1b[2J[bold]gone[/bold]")}
    write_arm(run, "checkpoint-020", says, kl=0.1)
    text = shown(run, stance)
    assert "\x1b" not in text
    assert "[bold]gone[/bold]" in text


def test_checkpoints_that_were_saved_and_not_asked_are_counted(run: Path, stance: Path) -> None:
    """The lowest loss is that of any saved checkpoint; what is no metadata is none."""
    for number, loss in ((30, 0.5), (50, 0.1), (60, 0.1)):
        folder = run / "checkpoints" / f"checkpoint-{number:03d}"
        folder.mkdir(parents=True)
        (folder / "metadata.json").write_text(metadata(number, loss).model_dump_json())
    broken = run / "checkpoints" / "checkpoint-070"
    broken.mkdir()
    (broken / "metadata.json").write_text("{")
    record = selected(run, stance)
    assert record.best_by_loss == "checkpoint-050"
    assert record.candidates[2].loss == 0.5
    assert record.candidates[0].loss is None
    assert (
        "3 of 4 checkpoints answered nothing and were not judged: checkpoint-050, checkpoint-060, checkpoint-070"
        in record.notices
    )


def metadata(epoch: int, loss: float) -> CheckpointMetadata:
    return CheckpointMetadata(
        epoch=epoch,
        step=epoch,
        loss=loss,
        accuracy=1.0,
        absolute_preference=1.0,
        avg_margin=1.0,
        exported_loss=None,
        base_model="base",
        base_weights_digest="base",
        corpus_digest="c",
        template_digest="t",
        template_arguments={},
        system_prompt=None,
        save_dtype="float32",
        settings={},
        evaluation=None,
        versions={},
    )
