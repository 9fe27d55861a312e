"""After training: screening, probes, answers of every model to every set, labels, the choice, the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from epistemic_stance.cli.status.check import (
    BROKEN,
    Check,
    Section,
    count_lines,
    guarded,
    is_whole_json,
    plural,
    read_record,
    stance_command,
    why,
)
from epistemic_stance.cli.status.preparation import Place
from epistemic_stance.cli.status.training import checkpoints_of
from epistemic_stance.foundation.settings import DEFAULT_STANCE
from epistemic_stance.labelling.labels import SAMPLE_FILE, is_judge, label_files
from epistemic_stance.records.collection import CollectionRecord
from epistemic_stance.records.run_folder import BASE, LABELS, PROBES_FILE, RESPONSES_FILE, VALIDATION
from epistemic_stance.records.screening import ScreeningRecord
from epistemic_stance.records.validation import SelectionRecord
from epistemic_stance.records.written import QuestionSetReference
from epistemic_stance.stance.load import Stance

PLAN_FILE, ANALYSIS_FILE, COMPARISON_FILE = "responses.plan.json", "analysis.json", "comparison.json"
SCREENING_FILE, SELECTION_FILE, REPORT_FILE = "screening.json", "selection.json", "report.html"


@dataclass(frozen=True)
class Scope:
    """Which checkpoints are looked at longer."""

    begun: list[str]
    """Those that answered something."""
    arms: list[str]
    """These; where there are none those that a screening recommends, else the last."""

    @property
    def epochs(self) -> str:
        return ",".join(str(int(name.rpartition("-")[2])) for name in self.arms)


def validation(place: Place, stance: Stance | None) -> list[Section]:
    """What there is to do with the checkpoints of a run."""
    try:
        return _sections(place, stance)
    except BROKEN as error:
        return [Section("Validation", [Check("run folder", f"cannot be read: {why(error)}", False)])]


def _sections(place: Place, stance: Stance | None) -> list[Section]:
    checkpoints = [folder.name for folder in checkpoints_of(place)]
    if not checkpoints:
        waiting = Check("checkpoints", "there is none to look at before training", False)
        return [Section("Validation", [waiting])]
    screening = read_record(ScreeningRecord, place.run.root / SCREENING_FILE)
    scope = _scope(place, screening, checkpoints)
    first = guarded("probes", lambda: [_screening(place, screening, scope), _probes(place, checkpoints, scope)])
    answers = guarded("answers", lambda: _answers(place, stance, scope))
    last = [
        *guarded("labels", lambda: [_labels(place)]),
        *guarded("choice", lambda: [_selection(place), _report(place)]),
    ]
    return [
        Section("First look", first),
        Section("Answers", answers, many=True),
        Section("Choice", last),
    ]


def _scope(place: Place, screening: ScreeningRecord | str | None, checkpoints: Sequence[str]) -> Scope:
    folder = place.run.root / VALIDATION
    begun = [name for name in checkpoints if any((folder / name).glob(f"*/{RESPONSES_FILE}"))]
    promising = screening.promising if isinstance(screening, ScreeningRecord) else []
    return Scope(begun, begun or [name for name in promising if name in checkpoints] or [checkpoints[-1]])


def _run_command(place: Place, scope: Scope) -> str:
    """From where the run is to the report."""
    chosen = ["--checkpoints", scope.epochs] if scope.begun else []
    return stance_command("run", place.run.root, *chosen)


# --- first look --------------------------------------------------------------------------------------------


def _screening(place: Place, record: ScreeningRecord | str | None, scope: Scope) -> Check:
    """Whoever named checkpoints to look at longer has no need of it."""
    if isinstance(record, ScreeningRecord):
        worth = ", ".join(record.promising) or "no checkpoint"
        return Check("screening", f"{plural(len(record.arms), 'model')}; worth a full pass: {worth}", True)
    command = stance_command("screen", place.run.root) if record or scope.begun else _run_command(place, scope)
    return Check("screening", record or "not done", False, command, optional=record is None and bool(scope.begun))


def _probes(place: Place, checkpoints: Sequence[str], scope: Scope) -> Check:
    """Wanted are those of the base and of the checkpoints that are looked at longer."""
    folder, arms = place.run.root / VALIDATION, [BASE, *checkpoints]
    present = [arm for arm in arms if (folder / arm / PROBES_FILE).is_file()]
    broken = [arm for arm in present if not is_whole_json(folder / arm / PROBES_FILE)]
    command = stance_command("probe", place.run.root, "--checkpoints", scope.epochs)
    if broken:
        return Check("probes", f"{PROBES_FILE} of {', '.join(broken)} cannot be read", False, command)
    missing = [arm for arm in (BASE, *scope.arms) if arm not in present]
    lacks = f"; not of {', '.join(missing)}" if present and missing else ""
    return Check("probes", f"{len(present)} of {plural(len(arms), 'model')}{lacks}", not missing, command)


# --- answers -----------------------------------------------------------------------------------------------


def _answers(place: Place, stance: Stance | None, scope: Scope) -> list[Check]:
    """Every sampled set of the stance; once a checkpoint is chosen, only those that somebody was asked."""
    folder, arms = place.run.root / VALIDATION, [BASE, *scope.arms]
    designs = stance.designs if stance else {}
    asked = {path.parent.name for arm in arms for path in (folder / arm).glob(f"*/{RESPONSES_FILE}")}
    chosen = (place.run.root / SELECTION_FILE).is_file()
    wanted = [name for name, design in designs.items() if name in asked or (design.sampled and not chosen)]
    wanted += sorted(asked - designs.keys())
    return [_Answers(place, scope, arm, name, designs.get(name)).check() for name in wanted for arm in arms]


@dataclass(frozen=True)
class _Answers:
    """Answers of one model to one set: collected, analysed, and, of a checkpoint, compared."""

    place: Place
    scope: Scope
    arm: str
    name: str
    design: QuestionSetReference | None

    @property
    def folder(self) -> Path:
        return self.place.run.root / VALIDATION / self.arm / self.name

    def check(self) -> Check:
        title = f"{self.arm}, {self.name}"
        file = self.folder / RESPONSES_FILE
        plan = read_record(CollectionRecord, self.folder / PLAN_FILE)
        number = count_lines(file)
        if isinstance(plan, str):
            return Check(title, plan, False, self._collect(None))
        if plan is None:
            found = f"{plural(number, 'answer')} without {PLAN_FILE}, which says to what" if number else "none yet"
            return Check(title, found, False, self._collect(None))
        found = f"{number:,} of {plan.responses:,} answers"
        if plan.model != self._model() and self.arm == BASE:
            found += f" of {plan.model}"
        if number != plan.responses:
            return Check(title, f"{found}, {plan.status}", False, self._collect(plan))
        analysis = self.folder / ANALYSIS_FILE
        if not analysis.is_file():
            return Check(title, f"{found}, not analysed", False, self._analyze(file))
        if not is_whole_json(analysis) or analysis.stat().st_mtime < file.stat().st_mtime:
            broken = "older than the answers" if is_whole_json(analysis) else "cannot be read"
            return Check(title, f"{found}, {ANALYSIS_FILE} {broken}", False, self._analyze(file))
        return self._compared(title, f"{found}, analysed")

    def _compared(self, title: str, found: str) -> Check:
        if self.arm == BASE:
            return Check(title, found, True)
        comparison = self.folder / COMPARISON_FILE
        base = self.place.run.root / VALIDATION / BASE / self.name
        compare = stance_command("compare", base, self.folder, *self._stance())
        if not comparison.is_file():
            return Check(title, f"{found}, not compared", False, compare)
        if not is_whole_json(comparison):
            return Check(title, f"{found}, {COMPARISON_FILE} cannot be read", False, compare)
        return Check(title, f"{found}, compared", True)

    def _model(self) -> str:
        if self.arm == BASE:
            return self.place.trained.base_model if self.place.trained else self.place.model
        return str(self.place.run.checkpoints / self.arm)

    def _stance(self) -> list[str]:
        return [] if self.place.stance_name == DEFAULT_STANCE else ["--stance", self.place.stance_name]

    def _analyze(self, file: Path) -> str:
        return stance_command("analyze", file, *self._stance())

    def _collect(self, plan: CollectionRecord | None) -> str:
        """What goes on with the answers: everything at once, but alone if they were begun in another way."""
        other = _otherwise(plan, self.design) if plan and self.design else []
        if not other:
            return _run_command(self.place, self.scope)
        model = plan.model if plan else self._model()
        words = ["--model", model, "--questions", self.name, *self._stance(), *other]
        return stance_command("collect", *words, "--output-dir", self.folder)


def _otherwise(plan: CollectionRecord, design: QuestionSetReference) -> list[str]:
    """Flags for what the plan of the answers does not share with the design of their set."""
    words = ["--endpoint", plan.endpoint] if plan.endpoint else []
    if plan.temperatures != design.temperatures:
        words += ["--temps", ",".join(f"{value:g}" for value in plan.temperatures)]
    if plan.iterations != design.iterations:
        words += ["--iterations", str(plan.iterations)]
    if plan.max_new_tokens != design.max_new_tokens:
        words += ["--max-new-tokens", str(plan.max_new_tokens)]
    each = sum(plan.iterations if temperature > 0 else 1 for temperature in plan.temperatures)
    if plan.responses < plan.questions * each:
        words += ["--max-responses", str(plan.responses)]
    return words


# --- choice ------------------------------------------------------------------------------------------------


def _labels(place: Place) -> Check:
    folder = place.run.root / LABELS
    command = stance_command("label", place.run.root)
    if not (folder / SAMPLE_FILE).is_file():
        return Check("labels", "none: how often the rules err is not known", False, command, optional=True)
    drawn = count_lines(folder / SAMPLE_FILE)
    done = {path.stem: _labelled(path) for path in label_files(folder)}
    people = [number for path in label_files(folder) if not is_judge(path) and (number := done[path.stem])]
    said = ", ".join(f"{name} {number}" for name, number in done.items()) or "nobody yet"
    whole = any(number >= drawn for number in people)
    return Check("labels", f"of {plural(drawn, 'answer')}: {said}", whole, "" if whole else command, optional=True)


def _labelled(path: Path) -> int:
    """Answers with a line that can be read."""
    found = set()
    for line in path.read_bytes().splitlines():
        try:
            found.add(str(json.loads(line)["id"]))
        except (*BROKEN, KeyError, TypeError):
            continue
    return len(found)


def _selection(place: Place) -> Check:
    path = place.run.root / SELECTION_FILE
    command = stance_command("select", place.run.root)
    record = read_record(SelectionRecord, path)
    if not isinstance(record, SelectionRecord):
        return Check("selection", record or "none yet", False, command)
    found = record.chosen or "no checkpoint qualifies"
    answers = (place.run.root / VALIDATION).glob(f"*/*/{RESPONSES_FILE}")
    if any(file.stat().st_mtime > path.stat().st_mtime for file in answers):
        return Check("selection", f"{found}, but there are newer answers", False, command)
    return Check("selection", found, True)


def _report(place: Place) -> Check:
    path, selection = place.run.root / REPORT_FILE, place.run.root / SELECTION_FILE
    command = stance_command("report", place.run.root)
    if not path.is_file():
        return Check("report", "none yet", False, command)
    if path.stat().st_size == 0:
        return Check("report", f"{path} is empty", False, command)
    if selection.is_file() and selection.stat().st_mtime > path.stat().st_mtime:
        return Check("report", f"{path} is older than the choice", False, command)
    return Check("report", str(path), True)
