"""Read what lies in a run folder, once. What is missing is None or absent, and the report says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from epistemic_stance.evaluation.rule import frozen_rule
from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.files import sha256_of
from epistemic_stance.foundation.settings import DEMO_MODEL
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
    read_record,
)
from epistemic_stance.records.screening import ScreeningRecord
from epistemic_stance.records.training import CheckpointMetadata, EpochRecord, RunRecord
from epistemic_stance.records.validation import RuleRecord, SelectionRecord

RIGHT = "right"


@dataclass(frozen=True)
class AnsweredSet:
    """One model's answers to one question set."""

    files: AnswerFiles
    sha256: str
    """Of the answers."""
    analysis: AnalysisRecord | None
    """None: not analysed, or other answers were."""
    comparison: ComparisonRecord | None
    """None: as above; always of the base model."""
    plan: CollectionRecord | None


@dataclass(frozen=True)
class ValidatedModel:
    """The base model or a checkpoint."""

    name: str
    epoch: float
    """Epochs done; 0: the base model."""
    sets: Mapping[str, AnsweredSet]
    probes: ProbesRecord | None


@dataclass(frozen=True)
class Material:
    """All that a report is made of."""

    folder: Path
    run: RunRecord | None
    epochs: list[EpochRecord]
    within: list[CheckpointMetadata]
    """Of the checkpoints of steps within an epoch."""
    saved: list[str]
    """Checkpoints with weights, by epoch."""
    models: list[ValidatedModel]
    """With answers or probes; the base model first, then by epoch."""
    screening: ScreeningRecord | None
    selection: SelectionRecord | None
    frozen: RuleRecord | None
    """The rule as it was written down before the answers were collected."""
    notices: list[str]

    @property
    def base(self) -> ValidatedModel | None:
        return next((model for model in self.models if model.name == BASE), None)

    @property
    def is_demo(self) -> bool:
        screened = self.screening.base_model if self.screening else None
        return DEMO_MODEL in (self.run.base_model if self.run else None, screened)

    @property
    def subject(self) -> ValidatedModel | None:
        """Whose answers are shown: the chosen checkpoint, else that of the highest gain, else the last with answers."""
        wanted = self.selection.chosen or self.selection.shown if self.selection else None
        answered = [model for model in self.models if model.name != BASE and model.sets]
        return next((model for model in answered if model.name == wanted), answered[-1] if answered else None)

    @property
    def raising(self) -> list[str]:
        """Question sets in which training should raise something, as the criteria say; empty without a choice."""
        shown = self.selection.candidate(self.selection.shown) if self.selection else None
        wanted = [criterion for criterion in shown.criteria if criterion.at_least is not None] if shown else []
        named = [name for each in wanted if RIGHT not in each.scope.measures for name in each.scope.sets]
        return list(dict.fromkeys(named))


def gather(folder: Path) -> Material:
    """Raises InputError for a folder that holds no run, and for a file in it that is not what its name says."""
    if not folder.is_dir():
        raise InputError([Problem(str(folder), "no such run folder", hint="name the --output-dir of a training run")])
    run = RunFolder(folder)
    record = read_record(run.record_path, RunRecord)
    notices: list[str] = []
    read = [_model(run, name, notices) for name in run.models_validated()]
    models = _compared([model for model in read if model.sets or model.probes], notices)
    if record is None and not models:
        what = f"holds neither {RUN_FILE} nor answers in {VALIDATION}/"
        raise InputError([Problem(str(folder), what, hint="name the --output-dir of a training run")])
    selection = read_record(run.selection, SelectionRecord)
    if selection:
        notices += _stale(selection, models)
    return Material(
        folder=folder,
        run=record,
        epochs=run.epochs(),
        within=[metadata for _, metadata in run.within_epochs()],
        saved=_saved(run),
        models=models,
        screening=read_record(run.screening, ScreeningRecord),
        selection=selection,
        frozen=frozen_rule(run),
        notices=notices,
    )


def _saved(run: RunFolder) -> list[str]:
    metadata = [(path.name, read_record(path / METADATA_FILE, CheckpointMetadata)) for path in run.checkpoint_folders()]
    return [name for name, each in metadata if each]


def _model(run: RunFolder, name: str, notices: list[str]) -> ValidatedModel:
    sets = {question_set: _set(run.answers(name, question_set), notices) for question_set in run.answered(name)}
    return ValidatedModel(name, run.epochs_done(name) or 0, sets, read_record(run.probes(name), ProbesRecord))


def _set(files: AnswerFiles, notices: list[str]) -> AnsweredSet:
    digest = sha256_of(files.responses)
    analysis = read_record(files.analysis, AnalysisRecord)
    if analysis and analysis.sha256 != digest:
        place = f"{files.responses.parents[1].name}/{files.responses.parent.name}"
        notices.append(f"{place}: analysis.json is of other answers and was left out; stance analyze makes it anew")
        analysis = None
    comparison = read_record(files.comparison, ComparisonRecord)
    return AnsweredSet(files, digest, analysis, comparison, read_record(files.plan, CollectionRecord))


def _compared(models: list[ValidatedModel], notices: list[str]) -> list[ValidatedModel]:
    """Without comparisons of other answers than those here."""
    base = next((model for model in models if model.name == BASE), None)
    kept = []
    for model in models:
        sets = dict(model.sets)
        for name, answered in model.sets.items():
            before = base.sets[name].sha256 if base and name in base.sets else None
            compared = answered.comparison
            if compared and (compared.before.sha256, compared.after.sha256) != (before, answered.sha256):
                notices.append(f"{model.name}/{name}: comparison.json is of other answers and was left out")
                sets[name] = replace(answered, comparison=None)
        kept.append(replace(model, sets=sets))
    return kept


def _stale(selection: SelectionRecord, models: list[ValidatedModel]) -> list[str]:
    """What to say if the choice was made by other answers than those that lie here."""
    judged = {BASE: selection.base_sha256, **{candidate.name: candidate.sha256 for candidate in selection.candidates}}
    here = {model.name: {name: answered.sha256 for name, answered in model.sets.items()} for model in models}
    other = [name for name, digests in judged.items() if not digests.items() <= here.get(name, {}).items()]
    later = [model.name for model in models if model.name not in judged and model.sets]
    result = []
    if other:
        result.append(f"the choice was made by other answers than those here ({', '.join(other)}): run stance select")
    if later:
        result.append(f"the choice was made without {', '.join(later)}, whose answers came later: run stance select")
    return result
