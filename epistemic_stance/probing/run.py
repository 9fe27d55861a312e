"""`stance probe`: what the probabilities of a run's models say, one model after the other, each written when done."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from epistemic_stance.foundation.console import Printer
from epistemic_stance.foundation.errors import NumericError, RefusedError, StoppedError
from epistemic_stance.foundation.files import folder_lock
from epistemic_stance.foundation.provenance import versions
from epistemic_stance.foundation.settings import DEMO_MODEL, DEMO_NOTICE, TEMPLATE_ARGUMENTS, ProbeSettings
from epistemic_stance.foundation.signals import StopAtOnce
from epistemic_stance.models.errors import is_out_of_memory
from epistemic_stance.models.load import load_model
from epistemic_stance.probing.material import Material, read_material
from epistemic_stance.probing.targets import Arm, Target, find_target, tokenizer_digest
from epistemic_stance.records.probes import ProbeIdentity, ProbesRecord
from epistemic_stance.records.run_folder import read_if_sound, write_record
from epistemic_stance.report.probe_table import header_rows, print_probes
from epistemic_stance.stance.load import load_stance

CODE_VERSION = 1
"""Raise it when what is measured changes its meaning."""


@dataclass
class Probing:
    """One `stance probe`."""

    target: Target
    material: Material
    system_prompt: str | None
    device: str
    dtype: str
    printer: Printer
    encoded: dict[str, Any] = field(default_factory=dict)
    """Tokenizer digest -> what is asked, in its tokens."""
    forward: Any = None
    """How the architecture is asked; found out with the first model that is loaded."""
    base: ProbesRecord | None = None
    base_text: Any = None


def run_probe(settings: ProbeSettings, console: Console) -> dict[str, ProbesRecord]:
    """Probe what is missing or changed, and print all of it. Returns arm -> its figures, `base` first.

    Raises InputError, RefusedError, StorageError; StoppedError on a signal; NumericError at the end, after everything
    else was measured, if a model's numbers are not finite.
    """
    printer = Printer(console)
    target = find_target(settings)
    stance = load_stance(target.stance)
    material = read_material(stance, settings.choices)
    system_prompt = target.trained.system_prompt if target.trained else stance.system_prompt

    import torch

    from epistemic_stance.models.device import choose_device, choose_dtype
    from epistemic_stance.models.memory import tune_allocator

    device = choose_device(settings.device)
    dtype = str(choose_dtype(settings.dtype, device)).removeprefix("torch.")
    tune_allocator()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    probing = Probing(target, material, system_prompt, device, dtype, printer)
    printer.header("stance probe", header_rows(target, material, device, dtype))
    if DEMO_MODEL in (target.base_model, settings.target):
        printer.warning(DEMO_NOTICE)
    with folder_lock(target.folder), _stoppable(target):
        found, failed = _probe_all(probing, settings.overwrite)
    print_probes(found, target, console)
    if failed:
        raise NumericError(
            f"no figures of {', '.join(failed)}: {next(iter(failed.values()))}",
            "train it again, or probe it in float32",
        )
    return found


@contextlib.contextmanager
def _stoppable(target: Target) -> Iterator[None]:
    with StopAtOnce() as signals:
        try:
            yield
        except KeyboardInterrupt:
            number = signals.requested or signal.SIGINT
            what = f"stopped by {signal.Signals(number).name}; what is measured lies in {target.folder}"
            raise StoppedError(what, number, "the same command measures the rest") from None


def _probe_all(probing: Probing, overwrite: bool) -> tuple[dict[str, ProbesRecord], dict[str, str]]:
    """Figures of every arm, the base first, and why others have none."""
    target = probing.target
    base_digest = target.base.files.digest() if target.base else None
    arms = [*([target.base] if target.base else []), *target.arms]
    identities = {arm.name: _identity(probing, arm, base_digest) for arm in arms}
    finished = {} if overwrite else {arm.name: _finished(arm, identities[arm.name]) for arm in arms}
    missing = [arm for arm in arms if finished.get(arm.name) is None]
    found = {name: record for name, record in finished.items() if record}
    failed: dict[str, str] = {}
    if found:
        probing.printer.note(f"  {len(found)} of {len(arms)} are measured already and unchanged")
    if target.base and missing:
        _open_base(probing, target.base, identities[target.base.name], found)
    for arm in missing:
        if arm is target.base:
            continue
        try:
            found[arm.name] = _probe_one(probing, arm, identities[arm.name])
        except NumericError as error:
            failed[arm.name] = str(error.args[0])
            probing.printer.warning(f"{arm.name}: {error.args[0]}")
    return {arm.name: found[arm.name] for arm in arms if arm.name in found}, failed


def _identity(probing: Probing, arm: Arm, base_digest: str | None) -> ProbeIdentity:
    from epistemic_stance.probing.measure import encode

    tokenizer = tokenizer_digest(arm.files)
    if tokenizer not in probing.encoded:
        probing.encoded[tokenizer] = encode(arm.files, probing.material, probing.system_prompt)
    return ProbeIdentity(
        code_version=CODE_VERSION,
        weights_digest=arm.files.digest(),
        base_weights_digest=base_digest,
        tokenizer_digest=tokenizer,
        template_digest=probing.encoded[tokenizer].template_digest,
        template_arguments=TEMPLATE_ARGUMENTS,
        system_prompt=probing.system_prompt,
        yes_no_digest=probing.material.yes_no_digest,
        choices_digest=probing.material.choices_digest,
        text_digest=probing.material.text_digest,
        device=probing.device,
        dtype=probing.dtype,
    )


def _finished(arm: Arm, identity: ProbeIdentity) -> ProbesRecord | None:
    """What was measured of the arm before, unless it, or what it is asked, changed since."""
    record = read_if_sound(arm.output, ProbesRecord)
    return record if record and record.identity == identity else None


def _open_base(probing: Probing, arm: Arm, identity: ProbeIdentity, found: dict[str, ProbesRecord]) -> None:
    """Load the base model, for its probabilities of the text and, unless `found` has them, its own figures."""
    from epistemic_stance.models.products import multiplying_by
    from epistemic_stance.probing.neutral import read_base

    started = time.perf_counter()
    model = _load(probing, arm, identity)
    if probing.material.paragraphs:
        with _memory_said(probing), multiplying_by(model, probing.forward.products):
            probing.base_text = read_base(model, probing.encoded[identity.tokenizer_digest].paragraphs)
    if arm.name not in found:
        found[arm.name] = _measured(probing, arm, identity, model, started)
    probing.base = found[arm.name]


def _probe_one(probing: Probing, arm: Arm, identity: ProbeIdentity) -> ProbesRecord:
    started = time.perf_counter()
    return _measured(probing, arm, identity, _load(probing, arm, identity), started)


def _load(probing: Probing, arm: Arm, identity: ProbeIdentity) -> Any:
    from epistemic_stance.probing.forward import choose_forward

    with _memory_said(probing):
        model = load_model(arm.files.folder, probing.device, probing.dtype)
        if probing.forward is None:
            probing.forward = choose_forward(model, probing.encoded[identity.tokenizer_digest].asked)
    return model


def _measured(probing: Probing, arm: Arm, identity: ProbeIdentity, model: Any, started: float) -> ProbesRecord:
    """Measure a loaded model and write it down."""
    import torch

    from epistemic_stance.models.products import multiplying_by
    from epistemic_stance.probing.measure import measure

    encoded = probing.encoded[identity.tokenizer_digest]
    with _memory_said(probing), multiplying_by(model, probing.forward.products):
        figures = measure(
            model, probing.forward, probing.material, encoded, base=probing.base, base_text=probing.base_text
        )
    record = ProbesRecord(
        timestamp=datetime.now(UTC).isoformat(timespec="seconds"),
        model=arm.files.name,
        base_model=probing.target.base_model,
        identity=identity,
        seconds=round(time.perf_counter() - started, 2),
        threads=torch.get_num_threads(),
        versions=versions(),
        notes=figures.notes,
        yes_no=figures.yes_no,
        choices=figures.choices,
        neutral=figures.neutral,
    )
    write_record(arm.output, record)
    probing.printer.note(f"  {arm.name:<16} {record.seconds:6.1f} s")
    return record


@contextlib.contextmanager
def _memory_said(probing: Probing) -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        tokens = sum(len(ids) for one in probing.encoded.values() for ids in one.paragraphs)
        raise RefusedError(
            f"the memory of {probing.device} does not hold the model and the base model's probabilities of the "
            f"neutral text ({tokens} tokens, 4 bytes for each entry of the vocabulary)",
            "shorten the text, or use --dtype bfloat16",
        ) from error
