"""`stance report`: what the page and its Markdown twin say of a run, and that nothing in them can act."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from report_run import CHOSEN, HOSTILE, OWNED, RAISED, choose, write_run
from select_run import CHOSEN as GOOD
from typing_extensions import override

from epistemic_stance.cli.evaluate import write_analysis
from epistemic_stance.foundation.errors import InputError
from epistemic_stance.foundation.reporter import Event, Finished, silent
from epistemic_stance.foundation.settings import DEMO_NOTICE, AnalyzeSettings, ReportSettings
from epistemic_stance.records.run_folder import RESPONSES_FILE
from epistemic_stance.report import run as reporting
from epistemic_stance.report.charts import Range, Series, before_and_after, over_epochs

SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)
STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("report"))
    report(run)
    return run


@pytest.fixture
def run(built: Path, tmp_path: Path) -> Path:
    """One to change."""
    return shutil.copytree(built, tmp_path / "run")


@pytest.fixture(scope="module")
def page(built: Path) -> str:
    return (built / "report.html").read_text(encoding="utf-8")


def report(run: Path, **settings: Any) -> str:
    events: list[Event] = []
    reporting.run(ReportSettings(run, **settings), events.append)
    return "\n".join(line for event in events if isinstance(event, Finished) for line in event.lines)


def text_of(run: Path) -> str:
    return (run / "report.html").read_text(encoding="utf-8")


class Elements(HTMLParser):
    """Tags with their attributes, and what stands as text inside them, as a browser would find them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    @override
    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def named(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in names]


def data_of(page: str) -> dict[str, Any]:
    found = DATA.search(page)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


# --- what it says ------------------------------------------------------------------------------------------


def test_the_choice_and_every_verdict_stand_in_both_files(built: Path, page: str) -> None:
    markdown = (built / "report.md").read_text(encoding="utf-8")
    for text in (page, markdown):
        assert f"{CHOSEN} is chosen" in text
        for said in (
            "\u2713 met",
            "\u2713 clear",
            "Pragmatic about itself",
            "Factual accuracy",
            "Raised: Factual accuracy",
        ):
            assert said in text, said
        assert "take an earlier checkpoint" in text
        assert "Nobody labelled" in text


def test_sections_come_in_reading_order(page: str) -> None:
    order = [
        "Criteria and red flags",
        "The choice",
        "Curves",
        "Rates corrected by labels",
        "Answers",
        "Where this comes from",
        "What was not shown",
        "Limits",
    ]
    assert re.findall(r"<h2 [^>]*>([^<]*)</h2>", page) == order


def test_memory_and_learning_are_set_side_by_side(built: Path, page: str) -> None:
    markdown = (built / "report.md").read_text(encoding="utf-8")
    for text in (page, markdown):
        assert "Learning or memory" in text
        assert "no trained question was answered on both sides" in text, "as in this run, which did not ask them"


def test_headings_never_skip_a_level(page: str) -> None:
    levels = [int(tag[1]) for tag, _ in Elements(page).tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_a_run_in_which_nothing_qualifies_says_so(run: Path) -> None:
    shutil.rmtree(run / "validation" / CHOSEN)
    choose(run)
    report(run)
    assert "No checkpoint qualifies" in text_of(run)
    assert f"Of {RAISED}, which has the highest gain. It is not chosen." in text_of(run)


def test_without_a_choice_curves_and_answers_are_shown_and_the_next_command_is_named(run: Path) -> None:
    (run / "selection.json").unlink()
    said = report(run)
    assert "No choice was made: there is no selection.json" in said
    assert "stance select" in text_of(run)
    assert data_of(text_of(run))["names"] == ["base", CHOSEN]


def test_a_run_that_was_only_trained(run: Path) -> None:
    shutil.rmtree(run / "validation")
    (run / "selection.json").unlink()
    report(run)
    assert "No answers of both models." in text_of(run)
    assert "<figcaption>Loss</figcaption>" in text_of(run)
    assert DATA.search(text_of(run))[1] == "null"  # type: ignore[index]


def test_answers_that_changed_after_the_choice_are_told(run: Path) -> None:
    with (run / "validation" / CHOSEN / "self" / RESPONSES_FILE).open("a") as stream:
        stream.write(json.dumps({"question": "Why?", "category": "inner", "response": "Because."}) + "\n")
    report(run)
    words = text_of(run)
    assert f"the choice was made by other answers than those here ({CHOSEN})" in words
    assert f"{CHOSEN}/self: analysis.json is of other answers" in words
    assert f"{CHOSEN}/self: comparison.json is of other answers" in words


def test_the_demo_is_called_one(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "base_model": "demo"}))
    report(run)
    for file in ("report.html", "report.md"):
        assert DEMO_NOTICE[1:] in (run / file).read_text(encoding="utf-8")


def test_rates_that_labels_correct_stand_beside_those_found(run: Path) -> None:
    given = {"labelled": 90, "positives": 31, "refused": None, "estimate": 0.345, "low": 0.25, "high": 0.4567}
    refused = {
        "labelled": 3,
        "positives": 0,
        "refused": "too few <labels>",
        "estimate": None,
        "low": None,
        "high": None,
    }
    analysis, selection = run / "validation" / CHOSEN / "self" / "analysis.json", run / "selection.json"
    written = json.loads(analysis.read_text())
    written["measures"][0]["corrected"], written["measures"][1]["corrected"] = given, refused
    analysis.write_text(json.dumps(written))
    chosen = json.loads(selection.read_text())
    for candidate in chosen["candidates"]:
        candidate["criteria"][0]["corrected"] = given
    selection.write_text(json.dumps(chosen))
    report(run)
    corrected = text_of(run).partition("Rates as found and corrected")[2].partition("</table>")[0]
    cells = re.findall(r'<span class="cell">([^<]*)<', corrected)
    assert [*cells[:2], *cells[4:]] == [CHOSEN, "self", "34.5 [25, 45.7]", "31 of 90"]
    assert "too few &lt;labels&gt;." in text_of(run)
    assert "<small>labels 34.5 [25, 45.7]</small>" in text_of(run)
    assert "Nobody labelled" not in text_of(run)


def test_what_is_missing_is_said(built: Path, page: str) -> None:
    missing = page.partition(">What was not shown</h2>")[2].partition("</section>")[0]
    assert "No screen: of checkpoints without full answers nothing is known." in missing
    assert "Red flag \u201cMemorised, not learned\u201d: nothing measured it" in missing
    assert "Where this comes from" not in missing


def test_a_torn_last_line_of_the_log_is_left_out(run: Path) -> None:
    log = next((run / "logs").glob("*.jsonl"))
    log.write_text(log.read_text()[:-20])
    report(run)
    assert re.findall(r"<td[^>]*data-head=\"epoch\"><span class=\"cell\">(\d+)", text_of(run)) == ["1", "2"]


# --- what it refuses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("selection.json", "selection.json"),
        ("validation/base/self/analysis.json", "base/self/analysis.json"),
    ],
)
def test_a_broken_file_is_named(run: Path, file: str, said: str) -> None:
    (run / file).write_text("{}\n")
    with pytest.raises(InputError, match=re.escape(said)):
        report(run)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds neither run\.json nor answers"):
        report(tmp_path)
    with pytest.raises(InputError, match="no such run folder"):
        report(tmp_path / "nowhere")
    with pytest.raises(InputError, match="--sample"):
        report(tmp_path, sample=0)


# --- what it must not do -----------------------------------------------------------------------------------


def test_the_policy_names_the_hashes_of_the_one_script_and_the_one_style(page: str) -> None:
    policy = next(one["content"] for one in Elements(page).named("meta") if one.get("http-equiv"))
    scripts, styles = SCRIPT.findall(page), STYLE.findall(page)
    assert len(scripts) == len(styles) == 1

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    assert policy == (
        f"default-src 'none'; script-src 'sha256-{digest(scripts[0])}'; style-src 'sha256-{digest(styles[0])}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_nothing_in_the_page_leads_out_or_acts(page: str) -> None:
    elements = Elements(page)
    for tag, attributes in elements.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name != "style", tag
            assert name not in ("src", "srcset", "action", "data"), (tag, name)
            if name == "href":
                assert str(value).startswith("#"), value
    assert not elements.named("img", "iframe", "link", "object", "embed", "base")
    assert "http:" not in page
    assert "https:" not in page
    assert "eval(" not in page
    assert "innerHTML" not in page


def test_what_answers_say_is_text(page: str) -> None:
    """Hostile answers stand in the examples of a raised flag, and in the data."""
    outside = SCRIPT.sub("", DATA.sub("", page))
    assert f"&lt;script&gt;{OWNED.replace(chr(39), '&#39;')}" in outside
    assert OWNED not in outside
    found = DATA.search(page)
    assert found
    assert found[1].isascii()
    assert not set("<>&") & set(found[1])
    for hidden in ("\u2028", "\x1b", "\u202e"):
        assert hidden not in page
    assert "{{ 7 * 7 }}" in outside


def test_marks_stand_where_the_rules_matched(page: str) -> None:
    """Offsets are of the shown text in UTF-16 units: hidden characters are escapes in it, and an emoji is two."""
    data = data_of(page)
    pattern = data["patterns"].index("boundary")
    assert data["groups"][pattern] == "pragmatic"
    hostile = [pair[8] for pair in data["pairs"] if "gnp.exe" in pair[8][0]]
    assert len(hostile) == 192  # .8 of 120 questions, twice
    text, _, _, hits, _ = hostile[0]
    assert "\\x1b[31m" in text
    assert "\\u202e" in text
    units = text.encode("utf-16-le")
    marked = [units[2 * start : 2 * end].decode("utf-16-le").lower() for one, start, end in hits if one == pattern]
    assert marked == ["nobody can verify"] * 2


def test_ids_are_not_repeated_and_every_reference_is_met(page: str) -> None:
    elements = Elements(page)
    ids = [attributes["id"] for _, attributes in elements.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = {str(one["href"])[1:] for _, one in elements.tags if "href" in one}
    named |= {name for one in elements.named("svg", "section") for name in str(one["aria-labelledby"]).split()}
    named |= set(re.findall(r'clip-path="url\(#([^)]+)\)"', page))
    assert named <= set(ids)


# --- answers -----------------------------------------------------------------------------------------------


def test_all_pairs_are_held_if_they_fit(page: str) -> None:
    data = data_of(page)
    assert len(data["pairs"]) == 560
    assert "All 560 pairs of answers are shown." in page
    assert {tuple(map(type, pair)) for pair in data["pairs"]} == {(int, int, int, int, list, float, int, list, list)}


def test_flips_and_grades_are_held(page: str) -> None:
    data = data_of(page)
    flipped = [pair for pair in data["pairs"] if pair[4]]
    assert flipped
    assert {data["sets"][pair[0]] for pair in flipped} == {"self"}
    assert {data["measures"][number] for pair in flipped for number in pair[4]} >= {"pragmatic", "performative"}
    assert {pair[8][1] for pair in data["pairs"] if data["sets"][pair[0]] == "facts"} == {0}


def test_a_sample_holds_every_question_once_before_any_twice(run: Path) -> None:
    said = report(run, sample=300)
    data = data_of(text_of(run))
    asked = [pair[3] for pair in data["pairs"]]
    assert len(asked) == 300
    assert len(set(asked)) == 280
    assert "300 of 560 pairs of answers are shown, drawn at random with seed 42" in text_of(run)
    assert "300 pairs of answers" in said


def test_another_seed_draws_others(run: Path) -> None:
    report(run, sample=100)
    first = data_of(text_of(run))["questions"]
    report(run, sample=100, seed=1)
    assert data_of(text_of(run))["questions"] != first


def test_long_answers_never_make_the_page_too_large(run: Path) -> None:
    """Two answers of 1,500 characters in 560 pairs are 1.7 MB, and six times that where JSON escapes them."""
    for name in ("base", CHOSEN):
        for question_set in ("self", "facts"):
            file = run / "validation" / name / question_set / RESPONSES_FILE
            rows = [json.loads(line) for line in file.read_text().splitlines()]
            file.write_text("".join(json.dumps({**row, "response": "\u4e16" * 1500}) + "\n" for row in rows))
    report(run)
    assert 3e6 < (run / "report.html").stat().st_size < 6e6
    assert "as many as fit into a page" in text_of(run)


def test_damaged_scores_mark_nothing_and_the_page_says_so(run: Path) -> None:
    (run / "validation" / CHOSEN / "self" / "scores.jsonl").write_text("{}\n")
    report(run)
    assert f"{CHOSEN}/self has no scores, so nothing is marked in it" in text_of(run)


def test_copied_words_are_marked_only_with_the_pairs_of_the_run(built: Path, run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "corpus_digest": "other"}))
    report(run)
    assert "copied words are not marked" in text_of(run)
    assert "copied words are not marked" not in text_of(built)


def test_answers_that_recite_are_counted_beside_the_base_models(built: Path, run: Path) -> None:
    file = run / "validation" / CHOSEN / "self" / RESPONSES_FILE
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps({**row, "response": f"Well. {GOOD}"}) + "\n" for row in rows))
    for name in ("base", CHOSEN):
        write_analysis(AnalyzeSettings(run / "validation" / name / "self", stance=str(built.parent / "stance")), silent)
    report(run)
    copying = text_of(run).partition("Copying in answers")[2].partition("</table>")[0]
    cells = re.findall(r'<span class="cell">([^<]*)<', copying)
    assert cells[0] == "unseen"
    assert cells[2] == "0 \u2192 42.9", "240 of 560 answers"
    assert sum(pair[8][2] for pair in data_of(text_of(run))["pairs"]) == 240


# --- files -------------------------------------------------------------------------------------------------


def test_the_same_files_give_the_same_bytes(built: Path, tmp_path: Path) -> None:
    """In another process, too: no date, no random id, no order of a set."""
    command = [sys.executable, "-m", "epistemic_stance.cli", "report", str(built), "--output", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    for name in ("report.html", "report.md"):
        assert (tmp_path / name).read_bytes() == (built / name).read_bytes()


def test_the_report_loads_no_torch(built: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from epistemic_stance.report.run import run\n"
        "from epistemic_stance.foundation.reporter import silent\n"
        "from epistemic_stance.foundation.settings import ReportSettings\n"
        f"run(ReportSettings(Path({str(built)!r}), output=Path({str(tmp_path)!r})), silent)\n"
        "assert not {'torch', 'transformers', 'matplotlib.pyplot'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


# --- charts ------------------------------------------------------------------------------------------------


def test_a_chart_has_words_and_no_styles_of_its_own() -> None:
    chart = over_epochs(
        "x", "Rate <b> of $x^2$", [Series("a & b", [0, 10], [0.25, 0.5], [0.2, 0.4], [0.3, 0.6])], share=True
    )
    assert '<title id="x-t">Rate &lt;b&gt; of $x^2$</title>' in chart.svg
    assert "a &amp; b: 25 percent at epoch 0, 50 percent at epoch 10" in chart.svg
    for word in ("style", "xmlns", "#0", "font-family", "<metadata"):
        assert word not in chart.svg, word
    assert "stroke-series1" in chart.svg


def test_rows_of_a_chart_keep_their_names_as_they_are() -> None:
    svg = before_and_after("y", "t", [Range("<i>$name$", None, None)]).svg
    assert "&lt;i&gt;$name$" in svg
    assert "unknown before, unknown after" in svg


def test_hostile_text_is_what_the_tests_mean_by_it() -> None:
    assert "</script>" in HOSTILE
    assert "onerror" in HOSTILE


def test_a_checkpoint_within_an_epoch_stands_in_its_place(run: Path) -> None:
    """Answers of checkpoint-030 once more, as those after 5 of 2 steps an epoch: chosen as the earliest of equals."""
    name, record = "checkpoint-step-0005", json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"total_steps": 6}))
    shutil.copytree(run / "validation" / CHOSEN, run / "validation" / name)
    choose(run)
    selection = json.loads((run / "selection.json").read_text())
    assert [(each["name"], each["epoch"]) for each in selection["candidates"]] == [
        (name, 2.5),
        (RAISED, 20),
        (CHOSEN, 30),
    ]
    assert selection["chosen"] == name
    folder = run / "checkpoints" / name
    folder.mkdir(parents=True)
    values: dict[str, Any] = dict.fromkeys(("accuracy", "absolute_preference", "avg_margin"), 0.5)
    values |= {"epoch": 2.5, "step": 5, "loss": 0.125, "exported_loss": None, "system_prompt": None}
    values |= {"template_arguments": {}, "settings": {}, "versions": {}, "save_dtype": "float32"}
    values |= dict.fromkeys(("base_model", "base_weights_digest", "corpus_digest", "template_digest"), "x")
    (folder / "metadata.json").write_text(json.dumps(values))
    report(run)
    markdown = (run / "report.md").read_text()
    rows = [line.split("|")[1:3] for line in markdown.splitlines() if line.startswith(("| 2 ", "| 2.50", "| 3 "))]
    assert [cell.strip() for row in rows[:3] for cell in row] == ["2", "0.3500", "2.50", "0.1250", "3", "0.2333"]
