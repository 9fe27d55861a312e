"""Load a stance folder and its pairs: every problem at once, with file and line."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.file_memory import FileMemory, FileReader
from epistemic_stance.foundation.json_positions import JsonDocument, parse_json
from epistemic_stance.foundation.schema_errors import validated, validated_value
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records.written import (
    Criterion,
    PatternFile,
    QuestionSet,
    QuestionSetReference,
    RedFlag,
    SelectionAxes,
    StanceFile,
    TrainingCorpus,
)
from epistemic_stance.stance.check_goals import check_goals
from epistemic_stance.stance.lines import pairs_of_lines
from epistemic_stance.stance.pairs import Pair

STANCE_FILE = "stance.toml"
SHIPPED = Path(__file__).parents[1] / "stances"
ANCHOR_PROMPTS = SHIPPED / "anchor_prompts.txt"

CORPUS_FORMS = 'a corpus is {"training_pairs": [...]}, or one {"prompt", "chosen", "rejected"} object per line'
GUIDE_KEY = re.compile(r'(?<!\\)"training_pairs"\s*:')
LINE_KEY = re.compile(r'"(prompt|chosen|rejected)"\s*:')
TOML_POSITION = re.compile(r"^(.*) \(at (?:line (\d+), column (\d+)|end of document)\)$", re.DOTALL)


@dataclass(frozen=True)
class PatternSource:
    """A file of patterns and where it was read from."""

    where: str
    file: PatternFile


@dataclass(frozen=True)
class Probes:
    """What is measured without sampling."""

    yes_no: Sequence[str]
    """Names of question sets."""
    choices: Sequence[str]
    neutral_text: Path | None


@dataclass(frozen=True, eq=False)
class Stance:
    """A stance as its folder describes it; the pairs are read by `load_pairs(stance.corpus)`.

    Everyone in a process who asks for it gets the same object, so nothing in it may be changed.
    """

    name: str
    folder: Path
    title: str
    description: str
    system_prompt: str | None
    corpus: Path
    anchor: Path
    """Neutral prompts, one a line."""
    question_sets: Mapping[str, QuestionSet]
    question_places: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Question set -> `file:line` of each of its questions, for messages about them."""
    designs: Mapping[str, QuestionSetReference] = field(default_factory=dict)
    """Question set -> how it is asked."""
    patterns: Sequence[PatternSource] = ()
    probes: Probes | None = None
    criteria: Sequence[Criterion] = ()
    red_flags: Sequence[RedFlag] = ()
    selection: SelectionAxes | None = None
    """What a checkpoint is chosen by; None = nothing."""


_STANCES = FileMemory[Stance]()
_CORPORA = FileMemory[tuple[Pair, ...]]()


# --- stance folders ----------------------------------------------------------------------------------------


def shipped_stances() -> list[str]:
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{STANCE_FILE}"))


def load_stance(name_or_folder: str) -> Stance:
    """Read a shipped stance by name, or a folder holding stance.toml, with its question sets.

    A process reads it once, and again only if one of its files has changed. Raises InputError with every problem of
    stance.toml, or else of all the files that it names.
    """
    stance, problems = _stance(name_or_folder)
    if problems:
        raise InputError(problems)
    return stance


def load_stance_and_pairs(name_or_folder: str, corpus: Path | None = None) -> tuple[Stance, tuple[Pair, ...]]:
    """A stance and the pairs of its corpus, or of another one; raises InputError with the problems of both."""
    stance, problems = _stance(name_or_folder)
    pairs: tuple[Pair, ...] = ()
    try:
        pairs = load_pairs(corpus or stance.corpus)
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError(problems)
    return stance, pairs


def _stance(name_or_folder: str) -> tuple[Stance, list[Problem]]:
    """The stance as far as it can be read, and what is wrong with it; only a faultless one is remembered."""
    folder = _stance_folder(name_or_folder)
    known = _STANCES.recall(folder)
    if known is not None:
        return known, []
    reader = FileReader()
    stance, problems = _read_stance(folder, reader)
    if not problems:
        _STANCES.keep(folder, reader.states, stance)
    return stance, problems


def _read_stance(folder: Path, reader: FileReader) -> tuple[Stance, list[Problem]]:
    """Raises InputError if stance.toml is wrong, or its corpus is missing."""
    where = str(folder / STANCE_FILE)
    record = validated_value(StanceFile, _parse_toml(reader.text(folder / STANCE_FILE), where), where)

    problems: list[Problem] = []
    corpus = _inside(folder, record.corpus.path, "corpus.path", problems)
    anchor = _inside(folder, record.anchor.path, "anchor.path", problems) if record.anchor else None
    question_sets: dict[str, QuestionSet] = {}
    places: dict[str, list[str]] = {}
    names: set[str] = set()
    for index, reference in enumerate(record.question_sets):
        path = _inside(folder, reference.path, f"question_sets[{index}].path", problems)
        if reference.name in names:
            problems.append(Problem(where, f"{reference.name} stands twice", field=f"question_sets[{index}].name"))
        elif path:
            names.add(reference.name)
            try:
                questions, places[reference.name] = _read_question_set(path, reference.name, reader)
                question_sets[reference.name] = questions
            except InputError as error:
                problems += error.problems
    designs = {reference.name: reference for reference in record.question_sets}
    patterns = _read_patterns(folder, record, reader, problems)
    problems += _unknown_categories(where, designs, question_sets)
    probes = _probes(folder, record, problems)
    if not problems:  # else names may be missing because their files could not be read
        files = [source.file for source in patterns]
        problems += check_goals(where, record, question_sets, files)
    if corpus is None:
        raise InputError(problems)
    stance = Stance(
        name=record.name,
        folder=folder,
        title=record.title,
        description=record.description,
        system_prompt=record.system_prompt,
        corpus=corpus,
        anchor=anchor or ANCHOR_PROMPTS,
        question_sets=question_sets,
        question_places=places,
        designs=designs,
        patterns=patterns,
        probes=probes,
        criteria=record.criteria,
        red_flags=record.red_flags,
        selection=record.selection,
    )
    return stance, problems


def _read_patterns(
    folder: Path, record: StanceFile, reader: FileReader, problems: list[Problem]
) -> list[PatternSource]:
    sources = []
    for index, written in enumerate(record.patterns.paths if record.patterns else []):
        path = _inside(folder, written, f"patterns.paths[{index}]", problems)
        if path:
            try:
                value = _parse_toml(reader.text(path), str(path))
                sources.append(PatternSource(str(path), validated_value(PatternFile, value, str(path))))
            except InputError as error:
                problems += error.problems
    return sources


def _probes(folder: Path, record: StanceFile, problems: list[Problem]) -> Probes | None:
    if record.probes is None:
        return None
    known = [reference.name for reference in record.question_sets]
    for field_name, names in (("probes.yes_no", record.probes.yes_no), ("probes.choices", record.probes.choices)):
        for name in names:
            if name not in known:
                what, hint = f'no question set "{shorten(name)}"', f"known are {', '.join(known)}"
                problems.append(Problem(str(folder / STANCE_FILE), what, field=field_name, hint=hint))
    written = record.probes.neutral_text
    text = _inside(folder, written, "probes.neutral_text", problems) if written else None
    return Probes(list(record.probes.yes_no), list(record.probes.choices), text)


def _unknown_categories(
    where: str, designs: Mapping[str, QuestionSetReference], question_sets: Mapping[str, QuestionSet]
) -> Iterator[Problem]:
    """Categories that a design asks and its question set does not have."""
    for index, (name, design) in enumerate(designs.items()):
        known = question_sets[name].categories if name in question_sets else {}
        asked = [("categories", design.categories)]
        asked += [("quick.categories", design.quick.categories)] if design.quick else []
        asked += [("screen.categories", design.screen.categories)] if design.screen else []
        for field_name, categories in asked:
            for category in categories:
                if known and category not in known:
                    what, hint = f'unknown category "{shorten(category)}"', f"{name} has {', '.join(known)}"
                    yield Problem(where, what, field=f"question_sets[{index}].{field_name}", hint=hint)


def _read_question_set(path: Path, name: str, reader: FileReader) -> tuple[QuestionSet, list[str]]:
    """The set and the place of each question. Its name has to be the one that stance.toml gives it."""
    document = parse_json(reader.text(path), str(path))
    questions = validated(QuestionSet, document)
    if questions.name != name:
        what = f"the set is called {questions.name} here and {name} in {STANCE_FILE}"
        raise InputError([Problem(str(path), what, document.line(("name",)), "name", "use one name")])
    return questions, [f"{path}:{line}" for line in document.element_lines("questions")]


def _stance_folder(name_or_folder: str) -> Path:
    shipped = shipped_stances()
    if name_or_folder in shipped:
        return SHIPPED / name_or_folder
    folder = Path(name_or_folder)
    if folder.is_dir():
        return folder
    hint = f"shipped stances: {', '.join(shipped) or 'none'}; or name a folder that holds {STANCE_FILE}"
    raise InputError([Problem(shorten(name_or_folder), "no such stance", hint=hint)])


def _parse_toml(text: str, where: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        problem = Problem(where, "nested too deeply")
    except ValueError as error:
        position = TOML_POSITION.match(str(error))
        what, line = (position[1], position[2] or text.count("\n") + 1) if position else (str(error), None)
        problem = Problem(where, f"not TOML: {shorten(what, 200)}", int(line) if line else None)
    raise InputError([problem])


def _inside(folder: Path, written: str, name: str, problems: list[Problem]) -> Path | None:
    """The file that stance.toml names, or None and one more problem if it is missing or outside the folder."""
    where = str(folder / STANCE_FILE)
    try:
        inside = (folder / written).resolve().is_relative_to(folder.resolve())
        exists = inside and (folder / written).is_file()
    except (OSError, ValueError, RuntimeError):  # a name too long, a zero byte, a loop of links
        inside, exists = True, False
    if exists:
        return folder / written
    what = f'no such file "{shorten(written)}"' if inside else f'"{shorten(written)}" leaves the folder of the stance'
    hint = "name it relative to stance.toml" if inside else "copy the file into the folder"
    problems.append(Problem(where, what, field=name, hint=hint))
    return None


# --- pairs -------------------------------------------------------------------------------------------------


def load_pairs(path: Path) -> tuple[Pair, ...]:
    """Read pairs from guide JSON or prompt/chosen/rejected JSONL, told apart by content.

    Guide questions become a conversation of one user message. A process reads a file once, and again only if it has
    changed. Raises InputError with every problem.
    """
    known = _CORPORA.recall(path)
    if known is not None:
        return known
    reader = FileReader()
    text = reader.text(path)
    pairs = tuple(pairs_of_lines(text, str(path)) if is_jsonl(text) else _pairs_of_guide(text, str(path)))
    _CORPORA.keep(path, reader.states, pairs)
    return pairs


def corpus_name(stance: Stance, corpus: Path | None) -> str:
    """How a file of figures names the corpus: as the user did, or as the stance's own, wherever that lies."""
    return str(corpus) if corpus else f"{stance.corpus.relative_to(stance.folder)} of stance {stance.name}"


def patterns_digest(stance: Stance) -> str:
    """sha256 over all pattern files, however they are written."""
    files = [source.file.model_dump(mode="json") for source in stance.patterns]
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def questions_digest(stance: Stance) -> str:
    """sha256 over all question sets, answer keys included."""
    sets = {name: questions.model_dump(mode="json") for name, questions in stance.question_sets.items()}
    return hashlib.sha256(json.dumps(sets, sort_keys=True).encode()).hexdigest()


def is_jsonl(text: str) -> bool:
    """Whether the first line is an object of its own rather than the opening of a longer one."""
    first = text.lstrip().partition("\n")[0].rstrip()
    if not first.startswith("{") or GUIDE_KEY.search(text):
        return False
    return first.endswith("}") or LINE_KEY.search(first) is not None


def guide_corpus(document: JsonDocument) -> TrainingCorpus:
    if not isinstance(document.value, dict) or "training_pairs" not in document.value:
        raise InputError([Problem(document.where, "no training_pairs in it", document.line(), hint=CORPUS_FORMS)])
    return validated(TrainingCorpus, document)


def _pairs_of_guide(text: str, where: str) -> list[Pair]:
    document = parse_json(text, where)
    corpus = guide_corpus(document)
    return [
        Pair(
            id=pair.id,
            category=pair.category,
            prompt=[{"role": "user", "content": pair.question}],
            chosen=pair.good_response,
            rejected=pair.bad_response,
            where=f"{where}:{line}",
        )
        for pair, line in zip(corpus.training_pairs, document.element_lines("training_pairs"), strict=True)
    ]
