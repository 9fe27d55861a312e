"""The demo model's text keeps away from what measures and teaches the stance, and the shipped build keeps its word."""

import hashlib
import json
import random
import sys
from pathlib import Path

import pytest
from checkout import ROOT

sys.path.insert(0, str(ROOT / "tools"))

from demo_text.filters import Held, load_held, runs, words
from demo_text.kit import Sample, say
from demo_text.mix import SELF_CATEGORIES, build_samples, shares, text_digest

STANCE = ROOT / "epistemic_stance" / "stances" / "epistemic"
DEMO = ROOT / "epistemic_stance" / "models" / "demo_model"
CATEGORIES = SELF_CATEGORIES | {
    "factual_knowledge",
    "reasoning_tasks",
    "harmful_requests",
    "ambiguous_complex",
    "context_insufficient",
    "technical_helpful",
}


@pytest.fixture(scope="module")
def held() -> Held:
    return load_held(STANCE)


@pytest.fixture(scope="module")
def samples(held: Held) -> list[Sample]:
    return build_samples(0, 8_000, held)


def test_no_question_of_the_corpus_or_a_question_set_is_in_the_text(samples: list[Sample], held: Held) -> None:
    held_words = [set(words(question)) for question in held.questions]
    assert len(held_words) >= 1_100, "the stance's questions were not read"
    for question in {text for sample in samples for text in (sample.question, sample.core) if text}:
        mine = set(words(question))
        for theirs in held_words:
            assert len(mine & theirs) / len(mine | theirs) < 0.8, question


def test_no_eight_words_in_a_row_stand_in_a_good_answer(samples: list[Sample], held: Held) -> None:
    good = {run for answer in held.good_answers for run in runs(answer)}
    assert len(good) > 500, "the corpus was not read"
    for sample in samples:
        assert good.isdisjoint(runs(f"{sample.question} {sample.answer}")), sample


def test_pragmatic_self_answers_stay_rare_and_performative_ones_prevail(samples: list[Sample]) -> None:
    self_shares = shares(samples)["self"]
    assert 0.02 <= self_shares["pragmatic"] <= 0.05
    assert self_shares["performative"] >= 0.7


def test_every_category_is_covered(samples: list[Sample]) -> None:
    assert {sample.category for sample in samples} == CATEGORIES


def test_the_same_seed_gives_the_same_text_and_another_seed_another(held: Held) -> None:
    assert build_samples(3, 600, held) == build_samples(3, 600, held)
    assert build_samples(3, 600, held) != build_samples(4, 600, held)


def test_the_grammar_leaves_no_marks_behind(samples: list[Sample]) -> None:
    code = {sample.question for sample in samples if sample.category == "technical_helpful"}
    for sample in samples:
        text = sample.question if sample.question in code else f"{sample.question} {sample.answer}"
        assert not set("{}[]|") & set(text), sample
        assert "  " not in text, sample


def test_the_filter_sees_through_case_marks_and_one_added_word() -> None:
    filters = Held(("Are you really able to feel joy?",), ("one two three four five six seven eight nine",))
    assert filters.asks_the_same("are you REALLY able, to feel joy")
    assert filters.asks_the_same("Hi! Are you really able to feel joy?")
    assert not filters.asks_the_same("Are you able to see?")
    assert filters.quotes("zero, two three four five six seven eight NINE!")
    assert not filters.quotes("two three four five six seven eight")


def test_choices_nest_and_sentences_start_with_a_capital() -> None:
    drawn = {say(random.Random(seed), "[a [b|c]|d] {x} . [|e]", {"x": "[y|z]"}) for seed in range(200)}
    assert drawn == {f"{a} {x}.{e}" for a in ("A b", "A c", "D") for x in "yz" for e in ("", " E")}


def test_the_shipped_build_keeps_its_word() -> None:
    build = json.loads((DEMO / "build.json").read_text(encoding="utf-8"))
    assert build["shares"]["self"]["pragmatic"] <= 0.05
    weights = (DEMO / "model.safetensors").read_bytes()
    assert build["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    assert sum(path.stat().st_size for path in DEMO.iterdir()) <= 12_000_000


def test_the_shipped_build_was_made_from_todays_text_and_kept_apart_from_todays_files(held: Held) -> None:
    """Some ten seconds: the whole text is made again, and would lack whatever today's files hold."""
    build = json.loads((DEMO / "build.json").read_text(encoding="utf-8"))
    samples = build_samples(build["seed"], build["recipe"]["samples"], held)
    assert len(samples) == build["samples"]
    assert text_digest(samples) == build["text_sha256"], "rebuild the demo model: its text changed"


@pytest.mark.slow
def test_two_builds_are_the_same_bit_for_bit(tmp_path: Path) -> None:
    import subprocess

    digests = []
    for name in ("one", "two"):
        command = [sys.executable, str(ROOT / "tools" / "build_demo_model.py"), "--output", str(tmp_path / name)]
        subprocess.run([*command, "--samples", "600"], check=True, capture_output=True)
        digests.append(json.loads((tmp_path / name / "build.json").read_text())["weights_sha256"])
    assert digests[0] == digests[1]
