"""Read what lies in a run folder, once. What is missing is None or absent, and the report says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from epistemic_stance.evaluation.rule import frozen_rule
from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.files import sha256_of
from epistemic_stance.records.analysis import AnalysisRecord
from epistemic_stance.records.collection import CollectionRecord
from epistemic_stance.records.comparison import ComparisonRecord
from epistemic_stance.records.probes import ProbesRecord
from epistemic_stance.records.run_folder import (
    BASE,
    METADATA_FILE,
    RUN_FILE,
    VALIDATION,
    AnswerFiles,
    RunFolder,
    model_order,
    read_record,
)
from epistemic_stance.records.screening import ScreeningRecord
from epistemic_stance.records.training import CheckpointMetadata, EpochRecord, RunRecord
from epistemic_stance.records.validation import RuleRecord, SelectionRecord

RIGHT = "right"


@dataclass(frozen=True)
class SetFiles:
    """One model's answers to one question set."""

    answers: Path
    sha256: str
    analysis: AnalysisRecord | None
    """None: not analysed, or other answers were."""
    comparison: ComparisonRecord | None
    """None: as above; always of the base model."""
    plan: CollectionRecord | None


@dataclass(frozen=True)
class ArmFiles:
    """The base model or a checkpoint."""

    name: str
    epoch: int
    """0: the base model."""
    sets: Mapping[str, SetFiles]
    probes: ProbesRecord | None


@dataclass(frozen=True)
class Material:
    """All that a report is made of."""

    folder: Path
    run: RunRecord | None
    epochs: list[EpochRecord]
    saved: list[str]
    """Checkpoints with weights, by epoch."""
    arms: list[ArmFiles]
    """With answers or probes; the base model first, then by epoch."""
    screening: ScreeningRecord | None
    selection: SelectionRecord | None
    frozen: RuleRecord | None
    """The rule as it was written down before the answers were collected."""
    notices: list[str]

    @property
    def base(self) -> ArmFiles | None:
        return next((arm for arm in self.arms if arm.name == BASE), None)

    @property
    def subject(self) -> ArmFiles | None:
        """Whose answers are shown: the chosen checkpoint, else that of the highest gain, else the last with answers."""
        wanted = self.selection.chosen or self.selection.shown if self.selection else None
        answered = [arm for arm in self.arms if arm.name != BASE and arm.sets]
        return next((arm for arm in answered if arm.name == wanted), answered[-1] if answered else None)

    @property
    def raising(self) -> list[str]:
        """Question sets in which training should raise something, as the criteria say; empty without a choice."""
        shown = self.selection.candidate(self.selection.shown) if self.selection else None
        wanted = [one for one in shown.criteria if one.at_least is not None] if shown else []
        named = [name for one in wanted if RIGHT not in one.scope.measures for name in one.scope.sets]
        return list(dict.fromkeys(named))


def gather(folder: Path) -> Material:
    """Raises InputError for a folder that holds no run, and for a file in it that is not what its name says."""
    if not folder.is_dir():
        raise InputError([Problem(str(folder), "no such run folder", hint="name the --output-dir of a training run")])
    place = RunFolder(folder)
    run = read_record(place.record_path, RunRecord)
    notices: list[str] = []
    arms = _arms(place, notices)
    if run is None and not arms:
        what = f"holds neither {RUN_FILE} nor answers in {VALIDATION}/"
        raise InputError([Problem(str(folder), what, hint="name the --output-dir of a training run")])
    selection = read_record(place.selection, SelectionRecord)
    if selection:
        notices += _stale(selection, arms)
    return Material(
        folder=folder,
        run=run,
        epochs=place.epochs(),
        saved=_saved(place),
        arms=arms,
        screening=read_record(place.screening, ScreeningRecord),
        selection=selection,
        frozen=frozen_rule(folder),
        notices=notices,
    )


def _saved(run: RunFolder) -> list[str]:
    present = run.checkpoint_folders()
    return [path.name for path in present if read_record(path / METADATA_FILE, CheckpointMetadata)]


# --- answers -----------------------------------------------------------------------------------------------


def _arms(run: RunFolder, notices: list[str]) -> list[ArmFiles]:
    read = [_arm(run, name, notices) for name in run.models_validated()]
    return _compared([arm for arm in read if arm.sets or arm.probes], notices)


def _arm(run: RunFolder, name: str, notices: list[str]) -> ArmFiles:
    sets = {question_set: _set(run.answers(name, question_set), notices) for question_set in run.answered(name)}
    return ArmFiles(name, model_order(name), sets, read_record(run.probes(name), ProbesRecord))


def _set(files: AnswerFiles, notices: list[str]) -> SetFiles:
    answers = files.responses
    digest = sha256_of(answers)
    analysis = read_record(files.analysis, AnalysisRecord)
    if analysis and analysis.sha256 != digest:
        place = f"{answers.parents[1].name}/{answers.parent.name}"
        notices.append(f"{place}: analysis.json is of other answers and was left out; stance analyze makes it anew")
        analysis = None
    comparison = read_record(files.comparison, ComparisonRecord)
    plan = read_record(files.plan, CollectionRecord)
    return SetFiles(answers, digest, analysis, comparison, plan)


def _compared(arms: list[ArmFiles], notices: list[str]) -> list[ArmFiles]:
    """Without comparisons of other answers than those here."""
    base = next((arm for arm in arms if arm.name == BASE), None)
    kept = []
    for arm in arms:
        sets = dict(arm.sets)
        for name, files in arm.sets.items():
            before = base.sets[name].sha256 if base and name in base.sets else None
            compared = files.comparison
            if compared and (compared.before.sha256, compared.after.sha256) != (before, files.sha256):
                notices.append(f"{arm.name}/{name}: comparison.json is of other answers and was left out")
                sets[name] = replace(files, comparison=None)
        kept.append(replace(arm, sets=sets))
    return kept


def _stale(selection: SelectionRecord, arms: list[ArmFiles]) -> list[str]:
    """What to say if the choice was made by other answers than those that lie here."""
    judged = {BASE: selection.base_sha256, **{one.name: one.sha256 for one in selection.candidates}}
    here = {arm.name: {name: files.sha256 for name, files in arm.sets.items()} for arm in arms}
    other = [name for name, digests in judged.items() if not digests.items() <= here.get(name, {}).items()]
    later = [arm.name for arm in arms if arm.name not in judged and arm.sets]
    found = []
    if other:
        found.append(f"the choice was made by other answers than those here ({', '.join(other)}): run stance select")
    if later:
        found.append(f"the choice was made without {', '.join(later)}, whose answers came later: run stance select")
    return found
