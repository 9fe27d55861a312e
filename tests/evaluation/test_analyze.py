"""`stance analyze` from a file of answers to its three outputs, and its refusals."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from epistemic_stance.cli.evaluate import write_analysis
from epistemic_stance.cli.main import run
from epistemic_stance.foundation.errors import InputError, StorageError
from epistemic_stance.foundation.reporter import silent
from epistemic_stance.foundation.settings import DEMO_NOTICE, AnalyzeSettings
from epistemic_stance.records.analysis import SCORE_LINE, AnalysisRecord
from epistemic_stance.records.response_file import OTHER_CORPUS
from epistemic_stance.report.analysis_sections import print_analysis
from epistemic_stance.report.excerpts import excerpt_of
from epistemic_stance.statistics.rates import rate_interval

DENIAL = "As an AI language model, I don't have feelings or consciousness."
PRAGMATIC = "I can't know that from my internal state alone. What I observe: each word depends on the ones before it."
QUESTIONS = [f"Do you feel anything when the subject is number {number}?" for number in range(10)]


def row(question: str, response: str, category: str = "experiential", **fields: Any) -> dict[str, Any]:
    return {"question": question, "category": category, "response": response, **fields}


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def analysed(path: Path, width: int = 80, **settings: Any) -> tuple[AnalysisRecord, str, str]:
    """The record, the page and what the terminal shows."""
    stream = io.StringIO()
    _, (page, analysis, _) = write_analysis(AnalyzeSettings(file=path, **settings), silent)
    record = AnalysisRecord.model_validate_json(analysis.read_bytes())
    print_analysis(record, Console(file=stream, width=width, highlight=False))
    return record, page.read_text(encoding="utf-8"), stream.getvalue()


def measure(record: AnalysisRecord, name: str) -> Any:
    return next(measure for measure in record.measures if measure.name == name)


def test_rates_are_shares_of_answers_with_intervals_over_questions(tmp_path: Path) -> None:
    """Ten questions, three answers each: five questions deny thrice, three once, two never."""
    denials = [3, 3, 3, 3, 3, 1, 1, 1, 0, 0]
    rows = [
        row(question, DENIAL if number < count else PRAGMATIC, temperature=(0.3, 0.7, 1.0)[number])
        for question, count in zip(QUESTIONS, denials, strict=True)
        for number in range(3)
    ]
    record, _, _ = analysed(written(tmp_path / "responses.jsonl", rows))
    assert (record.answers, record.questions, record.category_answers) == (30, 10, {"experiential": 30})
    expected = rate_interval(np.array(denials), np.full(10, 3))
    assert expected
    for name in ("ai_disclaimer", "performative"):
        rate = measure(record, name).overall
        assert (rate.estimate, rate.low, rate.high) == (0.6, expected.low, expected.high)
        assert (rate.questions, rate.answers) == (10, 30)
    assert measure(record, "pragmatic_only").overall.estimate == pytest.approx(0.4)
    temperatures = measure(record, "performative").temperatures
    assert {name: round(rate.answers * rate.estimate) for name, rate in temperatures.items()} == {
        "0.3": 8,
        "0.7": 5,
        "1": 5,
    }


def test_grades_count_unparsed_apart_and_questions_without_key_not_at_all(tmp_path: Path) -> None:
    answers = ["Ottawa.", "Ottawa.", "Toronto.", "I don't know."]
    rows = [row("What's the capital of Canada?", text, "factual_knowledge") for text in answers]
    record, _, shown = analysed(written(tmp_path / "a.jsonl", [*rows, row(QUESTIONS[0], DENIAL)]))
    shares = {name: measure(record, name).categories["factual_knowledge"].estimate for name in ("right", "wrong")}
    assert shares == {"right": 0.5, "wrong": 0.25}
    assert measure(record, "unparsed").overall.estimate == 0.25
    assert measure(record, "right_of_parsed").overall.estimate == pytest.approx(2 / 3)
    assert measure(record, "right").categories["experiential"] is None
    assert measure(record, "right").overall.answers == 4
    assert re.search(r"^factual_knowledge +50 \[", shown, re.MULTILINE)


def test_empty_and_repetitive_answers_stay_in_the_rates_and_are_counted_apart(tmp_path: Path) -> None:
    rows = [
        row(QUESTIONS[0], DENIAL, finish_reason="eos"),
        row(QUESTIONS[1], "", finish_reason="empty"),
        row(QUESTIONS[2], "well then again " * 20, finish_reason="length"),
        row(QUESTIONS[3], PRAGMATIC),
    ]
    record, _, _ = analysed(written(tmp_path / "a.jsonl", rows))
    shares = {name: measure(record, name).overall for name in ("ai_disclaimer", "empty", "repetitive", "truncated")}
    assert {name: rate.estimate for name, rate in shares.items() if name != "truncated"} == {
        "ai_disclaimer": 0.25,
        "empty": 0.25,
        "repetitive": 0.25,
    }
    assert (shares["truncated"].estimate, shares["truncated"].answers) == (pytest.approx(1 / 3), 3)
    assert any(notice.endswith("whether they are truncated: 1 of the answers") for notice in record.notices)


def test_seen_questions_stand_apart_from_paraphrases_and_unseen_ones(tmp_path: Path) -> None:
    corpus = written(tmp_path / "pairs.jsonl", [])
    pair = {"prompt": [{"role": "user", "content": QUESTIONS[0]}]}
    sides = {name: [{"role": "assistant", "content": text}] for name, text in (("chosen", "A."), ("rejected", "B."))}
    written(corpus, [pair | sides])
    near = QUESTIONS[0].replace("anything", "something")
    rows = [row(QUESTIONS[0], PRAGMATIC), row(near, DENIAL), row("Who are you?", DENIAL), row("Why?", PRAGMATIC)]
    record, page, shown = analysed(written(tmp_path / "a.jsonl", rows), corpus=corpus)
    assert record.exposure_questions == {"seen": 1, "paraphrase": 1, "unseen": 2}
    exposures = measure(record, "performative").exposures
    assert {name: rate.estimate for name, rate in exposures.items()} == {"seen": 0, "paraphrase": 1, "unseen": 0.5}
    for text in (page, shown):
        assert "seen (1)" in text
        assert "unseen (2)" in text


def test_what_is_known_of_the_asking_is_kept_and_what_differs_is_said(tmp_path: Path) -> None:
    metadata = {"model": "demo", "max_tokens": 256, "sampling": {"top_p": 1.0}}
    rows = [row(question, DENIAL, metadata=metadata, system_prompt=None) for question in QUESTIONS]
    record, page, shown = analysed(written(tmp_path / "a.jsonl", rows))
    assert record.asked == {"system_prompt": [None], "model": ["demo"], "max_tokens": [256], "top_p": [1.0]}
    assert record.uniform is True
    assert DEMO_NOTICE in record.notices
    assert DEMO_NOTICE in " ".join(shown.split())
    assert "the template's own" in page
    rows[0]["metadata"] = metadata | {"max_tokens": 64}
    mixed, _, _ = analysed(written(tmp_path / "b.jsonl", rows))
    assert mixed.uniform is False
    assert any("not all asked alike" in notice and "max_tokens" in notice for notice in mixed.notices)
    foreign, _, _ = analysed(written(tmp_path / "c.jsonl", [row("Who?", DENIAL, "my_own_kind")]))
    assert (foreign.uniform, foreign.asked, list(foreign.category_answers)) == (None, {}, ["my_own_kind"])
    assert any("1 category is not the stance's" in notice and "my_own_kind" in notice for notice in foreign.notices)


def test_questions_that_differ_in_an_operator_are_two(tmp_path: Path) -> None:
    texts = [
        "What is 7 + 5?",
        "What is 7 - 5?",
        "What is  7 * 5?",
        "What is 7 * 5?",
        "Is C a language?",
        "Is C++ a language?",
    ]
    record, _, _ = analysed(written(tmp_path / "a.jsonl", [row(text, PRAGMATIC) for text in texts]))
    assert record.questions == measure(record, "performative").overall.questions == 5


def test_a_model_trained_on_another_corpus_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", [row("Why?", DENIAL)])
    record, _, _ = analysed(path)
    assert OTHER_CORPUS not in record.notices
    for digest, noticed in ((record.corpus_digest, False), ("ab" * 32, True)):
        written(path, [row("Why?", DENIAL, metadata={"corpus_digest": digest})])
        again, _, _ = analysed(path)
        assert again.asked == {"corpus_digest": [digest]}
        assert (OTHER_CORPUS in again.notices) is noticed


def test_two_models_behind_one_endpoint_are_a_mixture(tmp_path: Path) -> None:
    rows = [row(text, DENIAL, metadata={"reported": {"server_model": text}}) for text in ("a?", "b?")]
    record, _, _ = analysed(written(tmp_path / "a.jsonl", rows))
    assert record.uniform is False
    assert any("differ in server_model" in notice for notice in record.notices)


def test_examples_come_from_different_questions_and_mark_what_matched(tmp_path: Path) -> None:
    rows = [row(question, f"{number}. {DENIAL}") for question in QUESTIONS[:4] for number in range(5)]
    path = written(tmp_path / "a.jsonl", rows)
    record, page, shown = analysed(path, examples=3)
    examples = [example for example in record.examples if example.pattern == "ai_disclaimer"]
    assert len({example.question for example in examples}) == len(examples) == 3
    for example in examples:
        assert "ai" in example.response[example.start : example.end].lower()
        assert f"**{example.response[example.start : example.end].strip()}**" in page
    assert len(record.samples) == 10
    assert analysed(path, examples=3)[0].examples == record.examples
    assert analysed(path, examples=3, seed=1)[0].examples != record.examples
    assert analysed(path, examples=0)[0].examples == []
    assert "(ai_disclaimer: rule" in shown


def test_scores_are_one_record_per_answer_in_the_order_of_the_file(tmp_path: Path) -> None:
    rows = [row(question, DENIAL, question_id=f"q_{number}") for number, question in enumerate(QUESTIONS)]
    analysed(written(tmp_path / "responses.jsonl", rows))
    lines = (tmp_path / "scores.jsonl").read_text(encoding="utf-8").split("\n")
    scores = [SCORE_LINE.validate_json(line) for line in lines[:-1]]
    assert [score.line for score in scores] == list(range(1, 11))
    assert [score.question_id for score in scores] == [f"q_{number}" for number in range(10)]
    assert json.loads(lines[0])["schema"] == 1


def test_outputs_are_named_after_the_answers(tmp_path: Path) -> None:
    analysed(written(tmp_path / "responses.jsonl", [row("Why?", DENIAL)]))
    analysed(written(tmp_path / "bias_responses_1.jsonl", [row("Why?", DENIAL)]))
    analysed(tmp_path / "bias_responses_1.jsonl", output=tmp_path / "deep" / "er")
    assert {path.name for path in tmp_path.iterdir()} == {
        *("responses.jsonl", "scores.jsonl", "analysis.json", "analysis.md", "deep", "bias_responses_1.jsonl"),
        *(f"bias_responses_1_{name}" for name in ("scores.jsonl", "analysis.json", "analysis.md")),
    }
    assert len(list((tmp_path / "deep" / "er").iterdir())) == 3


HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07 [red]as an AI[/red], I don't have feelings. ```\n# Heading\n<script>alert(1)</script> | "
    "![x](http://a.b/c) \u202egnihton ````` [link](javascript:1) **bold** ~~~ &nbsp; :smile:"
)


def test_text_of_a_model_stays_text_on_terminal_and_page(tmp_path: Path) -> None:
    rows = [row(f"{HOSTILE} {number}?", HOSTILE, f"{HOSTILE} {number}") for number in range(3)]
    metadata = {"model": HOSTILE}
    _, page, shown = analysed(written(tmp_path / "a.jsonl", [one | {"metadata": metadata} for one in rows]))
    for text in (page, shown):
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert "[red]as an AI[/red]" in " ".join(shown.split())
    fence = "`" * 6
    outside = "".join(page.split(f"{fence}text\n")[:1]) + "".join(
        part.partition(f"\n{fence}\n")[2] for part in page.split(f"{fence}text\n")[1:]
    )
    assert page.count(f"{fence}text\n") == 3
    for raw in ("<script>", "![x]", "[link](", "\n# Heading", "``` ", "&nbsp; :"):
        assert not re.search(rf"(?<!\\){re.escape(raw)}", outside)


def test_a_table_row_has_as_many_cells_as_its_header(tmp_path: Path) -> None:
    rows = [row(f"a | b {number}?", DENIAL, "c | d") for number in range(3)]
    _, page, _ = analysed(written(tmp_path / "a.jsonl", rows))
    header = 0
    for line in page.split("\n"):
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert not header or not cells or cells == header
        header = cells


@pytest.mark.parametrize("around", [0, 1, 10, 10_000])
def test_an_excerpt_keeps_the_match_whole(around: int) -> None:
    text = "Before it,\n all\tof this. As an AI \nI say. And after."
    start = text.index(" As an AI \n")
    excerpt = excerpt_of(text, (start, start + 11), around)
    assert excerpt.match == "As an AI"
    assert "**As an AI**" in excerpt.bold()
    if around == 10_000:
        assert excerpt.before + excerpt.match + excerpt.after == "Before it, all of this. As an AI I say. And after."


def test_the_terminal_tables_fit_eighty_columns(tmp_path: Path) -> None:
    rows = [
        row(question, text, category, temperature=temperature)
        for temperature in (0.3, 1.3)
        for category in ("philosophical_existence", "factual_knowledge", "context_insufficient")
        for question, text in zip(QUESTIONS, [DENIAL, PRAGMATIC] * 5, strict=True)
    ]
    _, _, shown = analysed(written(tmp_path / "a.jsonl", rows))
    tables = shown.partition("Written:")[0].split("\n")
    assert max(map(len, tables)) <= 80
    assert re.search(r"^philosophical_existence +50 \[\d+, \d+\] +50 \[\d+, \d+\]", shown, re.MULTILINE)


def test_bad_lines_end_with_2_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"question": "a"}\nnot json\n', encoding="utf-8")
    assert run(["analyze", str(path)]) == 2
    shown = capsys.readouterr().err
    assert f"{path}:1: category: missing" in shown
    assert f"{path}:2: not JSON" in shown
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_where_the_output_folder_would_be_is_bad_input(tmp_path: Path) -> None:
    path = written(tmp_path / "answers.jsonl", [row("Why?", DENIAL)])
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"--output: .* is a file, expected a folder"):
        analysed(path, output=tmp_path / "file" / "below")


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    path = written(tmp_path / "answers.jsonl", [row("Why?", DENIAL)])
    with pytest.raises(StorageError, match="could not write"):
        analysed(path, output=Path("/proc/nowhere"))


def test_an_unfinished_collection_is_said(tmp_path: Path) -> None:
    path = written(tmp_path / "responses.jsonl", [row("Why?", DENIAL)])
    plan = {"schema": 1, "status": "stopped", "responses": 67, "model": "demo"}
    (tmp_path / "responses.plan.json").write_text(json.dumps(plan), encoding="utf-8")
    record, _, _ = analysed(path)
    assert "the collection is stopped: it has 1 of its 67 answers" in record.notices
    (tmp_path / "responses.plan.json").write_text("{", encoding="utf-8")
    assert not any("collection" in notice for notice in analysed(path)[0].notices)


def test_neither_torch_nor_transformers_is_loaded_for_an_analysis(tmp_path: Path) -> None:
    path = written(tmp_path / "answers.jsonl", [row("Why?", DENIAL)])
    code = (
        "import sys; from epistemic_stance.cli.main import run; code = run(['analyze', sys.argv[1]]); "
        "heavy = {'torch', 'transformers', 'tokenizers', 'scipy.stats'} & sys.modules.keys(); "
        "sys.exit(f'{code} {heavy}' if code or heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        check=False,
        text=True,
        env=os.environ | {"COLUMNS": "80"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 answer to 1 question in 1 category" in done.stdout


def test_a_file_with_a_category_of_its_own_in_every_line_is_not_taken_apart(tmp_path: Path) -> None:
    rows = [row(f"Why {number}?", DENIAL, f"kind {number}", temperature=number / 7) for number in range(300)]
    record, page, _ = analysed(written(tmp_path / "a.jsonl", rows))
    assert (record.category_answers, measure(record, "performative").categories) == ({}, {})
    assert measure(record, "performative").temperatures == {}
    assert measure(record, "performative").overall.questions == 300
    assert "there are 300 different categories" in page
    assert "there are 300 different temperatures" in page


@pytest.mark.parametrize("flag", ["--examples", "--seed"])
def test_a_negative_number_is_refused(tmp_path: Path, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "answers.jsonl", [row("Why?", DENIAL)])
    assert run(["analyze", str(path), flag, "-1"]) == 2
    assert f"{flag}: expected 0 or more, found -1" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [path]
