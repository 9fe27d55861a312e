"""Which pattern rules find what no other rule finds, and how well patterns agree with labels.

    python benchmarks/pattern_rules.py [FOLDER_OR_FILE ...] [--spare 0] [--keep PATTERN.RULE ...] [--aside]

The labelled sets are tests/data/labelled_answers.jsonl and, where STANCE_REFERENCE_DATA names the reference data,
real-responses (labels = patterns) and real-answers (labels = groups of patterns). FOLDER_OR_FILE are unlabelled
answers: files of answers, or folders that are searched for responses.jsonl.

A finding is an (answer, pattern) pair. Redundancy is judged jointly: rules are tried in order of how little they match,
and a rule goes only if, without it and all that went before it, no right finding on a labelled set is lost, no wrong
one is new, and the findings of at most --spare unlabelled answers change. Two rules that only repeat each other
therefore never both go. The answers that change are printed below their rule, to be read before it is deleted; --keep
names rules whose findings there are right. --aside also prints the agreement on the answers kept aside, which decide
nothing here.
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from epistemic_stance.records.written import PatternFile
from epistemic_stance.scoring.patterns import PatternSet
from epistemic_stance.stance.load import load_stance
from epistemic_stance.statistics.agreement import JudgedAnswer, agreement

DATA = Path(__file__).parents[1] / "tests" / "data"
ASIDE = "labelled_aside.jsonl"
SHOWN = 300
"""Characters of an answer that changes."""
Rule = tuple[str, str]
"""Pattern, id of the rule."""


@dataclass(frozen=True)
class Answer:
    """An answer, and every rule that matches in it, before patterns give way to others."""

    source: str
    question: str
    response: str
    labels: frozenset[str]
    ignore: frozenset[str]
    scope: frozenset[str]
    """Patterns, or groups of them, that its set is labelled with; empty = not labelled."""
    spans: dict[Rule, str]
    """Rule that matches -> the text that it matches first."""


class Findings:
    """What the patterns find in an answer when some of the rules are gone."""

    def __init__(self, patterns: PatternSet) -> None:
        self.patterns = patterns.patterns
        self.rules = [(name, rule.id) for name, pattern in self.patterns.items() for rule in pattern.rules]

    def of(self, answer: Answer, gone: Collection[Rule] = ()) -> frozenset[str]:
        """Patterns, and groups of which there is one."""
        shown = {name for name, rule in answer.spans if (name, rule) not in gone}
        kept = {name for name in shown if shown.isdisjoint(self.patterns[name].unless_pattern)}
        return frozenset(kept | {self.patterns[name].group for name in kept})

    def scope(self, labels: Iterable[frozenset[str]]) -> frozenset[str]:
        """What a set is labelled with: patterns, or groups of them."""
        given = frozenset().union(*labels)
        if given.intersection(self.patterns):
            return frozenset(self.patterns)
        return given.intersection(pattern.group for pattern in self.patterns.values())


def main(
    unlabelled: Annotated[list[Path] | None, typer.Argument()] = None,
    stance: str = "epistemic",
    spare: int = 0,
    keep: list[str] | None = None,
    aside: bool = False,
) -> None:
    """Print agreement per set and label, what each rule finds alone, and which rules can go together."""
    sources = load_stance(stance).patterns
    findings = Findings(PatternSet(sources))
    matcher = PatternSet([replace(source, file=_without_yielding(source.file)) for source in sources])
    labelled = list(_labelled(matcher, findings, aside))
    deciding = [answer for answer in labelled if not answer.source.endswith(ASIDE)]
    answers = deciding + [answer for path in unlabelled or [] for answer in _unlabelled(path, matcher)]
    _print_agreement(labelled, findings, ())
    _print_rules(answers, findings)
    changes = removable(answers, findings, spare, keep or ())
    print(f"\n{len(changes)} of {len(findings.rules)} rules can go together:")
    for rule in sorted(changes):
        print(*rule)
        for answer in changes[rule]:
            print(f"    [{answer.spans[rule]}] {answer.question} -> {' '.join(answer.response.split())[:SHOWN]}")
    if changes:
        print("\nAgreement without them:")
        _print_agreement(labelled, findings, changes)


def removable(
    answers: Sequence[Answer], findings: Findings, spare: int, keep: Collection[str] = ()
) -> dict[Rule, list[Answer]]:
    """Rules that can go together -> the unlabelled answers whose findings change with each; `keep`: "pattern.rule"."""
    matching: defaultdict[Rule, list[Answer]] = defaultdict(list)
    for answer in answers:
        for rule in answer.spans:
            matching[rule].append(answer)
    gone: dict[Rule, list[Answer]] = {}
    tried = [rule for rule in findings.rules if ".".join(rule) not in keep]
    for rule in sorted(tried, key=lambda rule: len(matching[rule])):
        changed: list[Answer] = []
        worse = False
        for answer in matching[rule]:
            before, after = findings.of(answer, gone), findings.of(answer, {*gone, rule})
            if not answer.scope and before != after:
                changed.append(answer)
            worse = worse or _worse(answer, before, after)
        if not worse and len(changed) <= spare:
            gone[rule] = changed
    return gone


def _worse(answer: Answer, before: frozenset[str], after: frozenset[str]) -> bool:
    """Whether a right finding is lost or a wrong one is new."""
    judged = answer.scope - answer.ignore
    return bool((before - after) & judged & answer.labels or (after - before) & judged - answer.labels)


# --- answers -----------------------------------------------------------------------------------------------


def _labelled(matcher: PatternSet, findings: Findings, aside: bool) -> Iterator[Answer]:
    files = [DATA / "labelled_answers.jsonl", *([DATA / ASIDE] if aside else [])]
    if folder := os.environ.get("STANCE_REFERENCE_DATA"):
        files += [
            Path(folder, "real-responses", "labelled.jsonl"),
            Path(folder, "real-answers", "labelled-holds.jsonl"),
        ]
    for file in files:
        rows = _rows(file)
        scope = findings.scope(frozenset(row["labels"]) for row in rows)
        for row in rows:
            yield _answer("/".join(file.parts[-2:]), row, matcher, scope)


def _unlabelled(path: Path, matcher: PatternSet) -> Iterator[Answer]:
    for file in sorted(path.rglob("responses.jsonl")) if path.is_dir() else [path]:
        for row in _rows(file):
            yield _answer(str(file), row, matcher, frozenset())


def _rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]


def _answer(source: str, row: dict[str, Any], matcher: PatternSet, scope: frozenset[str]) -> Answer:
    question, response = row["question"], row["response"]
    spans: dict[Rule, str] = {}
    for hit in matcher.find(response, question, row.get("category")):
        spans.setdefault((hit.pattern, hit.rule), response[hit.start : hit.end])
    labels, ignore = frozenset(row.get("labels", ())), frozenset(row.get("ignore", ()))
    return Answer(source, question, response, labels, ignore, scope, spans)


def _without_yielding(file: PatternFile) -> PatternFile:
    """The same patterns, none of which gives way to another."""
    return file.model_copy(
        update={"patterns": [pattern.model_copy(update={"unless_pattern": []}) for pattern in file.patterns]}
    )


# --- tables ------------------------------------------------------------------------------------------------


def _print_agreement(answers: Sequence[Answer], findings: Findings, gone: Collection[Rule]) -> None:
    sources: defaultdict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        sources[answer.source].append(answer)
    for source, members in sources.items():
        judged = [JudgedAnswer(None, one.labels, one.ignore, findings.of(one, gone)) for one in members]
        print(f"\n{source}: {len(members)} answers")
        print(f"{'label':24}{'positives':>10}{'precision':>10}{'recall':>10}{'F1':>10}")
        for label in sorted(members[0].scope):
            table = agreement(judged, label)
            figures = [table.precision, table.recall, table.f1]
            shown = ("-" if figure is None else f"{figure:.4f}" for figure in figures)
            print(f"{label:24}{table.positives:10}" + "".join(f"{figure:>10}" for figure in shown))


def _print_rules(answers: Sequence[Answer], findings: Findings) -> None:
    """Of each rule the answers in which it matches, and those in which the findings change without it."""
    matches = Counter(rule for answer in answers for rule in answer.spans)
    alone: Counter[tuple[Rule, bool]] = Counter()
    for answer in answers:
        whole = findings.of(answer)
        alone.update((rule, bool(answer.scope)) for rule in answer.spans if findings.of(answer, {rule}) != whole)
    print(f"\n{'pattern':24}{'rule':32}{'matches':>8}{'alone, labelled':>17}{'alone, unlabelled':>19}")
    for rule in findings.rules:
        print(f"{rule[0]:24}{rule[1]:32}{matches[rule]:8}{alone[rule, True]:17}{alone[rule, False]:19}")


if __name__ == "__main__":
    typer.run(main)
