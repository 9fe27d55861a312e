"""The lint of question sets and answer keys: every fault with a case next to it that has to be left alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from epistemic_stance.cli.check import run_check
from epistemic_stance.foundation.errors import InputError
from epistemic_stance.foundation.settings import CheckSettings
from epistemic_stance.records.written import QuestionSet
from epistemic_stance.scoring.check_keys import check_keys
from epistemic_stance.stance.check_pairs import check_pairs, overlaps
from epistemic_stance.stance.check_questions import check_probe_sets, check_question_sets
from epistemic_stance.stance.findings import Finding
from epistemic_stance.stance.load import SHIPPED, Probes
from epistemic_stance.stance.pairs import Pair

LONG, NEAR = "one two three four five six seven", "one two three four five six eight"
"""Six of eight words are in both."""
REWORDED = {"paraphrase_of": "p1"}


def ask(text: str, **fields: Any) -> dict[str, Any]:
    return {"category": "c", "text": text, **fields}


def made(name: str, *questions: dict[str, Any], categories: Sequence[str] = ("c", "d")) -> QuestionSet:
    numbered = [{"id": f"{name}{number}", **question} for number, question in enumerate(questions)]
    return QuestionSet.model_validate(
        {"name": name, "categories": dict.fromkeys(categories, ""), "questions": numbered}
    )


def plain(name: str, *texts: str) -> QuestionSet:
    return made(name, *map(ask, texts))


def found(findings: Sequence[Finding]) -> list[tuple[str, str, str]]:
    return [(finding.severity, finding.problem.where, finding.problem.field) for finding in findings]


def check(*questions: dict[str, Any], pairs: Sequence[str] | None = None) -> list[Finding]:
    return check_question_sets({"a": made("a", *questions)}, pair_ids=pairs)


def keys(*questions: dict[str, Any]) -> list[Finding]:
    return check_keys({"a": made("a", *questions)}, {"a": [f"q.json:{number}" for number in range(len(questions))]})


# --- ids, categories, repetition ---------------------------------------------------------------------------


def test_clean_question_sets_have_no_finding() -> None:
    assert check_question_sets({"a": plain("a", "one?", "two?"), "b": plain("b", "three?")}) == []


def test_repeated_question_ids_and_unknown_categories() -> None:
    odd = made("a", ask("one", id="x"), ask("two", id="x", category="C"))
    findings = check_question_sets({"a": odd}, {"a": ["q.json:3", "q.json:4"]})
    assert found(findings) == [("error", "q.json:4", "id"), ("error", "q.json:4", "category")]
    assert "known are c, d" in findings[1].problem.hint
    assert check_question_sets({"a": plain("same", "one"), "b": plain("same", "two")}) == []


def test_questions_asked_twice() -> None:
    assert found(check(ask("Who?"), ask("who"))) == [("error", "a[1]", "text")]
    assert found(check(ask(LONG), ask(NEAR))) == [("warning", "a[1]", "text")]
    across = {"a": plain("a", "Who?", LONG), "b": plain("b", NEAR, "who")}
    assert found(check_question_sets(across)) == [("warning", "b[0]", "text"), ("warning", "b[1]", "text")]


@pytest.mark.parametrize(
    ("first", "second", "related"),
    [
        ({"paraphrase_of": "p1"}, {"paraphrase_of": "p1"}, True),
        ({"paraphrase_of": "p1"}, {"paraphrase_of": "p2"}, False),
        ({"paraphrase_of": "p1"}, {}, False),
        ({"matter": "m", "favours": "yes"}, {"matter": "m", "favours": "no"}, True),
        ({"matter": "m", "favours": "yes"}, {"matter": "n", "favours": "no"}, False),
        ({"matter": "p1", "favours": "yes"}, {"paraphrase_of": "p1"}, False),
    ],
)
def test_what_belongs_together_may_be_alike_but_not_the_same(
    first: dict[str, str], second: dict[str, str], related: bool
) -> None:
    def of_text(one: str, other: str) -> list[tuple[str, str, str]]:
        findings = found(check(ask(one, **first), ask(other, **second)))
        return [finding for finding in findings if finding[2] == "text"]

    assert of_text(LONG, NEAR) == ([] if related else [("warning", "a[1]", "text")])
    assert of_text(LONG, LONG) == [("error", "a[1]", "text")]


def test_a_relative_does_not_hide_another_question_that_is_alike() -> None:
    findings = check(ask(LONG, **REWORDED), ask(NEAR), ask("one two three four five six nine", **REWORDED))
    assert found(findings) == [("warning", "a[1]", "text"), ("warning", "a[2]", "text")]
    assert "question a1 of a (a[1])" in findings[1].problem.what


def test_a_matter_is_one_of_its_set() -> None:
    sets = {name: made(name, ask(text, matter="m", favours="yes")) for name, text in (("a", LONG), ("b", NEAR))}
    assert ("warning", "b[0]", "text") in found(check_question_sets(sets))


# --- rewordings of training questions ----------------------------------------------------------------------


def pair(identifier: str, text: str) -> Pair:
    said = {side: " ".join(f"{identifier}{side}{number}" for number in range(8)) for side in ("good", "bad")}
    prompt = [{"role": "user", "content": text}]
    return Pair(identifier, "c", prompt, said["good"], said["bad"], f"f.json:{identifier}")


def test_a_declared_rewording_may_be_like_its_pair_but_not_the_same() -> None:
    def of(text: str, **fields: str) -> list[tuple[str, str, str]]:
        return found(check_pairs([pair("p1", LONG), pair("p2", "else")], {"a": made("a", ask(text, **fields))}))

    assert of(NEAR, **REWORDED) == []
    assert of("nothing in common", **REWORDED) == []
    assert of(NEAR) == of(NEAR, paraphrase_of="p2") == [("warning", "f.json:p1", "prompt")]
    assert of(LONG.upper(), **REWORDED) == [("error", "a[0]", "text")]
    assert of(LONG, paraphrase_of="p2") == of(LONG) == [("error", "f.json:p1", "prompt")]


def test_a_rewording_is_still_told_from_other_pairs() -> None:
    pairs = [pair("p1", LONG), pair("p2", NEAR)]
    [overlap] = overlaps(pairs, {"a": made("a", ask("one two three four five six nine", **REWORDED))})
    assert overlap.pair.id == "p2"


def test_rewordings_name_pairs_of_the_corpus() -> None:
    texts = [f"word{number}" for number in range(6)]
    complete = [ask(text, paraphrase_of=f"p{number % 2}") for number, text in enumerate(texts)]
    assert check(*complete, pairs=["p0", "p1"]) == []
    findings = check(*complete, ask("more", paraphrase_of="p7"), pairs=["p0", "p1"])
    assert found(findings) == [("error", "a[6]", "paraphrase_of")]
    assert findings[0].problem.what == 'the corpus has no pair "p7"'
    assert "p0, p1" in findings[0].problem.hint
    assert check(*complete, ask("more", paraphrase_of="p7"), pairs=None) == []


def test_too_few_rewordings_are_warned_of_once() -> None:
    texts = [ask(f"word{number}", **REWORDED) for number in range(3)]
    assert check(*texts, pairs=["p1"]) == []
    [finding] = check(*texts[:2], pairs=["p1", "p2"])
    assert (finding.severity, finding.problem.where) == ("warning", "a[0]")
    assert "2 of 2 pairs have fewer than 3 rewordings: p1 2, p2 0" in finding.problem.what
    assert check(ask("no rewording at all"), pairs=["p1", "p2"]) == []


# --- matters, forms, polarities ----------------------------------------------------------------------------


def forms(*values: str | None, **fields: Any) -> list[dict[str, Any]]:
    return [
        ask(f"word{number}", matter="m", **({"form": form} if form else {}), **fields)
        for number, form in enumerate(values)
    ]


def test_a_matter_has_each_form_once() -> None:
    assert check(*forms("asked", "asserted", "denied")) == []
    findings = check(*forms("asked", "asserted"))
    assert found(findings) == [("error", "a[0]", "matter")]
    assert "m has no question with form denied" in findings[0].problem.what
    findings = check(*forms("asked", "asserted", "denied", "denied"))
    assert found(findings) == [("error", "a[3]", "form")]
    assert "denied, as already in a2 (a[2]) of the same matter m" in findings[0].problem.what
    assert found(check(*forms("asked", "asserted", None))) == [("error", "a[2]", "form")]


def test_a_matter_without_forms_has_both_polarities_once() -> None:
    def leaning(*values: str) -> list[dict[str, Any]]:
        return [ask(f"word{number}", matter="m", favours=value) for number, value in enumerate(values)]

    assert check(*leaning("yes", "no")) == []
    assert found(check(*leaning("yes"))) == [("error", "a[0]", "matter")]
    assert ("error", "a[2]", "favours") in found(check(*leaning("yes", "no", "yes")))
    assert found(check(ask("x", matter="m"), ask("y", matter="m"))) == [
        ("error", "a[0]", "favours"),
        ("error", "a[1]", "favours"),
    ]


def test_a_matter_is_in_one_category() -> None:
    torn = forms("asked", "asserted", "denied")
    torn[1]["category"] = "d"
    [finding] = check(*torn)
    assert found([finding]) == [("error", "a[1]", "category")]
    assert "d, while a0 (a[0]) of the same matter m is of c" in finding.problem.what


def test_a_form_needs_its_matter() -> None:
    assert found(check(ask("x", form="asked"))) == [("error", "a[0]", "form")]


@pytest.mark.parametrize(
    ("yes", "no", "warned"), [(3, 2, False), (6, 4, False), (7, 4, True), (1, 1, False), (2, 1, False), (2, 0, True)]
)
def test_both_polarities_are_asked_about_equally(yes: int, no: int, warned: bool) -> None:
    """2 to 1 is as equal as three questions can be."""
    asked = [ask(f"word{n}", favours="yes" if n < yes else "no") for n in range(yes + no)]
    balanced = [ask(f"other{n}", category="d", favours=value) for n, value in enumerate(("yes", "no"))]
    findings = check(*asked, *balanced, ask("neither"))
    assert found(findings) == ([("warning", "a[0]", "favours")] if warned else [])
    assert not warned or f"{yes} questions of c favour yes and {no} no" in findings[0].problem.what


def test_requests_to_decline_have_look_alikes_in_their_category() -> None:
    both = [ask("one", expect="decline"), ask("two", expect="help")]
    assert check(*both, ask("three", category="d")) == []
    findings = check(*both, ask("three", category="d", expect="decline"), ask("four", category="d"))
    assert found(findings) == [("warning", "a[2]", "expect")]
    assert "all 1 requests of d expect decline, none help" in findings[0].problem.what


def test_questions_that_a_probe_cannot_use() -> None:
    sets = {
        "leaning": made("leaning", ask("one", favours="yes"), ask("two")),
        "keyed": made(
            "keyed", ask("three"), ask("four", answer={"kind": "yes_no", "accepted": ["no"]}, choices=["yes"])
        ),
    }
    findings = check_probe_sets(Probes(["leaning"], ["keyed"], None), sets)
    assert found(findings) == [("warning", "leaning[1]", "favours"), ("warning", "keyed[0]", "choices")]
    assert check_probe_sets(Probes([], [], None), sets) == []


# --- answer keys -------------------------------------------------------------------------------------------

CAPITAL: Mapping[str, Any] = {"kind": "phrase", "accepted": ["Lima"]}
EIGHT: Mapping[str, Any] = {"kind": "number", "accepted": ["8"]}
YES: Mapping[str, Any] = {"kind": "yes_no", "accepted": ["yes"]}


@pytest.mark.parametrize(
    ("key", "wrong", "right"),
    [(CAPITAL, "Cusco", "It is lima."), (EIGHT, "9", "eight"), (YES, "no", "Yes.")],
)
def test_a_choice_that_is_right(key: Mapping[str, Any], wrong: str, right: str) -> None:
    assert keys(ask("What is it?", answer=key, choices=[wrong])) == []
    findings = keys(ask("Unkeyed?"), ask("What is it?", answer=key, choices=[wrong, right]))
    assert found(findings) == [("error", "q.json:1", "choices[1]")]
    assert "would be graded right" in findings[0].problem.what


def test_equal_choices_and_choices_without_a_key() -> None:
    findings = keys(ask("Which?", answer=CAPITAL, choices=["Cusco", "Puno", "cusco."]))
    assert found(findings) == [("error", "q.json:0", "choices[2]")]
    assert "already choices[0]" in findings[0].problem.what
    assert found(keys(ask("Which?", choices=["Cusco"]))) == [("error", "q.json:0", "choices")]
    assert keys(ask("Which?", answer=EIGHT, choices=["-7", "7"])) == [], "a sign is no word, and still counts"


def test_an_accepted_text_that_the_key_does_not_accept() -> None:
    assert keys(ask("Is it so?", answer=YES)) == []
    findings = keys(ask("Is it so?", answer={"kind": "yes_no", "accepted": ["yes", "perhaps"]}))
    assert found(findings) == [("error", "q.json:0", "answer.accepted[1]")]
    assert "write yes or no" in findings[0].problem.hint


# --- the command -------------------------------------------------------------------------------------------


def stance(folder: Path, *questions: dict[str, Any], lines: str = "") -> str:
    corpus = {"training_pairs": [{"id": "p1", "category": "c", "question": LONG, "bad_response": "x " * 40}]}
    corpus["training_pairs"][0]["good_response"] = "y " * 40
    (folder / "pairs.json").write_text(json.dumps(corpus), encoding="utf-8")
    numbered = [{"id": f"q{number}", **question} for number, question in enumerate(questions)]
    value = {"name": "a", "categories": {"c": ""}, "questions": numbered}
    (folder / "a.json").write_text(json.dumps(value, indent=1), encoding="utf-8")
    written = 'name = "s"\n[corpus]\npath = "pairs.json"\n[[question_sets]]\nname = "a"\npath = "a.json"\n'
    (folder / "stance.toml").write_text(written + lines, encoding="utf-8")
    return str(folder)


def test_the_command_shows_file_line_and_field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = stance(
        tmp_path,
        ask("One?", paraphrase_of="p7"),
        ask("Two?", answer=CAPITAL, choices=["lima"]),
        lines='[probes]\nyes_no = ["a"]\n',
    )
    with pytest.raises(InputError, match="2 errors"):
        run_check(CheckSettings(stance=folder))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f'error: {tmp_path}/a.json:7: paraphrase_of: the corpus has no pair "p7" (hint: ')
    assert lines[1].startswith(f"error: {tmp_path}/a.json:13: choices[0]: ")
    assert any(line.startswith(f"warning: {tmp_path}/a.json:7: favours: missing") for line in lines)


def test_with_another_corpus_rewordings_are_not_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = stance(tmp_path, ask("One?", paraphrase_of="p7"))
    run_check(CheckSettings(stance=folder, corpus=SHIPPED / "epistemic" / "training_corpus.json"))
    shown = capsys.readouterr().out
    assert "No errors, no warnings." in shown
    assert "Not checked: what 1 questions reword" in shown


def test_a_key_that_accepts_nothing_is_refused_with_its_line(tmp_path: Path) -> None:
    folder = stance(tmp_path, ask("One?"), ask("Two?", answer={"kind": "phrase"}))
    with pytest.raises(InputError, match=r"a\.json:1[0-9]: .*accepted"):
        run_check(CheckSettings(stance=folder))
