"""Read what people and judges said of a run's answers: truth and finds, answer by answer, with the weights of the draw.

Gold is what all people who labelled an answer say of it. Where they differ, where one could not tell, and where a
pattern was not on offer, nothing is known, and the answer does not count for that pattern.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.files import read_text
from epistemic_stance.foundation.json_positions import parse_json
from epistemic_stance.foundation.schema_errors import validated
from epistemic_stance.foundation.similarity import question_key
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records.labels import DrawnAnswer, DrawRecord, GivenLabels, JudgeLabels
from epistemic_stance.records.run_folder import LABELS, RESPONSES_FILE, VALIDATION
from epistemic_stance.records.written import Pattern
from epistemic_stance.scoring.patterns import PatternSet
from epistemic_stance.statistics.agreement import JudgedAnswer

SAMPLE_FILE, DRAW_FILE = "sample.jsonl", "sample.json"
JUDGE = "judge-"
ANNOTATOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,80}")

Line = TypeVar("Line", bound=BaseModel)
Labels = TypeVar("Labels", bound=GivenLabels)


# --- where labels are --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AnswersPlace:
    """What the path of a file of answers says of them."""

    labels: Path
    """Folder in which their labels are kept, whether or not it is there."""
    arm: str
    question_set: str | None


def place_of(answers: Path) -> AnswersPlace:
    """The arm and the label folder of a file of answers, or of a folder that holds responses.jsonl."""
    file = (answers / RESPONSES_FILE if answers.is_dir() else answers).absolute()
    if len(file.parents) > 3 and file.parents[2].name == VALIDATION and file.name == RESPONSES_FILE:
        return AnswersPlace(file.parents[3] / LABELS, file.parents[1].name, file.parent.name)
    if file.name == RESPONSES_FILE:
        return AnswersPlace(file.parent / LABELS, file.parent.name, None)
    return AnswersPlace(file.with_name(f"{file.stem}_{LABELS}"), file.stem, None)


def labels_folder_of(answers: Path) -> Path | None:
    """RUN/labels for answers in RUN/validation/ARM/SET/, the folder beside them for others; None if none were drawn."""
    folder = place_of(answers).labels
    return folder if (folder / SAMPLE_FILE).is_file() else None


# --- what they say -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SampledAnswer:
    """A drawn answer with all that is known of it."""

    drawn: DrawnAnswer
    question: str
    """Key of its question."""
    found: frozenset[str]
    """What the rules find now."""
    given: Mapping[str, GivenLabels]
    """Annotator -> what they said of it."""
    judge: Mapping[str, JudgeLabels]
    """Judge model -> what it said of it."""
    gold: frozenset[str]
    ignored: frozenset[str]
    """Patterns of which nothing is known; all of them for an answer that nobody labelled."""
    weight: float
    """Answers of its arm that it stands for among those labelled so far; 0 for one that nobody labelled."""

    @property
    def arm(self) -> str:
        return self.drawn.arm

    @property
    def labelled(self) -> bool:
        return bool(self.given)


@dataclass(frozen=True)
class LabelledSample:
    """A label folder as it was read."""

    folder: Path
    draw: DrawRecord
    patterns: list[str]
    answers: list[SampledAnswer]
    annotators: list[str]
    """In order of their names, as are the judges."""
    judges: list[str]
    notices: list[str] = field(default_factory=list)

    @property
    def arms(self) -> list[str]:
        return list(self.draw.arms)

    def labelled(self, arm: str | None = None) -> list[SampledAnswer]:
        """Those that somebody labelled, of one arm or of all."""
        return [answer for answer in self.answers if answer.labelled and arm in (None, answer.arm)]

    def digests(self, arm: str) -> set[str | None]:
        """Digests of the weights that gave the answers of an arm; None = unknown."""
        return {answer.drawn.weights_digest for answer in self.answers if answer.arm == arm}

    def unreached(self, arm: str) -> float:
        """Answers of an arm in strata of which nothing is labelled yet: no estimate speaks for them."""
        reached = {_part_of(answer.drawn) for answer in self.labelled(arm)}
        drawn = [answer.drawn for answer in self.answers if answer.arm == arm]
        return sum(one.weight for one in drawn if _part_of(one) not in reached)

    def rules_against_people(self, arm: str | None = None) -> list[JudgedAnswer]:
        return [JudgedAnswer(one.arm, one.gold, one.ignored, one.found) for one in self.labelled(arm)]

    def between_people(self, first: str, second: str) -> list[JudgedAnswer]:
        """Answers that both labelled: the second as if they were the rules, the first as if they were the truth."""
        found = []
        for answer in self.answers:
            if {first, second} <= answer.given.keys():
                one, other = answer.given[first], answer.given[second]
                untold = _untold(self.patterns, [one]) | _untold(self.patterns, [other])
                found.append(JudgedAnswer(answer.arm, frozenset(one.labels), untold, frozenset(other.labels)))
        return found

    def judge_against_rules(self, judge: str, arm: str | None = None) -> list[JudgedAnswer]:
        """The judge's readable labels against the rules, as if these were the truth."""
        return [
            JudgedAnswer(one.arm, one.found, _untold(self.patterns, [said]), frozenset(said.labels))
            for one, said in self._readable(judge, arm)
        ]

    def judge_against_people(self, judge: str, arm: str | None = None) -> list[JudgedAnswer]:
        return [
            JudgedAnswer(one.arm, one.gold, one.ignored | _untold(self.patterns, [said]), frozenset(said.labels))
            for one, said in self._readable(judge, arm)
            if one.labelled
        ]

    def _readable(self, judge: str, arm: str | None) -> list[tuple[SampledAnswer, JudgeLabels]]:
        said = [(one, one.judge.get(judge)) for one in self.answers if arm in (None, one.arm)]
        return [(one, labels) for one, labels in said if labels and labels.readable]


def read_label_folder(folder: Path, patterns: PatternSet) -> LabelledSample:
    """Everything in a label folder, and what the rules find in its answers today.

    Raises InputError with every problem of its files: lines that cannot be read, ids that were not drawn or stand
    twice in the sample, weights that are not those of the draw, labels that are no pattern or were not on offer.
    """
    names = list(patterns.patterns)
    draw = read_draw(folder)
    numbered = _read_numbered(folder)
    drawn = [answer for _, answer in numbered]
    problems = _draw_problems(str(folder / SAMPLE_FILE), draw, numbered)
    people: dict[str, dict[str, GivenLabels]] = {}
    judges: dict[str, dict[str, JudgeLabels]] = {}
    ids = {answer.id for answer in drawn}
    for path in label_files(folder):
        try:
            if is_judge(path):
                judges[path.stem.removeprefix(JUDGE)] = _known(path, read_labels(path, JudgeLabels), ids, names)
            else:
                people[path.stem] = _known(path, read_labels(path, GivenLabels), ids, names)
        except InputError as error:
            foreign = "if it is no file of labels, move it out of the folder"
            problems += [replace(problem, hint=problem.hint or foreign) for problem in error.problems]
    people = {name: given for name, given in people.items() if given}
    if problems:
        raise InputError(problems)
    weights = _weights(drawn, {id_ for given in people.values() for id_ in given})
    answers = []
    for answer in drawn:
        given = {name: labels[answer.id] for name, labels in people.items() if answer.id in labels}
        ignored = _untold(names, list(given.values())) if given else frozenset(names)
        gold = frozenset.intersection(*(frozenset(said.labels) for said in given.values())) if given else frozenset()
        answers.append(
            SampledAnswer(
                drawn=answer,
                question=question_key(answer.question),
                found=frozenset(
                    hit.pattern for hit in patterns.find(answer.response, answer.question, answer.category)
                ),
                given=given,
                judge={name: labels[answer.id] for name, labels in judges.items() if answer.id in labels},
                gold=gold - ignored,
                ignored=ignored,
                weight=weights.get(answer.id, 0.0),
            )
        )
    sample = LabelledSample(folder, draw, names, answers, sorted(people), sorted(judges))
    sample.notices.extend(_notices(sample))
    return sample


def _weights(drawn: Sequence[DrawnAnswer], labelled: set[str]) -> dict[str, float]:
    """Weights of those labelled so far: those of a stratum and batch stand for all of it.

    Answers are labelled in random order, so that those of a stratum that are labelled are a random part of it.
    """
    all_drawn = Counter(map(_part_of, drawn))
    done = Counter(_part_of(answer) for answer in drawn if answer.id in labelled)
    return {
        answer.id: answer.weight * all_drawn[_part_of(answer)] / done[_part_of(answer)]
        for answer in drawn
        if answer.id in labelled
    }


def _part_of(answer: DrawnAnswer) -> tuple[str, str, int]:
    return answer.arm, answer.stratum, answer.batch


def _untold(names: Sequence[str], given: Sequence[GivenLabels]) -> frozenset[str]:
    """Patterns on which these do not all say the same, or of which one says nothing."""
    said = [{name: name in one.labels for name in set(one.offered) - set(one.unsure)} for one in given]
    return frozenset(name for name in names if len({one.get(name) for one in said}) != 1 or name not in said[0])


def _notices(sample: LabelledSample) -> list[str]:
    """What a reader of the figures has to know."""
    notices = []
    for arm in sample.arms:
        if sample.labelled(arm) and (unreached := sample.unreached(arm)):
            notices.append(f"{arm}: nothing is labelled yet of strata that hold {unreached:.0f} of its answers")
    strangers = [path.name for path in _files_of_lines(sample.folder) if not ANNOTATOR.fullmatch(path.stem)]
    if strangers:
        notices.append(f"left out, as no name of an annotator: {', '.join(map(shorten, strangers))}")
    new = [
        name
        for name in sample.patterns
        if any(one.given for one in sample.answers)
        and not any(name in said.offered for one in sample.answers for said in one.given.values())
    ]
    if new:
        notices.append(f"no answer was labelled for {', '.join(new)}: a new pattern, or one of other categories")
    return notices


def offered(category: str, patterns: Mapping[str, Pattern]) -> tuple[str, ...]:
    """The patterns that an answer of a category can show."""
    return tuple(name for name, pattern in patterns.items() if not pattern.categories or category in pattern.categories)


# --- files -------------------------------------------------------------------------------------------------


def label_files(folder: Path) -> list[Path]:
    """The files of annotators and judges, by name."""
    return [path for path in _files_of_lines(folder) if ANNOTATOR.fullmatch(path.stem)]


def _files_of_lines(folder: Path) -> list[Path]:
    """Those that are not hidden, but for the sample."""
    found = (path for path in folder.glob("*.jsonl") if not path.name.startswith("."))
    return sorted(path for path in found if path.is_file() and path.name != SAMPLE_FILE)


def is_judge(path: Path) -> bool:
    return path.name.startswith(JUDGE)


def read_draw(folder: Path) -> DrawRecord:
    path = folder / DRAW_FILE
    return validated(DrawRecord, parse_json(read_text(path), str(path)))


def read_sample(folder: Path) -> list[DrawnAnswer]:
    """The drawn answers, in the order of the file. Raises InputError."""
    return [answer for _, answer in _read_numbered(folder)]


def _read_numbered(folder: Path) -> list[tuple[int, DrawnAnswer]]:
    """The drawn answers with their lines."""
    path = folder / SAMPLE_FILE
    drawn: list[tuple[int, DrawnAnswer]] = []
    problems: list[Problem] = []
    lines: dict[str, int] = {}
    for number, answer in _lines(path, DrawnAnswer):
        if (first := lines.setdefault(answer.id, number)) != number:
            what = f'"{shorten(answer.id)}" is also the id of line {first}'
            problems.append(Problem(str(path), what, number, "id", "the file was changed; draw anew with --redraw"))
        drawn.append((number, answer))
    if not drawn and not problems:
        problems.append(Problem(str(path), "no answers in it", hint="draw anew with --redraw"))
    if problems:
        raise InputError(problems)
    return drawn


def _draw_problems(where: str, draw: DrawRecord, numbered: Sequence[tuple[int, DrawnAnswer]]) -> list[Problem]:
    """Where the lines of the sample are not what its draw says."""
    problems = []
    hint = "the file was changed; draw anew with --redraw"
    for number, answer in numbered:
        arm = draw.arms.get(answer.arm)
        stratum = arm.strata.get(answer.stratum) if arm else None
        if arm is None:
            problems.append(Problem(where, f'"{shorten(answer.arm)}" is no arm of {DRAW_FILE}', number, "arm", hint))
        elif stratum is None:
            what = f'"{shorten(answer.stratum)}" is no stratum of {answer.arm} in {DRAW_FILE}'
            problems.append(Problem(where, what, number, "stratum", hint))
        elif not math.isclose(answer.weight, stratum.answers / stratum.drawn):
            what = f"expected {stratum.answers} / {stratum.drawn} as in {DRAW_FILE}, found {answer.weight:g}"
            problems.append(Problem(where, what, number, "weight", hint))
    if problems:
        return problems
    drawn = Counter((answer.arm, answer.stratum) for _, answer in numbered)
    return [
        Problem(where, f"expected {stratum.drawn} answers of {arm} in {name}, found {drawn[arm, name]}", hint=hint)
        for arm, record in draw.arms.items()
        for name, stratum in record.strata.items()
        if drawn[arm, name] != stratum.drawn
    ]


def read_labels(path: Path, kind: type[Labels]) -> dict[str, tuple[int, Labels]]:
    """Id -> its last line in the file of an annotator or judge, with its number; nothing if there is no file yet."""
    return {given.id: (number, given) for number, given in _lines(path, kind)} if path.exists() else {}


def _known(
    path: Path, given: Mapping[str, tuple[int, Labels]], ids: set[str], names: Sequence[str]
) -> dict[str, Labels]:
    """The labels without line numbers; raises InputError for ids that were not drawn and labels that cannot be."""
    problems: list[Problem] = []
    for identifier, (number, labels) in given.items():
        if identifier not in ids:
            what = f'"{shorten(identifier)}" was not drawn'
            problems.append(Problem(str(path), what, number, "id", f"the ids are those of {SAMPLE_FILE}"))
        for field_name, patterns in (("labels", labels.labels), ("unsure", labels.unsure)):
            for index, pattern in enumerate(patterns):
                if pattern not in names:
                    what, hint = f'no pattern "{shorten(pattern)}"', f"known are {', '.join(names)}; see --stance"
                elif pattern not in labels.offered:
                    what, hint = f'"{shorten(pattern)}" was not on offer', "see `offered` of the same line"
                elif field_name == "unsure" and pattern in labels.labels:
                    what, hint = f'"{shorten(pattern)}" is among the labels, too', "it is either sure or not"
                else:
                    continue
                problems.append(Problem(str(path), what, number, f"{field_name}[{index}]", hint))
    if problems:
        raise InputError(problems)
    return {identifier: labels for identifier, (_, labels) in given.items()}


def _lines(path: Path, kind: type[Line]) -> list[tuple[int, Line]]:
    """The records of a file with their line numbers; a last line without its end that is torn is left out."""
    text = read_text(path)
    found: list[tuple[int, Line]] = []
    problems: list[Problem] = []
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip() or (number == len(lines) and is_torn(line)):
            continue
        try:
            found.append((number, validated(kind, parse_json(line, str(path), number))))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return found


def is_torn(last: str) -> bool:
    """Whether the last line of a file, which has no end, is what a crash left of one."""
    try:
        json.loads(last)
    except (ValueError, RecursionError):
        return True
    return False
