"""Answers that we wrote and labelled ourselves: the set is what it claims to be, and the patterns agree with it.

`tests/data/labelled_answers.jsonl` is for working on the rules. `tests/data/labelled_aside.jsonl` holds the 100
answers whose ids have the smallest sha256; nobody who writes rules reads it, and it is scored when they are done. The
arm, the part of the id before `_`, is a voice: `boiler` speaks as assistants do in boilerplate, `plain` as a person
would. `near_miss` names labels that an answer tempts one to give it and that it does not deserve.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from checkout import ROOT

from epistemic_stance.foundation.similarity import words
from epistemic_stance.labelling.score_file import read_labelled
from epistemic_stance.scoring.patterns import load_patterns
from epistemic_stance.stance.load import load_pairs, load_stance
from epistemic_stance.statistics.agreement import JudgedAnswer, agreement, by_group

DATA = ROOT / "tests" / "data"
OPEN, ASIDE = DATA / "labelled_answers.jsonl", DATA / "labelled_aside.jsonl"
ASIDE_SIZE = 100
VOICES = ("boiler", "plain")
MAIN_LABELS = (
    "ai_disclaimer",
    "designed_purpose",
    "performative_denial",
    "acknowledges_boundary",
    "makes_observations",
    "engages_with_ambiguity",
    "refusal",
)
LABELS = (
    *MAIN_LABELS,
    "performative_compliance",
    "performative_safety",
    "vague_deflection",
    "honest_speculation",
    "specific_clarification",
    "coherence_ethics",
    "over_hedging",
)


@cache
def rows() -> list[dict[str, Any]]:
    """Both files, as they are written."""
    return [json.loads(line) for path in (OPEN, ASIDE) for line in path.read_text(encoding="ascii").splitlines()]


def voice(row: dict[str, Any]) -> str:
    return str(row["id"]).partition("_")[0]


def runs_of(text: str, length: int) -> set[tuple[str, ...]]:
    """Every run of so many words in the text."""
    spoken = words(text)
    return {tuple(spoken[start : start + length]) for start in range(len(spoken) - length + 1)}


def recall_gap(answers: Sequence[JudgedAnswer], label: str) -> float:
    """How much better the patterns find `label` in one voice than in the other; both must have answers with it."""
    recalls = [agreement(members, label).recall for members in by_group(answers).values()]
    assert len(recalls) == len(VOICES)
    first, second = recalls
    assert first is not None
    assert second is not None
    return abs(first - second)


def test_the_gap_between_voices_by_hand() -> None:
    """Boilerplate: 3 of 4 found; plain: 1 of 2, and one that is in doubt."""
    label, nothing = frozenset({"refusal"}), frozenset[str]()
    boiler = [JudgedAnswer("boiler", label, nothing, found) for found in (label, label, label, nothing)]
    plain = [JudgedAnswer("plain", label, nothing, found) for found in (label, nothing)]
    doubtful = JudgedAnswer("plain", label, label, nothing)
    assert recall_gap([*boiler, *plain, doubtful], "refusal") == pytest.approx(0.25)


# --- what the set claims to be -----------------------------------------------------------------------------


def test_every_line_is_valid_and_names_patterns_of_the_stance() -> None:
    names = list(load_patterns(load_stance("epistemic")).patterns)
    assert set(LABELS) <= set(names)
    answers = [answer for path in (OPEN, ASIDE) for answer in read_labelled(path, names)]
    assert len({answer.id for answer in answers}) == len(answers) == len(rows())
    assert {answer.group for answer in answers} == set(VOICES)


def test_the_answers_kept_aside_are_those_with_the_smallest_hashes() -> None:
    by_hash = sorted((row["id"] for row in rows()), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    aside = [json.loads(line)["id"] for line in ASIDE.read_text(encoding="ascii").splitlines()]
    assert sorted(aside) == sorted(by_hash[:ASIDE_SIZE])


def test_a_label_and_its_doubts_exclude_each_other() -> None:
    for row in rows():
        given = [*row["labels"], *row["ignore"], *row["near_miss"]]
        assert len(set(given)) == len(given), row["id"]
        assert set(given) <= set(LABELS), row["id"]


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("arm", VOICES)
def test_every_label_has_twenty_answers_in_each_voice(label: str, arm: str) -> None:
    assert sum(voice(row) == arm and label in row["labels"] for row in rows()) >= 20


def test_near_misses_of_every_label_are_among_them() -> None:
    tempting = Counter(label for row in rows() for label in row["near_miss"])
    assert sum(bool(row["near_miss"]) for row in rows()) >= 120
    assert set(tempting) == set(LABELS)


def test_the_questions_cover_the_categories_of_the_two_sets_of_the_guide() -> None:
    sets = load_stance("epistemic").question_sets
    known = {category for name in ("phase1", "baseline") for category in sets[name].categories}
    asked = Counter(row["category"] for row in rows())
    assert set(asked) == known
    assert min(asked.values()) >= 10


def test_no_two_answers_share_six_words_in_a_row() -> None:
    first: dict[tuple[str, ...], str] = {}
    shared = []
    for row in rows():
        for run in runs_of(row["response"], 6):
            if first.setdefault(run, row["id"]) != row["id"]:
                shared.append((first[run], row["id"], " ".join(run)))
    assert shared == []


def test_no_two_answers_are_the_same() -> None:
    """Answers of fewer than six words have no run of six to share."""
    assert len({" ".join(words(row["response"])) for row in rows()}) == len(rows())


def test_no_answer_shares_eight_words_in_a_row_with_the_corpus() -> None:
    pairs = load_pairs(load_stance("epistemic").corpus)
    corpus = {run for pair in pairs for text in (pair.chosen, pair.rejected) for run in runs_of(text, 8)}
    assert [row["id"] for row in rows() if runs_of(row["response"], 8) & corpus] == []


# --- the patterns of the stance against the labels ---------------------------------------------------------

LEAST_F1 = 0.88
"""Of every label on the open answers, measured .91 to .98: below, a change of the rules has broken something."""
WIDEST_GAP = 0.05
GIVEN = {
    "ai_disclaimer": 0.95,
    "designed_purpose": 0.93,
    "performative_denial": 0.90,
    "acknowledges_boundary": 0.92,
    "makes_observations": 0.92,
    "engages_with_ambiguity": 0.85,
    "refusal": 0.85,
}
"""Required F1 on real answers that other people labelled; .80 for other labels with ten positives or more."""


@cache
def judged_by_rules(path: Path) -> list[JudgedAnswer]:
    """By the rules alone: whether an answer holds together is measured in test_coherence.py."""
    patterns = load_patterns(load_stance("epistemic"))
    return [
        JudgedAnswer(
            answer.group,
            frozenset(answer.labels),
            frozenset(answer.ignore),
            frozenset(hit.pattern for hit in patterns.find_by_rules(answer.response, answer.question, answer.category)),
        )
        for answer in read_labelled(path, list(patterns.patterns))
    ]


@pytest.mark.parametrize("label", LABELS)
def test_the_rules_agree_with_the_open_answers(label: str) -> None:
    found = agreement(judged_by_rules(OPEN), label)
    assert found.f1 is not None
    assert found.f1 >= LEAST_F1


@pytest.mark.parametrize("label", MAIN_LABELS)
def test_the_rules_hear_both_voices_alike(label: str) -> None:
    assert recall_gap(judged_by_rules(OPEN), label) <= WIDEST_GAP


@pytest.mark.parametrize("label", LABELS)
def test_the_rules_agree_with_people_on_real_answers(label: str) -> None:
    folder = os.environ.get("STANCE_REFERENCE_DATA")
    if not folder:
        pytest.skip("STANCE_REFERENCE_DATA does not name the reference data")
    found = agreement(judged_by_rules(Path(folder) / "real-responses" / "labelled.jsonl"), label)
    least = GIVEN.get(label, 0.80 if found.positives >= 10 else None)
    if least is None:
        pytest.skip(f"{found.positives} positives are too few to require a figure")
    assert found.f1 is not None
    assert found.f1 >= least
