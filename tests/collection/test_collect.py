"""What is asked, what is kept, what is continued and what is refused: collections with a stub for the model."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import endpoint_stub
import pytest
from collect_stub import (
    HARD_TEXTS,
    StubBackend,
    invented,
    keys_of,
    lines_of,
    run,
    small,
    stubbed,
    without_times,
)
from endpoint_stub import answer
from hypothesis import given
from hypothesis import strategies as st

from epistemic_stance.collection import run as stage
from epistemic_stance.collection.design import Design, Item, plan_items, read_design, spread
from epistemic_stance.collection.store import ResponseStore
from epistemic_stance.foundation.errors import EndpointError, InputError, RefusedError, StoppedError, StorageError
from epistemic_stance.foundation.files import folder_lock
from epistemic_stance.foundation.reporter import Event, Finished, Progress, Started, Warned
from epistemic_stance.foundation.settings import DEMO_NOTICE, CollectSettings
from epistemic_stance.models.find import DEMO_FOLDER
from epistemic_stance.records.collection import CollectionRecord, ResponseRecord
from epistemic_stance.stance.load import SHIPPED


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> StubBackend:
    return stubbed(monkeypatch)


# --- what is asked -----------------------------------------------------------------------------------------


def design_of(**changes: Any) -> Design:
    return read_design(CollectSettings(**changes))


def test_comprehensive_is_the_guides_1340_answers() -> None:
    design = design_of(mode="comprehensive")
    assert (len(design.questions), design.temperatures, design.iterations) == (67, [0.3, 0.7, 1.0, 1.3], 5)
    assert (len(design.categories), len(design.items), design.prefix) == (10, 1340, "bias")
    assert design.sampling.max_new_tokens == 256


def test_quick_is_three_categories_three_temperatures_two_iterations() -> None:
    design = design_of(mode="quick")
    assert (len(design.categories), design.temperatures, design.iterations) == (3, [0.3, 0.7, 1.0], 2)
    assert len(design.items) == len(design.questions) * 6
    assert {item.category for item in design.items} == set(design.categories)


def test_a_screen_asks_the_select_half_of_what_a_full_pass_asks_and_gets_the_same_seeds() -> None:
    screen, full = design_of(mode="screen"), design_of()
    assert (screen.temperatures, screen.iterations, len(screen.items)) == ([0.7], 4, 4 * len(screen.questions))
    assert screen.questions == design_of(split="select").questions
    assert set(screen.items) < set(full.items), "what was screened need not be asked again"
    held_back = design_of(split="report").questions
    assert set(screen.questions) | set(held_back) == set(full.questions)
    assert not set(screen.questions) & set(held_back)


def test_the_questions_of_the_corpus_are_a_set_of_their_own(tmp_path: Path) -> None:
    design = design_of(questions="trained")
    assert (len(design.questions), design.temperatures, design.iterations) == (25, [0.7], 3)
    assert design.questions[0][:2] == ("self_property_01", "self_property_epistemic")
    corpus = tmp_path / "pairs.jsonl"
    talk = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hi!"}]
    ask = {"role": "user", "content": "Who?"}
    pairs = [
        {"id": "one", "prompt": [ask], "chosen": [{"role": "assistant", "content": "I."}]},
        {"id": "talk", "prompt": [*talk, ask], "chosen": [{"role": "assistant", "content": "I."}]},
        {"id": "raw", "prompt": "Who? ", "chosen": "I."},
    ]
    for pair in pairs:
        pair["rejected"] = "You." if isinstance(pair["chosen"], str) else [{"role": "assistant", "content": "You."}]
    corpus.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    assert design_of(questions="trained", corpus=corpus).questions == [("one", "uncategorised", "Who?")]
    corpus.write_text(json.dumps(pairs[2]) + "\n")
    with pytest.raises(InputError, match="no pair in it is a single question"):
        design_of(questions="trained", corpus=corpus)


def test_the_baseline_is_three_answers_to_fifty_questions() -> None:
    design = design_of(questions="baseline")
    assert (len(design.items), design.temperatures, design.sampling.max_new_tokens) == (150, [0.7], 512)
    assert design.prefix == "baseline"


def test_flags_replace_what_the_mode_says() -> None:
    flags = {"temps": "0,0.5", "iterations": 4, "categories": "provocative, comparative", "max_new_tokens": 7}
    design = design_of(mode="custom", top_p=0.9, top_k=20, repetition_penalty=1.1, system_prompt="Be brief.", **flags)
    assert design.temperatures == [0.0, 0.5]
    assert design.categories == ["comparative", "provocative"], "in the order of the set"
    assert len(design.items) == 12 * (1 + 4), "greedy is asked once"
    assert (design.sampling.top_p, design.sampling.top_k, design.sampling.repetition_penalty) == (0.9, 20, 1.1)
    assert (design.sampling.max_new_tokens, design.system_prompt) == (7, "Be brief.")


BAD_SETTINGS = [
    ({"temps": "0.3,x"}, '--temps: "x" is no temperature, expected numbers from 0 to 5'),
    ({"temps": "-0.1"}, '--temps: "-0.1" is no temperature'),
    ({"temps": "nan"}, '--temps: "nan" is no temperature'),
    ({"temps": "inf"}, '--temps: "inf" is no temperature'),
    ({"temps": ","}, '--temps: "" is no temperature'),
    ({"temps": "0.3,0.30"}, "--temps: 0.3 stands twice"),
    ({"temps": "0,-0"}, "--temps: -0 stands twice"),
    ({"categories": "dreams"}, '--categories: unknown category "dreams"'),
    ({"categories": "dreams"}, "phase1 has direct_existence, "),
    ({"categories": "comparative,comparative"}, "--categories: comparative stands twice"),
    ({"categories": "comparative,"}, '--categories: unknown category ""'),
    ({"questions": "phase2"}, "--questions: phase2 is no question set of the stance (hint: epistemic has phase1"),
    ({"questions": "baseline", "mode": "quick"}, "--mode: is quick, but the set baseline has no quick part"),
    ({"questions": "safety", "mode": "screen"}, "--mode: is screen, but the set safety has no screen part"),
    ({"mode": "screen", "split": "report"}, "--split: is report, but --mode screen asks what a checkpoint may be"),
    ({"corpus": Path("pairs.jsonl")}, "--corpus: is pairs.jsonl, expected --questions trained together with it"),
    ({"iterations": 0}, "--iterations: is 0, expected 1 to 1000"),
    ({"iterations": 1001}, "--iterations: is 1001, expected 1 to 1000"),
    ({"max_responses": 0}, "--max-responses: is 0, expected 1 or more"),
    ({"max_new_tokens": 0}, "--max-new-tokens: is 0, expected 1 to 100000"),
    ({"top_p": 0.0}, "--top-p: is 0.0, expected above 0, at most 1"),
    ({"top_p": 1.1}, "--top-p: is 1.1, expected above 0, at most 1"),
    ({"top_p": float("nan")}, "--top-p: is nan"),
    ({"top_k": -1}, "--top-k: is -1, expected 0 or more"),
    ({"repetition_penalty": 0.0}, "--repetition-penalty: is 0.0, expected above 0"),
    ({"repetition_penalty": float("inf")}, "--repetition-penalty: is inf"),
    ({"slots": -1}, "--slots: is -1, expected 0 or more"),
    ({"threads": -1}, "--threads: is -1, expected 0 or more"),
    ({"concurrency": 0}, "--concurrency: is 0, expected 1 or more"),
    ({"request_timeout": 0.0}, "--request-timeout: is 0.0, expected above 0"),
    ({"seed": -1}, "--seed: is -1, expected 0 to 2147483647"),
    ({"system_prompt": "\udcff"}, "--system-prompt: is \\udcff, expected text in UTF-8"),
    ({"overwrite": True}, "--overwrite: is True, expected --output-dir together with it"),
]


@pytest.mark.parametrize(("changes", "said"), BAD_SETTINGS, ids=[said[:40] for _, said in BAD_SETTINGS])
def test_a_setting_that_makes_no_sense_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as raised:
        design_of(**changes)
    assert said in str(raised.value)


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(InputError) as raised:
        design_of(temps="0.3,x", categories="dreams", iterations=0, top_p=2.0, questions="baseline", mode="quick")
    flags = [str(problem).partition(":")[0] for problem in raised.value.problems]
    assert flags == ["--iterations", "--top-p", "--mode", "--categories", "--temps"]


def test_questions_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    stance = tmp_path / "stance"
    (stance / "patterns").mkdir(parents=True)
    shipped = SHIPPED / "epistemic"
    for path in (path for path in shipped.rglob("*") if path.is_file()):
        (stance / path.relative_to(shipped)).write_bytes(path.read_bytes())
    questions = json.loads((stance / "phase1_questions.json").read_text())
    questions["questions"][1]["id"] = questions["questions"][0]["id"]
    (stance / "phase1_questions.json").write_text(json.dumps(questions))
    with pytest.raises(InputError, match="question ids stand twice in phase1: direct_existence_01"):
        design_of(stance=str(stance))


ITEMS = plan_items(
    [(f"{category}_{number}", category, f"{category} {number}?") for category in "abc" for number in range(4)],
    [0.0, 0.5, 1.0],
    3,
    seed=1,
)


@given(st.integers(1, len(ITEMS) + 5))
def test_a_cut_plan_is_part_of_the_plan_in_its_order_and_spread_evenly(limit: int) -> None:
    cut = spread(ITEMS, limit)
    assert len(cut) == min(limit, len(ITEMS))
    assert cut == [item for item in ITEMS if item in cut]
    whole = Counter(item.question_id for item in ITEMS)
    asked = Counter(item.question_id for item in cut)
    assert max(asked.values()) - min(asked[name] for name in whole) <= 1, "no question twice before all once"
    by_category = Counter(item.category for item in cut)
    assert max(by_category.values()) - min(by_category[name] for name in "abc") <= 1


@given(st.integers(1, len(ITEMS)))
def test_a_smaller_cut_is_part_of_a_larger_one(limit: int) -> None:
    assert set(spread(ITEMS, limit)) <= set(spread(ITEMS, limit + 1))


def test_few_answers_cover_all_categories_and_temperatures_before_a_second_iteration() -> None:
    cut = design_of(max_responses=20).items
    assert set(Counter(item.category for item in cut).values()) == {2}
    assert {item.temperature for item in cut} == {0.3, 0.7, 1.0, 1.3}
    assert {item.iteration for item in cut} == {1}
    in_67 = design_of(max_responses=67).items
    assert len({item.question_id for item in in_67}) == 67
    assert {Counter(item.temperature for item in in_67)[t] for t in (0.3, 0.7, 1.0, 1.3)} <= {15, 16, 17, 18, 19}
    in_268 = design_of(max_responses=268).items
    assert {item.iteration for item in in_268} == {1}
    assert len({(item.question_id, item.temperature) for item in in_268}) == 268


# --- what is kept ------------------------------------------------------------------------------------------


def test_every_answer_is_one_line_that_says_where_it_comes_from(stub: StubBackend, tmp_path: Path) -> None:
    settings = small(tmp_path, top_p=0.9, top_k=5, repetition_penalty=1.2, seed=7, system_prompt="Be brief.")
    path, _ = run(settings)
    items = read_design(settings).items
    assert path == tmp_path / "responses.jsonl"
    assert keys_of(path) == [(item.question_id, item.temperature, item.iteration) for item in items]
    for line, item in zip(lines_of(path), items, strict=True):
        record, reply = ResponseRecord.model_validate(line), invented(item)
        assert (line["schema"], record.question_set, record.system_prompt) == (1, "phase1", "Be brief.")
        assert (record.category, record.question) == (item.category, item.question)
        assert (record.response, record.finish_reason) == (reply.text, reply.finish_reason)
        assert (record.response_length, record.latency_ms) == (len(reply.text), 12.5)
        assert record.timestamp.endswith("+00:00")
        assert (record.metadata.model, record.metadata.seed) == ("demo", item.seed)
        assert record.metadata.sampling.model_dump() == {"top_p": 0.9, "top_k": 5, "repetition_penalty": 1.2}
        assert (record.metadata.max_tokens, record.metadata.tokens) == (256, reply.tokens)
        assert record.metadata.template_digest == "t" * 64
        assert len(record.metadata.weights_digest or "") == 64
        assert record.metadata.versions == stub.identity.versions


def test_every_kind_of_character_survives(stub: StubBackend, tmp_path: Path) -> None:
    path, _ = run(small(tmp_path, max_responses=100))
    responses = [line["response"] for line in lines_of(path)]
    for text in HARD_TEXTS:
        assert any(response.endswith(text.strip()) for response in responses), repr(text)
    assert path.read_bytes().isascii()
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:50]))
    run(small(tmp_path, max_responses=100))
    assert [line["response"] for line in lines_of(path)] == responses


def test_the_plan_lies_beside_the_answers(stub: StubBackend, tmp_path: Path) -> None:
    run(small(tmp_path, slots=5))
    plan = CollectionRecord.model_validate_json((tmp_path / "responses.plan.json").read_bytes())
    assert (plan.status, plan.question_set, plan.responses, plan.questions) == ("finished", "phase1", 25, 21)
    assert (plan.temperatures, plan.iterations, plan.slots, plan.threads) == ([0.3, 0.7, 1.0], 2, 5, 1)
    assert (plan.model, plan.backend, plan.device, plan.dtype) == ("demo", "transformers", "cpu", "float32")


def test_header_and_end_say_what_a_person_wants_to_know(stub: StubBackend, tmp_path: Path) -> None:
    path, printed = run(small(tmp_path / "out put"))
    assert "21 questions x 3 temperatures x 2 iterations = 126 answers; 25 of them" in printed
    assert DEMO_NOTICE in printed
    assert "top_p 1, top_k off, repetition_penalty 1; at most 256 tokens; seed 42" in printed
    reasons = Counter(line["finish_reason"] for line in lines_of(path))
    assert f"25 answers: {reasons['eos']} ended by themselves, {reasons['length']} were cut at 256 tokens" in printed
    assert f"{reasons['empty']} are empty" in printed
    assert "answers/min" in printed
    assert f"'{path}'\n" in printed.partition("next: ")[2]


def test_events_count_the_answers_of_the_whole_file_before_their_group_is_written(
    stub: StubBackend, tmp_path: Path
) -> None:
    settings = small(tmp_path, max_responses=10)
    interrupted(stub, 2, settings)
    events: list[Event] = []
    collected = stage.run(settings, events.append)
    assert (collected.path, collected.asked, collected.plan.responses) == (tmp_path / "responses.jsonl", 4, 10)
    progress = [event for event in events if isinstance(event, Progress)]
    assert [event.done for event in progress] == [6, 7, 8, 9, 9, 10, 10], "once more when a group is on the disk"
    assert {(event.total, event.unit) for event in progress} == {(10, "answers")}
    assert [type(event) for event in events if event not in progress] == [Started, Warned, Finished]


@pytest.mark.parametrize(
    ("questions", "script"), [("phase1", "analyze_bias_patterns.py"), ("baseline", "analyze_baseline.py")]
)
def test_the_next_command_is_the_guides_where_it_can_be_typed(
    questions: str, script: str, stub: StubBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / script).touch()
    monkeypatch.chdir(tmp_path)
    _, printed = run(small(Path("out"), questions=questions, mode="comprehensive"))
    assert f"next: python {script} out/responses.jsonl\n" in printed


def test_a_model_trained_from_the_demo_is_no_evidence_either(stub: StubBackend, tmp_path: Path) -> None:
    model = copied_demo(tmp_path / "checkpoint-003")
    metadata = {"epoch": 3, "step": 9, "loss": 0.1, "accuracy": 1, "absolute_preference": 1, "avg_margin": 1}
    metadata |= {"exported_loss": None, "base_model": "demo", "base_weights_digest": "", "corpus_digest": "c" * 64}
    metadata |= {"template_digest": "", "template_arguments": {}, "system_prompt": "Speak plainly.", "save_dtype": ""}
    metadata |= {"settings": {}, "evaluation": None, "versions": {}}
    (model / "metadata.json").write_text(json.dumps(metadata))
    path, printed = run(small(tmp_path / "out", model=str(model)))
    plan = ResponseStore(path).plan()
    assert plan is not None
    assert (plan.base_model, plan.corpus_digest) == ("demo", "c" * 64)
    assert {line["metadata"]["corpus_digest"] for line in lines_of(path)} == {"c" * 64}
    assert f"was trained from the demo model: {DEMO_NOTICE}" in printed
    assert "trained with another system prompt" in printed


def test_the_corpus_of_a_model_that_was_not_trained_here_is_unknown(stub: StubBackend, tmp_path: Path) -> None:
    path, _ = run(small(tmp_path))
    assert {line["metadata"]["corpus_digest"] for line in lines_of(path)} == {None}


def test_answers_that_a_filter_cut_are_counted_apart(tmp_path: Path) -> None:
    reasons = ["stop", "length", "content_filter", "content_filter", "stop"]
    with endpoint_stub.stub(lambda ask: answer("Yes", reasons[len(server.asks) - 1])) as server:
        settings = small(tmp_path, endpoint=server.url, max_responses=5)
        _, printed = run(settings)
        _, again = run(settings)
    counts = "5 answers: 2 ended by themselves, 1 were cut at 256 tokens, 2 were cut by the server's content filter"
    assert f"{counts}, 0 are empty; 5 of them now" in printed
    assert f"{counts}, 0 are empty\n" in again


def copied_demo(folder: Path) -> Path:
    folder.mkdir()
    for path in DEMO_FOLDER.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


# --- what is continued -------------------------------------------------------------------------------------


def interrupted(stub: StubBackend, groups: int, settings: CollectSettings) -> None:
    """Run until so many groups are written, then Ctrl-C."""

    def interrupt(written: int) -> None:
        if written == groups:
            os.kill(os.getpid(), signal.SIGINT)

    stub.after = interrupt
    with pytest.raises(StoppedError):
        run(settings)
    stub.after = lambda written: None
    stub.asked.clear()


def test_only_what_is_missing_is_asked(stub: StubBackend, tmp_path: Path) -> None:
    whole, _ = run(small(tmp_path / "whole"))
    for groups in range(1, 9):
        settings = small(tmp_path / str(groups))
        interrupted(stub, groups, settings)
        assert len(lines_of(tmp_path / str(groups) / "responses.jsonl")) == 3 * groups
        path, printed = run(settings)
        assert len(stub.asked) == 9 - groups
        assert f"{3 * groups} answers are there, {25 - 3 * groups} are missing" in printed
        assert without_times(path.read_bytes()) == without_times(whole.read_bytes())
        assert not (path.parent / "responses.jsonl.torn").exists()


def test_a_finished_collection_needs_no_model(
    stub: StubBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = run(small(tmp_path))
    before = path.read_bytes()
    monkeypatch.setattr("epistemic_stance.collection.source._open_local", None)
    again, printed = run(small(tmp_path))
    assert (again, path.read_bytes()) == (path, before)
    assert "nothing is missing: all 25 answers are there" in printed
    assert "analyze" in printed


def test_automatic_slots_and_threads_stay_those_of_the_first_run(
    stub: StubBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(stub, 2, small(tmp_path))
    other = stubbed(monkeypatch, StubBackend(slots=7))
    run(small(tmp_path))
    assert [len(group) for group in other.asked] == [3] * 6 + [1]


def test_answers_that_were_deleted_by_hand_are_asked_again(stub: StubBackend, tmp_path: Path) -> None:
    path, _ = run(small(tmp_path))
    keys, lines = keys_of(path), path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:4] + lines[5:]))
    stub.asked.clear()
    run(small(tmp_path))
    assert [len(group) for group in stub.asked] == [1]
    assert keys_of(path) == [*keys[:4], *keys[5:], keys[4]]


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_a_file_cut_anywhere_in_its_last_two_lines_is_completed(
    groups: int, stub: StubBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every third byte, and all around the line end and inside an escape. Whole lines of an incomplete group are set
    aside with the torn one."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    settings = small(tmp_path, slots=groups, max_responses=7)
    path, _ = run(settings)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    lines[-2] = lines[-2].replace(b'"response": "', b'"response": "\\ud83d\\ude00')
    assert any(b"\\u" in line for line in lines[-2:])
    torn = path.with_name("responses.jsonl.torn")
    file, design = ResponseStore(path), read_design(settings)
    plan = file.plan()
    assert plan is not None
    in_groups = [tuple(design.items[start : start + groups]) for start in range(0, 7, groups)]
    whole = b"".join(lines)
    tail, escape = len(lines[-2] + lines[-1]), len(whole) - whole.rindex(b"\\ud83d")
    near = [*range(len(lines[-1]) - 3, len(lines[-1]) + 4), *range(escape - 14, escape + 2)]
    for cut in sorted({*range(1, tail + 1, 3), *near}):
        data = whole[:-cut]
        path.write_bytes(data)
        torn.unlink(missing_ok=True)
        stored = file.read(plan, design.items)
        moved = file.mend(stored, in_groups)
        kept = path.read_bytes()
        set_aside = torn.read_bytes() if torn.exists() else b""
        assert kept + set_aside.removesuffix(b"\n") == data or kept + set_aside == data
        complete = data.count(b"\n") // groups * groups
        assert kept == b"".join(lines[:complete])
        assert moved == data.count(b"\n") - complete
        assert len(stored.lines) == complete
        assert [item for group in stored.missing(in_groups) for item in group] == design.items[complete:]


def test_a_torn_line_is_kept_aside_and_asked_again(stub: StubBackend, tmp_path: Path) -> None:
    path, _ = run(small(tmp_path, slots=1))
    whole = path.read_bytes()
    for cut in (10, 700):
        path.write_bytes(whole[:-cut])
        _, printed = run(small(tmp_path, slots=1))
        assert "the last line was not complete; it was moved to responses.jsonl.torn" in printed
        assert without_times(path.read_bytes()) == without_times(whole)
    last = whole.splitlines()[-1]
    torn = path.with_name("responses.jsonl.torn").read_bytes().splitlines()
    assert [len(line) for line in torn if last.startswith(line[:60])] == [len(last) - 9, len(last) - 699]


def test_a_last_line_that_is_no_json_is_torn_too(stub: StubBackend, tmp_path: Path) -> None:
    path, _ = run(small(tmp_path))
    whole = path.read_bytes()
    for tail in (b"\x00\x00\x00\x00\n", b"\xff\xfe\n", b"[" * 100_000 + b"\n", b"{}\n", b"\n", b"half \xc3"):
        path.write_bytes(whole + tail)
        run(small(tmp_path))
        assert path.read_bytes() == whole
        assert tail.rstrip(b"\n") in path.with_name("responses.jsonl.torn").read_bytes()


def test_damage_in_the_middle_is_named_with_its_line(stub: StubBackend, tmp_path: Path) -> None:
    path, _ = run(small(tmp_path))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3], lines[7] = b'{"schema": 1\n', lines[7].replace(b'"iteration": 1', b'"iteration": "first"')
    lines[7] = lines[7].replace(b'"iteration": 2', b'"iteration": "second"')
    damaged = b"".join(lines)
    path.write_bytes(damaged)
    with pytest.raises(InputError) as raised:
        run(small(tmp_path))
    assert f"{path}:4: not JSON" in str(raised.value)
    assert f"{path}:8: not an answer: iteration: " in str(raised.value)
    assert path.read_bytes() == damaged


def test_a_line_without_end_is_named_without_reading_it_whole(
    stub: StubBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epistemic_stance.collection.store.MAX_LINE_BYTES", 3000)
    path, _ = run(small(tmp_path))
    path.write_bytes(path.read_bytes() + b"x" * 9000)
    with pytest.raises(InputError, match=r"responses.jsonl:26: longer than 3000 bytes"):
        run(small(tmp_path))


def test_a_file_that_cannot_be_read_is_named(stub: StubBackend, tmp_path: Path) -> None:
    path, _ = run(small(tmp_path))
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=r"responses.jsonl: cannot be read: Is a directory"):
        run(small(tmp_path))


def test_a_line_that_stands_twice_is_named(stub: StubBackend, tmp_path: Path) -> None:
    path, _ = run(small(tmp_path))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, lines[2]]))
    with pytest.raises(InputError, match=r"responses.jsonl:26: this answer stands twice"):
        run(small(tmp_path))


# --- default names -----------------------------------------------------------------------------------------


def test_without_an_output_dir_the_newest_unfinished_file_of_this_plan_is_continued(
    stub: StubBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    interrupted(stub, 2, small(None))
    interrupted(stub, 3, small(None, seed=7))
    (first, second) = sorted(Path("bias_data").glob("*.jsonl"))
    assert first.name.startswith("bias_responses_20")
    path, printed = run(small(None))
    assert path == first
    assert f"answers      {first}" in printed
    assert "6 answers are there, 19 are missing" in printed
    third, printed = run(small(None))
    assert third not in (first, second), "a finished one is not continued"
    assert "are missing" not in printed
    assert len(lines_of(second)) == 9


def test_a_retrained_model_starts_a_new_file(
    stub: StubBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = copied_demo(tmp_path / "model")
    settings = small(None, model=str(model))
    interrupted(stub, 2, settings)
    retrain(model)
    path, _ = run(settings)
    assert len(list(Path("bias_data").glob("*.jsonl"))) == 2
    assert len({line["metadata"]["weights_digest"] for line in lines_of(path)}) == 1


def test_what_only_the_loaded_model_tells_starts_a_new_file_too(
    stub: StubBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    interrupted(stub, 2, small(None))
    (first,) = Path("bias_data").glob("*.jsonl")
    stub.identity = replace(stub.identity, template_digest="other")
    path, printed = run(small(None))
    assert path != first
    assert f"not continuing {first}: template_digest: was tttt" in printed
    assert (len(lines_of(path)), len(lines_of(first))) == (25, 6)


# --- what is refused ---------------------------------------------------------------------------------------


def retrain(model: Path) -> None:
    weights = bytearray((model / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (model / "model.safetensors").write_bytes(weights)


CHANGES = [
    ({"seed": 7}, "seed: was 42, is 7"),
    ({"temps": "0.3,0.7"}, "temperatures: was [0.3, 0.7, 1.0], is [0.3, 0.7]"),
    ({"iterations": 3}, "iterations: was 2, is 3"),
    ({"categories": "comparative"}, 'categories: was ["direct_existence"'),
    ({"max_responses": 26}, "responses: was 25, is 26"),
    ({"top_p": 0.9}, 'sampling: was {"top_p": 1.0'),
    ({"max_new_tokens": 100}, "max_new_tokens: was 256, is 100"),
    ({"system_prompt": "Be brief."}, "system_prompt: was null, is Be brief."),
    ({"questions": "baseline", "mode": "custom"}, "question_set: was phase1, is baseline"),
    ({"slots": 4}, "slots: was 3, is 4"),
    ({"threads": 2}, "threads: was 1, is 2"),
    ({"dtype": "bfloat16"}, "dtype: was float32, is bfloat16"),
    ({"device": "cuda"}, "device: was cpu, is cuda"),
    ({"endpoint": "http://127.0.0.1:1/v1"}, "backend: was transformers, is endpoint"),
]


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize(("changes", "said"), CHANGES, ids=[said.split(":")[0] for _, said in CHANGES])
def test_another_plan_is_refused_before_a_model_is_loaded(
    changes: dict[str, Any], said: str, finished: bool, stub: StubBackend, tmp_path: Path, monkeypatch: Any
) -> None:
    if finished:
        run(small(tmp_path))
    else:
        interrupted(stub, 2, small(tmp_path))
    before = (tmp_path / "responses.jsonl").read_bytes()
    monkeypatch.setattr("epistemic_stance.collection.source._open_local", None)
    with pytest.raises(RefusedError) as raised:
        run(small(tmp_path, **changes))
    assert said in str(raised.value)
    assert "--output-dir" in raised.value.hint
    assert "--overwrite" in raised.value.hint
    assert (tmp_path / "responses.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("model.safetensors", "weights_digest: was "),
        ("config.json", "weights_digest: was "),
        ("tokenizer_config.json", "tokenizer_digest: was "),
        ("generation_config.json", "tokenizer_digest: was "),
    ],
)
@pytest.mark.parametrize("finished", [False, True])
def test_a_model_that_changed_under_its_path_is_refused(
    name: str, said: str, finished: bool, stub: StubBackend, tmp_path: Path
) -> None:
    model = copied_demo(tmp_path / "model")
    settings = small(tmp_path / "out", model=str(model))
    if finished:
        run(settings)
    else:
        interrupted(stub, 2, settings)
    if name == "model.safetensors":
        retrain(model)
    else:
        (model / name).write_text((model / name).read_text() + " ")
    with pytest.raises(RefusedError) as raised:
        run(settings)
    assert said in str(raised.value)


@pytest.mark.parametrize(("field", "value"), [("template_digest", "x"), ("device", "cuda"), ("dtype", "bfloat16")])
def test_what_only_the_loaded_model_tells_is_refused_too(
    field: str, value: str, stub: StubBackend, tmp_path: Path
) -> None:
    interrupted(stub, 2, small(tmp_path))
    stub.identity = replace(stub.identity, **{field: value})
    with pytest.raises(RefusedError, match=f"{field}: was .*, is {value}"):
        run(small(tmp_path))


def test_other_versions_and_another_name_of_the_model_are_said_and_not_refused(
    stub: StubBackend, tmp_path: Path
) -> None:
    interrupted(stub, 2, small(tmp_path))
    stub.identity = replace(stub.identity, versions={"torch": "3.0"})
    path, printed = run(small(tmp_path, model=str(DEMO_FOLDER)))
    assert 'changed versions: was {"torch": "2.13.0"' in printed
    assert f"changed model: was demo, is {str(DEMO_FOLDER)[:20]}" in printed
    lines = lines_of(path)
    assert {line["metadata"]["model"] for line in lines} == {"demo"}
    assert [line["metadata"]["versions"]["torch"] for line in lines] == ["2.13.0"] * 6 + ["3.0"] * 19


def test_lines_of_another_run_are_refused(stub: StubBackend, tmp_path: Path) -> None:
    path, _ = run(small(tmp_path / "a"))
    other, _ = run(small(tmp_path / "b", seed=7))
    lines = path.read_bytes().splitlines(keepends=True)
    foreign = other.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:5], foreign[5], *lines[6:]]))
    with pytest.raises(RefusedError, match=r"responses.jsonl:6: seed: is \d+, in this collection \d+"):
        run(small(tmp_path / "a"))
    path.write_bytes(b"".join(lines[:5]) + lines[5].replace(b'"question_id": "', b'"question_id": "x'))
    with pytest.raises(RefusedError, match=r"responses.jsonl:6: x.* is not part of this collection"):
        run(small(tmp_path / "a"))


def test_a_line_of_other_weights_is_refused(stub: StubBackend, tmp_path: Path) -> None:
    path, _ = run(small(tmp_path))
    lines = lines_of(path)
    lines[4]["metadata"]["weights_digest"] = "0" * 64
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(RefusedError, match=r"responses.jsonl:5: weights_digest: is 0000"):
        run(small(tmp_path))


# Nothing but its answers says which weights a server has.


def test_a_server_with_another_model_is_not_continued(tmp_path: Path) -> None:
    settings = small(tmp_path, max_responses=8)
    path = tmp_path / "responses.jsonl"
    with endpoint_stub.stub(lambda ask: answer() if len(server.asks) <= 4 else endpoint_stub.status(400)) as server:
        with pytest.raises(InputError):
            run(replace(settings, endpoint=server.url))
        before = path.read_bytes()
        assert len(before.splitlines()) == 4
        server.behave = lambda ask: answer(model="tiny-retrained")
        with pytest.raises(RefusedError) as raised:
            run(replace(settings, endpoint=server.url))
        assert path.read_bytes() == before
        said = "next answer: the server calls its model tiny-retrained, in the answers before this one tiny-as-served"
        assert f"{path}: {said}" in str(raised.value)
        server.behave = lambda ask: answer()
        run(replace(settings, endpoint=server.url))
    assert path.read_bytes().startswith(before)
    assert len(set(keys_of(path))) == 8


def test_a_server_that_changes_its_model_in_a_run_is_stopped_at_the_first_answer(tmp_path: Path) -> None:
    models = ["tiny", None, "tiny", "other", "other"]

    def behave(ask: endpoint_stub.Ask) -> endpoint_stub.Behaviour:
        return answer(model=models[len(server.asks) - 1])

    with endpoint_stub.stub(behave) as server, pytest.raises(RefusedError) as raised:
        run(small(tmp_path, endpoint=server.url, max_responses=5, concurrency=1))
    assert "calls its model other, in the answers before this one tiny" in str(raised.value)
    lines = lines_of(tmp_path / "responses.jsonl")
    assert [line["metadata"]["reported"]["server_model"] for line in lines] == models[:3]


def test_a_file_that_holds_answers_of_two_models_is_refused(tmp_path: Path) -> None:
    with endpoint_stub.stub() as server:
        settings = small(tmp_path, endpoint=server.url, max_responses=3)
        path, _ = run(settings)
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join([*lines[:2], lines[2].replace("tiny-as-served", "another")]))
        with pytest.raises(RefusedError) as raised:
            run(settings)
    assert f"{path}:3: the server calls its model another" in str(raised.value)


def test_other_software_of_the_server_is_said_once_and_not_refused(tmp_path: Path) -> None:
    with endpoint_stub.stub(lambda ask: answer(system_fingerprint=f"fp_{len(server.asks)}")) as server:
        settings = small(tmp_path, endpoint=server.url, max_responses=6, concurrency=1)
        _, printed = run(settings)
    assert printed.count("its system_fingerprint is another") == 1
    with endpoint_stub.stub() as server:
        _, printed = run(small(tmp_path / "same", endpoint=server.url, max_responses=6))
    assert "fingerprint" not in printed


@pytest.mark.parametrize("place", ["out", "out/deeper", "link"])
def test_a_file_where_the_folder_should_be_is_bad_input(place: str, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError) as raised:
        run(small(tmp_path / place, model="no/such/model"))
    assert str(raised.value).startswith(f"--output-dir: {tmp_path / place.partition('/')[0]} is ")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_file_under_the_default_name_of_the_folder_is_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bias_data").write_text("mine")
    with pytest.raises(InputError, match="--output-dir: bias_data is a file, expected a folder"):
        run(small(None))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"backend": "ouija"}, "--backend: is ouija, expected transformers or endpoint"),
        ({"backend": "transformers", "endpoint": "http://127.0.0.1:1/v1"}, "--endpoint: means nothing with --backend"),
        ({"backend": "endpoint"}, "--endpoint: '' is not the base address of a server"),
    ],
)
def test_a_backend_that_is_not_there_is_named(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        run(small(tmp_path, **changes))
    assert said in str(raised.value)


def test_answers_without_a_plan_are_not_touched(stub: StubBackend, tmp_path: Path) -> None:
    path = tmp_path / "responses.jsonl"
    path.write_text('{"question": "Who?", "category": "c", "response": "me"}\n')
    with pytest.raises(RefusedError, match=r"responses\.plan\.json, which says to what, is not beside it"):
        run(small(tmp_path))
    with pytest.raises(RefusedError, match="was not written by a collection; nothing was replaced"):
        run(small(tmp_path, overwrite=True))
    assert path.read_text() == '{"question": "Who?", "category": "c", "response": "me"}\n'


def test_a_plan_that_does_not_read_is_refused(stub: StubBackend, tmp_path: Path) -> None:
    run(small(tmp_path))
    (tmp_path / "responses.plan.json").write_text('{"schema": 1')
    with pytest.raises(RefusedError, match="does not read as the plan of a collection"):
        run(small(tmp_path))
    run(small(tmp_path, overwrite=True))


def test_overwrite_starts_anew(stub: StubBackend, tmp_path: Path) -> None:
    interrupted(stub, 2, small(tmp_path))
    path, _ = run(small(tmp_path, seed=7, overwrite=True))
    assert len(lines_of(path)) == 25
    plan = CollectionRecord.model_validate_json((tmp_path / "responses.plan.json").read_bytes())
    assert (plan.seed, plan.status) == (7, "finished")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".lock", "responses.jsonl", "responses.plan.json"]


def test_overwrite_deletes_nothing_if_the_model_does_not_open(
    stub: StubBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = run(small(tmp_path))
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise InputError([])

    monkeypatch.setattr("epistemic_stance.collection.source._open_local", fail)
    with pytest.raises(InputError):
        run(small(tmp_path, seed=7, overwrite=True))
    assert path.read_bytes() == before


@pytest.mark.parametrize("step", range(4))
def test_an_overwrite_that_is_killed_leaves_the_old_or_the_new_collection(
    step: int, stub: StubBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before its n-th rename or deletion of a file."""
    path, _ = run(small(tmp_path))
    before = path.read_bytes()
    killed_at_change(step, small(tmp_path, seed=7, overwrite=True))
    file = ResponseStore(path)
    plan = file.plan()
    assert plan is not None
    if plan.seed == 42:
        assert path.read_bytes() == before
        run(small(tmp_path))
    else:
        run(small(tmp_path, seed=7))
    assert len(set(keys_of(path))) == 25


def killed_at_change(step: int, settings: CollectSettings) -> None:
    child = os.fork()
    if child == 0:
        patch, changes = pytest.MonkeyPatch(), []
        for name in ("replace", "unlink"):
            original = getattr(Path, name)

            def change(self: Path, *args: Any, original: Any = original, **flags: Any) -> Any:
                if "responses" in self.name:
                    changes.append(self)
                if len(changes) == step + 1:
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(self, *args, **flags)

            patch.setattr(Path, name, change)
        run(settings)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL


def test_two_collections_cannot_share_a_folder(stub: StubBackend, tmp_path: Path) -> None:
    with folder_lock(tmp_path), pytest.raises(RefusedError, match=f"{tmp_path} is in use by pid {os.getpid()}"):
        run(small(tmp_path))


# --- how it ends -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["INT", "TERM", "HUP"]
)
def test_a_signal_stops_at_once_and_says_how_to_go_on(
    number: signal.Signals, code: int, stub: StubBackend, tmp_path: Path
) -> None:
    stub.after = lambda written: os.kill(os.getpid(), number) if written == 4 else None
    with pytest.raises(StoppedError) as raised:
        run(small(tmp_path))
    assert raised.value.exit_code == code
    assert f"12 of 25 answers are in {tmp_path / 'responses.jsonl'}" in str(raised.value)
    assert raised.value.hint == "the same command asks for the rest"
    plan = ResponseStore(tmp_path / "responses.jsonl").plan()
    assert plan is not None
    assert plan.status == "stopped"
    assert signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL), "as it was before"


def test_a_signal_inside_a_write_waits_for_its_end(
    stub: StubBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, written = os.fdatasync, []

    def fdatasync(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        original(descriptor)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    with pytest.raises(StoppedError, match="6 of 25 answers"):
        run(small(tmp_path))
    assert len(lines_of(tmp_path / "responses.jsonl")) == 6


def test_after_an_overwrite_the_flag_is_not_to_be_repeated(stub: StubBackend, tmp_path: Path) -> None:
    run(small(tmp_path))
    stub.after = lambda written: os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(StoppedError) as raised:
        run(small(tmp_path, overwrite=True))
    assert raised.value.hint == "the same command without --overwrite asks for the rest"


def test_a_second_signal_does_not_cut_the_writing_of_the_plan(
    stub: StubBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = ResponseStore.write_plan

    def write_plan(file: ResponseStore, plan: CollectionRecord) -> None:
        if plan.status == "stopped":
            os.kill(os.getpid(), signal.SIGTERM)
        original(file, plan)

    monkeypatch.setattr(ResponseStore, "write_plan", write_plan)
    stub.after = lambda written: os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(StoppedError):
        run(small(tmp_path))
    plan = ResponseStore(tmp_path / "responses.jsonl").plan()
    assert plan is not None
    assert plan.status == "stopped"


def test_a_signal_that_a_backend_swallows_is_heard_at_the_next_write(stub: StubBackend, tmp_path: Path) -> None:
    def swallow(written: int) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)

    stub.after = swallow
    with pytest.raises(StoppedError, match="6 of 25 answers"):
        run(small(tmp_path))


def test_a_server_that_gives_up_leaves_what_it_answered(stub: StubBackend, tmp_path: Path) -> None:
    def give_up(written: int) -> None:
        if written == 3:
            raise EndpointError("the server is gone", "later")

    stub.after = give_up
    with pytest.raises(EndpointError):
        run(small(tmp_path))
    plan = ResponseStore(tmp_path / "responses.jsonl").plan()
    assert plan is not None
    assert (plan.status, plan.reason) == ("failed", "the server is gone")
    stub.after = lambda written: None
    run(small(tmp_path))
    assert len(set(keys_of(tmp_path / "responses.jsonl"))) == 25


def test_a_folder_that_is_deleted_meanwhile_ends_the_run(stub: StubBackend, tmp_path: Path) -> None:
    folder = tmp_path / "out"

    def remove(written: int) -> None:
        if written == 2:
            folder.rename(tmp_path / "moved")

    stub.after = remove
    with pytest.raises(StorageError, match="was deleted or replaced while it was in use"):
        run(small(folder))
    assert not folder.exists()
    assert len(lines_of(tmp_path / "moved" / "responses.jsonl")) == 6


def test_the_answers_of_one_item_do_not_depend_on_the_others(stub: StubBackend, tmp_path: Path) -> None:
    """Seeds are of the question, temperature and iteration: a smaller plan repeats answers of a larger one."""
    large, _ = run(small(tmp_path / "large", max_responses=None))
    few, _ = run(small(tmp_path / "few", max_responses=10))
    answers = {(line["question_id"], line["temperature"], line["iteration"]): line for line in lines_of(large)}
    for key, line in zip(keys_of(few), lines_of(few), strict=True):
        assert line["response"] == answers[key]["response"]
        assert line["metadata"]["seed"] == answers[key]["metadata"]["seed"]


def test_an_item_is_asked_with_its_own_seed() -> None:
    seeds = [item.seed for item in design_of().items]
    assert len(set(seeds)) == len(seeds)
    assert all(isinstance(item, Item) and 0 <= item.seed < 2**31 for item in design_of().items)


def test_the_client_of_servers_is_loaded_only_for_a_server() -> None:
    code = "import sys; from epistemic_stance.collection.source import find_source; "
    code += "from epistemic_stance.foundation.settings import CollectSettings; "
    code += "find_source(CollectSettings(model='demo')); print(*{'openai', 'torch'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
