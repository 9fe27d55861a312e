"""`stance corpus suggest`: a corpus whose rejected answers are what a model really says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

from rich.console import Console
from rich.table import Table

from epistemic_stance.cli.terminal_reporter import terminal_reporter
from epistemic_stance.collection.backend import Reply
from epistemic_stance.collection.design import plan_items
from epistemic_stance.collection.local import LocalBackend
from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.provenance import versions
from epistemic_stance.foundation.reporter import Progress
from epistemic_stance.foundation.settings import DEMO_MODEL, DEMO_NOTICE, SuggestSettings
from epistemic_stance.foundation.terminal import plain
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.models.find import find_model
from epistemic_stance.models.open import OpenedModel, open_model
from epistemic_stance.models.sampling_config import SamplingConfig
from epistemic_stance.records.written import TrainingCorpus, TrainingPair
from epistemic_stance.scoring.own_answers import Suggestion, suggested, unwanted_patterns
from epistemic_stance.scoring.patterns import load_patterns
from epistemic_stance.stance.corpus_file import read_corpus, require_new, write_new_corpus
from epistemic_stance.stance.load import corpus_name, load_stance_and_pairs
from epistemic_stance.stance.pairs import corpus_digest


def suggest(settings: SuggestSettings, console: Console) -> None:
    """Draw the answers, write the new corpus, print what was done with each pair.

    Raises RefusedError if the output exists, InputError if settings, stance, corpus or model are not right.
    """
    _check(settings)
    require_new(settings.output)
    stance, pairs = load_stance_and_pairs(settings.stance, settings.corpus)
    corpus = read_corpus(settings.corpus or stance.corpus)
    patterns = load_patterns(stance)
    unwanted = unwanted_patterns(corpus.training_pairs, patterns)
    opened = open_model(find_model(settings.model), device=settings.device)
    replies = _own_answers(opened, corpus.training_pairs, settings, stance.system_prompt, console)
    suggestions = [
        suggested(pair, reply.text, cut_off=reply.finish_reason == "length", patterns=patterns, unwanted=unwanted)
        for pair, reply in zip(corpus.training_pairs, replies, strict=True)
    ]
    drawn = {
        "model": opened.files.name,
        "weights_digest": opened.weights_digest,
        "template_digest": opened.template_digest,
        "system_prompt": stance.system_prompt,
        "temperature": settings.temperature,
        "max_new_tokens": settings.max_new_tokens,
        "seed": settings.seed,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "corpus": corpus_name(stance, settings.corpus),
        "corpus_digest": corpus_digest(pairs),
        "device": opened.device,
        "versions": versions(),
    }
    write_new_corpus(settings.output, _new_corpus(corpus, suggestions, drawn))
    _print(console, suggestions, replies)
    replaced = sum(suggestion.replaced for suggestion in suggestions)
    console.print(f"{replaced} of {len(suggestions)} rejected answers are now the model's own.")
    console.print(plain(f"next: stance check --corpus {settings.output} --model {settings.model}"), soft_wrap=True)
    if settings.model == DEMO_MODEL:
        console.print(plain(f"note: {DEMO_NOTICE}", "yellow"))


def _check(settings: SuggestSettings) -> None:
    checks = (
        ("--temperature", settings.temperature, 0 <= settings.temperature <= 5, "0 to 5"),
        ("--max-new-tokens", settings.max_new_tokens, settings.max_new_tokens >= 1, "1 or more"),
        ("--seed", settings.seed, 0 <= settings.seed < 2**31, "0 to 2147483647"),
    )
    problems = [
        Problem(flag, f"is {value}, expected {expected}") for flag, value, right, expected in checks if not right
    ]
    if problems:
        raise InputError(problems)


def _own_answers(
    opened: OpenedModel,
    pairs: Sequence[TrainingPair],
    settings: SuggestSettings,
    system_prompt: str | None,
    console: Console,
) -> list[Reply]:
    """One answer a pair, in their order: the first that `stance collect` draws with this seed and temperature."""
    asked = [(pair.id, pair.category, pair.question) for pair in pairs]
    items = plan_items(asked, [abs(settings.temperature)], 1, settings.seed)
    backend = LocalBackend(opened, SamplingConfig(settings.max_new_tokens), system_prompt=system_prompt)
    answered = count(1)
    with terminal_reporter(console) as reporter:
        groups = backend.answers(
            backend.grouped(items),
            lambda: reporter(Progress(min(next(answered), len(items)), len(items), "answers")),
        )
        return [reply for _, replies in groups for reply in replies]


def _new_corpus(corpus: TrainingCorpus, suggestions: Sequence[Suggestion], drawn: dict[str, Any]) -> TrainingCorpus:
    kept = {suggestion.pair.id: suggestion.why for suggestion in suggestions if not suggestion.replaced}
    metadata = {**corpus.metadata, "own_rejected_answers": {**drawn, "kept_as_written": kept}}
    pairs = [suggestion.pair for suggestion in suggestions]
    return TrainingCorpus(metadata=metadata, training_pairs=pairs)


def _print(console: Console, suggestions: Sequence[Suggestion], replies: Sequence[Reply]) -> None:
    table = Table("pair", "rejected", "because", "the model's own answer")
    for suggestion, reply in zip(suggestions, replies, strict=True):
        done = "own" if suggestion.replaced else "as written"
        table.add_row(*map(plain, (suggestion.pair.id, done, suggestion.why, shorten(reply.text))))
    console.print(table)
