"""A corpus read whole and written anew, and never over another file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from epistemic_stance.foundation.errors import InputError, RefusedError
from epistemic_stance.stance.corpus_file import read_corpus, require_new, write_new_corpus
from epistemic_stance.stance.load import SHIPPED, load_pairs
from epistemic_stance.stance.pairs import corpus_digest

CORPUS = SHIPPED / "epistemic" / "training_corpus.json"


def line(prompt: object, number: int = 1) -> str:
    chosen, rejected = ([{"role": "assistant", "content": text}] for text in ("It may.", "Surely."))
    return json.dumps({"id": f"p{number}", "prompt": prompt, "chosen": chosen, "rejected": rejected}) + "\n"


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def test_what_is_written_is_what_was_read(tmp_path: Path) -> None:
    copy = tmp_path / "new" / "copy.json"
    corpus = read_corpus(CORPUS)
    write_new_corpus(copy, corpus)
    assert read_corpus(copy) == corpus
    assert corpus_digest(load_pairs(copy)) == corpus_digest(load_pairs(CORPUS))
    assert corpus.metadata["name"] == "epistemic"
    assert all(pair.rationale and pair.pattern_removed for pair in corpus.training_pairs)


def test_lines_become_the_guides_entries(tmp_path: Path) -> None:
    lines = tmp_path / "lines.jsonl"
    lines.write_text(line([user("Is it so?")]))
    (pair,) = read_corpus(lines).training_pairs
    assert (pair.id, pair.question, pair.good_response, pair.bad_response) == ("p1", "Is it so?", "It may.", "Surely.")


def test_conversations_are_refused_by_line(tmp_path: Path) -> None:
    lines = tmp_path / "lines.jsonl"
    system = {"role": "system", "content": "Be brief."}
    lines.write_text(line([user("Is it so?")]) + line([system, user("Is it?")], 2))
    with pytest.raises(InputError) as caught:
        read_corpus(lines)
    (problem,) = caught.value.problems
    assert problem.where == f"{lines}:2"
    assert problem.field == "prompt"


def test_nothing_is_ever_replaced(tmp_path: Path) -> None:
    corpus, taken, dangling = read_corpus(CORPUS), tmp_path / "taken.json", tmp_path / "dangling.json"
    taken.write_text("mine")
    dangling.symlink_to(tmp_path / "gone.json")
    for path in (taken, dangling):
        with pytest.raises(RefusedError, match="already there"):
            require_new(path)
        with pytest.raises(RefusedError, match="already there"):
            write_new_corpus(path, corpus)
    with pytest.raises(InputError, match="is a file, expected a folder"):
        require_new(taken / "new.json")
    assert taken.read_text() == "mine"
    assert not (tmp_path / "gone.json").exists()
