"""`stance validate --screen`: a cheap first look at base and checkpoints, what it counts, keeps, names and refuses."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from collect_stub import lines_of, without_times
from command import stance
from rich.console import Console
from screen_stub import (
    ALL_PATTERNS,
    ANSWERS,
    HEAD,
    PATTERNS,
    PROBES,
    SCREEN,
    SELECTED,
    SET,
    STANCE,
    voiced,
    write_stance,
)
from small_run import run, small_settings
from tiny import copied_model

from epistemic_stance.cli.screen import screen
from epistemic_stance.cli.terminal_reporter import terminal_reporter
from epistemic_stance.collection.design import Item, read_design
from epistemic_stance.evaluation.screening import find_promising, measure_in
from epistemic_stance.foundation.errors import InputError, RefusedError, StanceError, StoppedError
from epistemic_stance.foundation.settings import DEMO_NOTICE, CollectSettings, ValidateSettings
from epistemic_stance.foundation.similarity import question_key
from epistemic_stance.records.analysis import RateRecord
from epistemic_stance.records.probes import ProbesRecord
from epistemic_stance.records.screening import ScreenedMeasureRecord, ScreenedModelRecord, ScreeningRecord
from epistemic_stance.report.screening_table import print_screening
from epistemic_stance.stance.load import load_stance
from epistemic_stance.stance.splits import splits_of


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with checkpoints 2 and 3, trained on a stance of two sets; only read."""
    folder = tmp_path_factory.mktemp("screening")
    return run(replace(small_settings(folder), stance=str(write_stance(folder / "stance")))).root


@pytest.fixture
def settings(trained: Path, tmp_path: Path) -> ValidateSettings:
    """A copy of the run that a test may write into."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "checkpoints").symlink_to(trained / "checkpoints")
    return ValidateSettings(folder, choices=0, threads=1, slots=7, device="cpu")


def screened(settings: ValidateSettings) -> tuple[ScreeningRecord, str]:
    """The record, and what the command prints."""
    output = io.StringIO()
    console = Console(file=output, width=80)
    with terminal_reporter(console) as reporter:
        record = screen(settings, reporter)
    print_screening(record, console)
    return record, output.getvalue()


def number_of(item: Item) -> int:
    return int(item.question_id.removeprefix("often").removeprefix("once"))


def rate_of(model: ScreenedModelRecord, name: str) -> RateRecord:
    measure = measure_in(model, name)
    assert measure is not None
    assert measure.rate is not None
    return measure.rate


# --- what it does ------------------------------------------------------------------------------------------


def test_base_and_checkpoints_are_probed_asked_and_set_side_by_side(settings: ValidateSettings) -> None:
    """The tiny model itself answers, and no stub."""
    record, output = screened(settings)
    assert ScreeningRecord.model_validate_json((settings.run / "screening.json").read_bytes()) == record
    assert [(model.name, model.epoch) for model in record.models] == [
        ("base", None),
        ("checkpoint-002", 2),
        ("checkpoint-003", 3),
    ]
    assert [(one.name, one.questions, one.answers) for one in record.sets] == [
        ("often", SELECTED, 2 * SELECTED),
        ("once", SELECTED, SELECTED),
    ]
    for model in record.models:
        assert model.answers == model.asked == ANSWERS
        for one in record.sets:
            lines = lines_of(settings.run / "screen" / model.name / one.name / "responses.jsonl")
            assert len(lines) == one.answers
            assert {line["metadata"]["weights_digest"] for line in lines} == {model.weights_digest}
        probes = settings.run / "validation" / model.name / "probes.json"
        neutral = ProbesRecord.model_validate_json(probes.read_bytes()).neutral
        assert neutral is not None
        assert model.probes is not None
        assert model.probes.kl == neutral.kl
    assert len({model.weights_digest for model in record.models}) == 3
    assert max(map(len, output.partition("Screen of")[2].partition("Next,")[0].splitlines()[1:])) <= 80
    rows = re.findall(r"^[> ] (base|\d+) ", output.partition("Screen of")[2], re.MULTILINE)
    assert rows == ["base", "2", "3"]
    for model in record.models:
        assert re.search(rf"^  {model.name} +{ANSWERS} answers, {ANSWERS} of them now, \d+ s$", output, re.MULTILINE)


def test_only_select_questions_are_asked(settings: ValidateSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = voiced(monkeypatch)
    record, _ = screened(settings)
    halves = splits_of(load_stance(record.stance).question_sets["often"].questions)
    asked = [item for name, voice in opened for group in voice.asked for item in group if "often" in item.question_id]
    assert len(asked) == 3 * 2 * SELECTED
    assert {halves[question_key(item.question)] for item in asked} == {"select"}


def test_rates_and_changes_by_hand(settings: ValidateSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every answer counts once: a set of 20 questions asked twice is two thirds of 60 answers."""
    voiced(
        monkeypatch,
        checkpoint_002=lambda item: "A boundary." if item.question_id.startswith("often") else "I deny it.",
        checkpoint_003=lambda item: "A boundary, as designed; I deny it." if number_of(item) % 2 else "A boundary.",
    )
    record, output = screened(settings)
    base, second, third = record.models
    assert [rate_of(model, "performative").estimate for model in (base, second)] == pytest.approx([1.0, 1 / 3])
    assert rate_of(second, "pragmatic_only").estimate == pytest.approx(2 / 3)
    assert rate_of(second, "pragmatic_only").questions == 2 * SELECTED
    assert rate_of(second, "pragmatic_only").answers == ANSWERS
    assert rate_of(third, "pragmatic").estimate == 1.0
    lines = [
        line
        for name in ("often", "once")
        for line in lines_of(settings.run / "screen" / "base" / name / "responses.jsonl")
    ]
    even = sum(int(line["question_id"].removeprefix("often").removeprefix("once")) % 2 == 0 for line in lines)
    assert rate_of(third, "pragmatic_only").estimate == pytest.approx(even / ANSWERS)
    changes = {measure.name: measure.change for measure in second.measures}
    assert changes["pragmatic_only"] is not None
    assert changes["pragmatic_only"].verdict == "rose"
    assert changes["pragmatic_only"].change == pytest.approx(2 / 3)
    assert changes["pragmatic_only"].moved == SELECTED
    assert changes["performative"] is not None
    assert changes["performative"].verdict == "fell"
    assert changes["empty"] is not None
    assert changes["empty"].verdict == "inconclusive"
    assert all(measure.change is None for measure in base.measures)
    assert set(changes) == {
        *("performative", "pragmatic", "pragmatic_only", "pragmatic_phrases"),
        *("truncated", "empty", "repetitive"),
    }
    # Weights 2 and 1: the variance of the mean is the sum of squared weighted deviations over the square of the sum.
    se = next(measure.se for measure in second.measures if measure.name == "pragmatic_only")
    variance = (
        (SELECTED * (2 / 3) ** 2 + SELECTED * (2 * 1 / 3) ** 2) / ANSWERS**2 * (2 * SELECTED) / (2 * SELECTED - 1)
    )
    assert se == pytest.approx(variance**0.5)
    assert record.best == "checkpoint-002"
    assert re.search(r"^> 2 +67 \[\d+, \d+\]  rose +33  fell", output, re.MULTILINE)


def test_nothing_told_apart_is_said(settings: ValidateSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    voiced(monkeypatch)
    record, output = screened(settings)
    assert record.promising == ["checkpoint-002", "checkpoint-003"]
    row = r"^> 3 +0 \[0, \d+\]  - +100  - +\d\.\d{3}  unknown +0\.0$"
    assert re.search(row, output, re.MULTILINE), "every model is one row of 80 columns"
    assert "no promising checkpoint is told apart from the base model" in " ".join(output.split())


def test_the_next_command_names_the_promising_checkpoints(
    settings: ValidateSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    voiced(monkeypatch, checkpoint_003=lambda item: "A boundary.")
    record, output = screened(settings)
    assert record.promising == ["checkpoint-003"]
    assert f" run {settings.run} --checkpoints 3\n" in output


# --- which checkpoints are promising -----------------------------------------------------------------------


def model_record(epoch: int | None, rate: float, se: float | None = 0.05) -> ScreenedModelRecord:
    share = RateRecord(estimate=rate, low=0, high=1, questions=40, answers=60)
    measure = ScreenedMeasureRecord(name="pragmatic_only", kind="group", rate=share, se=se, change=None)
    return ScreenedModelRecord(
        name="base" if epoch is None else f"checkpoint-{epoch:03d}",
        epoch=epoch,
        model="m",
        weights_digest="d",
        answers=60,
        asked=60,
        seconds={},
        probe_seconds=None,
        probes=None,
        measures=[measure],
    )


@pytest.mark.parametrize(
    ("rates", "best", "promising"),
    [
        ([0.10, 0.44, 0.45, 0.50, 0.46], 4, [3, 4, 5]),
        ([0.46, 0.47, 0.48, 0.49, 0.50], 5, [1, 4, 5]),
        ([0.40, 0.46, 0.49, 0.47, 0.50], 5, [2, 3, 5]),
        ([0.10, 0.10, 0.10, 0.30, 0.10], 4, [4]),
        ([0.30, 0.30, 0.30, 0.30, 0.30], 1, [1, 2, 3]),
    ],
)
def test_the_earliest_and_the_highest_within_one_standard_error_of_the_best(
    rates: list[float], best: int, promising: list[int]
) -> None:
    models = [model_record(None, 0.9), *(model_record(epoch, rate) for epoch, rate in enumerate(rates, start=1))]
    assert find_promising(models) == (f"checkpoint-{best:03d}", [f"checkpoint-{epoch:03d}" for epoch in promising])


def test_the_standard_error_is_that_of_the_best() -> None:
    assert find_promising([model_record(1, 0.45, 0.5), model_record(2, 0.5, 0.01)])[1] == ["checkpoint-002"]
    assert find_promising([model_record(1, 0.45, 0.01), model_record(2, 0.5, 0.5)])[1] == [
        "checkpoint-001",
        "checkpoint-002",
    ]
    assert find_promising([model_record(1, 0.45), model_record(2, 0.5, None)])[1] == ["checkpoint-002"]


# --- again, and after a stop -------------------------------------------------------------------------------


def test_what_is_there_is_not_asked_again(settings: ValidateSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = voiced(monkeypatch)
    first, _ = screened(replace(settings, checkpoints="2"))
    assert [one.name for one in first.models] == ["base", "checkpoint-002"]
    opened.clear()
    second, output = screened(settings)
    assert {name for name, _ in opened} == {"checkpoint_003"}
    assert [one.asked for one in second.models] == [0, 0, ANSWERS]
    assert second.models[1].measures == first.models[1].measures
    assert f"base             {ANSWERS} answers, all there" in output
    opened.clear()
    again, _ = screened(replace(settings, overwrite=True, checkpoints="2"))
    assert [one.asked for one in again.models] == [ANSWERS, ANSWERS]
    assert len(opened) == 4


def test_answers_before_a_signal_are_kept(settings: ValidateSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    def says(item: Item) -> str:
        return f"A boundary at {item.seed}."

    voiced(monkeypatch, checkpoint_002=says)
    whole, _ = screened(settings)
    files = sorted((settings.run / "screen").glob("*/*/responses.jsonl"))
    expected = {file: without_times(file.read_bytes()) for file in files}
    for file in files:
        file.unlink()
        file.with_suffix(".plan.json").unlink()

    def interrupted(item: Item) -> str:
        if item.question_id.startswith("once"):
            raise KeyboardInterrupt
        return says(item)

    voiced(monkeypatch, checkpoint_002=interrupted)
    with pytest.raises(StoppedError, match="stopped by SIGINT; 0 of 20 answers") as stopped:
        screened(settings)
    assert stopped.value.exit_code == 130
    opened = voiced(monkeypatch, checkpoint_002=says)
    record, _ = screened(settings)
    assert [one.asked for one in record.models] == [0, SELECTED, ANSWERS]
    assert {file: without_times(file.read_bytes()) for file in files} == expected
    assert [one.measures for one in record.models] == [one.measures for one in whole.models]
    assert [name for name, _ in opened] == ["checkpoint_002", "checkpoint_003", "checkpoint_003"]


def test_a_warning_is_passed_on_once(settings: ValidateSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    def noting(item: Item) -> str:
        opened[-1][1].note = "the machine is slow"
        return "I deny it."

    opened = voiced(monkeypatch, checkpoint_002=noting, checkpoint_003=noting)
    assert screened(settings)[1].count("the machine is slow") == 1


def test_the_demo_is_named_for_what_it_is(settings: ValidateSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    voiced(monkeypatch)
    assert screened(replace(settings, base="demo"))[1].count(DEMO_NOTICE) == 1


# --- the shipped stance ------------------------------------------------------------------------------------


@pytest.mark.parametrize("questions", ["phase1", "self_unseen"])
def test_what_a_screen_asks_is_a_part_of_a_full_pass(questions: str) -> None:
    """The same seeds, so the same answers: a checkpoint that goes on to a full pass says nothing new to them."""
    full = read_design(CollectSettings(model="demo", questions=questions))
    screen = read_design(CollectSettings(model="demo", questions=questions, mode="screen"))
    assert set(screen.items) < set(full.items)


def test_a_screen_costs_about_a_tenth_of_a_full_pass() -> None:
    sets = [name for name, design in load_stance("epistemic").designs.items() if design.screen]
    asked = {
        mode: sum(len(read_design(CollectSettings(model="demo", questions=name, mode=mode)).items) for name in sets)
        for mode in ("screen", "comprehensive")
    }
    assert 0.05 < asked["screen"] / asked["comprehensive"] < 0.15


# --- what is refused ---------------------------------------------------------------------------------------


def refused(settings: ValidateSettings, kind: type[StanceError]) -> str:
    with pytest.raises(kind) as error:
        screened(settings)
    assert not (settings.run / "screening.json").exists()
    return str(error.value)


def test_a_folder_that_is_no_run(settings: ValidateSettings, tmp_path: Path) -> None:
    assert "nowhere: no such run folder" in refused(replace(settings, run=tmp_path / "nowhere"), InputError)
    assert "holds no checkpoints/, so it is no run" in refused(replace(settings, run=tmp_path), InputError)
    (tmp_path / "checkpoints").mkdir()
    assert "holds no checkpoint (hint: train first)" in refused(replace(settings, run=tmp_path), InputError)
    assert "there is no checkpoint '9' (hint: there is 2, 3)" in refused(replace(settings, checkpoints="9"), InputError)
    assert "slots: is -1, expected 0 or more" in refused(replace(settings, slots=-1), InputError)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        (HEAD + SET.format("often") + ALL_PATTERNS, "stance.toml: no question set has a `screen` part"),
        (HEAD + SET.format("often") + SCREEN.format(1), "has no patterns"),
    ],
)
def test_a_stance_that_cannot_be_screened(settings: ValidateSettings, tmp_path: Path, toml: str, message: str) -> None:
    assert message in refused(replace(settings, stance=str(write_stance(tmp_path / "small", toml))), InputError)


def test_a_stance_without_the_two_groups(settings: ValidateSettings, tmp_path: Path) -> None:
    folder = write_stance(tmp_path / "small")
    (folder / "patterns.toml").write_text(PATTERNS.replace("pragmatic", "other"))
    message = refused(replace(settings, stance=str(folder)), InputError)
    assert "stance.toml: patterns: no groups performative and pragmatic" in message


def test_a_stance_without_probes_is_screened_without_them(
    settings: ValidateSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voiced(monkeypatch)
    folder = write_stance(tmp_path / "small", STANCE.replace(PROBES, ""))
    record, output = screened(replace(settings, stance=str(folder)))
    assert [one.probes for one in record.models] == [None, None, None]
    assert re.search(r"^. base .* unknown +unknown", output, re.MULTILINE)
    assert not (settings.run / "validation").exists()


def test_a_run_of_another_stance(settings: ValidateSettings) -> None:
    message = refused(replace(settings, stance="epistemic"), RefusedError)
    assert "was trained on the stance small, not on epistemic" in message


def test_a_checkpoint_that_was_trained_again(settings: ValidateSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    voiced(monkeypatch)
    source = (settings.run / "checkpoints").resolve()
    (settings.run / "checkpoints").unlink()
    for name, factor in (("checkpoint-002", 1.0), ("checkpoint-003", 1.0)):
        copied_model(source / name, settings.run / "checkpoints" / name, factor)
    screened(settings)
    (settings.run / "screening.json").unlink()
    again = settings.run / "checkpoints" / "checkpoint-003"
    again.rename(settings.run / "old")
    copied_model(source / "checkpoint-003", again, 1.5)
    message = refused(settings, RefusedError)
    assert "weights_digest: was" in message
    assert "--overwrite what is there" in message
    assert screened(replace(settings, overwrite=True))[0].models[2].asked == ANSWERS


def test_models_that_were_not_asked_alike(settings: ValidateSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    voiced(monkeypatch)
    screened(settings)
    (settings.run / "screening.json").unlink()
    folder = settings.run / "screen" / "checkpoint-003" / "once"
    for name in ("responses.jsonl", "responses.plan.json"):
        text = (folder / name).read_text()
        assert '"float32"' in text
        (folder / name).write_text(text.replace('"float32"', '"float16"'))
    message = refused(settings, RefusedError)
    assert "were not asked alike:\n  dtype: float32 and float16" in message


def test_the_command_line_explains_itself() -> None:
    done = stance(["validate", "--help"])
    assert done.returncode == 0
    assert "decides nothing" in " ".join(done.stdout.split())
