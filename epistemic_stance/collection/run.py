"""Ask a model what a design says and keep every answer: what `stance collect` does."""

from __future__ import annotations

import contextlib
import shlex
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from epistemic_stance.collection.continuing import MAY_DIFFER, differences, new_file, newest_unfinished, require_same
from epistemic_stance.collection.design import Design, read_design
from epistemic_stance.collection.plan import Group, Reply
from epistemic_stance.collection.progress import Display, header_rows
from epistemic_stance.collection.source import Opened, Source, find_source, open_backend
from epistemic_stance.collection.store import ResponseFile, Stored, ending, response_record
from epistemic_stance.foundation.console import program
from epistemic_stance.foundation.errors import StanceError, StoppedError, StorageError
from epistemic_stance.foundation.files import (
    FolderLock,
    JsonlWriter,
    folder_lock,
    fsync_folder,
    require_folder,
    storage_errors,
)
from epistemic_stance.foundation.provenance import git_revision
from epistemic_stance.foundation.settings import DEFAULT_STANCE, TEMPLATE_ARGUMENTS, CollectSettings
from epistemic_stance.foundation.signals import StopAtOnce
from epistemic_stance.records.collection import CollectionRecord
from epistemic_stance.records.run_folder import RESPONSES_FILE

ANALYSIS_SCRIPTS = {"phase1": "analyze_bias_patterns.py", "baseline": "analyze_baseline.py"}
"""Question set -> the script of the repository root that analyses its answers."""


@dataclass
class Collection:
    """A file of answers that is open for more."""

    file: ResponseFile
    lock: FolderLock
    plan: CollectionRecord
    stored: Stored
    display: Display
    again: str
    """The command that asks for the rest."""
    reasons: Counter[str] = field(default_factory=Counter)
    """How it ended -> answers in the file."""

    fingerprint_noted: bool = False

    @property
    def where(self) -> str:
        return f"{self.reasons.total()} of {self.plan.responses} answers are in {self.file.path}"


def collect(settings: CollectSettings, console: Console, display: Display | None = None) -> Path:
    """Ask what is missing of a collection, new or begun; returns the file of answers.

    `display` shows it in place of the usual view on the console, as part of something larger.

    Raises InputError, RefusedError, StorageError, EndpointError or StoppedError; whatever was answered before is on
    the disk, and the same command asks for the rest.
    """
    design = read_design(settings)
    folder = settings.output_dir or Path(f"{design.prefix}_data")
    require_folder(folder, "--output-dir")
    source = find_source(settings, design.system_prompt)
    known = _known_fields(settings, design, source)
    display = display or Display(console)
    again = "the same command without --overwrite" if settings.overwrite else "the same command"
    with folder_lock(folder) as lock:
        file, begun = _output(settings, design, folder, known)
        stored = file.read(begun, design.items) if begun else Stored()
        if begun and len(stored.lines) == len(design.items):
            collection = Collection(file, lock, begun, stored, display, again)
            _mend(collection, [])
            display.note(f"nothing is missing: all {begun.responses} answers are there")
        else:
            opened = open_backend(settings, design, begun, display)
            plan = _plan(settings, known, opened, begun)
            if begun and _continues(begun, plan, file, settings, display):
                plan = begun
            elif begun:
                file, stored = new_file(folder, design.prefix, _now()), Stored()
            collection = Collection(file, lock, plan, stored, display, again)
            groups = _mend(collection, opened.grouped(design.items))
            display.header("stance collect", header_rows(design, plan, len(stored.lines), file.path))
            for warning in source.warnings:
                display.warning(warning)
            _begin(collection, settings.overwrite)
            _ask(collection, opened, groups)
        _finish(collection, settings, design)
    return file.path


def _known_fields(settings: CollectSettings, design: Design, source: Source) -> dict[str, Any]:
    """Fields of the plan that are known before a model is loaded, as they stand in its JSON."""
    sampling = design.sampling
    known: dict[str, Any] = {
        "stance": design.stance,
        "question_set": design.question_set,
        "questions_digest": design.questions_digest,
        "categories": design.categories,
        "questions": len(design.questions),
        "temperatures": design.temperatures,
        "iterations": design.iterations,
        "responses": len(design.items),
        "system_prompt": design.system_prompt,
        "sampling": {
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "repetition_penalty": sampling.repetition_penalty,
        },
        "max_new_tokens": sampling.max_new_tokens,
        "seed": design.seed,
        "model": settings.model,
        "base_model": source.base_model,
        "corpus_digest": source.corpus_digest,
        "weights_digest": source.weights_digest,
        "tokenizer_digest": source.tokenizer_digest,
        "template_arguments": TEMPLATE_ARGUMENTS,
        "backend": "transformers" if settings.endpoint is None else "endpoint",
        "endpoint": source.endpoint,
    }
    explicit = {name: getattr(settings, name) for name in ("device", "dtype", "slots", "threads")}
    return known | {name: value for name, value in explicit.items() if value not in ("auto", 0)}


def _output(
    settings: CollectSettings, design: Design, folder: Path, known: dict[str, Any]
) -> tuple[ResponseFile, CollectionRecord | None]:
    """Where the answers go, and the plan of those that are there. Raises RefusedError if they are of another plan."""
    if settings.output_dir is None:
        return newest_unfinished(folder, design.prefix, known) or (new_file(folder, design.prefix, _now()), None)
    file = ResponseFile(folder / RESPONSES_FILE)
    if settings.overwrite:
        file.require_replaceable()
        return file, None
    begun = file.plan()
    if begun:
        require_same(begun, known, file.path)
    return file, begun


def _plan(
    settings: CollectSettings, known: dict[str, Any], opened: Opened, begun: CollectionRecord | None
) -> CollectionRecord:
    identity = opened.backend.identity
    automatic = {
        "template_digest": identity.template_digest,
        "device": identity.device,
        "dtype": identity.dtype,
        "slots": settings.slots or (begun.slots if begun else None) or opened.slots,
        "threads": opened.threads,
        "versions": identity.versions,
    }
    return CollectionRecord(
        status="running", started=_now().isoformat(timespec="seconds"), revision=git_revision(), **known | automatic
    )


def _continues(
    begun: CollectionRecord, plan: CollectionRecord, file: ResponseFile, settings: CollectSettings, display: Display
) -> bool:
    """Whether what only the loaded model told fits what was begun; if not, a file of a default name is left alone.

    Raises RefusedError if the folder was named: nothing but these answers can be meant.
    """
    now = _json(plan)
    if settings.output_dir is not None:
        require_same(begun, now, file.path)
    changed = differences(begun, now)
    if changed:
        display.note(f"not continuing {file.path}: {'; '.join(changed)}")
        return False
    for change in differences(begun, now, MAY_DIFFER):
        display.warning(f"since the first answers changed {change}")
    return True


def _mend(collection: Collection, groups: Sequence[Group]) -> list[Group]:
    """Set aside what a crash left at the end of the file; returns what is still to be asked."""
    file, stored, display = collection.file, collection.stored, collection.display
    torn = stored.torn_from is not None
    moved = file.mend(stored, groups)
    if torn:
        display.warning(f"the last line was not complete; it was moved to {file.torn_path.name}")
    if moved:
        display.warning(f"{moved} answers of a group that was cut off were moved to {file.torn_path.name}")
    collection.reasons.update(line.ending for line in stored.lines.values())
    return stored.missing(groups)


def _begin(collection: Collection, overwrite: bool) -> None:
    collection.plan.status, collection.plan.reason = "running", ""
    if overwrite:
        collection.file.replace(collection.plan)
    else:
        collection.file.write_plan(collection.plan)


def _ask(collection: Collection, opened: Opened, groups: Sequence[Group]) -> None:
    """Ask the groups and write each as soon as it is answered."""
    file, display, plan = collection.file, collection.display, collection.plan
    backend, versions = opened.backend, opened.backend.identity.versions
    note_before = backend.note
    if note_before:
        display.warning(note_before)
    with StopAtOnce() as signals, _recorded_end(collection, signals), contextlib.closing(JsonlWriter(file.path)) as log:
        with storage_errors(str(file.path)):
            fsync_folder(file.path.parent)
        display.start(collection.reasons.total(), plan.responses)
        try:
            for group, replies in backend.answers(groups):
                _require_same_server(collection, replies)
                with signals.held_back():
                    pairs = zip(group, replies, strict=True)
                    records = [response_record(plan, item, reply, versions) for item, reply in pairs]
                    collection.lock.require_held()
                    log.append_all(record.model_dump(mode="json") for record in records)
                    collection.reasons.update(ending(reply.finish_reason, reply.metadata) for reply in replies)
                    display.written(len(replies))
        finally:
            display.stop()
    if backend.note and backend.note != note_before:
        display.warning(backend.note)


def _require_same_server(collection: Collection, replies: Sequence[Reply]) -> None:
    """Raises RefusedError if another model answers than before; another fingerprint is said once."""
    served = collection.stored.served
    for reply in replies:
        served.require_same_model(reply.metadata, f"{collection.file.path}: next answer")
        fingerprint = served.new_fingerprint(reply.metadata)
        if fingerprint and not collection.fingerprint_noted:
            collection.fingerprint_noted = True
            what = "the server's software or set-up may have changed since the first answers"
            collection.display.warning(f"{what}: system_fingerprint {fingerprint} is new; every line says its own")


@contextlib.contextmanager
def _recorded_end(collection: Collection, signals: StopAtOnce) -> Iterator[None]:
    """Whatever ends the run early is written to the plan, unless the disk or the folder itself is what failed."""
    try:
        yield
    except BaseException as error:
        signals.hold()
        stopped = isinstance(error, KeyboardInterrupt)
        plan = collection.plan
        plan.status = "stopped" if stopped else "failed"
        plan.reason = str(error.args[0]) if isinstance(error, StanceError) else type(error).__name__
        with contextlib.suppress(StorageError):
            collection.lock.require_held()
            collection.file.write_plan(plan)
        if stopped:
            number = signals.requested or signal.SIGINT
            what = f"stopped by {signal.Signals(number).name}; {collection.where}"
            raise StoppedError(what, number, f"{collection.again} asks for the rest") from None
        collection.display.note(f"{collection.where}; {collection.again} asks for the rest")
        raise


def _finish(collection: Collection, settings: CollectSettings, design: Design) -> None:
    plan, reasons = collection.plan, collection.reasons
    assert reasons.total() == plan.responses, "a backend answers every group or raises"
    collection.lock.require_held()
    plan.status, plan.reason = "finished", ""
    collection.file.write_plan(plan)
    command = _analysis_command(design.question_set, settings.stance, collection.file.path)
    collection.display.finished(reasons, plan.max_new_tokens, collection.file.path, command)


def _analysis_command(question_set: str, stance: str, path: Path) -> str:
    script = ANALYSIS_SCRIPTS.get(question_set)
    start = f"python {script}" if script and Path(script).is_file() else f"{program()} analyze"
    other = "" if stance == DEFAULT_STANCE else f" --stance {shlex.quote(stance)}"
    return f"{start} {shlex.quote(str(path))}{other}"


def _json(plan: CollectionRecord) -> dict[str, Any]:
    return plan.model_dump(mode="json")


def _now() -> datetime:
    return datetime.now(UTC).astimezone()
