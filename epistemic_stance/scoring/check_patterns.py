"""Whether the patterns of a stance keep what their examples promise: every hit shows the pattern, no miss does."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records.written import Example, Pattern
from epistemic_stance.scoring.patterns import PatternSet, example_of, load_patterns
from epistemic_stance.stance.findings import Finding, error, warning
from epistemic_stance.stance.load import Stance

EXAMPLE_SHOWN = 100
"""Characters of an example in a message about it: enough to find it in its file."""


def check_examples(stance: Stance) -> list[Finding]:
    """Faults of the patterns of a stance, of which there has to be at least one.

    Raises InputError if an expression does not compile.
    """
    patterns = load_patterns(stance)
    known = {category for questions in stance.question_sets.values() for category in questions.categories}
    findings: list[Finding] = []
    for source in stance.patterns:
        for number, pattern in enumerate(source.file.patterns):
            field = f"patterns[{number}]"
            findings += _unknown_names(pattern, source.where, field, patterns.patterns, known)
            findings += _broken_promises(pattern, source.where, field, patterns)
    return findings


def _unknown_names(
    pattern: Pattern, where: str, field: str, patterns: Collection[str], known: Collection[str]
) -> Iterator[Finding]:
    for index, name in enumerate(pattern.unless_pattern):
        if name not in patterns:
            hint = f"known are {', '.join(patterns)}"
            yield warning(where, f"{field}.unless_pattern[{index}]", f'no pattern "{shorten(name)}"', hint)
    named = [(f"categories[{index}]", category) for index, category in enumerate(pattern.categories)]
    for kind, examples in (("hits", pattern.hits), ("misses", pattern.misses)):
        named += [
            (f"{kind}[{index}].category", example.category)
            for index, example in enumerate(map(example_of, examples))
            if example.category is not None
        ]
    for place, category in named:
        if category not in known:
            hint = f"the question sets of the stance have {', '.join(sorted(known)) or 'none'}"
            yield error(where, f"{field}.{place}", f'unknown category "{shorten(category)}"', hint)


def _broken_promises(pattern: Pattern, where: str, field: str, patterns: PatternSet) -> Iterator[Finding]:
    exercised: set[str] = set()
    for index, written in enumerate(pattern.hits):
        example = example_of(written)
        rules = _rules_that_find(example, pattern, patterns)
        exercised.update(rules)
        if not rules:
            what = f'does not show {pattern.name}: "{shorten(example.text, EXAMPLE_SHOWN)}"'
            yield error(where, f"{field}.hits[{index}]", what, _why_not(example, pattern, patterns))
    for index, written in enumerate(pattern.misses):
        example = example_of(written)
        text = shorten(example.text, EXAMPLE_SHOWN)
        for identifier, span in _rules_that_find(example, pattern, patterns).items():
            what = f'shows {pattern.name} by rule {identifier}, in "{shorten(span)}": "{text}"'
            yield error(where, f"{field}.misses[{index}]", what, "narrow the rule, or take the example out")
    for index, rule in enumerate(pattern.rules):
        if rule.id not in exercised:
            what = f"no hit of {pattern.name} shows what rule {rule.id} is for"
            yield warning(where, f"{field}.rules[{index}]", what, "add an answer that it finds to hits")


def _rules_that_find(example: Example, pattern: Pattern, patterns: PatternSet) -> dict[str, str]:
    """The rules of `pattern` that hold in the example, each with the text that it matched."""
    find = patterns.find if pattern.computed else patterns.find_by_rules
    hits = find(example.text, example.question, example.category)
    return {hit.rule: example.text[hit.start : hit.end] for hit in hits if hit.pattern == pattern.name}


def _why_not(example: Example, pattern: Pattern, patterns: PatternSet) -> str:
    """What may keep an example from showing its pattern."""
    if pattern.categories and example.category not in pattern.categories:
        return f"only answers of {', '.join(pattern.categories)} can show it; give the example its category"
    shown = {hit.pattern for hit in patterns.find_by_rules(example.text, example.question, example.category)}
    stronger = sorted(shown.intersection(pattern.unless_pattern))
    if stronger:
        return f"it shows {', '.join(stronger)}, and then not this; see unless_pattern"
    return "widen a rule, give the example its question, or take it out"
