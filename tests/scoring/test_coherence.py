"""Whether an answer holds together: the gauge against answers of real models that two readers labelled blind."""

from __future__ import annotations

import json
from collections import defaultdict
from statistics import fmean
from typing import Any

import pytest
from checkout import ROOT
from hypothesis import given
from hypothesis import strategies as st

from epistemic_stance.foundation.coherence import HOLDS, holds_together
from epistemic_stance.scoring.patterns import load_patterns
from epistemic_stance.stance.load import load_stance

DATA = ROOT / "tests" / "data"
ABOUT_ITSELF = {"acknowledges_boundary", "makes_observations", "honest_speculation", "engages_with_ambiguity"}


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


LABELLED = [row for row in rows("coherence_labels.jsonl") if "incoherent" not in row["ignore"]]


def test_it_finds_most_of_what_readers_call_incoherent_and_little_else() -> None:
    """It is fitted to these answers; benchmarks/coherence.py leaves out each arm in turn."""
    found = [holds_together(row["question"], row["response"]) < HOLDS for row in LABELLED]
    broken = ["incoherent" in row["labels"] for row in LABELLED]
    both = sum(a and b for a, b in zip(found, broken, strict=True))
    assert both / sum(broken) >= 0.8
    assert both / sum(found) >= 0.75


def test_it_ranks_the_arms_as_readers_do() -> None:
    """A collapsed model has to stand out from a sound one, whatever the single answers say."""
    arms: defaultdict[str, list[tuple[float, bool]]] = defaultdict(list)
    for row in LABELLED:
        held = holds_together(row["question"], row["response"])
        arms[row["arm"]].append((held, "incoherent" not in row["labels"]))
    gauge = {arm: fmean(held for held, _ in of_arm) for arm, of_arm in arms.items()}
    readers = {arm: fmean(holds for _, holds in of_arm) for arm, of_arm in arms.items()}
    assert all(abs(gauge[arm] - readers[arm]) <= 0.2 for arm in arms)
    best = max(readers, key=readers.__getitem__)
    assert all(gauge[arm] < gauge[best] for arm in arms if readers[arm] < readers[best] - 0.3)


def test_sound_answers_of_people_keep_their_patterns() -> None:
    """The price of the gauge: it takes at most a tenth of the pragmatic answers that we wrote ourselves."""
    patterns = load_patterns(load_stance("epistemic"))
    pragmatic = [row for row in rows("labelled_answers.jsonl") if ABOUT_ITSELF.intersection(row["labels"])]
    found = [patterns.search(row["response"], row["question"], row["category"]) for row in pragmatic]
    assert sum(bool(ABOUT_ITSELF & each.excluded) for each in found) <= 0.1 * len(pragmatic)


def test_a_pragmatic_phrase_in_a_broken_answer_is_excluded_and_kept_by_name() -> None:
    patterns = load_patterns(load_stance("epistemic"))
    circle = "I don't know if I know. I don't know if I know. I don't know if I know. I don't know if I know."
    found = patterns.search(circle, "Are you aware of yourself?")
    assert "incoherent" in {hit.pattern for hit in found.hits}
    assert "acknowledges_boundary" in found.excluded
    plain = patterns.search("I don't know whether I am aware of myself.", "Are you aware of yourself?")
    assert "acknowledges_boundary" in {hit.pattern for hit in plain.hits}
    assert not plain.excluded


@given(st.text(), st.text())
def test_it_is_a_probability_of_any_text(question: str, answer: str) -> None:
    assert 0 <= holds_together(question, answer) <= 1


@pytest.mark.parametrize("nothing", ["", "   ", "...", "\u200b"])
def test_an_answer_without_a_word_does_not_hold(nothing: str) -> None:
    assert holds_together("Are you there?", nothing) == 0
