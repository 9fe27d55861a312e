"""Loading stance folders and pairs: what is accepted, and how every mistake is pointed at."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from checkout import ROOT
from hypothesis import given
from hypothesis import strategies as st

from epistemic_stance.foundation import file_memory
from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.files import MAX_INPUT_BYTES
from epistemic_stance.foundation.similarity import words
from epistemic_stance.stance.check_pairs import check_pairs
from epistemic_stance.stance.check_questions import check_question_sets
from epistemic_stance.stance.load import load_pairs, load_stance, load_stance_and_pairs, shipped_stances
from epistemic_stance.stance.pairs import Pair, corpus_digest

GUIDE_PAIR = {
    "id": "sky_01",
    "category": "facts",
    "question": "Why is the sky blue?",
    "bad_response": "As an AI, I cannot see the sky.",
    "good_response": "Air scatters short waves more than long ones.",
    "pattern_removed": ["disclaimer"],
    "pattern_added": [],
    "rationale": "plain",
}
QUESTIONS = {
    "schema": 1,
    "name": "probe",
    "categories": {"facts": "plain facts"},
    "questions": [{"id": "f1", "category": "facts", "text": "How far is the moon?"}],
}
STANCE_TOML = """\
name = "plain"
title = "Plain speech"
[corpus]
path = "pairs.json"
[[question_sets]]
name = "probe"
path = "questions.json"
"""


def message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def problems_of(call: Any, *arguments: Any) -> list[Problem]:
    with pytest.raises(InputError) as caught:
        call(*arguments)
    return caught.value.problems


def one_problem(call: Any, *arguments: Any) -> Problem:
    [problem] = problems_of(call, *arguments)
    return problem


def write(path: Path, content: Any, **options: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content, **options), encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "stance.toml", STANCE_TOML)
    write(tmp_path / "pairs.json", {"training_pairs": [GUIDE_PAIR]}, indent=2)
    write(tmp_path / "questions.json", QUESTIONS, indent=2)
    return tmp_path


# --- pairs -------------------------------------------------------------------------------------------------


def test_a_guide_pair_becomes_a_conversation(tmp_path: Path) -> None:
    path = write(tmp_path / "pairs.json", {"metadata": {"any": 1}, "training_pairs": [GUIDE_PAIR]}, indent=1)
    assert load_pairs(path) == (
        Pair(
            id="sky_01",
            category="facts",
            prompt=[message("user", "Why is the sky blue?")],
            chosen="Air scatters short waves more than long ones.",
            rejected="As an AI, I cannot see the sky.",
            where=f"{path}:6",
        ),
    )


@pytest.mark.parametrize("indent", [None, 2])
def test_the_form_is_told_by_content_not_by_name(tmp_path: Path, indent: int | None) -> None:
    path = write(tmp_path / "pairs.jsonl", {"training_pairs": [GUIDE_PAIR]}, indent=indent)
    assert load_pairs(path)[0].id == "sky_01"
    line = {"prompt": 'What is "training_pairs": a key?', "chosen": "Yes.", "rejected": "No."}
    assert load_pairs(write(tmp_path / "pairs.json", line))[0].chosen == "Yes."


def test_raw_text_lines_keep_their_spaces_and_get_an_id_by_line_number(tmp_path: Path) -> None:
    line = {"prompt": "Q: why?\nA:", "chosen": " because ", "rejected": " no", "score": 3}
    labelled = {**line, "id": "mine", "category": "reasons"}
    path = write(tmp_path / "x", json.dumps(line) + "\n\n" + json.dumps(labelled) + "\n")
    first, second = load_pairs(path)
    assert first == Pair("line_0001", "uncategorised", "Q: why?\nA:", " because ", " no", f"{path}:1", ("score",))
    assert (second.id, second.category, second.where) == ("mine", "reasons", f"{path}:3")


def test_conversational_lines_become_messages(tmp_path: Path) -> None:
    prompt = [message("system", "Be brief."), message("user", "Hi")]
    line = {"prompt": prompt, "chosen": [message("assistant", "Hello.")], "rejected": [message("assistant", "Yo.")]}
    path = write(tmp_path / "x", line)
    assert load_pairs(path) == (Pair("line_0001", "uncategorised", prompt, "Hello.", "Yo.", f"{path}:1"),)


def test_every_problem_of_a_guide_file_at_once_with_its_line(tmp_path: Path) -> None:
    source = """{
 "schema": 2,
 "training_pairs": [
  {"id": "a b", "category": 3,
   "question": "  ",
   "bad_respons": "x", "good_response": "y"},
  5
 ],
 "extra": 1
}"""
    path = write(tmp_path / "pairs.json", source)
    found = {(problem.line, problem.field): (problem.what, problem.hint) for problem in problems_of(load_pairs, path)}
    assert found == {
        (2, "schema"): ("expected 1, found 2", ""),
        (4, "training_pairs[0].id"): (
            'expected a name of letters, digits and . _ : - that starts with a letter or digit, found "a b"',
            "",
        ),
        (4, "training_pairs[0].category"): ("expected text, found 3", ""),
        (5, "training_pairs[0].question"): ('expected text that is not blank, found "  "', ""),
        (4, "training_pairs[0].bad_response"): ("missing", ""),
        (6, "training_pairs[0].bad_respons"): ("unknown field", "did you mean bad_response?"),
        (7, "training_pairs[1]"): ("expected an object, found 5", ""),
        (9, "extra"): ("unknown field", "known are schema, metadata, training_pairs"),
    }


def test_every_problem_of_a_jsonl_file_at_once_with_its_line(tmp_path: Path) -> None:
    good = {"prompt": "a", "chosen": "b", "rejected": "c"}
    said = message("assistant", "x")
    lines = [
        json.dumps(good),
        json.dumps({**good, "prompt": 5}),
        json.dumps({"prompt": [{"role": "bot", "content": "x", "z": 1}], "chosen": [said], "rejected": [said, said]}),
        '{"prompt": "a", "chosen": "b"}',
        json.dumps({"prompt": [said], "chosen": [message("user", "x")], "rejected": [said]}),
        json.dumps({**good, "chosen": [said]}),
        "not json",
        '{"prompt": "a", "prompt": "a", "chosen": "b", "rejected": "c"}',
        json.dumps({**good, "id": 7}),
    ]
    found = [(p.line, p.field, p.what) for p in problems_of(load_pairs, write(tmp_path / "x", "\n".join(lines)))]
    assert found == [
        (2, "prompt", "expected text or a list, found 5"),
        (3, "prompt[0].role", "expected 'system', 'user' or 'assistant', found \"bot\""),
        (3, "prompt[0].z", "unknown field"),
        (3, "rejected", "expected text or at most 1 in it, found a list of 2"),
        (4, "rejected", "missing"),
        (5, "prompt[0].role", "expected user, found assistant"),
        (5, "chosen[0].role", "expected assistant, found user"),
        (6, "", "prompt, chosen and rejected are neither all text nor all lists of messages"),
        (7, "", 'not JSON: expected a value, found "not" (column 1)'),
        (8, "", 'not JSON: the key "prompt" stands twice in one object (column 17)'),
        (9, "id", "expected text, found 7"),
    ]


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        (b"", 1, "nothing in it"),
        (b"\n\n", 3, "nothing in it"),
        (b"[]", 1, "no training_pairs"),
        (b'{\n"trainingpairs": []}', 1, "no training_pairs"),
        (b'{"training_pairs": []}', 1, "at least 1 in it, found a list of 0"),
        (b'{"training_pairs": {}}', 1, "expected a list, found an empty object"),
        (b'{"training_pairs": NaN}', 1, 'found "NaN"'),
        (b'{\n"training_pairs": [\n' + b"[" * 100_000, 1, "levels deep"),
        (b'{\n"training_pairs": "\xff"}', 2, "invalid UTF-8 byte 0xff"),
        ("{}".encode("utf-16"), 1, "invalid UTF-8"),
        (b'{"prompt": "a",\n"chosen": "b"}', 1, "expected a key in double quotes, found the end of the text"),
        (b"{}", 1, "missing"),
    ],
)
def test_what_is_no_corpus_is_named_with_its_line(tmp_path: Path, content: bytes, line: int, said: str) -> None:
    path = tmp_path / "pairs.json"
    path.write_bytes(content)
    problem = problems_of(load_pairs, path)[0]
    assert said in problem.what
    assert (problem.where, problem.line) == (str(path), line)


def test_unreadable_files(tmp_path: Path) -> None:
    assert one_problem(load_pairs, tmp_path / "nowhere.json").what == "no such file"
    assert "directory" in one_problem(load_pairs, tmp_path).what
    huge = tmp_path / "huge.json"
    with huge.open("wb") as stream:
        stream.truncate(MAX_INPUT_BYTES + 1)
    assert "larger than" in one_problem(load_pairs, huge).what


def test_a_huge_single_line_is_read(tmp_path: Path) -> None:
    pairs = [{**GUIDE_PAIR, "id": f"p{number}", "rationale": "x" * 1000} for number in range(2000)]
    loaded = load_pairs(write(tmp_path / "pairs.json", {"training_pairs": pairs}))
    assert (len(loaded), loaded[-1].where) == (2000, f"{tmp_path / 'pairs.json'}:1")


def test_a_value_in_a_message_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    pair = {**GUIDE_PAIR, "id": "\x1b[2J\u202eevil\n", "\x1b[31mkey": 1}
    text = "\n".join(map(str, problems_of(load_pairs, write(tmp_path / "p", {"training_pairs": [pair]}))))
    assert "\\x1b[2J\\u202eevil\\n" in text
    assert re.search(r"[\x00-\x09\x0b-\x1f\u202e]", text) is None


# --- digest ------------------------------------------------------------------------------------------------

sentence = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(lambda t: t.strip() == t)
guide_pairs = st.lists(
    st.builds(lambda q, b, g: {**GUIDE_PAIR, "question": q, "bad_response": b, "good_response": g}, *[sentence] * 3),
    min_size=1,
    max_size=4,
)


@given(guide_pairs, st.sampled_from([None, 1, 4]), st.booleans(), st.booleans(), st.booleans())
def test_the_digest_knows_the_texts_and_not_how_they_are_written(
    tmp_path_factory: pytest.TempPathFactory,
    pairs: list[dict[str, Any]],
    indent: int | None,
    ascii_only: bool,
    bom: bool,
    crlf: bool,
) -> None:
    folder = tmp_path_factory.mktemp("digest")
    plain = write(folder / "plain.json", {"training_pairs": pairs})
    text = json.dumps({"metadata": {"n": 1}, "training_pairs": pairs}, indent=indent, ensure_ascii=ascii_only)
    data = (text.replace("\n", "\r\n") if crlf else text).encode("utf-8-sig" if bom else "utf-8")
    (folder / "other.json").write_bytes(data)
    lines = [
        {
            "id": pair["id"],
            "prompt": [message("user", pair["question"])],
            "chosen": [message("assistant", pair["good_response"])],
            "rejected": [message("assistant", pair["bad_response"])],
        }
        for pair in pairs
    ]
    jsonl = write(folder / "lines", ("\r\n" if crlf else "\n").join(map(json.dumps, lines)))
    expected = corpus_digest(load_pairs(plain))
    assert corpus_digest(load_pairs(folder / "other.json")) == expected
    assert corpus_digest(load_pairs(jsonl)) == expected


def test_the_digest_changes_with_every_text_and_with_the_order() -> None:
    first = Pair("a", "c", [message("user", "q")], "good", "bad")
    second = Pair("b", "c", "raw", "good", "bad")
    changed = [
        [second, first],
        [first],
        [Pair("A", "c", first.prompt, "good", "bad"), second],
        [Pair("a", "c", [message("user", "Q")], "good", "bad"), second],
        [Pair("a", "c", [message("system", "q")], "good", "bad"), second],
        [Pair("a", "c", first.prompt, "Good", "bad"), second],
        [Pair("a", "c", first.prompt, "good", "Bad"), second],
        [Pair("a", "c", first.prompt, "bad", "good"), second],
    ]
    digests = [corpus_digest(pairs) for pairs in ([first, second], *changed)]
    assert len(set(digests)) == len(digests)
    assert corpus_digest([Pair("a", "other", first.prompt, "good", "bad", "f:1"), second]) == digests[0]


# --- stance folders ----------------------------------------------------------------------------------------


def test_a_folder_is_loaded(folder: Path) -> None:
    stance = load_stance(str(folder))
    assert (stance.name, stance.title, stance.system_prompt) == ("plain", "Plain speech", None)
    assert stance.corpus == folder / "pairs.json"
    assert [question.text for question in stance.question_sets["probe"].questions] == ["How far is the moon?"]
    assert stance.question_places == {"probe": [f"{folder / 'questions.json'}:8"]}
    assert load_stance_and_pairs(str(folder))[1] == load_pairs(stance.corpus)


def test_a_stance_is_parsed_once_and_again_when_a_file_of_it_changes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setattr(
        file_memory, "read_text", lambda path: read.append(path.name) or path.read_text(encoding="utf-8")
    )
    stance, pairs = load_stance_and_pairs(str(folder))
    assert sorted(read) == ["pairs.json", "questions.json", "stance.toml"]
    again, same_pairs = load_stance_and_pairs(str(folder))
    assert again is stance is load_stance(str(folder))
    assert same_pairs is pairs
    assert len(read) == 3
    changed = {**QUESTIONS, "categories": {"facts": "simple facts", "moral": "right and wrong"}}
    write(folder / "questions.json", changed, indent=2)
    assert load_stance(str(folder)).question_sets["probe"].categories["facts"] == "simple facts"
    assert load_pairs(stance.corpus) is pairs


def test_a_faulty_stance_is_read_again(folder: Path) -> None:
    (folder / "questions.json").rename(folder / "elsewhere.json")
    problems_of(load_stance, str(folder))
    (folder / "elsewhere.json").rename(folder / "questions.json")
    assert load_stance(str(folder)).name == "plain"


def test_a_stance_named_from_another_folder_is_another_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its messages name its files as it was named."""
    monkeypatch.chdir(folder.parent)
    near = load_stance(folder.name)
    assert near is not load_stance(str(folder))
    assert near.folder == Path(folder.name)


def test_an_unknown_stance_lists_the_shipped_ones() -> None:
    problem = one_problem(load_stance, "no-such-stance")
    assert problem.what == "no such stance"
    assert all(name in problem.hint for name in shipped_stances())
    assert "epistemic" in shipped_stances()


def test_a_folder_without_stance_toml(tmp_path: Path) -> None:
    problem = one_problem(load_stance, str(tmp_path))
    assert (problem.where, problem.what) == (str(tmp_path / "stance.toml"), "no such file")


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ('name = "x"\ntitle = oops\n', 2),
        ('name = "x"\nname = "y"\n', 2),
        ('name = "x"\ntitle = """never closed\n\n', 4),
        ("a = " + "[" * 100_000, None),
    ],
)
def test_a_syntax_error_of_stance_toml_has_its_line(folder: Path, source: str, line: int | None) -> None:
    write(folder / "stance.toml", source)
    problem = one_problem(load_stance, str(folder))
    assert (problem.where, problem.line) == (str(folder / "stance.toml"), line)


def test_wrong_fields_of_stance_toml(folder: Path) -> None:
    write(folder / "stance.toml", 'name = 3\ntitel = "x"\n[corpus]\npath = 2026-01-01\n')
    found = {problem.field: (problem.what, problem.hint) for problem in problems_of(load_stance, str(folder))}
    assert found == {
        "name": ("expected text, found 3", ""),
        "titel": ("unknown field", "did you mean title?"),
        "corpus.path": ('expected text, found "2026-01-01"', ""),
    }


@pytest.mark.parametrize("path", ["../outside.json", "/etc/hostname", "sub/../../outside.json", "link.json"])
def test_paths_may_not_leave_the_folder(folder: Path, path: str) -> None:
    inside = folder / "inside"
    inside.mkdir()
    write(folder / "outside.json", {"training_pairs": [GUIDE_PAIR]})
    (inside / "link.json").symlink_to(folder / "outside.json")
    write(inside / "stance.toml", f'name = "x"\n[corpus]\npath = "{path}"\n')
    problem = one_problem(load_stance, str(inside))
    assert (problem.field, problem.what) == ("corpus.path", f'"{path}" leaves the folder of the stance')


@pytest.mark.parametrize("path", ["gone.json", "a\\u0000b", "x" * 5000, "."])
def test_paths_that_name_no_file(folder: Path, path: str) -> None:
    write(folder / "stance.toml", f'name = "x"\n[corpus]\npath = "{path}"\n')
    problem = one_problem(load_stance, str(folder))
    assert problem.field == "corpus.path"
    assert "no such file" in problem.what


def test_a_linked_folder_is_fine(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    link = tmp_path_factory.mktemp("elsewhere") / "linked"
    link.symlink_to(folder)
    assert load_stance(str(link)).name == "plain"


def test_problems_of_all_files_at_once(folder: Path) -> None:
    more = '[[question_sets]]\nname = "probe"\npath = "questions.json"\n[[question_sets]]\nname = "b"\npath = "gone"\n'
    write(folder / "stance.toml", STANCE_TOML + more)
    write(folder / "questions.json", {**QUESTIONS, "questions": []}, indent=1)
    write(folder / "pairs.json", "{\n]")
    found = [(p.where, p.line, p.field) for p in problems_of(load_stance_and_pairs, str(folder))]
    assert found == [
        (str(folder / "questions.json"), 7, "questions"),
        (str(folder / "stance.toml"), None, "question_sets[1].name"),
        (str(folder / "stance.toml"), None, "question_sets[2].path"),
        (str(folder / "pairs.json"), 2, ""),
    ]


def test_a_set_has_one_name(folder: Path) -> None:
    write(folder / "questions.json", {**QUESTIONS, "name": "other"}, indent=1)
    problem = one_problem(load_stance, str(folder))
    assert (problem.field, problem.line) == ("name", 3)
    write(folder / "questions.json", QUESTIONS)
    write(folder / "stance.toml", STANCE_TOML + STANCE_TOML[STANCE_TOML.index("[[") :])
    assert one_problem(load_stance, str(folder)).what == "probe stands twice"


# --- the shipped stance ------------------------------------------------------------------------------------


def test_the_shipped_stance_has_no_finding_and_the_promised_shape() -> None:
    stance, pairs = load_stance_and_pairs("epistemic")
    assert check_pairs(pairs, stance.question_sets, stance.question_places) == []
    assert check_question_sets(stance.question_sets, stance.question_places) == []
    counts: dict[str, int] = {}
    for pair in pairs:
        counts[pair.category] = counts.get(pair.category, 0) + 1
    assert list(counts.values()) == [10, 3, 5, 4, 2, 1]
    sizes = {name: (len(s.questions), len(s.categories)) for name, s in stance.question_sets.items()}
    assert sizes == {
        "phase1": (67, 10),
        "baseline": (50, 7),
        "self_unseen": (270, 10),
        "paraphrases": (75, 6),
        "capability": (418, 6),
        "safety": (90, 9),
        "sycophancy": (72, 4),
        "preference_drift": (50, 5),
        "stance_probes": (76, 6),
    }
    for questions in stance.question_sets.values():
        assert {question.category for question in questions.questions} == set(questions.categories)


def test_no_two_shipped_good_answers_share_six_words_in_a_row() -> None:
    seen: dict[tuple[str, ...], str] = {}
    for pair in load_stance_and_pairs("epistemic")[1]:
        spoken = words(pair.chosen)
        for start in range(len(spoken) - 5):
            run = tuple(spoken[start : start + 6])
            assert seen.setdefault(run, pair.id) == pair.id, " ".join(run)


# --- the whole ---------------------------------------------------------------------------------------------


def test_reading_a_stance_loads_no_heavy_library() -> None:
    code = (
        "import sys, epistemic_stance.stance.load, epistemic_stance.stance.check_pairs, epistemic_stance.cli.check\n"
        "print([name for name in ('torch', 'transformers', 'numpy') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.strip() == "[]"


def test_the_written_schemas_are_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "tools" / "write_schemas.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
