"""`stance probe`: what the probabilities of a run's models say, one model after the other, each written when done."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from epistemic_stance.foundation.errors import NumericError, RefusedError
from epistemic_stance.foundation.files import folder_lock
from epistemic_stance.foundation.provenance import versions
from epistemic_stance.foundation.reporter import Note, Progress, Reporter, Started, Warned
from epistemic_stance.foundation.settings import DEMO_MODEL, DEMO_NOTICE, TEMPLATE_ARGUMENTS, ProbeSettings
from epistemic_stance.foundation.signals import stoppable
from epistemic_stance.foundation.wording import local_model
from epistemic_stance.models.errors import is_out_of_memory
from epistemic_stance.probing.material import read_material
from epistemic_stance.probing.targets import Target, TargetModel, find_target, tokenizer_digest
from epistemic_stance.records.probes import ProbeIdentity, ProbesRecord
from epistemic_stance.records.run_folder import read_if_sound, write_record
from epistemic_stance.stance.load import Stance, load_stance

if TYPE_CHECKING:
    from epistemic_stance.models.open import OpenedModel

CODE_VERSION = 1
"""Raise it when what is measured changes its meaning."""


@dataclass(frozen=True)
class Probes:
    """What came of probing a target."""

    target: Target
    records: dict[str, ProbesRecord]
    """By model, the base model first."""
    failed: dict[str, str]
    """Model -> why it has no figures."""


def run(settings: ProbeSettings, reporter: Reporter) -> Probes:
    """Probe what is missing or changed; a checkpoint that is not finite is left out, and `require_finite` says so.

    Raises InputError, RefusedError, StorageError; StoppedError on a signal; NumericError if the base model's numbers
    are not finite.
    """
    from epistemic_stance.models.open import open_model

    target = find_target(settings)
    prober = Prober(target, load_stance(target.stance), settings)
    reporter(Started("stance probe", prober.header()))
    if DEMO_MODEL in (target.base_model, settings.target):
        reporter(Warned(DEMO_NOTICE))
    failed: dict[str, str] = {}
    kept = f"what is measured lies in {target.folder}"
    with folder_lock(target.folder), stoppable(kept, "the same command measures the rest"):
        if prober.records:
            reporter(Note(f"  {len(prober.records)} of {len(target.models)} are measured already and unchanged"))
        for number, model in enumerate(target.models):
            if not prober.needs(model):
                continue
            reporter(Progress(number, len(target.models), "models", model.name))
            known = model.name in prober.records  # then only the base model's probabilities of the text are wanted
            try:
                with prober.memory_errors():
                    opened = open_model(
                        model.files, device=settings.device, dtype=settings.dtype, threads=settings.threads
                    )
                record = prober.probe(model, opened)
                del opened  # the next model needs its memory
                if not known:
                    reporter(Note(f"  {model.name:<16} {record.seconds:6.1f} s"))
            except NumericError as error:
                if model == target.base:
                    raise
                failed[model.name] = str(error.args[0])
                reporter(Warned(f"{model.name}: {error.args[0]}"))
    records = {model.name: prober.records[model.name] for model in target.models if model.name in prober.records}
    return Probes(target, records, failed)


def require_finite(probes: Probes) -> None:
    """Raises NumericError if a model has no figures."""
    if probes.failed:
        names, why = ", ".join(probes.failed), next(iter(probes.failed.values()))
        raise NumericError(f"no figures of {names}: {why}", "train it again, or probe it in float32")


class Prober:
    """Probes the models of a target, the base model first. Keeps what the others are compared with."""

    def __init__(self, target: Target, stance: Stance, settings: ProbeSettings) -> None:
        """Read what is measured already. Raises InputError for a stance or tokenizer that cannot be probed with."""
        from epistemic_stance.models.device import choose_device, choose_dtype

        self.target = target
        self.material = read_material(stance, settings.choices)
        self.system_prompt = target.trained.system_prompt if target.trained else stance.system_prompt
        self.device = choose_device(settings.device)
        self.dtype = str(choose_dtype(settings.dtype, self.device)).removeprefix("torch.")
        self._encoded: dict[str, Any] = {}
        """Tokenizer digest -> what is asked, in its tokens."""
        self._forward: Any = None
        """How the architecture is asked; found out with the first model."""
        self._base_text: Any = None
        self._identities = {model.name: self._identity(model) for model in target.models}
        stored = {} if settings.overwrite else {model.name: self._stored(model) for model in target.models}
        self.records = {name: record for name, record in stored.items() if record}
        """Figures that are measured and unchanged, by model."""

    def header(self) -> list[tuple[str, str]]:
        target, material = self.target, self.material
        sets = ", ".join(f"{len(questions)} of {name}" for name, questions in material.yes_no.items())
        models = local_model(target.others[0].files.name) if len(target.others) == 1 else str(len(target.others))
        base = local_model(target.base_model) if target.base_model else "no base model: none is known"
        return [
            ("models", f"{models}, compared with {base}"),
            ("yes or no", sets or "none"),
            ("choices", f"{len(material.choices)} questions" if material.choices else "none"),
            ("text", f"{len(material.paragraphs)} paragraphs" if material.paragraphs else "none"),
            ("computed", f"on {self.device} in {self.dtype}"),
            ("figures", str(target.folder)),
        ]

    def needs(self, model: TargetModel) -> bool:
        """Whether the model has to be opened: its figures are missing, or it is the base model of one whose are."""
        missing = [other.name for other in self.target.models if other.name not in self.records]
        return bool(missing) if model == self.target.base else model.name in missing

    def probe(self, model: TargetModel, opened: OpenedModel) -> ProbesRecord:
        """Measure an opened model and write it down; of the base model also keep its probabilities of the text.

        Raises NumericError for a model that computes what is not finite, RefusedError where memory does not do.
        """
        from epistemic_stance.models.products import multiplying_by
        from epistemic_stance.probing.forward import choose_forward
        from epistemic_stance.probing.measure import measure
        from epistemic_stance.probing.neutral import read_base

        started = time.perf_counter()
        identity = self._identities[model.name]
        encoded = self._encoded[identity.tokenizer_digest]
        with self.memory_errors():
            self._forward = self._forward or choose_forward(opened.model, encoded.requests)
            with multiplying_by(opened.model, self._forward.products):
                if model == self.target.base and self.material.paragraphs:
                    self._base_text = read_base(opened.model, encoded.paragraphs)
                if model.name in self.records:
                    return self.records[model.name]
                base = self.records.get(self.target.base.name) if self.target.base else None
                figures = measure(
                    opened.model, self._forward, self.material, encoded, base=base, base_text=self._base_text
                )
        record = ProbesRecord(
            timestamp=datetime.now(UTC).isoformat(timespec="seconds"),
            model=model.files.name,
            base_model=self.target.base_model,
            identity=identity,
            seconds=round(time.perf_counter() - started, 2),
            threads=opened.threads,
            versions=versions(),
            notes=figures.notes,
            yes_no=figures.yes_no,
            choices=figures.choices,
            neutral=figures.neutral,
        )
        write_record(model.probes, record)
        self.records[model.name] = record
        return record

    @contextlib.contextmanager
    def memory_errors(self) -> Iterator[None]:
        """Raises RefusedError, with what to try, where memory runs out."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            tokens = sum(len(ids) for encoded in self._encoded.values() for ids in encoded.paragraphs)
            raise RefusedError(
                f"the memory of {self.device} does not hold the model and the base model's probabilities of the "
                f"neutral text ({tokens} tokens, 4 bytes for each entry of the vocabulary)",
                "shorten the text, or use --dtype bfloat16",
            ) from error

    def _identity(self, model: TargetModel) -> ProbeIdentity:
        from epistemic_stance.probing.measure import encode

        tokenizer = tokenizer_digest(model.files)
        if tokenizer not in self._encoded:
            self._encoded[tokenizer] = encode(model.files, self.material, self.system_prompt)
        return ProbeIdentity(
            code_version=CODE_VERSION,
            weights_digest=model.files.digest(),
            base_weights_digest=self.target.base.files.digest() if self.target.base else None,
            tokenizer_digest=tokenizer,
            template_digest=self._encoded[tokenizer].template_digest,
            template_arguments=TEMPLATE_ARGUMENTS,
            system_prompt=self.system_prompt,
            yes_no_digest=self.material.yes_no_digest,
            choices_digest=self.material.choices_digest,
            text_digest=self.material.text_digest,
            device=self.device,
            dtype=self.dtype,
        )

    def _stored(self, model: TargetModel) -> ProbesRecord | None:
        """What was measured of the model before, unless it, or what it is asked, changed since."""
        record = read_if_sound(model.probes, ProbesRecord)
        return record if record and record.identity == self._identities[model.name] else None
