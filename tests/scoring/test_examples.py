"""Examples of patterns: each fault that `stance check` has to report, and that the shipped ones keep their promise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT

from epistemic_stance.cli.check import run_check
from epistemic_stance.foundation.errors import InputError
from epistemic_stance.foundation.settings import CheckSettings
from epistemic_stance.scoring.check_patterns import check_examples
from epistemic_stance.scoring.patterns import load_patterns
from epistemic_stance.stance.findings import Finding
from epistemic_stance.stance.load import load_stance, shipped_stances

PAIR = {
    "id": "sky_01",
    "category": "facts",
    "question": "Why is the sky blue?",
    "bad_response": "Hello there, dear friend, and what a fine question to ask on such a day.",
    "good_response": "Air scatters short waves of light much more strongly than long ones.",
}
QUESTIONS = {
    "name": "probe",
    "categories": {"facts": "plain facts", "tides": "the sea"},
    "questions": [{"id": "f1", "category": "facts", "text": "How far is the moon?"}],
}
STANCE = """\
name = "plain"
corpus = {path = "pairs.json"}
question_sets = [{name = "probe", path = "questions.json"}]
"""
GREETING = r"""
[[patterns]]
name = "greeting"
group = "manners"
meaning = "Says hello."
hits = ["Hello there.", "Good morning to you."]
misses = ["The morning was good."]
rules = [{id = "hello", match = '\bhello\b'}, {id = "good_time", match = '\bgood (?:morning|day)\b'}]
"""
MORNING = r"""
[[patterns]]
name = "morning"
group = "manners"
meaning = "Knows the time of day."
hits = ["Good morning."]
misses = ["Good evening."]
rules = [{id = "morning", match = 'good morning'}]
"""


def stance_with(folder: Path, patterns: str) -> Path:
    (folder / "stance.toml").write_text(STANCE + 'patterns = {paths = ["patterns.toml"]}\n', encoding="utf-8")
    (folder / "patterns.toml").write_text(patterns, encoding="utf-8")
    (folder / "pairs.json").write_text(json.dumps({"training_pairs": [PAIR]}), encoding="utf-8")
    (folder / "questions.json").write_text(json.dumps(QUESTIONS), encoding="utf-8")
    return folder


def findings_of(folder: Path, patterns: str) -> list[Finding]:
    return check_examples(load_stance(str(stance_with(folder, patterns))))


def one_finding(folder: Path, patterns: str) -> tuple[str, str, str, str]:
    [finding] = findings_of(folder, patterns)
    assert finding.problem.where == str(folder / "patterns.toml")
    return finding.severity, finding.problem.field, finding.problem.what, finding.problem.hint


def test_examples_that_hold_have_no_finding(tmp_path: Path) -> None:
    assert findings_of(tmp_path, GREETING) == []


def test_a_hit_that_no_rule_finds(tmp_path: Path) -> None:
    severity, field, what, _ = one_finding(tmp_path, GREETING.replace('to you."', 'to you.", "Welcome!"'))
    assert (severity, field) == ("error", "patterns[0].hits[2]")
    assert what == 'does not show greeting: "Welcome!"'


def test_a_miss_that_a_rule_finds_names_rule_and_words(tmp_path: Path) -> None:
    severity, field, what, _ = one_finding(tmp_path, GREETING.replace('was good."', 'was good.", "Say HELLO, world."'))
    assert (severity, field) == ("error", "patterns[0].misses[1]")
    assert what == 'shows greeting by rule hello, in "HELLO": "Say HELLO, world."'


def test_a_rule_that_no_hit_needs(tmp_path: Path) -> None:
    severity, field, what, _ = one_finding(tmp_path, GREETING.replace(', "Good morning to you."', ""))
    assert (severity, field) == ("warning", "patterns[0].rules[1]")
    assert "good_time" in what


def test_a_second_hit_of_a_rule_is_not_asked_for(tmp_path: Path) -> None:
    assert findings_of(tmp_path, GREETING.replace('"Hello there."', '"Hello, good day."')) == []


def test_unknown_category_of_a_pattern(tmp_path: Path) -> None:
    limited = GREETING.replace('hits = ["', 'categories = ["tides", "stars"]\nhits = ["')
    unknown = next(finding for finding in findings_of(tmp_path, limited) if "unknown" in finding.problem.what)
    assert (unknown.severity, unknown.problem.field) == ("error", "patterns[0].categories[1]")
    assert unknown.problem.what == 'unknown category "stars"'
    assert unknown.problem.hint == "the question sets of the stance have facts, tides"


def test_a_hit_outside_the_categories_of_its_pattern(tmp_path: Path) -> None:
    limited = GREETING.replace('hits = ["', 'categories = ["tides"]\nhits = ["')
    found = [(finding.problem.field, finding.problem.hint) for finding in findings_of(tmp_path, limited)]
    hint = "only answers of tides can show it; give the example its category"
    assert found[:2] == [("patterns[0].hits[0]", hint), ("patterns[0].hits[1]", hint)]
    placed = limited.replace(
        '"Hello there.", "Good morning to you."', '{text = "Hello, good day.", category = "tides"}'
    )
    assert findings_of(tmp_path, placed) == []


def test_unknown_category_of_an_example(tmp_path: Path) -> None:
    placed = GREETING.replace('"Hello there."', '{text = "Hello there.", category = "stars"}')
    assert one_finding(tmp_path, placed)[:3] == (
        "error",
        "patterns[0].hits[0].category",
        'unknown category "stars"',
    )


def test_unknown_pattern_that_would_rule_this_one_out(tmp_path: Path) -> None:
    severity, field, what, hint = one_finding(
        tmp_path, GREETING.replace('hits = ["', 'unless_pattern = ["farewell"]\nhits = ["')
    )
    assert (severity, field) == ("warning", "patterns[0].unless_pattern[0]")
    assert what == 'no pattern "farewell"'
    assert hint == "known are greeting"


def test_a_hit_ruled_out_by_another_pattern_says_by_which(tmp_path: Path) -> None:
    greeting = GREETING.replace('hits = ["', 'unless_pattern = ["morning"]\nhits = ["')
    found = findings_of(tmp_path, greeting + MORNING)
    assert [finding.problem.field for finding in found] == ["patterns[0].hits[1]", "patterns[0].rules[1]"]
    assert found[0].problem.hint == "it shows morning, and then not this; see unless_pattern"


def test_the_question_of_an_example_reaches_the_rules(tmp_path: Path) -> None:
    asked = GREETING.replace(
        "{id = \"hello\", match = '\\bhello\\b'}", "{id = \"hello\", match = 'hello', question = 'who'}"
    )
    assert [finding.problem.field for finding in findings_of(tmp_path, asked)] == [
        "patterns[0].hits[0]",
        "patterns[0].rules[0]",
    ]
    placed = asked.replace('"Hello there."', '{text = "Hello there.", question = "Who is it?"}')
    assert findings_of(tmp_path, placed) == []


# --- stance check ------------------------------------------------------------------------------------------


def test_check_prints_findings_and_ends_in_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = stance_with(tmp_path, GREETING.replace('"Hello there."', '"Welcome!"'))
    with pytest.raises(InputError, match="1 error, shown above") as caught:
        run_check(CheckSettings(stance=str(folder)))
    assert caught.value.exit_code == 2
    first, second, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith(f"error: {folder}/patterns.toml: patterns[0].hits[0]: does not show greeting")
    assert second.startswith(f"warning: {folder}/patterns.toml: patterns[0].rules[0]: no hit of greeting")
    assert any("1 of 2 rules, held to 3 examples" in line for line in rest)


def test_a_stance_without_patterns_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = stance_with(tmp_path, GREETING)
    (folder / "stance.toml").write_text(STANCE, encoding="utf-8")
    run_check(CheckSettings(stance=str(folder)))
    assert "patterns" not in capsys.readouterr().out


def test_a_bad_expression_is_refused_with_file_field_and_hint(tmp_path: Path) -> None:
    folder = stance_with(tmp_path, GREETING.replace(r"'\bhello\b'", r"'(?=hello)'"))
    command = [sys.executable, "-m", "epistemic_stance.cli", "check", "--stance", str(folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert f"{folder}/patterns.toml: patterns[0].rules[0].match (hello): no regular expression" in done.stderr
    assert "hint: RE2 has no lookaround" in done.stderr


# --- the shipped stances -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", shipped_stances())
def test_shipped_patterns_keep_their_examples(name: str) -> None:
    assert [str(finding.problem) for finding in check_examples(load_stance(name))] == []


@pytest.mark.parametrize("name", shipped_stances())
def test_shipped_patterns_have_eight_examples_of_each_kind(name: str) -> None:
    few = [
        pattern.name
        for pattern in load_patterns(load_stance(name)).patterns.values()
        if min(len(pattern.hits), len(pattern.misses)) < 8
    ]
    assert few == []
