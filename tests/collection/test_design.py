"""What is asked: question sets, modes, flags, and settings that are refused."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epistemic_stance.collection.design import Design, Item, plan_items, read_design, spread
from epistemic_stance.foundation.errors import InputError
from epistemic_stance.foundation.settings import CollectSettings
from epistemic_stance.stance.load import SHIPPED


def design_of(**changes: Any) -> Design:
    return read_design(CollectSettings(**changes))


def test_comprehensive_is_the_guides_1340_answers() -> None:
    design = design_of(mode="comprehensive")
    assert (len(design.questions), design.temperatures, design.iterations) == (67, [0.3, 0.7, 1.0, 1.3], 5)
    assert (len(design.categories), len(design.items), design.prefix) == (10, 1340, "bias")
    assert design.sampling.max_new_tokens == 256


def test_quick_is_three_categories_three_temperatures_two_iterations() -> None:
    design = design_of(mode="quick")
    assert (len(design.categories), design.temperatures, design.iterations) == (3, [0.3, 0.7, 1.0], 2)
    assert len(design.items) == len(design.questions) * 6
    assert {item.category for item in design.items} == set(design.categories)


def test_a_screen_asks_the_select_half_of_what_a_full_pass_asks_and_gets_the_same_seeds() -> None:
    screen, full = design_of(mode="screen"), design_of()
    assert (screen.temperatures, screen.iterations, len(screen.items)) == ([0.7], 4, 4 * len(screen.questions))
    assert screen.questions == design_of(split="select").questions
    assert set(screen.items) < set(full.items), "what was screened need not be asked again"
    held_back = design_of(split="report").questions
    assert set(screen.questions) | set(held_back) == set(full.questions)
    assert not set(screen.questions) & set(held_back)


def test_the_questions_of_the_corpus_are_a_set_of_their_own(tmp_path: Path) -> None:
    design = design_of(questions="trained")
    assert (len(design.questions), design.temperatures, design.iterations) == (25, [0.7], 3)
    assert design.questions[0][:2] == ("self_property_01", "self_property_epistemic")
    corpus = tmp_path / "pairs.jsonl"
    talk = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hi!"}]
    ask = {"role": "user", "content": "Who?"}
    pairs = [
        {"id": "one", "prompt": [ask], "chosen": [{"role": "assistant", "content": "I."}]},
        {"id": "talk", "prompt": [*talk, ask], "chosen": [{"role": "assistant", "content": "I."}]},
        {"id": "raw", "prompt": "Who? ", "chosen": "I."},
    ]
    for pair in pairs:
        pair["rejected"] = "You." if isinstance(pair["chosen"], str) else [{"role": "assistant", "content": "You."}]
    corpus.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    assert design_of(questions="trained", corpus=corpus).questions == [("one", "uncategorised", "Who?")]
    corpus.write_text(json.dumps(pairs[2]) + "\n")
    with pytest.raises(InputError, match="no pair in it is a single question"):
        design_of(questions="trained", corpus=corpus)


def test_the_baseline_is_three_answers_to_fifty_questions() -> None:
    design = design_of(questions="baseline")
    assert (len(design.items), design.temperatures, design.sampling.max_new_tokens) == (150, [0.7], 512)
    assert design.prefix == "baseline"


def test_flags_replace_what_the_mode_says() -> None:
    flags = {"temps": "0,0.5", "iterations": 4, "categories": "provocative, comparative", "max_new_tokens": 7}
    design = design_of(mode="custom", top_p=0.9, top_k=20, repetition_penalty=1.1, system_prompt="Be brief.", **flags)
    assert design.temperatures == [0.0, 0.5]
    assert design.categories == ["comparative", "provocative"], "in the order of the set"
    assert len(design.items) == 12 * (1 + 4), "greedy is asked once"
    assert (design.sampling.top_p, design.sampling.top_k, design.sampling.repetition_penalty) == (0.9, 20, 1.1)
    assert (design.sampling.max_new_tokens, design.system_prompt) == (7, "Be brief.")


BAD_SETTINGS = [
    ({"temps": "0.3,x"}, '--temps: "x" is no temperature, expected numbers from 0 to 5'),
    ({"temps": "-0.1"}, '--temps: "-0.1" is no temperature'),
    ({"temps": "nan"}, '--temps: "nan" is no temperature'),
    ({"temps": "inf"}, '--temps: "inf" is no temperature'),
    ({"temps": ","}, '--temps: "" is no temperature'),
    ({"temps": "0.3,0.30"}, "--temps: 0.3 stands twice"),
    ({"temps": "0,-0"}, "--temps: -0 stands twice"),
    ({"categories": "dreams"}, '--categories: unknown category "dreams"'),
    ({"categories": "dreams"}, "phase1 has direct_existence, "),
    ({"categories": "comparative,comparative"}, "--categories: comparative stands twice"),
    ({"categories": "comparative,"}, '--categories: unknown category ""'),
    ({"questions": "phase2"}, "--questions: phase2 is no question set of the stance (hint: epistemic has phase1"),
    ({"questions": "baseline", "mode": "quick"}, "--mode: is quick, but the set baseline has no quick part"),
    ({"questions": "safety", "mode": "screen"}, "--mode: is screen, but the set safety has no screen part"),
    ({"mode": "screen", "split": "report"}, "--split: is report, but --mode screen asks what a checkpoint may be"),
    ({"corpus": Path("pairs.jsonl")}, "--corpus: is pairs.jsonl, expected --questions trained together with it"),
    ({"iterations": 0}, "--iterations: is 0, expected 1 to 1000"),
    ({"iterations": 1001}, "--iterations: is 1001, expected 1 to 1000"),
    ({"max_responses": 0}, "--max-responses: is 0, expected 1 or more"),
    ({"max_new_tokens": 0}, "--max-new-tokens: is 0, expected 1 to 100000"),
    ({"top_p": 0.0}, "--top-p: is 0.0, expected above 0, at most 1"),
    ({"top_p": 1.1}, "--top-p: is 1.1, expected above 0, at most 1"),
    ({"top_p": float("nan")}, "--top-p: is nan"),
    ({"top_k": -1}, "--top-k: is -1, expected 0 or more"),
    ({"repetition_penalty": 0.0}, "--repetition-penalty: is 0.0, expected above 0"),
    ({"repetition_penalty": float("inf")}, "--repetition-penalty: is inf"),
    ({"slots": -1}, "--slots: is -1, expected 0 or more"),
    ({"threads": -1}, "--threads: is -1, expected 0 or more"),
    ({"concurrency": 0}, "--concurrency: is 0, expected 1 or more"),
    ({"request_timeout": 0.0}, "--request-timeout: is 0.0, expected above 0"),
    ({"seed": -1}, "--seed: is -1, expected 0 to 2147483647"),
    ({"system_prompt": "\udcff"}, "--system-prompt: is \\udcff, expected text in UTF-8"),
    ({"overwrite": True}, "--overwrite: is True, expected --output-dir together with it"),
]


@pytest.mark.parametrize(("changes", "said"), BAD_SETTINGS, ids=[said[:40] for _, said in BAD_SETTINGS])
def test_a_setting_that_makes_no_sense_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as raised:
        design_of(**changes)
    assert said in str(raised.value)


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(InputError) as raised:
        design_of(temps="0.3,x", categories="dreams", iterations=0, top_p=2.0, questions="baseline", mode="quick")
    flags = [str(problem).partition(":")[0] for problem in raised.value.problems]
    assert flags == ["--iterations", "--top-p", "--mode", "--categories", "--temps"]


def test_questions_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    stance = tmp_path / "stance"
    (stance / "patterns").mkdir(parents=True)
    shipped = SHIPPED / "epistemic"
    for path in (path for path in shipped.rglob("*") if path.is_file()):
        (stance / path.relative_to(shipped)).write_bytes(path.read_bytes())
    questions = json.loads((stance / "phase1_questions.json").read_text())
    questions["questions"][1]["id"] = questions["questions"][0]["id"]
    (stance / "phase1_questions.json").write_text(json.dumps(questions))
    with pytest.raises(InputError, match="question ids stand twice in phase1: direct_existence_01"):
        design_of(stance=str(stance))


ITEMS = plan_items(
    [(f"{category}_{number}", category, f"{category} {number}?") for category in "abc" for number in range(4)],
    [0.0, 0.5, 1.0],
    3,
    seed=1,
)


@given(st.integers(1, len(ITEMS) + 5))
def test_a_cut_plan_is_part_of_the_plan_in_its_order_and_spread_evenly(limit: int) -> None:
    cut = spread(ITEMS, limit)
    assert len(cut) == min(limit, len(ITEMS))
    assert cut == [item for item in ITEMS if item in cut]
    whole = Counter(item.question_id for item in ITEMS)
    asked = Counter(item.question_id for item in cut)
    assert max(asked.values()) - min(asked[name] for name in whole) <= 1, "no question twice before all once"
    by_category = Counter(item.category for item in cut)
    assert max(by_category.values()) - min(by_category[name] for name in "abc") <= 1


@given(st.integers(1, len(ITEMS)))
def test_a_smaller_cut_is_part_of_a_larger_one(limit: int) -> None:
    assert set(spread(ITEMS, limit)) <= set(spread(ITEMS, limit + 1))


def test_few_answers_cover_all_categories_and_temperatures_before_a_second_iteration() -> None:
    cut = design_of(max_responses=20).items
    assert set(Counter(item.category for item in cut).values()) == {2}
    assert {item.temperature for item in cut} == {0.3, 0.7, 1.0, 1.3}
    assert {item.iteration for item in cut} == {1}
    in_67 = design_of(max_responses=67).items
    assert len({item.question_id for item in in_67}) == 67
    assert {Counter(item.temperature for item in in_67)[t] for t in (0.3, 0.7, 1.0, 1.3)} <= {15, 16, 17, 18, 19}
    in_268 = design_of(max_responses=268).items
    assert {item.iteration for item in in_268} == {1}
    assert len({(item.question_id, item.temperature) for item in in_268}) == 268


def test_an_item_is_asked_with_its_own_seed() -> None:
    seeds = [item.seed for item in design_of().items]
    assert len(set(seeds)) == len(seeds)
    assert all(isinstance(item, Item) and 0 <= item.seed < 2**31 for item in design_of().items)
