"""Which answers a label command means: those of a run's arms and question sets, or one file of answers."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.files import sha256_of
from epistemic_stance.foundation.settings import LabelSettings
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.labelling.draw import ArmAnswer
from epistemic_stance.labelling.labels import place_of
from epistemic_stance.records.labels import SourceRecord
from epistemic_stance.records.response_file import read_responses
from epistemic_stance.records.run_folder import BASE, RESPONSES_FILE, VALIDATION
from epistemic_stance.stance.load import Stance

FORM = f"a run has {VALIDATION}/ARM/SET/{RESPONSES_FILE}"


@dataclass(frozen=True)
class Source:
    """A file of answers of one arm."""

    arm: str
    question_set: str | None
    path: Path

    def digest(self) -> str:
        try:
            return sha256_of(self.path)
        except OSError as error:
            raise InputError([Problem(str(self.path), f"cannot be read: {error.strerror}")]) from error

    def read(self, labels: Path) -> tuple[SourceRecord, list[ArmAnswer]]:
        """The answers, and what to note of the file in the label folder. Raises InputError."""
        file = read_responses(self.path)
        record = SourceRecord(
            question_set=self.question_set,
            file=os.path.relpath(self.path, labels.parent),
            sha256=file.sha256,
            answers=len(file.responses),
        )
        return record, [ArmAnswer(self.question_set, response) for response in file.responses]


@dataclass(frozen=True)
class Sources:
    """What there is to draw from, and where its labels are kept."""

    labels: Path
    files: list[Source]

    @property
    def arms(self) -> list[str]:
        return list(dict.fromkeys(source.arm for source in self.files))


def find_sources(settings: LabelSettings, stance: Stance) -> Sources:
    """The files of answers that the settings name. Raises InputError if there are none, or names that are not there."""
    run = settings.run
    if (run / VALIDATION).is_dir():
        return _of_run(settings, stance)
    place = place_of(run)
    if place.question_set is not None:
        hint = f"name the run: {place.labels.parent} --arms {place.arm} --questions {place.question_set}"
        raise InputError([Problem(str(run), "these are answers of a run, whose arms are labelled together", hint=hint)])
    file = run / RESPONSES_FILE if run.is_dir() else run
    if not file.is_file():
        raise InputError([Problem(str(run), "no answers there", hint=f"{FORM}; or name a file of answers")])
    for flag, value in (("--arms", settings.arms), ("--questions", settings.questions)):
        if value:
            what = f'"{shorten(value)}" cannot be chosen: {file} is one arm and one set'
            raise InputError([Problem("command line", what, field=flag, hint=FORM)])
    return Sources(place.labels, [Source(place.arm, None, file)])


def _of_run(settings: LabelSettings, stance: Stance) -> Sources:
    run = settings.run
    files = [
        path
        for path in sorted((run / VALIDATION).glob(f"*/*/{RESPONSES_FILE}"))
        if not any(part.startswith(".") for part in path.parts[-3:])
    ]
    if not files:
        raise InputError([Problem(str(run / VALIDATION), "no answers in it yet", hint=FORM)])
    found = [Source(path.parts[-3], path.parts[-2], path) for path in files]
    found.sort(key=lambda source: (_arm_order(source.arm), source.question_set or ""))
    arms = list(dict.fromkeys(source.arm for source in found))
    sets = list(dict.fromkeys(source.question_set or "" for source in found))
    wanted_arms = _chosen("--arms", settings.arms, arms) or arms
    wanted_sets = _chosen("--questions", settings.questions, sets) or [
        name for name in sets if not graded(name, stance)
    ]
    kept = [source for source in found if source.arm in wanted_arms and source.question_set in wanted_sets]
    empty = [arm for arm in wanted_arms if arm not in {source.arm for source in kept}]
    if not kept or (empty and settings.arms):
        what = f"no answers of {', '.join(empty)} to {', '.join(wanted_sets) or 'a set that patterns are counted in'}"
        hint = f"there are answers to {', '.join(sets)}; name sets with --questions"
        raise InputError([Problem(str(run / VALIDATION), what, hint=hint)])
    return Sources(run / place_of(kept[0].path).labels.name, kept)


def graded(question_set: str, stance: Stance) -> bool:
    """Whether every question of a set of the stance has an answer key: it asks for facts, not for conduct."""
    questions = stance.question_sets.get(question_set)
    return questions is not None and all(question.answer for question in questions.questions)


def _arm_order(arm: str) -> tuple[bool, str, int]:
    """The base first, checkpoints by number."""
    number = re.search(r"\d+$", arm)
    return arm != BASE, arm[: number.start()] if number else arm, int(number[0]) if number else 0


def _chosen(flag: str, written: str, known: Collection[str]) -> Sequence[str]:
    """Names of a comma list, in the order of `known`; raises InputError with those that are unknown."""
    names = {name.strip() for name in written.split(",")} - {""}
    problems = [
        Problem("command line", f'no answers of "{shorten(name)}"', field=flag, hint=f"known are {', '.join(known)}")
        for name in sorted(names.difference(known))
    ]
    if problems:
        raise InputError(problems)
    return [name for name in known if name in names]
