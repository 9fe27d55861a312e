"""Labelling on a real terminal: keys, what is shown and what is not, and that nothing saved is ever lost."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from label_run import (
    CLEAR,
    LEAST_NUMBER,
    PATTERN_NAMES,
    answer_row,
    child_command,
    lines_of,
    terminal,
    write_answers,
    write_run,
    write_stance,
)
from rich.console import Console

from epistemic_stance.foundation.errors import InputError
from epistemic_stance.foundation.settings import LabelSettings
from epistemic_stance.labelling.run import run_label
from epistemic_stance.labelling.session import KEY, screens_of, toggled
from epistemic_stance.labelling.view import letters_of
from epistemic_stance.records.labels import DrawnAnswer
from epistemic_stance.scoring.patterns import load_patterns
from epistemic_stance.stance.load import load_stance

GUIDE_KEY = " "
ENTER, BACK = "\r", "\x7f"


@pytest.fixture
def stance(tmp_path: Path) -> Path:
    return write_stance(tmp_path / "stance")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", answers=20)


def drawn(number: int, response: str) -> DrawnAnswer:
    return DrawnAnswer(
        id=f"{number:04d}",
        arm="base",
        weights_digest=None,
        question_set="talk",
        question_id=None,
        category="noise",
        question="What is heard?",
        temperature=None,
        iteration=None,
        response=response,
        stratum="none",
        weight=1.0,
    )


def one_answer(tmp_path: Path, text: str) -> Path:
    return write_answers(tmp_path / "answers.jsonl", [answer_row(1, text)])


# --- keys --------------------------------------------------------------------------------------------------


def test_each_shipped_pattern_has_a_letter_of_its_own_name() -> None:
    letters = letters_of(list(load_patterns(load_stance("epistemic")).patterns))
    assert len(set(letters.values())) == len(letters)
    assert all(letter in name for name, letter in letters.items())
    assert "q" not in letters.values()
    assert (letters["ai_disclaimer"], letters["refusal"], letters["performative_denial"]) == ("a", "r", "p")


def test_letters_are_the_same_whatever_comes_later_and_do_run_out() -> None:
    names = [f"qq{number}" for number in range(25)]
    assert list(letters_of(names[:5]).values()) == list(letters_of(names).values())[:5]
    with pytest.raises(InputError, match="26 patterns are more than the 25 letters"):
        letters_of([*names, "one_more"])


def test_a_letter_turns_a_mark_on_and_off_and_a_capital_makes_it_unsure() -> None:
    on = toggled({}, "p", sure=True)
    assert on == {"p": True}
    assert toggled(on, "p", sure=True) == {}
    assert toggled(on, "p", sure=False) == {"p": False}
    assert toggled({"p": False}, "p", sure=True) == {"p": True}
    assert toggled({"p": False}, "p", sure=False) == {}


def test_arrow_keys_are_one_key_each() -> None:
    assert KEY.findall("\x1b[Ah\x1bOPh\x1b[1;5C\r") == ["\x1b[A", "h", "\x1bOP", "h", "\x1b[1;5C", "\r"]


def test_two_annotators_see_the_same_texts_in_different_orders() -> None:
    sample = [drawn(n, f"Quiet {n // 2}.") for n in range(40)]
    orders = [[screen.ids for screen in screens_of(sample, {}, name)] for name in ("first", "second", "first")]
    assert [{frozenset(ids) for ids in order} for order in orders[:2]] == [
        {frozenset({f"{2 * n:04d}", f"{2 * n + 1:04d}"}) for n in range(20)}
    ] * 2
    assert orders[0] != orders[1]
    assert orders[0] == orders[2]


# --- a session ---------------------------------------------------------------------------------------------


def test_a_whole_session(run: Path, stance: Path) -> None:
    """Guide, labels, unsure, back, stop; the second call goes on where the first stopped."""
    labels = run / "labels" / "first.jsonl"
    with terminal(run=run, stance=stance, number=LEAST_NUMBER) as shown:
        guide = shown.wait()
        assert "Says that it hums." in guide
        first = shown.press(GUIDE_KEY)
        assert "Answer 1 of 24, 0 labelled" in first
        assert "[ ] humming" in first
        assert "guessing" not in first  # answers of this category cannot show it
        assert "[x] humming" in shown.press("h")
        assert "[?] half_sorry" in shown.press("S")
        second = shown.press(ENTER)
        assert "Answer 2 of 24, 1 labelled" in second
        assert len(lines_of(labels)) == 1  # on the disk before the next answer is shown
        shown.press(ENTER)
        again = shown.press(BACK, BACK)
        assert "Answer 1 of 24, 2 labelled; this one is" in again
        assert "[x] humming" in again
        assert "[?] half_sorry" in again
        assert "Answer 2 of 24" in shown.press("h", ENTER)
        assert "Says that it hums." in shown.press("?")
        assert "Answer 2 of 24" in shown.press(GUIDE_KEY)
        ended = shown.press("q")
        assert shown.code == 0
    assert "2 of 24 answers are labelled, and saved in" in ended
    lines = lines_of(labels)
    assert [(line["labels"], line["unsure"]) for line in lines] == [
        (["humming"], ["half_sorry"]),
        ([], []),
        ([], ["half_sorry"]),
    ]
    assert lines[0]["id"] == lines[2]["id"] != lines[1]["id"]
    assert lines[0]["offered"] == ["humming", "half_sorry"]
    with terminal(run=run, stance=stance) as shown:
        assert "Answer 3 of 24, 2 labelled" in shown.wait()


def test_the_last_answer_ends_the_session_with_the_report(run: Path, stance: Path) -> None:
    with terminal(run=run, stance=stance, number=LEAST_NUMBER, arms="base") as shown:
        shown.press(GUIDE_KEY, *[ENTER] * LEAST_NUMBER)
        assert shown.ended
        assert shown.code == 0
    assert f"labelled   first {LEAST_NUMBER}" in shown.screen
    assert "The rules against the labels, base" in shown.screen
    with terminal(run=run, stance=stance, annotator="second") as shown:
        assert "Says that it hums." in shown.wait()


def test_neither_arm_nor_temperature_nor_finds_are_shown(tmp_path: Path, stance: Path) -> None:
    run = tmp_path / "run"
    for arm in ("base", "checkpoint-008"):
        rows = [answer_row(n, f"Room {arm[:1]}{n}. I hum.", temperature=0.731) for n in range(LEAST_NUMBER)]
        write_answers(run / "validation" / arm / "talk" / "responses.jsonl", rows)
    with terminal(run=run, stance=stance, number=LEAST_NUMBER) as shown:
        shown.press(GUIDE_KEY, ENTER, ENTER, ENTER, "q")
    screens = shown.raw.split(CLEAR)[2:6]
    assert len(screens) == 4
    for screen in screens:
        assert not re.search(r"base|checkpoint|0\.73|\[x\]|\[\?\]|0\.7", screen)


def test_an_answer_cannot_command_the_terminal(tmp_path: Path, stance: Path) -> None:
    text = "\x1b[2J\x1b]0;title\x07 backwards \u202e [bold]hum[/bold] :smile:"
    with terminal(run=one_answer(tmp_path, text), stance=stance) as shown:
        shown.press(GUIDE_KEY)
    screen = shown.raw.rsplit(CLEAR, 1)[-1]
    assert r"\x1b[2J\x1b]0;title\x07 backwards \u202e [bold]hum[/bold] :smile:" in screen
    assert "\x1b]" not in screen
    assert "\u202e" not in screen


def test_a_long_answer_is_shown_page_by_page_on_a_small_terminal(tmp_path: Path, stance: Path) -> None:
    text = "\n".join(f"line number {n} of the answer" for n in range(40))
    with terminal(
        rows=20, columns=60, run=one_answer(tmp_path, text), stance=stance, environment={"NO_COLOR": "1"}
    ) as shown:
        pages = [shown.press(GUIDE_KEY)]
        assert "Space: next" in pages[0]
        while "Space: first" not in pages[-1]:
            pages.append(shown.press(" "))
        assert shown.press(" ") == pages[0]
        assert "[x] humming" in shown.press("h")
    seen = [int(number) for page in pages for number in re.findall(r"line number (\d+)", page)]
    assert seen == list(range(40))
    assert all(len(page.split("\n")) <= 20 for page in pages)
    assert all(len(line) <= 60 for page in pages for line in page.split("\n"))
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", shown.raw)


def test_a_text_that_was_drawn_twice_is_labelled_once(tmp_path: Path, stance: Path) -> None:
    rows = [answer_row(0, "I hum.", temperature=heat) for heat in (0.1, 0.2)] + [answer_row(1, "I hum.")]
    with terminal(run=write_answers(tmp_path / "answers.jsonl", rows), stance=stance) as shown:
        assert "Answer 1 of 2" in shown.press(GUIDE_KEY)
        shown.press("h", ENTER, "h", ENTER)
        assert shown.code == 0
    assert sorted(line["id"] for line in lines_of(tmp_path / "answers_labels" / "first.jsonl")) == [
        "0001",
        "0002",
        "0003",
    ]


# --- ends --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "code"), [("q", 0), ("\x04", 0), ("\x03", 130)])
def test_every_way_to_stop_keeps_what_was_labelled(run: Path, stance: Path, key: str, code: int) -> None:
    with terminal(run=run, stance=stance, number=LEAST_NUMBER) as shown:
        shown.press(GUIDE_KEY, "h", ENTER, "s", key)
        assert shown.ended
        assert shown.code == code
    assert "1 of 24 answers are labelled, and saved in" in shown.screen
    assert "go on with: " in shown.screen
    assert [line["labels"] for line in lines_of(run / "labels" / "first.jsonl")] == [["humming"]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_stop_with_their_code_and_a_sane_terminal(run: Path, stance: Path, number: signal.Signals) -> None:
    with terminal(run=run, stance=stance, number=LEAST_NUMBER) as shown:
        shown.press(GUIDE_KEY, ENTER)
        shown.signal(number)
        assert shown.code == 128 + number
    assert len(lines_of(run / "labels" / "first.jsonl")) == 1


def test_kill_9_loses_the_answer_on_the_screen_and_no_other(run: Path, stance: Path) -> None:
    with terminal(run=run, stance=stance, number=LEAST_NUMBER) as shown:
        shown.press(GUIDE_KEY, "h", ENTER, ENTER, "h")
        os.kill(shown.pid, signal.SIGKILL)
    labels = run / "labels" / "first.jsonl"
    assert [line["labels"] for line in lines_of(labels)] == [["humming"], []]
    for torn, kept in ((b'{"schema": 1, "id": "00', 2), (json.dumps(lines_of(labels)[0]).encode(), 3)):
        whole = labels.read_bytes()
        labels.write_bytes(whole + torn)
        with terminal(run=run, stance=stance) as shown:
            assert "Answer 3 of 24, 2 labelled" in shown.wait()
            shown.press("q")
        assert len(lines_of(labels)) == kept


def test_one_annotator_labels_in_one_terminal_at_a_time(run: Path, stance: Path) -> None:
    with terminal(run=run, stance=stance, number=LEAST_NUMBER) as shown:
        shown.press(GUIDE_KEY)
        with terminal(run=run, stance=stance) as other:
            assert "is in use by pid" in other.wait()
            assert other.code == 3
        with terminal(run=run, stance=stance, annotator="second") as third:
            assert "Answer 1 of 24" in third.press(GUIDE_KEY)


def test_who_has_saved_nothing_yet_keeps_the_sample_too(run: Path, stance: Path) -> None:
    with terminal(run=run, stance=stance, number=LEAST_NUMBER) as shown:
        shown.press(GUIDE_KEY)
        with terminal(run=run, stance=stance, redraw=True, number=15, annotator="second") as other:
            assert "is in use by pid" in other.wait()
            assert other.code == 3
        assert "Answer 2 of 24" in shown.press(ENTER)


def test_a_sample_that_was_drawn_anew_takes_no_more_labels_of_the_old_one(run: Path, stance: Path) -> None:
    with terminal(run=run, stance=stance, number=LEAST_NUMBER) as shown:
        shown.press(GUIDE_KEY, ENTER)
        with terminal(run=run, stance=stance, redraw=True, number=15, annotator="second") as other:
            assert "is in use by pid" in other.wait()
            assert "first is at work on the sample: draw anew when they have stopped" in " ".join(other.screen.split())
            assert other.code == 3
        (run / "labels").rename(run / "moved")
        shown.press(ENTER)
        assert shown.code == 5
    assert "was deleted or replaced while it was in use" in shown.screen


def test_without_a_terminal_it_refuses_and_says_what_else_there_is(run: Path, stance: Path) -> None:
    command = child_command(run=run, stance=stance, number=LEAST_NUMBER)
    done = subprocess.run(command, input="h\r", capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "labelling needs a keyboard and a screen" in done.stderr
    assert "--report prints what is labelled" in done.stderr
    assert not (run / "labels").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"annotator": "judge-me"}, "--annotator: expected a name"),
        ({"annotator": "../x"}, "--annotator: expected a name"),
        ({"annotator": "sample"}, "--annotator: expected a name"),
        ({"report": True, "redraw": True}, "--report: --report only reads"),
        ({"judge_model": "x"}, "--judge-model: a judge model needs the address"),
        ({"report": True}, "nothing was drawn yet"),
    ],
)
def test_wrong_settings_are_refused(run: Path, stance: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_label(LabelSettings(run=run, stance=str(stance), **settings), Console(file=io.StringIO()))


def test_the_names_of_the_test_stance() -> None:
    assert letters_of(PATTERN_NAMES) == {"humming": "h", "half_sorry": "s", "guessing": "g"}
