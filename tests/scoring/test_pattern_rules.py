"""Which rules can go: two that repeat each other never both, and none that finds something right alone."""

from __future__ import annotations

from typing import Any

import pytest
from checkout import ROOT

from epistemic_stance.records.written import PatternFile
from epistemic_stance.scoring.patterns import PatternSet
from epistemic_stance.stance.load import PatternSource

RULES = {"joy": ["joy", "glad"], "vague": ["more"], "exact": ["which"]}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import pattern_rules

    return pattern_rules


@pytest.fixture
def findings(bench: Any) -> Any:
    patterns = [
        {
            "name": name,
            "group": "performative",
            "meaning": "m",
            "hits": ["x"],
            "misses": ["y"],
            "unless_pattern": ["exact"] if name == "vague" else [],
            "rules": [{"id": word, "match": word} for word in words],
        }
        for name, words in RULES.items()
    ]
    file = PatternFile.model_validate({"schema": 1, "patterns": patterns})
    return bench.Findings(PatternSet([PatternSource("p.toml", file)]))


def answer(bench: Any, matching: str, labels: str = "", labelled: bool = True) -> Any:
    """One in which the rules named in `matching` match."""
    spans = {(name, word): word for name, words in RULES.items() for word in words if word in matching.split()}
    scope = frozenset(RULES) if labelled else frozenset()
    return bench.Answer("set", "q", matching, frozenset(labels.split()), frozenset(), scope, spans)


def removable(bench: Any, findings: Any, *answers: Any, **options: Any) -> set[str]:
    return {rule for _, rule in bench.removable(answers, findings, options.pop("spare", 0), **options)}


def test_of_two_rules_that_repeat_each_other_the_one_that_matches_less_goes(bench: Any, findings: Any) -> None:
    both, second = answer(bench, "joy glad", "joy"), answer(bench, "glad", "joy")
    assert removable(bench, findings, both, second) == {"joy", "more", "which"}
    assert len(removable(bench, findings, both) & {"joy", "glad"}) == 1


def test_a_rule_whose_only_findings_are_wrong_goes(bench: Any, findings: Any) -> None:
    assert removable(bench, findings, answer(bench, "joy")) == {"joy", "glad", "more", "which"}


def test_a_rule_that_keeps_another_pattern_from_a_wrong_finding_stays(bench: Any, findings: Any) -> None:
    """Without `which` the answer would show vague; without `more` first, nothing hangs on `which`."""
    right = answer(bench, "more", "vague")
    assert removable(bench, findings, answer(bench, "more which"), right) == {"joy", "glad"}


def test_unlabelled_answers_that_change_are_counted_and_named(bench: Any, findings: Any) -> None:
    unlabelled = [answer(bench, "joy", labelled=False) for _ in range(2)]
    assert removable(bench, findings, *unlabelled) == {"glad", "more", "which"}
    assert removable(bench, findings, *unlabelled, spare=2) == {"joy", "glad", "more", "which"}
    assert removable(bench, findings, *unlabelled, spare=2, keep=["joy.joy"]) == {"glad", "more", "which"}
    assert bench.removable(unlabelled, findings, 2)["joy", "joy"] == unlabelled
