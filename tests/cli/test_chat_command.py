"""Talking to models: who is asked what, what is forgotten and said so, commands, pipes, terminals, Ctrl-C."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from small_run import run, small_settings
from terminal_process import PATIENCE_S, Terminal
from tiny import save_tiny

from epistemic_stance.cli.chat import Chat, run_chat
from epistemic_stance.foundation.errors import InputError, NumericError
from epistemic_stance.foundation.settings import ChatSettings
from epistemic_stance.foundation.signals import StopAtOnce
from epistemic_stance.models.chat_template import render
from epistemic_stance.models.conversation import ChatModel, ChatSampling
from epistemic_stance.models.find import find_model
from epistemic_stance.models.open import open_model
from epistemic_stance.records.chat import TurnRecord


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("chat") / "model")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run with weights of its own: one epoch on nine pairs."""
    return run(small_settings(tmp_path_factory.mktemp("run"))).checkpoint(3)


def chat_model(folder: Path, label: str = "model") -> ChatModel:
    files = find_model(str(folder))
    return ChatModel(label, files.name, open_model(files, device="cpu").decoder)


def sampling(**changes: Any) -> ChatSampling:
    return ChatSampling(**{"system_prompt": None, "temperature": 0.0, "max_new_tokens": 6, "seed": 1, **changes})


def talk(models: list[ChatModel], lines: Sequence[str], asked: ChatSampling | None = None) -> tuple[Chat, str]:
    """Say these lines; the chat, and what it printed."""
    shown = io.StringIO()
    chat = Chat(models, asked or sampling(), Console(file=shown, width=80))
    chat.run(iter(lines), StopAtOnce())
    return chat, shown.getvalue()


# --- the conversation --------------------------------------------------------------------------------------


def test_each_model_sees_the_questions_and_its_own_answers(model: Path, checkpoint: Path) -> None:
    base, tuned = chat_model(model, "base"), chat_model(checkpoint)
    talk([base, tuned], ["Is the lamp on?", "", "Why?"])
    for each in (base, tuned):
        assert [question for question, _ in each.turns] == ["Is the lamp on?", "Why?"]
        (first, answer), (second, last) = each.turns
        messages = [{"role": "user", "content": first}, {"role": "assistant", "content": answer}]
        decoder = each.decoder
        messages.append({"role": "user", "content": second})
        expected = render(decoder.tokenizer, messages, add_generation_prompt=True)
        with torch.no_grad():
            token = int(decoder.model(torch.tensor([expected])).logits[0, -1].argmax())
        assert each.reply("ignored", sampling(), 0).dropped == 0
        assert ChatModel("m", each.name, decoder, each.turns[:1]).prompt("Why?", sampling()) == (expected, 0)
        assert last == "" or decoder.tokenizer.decode([token]).strip() in last
    assert base.turns != tuned.turns, "different weights answered alike: the test shows nothing"


def test_the_seed_and_the_turn_decide_a_sampled_answer(model: Path) -> None:
    talking = chat_model(model)
    lines = ["Is the lamp on?", "/reset", "Is the lamp on?"]
    first, second = (talk([chat_model(model)], lines, sampling(temperature=1.0))[1] for _ in range(2))
    assert first == second
    seeds = [talking.reply("Is the lamp on?", sampling(temperature=1.0), seed).text for seed in (1, 2)]
    assert seeds[0] != seeds[1]
    assert seeds[0].split() == first.split("a new conversation")[0].split()[: len(seeds[0].split())]


def test_reset_forgets_the_conversation_and_keeps_the_system_prompt(model: Path) -> None:
    talking = chat_model(model)
    chat, shown = talk([talking], ["/system Be brief.", "Is it on?", "/reset", "Is it off?"])
    assert [question for question, _ in talking.turns] == ["Is it off?"]
    assert "system prompt: Be brief." in shown
    prompt, _ = talking.prompt("Why?", chat._sampling)
    assert "Be brief." in talking.decoder.tokenizer.decode(prompt)


def test_the_system_prompt_is_taken_back_to_the_templates_own(model: Path) -> None:
    talking = chat_model(model)
    chat, shown = talk([talking], ["/system Be brief.", "/system"])
    assert shown.splitlines()[-1] == "system prompt: the template's own"
    assert "Be brief." not in talking.decoder.tokenizer.decode(talking.prompt("Why?", chat._sampling)[0])


@pytest.mark.parametrize("written", ["hot", "-1", "nan", "inf", "5.1"])
def test_a_wrong_temperature_changes_nothing(model: Path, written: str) -> None:
    chat, shown = talk([chat_model(model)], [f"/temp {written}"], sampling(temperature=0.3))
    assert chat._sampling.temperature == 0.3
    assert f"{written} is no temperature, expected 0 (greedy) to 5" in shown


def test_temperature_zero_is_greedy(model: Path) -> None:
    chat, shown = talk([chat_model(model)], ["/temp 0", "/temp"], sampling(temperature=0.3))
    assert chat._sampling.temperature == 0.0
    assert shown.splitlines() == ["temperature: 0"] * 2


def test_an_unknown_command_asks_nothing_and_a_space_makes_it_a_question(model: Path) -> None:
    talking = chat_model(model)
    _, shown = talk([talking], ["/etc", " /etc is what?", "/help", "/quit", "Never talking."])
    assert "/etc is no command" in shown
    assert "/system TEXT" in shown
    assert [question for question, _ in talking.turns] == ["/etc is what?"]


def test_what_no_longer_fits_is_dropped_from_the_front_and_said(tmp_path: Path) -> None:
    talking = chat_model(save_tiny(tmp_path / "short", max_position_embeddings=160))
    chat, shown = talk([talking], [f"Is the old tower number {n} tall?" for n in range(8)], sampling(max_new_tokens=20))
    assert "left out: more does not fit into its 160 positions" in shown
    assert 0 < len(talking.turns) < 8
    assert talking.left_out + len(talking.turns) == 8
    assert [question for question, _ in talking.turns] == [
        f"Is the old tower number {n} tall?" for n in range(talking.left_out, 8)
    ]
    prompt, _ = talking.prompt("", sampling(max_new_tokens=20))
    assert len(prompt) + 20 <= 160
    assert chat._turns[-1].answers[0].left_out == talking.left_out
    assert len(chat._turns) == 8, "what a model no longer sees is still saved"


def test_a_question_that_never_fits_is_refused_and_the_chat_goes_on(tmp_path: Path) -> None:
    talking = chat_model(save_tiny(tmp_path / "short", max_position_embeddings=120))
    _, shown = talk([talking], ["tower " * 100, "Is it on?"])
    assert "the question alone takes" in shown
    assert "120 positions" in shown
    assert [question for question, _ in talking.turns] == ["Is it on?"]


def test_a_template_that_refuses_is_said_and_the_other_model_goes_on(model: Path, tmp_path: Path) -> None:
    strict = chat_model(save_tiny(tmp_path / "gemma", "gemma2", "gemma"), "base")
    other = chat_model(model)
    chat, shown = talk([strict, other], ["/system Be brief.", "Is it on?", "/system", "Why?"])
    assert "System role not supported" in shown
    assert [question for question, _ in strict.turns] == ["Why?"]
    assert [question for question, _ in other.turns] == ["Is it on?", "Why?"]
    refused = chat._turns[0].answers[0]
    assert refused.answer is None
    assert "System role not supported" in refused.why


def test_a_model_of_nan_is_a_message(model: Path) -> None:
    broken = chat_model(model)
    with torch.no_grad():
        broken.decoder.model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(NumericError, match="NaN"):
        broken.reply("Is it on?", sampling(temperature=1.0), 0)
    _, shown = talk([broken], ["Is it on?", "/temp 1", "Is it on?", "/help"])
    assert "/system TEXT" in shown


def test_an_answer_that_was_cut_says_so(model: Path) -> None:
    _, shown = talk([chat_model(model)], ["Hm?"], sampling(max_new_tokens=2))
    assert "(model: cut at 2 tokens; see --max-new-tokens)" in shown


def test_what_a_model_writes_cannot_command_the_terminal(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    talking = chat_model(model)
    monkeypatch.setattr(talking.decoder.tokenizer, "decode", lambda *_, **__: "\x1b[2J[red]gone[/red]")
    assert r"\x1b[2J[red]gone[/red]" in talk([talking], ["Hm?"])[1]


# --- saving ------------------------------------------------------------------------------------------------


def test_a_saved_conversation_reads_back(model: Path, checkpoint: Path, tmp_path: Path) -> None:
    file = tmp_path / "deep" / "with a space.jsonl"
    lines = ["/save early.jsonl", "Is it on?", "/temp 0.5", "Why?", f"/save {file}"]
    chat, shown = talk([chat_model(model, "base"), chat_model(checkpoint)], lines)
    assert "there is nothing to save yet" in shown
    assert f"saved 2 turns in {file}" in shown
    turns = [TurnRecord.model_validate_json(line) for line in file.read_text(encoding="ascii").splitlines()]
    assert turns == chat._turns
    assert [(turn.turn, turn.user, turn.temperature, turn.seed) for turn in turns] == [
        (1, "Is it on?", 0.0, 1),
        (2, "Why?", 0.5, 2),
    ]
    assert [answer.model for answer in turns[0].answers] == [str(model), str(checkpoint)]
    assert not chat.unsaved


def test_saving_never_overwrites_and_never_ends_the_chat(model: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.jsonl"
    mine.write_text("mine")
    dangling = tmp_path / "link"
    dangling.symlink_to(tmp_path / "nowhere")
    lines = ["Is it on?", f"/save {mine}", f"/save {dangling}", "/save", f"/save {mine}/below", "/save a\0b", "/help"]
    chat, shown = talk([chat_model(model)], lines)
    assert mine.read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()
    assert shown.count("is there already, and is not overwritten") == 2
    assert "give a name: /save FILE" in shown
    assert f"could not write {mine}/below" in shown
    assert "/system TEXT" in shown
    assert chat.unsaved


# --- whom to talk to ---------------------------------------------------------------------------------------


def shown_of(settings: ChatSettings, monkeypatch: pytest.MonkeyPatch, typed: str = "") -> str:
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    shown = io.StringIO()
    run_chat(settings, Console(file=shown, width=80))
    return shown.getvalue()


def test_a_checkpoint_stands_beside_what_it_was_trained_from(
    checkpoint: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ChatSettings(model=str(checkpoint), device="cpu", max_new_tokens=4)
    shown = shown_of(settings, monkeypatch, "Is it on?\n")
    trained_from = json.loads((checkpoint / "metadata.json").read_text())["base_model"]
    assert f"base: {trained_from}" in shown.replace("\n", "")
    assert f"model: {checkpoint}" in shown.replace("\n", "")
    alone = ChatSettings(model=str(checkpoint), base="none", device="cpu")
    assert "base" not in shown_of(alone, monkeypatch).replace(str(checkpoint), "")
    other = ChatSettings(model=str(checkpoint), base=str(model), device="cpu")
    assert str(model) in shown_of(other, monkeypatch).replace("\n", "")


def test_a_base_of_other_weights_is_pointed_out(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = Path(json.loads((checkpoint / "metadata.json").read_text())["base_model"])
    settings = ChatSettings(model=str(checkpoint), device="cpu")
    assert "other weights" not in shown_of(settings, monkeypatch)
    weights, kept = base / "model.safetensors", (base / "model.safetensors").read_bytes()
    try:
        save_tiny(base, seed=9)
        assert "has other weights now" in shown_of(settings, monkeypatch)
    finally:
        weights.write_bytes(kept)


def test_the_system_prompt_is_that_of_the_training_or_of_the_stance_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = small_settings(tmp_path)
    folder = run(type(settings)(**{**vars(settings), "epochs": 1, "system_prompt": "Keep the light."}))
    trained = ChatSettings(model=str(folder.final), base="none", device="cpu")
    assert "system   Keep the light." in shown_of(trained, monkeypatch)
    named = ChatSettings(model=str(folder.final), base="none", device="cpu", stance="epistemic")
    assert "system   the template's own" in shown_of(named, monkeypatch)
    asked = ChatSettings(model=str(folder.final), base="none", device="cpu", system_prompt="")
    assert "system   (empty)" in shown_of(asked, monkeypatch)


def test_every_wrong_setting_is_named_at_once(model: Path) -> None:
    settings = ChatSettings(model=str(model), temperature=-1.0, max_new_tokens=0, seed=-1, system_prompt="\udc80")
    with pytest.raises(InputError) as caught:
        run_chat(settings, Console(file=io.StringIO()))
    assert [problem.where for problem in caught.value.problems] == [
        "--temperature",
        "--max-new-tokens",
        "--seed",
        "--system-prompt",
    ]


def test_a_base_that_is_gone_can_be_done_without(checkpoint: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in checkpoint.iterdir():
        if file.name != "MANIFEST.json":
            (moved / file.name).write_bytes(file.read_bytes())
    metadata = json.loads((moved / "metadata.json").read_text())
    (moved / "metadata.json").write_text(json.dumps(metadata | {"base_model": str(tmp_path / "gone")}))
    with pytest.raises(InputError, match="--base none"):
        run_chat(ChatSettings(model=str(moved), device="cpu"), Console(file=io.StringIO()))


# --- real processes ----------------------------------------------------------------------------------------


def command(*flags: str) -> list[str]:
    return [sys.executable, "-m", "epistemic_stance.cli", "chat", "--device", "cpu", *flags]


def piped(typed: bytes, *flags: str, cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command(*flags), input=typed, capture_output=True, env=environment, cwd=cwd, check=False)


def test_a_pipe_asks_one_question_a_line_and_is_not_echoed(tmp_path: Path) -> None:
    typed = b"Is the lamp on?\n\n  \n\xff\xfe broken\n/temp 0\nWhy? \xe2\x80\xae\n/save talk.jsonl"
    done = piped(typed, "--model", "demo", "--max-new-tokens", "12", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = done.stdout.decode()
    assert "> " not in shown
    assert "Is the lamp on?" not in shown
    assert "that line is not UTF-8" in shown
    assert "not evidence about Qwen" in shown
    assert "thinking" not in shown
    turns = [json.loads(line) for line in (tmp_path / "talk.jsonl").read_text().splitlines()]
    assert [turn["user"] for turn in turns] == ["Is the lamp on?", "Why? \u202e"]
    for turn in turns:
        assert turn["answers"][0]["answer"] in shown
    assert b"Traceback" not in done.stderr


def test_nothing_trained_yet_is_bad_input_without_a_network(tmp_path: Path) -> None:
    done = piped(b"", cwd=tmp_path)
    assert done.returncode == 2
    assert b"fine_tuned_model/final_model: no such model folder" in done.stderr
    assert b"--model demo" in done.stderr


@contextmanager
def chat_on_terminal(*flags: str, columns: int = 80) -> Iterator[Terminal]:
    pid, master = pty.fork()
    if pid == 0:
        kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        arguments = command(*flags)
        os.execve(arguments[0], arguments, {**kept, "TERM": "xterm", "OMP_NUM_THREADS": "1"})
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    shown = Terminal(pid, master)
    try:
        yield shown
    finally:
        if not shown.ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
            os.waitpid(pid, 0)
        os.close(master)


def typed(terminal: Terminal, line: str) -> str:
    """Type a line and read on until the next prompt, or the end."""
    terminal.wait()
    terminal.sent.append(line)
    os.write(terminal.master, f"{line}\r".encode())
    terminal._until_taken()
    return terminal.wait()


def test_a_terminal_edits_lines_and_ctrl_d_ends(model: Path) -> None:
    with chat_on_terminal("--model", str(model), "--max-new-tokens", "4", "--temperature", "0") as terminal:
        shown = typed(terminal, "Is it onn\x7f?")
        assert "(model: cut at 4 tokens" in shown
        assert "is thinking" in terminal.raw
        shown = typed(terminal, "\x1b[A\x01/system \x05")  # the line before, with a command put in front of it
        assert "system prompt: Is it on?" in shown
        terminal.press("\x04")
        assert terminal.ended
        assert terminal.code == 0


def test_a_wide_terminal_shows_two_columns(model: Path) -> None:
    flags = ("--model", "demo", "--base", "demo", "--temperature", "0")
    with chat_on_terminal(*flags, columns=130) as terminal:
        shown = typed(terminal, "What is the capital of France?")
        heads = [line for line in shown.splitlines() if "base: demo" in line]
        assert len(heads) == 1
        assert "model: demo" in heads[0]
    with chat_on_terminal(*flags, columns=100) as terminal:
        heads = [line for line in typed(terminal, "Is it on?").splitlines() if "base: demo" in line]
        assert len(heads) == 1
        assert "model: demo" not in heads[0]


def test_ctrl_c_stops_an_answer_and_then_the_chat(tmp_path: Path) -> None:
    endless = save_tiny(tmp_path / "endless", max_position_embeddings=10**6)
    (endless / "generation_config.json").unlink(missing_ok=True)
    with chat_on_terminal("--model", str(endless), "--max-new-tokens", "100000", "--temperature", "0") as terminal:
        terminal.wait()
        os.write(terminal.master, b"Is it on?\r")
        deadline = time.monotonic() + PATIENCE_S
        while "is thinking" not in terminal.raw and time.monotonic() < deadline:
            if select.select([terminal.master], [], [], 0.1)[0]:
                terminal.raw += os.read(terminal.master, 2**16).decode()
        os.write(terminal.master, b"\x03")
        assert "stopped; the question is taken back" in terminal.wait()
        assert not terminal.ended
        terminal.press("\x03")
        assert terminal.ended
        assert terminal.code == 130
        assert "stance: stopped" in terminal.screen
        assert "Traceback" not in terminal.screen


def test_sigterm_ends_the_chat_and_says_what_is_lost(model: Path) -> None:
    with chat_on_terminal("--model", str(model), "--max-new-tokens", "4") as terminal:
        typed(terminal, "Is it on?")
        assert "the conversation was not saved" in terminal.signal(signal.SIGTERM)
        assert terminal.code == 143
