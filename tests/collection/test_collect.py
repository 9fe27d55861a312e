"""What is kept of a collection and how it ends, with a stub for the model."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import endpoint_stub
import pytest
from collect_stub import (
    HARD_TEXTS,
    StubBackend,
    copied_demo,
    interrupted,
    invented,
    keys_of,
    lines_of,
    run,
    small,
    stubbed,
)
from endpoint_stub import answer

from epistemic_stance.collection import run as stage
from epistemic_stance.collection.design import read_design
from epistemic_stance.collection.store import ResponseStore
from epistemic_stance.foundation.errors import EndpointError, StoppedError, StorageError
from epistemic_stance.foundation.reporter import Event, Finished, Progress, Started, Warned
from epistemic_stance.foundation.settings import DEMO_NOTICE
from epistemic_stance.records.collection import CollectionRecord, ResponseRecord


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> StubBackend:
    return stubbed(monkeypatch)


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


@pytest.mark.parametrize("cut_off", [False, True])
def test_more_of_the_same_plan_adds_to_what_is_there(stub: StubBackend, tmp_path: Path, cut_off: bool) -> None:
    whole, _ = run(small(tmp_path / "whole", max_responses=25))
    path, _ = run(small(tmp_path / "grown", max_responses=10))
    first = path.read_bytes()
    if cut_off:
        interrupted(stub, 2, small(tmp_path / "grown", max_responses=25))
    run(small(tmp_path / "grown", max_responses=25))
    assert path.read_bytes().startswith(first), "none is asked again"
    assert {key(line): line["response"] for line in lines_of(path)} == {
        key(line): line["response"] for line in lines_of(whole)
    }
    plan = CollectionRecord.model_validate_json((tmp_path / "grown" / "responses.plan.json").read_bytes())
    assert (plan.status, plan.responses, len(lines_of(path))) == ("finished", 25, 25)


def key(line: dict[str, Any]) -> tuple[object, ...]:
    return line["question_id"], line["temperature"], line["iteration"]


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


def test_the_answers_of_one_item_do_not_depend_on_the_others(stub: StubBackend, tmp_path: Path) -> None:
    """Seeds are of the question, temperature and iteration: a smaller plan repeats answers of a larger one."""
    large, _ = run(small(tmp_path / "large", max_responses=None))
    few, _ = run(small(tmp_path / "few", max_responses=10))
    answers = {(line["question_id"], line["temperature"], line["iteration"]): line for line in lines_of(large)}
    for key, line in zip(keys_of(few), lines_of(few), strict=True):
        assert line["response"] == answers[key]["response"]
        assert line["metadata"]["seed"] == answers[key]["metadata"]["seed"]


# --- how it ends -----------------------------------------------------------------------------------------


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


def test_the_client_of_servers_is_loaded_only_for_a_server() -> None:
    code = "import sys; from epistemic_stance.collection.source import find_source; "
    code += "from epistemic_stance.foundation.settings import CollectSettings; "
    code += "find_source(CollectSettings(model='demo')); print(*{'openai', 'torch'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
