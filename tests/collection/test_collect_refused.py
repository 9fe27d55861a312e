"""What is refused instead of being continued, with a stub for the model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import endpoint_stub
import pytest
from collect_stub import (
    StubBackend,
    copied_demo,
    interrupted,
    keys_of,
    lines_of,
    retrain,
    run,
    small,
    stubbed,
)
from endpoint_stub import answer

from epistemic_stance.foundation.errors import InputError, RefusedError
from epistemic_stance.models.find import DEMO_FOLDER


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> StubBackend:
    return stubbed(monkeypatch)


CHANGES = [
    ({"seed": 7}, "seed: was 42, is 7"),
    ({"temps": "0.3,0.7"}, "temperatures: was [0.3, 0.7, 1.0], is [0.3, 0.7]"),
    ({"iterations": 3}, "iterations: was 2, is 3"),
    ({"categories": "comparative"}, 'categories: was ["direct_existence"'),
    ({"max_responses": 24}, "responses: was 25, is 24"),
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
