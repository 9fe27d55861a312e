"""The training run: how far it came, how it ended, which checkpoints can be loaded."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from epistemic_stance.cli.status.check import BROKEN, Check, Section, guarded, plural, stance_command
from epistemic_stance.cli.status.preparation import Place
from epistemic_stance.foundation.files import MANIFEST
from epistemic_stance.foundation.settings import DEFAULT_MODEL, DEFAULT_STANCE, NOT_PART_OF_A_RUN, TrainSettings
from epistemic_stance.records.training import EpochRecord, RunRecord
from epistemic_stance.training.occupancy import holds_a_run

HOLDER = re.compile(r"pid (\d+) on (.+)")


def training(place: Place) -> Section:
    return Section("Training", guarded("training", lambda: _checks(place)))


def _checks(place: Place) -> Sequence[Check]:
    run, record = place.run, place.record
    if isinstance(record, str):
        return [Check("run", record, False, stance_command("train", "--output-dir", f"{run.root}_new"))]
    if record is None:
        if holds_a_run(run):
            what = f"{run.root} holds models or logs, but no run.json"
            return [Check("run", what, False, stance_command("train", "--output-dir", f"{run.root}_new"))]
        return [Check("run", f"none in {run.root}", False, _train_command(place))]
    checks = [_run_check(place, record), *_progress(place, record), _checkpoints(place)]
    if record.status == "finished":
        checks += [_model_folder(folder) for folder in (run.best, run.final)]
    return checks


def _train_command(place: Place) -> str:
    flags = [] if place.model == DEFAULT_MODEL else ["--model", place.model]
    flags += [] if place.stance_name == DEFAULT_STANCE else ["--stance", place.stance_name]
    flags += [] if place.run.root == TrainSettings.output_dir else ["--output-dir", str(place.run.root)]
    return stance_command("train", *flags)


def _resume_command(place: Place, record: RunRecord) -> str:
    """The command that began the run, as far as it was not the default, with --resume."""
    words = []
    for setting in fields(TrainSettings):
        value = record.settings.get(setting.name, setting.default)
        if setting.name in NOT_PART_OF_A_RUN or value is None or value == setting.default:
            continue
        flag = "--" + setting.name.replace("_", "-")
        words += [flag] if value is True else [flag, str(value)]
    if place.run.root != TrainSettings.output_dir:
        words += ["--output-dir", str(place.run.root)]
    return stance_command("train", *words, "--resume")


def _run_check(place: Place, record: RunRecord) -> Check:
    about = f"of {record.base_model}, begun {record.started[:16].replace('T', ' ')}"
    if record.base_model != place.model:
        other = stance_command("train", "--model", place.model, "--output-dir", f"{place.run.root}_new")
        return Check("run", f"{record.status}, {about}, not of {place.model}", False, other)
    if record.status == "finished":
        return Check("run", f"finished, {about}", True)
    resume = _resume_command(place, record)
    if record.status != "running":
        reason = f": {record.reason}" if record.reason else ""
        return Check("run", f"{record.status}{reason}, {about}", False, resume)
    if _is_held(place.run.root / ".lock"):
        watch = f"tail -f {place.run.logs / record.log_file}"
        return Check("run", f"running, {about}", False, watch)
    return Check("run", f"ended without a word (power cut, kill -9), {about}", False, resume)


def _is_held(lock: Path) -> bool:
    """Whether the process that took the lock lives; one on another machine is taken to. Touches no lock."""
    try:
        holder = HOLDER.match(lock.read_text(encoding="utf-8"))
    except BROKEN:
        return False
    if holder is None:
        return False
    if holder[2].strip() != socket.gethostname():
        return True
    try:
        os.kill(int(holder[1]), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's, but alive
        return True
    return True


def _progress(place: Place, record: RunRecord) -> list[Check]:
    """The last epoch that was logged."""
    logs = sorted(place.run.logs.glob("training_log_*.jsonl"))
    if not logs:
        return [Check("log", f"no training log in {place.run.logs}", False)]
    last: EpochRecord | None = None
    warned, unreadable = 0, 0
    for line in logs[-1].read_bytes().splitlines():
        try:
            last = EpochRecord.model_validate(json.loads(line))
            warned += bool(last.warnings)
        except BROKEN:
            unreadable += 1
    torn = f"{plural(unreadable, 'line')} of {logs[-1].name} cannot be read" if unreadable else ""
    if last is None:
        return [Check("epochs", torn or "none yet", False if torn else None)]
    planned = record.settings.get("epochs", "?")
    found = f"{last.epoch} of {planned}; loss {last.avg_loss:.4f}, accuracy {last.avg_accuracy:.0%}"
    found += f"; warnings in {plural(warned, 'epoch')}" if warned else ""
    checks = [Check("epochs", found, last.epoch == planned or None)]
    return [*checks, Check("log", torn, False)] if torn else checks


def _checkpoints(place: Place) -> Check:
    folders = checkpoints_of(place)
    broken = [f"{folder.name}: {damage}" for folder in folders if (damage := size_damage(folder))]
    if broken:
        return Check("checkpoints", f"{len(broken)} of {len(folders)} damaged; {'; '.join(broken[:3])}", False)
    if not folders:
        return Check("checkpoints", "none yet", False)
    names = f"{folders[0].name} to {folders[-1].name}" if len(folders) > 1 else folders[0].name
    return Check("checkpoints", f"{len(folders)} ({names})", True)


def checkpoints_of(place: Place) -> list[Path]:
    """Checkpoint folders by epoch."""
    found = [path for path in place.run.checkpoints.glob("checkpoint-*") if path.name[11:].isdecimal()]
    return sorted((path for path in found if path.is_dir()), key=lambda path: int(path.name[11:]))


def _model_folder(folder: Path) -> Check:
    damage = size_damage(folder) if folder.is_dir() else "is not there"
    return Check(folder.name, damage or str(folder), not damage)


def size_damage(folder: Path) -> str:
    """What is missing or of another size than the manifest says, or nothing. Loading a model checks the content too."""
    try:
        files = json.loads((folder / MANIFEST).read_bytes())["files"]
        for name, entry in files.items():
            size = (folder / name).stat().st_size
            if size != entry["size"]:
                return f"{name} has {size:,} bytes, expected {entry['size']:,}"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (*BROKEN, KeyError, TypeError, AttributeError):
        return f"{MANIFEST} cannot be read"
    return ""
