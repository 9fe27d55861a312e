"""`stance chat`: talk to a model, or to a base model and what was trained from it, in the terminal or from a pipe."""

from __future__ import annotations

import contextlib
import io
import math
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table

from epistemic_stance.collection.design import MAX_NEW_TOKENS, MAX_TEMPERATURE
from epistemic_stance.foundation.errors import InputError, Problem, RefusedError, StanceError, StoppedError
from epistemic_stance.foundation.files import dump_json, write_atomic
from epistemic_stance.foundation.json_positions import LONE_SURROGATE
from epistemic_stance.foundation.settings import DEFAULT_STANCE, DEMO_MODEL, DEMO_NOTICE, ChatSettings
from epistemic_stance.foundation.signals import StopAtOnce
from epistemic_stance.foundation.terminal import plain
from epistemic_stance.foundation.wording import local_model, shorten
from epistemic_stance.models.conversation import ChatModel, ChatSampling, Reply
from epistemic_stance.models.find import ModelFiles, find_model, recorded_training
from epistemic_stance.models.open import open_model
from epistemic_stance.records.chat import SpokenRecord, TurnRecord
from epistemic_stance.records.training import CheckpointMetadata
from epistemic_stance.stance.load import load_stance

ALONE = "none"
"""As --base: talk to one model."""
WIDE = 120
"""Columns of a terminal that has room for two answers side by side."""
PROMPT = "> "
TEMPLATES_OWN = "the template's own"
EXPECTED_TEMPERATURE = f"expected 0 (greedy) to {MAX_TEMPERATURE:g}"
HELP = """\
/reset        forget the conversation; the system prompt stays
/system TEXT  give the models a system prompt; without TEXT, the template's own
/temp 0.3     temperature; 0 = greedy
/save FILE    write the conversation since the last /reset, one JSON line per turn
/quit         end, as Ctrl-D does
Ctrl-C stops an answer. A question that begins with / needs a space before it."""


def run_chat(settings: ChatSettings, console: Console) -> None:
    """Load the models and talk until the input ends.

    Raises InputError for wrong settings or models that do not load, StoppedError for Ctrl-C between two answers.
    """
    _require_sound(settings)
    files = find_model(settings.model)
    trained = recorded_training(files.folder)
    base = _base_files(settings, trained)
    system_prompt = _system_prompt(settings, trained)
    sampling = ChatSampling(system_prompt, settings.temperature, settings.max_new_tokens, settings.seed)
    named = {"base": base, "model": files} if base else {"model": files}
    with console.status("loading ..."):
        models = [
            ChatModel(label, found.name, open_model(found, device=settings.device).decoder)
            for label, found in named.items()
        ]
    chat = Chat(models, sampling, console)
    chat.introduce()
    if DEMO_MODEL in (settings.model, base.name if base else None, trained.base_model if trained else None):
        chat.note(f"note: {DEMO_NOTICE}", "yellow")
    if base and trained and settings.base is None and base.digest() != trained.base_weights_digest:
        chat.note(f"note: {base.name} has other weights now than when {files.name} was trained from it", "yellow")
    with StopAtOnce() as stop:
        try:
            chat.run(typed_lines(console), stop)
        except KeyboardInterrupt:
            what = "stopped; the conversation was not saved" if chat.unsaved else "stopped"
            raise StoppedError(what, stop.requested or signal.SIGINT) from None


def _require_sound(settings: ChatSettings) -> None:
    """Raises InputError with every setting that makes no sense, or if nothing was trained yet."""
    problems = []
    if not is_temperature(settings.temperature):
        problems.append(Problem("--temperature", f"is {settings.temperature}, {EXPECTED_TEMPERATURE}"))
    if not 1 <= settings.max_new_tokens <= MAX_NEW_TOKENS:
        problems.append(Problem("--max-new-tokens", f"is {settings.max_new_tokens}, expected 1 to {MAX_NEW_TOKENS}"))
    if not 0 <= settings.seed < 2**31:
        problems.append(Problem("--seed", f"is {settings.seed}, expected 0 to 2147483647"))
    if LONE_SURROGATE.search(settings.system_prompt or ""):
        problems.append(Problem("--system-prompt", "is not text in UTF-8"))
    if settings.model == ChatSettings.model and not Path(settings.model).exists():
        hint = f"train first, or name another: --model PATH; --model {DEMO_MODEL} is the embedded stand-in"
        problems.append(Problem(settings.model, "no such model folder", hint=hint))
    if problems:
        raise InputError(problems)


def is_temperature(value: float) -> bool:
    return math.isfinite(value) and 0 <= value <= MAX_TEMPERATURE


def _base_files(settings: ChatSettings, trained: CheckpointMetadata | None) -> ModelFiles | None:
    """The model to talk to beside the other; None = alone. Raises InputError or RefusedError."""
    name = settings.base or (trained.base_model if trained else None)
    if name in (None, ALONE):
        return None
    try:
        return find_model(name)
    except InputError as error:
        if settings.base:
            raise
        what = f"was trained from {name}, which is not found: {error.problems[0].what}"
        hint = f"give --base MODEL, or --base {ALONE} to talk to it alone"
        raise InputError([Problem(settings.model, what, hint=hint)]) from error


def _system_prompt(settings: ChatSettings, trained: CheckpointMetadata | None) -> str | None:
    """As asked for; else the one the checkpoint was trained with, unless a stance is named; else the stance's."""
    if settings.system_prompt is not None:
        return settings.system_prompt
    if trained and settings.stance is None:
        return trained.system_prompt
    return load_stance(settings.stance or DEFAULT_STANCE).system_prompt


def typed_lines(console: Console) -> Iterator[str]:
    """What a person types, with line editing, or what comes through a pipe; bytes that are no UTF-8 as surrogates."""
    if sys.stdin is None:
        return
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    if not (sys.stdin.isatty() and console.file.isatty()):
        yield from sys.stdin
        return
    with contextlib.suppress(ImportError):  # a Python without it edits lines as the terminal does
        import readline  # noqa: F401 - from then on input() uses it
    while True:
        try:
            # Line editing needs the real standard output: the command line puts a guarded one in its place.
            with contextlib.redirect_stdout(sys.__stdout__):
                line = input(PROMPT)
        except (EOFError, OSError):
            console.print()
            return
        yield line


class Chat:
    """The conversation on a console."""

    def __init__(self, models: list[ChatModel], sampling: ChatSampling, console: Console) -> None:
        self._models = models
        self._sampling = sampling
        self._console = console
        self._asked = 0
        """Questions so far, those before a /reset included."""
        self._turns: list[TurnRecord] = []
        """Since the last /reset."""
        self.unsaved = False

    def note(self, message: str, style: str = "dim") -> None:
        self._console.print(plain(message, style), soft_wrap=True)

    def introduce(self) -> None:
        for model in self._models:
            self.note(f"{model.label:<8} {local_model(model.name)}", "bold")
        self.note(f"system   {self._system_shown()}")
        self.note(
            f"sampling temperature {self._sampling.temperature:g}, seed {self._sampling.seed}, "
            f"up to {self._sampling.max_new_tokens} tokens"
        )
        self.note("/help lists the commands")

    def run(self, lines: Iterator[str], stop: StopAtOnce) -> None:
        """Answer line by line until there are no more or one is /quit. Raises KeyboardInterrupt between answers."""
        for line in lines:
            text = line.strip()
            if LONE_SURROGATE.search(text):
                self.note("that line is not UTF-8, and was not asked", "red")
            elif line.startswith("/"):
                if not self._command(text):
                    return
            elif text:
                try:
                    self._ask(text)
                except KeyboardInterrupt:
                    if stop.requested not in (None, signal.SIGINT):
                        raise
                    self.note("stopped; the question is taken back", "yellow")

    # --- questions ---------------------------------------------------------------------------------------

    def _ask(self, question: str) -> None:
        """Have every model answer, print the answers, and only then make them part of the conversation."""
        seed = self._sampling.seed + self._asked
        self._asked += 1
        columns = len(self._models) > 1 and self._console.file.isatty() and self._console.width >= WIDE
        replies: list[Reply | StanceError] = []
        for model in self._models:
            try:
                with self._console.status(f"{model.label} is thinking ..."):
                    replies.append(model.reply(question, self._sampling, seed))
            except StanceError as error:
                replies.append(error)
            if not columns:
                self._print(model, replies[-1])
        if columns:
            self._print_columns(replies)
        record = TurnRecord(
            turn=len(self._turns) + 1,
            system_prompt=self._sampling.system_prompt,
            temperature=self._sampling.temperature,
            max_new_tokens=self._sampling.max_new_tokens,
            seed=seed,
            user=question,
            answers=[],
        )
        for model, reply in zip(self._models, replies, strict=True):
            if isinstance(reply, Reply):
                model.remember(question, reply)
            record.answers.append(_spoken(model, reply))
        self._turns.append(record)
        self.unsaved = True

    def _print(self, model: ChatModel, reply: Reply | StanceError) -> None:
        self._console.print()
        if len(self._models) > 1:
            self.note(f"{model.label}: {model.name}", "bold")
        if isinstance(reply, Reply):
            piped = not self._console.file.isatty()
            self._console.print(plain(reply.text or "(nothing)"), soft_wrap=piped)
        self._remark(model, reply)

    def _print_columns(self, replies: list[Reply | StanceError]) -> None:
        table = Table(box=box.SIMPLE_HEAD, expand=True)
        for model in self._models:
            table.add_column(plain(f"{model.label}: {model.name}"), ratio=1, overflow="fold")
        texts = [(reply.text or "(nothing)") if isinstance(reply, Reply) else "" for reply in replies]
        table.add_row(*map(plain, texts))
        self._console.print(table)
        for model, reply in zip(self._models, replies, strict=True):
            self._remark(model, reply)

    def _remark(self, model: ChatModel, reply: Reply | StanceError) -> None:
        """What else there is to know of a reply: it failed, it was cut, the model no longer sees the beginning."""
        if isinstance(reply, StanceError):
            self.note(str(reply), "red")
            return
        if reply.cut:
            self.note(f"({model.label}: cut at {self._sampling.max_new_tokens} tokens; see --max-new-tokens)")
        if reply.dropped:
            number = "turn was" if reply.dropped == 1 else f"{reply.dropped} turns were"
            what = f"the oldest {number} left out: more does not fit into its {model.positions} positions"
            self.note(f"({model.label}: {what})", "yellow")

    # --- commands ----------------------------------------------------------------------------------------

    def _command(self, line: str) -> bool:
        """Do what a line with a / says; False = end."""
        name, _, rest = line.partition(" ")
        rest = rest.strip()
        match name:
            case "/quit":
                return False
            case "/help":
                self.note(HELP)
            case "/reset":
                self._reset()
            case "/system":
                self._sampling.system_prompt = rest or None
                self.note(f"system prompt: {self._system_shown()}")
            case "/temp":
                self._set_temperature(rest)
            case "/save":
                self._save(rest)
            case _:
                self.note(f"{shorten(name)} is no command; /help lists them", "red")
        return True

    def _system_shown(self) -> str:
        prompt = self._sampling.system_prompt
        return TEMPLATES_OWN if prompt is None else prompt or "(empty)"

    def _reset(self) -> None:
        for model in self._models:
            model.forget()
        self._turns, self.unsaved = [], False
        self.note("a new conversation")

    def _set_temperature(self, written: str) -> None:
        try:
            value = float(written)
        except ValueError:
            value = math.nan
        if is_temperature(value):
            self._sampling.temperature = abs(value)
        elif written:
            self.note(f"{shorten(written)} is no temperature, {EXPECTED_TEMPERATURE}", "red")
        self.note(f"temperature: {self._sampling.temperature:g}")

    def _save(self, written: str) -> None:
        """Write the conversation to a new file; what cannot be written is said, and the chat goes on."""
        if not written or not self._turns:
            self.note("there is nothing to save yet" if written else "give a name: /save FILE", "red")
            return
        try:
            path = Path(written).expanduser()
            if os.path.lexists(path):
                raise RefusedError(f"{path} is there already, and is not overwritten", "choose another name")
            write_atomic(path, "".join(dump_json(turn.model_dump(mode="json")) + "\n" for turn in self._turns))
        except (StanceError, OSError, RuntimeError, ValueError) as error:  # no home, a name too long, a zero byte
            self.note(str(error), "red")
            return
        self.unsaved = False
        self.note(f"saved {len(self._turns)} {'turn' if len(self._turns) == 1 else 'turns'} in {path}")


def _spoken(model: ChatModel, reply: Reply | StanceError) -> SpokenRecord:
    if isinstance(reply, StanceError):
        why = str(reply)
        return SpokenRecord(model=model.name, answer=None, finish_reason=None, left_out=model.left_out, why=why)
    reason: Literal["eos", "length"] = "length" if reply.cut else "eos"
    return SpokenRecord(model=model.name, answer=reply.text, finish_reason=reason, left_out=model.left_out)
