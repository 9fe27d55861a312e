"""Answers of a base and a tuned model to the same questions, side by side, marked seen or unseen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from epistemic_stance.chat import encode_question
from epistemic_stance.errors import InputError, Problem
from epistemic_stance.generation import generate
from epistemic_stance.models import DEMO_NOTICE, find_model, model_in, stop_ids_in, tokenizer_in
from epistemic_stance.settings import DEMO_MODEL, AnswersSettings
from epistemic_stance.stance import load_pairs, load_stance
from epistemic_stance.terminal import plain
from epistemic_stance.training.device import choose_device
from epistemic_stance.training.watch import plan_watch


@dataclass(frozen=True)
class Asked:
    kind: str
    """seen, unseen or fact."""
    question: str


def show_answers(settings: AnswersSettings, console: Console) -> None:
    """Ask both models greedily and print a table. Raises InputError if a model or stance does not load."""
    base = settings.base or recorded_base(settings.model)
    stance = load_stance(settings.stance)
    pairs = load_pairs(stance.corpus)
    plan = plan_watch(stance, pairs, settings.unseen)
    asked = [Asked("seen", pair.question) for pair in pairs[: settings.seen]]
    asked += [Asked("unseen", text) for _, text in plan.questions]
    asked += [Asked("fact", text) for _, text in plan.neutral[: settings.facts]]
    if not asked:
        raise InputError([Problem("command line", "there is nothing to ask", hint="--seen, --unseen or --facts")])
    before, after = (
        ask(name, [item.question for item in asked], settings.max_new_tokens, settings.device, stance.system_prompt)
        for name in (base, settings.model)
    )
    table = Table(show_lines=True, expand=True)
    table.add_column("", no_wrap=True)
    table.add_column("question", ratio=2)
    table.add_column(plain(f"before: {base}"), ratio=4)
    table.add_column(plain(f"after: {settings.model}"), ratio=4)
    for item, old, new in zip(asked, before, after, strict=True):
        table.add_row(plain(item.kind), plain(item.question), plain(old), plain(new))
    console.print(table)
    if base == DEMO_MODEL:
        console.print(plain(f"note: {DEMO_NOTICE}", "yellow"))


def ask(
    name: str, questions: Sequence[str], max_new_tokens: int, device: str, system_prompt: str | None = None
) -> list[str]:
    """Greedy answers of a model, by name, to questions."""
    files = find_model(name)
    tokenizer = tokenizer_in(files.folder)
    model = model_in(files.folder, choose_device(device))
    prompts = [encode_question(tokenizer, question, system_prompt) for question in questions]
    stop_ids = stop_ids_in(files.folder, tokenizer)
    answers = generate(model, tokenizer, prompts, stop_ids=stop_ids, max_new_tokens=max_new_tokens)
    return [answer.text for answer in answers]


def recorded_base(name: str) -> str:
    """The base model that a checkpoint's metadata.json names."""
    path: Path = find_model(name).folder / "metadata.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["base_model"])
    except (OSError, ValueError, KeyError) as error:
        raise InputError([Problem(name, "does not say what it was trained from", hint="give --base MODEL")]) from error
