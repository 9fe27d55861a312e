"""`stance check`: every finding of the lint with its place, then one table about pairs, questions and patterns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import fmean

from rich.console import Console
from rich.table import Table

from epistemic_stance.foundation.errors import MAX_PROBLEMS_SHOWN, InputError, Problem
from epistemic_stance.foundation.settings import CheckSettings
from epistemic_stance.foundation.similarity import words
from epistemic_stance.foundation.terminal import plain
from epistemic_stance.models.chat_template import encode_pair, special_tokens
from epistemic_stance.scoring.check_keys import check_keys
from epistemic_stance.scoring.check_patterns import check_examples
from epistemic_stance.stance.check_pairs import check_pairs, check_tokens, overlaps
from epistemic_stance.stance.check_questions import check_probe_sets, check_question_sets
from epistemic_stance.stance.findings import Finding, located
from epistemic_stance.stance.load import Stance, load_stance_and_pairs
from epistemic_stance.stance.pairs import EncodedPair, Pair


def run_check(settings: CheckSettings) -> None:
    """Print findings and table. Raises InputError if a file cannot be read or a finding is an error."""
    stance, pairs = load_stance_and_pairs(settings.stance, settings.corpus)
    findings = _findings(stance, pairs, own_corpus=settings.corpus is None)
    encoded: list[EncodedPair] = []
    if settings.model is not None:
        encoded, token_findings = _in_tokens(settings.model, pairs, stance, settings.max_length)
        findings += token_findings

    console = Console(highlight=False)
    _print_findings(console, findings)
    console.print(_table(pairs, encoded, stance))
    for note in _not_checked(settings, stance):
        console.print(note, soft_wrap=True)
    errors = sum(finding.severity == "error" for finding in findings)
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
        *(check_probe_sets(stance.probes, sets, places) if stance.probes else ()),
        *(check_examples(stance) if stance.patterns else ()),
    ]


def _not_checked(settings: CheckSettings, stance: Stance) -> Iterator[str]:
    rewording = sum(asked.question.paraphrase_of is not None for asked in located(stance.question_sets))
    if settings.corpus and rewording:
        yield f"Not checked: what {rewording} questions reword; they name pairs of the stance's own corpus."
    if settings.model is None:
        yield "Not checked in tokens (empty or endless answers, pairs too long): add --model NAME for that."


def _in_tokens(
    model: str, pairs: Sequence[Pair], stance: Stance, max_length: int
) -> tuple[list[EncodedPair], list[Finding]]:
    from epistemic_stance.models.find import find_model
    from epistemic_stance.models.load import load_stop_ids, load_tokenizer

    folder = find_model(model).folder
    tokenizer = load_tokenizer(folder)
    encoded = [encode_pair(tokenizer, pair, stance.system_prompt) for pair in pairs]
    stop_ids = load_stop_ids(folder, tokenizer)
    return encoded, check_tokens(pairs, encoded, stop_ids, max_length, special_tokens(tokenizer))


def _print_findings(console: Console, findings: Sequence[Finding]) -> None:
    ordered = sorted(findings, key=lambda finding: finding.severity)  # "error" comes before "warning"
    for finding in ordered[:MAX_PROBLEMS_SHOWN]:
        style = "red" if finding.severity == "error" else "yellow"
        console.print(plain(f"{finding.severity}:", style), plain(str(finding.problem)), soft_wrap=True)
    if len(ordered) > MAX_PROBLEMS_SHOWN:
        console.print(f"... and {len(ordered) - MAX_PROBLEMS_SHOWN} more")
    if not ordered:
        console.print("No errors, no warnings.")


def _table(pairs: Sequence[Pair], encoded: Sequence[EncodedPair], stance: Stance) -> Table:
    table = Table("what", "how many")
    for what, value in [*_pair_rows(pairs), *_token_rows(encoded), *_question_rows(pairs, stance), *_rule_rows(stance)]:
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
