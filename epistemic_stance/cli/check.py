"""`stance check`: every finding of the lint with its place, then tables about pairs, questions and patterns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import fmean

from rich.console import Console
from rich.table import Table

from epistemic_stance.cli.terminal_reporter import terminal_reporter
from epistemic_stance.foundation.errors import MAX_PROBLEMS_SHOWN, InputError, Problem
from epistemic_stance.foundation.reporter import Progress
from epistemic_stance.foundation.settings import DEMO_MODEL, DEMO_NOTICE, CheckSettings
from epistemic_stance.foundation.similarity import words
from epistemic_stance.foundation.terminal import plain
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.models.chat_template import encode_pair, special_tokens
from epistemic_stance.models.find import ModelFiles, find_model
from epistemic_stance.scoring.check_keys import check_keys
from epistemic_stance.scoring.check_patterns import check_examples
from epistemic_stance.stance.anchor_prompts import check_anchor_prompts, load_anchor_prompts
from epistemic_stance.stance.check_likelihood import (
    PairLikelihood,
    check_likelihoods,
    least_likely,
    pair_likelihoods,
)
from epistemic_stance.stance.check_pairs import check_pairs, check_tokens, overlaps
from epistemic_stance.stance.check_questions import check_probe_sets, check_question_sets
from epistemic_stance.stance.findings import Finding, located
from epistemic_stance.stance.load import Stance, load_stance_and_pairs
from epistemic_stance.stance.pairs import EncodedPair, Pair

LIKELIHOODS_SHOWN = 50
"""Pairs, the least likely first: all of a corpus that a person writes."""


def run_check(settings: CheckSettings) -> None:
    """Print findings and tables. Raises InputError if a file cannot be read or a finding is an error."""
    console = Console(highlight=False)
    stance, pairs = load_stance_and_pairs(settings.stance, settings.corpus)
    findings = _findings(stance, pairs, own_corpus=settings.corpus is None)
    encoded: list[EncodedPair] = []
    likelihoods: list[PairLikelihood] = []
    if settings.model is not None:
        files = find_model(settings.model)
        encoded, token_findings = _in_tokens(files, pairs, stance, settings.max_length)
        findings += token_findings
        if not _errors(findings):
            likelihoods = _measured(files, pairs, encoded, settings.device, console)
            findings += check_likelihoods(likelihoods)

    _print_findings(console, findings)
    console.print(_table(pairs, encoded, likelihoods, stance))
    if likelihoods:
        _print_likelihoods(console, likelihoods)
    for note in _notes(settings, stance, bool(likelihoods)):
        console.print(note, soft_wrap=True)
    errors = _errors(findings)
    if errors:
        what = f"{errors} {'error' if errors == 1 else 'errors'}, shown above"
        raise InputError([Problem(str(settings.corpus or stance.folder), what, hint="correct them first")])


def _findings(stance: Stance, pairs: Sequence[Pair], own_corpus: bool) -> list[Finding]:
    """Of everything that needs no tokenizer."""
    sets, places = stance.question_sets, stance.question_places
    return [
        *check_pairs(pairs, sets, places),
        *check_question_sets(sets, places, [pair.id for pair in pairs] if own_corpus else None),
        *check_keys(sets, places),
        *check_anchor_prompts(load_anchor_prompts(stance.anchor), pairs, sets, places),
        *(check_probe_sets(stance.probes, sets, places) if stance.probes else ()),
        *(check_examples(stance) if stance.patterns else ()),
    ]


def _errors(findings: Sequence[Finding]) -> int:
    return sum(finding.severity == "error" for finding in findings)


def _notes(settings: CheckSettings, stance: Stance, measured: bool) -> Iterator[str]:
    rewording = sum(asked.question.paraphrase_of is not None for asked in located(stance.question_sets))
    if settings.corpus and rewording:
        yield f"Not checked: what {rewording} questions reword; they name pairs of the stance's own corpus."
    if settings.model is None:
        yield (
            "Not checked in tokens (empty or endless answers, pairs too long, answers that it would hardly give): "
            "add --model NAME for that."
        )
    elif not measured:
        yield "Not measured: how likely the answers are to the model; correct the errors first."
    elif settings.model == DEMO_MODEL:
        yield f"note: {DEMO_NOTICE}"


def _in_tokens(
    files: ModelFiles, pairs: Sequence[Pair], stance: Stance, max_length: int
) -> tuple[list[EncodedPair], list[Finding]]:
    from epistemic_stance.models.load import load_config, load_stop_ids, load_tokenizer, longest_pair, require_rows

    config, tokenizer = load_config(files.folder), load_tokenizer(files.folder)
    encoded = [encode_pair(tokenizer, pair, stance.system_prompt) for pair in pairs]
    require_rows(tokenizer, config, (token for each in encoded for token in each.all_ids))
    stop_ids = load_stop_ids(files.folder, tokenizer)
    limit = longest_pair(config, max_length)
    return encoded, check_tokens(pairs, encoded, stop_ids, limit, special_tokens(tokenizer))


def _measured(
    files: ModelFiles, pairs: Sequence[Pair], encoded: Sequence[EncodedPair], device: str, console: Console
) -> list[PairLikelihood]:
    from epistemic_stance.training.reference import measure_reference

    with terminal_reporter(console) as reporter:
        logps = measure_reference(
            files.folder, encoded, device, lambda done: reporter(Progress(done, len(encoded), "pairs", "measuring"))
        )
    return pair_likelihoods(pairs, encoded, logps)


def _print_findings(console: Console, findings: Sequence[Finding]) -> None:
    ordered = sorted(findings, key=lambda finding: finding.severity)  # "error" comes before "warning"
    for finding in ordered[:MAX_PROBLEMS_SHOWN]:
        style = "red" if finding.severity == "error" else "yellow"
        console.print(plain(f"{finding.severity}:", style), plain(str(finding.problem)), soft_wrap=True)
    if len(ordered) > MAX_PROBLEMS_SHOWN:
        console.print(f"... and {len(ordered) - MAX_PROBLEMS_SHOWN} more")
    if not ordered:
        console.print("No errors, no warnings.")


def _print_likelihoods(console: Console, likelihoods: Sequence[PairLikelihood]) -> None:
    """Pair by pair, the least likely chosen answers first."""
    table = Table("pair", "chosen", "rejected", "the chosen answer", title="log-probability, nats a token")
    for likelihood in least_likely(likelihoods)[:LIKELIHOODS_SHOWN]:
        figures = (f"{likelihood.chosen:.2f}", f"{likelihood.rejected:.2f}")
        table.add_row(plain(likelihood.pair.id), *figures, plain(shorten(likelihood.pair.chosen)))
    console.print(table)
    if len(likelihoods) > LIKELIHOODS_SHOWN:
        console.print(f"... and {len(likelihoods) - LIKELIHOODS_SHOWN} more, likelier than these")


def _table(
    pairs: Sequence[Pair], encoded: Sequence[EncodedPair], likelihoods: Sequence[PairLikelihood], stance: Stance
) -> Table:
    table = Table("what", "how many")
    of_pairs = [*_pair_rows(pairs), *_token_rows(encoded), *_likelihood_rows(likelihoods)]
    for what, value in [*of_pairs, *_question_rows(pairs, stance), *_rule_rows(stance)]:
        table.add_row(plain(what), plain(value))
    return table


def _pair_rows(pairs: Sequence[Pair]) -> Iterator[tuple[str, str]]:
    yield "pairs", str(len(pairs))
    for category, count in Counter(pair.category for pair in pairs).items():
        yield f"  {category}", str(count)
    chosen = [len(words(pair.chosen)) for pair in pairs]
    rejected = [len(words(pair.rejected)) for pair in pairs]
    longer = sum(a > b for a, b in zip(chosen, rejected, strict=True))
    ratio = f"{fmean(chosen) / fmean(rejected):.2f}" if any(rejected) else "unknown"
    yield "words, chosen", _spread(chosen)
    yield "words, rejected", _spread(rejected)
    yield "chosen / rejected", f"{ratio}; chosen is longer in {longer} of {len(pairs)}"


def _token_rows(encoded: Sequence[EncodedPair]) -> Iterator[tuple[str, str]]:
    if encoded:
        yield "tokens, prompt", _spread([len(pair.prompt_ids) for pair in encoded])
        yield "tokens, chosen", _spread([len(pair.chosen_ids) for pair in encoded])
        yield "tokens, rejected", _spread([len(pair.rejected_ids) for pair in encoded])


def _likelihood_rows(likelihoods: Sequence[PairLikelihood]) -> Iterator[tuple[str, str]]:
    if likelihoods:
        for side in ("chosen", "rejected"):
            values = [getattr(likelihood, side) for likelihood in likelihoods]
            yield f"nats a token, {side}", f"mean {fmean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _question_rows(pairs: Sequence[Pair], stance: Stance) -> Iterator[tuple[str, str]]:
    overlapping = overlaps(pairs, stance.question_sets)
    for name, questions in stance.question_sets.items():
        exact = [overlap.match.exact for overlap in overlapping if overlap.asked.set_name == name]
        yield f"questions of {name}", f"{len(questions.questions)} in {len(questions.categories)} categories"
        yield "  also training prompts", f"{sum(exact)}, nearly {len(exact) - sum(exact)}"


def _rule_rows(stance: Stance) -> Iterator[tuple[str, str]]:
    patterns = [pattern for source in stance.patterns for pattern in source.file.patterns]
    if patterns:
        rules = sum(len(pattern.rules) for pattern in patterns)
        examples = sum(len(pattern.hits) + len(pattern.misses) for pattern in patterns)
        yield "patterns", f"{len(patterns)} of {rules} rules, held to {examples} examples"


def _spread(values: Sequence[int]) -> str:
    return f"mean {fmean(values):.1f} ({min(values)} to {max(values)})"
