"""Checkpoints to use (plain Hugging Face folders) and states to resume from (float32, optimizer included).

Both are written by the commit protocol of files.py: a folder without a valid manifest does not exist for us.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from epistemic_stance.foundation.errors import StorageError
from epistemic_stance.foundation.files import commit_folder, dump_json, verify_manifest
from epistemic_stance.models.base_files import take_over_files, write_config
from epistemic_stance.records.run_folder import METADATA_FILE
from epistemic_stance.records.training import CheckpointMetadata, ResumeState
from epistemic_stance.training.lora import merged_state_dict

STATES_KEPT = 2


def save_checkpoint(
    model: Any, base: Path, folder: Path, save_dtype: torch.dtype, metadata: CheckpointMetadata
) -> None:
    """Write the weights, the files of the base's folder, metadata.json and a manifest.

    Args:
        base: folder of the model that was loaded.

    Raises StorageError, also for a base that is no longer there.
    """

    def fill(target: Path) -> None:
        model.save_pretrained(target, state_dict=export_state_dict(model, save_dtype), max_shard_size="1000GB")
        (target / "generation_config.json").unlink(missing_ok=True)
        write_config(base, target, str(save_dtype).removeprefix("torch."))
        take_over_files(base, target, next(iter(sorted(folder.parent.glob("checkpoint-*"))), None))
        (target / METADATA_FILE).write_text(dump_json(metadata.model_dump(mode="json"), indent=1) + "\n")

    with safetensors_failures_are_io():
        commit_folder(folder, fill)


@contextmanager
def safetensors_failures_are_io() -> Iterator[None]:
    """A full disk reaches us from safetensors as its own error class."""
    try:
        yield
    except SafetensorError as error:
        raise StorageError(
            f"could not write model or optimizer tensors: {error}",
            "free space or choose another --output-dir; what was saved before is intact",
        ) from error


def export_state_dict(model: Any, dtype: torch.dtype) -> dict[str, Tensor]:
    """Merged weights in `dtype`; tensors that share memory (tied embeddings) still share it afterwards."""
    cast: dict[tuple[int, torch.Size], Tensor] = {}
    exported = {}
    for name, tensor in merged_state_dict(model).items():
        key = (tensor.data_ptr(), tensor.shape)
        if key not in cast:
            cast[key] = tensor.detach().to(device="cpu", dtype=dtype if tensor.is_floating_point() else tensor.dtype)
        exported[name] = cast[key]
    return exported


@contextmanager
def rounded_weights(model: Any, dtype: torch.dtype) -> Iterator[None]:
    """The model with its weights rounded to `dtype` and back, as a saved checkpoint would have them."""
    parameters = list(model.parameters())
    masters = [parameter.detach().clone() for parameter in parameters]
    try:
        with torch.no_grad():
            for parameter in parameters:
                parameter.copy_(parameter.to(dtype))
        yield
    finally:
        with torch.no_grad():
            for parameter, master in zip(parameters, masters, strict=True):
                parameter.copy_(master)


def save_state(states: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, record: ResumeState) -> None:
    """Commit a resume state and drop all but the newest STATES_KEPT of the same run."""
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    moments: dict[str, Tensor] = {}
    for name, parameter in trainable.items():
        for moment, tensor in optimizer.state[parameter].items():
            moments[f"{moment}:{name}"] = tensor.detach()

    def fill(target: Path) -> None:
        save_file({name: parameter.detach() for name, parameter in trainable.items()}, target / "weights.safetensors")
        save_file(moments, target / "optimizer.safetensors")
        (target / "state.json").write_text(dump_json(record.model_dump(mode="json")), encoding="utf-8")

    with safetensors_failures_are_io():
        commit_folder(states / f"step-{record.step:08d}", fill)
    own = [folder for folder in sorted(states.glob("step-*")) if _run_of(folder) == record.run_id]
    for old in own[:-STATES_KEPT]:
        trash = old.with_name(f".tmp-{old.name}-{os.getpid()}")
        old.rename(trash)
        shutil.rmtree(trash)


def _run_of(folder: Path) -> str | None:
    """The id of the run that saved this state; None if state.json cannot be read."""
    try:
        return read_state(folder).run_id
    except (OSError, ValidationError):
        return None


def newest_state(states: Path, run_id: str) -> tuple[Path | None, list[str]]:
    """The newest state of this run whose files match its manifest, and why newer ones were passed over.

    A damaged state is renamed to .bad-..., never deleted; those of another run are left alone.
    """
    passed_over: list[str] = []
    for folder in sorted(states.glob("step-*"), reverse=True):
        owner = _run_of(folder)
        if owner not in (run_id, None):
            continue
        reason = verify_manifest(folder) or ("state.json is damaged" if owner is None else None)
        if reason is None:
            return folder, passed_over
        passed_over.append(f"{folder.name}: {reason}")
        folder.rename(folder.with_name(f".bad-{folder.name}"))
    return None, passed_over


def read_state(folder: Path) -> ResumeState:
    return ResumeState.model_validate_json((folder / "state.json").read_bytes())


@torch.no_grad()
def load_state(folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> ResumeState:
    """Put weights and optimizer moments back, bit for bit. The folder must have been verified."""
    with (
        safe_open(folder / "weights.safetensors", framework="pt") as weights,
        safe_open(folder / "optimizer.safetensors", framework="pt") as moments,
    ):
        names: dict[str, list[str]] = {}
        for key in moments.keys():  # noqa: SIM118 - safe_open is not a mapping
            moment, name = key.split(":", 1)
            names.setdefault(name, []).append(moment)
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            parameter.copy_(weights.get_tensor(name))
            optimizer.state[parameter] = {
                moment: moments.get_tensor(f"{moment}:{name}").to(parameter.device) for moment in names.get(name, [])
            }
    return read_state(folder)
