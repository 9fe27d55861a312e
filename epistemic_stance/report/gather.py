"""Read what lies in a run folder, once. What is missing is None or absent, and the report says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from epistemic_stance.evaluation.evidence import BASE, CHECKPOINT, METADATA_FILE, PROBES_FILE
from epistemic_stance.evaluation.rule import frozen_rule
from epistemic_stance.evaluation.select import RUN_FILE, SELECTION_FILE
from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.files import sha256_of
from epistemic_stance.labelling.labels import VALIDATION
from epistemic_stance.records.analysis import AnalysisRecord
from epistemic_stance.records.collection import CollectionRecord
from epistemic_stance.records.comparison import ComparisonRecord
from epistemic_stance.records.probes import ProbesRecord
from epistemic_stance.records.run_folder import RESPONSES_FILE
from epistemic_stance.records.screening import ScreeningRecord
from epistemic_stance.records.training import CheckpointMetadata, EpochRecord, RunRecord
from epistemic_stance.records.validation import RuleRecord, SelectionRecord

SCREENING_FILE = "screening.json"
ANALYSIS_FILE, COMPARISON_FILE, PLAN_FILE = "analysis.json", "comparison.json", "responses.plan.json"
LOGS = "training_log_*.jsonl"
RIGHT = "right"

Record = TypeVar("Record", bound=BaseModel)


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
    run = _record(folder / RUN_FILE, RunRecord)
    notices: list[str] = []
    arms = _arms(folder, notices)
    if run is None and not arms:
        what = f"holds neither {RUN_FILE} nor answers in {VALIDATION}/"
        raise InputError([Problem(str(folder), what, hint="name the --output-dir of a training run")])
    selection = _record(folder / SELECTION_FILE, SelectionRecord)
    if selection:
        notices += _stale(selection, arms)
    return Material(
        folder=folder,
        run=run,
        epochs=_epochs(folder / "logs"),
        saved=_saved(folder / "checkpoints"),
        arms=arms,
        screening=_record(folder / SCREENING_FILE, ScreeningRecord),
        selection=selection,
        frozen=frozen_rule(folder),
        notices=notices,
    )


def _record(path: Path, kind: type[Record]) -> Record | None:
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        what = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else "is not what its name says"
        raise InputError([Problem(str(path), what, hint="make it again, or move it away")]) from None


def _saved(checkpoints: Path) -> list[str]:
    found = [path.parent.name for path in checkpoints.glob(f"*/{METADATA_FILE}") if _epoch(path.parent.name)]
    for name in found:
        _record(checkpoints / name / METADATA_FILE, CheckpointMetadata)
    return sorted(found, key=_epoch)


def _epoch(name: str) -> int:
    match = CHECKPOINT.fullmatch(name)
    return int(match[1]) if match else 0


# --- training log ------------------------------------------------------------------------------------------


def _epochs(logs: Path) -> list[EpochRecord]:
    """The log's lines; one that is cut off at the end is left out, for a training may be running."""
    epochs: list[EpochRecord] = []
    for path in sorted(logs.glob(LOGS))[-1:]:
        lines = path.read_bytes().splitlines(keepends=True)
        for number, line in enumerate(lines, start=1):
            if number == len(lines) and not line.endswith(b"\n"):
                continue
            try:
                epochs.append(EpochRecord.model_validate_json(line))
            except ValidationError:
                raise InputError([Problem(str(path), "is no line of a training log", number)]) from None
    return epochs


# --- answers -----------------------------------------------------------------------------------------------


def _arms(folder: Path, notices: list[str]) -> list[ArmFiles]:
    names = [path.name for path in (folder / VALIDATION).glob("*") if path.name == BASE or CHECKPOINT.match(path.name)]
    read = [_arm(folder / VALIDATION / name, notices) for name in sorted(names, key=_epoch)]
    return _compared([arm for arm in read if arm.sets or arm.probes], notices)


def _arm(folder: Path, notices: list[str]) -> ArmFiles:
    sets = {path.parent.name: _set(path, notices) for path in sorted(folder.glob(f"*/{RESPONSES_FILE}"))}
    return ArmFiles(folder.name, _epoch(folder.name), sets, _record(folder / PROBES_FILE, ProbesRecord))


def _set(answers: Path, notices: list[str]) -> SetFiles:
    digest = sha256_of(answers)
    analysis = _record(answers.with_name(ANALYSIS_FILE), AnalysisRecord)
    if analysis and analysis.sha256 != digest:
        place = f"{answers.parents[1].name}/{answers.parent.name}"
        notices.append(f"{place}: analysis.json is of other answers and was left out; stance analyze makes it anew")
        analysis = None
    comparison = _record(answers.with_name(COMPARISON_FILE), ComparisonRecord)
    plan = _record(answers.with_name(PLAN_FILE), CollectionRecord)
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
