"""Which models are probed, against which base, and where the figures go; known before torch is imported."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from epistemic_stance.foundation.errors import InputError, Problem, RefusedError
from epistemic_stance.foundation.files import require_folder, sha256_of
from epistemic_stance.foundation.settings import DEFAULT_STANCE, ProbeSettings
from epistemic_stance.models.find import TOKENIZER_FILES, ModelFiles, find_model, recorded_training
from epistemic_stance.records.checkpoint_name import checkpoint_of, written_checkpoint
from epistemic_stance.records.run_folder import (
    BASE,
    CHECKPOINTS,
    METADATA_FILE,
    PROBES_FILE,
    RunFolder,
)
from epistemic_stance.records.training import CheckpointMetadata

SINGLE = "model"


@dataclass(frozen=True)
class TargetModel:
    """A model of a target."""

    name: str
    """`base`, the checkpoint's folder, or `model` for one that lies in no run folder."""
    files: ModelFiles
    probes: Path
    """Where its figures are written."""


@dataclass(frozen=True)
class Target:
    base: TargetModel | None
    """What the others are compared with; None = nobody knows what the model was made from."""
    others: list[TargetModel]
    """Checkpoints by epoch, or the one model."""
    folder: Path
    """Holds all that is written."""
    base_model: str | None
    stance: str
    trained: CheckpointMetadata | None
    """What the first checkpoint says of its training."""

    @property
    def models(self) -> list[TargetModel]:
        return [*([self.base] if self.base else []), *self.others]


def find_target(settings: ProbeSettings) -> Target:
    """Raises InputError or RefusedError."""
    name = settings.target
    problems = [
        Problem(f"--{flag}", f"is {value}, expected 0 or more")
        for flag, value in (("choices", settings.choices), ("threads", settings.threads))
        if value < 0
    ]
    if problems:
        raise InputError(problems)
    if "://" in name:
        what = "is an address; a server gives no log-probabilities of a given text, so its probes stay unknown"
        raise InputError([Problem(name, what, hint="name a run folder, a checkpoint or a model on this machine")])
    run = Path(name)
    if RunFolder(run).checkpoints.is_dir() and not (run / "config.json").is_file():
        return _run_target(settings, run, _wanted(run, settings.checkpoints))
    if settings.checkpoints:
        what = f"{name} is no run folder, expected one with --checkpoints"
        raise InputError([Problem("--checkpoints", what, hint="leave it out to probe one model")])
    files = find_model(name)
    if files.folder.parent.name == CHECKPOINTS and settings.output_dir is None:
        return _run_target(settings, files.folder.parent.parent, [files.folder])
    return _single_target(settings, files)


def _run_target(settings: ProbeSettings, run: Path, folders: Sequence[Path]) -> Target:
    output = settings.output_dir or RunFolder(run).validation
    require_folder(output, "--output-dir")
    checkpoints = [find_model(str(folder)) for folder in folders]
    trained = recorded_training(checkpoints[0].folder)
    base = settings.base or (trained.base_model if trained else None)
    if base is None:
        what = "does not say what it was trained from"
        raise InputError([Problem(str(checkpoints[0].folder / METADATA_FILE), what, hint="give --base MODEL")])
    return Target(
        base=TargetModel(BASE, _base_files(base, settings, trained), output / BASE / PROBES_FILE),
        others=[
            TargetModel(files.folder.name, files, output / files.folder.name / PROBES_FILE) for files in checkpoints
        ],
        folder=output,
        base_model=base,
        stance=_stance(settings, trained),
        trained=trained,
    )


def _single_target(settings: ProbeSettings, files: ModelFiles) -> Target:
    if settings.output_dir is None:
        what = f"{files.name} lies in no run folder, so there is no place for its {PROBES_FILE}"
        raise InputError([Problem("--output-dir", what, hint="give a folder")])
    require_folder(settings.output_dir, "--output-dir")
    trained = recorded_training(files.folder)
    base = settings.base or (trained.base_model if trained else None)
    return Target(
        base=TargetModel(BASE, _base_files(base, settings, trained), settings.output_dir / BASE / PROBES_FILE)
        if base
        else None,
        others=[TargetModel(SINGLE, files, settings.output_dir / PROBES_FILE)],
        folder=settings.output_dir,
        base_model=base,
        stance=_stance(settings, trained),
        trained=trained,
    )


def _stance(settings: ProbeSettings, trained: CheckpointMetadata | None) -> str:
    return settings.stance or (trained.settings.get("stance") if trained else None) or DEFAULT_STANCE


def _base_files(name: str, settings: ProbeSettings, trained: CheckpointMetadata | None) -> ModelFiles:
    """The base model. Raises RefusedError if it is by now another one than the checkpoint was trained from."""
    try:
        files = find_model(name)
    except InputError as error:
        if settings.base:
            raise
        what = f"the model that it was trained from, {name}, is not found: {error.problems[0].what}"
        raise InputError([Problem(settings.target, what, hint="give --base MODEL")]) from error
    if settings.base is None and trained and files.digest() != trained.base_weights_digest:
        raise RefusedError(
            f"{name} has other weights than the model of that name that {settings.target} was trained from",
            "give the model of that time with --base",
        )
    return files


def _wanted(run: Path, checkpoints: str) -> list[Path]:
    """Checkpoints of a run in the order of training; all if none is named."""
    place = RunFolder(run)
    present = {name: folder for folder in place.checkpoint_folders() if (name := checkpoint_of(folder.name))}
    if not present:
        raise InputError([Problem(str(place.checkpoints), "holds no checkpoint", hint="train first")])
    wanted = {part.strip(): written_checkpoint(part) for part in checkpoints.split(",") if part.strip()}
    known = ", ".join(name.short for name in present)
    problems = [
        Problem("--checkpoints", f"there is no checkpoint {part!r}", hint=f"there is {known}")
        for part, name in wanted.items()
        if name not in present
    ]
    if problems:
        raise InputError(problems)
    return [folder for name, folder in present.items() if not wanted or name in wanted.values()]


def tokenizer_digest(files: ModelFiles) -> str:
    """sha256 over the files of tokenizer, template and stop tokens, as in a collection's plan."""
    present = [name for name in TOKENIZER_FILES if (files.folder / name).is_file()]
    listed = "".join(f"{name} {sha256_of(files.folder / name)}\n" for name in present)
    return hashlib.sha256(listed.encode()).hexdigest()
