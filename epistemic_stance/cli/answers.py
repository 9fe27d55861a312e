"""Answers of a base and a tuned model to the same questions, side by side, marked seen or unseen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.settings import DEFAULT_STANCE, DEMO_MODEL, DEMO_NOTICE, AnswersSettings
from epistemic_stance.foundation.terminal import plain
from epistemic_stance.models.chat_template import encode_question
from epistemic_stance.models.engine import automatic_slots, generate_in_memory
from epistemic_stance.models.find import find_model, recorded_training
from epistemic_stance.models.open import open_model
from epistemic_stance.models.sampling_config import SamplingConfig
from epistemic_stance.models.slots import Request
from epistemic_stance.records.training import CheckpointMetadata
from epistemic_stance.stance.load import Stance, load_pairs, load_stance
from epistemic_stance.stance.pairs import Pair, corpus_digest
from epistemic_stance.training.checkpoint_eval import choose_questions


@dataclass(frozen=True)
class Asked:
    kind: str
    """seen, unseen, fact, or unknown where the corpus is not the one of the training."""
    question: str


def show_answers(settings: AnswersSettings, console: Console) -> None:
    """Ask both models greedily and print a table. Raises InputError if a model or stance does not load."""
    trained = recorded_training(find_model(settings.model).folder)
    base = settings.base or (trained.base_model if trained else None)
    if base is None:
        raise InputError([Problem(settings.model, "does not say what it was trained from", hint="give --base MODEL")])
    stance = load_stance(settings.stance or (trained.settings["stance"] if trained else DEFAULT_STANCE))
    system_prompt = trained.system_prompt if trained else stance.system_prompt
    pairs = trained_pairs(trained, stance)
    chosen = choose_questions(stance, pairs or [], settings.unseen)
    asked = [Asked("seen", pair.question) for pair in (pairs or [])[: settings.seen]]
    asked += [Asked("unseen" if pairs is not None else "unknown", text) for _, text in chosen.unseen]
    asked += [Asked("fact", text) for _, text in chosen.neutral[: settings.facts]]
    if not asked:
        raise InputError([Problem("command line", "there is nothing to ask", hint="--seen, --unseen or --facts")])
    before, after = (
        ask(name, [item.question for item in asked], settings.max_new_tokens, settings.device, system_prompt)
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
    opened = open_model(find_model(name), device=device)
    decoder = opened.decoder
    prompts = [tuple(encode_question(opened.tokenizer, question, system_prompt)) for question in questions]
    requests = [Request(prompt, 0.0, 0, max_new_tokens) for prompt in prompts]
    slots = automatic_slots(decoder, max_new_tokens)
    answers, _ = generate_in_memory(decoder, requests, SamplingConfig(max_new_tokens), slots=slots)
    return [decoder.text(answer) for answer in answers]


def trained_pairs(trained: CheckpointMetadata | None, stance: Stance) -> Sequence[Pair] | None:
    """The pairs a checkpoint was trained on; None if they changed since, for then nothing is known to be seen."""
    recorded = trained.settings.get("corpus") if trained else None
    try:
        pairs = load_pairs(Path(recorded) if recorded else stance.corpus)
    except InputError:
        return None
    return pairs if trained is None or corpus_digest(pairs) == trained.corpus_digest else None
