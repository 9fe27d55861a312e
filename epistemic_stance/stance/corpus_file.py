"""A corpus as a file in the guide's format: read whole, labels and metadata included, and written anew."""

from __future__ import annotations

import os
from pathlib import Path

from epistemic_stance.foundation.errors import InputError, Problem, RefusedError
from epistemic_stance.foundation.file_memory import FileReader
from epistemic_stance.foundation.files import dump_json, require_folder, storage_errors
from epistemic_stance.foundation.json_positions import parse_json
from epistemic_stance.records.written import TrainingCorpus, TrainingPair
from epistemic_stance.stance.load import guide_corpus, is_jsonl, load_pairs
from epistemic_stance.stance.pairs import Pair


def read_corpus(path: Path) -> TrainingCorpus:
    """The guide's corpus in a file, or its prompt/chosen/rejected lines as one.

    Raises InputError for a file that is neither, and for lines that are no single questions: the guide's format has
    no place for conversations and raw text.
    """
    text = FileReader().text(path)
    if not is_jsonl(text):
        return guide_corpus(parse_json(text, str(path)))
    pairs = load_pairs(path)
    what, hint = "is not a single question of a user", "leave it out, or write its question alone"
    problems = [Problem(pair.where, what, field="prompt", hint=hint) for pair in pairs if not _is_question(pair)]
    if problems:
        raise InputError(problems)
    return TrainingCorpus(
        training_pairs=[
            TrainingPair(
                id=pair.id,
                category=pair.category,
                question=pair.question,
                bad_response=pair.rejected,
                good_response=pair.chosen,
            )
            for pair in pairs
        ]
    )


def _is_question(pair: Pair) -> bool:
    return not isinstance(pair.prompt, str) and [message["role"] for message in pair.prompt] == ["user"]


def require_new(path: Path) -> None:
    """Raises RefusedError if anything lies there, InputError if no file can."""
    require_folder(path.parent, "--output")
    if os.path.lexists(path):
        raise _exists(path)


def write_new_corpus(path: Path, corpus: TrainingCorpus) -> None:
    """Raises RefusedError rather than replace a file, StorageError if it cannot be written."""
    with storage_errors(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("x", encoding="utf-8") as stream:
                stream.write(dump_json(corpus.model_dump(mode="json", by_alias=True), indent=1) + "\n")
        except FileExistsError:
            raise _exists(path) from None


def _exists(path: Path) -> RefusedError:
    return RefusedError(f"{path} is already there, and a corpus is never replaced", "give another name: --output FILE")
