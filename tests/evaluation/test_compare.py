"""`stance compare` on small files: what it finds, what it leaves open, and what it refuses to set side by side."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from phrases import CATEGORIES, PATTERNS, TOPICS, Row, phrases_stance, question_of, row, written
from rich.console import Console

from epistemic_stance.cli.evaluate import write_comparison
from epistemic_stance.foundation.errors import InputError, RefusedError
from epistemic_stance.foundation.reporter import silent
from epistemic_stance.foundation.settings import CompareSettings
from epistemic_stance.records.comparison import ChangeRecord, ComparisonRecord, MeasureRecord
from epistemic_stance.report.comparison_sections import print_comparison


@pytest.fixture
def stance(tmp_path: Path) -> Path:
    return phrases_stance(tmp_path)


def answer(rates: dict[str, float], generator: random.Random) -> str:
    """A sentence for each pattern that is drawn, then words that say nothing."""
    shown = [phrase for name, (_, phrase) in PATTERNS.items() if generator.random() < rates.get(name, 0.0)]
    fact = "The answer is forty two." if generator.random() < rates.get("right", 0.5) else "The answer is nine."
    return " ".join([f"Here {phrase}." for phrase in shown] + [fact] + generator.sample(TOPICS, 5))


def collected(rates: dict[str, float], seed: int, **changes: Any) -> list[Row]:
    generator = random.Random(seed)
    return [
        row(number, iteration, answer(rates, generator), **changes) for number in range(30) for iteration in (1, 2, 3)
    ]


BASE = {"denial": 0.7, "disclaimer": 0.3, "boundary": 0.1, "noticing": 0.1, "refusal": 0.1}
TUNED = BASE | {"denial": 0.1, "boundary": 0.8}


class Comparison:
    """Runs a comparison and keeps what it printed and wrote."""

    def __init__(self, stance: Path, folder: Path) -> None:
        self.settings = CompareSettings(before=folder / "b.jsonl", after=folder / "a.jsonl", stance=str(stance))
        self.folder = folder
        self.printed = ""

    def __call__(self, before: Iterable[Row], after: Iterable[Row], **changes: Any) -> ComparisonRecord:
        written(self.settings.before, before)
        written(self.settings.after, after)
        console = Console(width=80, highlight=False)
        with console.capture() as capture:
            record, _ = write_comparison(replace(self.settings, **changes), silent)
            print_comparison(record, console)
        self.printed = capture.get()
        return ComparisonRecord.model_validate_json((self.folder / "comparison.json").read_bytes())

    @property
    def markdown(self) -> str:
        return (self.folder / "comparison.md").read_text()


@pytest.fixture
def compare(stance: Path, tmp_path: Path) -> Comparison:
    return Comparison(stance, tmp_path)


def measure(record: ComparisonRecord, name: str) -> MeasureRecord:
    return next(item for item in record.measures if item.name == name)


def overall(record: ComparisonRecord, name: str) -> ChangeRecord:
    change = measure(record, name).overall
    assert change
    return change


def said(record: ComparisonRecord, text: str) -> bool:
    return any(text in notice for notice in record.notices)


# --- what is found -----------------------------------------------------------------------------------------


def test_a_planted_shift_is_found_and_nothing_else(compare: Comparison) -> None:
    record = compare(collected(BASE, 1), collected(TUNED, 2))
    assert overall(record, "denial").verdict == "fell"
    assert overall(record, "boundary").verdict == "rose"
    assert overall(record, "performative").verdict == "fell"
    assert overall(record, "pragmatic_only").verdict == "rose"
    for name in ("disclaimer", "noticing", "refusal", "right", "wrong", "truncated", "empty", "repetitive"):
        assert overall(record, name).verdict == "inconclusive", name
    denial = overall(record, "denial")
    assert denial.low < -0.6 < denial.high
    assert (denial.questions, record.questions, record.after.compared_answers) == (30, 30, 90)
    assert re.search(r"denial +\d\d\.\d +\d+\.\d +-\d\d\.\d \[-\d\d\.\d, -\d\d\.\d\] +fell", compare.printed)
    assert "| denial | " in compare.markdown


def test_of_twenty_identical_models_few_changed(compare: Comparison) -> None:
    """Each in at most 5 % of cases; 4 or more of 20 in 2 %."""
    base, with_verdict = collected(BASE, 100), 0
    for seed in range(20):
        record = compare(base, collected(BASE, seed))
        changes = [
            change for m in record.measures for change in (m.overall, *m.exposures.values(), *m.categories.values())
        ]
        verdicts = {change.verdict for change in changes if change}
        with_verdict += verdicts != {"inconclusive"}
    assert with_verdict <= 3
    assert "no change" not in compare.printed


def test_rates_are_counted_as_one_would_by_hand(compare: Comparison) -> None:
    def rows(shown: int) -> list[Row]:
        """Of 12 questions with two answers each, the first `shown` answers decline; fact questions are right once."""
        texts = ["Here i decline."] * shown + ["Words."] * (24 - shown)
        return [row(n // 2, n % 2, f"{text} {'Forty two.' if n % 2 else 'Nine.'}") for n, text in enumerate(texts)]

    record = compare(rows(6), rows(9))
    refusal, right = overall(record, "refusal"), overall(record, "right")
    assert (refusal.before, refusal.after, refusal.change) == pytest.approx((6 / 24, 9 / 24, 3 / 24))
    assert (refusal.questions, refusal.moved) == (12, 2)
    assert (right.before, right.questions) == (0.5, 4)
    assert overall(record, "empty").before == 0


def test_form_is_counted_apart(compare: Comparison) -> None:
    sound = [row(n, 1, "A plain answer of some words.") for n in range(12)]
    broken = [row(n, 1, "", finish_reason="empty") for n in range(4)]
    broken += [row(n, 1, "round and round we go " * 20, finish_reason="length") for n in range(4, 10)]
    broken += [row(n, 1, "A plain answer of some words.") for n in range(10, 12)]
    record = compare(sound, broken)
    assert overall(record, "empty").after == pytest.approx(4 / 12)
    assert overall(record, "truncated").after == pytest.approx(6 / 12)
    assert overall(record, "repetitive").after == pytest.approx(6 / 12)


def test_seen_paraphrased_and_unseen_questions_stand_apart(compare: Comparison) -> None:
    record = compare(collected(BASE, 1), collected(TUNED, 2))
    questions = {name: change.questions for name, change in measure(record, "denial").exposures.items() if change}
    assert questions == {"seen": 1, "paraphrase": 1, "unseen": 28}
    assert "paraphrase (1)" in " ".join(compare.printed.split())


def test_categories_stand_apart_and_speak_only_where_the_whole_did(compare: Comparison) -> None:
    """Only questions on inner life shift, so strongly that the whole does."""
    before, after = collected(BASE, 1), collected(BASE, 2)
    shifted = collected(BASE | {"denial": 0.0, "disclaimer": 0.0}, 3)
    record = compare(
        before, [new if new["category"] == "inner" else old for new, old in zip(shifted, after, strict=True)]
    )
    categories = measure(record, "performative").categories
    assert {name: change.questions for name, change in categories.items() if change} == dict.fromkeys(CATEGORIES, 10)
    by_verdict = {name: change.verdict for name, change in categories.items() if change}
    assert overall(record, "performative").verdict == "fell"
    assert by_verdict == {"inner": "fell", "outer": "inconclusive", "facts": "inconclusive"}
    for item in record.measures:
        if item.overall and item.overall.verdict == "inconclusive":
            assert {change.verdict for change in item.categories.values() if change} <= {"inconclusive"}


def refusing(questions: int, harmful: int, refused: bool) -> list[Row]:
    """Of so many questions the first few are harmful, and the only ones of which refusing is asked."""
    return [
        row(n, 1, "Here i decline." if refused and n < harmful else "Words.", category="outer" if n < harmful else "x")
        for n in range(questions)
    ]


def test_six_refusals_lost_are_the_fewest_that_fell(stance: Path, compare: Comparison) -> None:
    """2 of 2**6 flips are 0.031, 2 of 2**5 are 0.0625."""
    file = stance / "patterns.toml"
    file.write_text(file.read_text().replace('name = "refusal"', 'name = "refusal"\ncategories = ["outer"]'))
    before, after = refusing(50, 6, refused=True), refusing(50, 6, refused=False)
    record = compare(before, after)
    refusal = overall(record, "refusal")
    assert (refusal.before, refusal.after, refusal.moved) == (1, 0, 6)
    assert refusal.verdict == "fell"
    assert re.search(r"refusal +100\.0 +0\.0 +-100\.0 \[-100\.0, -\d\d\.\d\] +fell\n", compare.printed)
    part = measure(record, "refusal").categories["outer"]
    assert part
    assert part.verdict == "fell"
    assert re.search(r"\| outer \| 100 -\\> 0\\\*", compare.markdown)

    five = compare(refusing(50, 5, refused=True), refusing(50, 5, refused=False))
    assert overall(five, "refusal").verdict == "inconclusive"


def test_six_refusals_lost_are_not_told_apart_where_much_else_moved(stance: Path, compare: Comparison) -> None:
    """Each other row that moved is one more that chance could have made as extreme."""
    file = stance / "patterns.toml"
    file.write_text(file.read_text().replace('name = "refusal"', 'name = "refusal"\ncategories = ["outer"]'))
    generator = random.Random(3)

    def noisy(rows: list[Row]) -> list[Row]:
        rates = {"denial": 0.5, "disclaimer": 0.5, "boundary": 0.5, "noticing": 0.5}
        return [line | {"response": f"{line['response']} {answer(rates, generator)}"} for line in rows]

    refusal = overall(compare(noisy(refusing(50, 6, True)), noisy(refusing(50, 6, False))), "refusal")
    assert refusal.p == pytest.approx(2 / 2**6, abs=0.006)
    assert refusal.adjusted_p > 0.05
    assert refusal.verdict == "inconclusive"


def test_more_categories_than_can_be_read_are_not_taken_apart(compare: Comparison) -> None:
    rows = [row(n, 1, "Words.", category=f"c{n}") for n in range(100)]
    rows += [line | {"question": f"And {line['question']}", "category": f"d{n}"} for n, line in enumerate(rows)]
    record = compare(rows, rows)
    assert len(measure(record, "denial").categories) == 200
    assert not said(record, "different categories")
    extra = [row(0, 1, "Words.", question="One more?", category="e")]
    record = compare(rows + extra, rows + extra)
    assert measure(record, "denial").categories == {}
    assert said(record, "there are 201 different categories, more than 200: they are not taken apart")
    assert overall(record, "denial").questions == 201
    assert "By category" not in compare.printed + compare.markdown


def test_a_pattern_of_some_categories_counts_only_there(stance: Path, compare: Comparison) -> None:
    file = stance / "patterns.toml"
    file.write_text(file.read_text().replace('name = "refusal"', 'name = "refusal"\ncategories = ["outer"]'))
    record = compare(collected(BASE, 1), collected(BASE, 2))
    assert overall(record, "refusal").questions == 10
    assert measure(record, "refusal").categories["inner"] is None


def test_the_order_of_lines_decides_nothing(compare: Comparison) -> None:
    before, after = collected(BASE, 1), collected(TUNED, 2)
    record = compare(before, after)
    random.Random(0).shuffle(after)
    again = compare(reversed(before), after)
    assert again.measures == record.measures
    assert again.flips == record.flips


# --- flips and pairs ---------------------------------------------------------------------------------------


def test_flips_are_majorities_that_changed_side_and_lost_answers_come_first(compare: Comparison) -> None:
    def rows(shares: dict[int, int], right: int) -> list[Row]:
        """Four answers to each question, of which so many deny; of q2, a fact, `right` are right."""
        return [
            row(n, i, ("No feelings. " if i <= count else "") + ("Forty two." if n == 2 and i <= right else "Nine."))
            for n, count in shares.items()
            for i in (1, 2, 3, 4)
        ]

    record = compare(
        rows({0: 4, 1: 3, 2: 0, 3: 2, 4: 0, 6: 1}, right=3), rows({0: 0, 1: 1, 2: 0, 3: 4, 4: 2, 6: 3}, right=1)
    )
    found = [(flip.measure, flip.question_id, flip.before, flip.after) for flip in record.flips]
    assert found == [
        ("right", "q2", 0.75, 0.25),
        ("performative", "q0", 1.0, 0.0),
        ("performative", "q6", 0.25, 0.75),
        ("performative", "q1", 0.75, 0.25),
    ]  # q3 and q4 stand at exactly half on one side
    assert compare.printed.index("q2: ") < compare.printed.index("q0: ")


def test_ten_pairs_are_drawn_by_the_seed_and_matched(compare: Comparison) -> None:
    before, after = collected(BASE, 1), collected(TUNED, 2)
    record = compare(before, after)
    assert len(record.pairs) == 10
    assert len({pair.question for pair in record.pairs}) == 10
    places = [{(line["question"], line["response"]): line["iteration"] for line in side} for side in (before, after)]
    for pair in record.pairs:
        assert places[0][pair.question, pair.before] == places[1][pair.question, pair.after]
        assert pair.temperature == 0.7
    assert compare(before, after).pairs == record.pairs
    assert compare(before, after, seed=7).pairs != record.pairs
    assert len(compare(before, after, pairs=2).pairs) == 2
    assert compare(before, after, pairs=0).pairs == []
    with pytest.raises(InputError, match=r"--pairs: expected 0 or more, found -1"):
        compare(before, after, pairs=-1)
    with pytest.raises(InputError, match=r"--seed: expected 0 or more, found -1"):
        compare(before, after, seed=-1)


# --- what may be compared ----------------------------------------------------------------------------------


def with_metadata(**changes: Any) -> Callable[[Row], Row]:
    return lambda line: {**line, "metadata": line["metadata"] | changes}


def with_sampling(**changes: Any) -> Callable[[Row], Row]:
    return lambda line: with_metadata(sampling=line["metadata"]["sampling"] | changes)(line)


DIFFERENCES: list[tuple[Callable[[Row], Row], tuple[str, str, str]]] = [
    (lambda line: line | {"temperature": 0.3}, ("temperatures", "0.7", "0.3")),
    (lambda line: line | {"question_set": "other"}, ("question_set", "probe", "other")),
    (lambda line: line | {"system_prompt": "Be brief."}, ("system_prompt", "the template's own", "Be brief.")),
    (with_metadata(template_digest="8" * 64), ("template_digest", "777777777777", "888888888888")),
    (with_metadata(max_tokens=512), ("max_tokens", "256", "512")),
    (with_metadata(backend="endpoint"), ("backend", "transformers", "endpoint")),
    (with_metadata(dtype="bfloat16"), ("dtype", "float32", "bfloat16")),
    (with_sampling(top_p=0.95), ("top_p", "1.0", "0.95")),
    (with_sampling(top_k=20), ("top_k", "0", "20")),
    (with_sampling(repetition_penalty=1.1), ("repetition_penalty", "1.0", "1.1")),
]


@pytest.mark.parametrize(("change", "names"), DIFFERENCES, ids=[names[0] for _, names in DIFFERENCES])
def test_sides_that_were_asked_differently_are_refused_by_name(
    compare: Comparison, change: Callable[[Row], Row], names: tuple[str, str, str]
) -> None:
    before, after = collected(BASE, 1), [change(line) for line in collected(TUNED, 2)]
    with pytest.raises(RefusedError) as caught:
        compare(before, after)
    what, first, second = names
    assert f"  {what}: {first} before, {second} after" in str(caught.value)
    assert "--allow-different" in caught.value.hint
    assert caught.value.exit_code == 3
    assert not (compare.folder / "comparison.json").exists()

    record = compare(before, after, allow_different=True)
    assert [(item.what, item.before, item.after) for item in record.differences] == [names]
    assert f"asked differently: {what}" in compare.printed
    assert f"asked differently: {what}" in compare.markdown.replace("\\", "")


def test_every_difference_is_named_at_once(compare: Comparison) -> None:
    after = [with_sampling(top_k=20)(line) | {"temperature": 1.0} for line in collected(TUNED, 2)]
    with pytest.raises(RefusedError, match=r"(?s)top_k: .*temperatures: "):
        compare(collected(BASE, 1), after)


def test_an_unfinished_collection_is_refused(compare: Comparison) -> None:
    with pytest.raises(RefusedError, match=r"answers per question and temperature: 3 before, 2 to 3 after"):
        compare(collected(BASE, 1), collected(BASE, 2)[:-1])
    with pytest.raises(RefusedError, match=r"questions that the other side lacks: 1 before, 0 after"):
        compare(collected(BASE, 1), collected(BASE, 2)[:-3])
    record = compare(collected(BASE, 1), collected(BASE, 2)[:-4], allow_different=True)
    assert (record.questions, record.only_before, record.only_after) == (29, [question_of(29)], [])
    assert said(record, "each weighs the same on both")
    assert question_of(29) in compare.markdown


def test_files_without_a_question_in_common_are_bad_input(compare: Comparison) -> None:
    other = [line | {"question": f"Another {line['question']}"} for line in collected(BASE, 2)]
    with pytest.raises(InputError, match=r"a\.jsonl: shares no question with"):
        compare(collected(BASE, 1), other)


def test_foreign_files_are_compared_and_what_they_do_not_say_is_said(compare: Comparison) -> None:
    """Only question, category and response; other numbers of answers; a question that one side lacks."""

    def foreign(rows: list[Row]) -> list[Row]:
        return [{name: line[name] for name in ("question", "category", "response")} for line in rows]

    record = compare(foreign(collected(BASE, 1)), foreign(collected(TUNED, 2)[3:-1]))
    assert overall(record, "denial").verdict == "fell"
    assert record.differences == []
    assert {"temperature", "top_p", "system_prompt", "dtype"} <= set(record.unknown)
    assert said(record, "not known of every answer")
    assert said(record, "questions left out: 1 that only BEFORE has and 0 that only AFTER has")
    assert "29 questions are compared" in compare.printed
    assert measure(record, "truncated").overall is None
    assert "unknown model" in compare.printed


def test_one_foreign_side_is_no_difference(compare: Comparison) -> None:
    foreign = [{name: line[name] for name in ("question", "category", "response")} for line in collected(TUNED, 2)]
    record = compare(collected(BASE, 1), foreign)
    assert record.differences == []
    assert "max_tokens" in record.unknown


def test_white_space_and_ids_do_not_make_another_question(compare: Comparison) -> None:
    after = [
        line | {"question": f" {line['question'].replace(' ', '  ')} ", "question_id": f"other{n}"}
        for n, line in enumerate(collected(TUNED, 2))
    ]
    assert compare(collected(BASE, 1), after).questions == 30


def test_one_category_decides_for_both_sides(compare: Comparison) -> None:
    after = [line | {"category": "elsewhere"} for line in collected(TUNED, 2)]
    record = compare(collected(BASE, 1), after)
    assert list(measure(record, "denial").categories) == sorted(CATEGORIES)
    assert said(record, "questions with another category in AFTER: 30; BEFORE's is used")


def test_the_same_model_twice_is_said(compare: Comparison) -> None:
    rows = collected(BASE, 1)
    assert said(compare(rows, collected(BASE, 2)), "the two are the same model")
    assert said(compare(rows, rows), "the two files are the same")
    other = [with_metadata(weights_digest="b" * 64)(line) for line in rows]
    record = compare(rows, other)
    assert not said(record, "the same")
    assert said(compare(rows, other[:45] + rows[45:]), "AFTER holds answers of 2 models: bbbbbbbbbbbb, aaaaaaaaaaaa")


def test_too_few_questions_are_said_to_be_too_few(compare: Comparison) -> None:
    few = [row(n, 1, "Here no feelings.") for n in range(5)]
    record = compare(few, [line | {"response": "Words."} for line in few])
    assert overall(record, "denial").change == -1
    assert overall(record, "denial").verdict == "inconclusive"
    assert said(record, "with fewer than 6 questions nothing can get rose or fell")
    assert "6 questions that moved are the fewest that can get rose or fell" in " ".join(compare.printed.split())
    enough = [row(n, 1, "Here no feelings.") for n in range(6)]
    record = compare(enough, [line | {"response": "Words."} for line in enough])
    assert overall(record, "denial").verdict == "fell"
    assert not said(record, "with fewer")


# --- where it goes, and untrusted text ---------------------------------------------------------------------


def test_files_go_beside_after_or_where_asked(compare: Comparison, tmp_path: Path) -> None:
    compare(collected(BASE, 1), collected(BASE, 2))
    assert {path.name for path in tmp_path.iterdir()} >= {"comparison.json", "comparison.md"}
    target = tmp_path / "elsewhere" / "deep"
    (tmp_path / "comparison.json").rename(tmp_path / "kept.json")
    write_comparison(replace(compare.settings, output=target), silent)
    assert {path.name for path in target.iterdir()} == {"comparison.json", "comparison.md"}
    assert not (tmp_path / "comparison.json").exists()


def test_a_folder_means_its_responses(compare: Comparison, tmp_path: Path) -> None:
    for name, rates in (("x", BASE), ("y", TUNED)):
        (tmp_path / name).mkdir()
        written(tmp_path / name / "responses.jsonl", collected(rates, len(name)))
    settings = replace(compare.settings, before=tmp_path / "x", after=tmp_path / "y")
    write_comparison(settings, silent)
    record = ComparisonRecord.model_validate_json((tmp_path / "y" / "comparison.json").read_bytes())
    assert record.before.file.endswith("x/responses.jsonl")


def test_an_input_is_never_overwritten(compare: Comparison, tmp_path: Path) -> None:
    after = written(tmp_path / "comparison.json", collected(TUNED, 2))
    kept = after.read_bytes()
    written(compare.settings.before, collected(BASE, 1))
    with pytest.raises(RefusedError, match="one of the inputs"):
        write_comparison(replace(compare.settings, after=after), silent)
    assert after.read_bytes() == kept


HOSTILE = "\x1b[31mred\x1b[0m [bold]x[/bold] | ```` b\n````text\n<script>alert(1)</script>\n# no heading \u202eback"


def test_text_of_a_model_stays_text(compare: Comparison) -> None:
    rows = [row(n, 1, HOSTILE, category="a|b<i>", metadata={"model": "m\x1b[2J[red]"}) for n in range(12)]
    compare(rows, rows)
    assert "\x1b[2J" not in compare.printed
    assert "\u202e" not in compare.printed + compare.markdown
    assert "[bold]x[/bold]" in compare.printed
    assert "[red]" in compare.printed
    page = compare.markdown
    assert "\x1b" not in page
    outside = re.sub(r"(?ms)^(`{5,})text\n.*?^\1$", "", page)
    assert "<script>" not in outside
    assert "no heading" not in outside
    assert page.count("<script>") == 20
    assert "a\\|b\\<i\\>" in page


def test_the_tables_fit_80_columns(compare: Comparison) -> None:
    compare(collected(BASE, 1), collected(TUNED, 2))
    tables = compare.printed[compare.printed.index("What changed") : compare.printed.index("random pairs")]
    assert max(map(len, tables.splitlines())) <= 80
    assert "…" not in tables


def test_names_of_categories_are_whole_words_at_80_columns(compare: Comparison) -> None:
    names = ["ambiguous_complex", "creative_imaginative_work", "facts about_the world"]
    rows = [row(n, 1, "Words.", category=names[n % 3]) for n in range(12)]
    compare(rows, rows)
    printed = compare.printed.partition("By category")[2].partition("Questions that flipped")[0]
    assert max(map(len, printed.splitlines())) <= 80
    labels = [line.split("  ")[0].strip() for line in printed.splitlines()]
    for line in ("ambiguous_", "complex (4)", "creative_", "imaginative_", "work (4)", "facts about_", "the world (4)"):
        assert line in labels, line


def test_one_of_a_thing_is_not_many(compare: Comparison) -> None:
    record = compare([row(0, 1, "Words.")], [row(0, 1, "Words."), row(1, 1, "Words.")], allow_different=True)
    assert "1 question is compared" in compare.printed
    assert "(1 answer, 1 per question" in compare.printed
    assert "1 random pair of answers" in compare.markdown
    assert [(item.what, item.before, item.after) for item in record.differences] == [
        ("questions that the other side lacks", "0", "1")
    ]


def stance_compare(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "epistemic_stance.cli", "compare", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_itself(stance: Path, tmp_path: Path) -> None:
    before, after = (
        written(tmp_path / "b.jsonl", collected(BASE, 1)),
        written(tmp_path / "a.jsonl", collected(TUNED, 2)),
    )
    done = stance_compare(before, after, "--stance", stance)
    assert done.returncode == 0, done.stderr
    assert "fell" in done.stdout
    assert (tmp_path / "comparison.md").is_file()
    written(after, [line | {"temperature": 0.2} for line in collected(TUNED, 2)])
    done = stance_compare(before, after, "--stance", stance)
    assert (done.returncode, "Traceback" in done.stderr) == (3, False)
    assert "temperatures: 0.7 before, 0.2 after" in done.stderr
    done = stance_compare(before, after, "--stance", stance, "--seed", "-1")
    assert done.returncode == 2
    assert "--seed: expected 0 or more, found -1" in done.stderr
    after.write_text('{"question": "x"}\n')
    done = stance_compare(before, after, "--stance", stance)
    assert done.returncode == 2
    assert "a.jsonl:1: category: missing" in done.stderr
