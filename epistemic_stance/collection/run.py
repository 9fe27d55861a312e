"""Ask a model what a design says and keep every answer: what `stance collect` does."""

from __future__ import annotations

import contextlib
import shlex
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from epistemic_stance.collection.backend import Backend, Group, Reply, Source
from epistemic_stance.collection.continuing import MAY_DIFFER, differences, new_file, newest_unfinished, require_same
from epistemic_stance.collection.design import Design, read_design
from epistemic_stance.collection.events import finished, started
from epistemic_stance.collection.source import find_source
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
from epistemic_stance.foundation.reporter import Note, Progress, Reporter, Warned
from epistemic_stance.foundation.settings import DEFAULT_STANCE, TEMPLATE_ARGUMENTS, CollectSettings
from epistemic_stance.foundation.signals import StopAtOnce
from epistemic_stance.records.collection import CollectionRecord
from epistemic_stance.records.run_folder import RESPONSES_FILE

ANALYSIS_SCRIPTS = {"phase1": "analyze_bias_patterns.py", "baseline": "analyze_baseline.py"}
"""Question set -> the script of the repository root that analyses its answers."""


@dataclass(frozen=True)
class Collected:
    """A finished collection."""

    path: Path
    """The file of answers."""
    plan: CollectionRecord
    asked: int
    """Answers that this call asked for; the others were there."""


def run(settings: CollectSettings, reporter: Reporter) -> Collected:
    """Ask what is missing of a collection, new or begun.

    Raises InputError, RefusedError, StorageError, EndpointError or StoppedError; whatever was answered before is on
    the disk, and the same command asks for the rest.
    """
    design = read_design(settings)
    require_folder(_folder(settings, design), "--output-dir")
    return collect(settings, design, find_source(settings), reporter)


def collect(settings: CollectSettings, design: Design, source: Source, reporter: Reporter) -> Collected:
    """The same for a source that is known: it is opened only if an answer is missing.

    `design` is what `read_design` makes of the settings.
    """
    folder, known = _folder(settings, design), _known_fields(settings, design, source)
    with folder_lock(folder) as lock:
        file, begun = _output(settings, design, folder, known)
        stored = file.read(begun, design.items) if begun else Stored()
        backend, groups, plan = None, list[Group](), begun
        if plan is None or len(stored.lines) < len(design.items):
            backend = source.open(settings, design, begun, reporter)
            plan = _plan(settings, known, backend, begun)
            if begun and _continues(begun, plan, file, settings, reporter):
                plan = begun
            elif begun:
                file, stored = new_file(folder, design.prefix, _now()), Stored()
            groups = backend.grouped(design.items)
        missing = _mend(file, stored, groups, reporter)
        collection = _Collection(file, lock, plan, stored, reporter, settings.overwrite)
        if backend is None:
            reporter(Note(f"nothing is missing: all {plan.responses} answers are there"))
        else:
            reporter(started(design, plan, collection.done, file.path))
            for warning in source.warnings(settings.model, design.system_prompt):
                reporter(Warned(warning))
            collection.begin(replace=settings.overwrite)
            _ask(collection, backend, missing)
        collection.finish()
    command = _analysis_command(design.question_set, settings.stance, file.path)
    lines = [f"answers: {file.path}", f"next: {command}"]
    reporter(finished(collection.endings, collection.asked, collection.seconds, plan.max_new_tokens, lines))
    return Collected(file.path, plan, collection.asked)


# --- before anything is asked ------------------------------------------------------------------------------


def _folder(settings: CollectSettings, design: Design) -> Path:
    return settings.output_dir or Path(f"{design.prefix}_data")


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
        "base_model": source.trained.base_model if source.trained else None,
        "corpus_digest": source.trained.corpus_digest if source.trained else None,
        "weights_digest": source.weights_digest,
        "tokenizer_digest": source.tokenizer_digest,
        "template_arguments": TEMPLATE_ARGUMENTS,
        "backend": source.backend,
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
    settings: CollectSettings, known: dict[str, Any], backend: Backend, begun: CollectionRecord | None
) -> CollectionRecord:
    identity = backend.identity
    automatic = {
        "template_digest": identity.template_digest,
        "device": identity.device,
        "dtype": identity.dtype,
        "slots": settings.slots or (begun.slots if begun else None) or backend.slots,
        "threads": backend.threads,
        "products": identity.products,
        "versions": identity.versions,
    }
    return CollectionRecord(
        status="running", started=_now().isoformat(timespec="seconds"), revision=git_revision(), **known | automatic
    )


def _continues(
    begun: CollectionRecord, plan: CollectionRecord, file: ResponseFile, settings: CollectSettings, reporter: Reporter
) -> bool:
    """Whether what is known only of the loaded model fits what was begun; else a file of a default name is left alone.

    Raises RefusedError if the folder was named: nothing but these answers can be meant.
    """
    now = plan.model_dump(mode="json")
    if settings.output_dir is not None:
        require_same(begun, now, file.path)
    changed = differences(begun, now)
    if changed:
        reporter(Note(f"not continuing {file.path}: {'; '.join(changed)}"))
        return False
    for change in differences(begun, now, MAY_DIFFER):
        reporter(Warned(f"since the first answers changed {change}"))
    return True


def _mend(file: ResponseFile, stored: Stored, groups: Sequence[Group], reporter: Reporter) -> list[Group]:
    """Set aside what a crash left at the end of the file; returns what is still to be asked."""
    torn = stored.torn_from is not None
    moved = file.mend(stored, groups)
    if torn:
        reporter(Warned(f"the last line was not complete; it was moved to {file.torn_path.name}"))
    if moved:
        reporter(Warned(f"{moved} answers of a group that was cut off were moved to {file.torn_path.name}"))
    return stored.missing(groups)


# --- asking ------------------------------------------------------------------------------------------------


@dataclass
class _Collection:
    """A file of answers that is open for more."""

    file: ResponseFile
    lock: FolderLock
    plan: CollectionRecord
    stored: Stored
    reporter: Reporter
    overwrites: bool
    asked: int = 0
    """Answers written by this run."""
    ahead: int = 0
    """Answers that are complete, but of groups that are not written yet."""
    endings: Counter[str] = field(default_factory=Counter)
    """How it ended -> answers in the file."""
    begun_at: float = field(default_factory=time.monotonic)
    fingerprint_noted: bool = False

    def __post_init__(self) -> None:
        self.endings.update(line.ending for line in self.stored.lines.values())

    @property
    def done(self) -> int:
        return self.endings.total()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun_at

    @property
    def again(self) -> str:
        """The command that asks for the rest."""
        return "the same command without --overwrite" if self.overwrites else "the same command"

    def begin(self, replace: bool) -> None:
        self.plan.status, self.plan.reason = "running", ""
        if replace:
            self.file.replace(self.plan)
        else:
            self.file.write_plan(self.plan)

    def progress(self) -> None:
        total = self.plan.responses
        self.reporter(Progress(min(self.done + self.ahead, total), total, "answers"))

    def answered(self) -> None:
        """One more answer is complete, though not on the disk yet."""
        self.ahead += 1
        self.progress()

    def written(self, replies: Sequence[Reply]) -> None:
        self.endings.update(ending(reply.finish_reason, reply.metadata) for reply in replies)
        self.asked += len(replies)
        self.ahead = 0
        self.progress()

    def require_same_server(self, replies: Sequence[Reply]) -> None:
        """Raises RefusedError if another model answers than before; another fingerprint is reported once."""
        served = self.stored.served
        for reply in replies:
            served.require_same_model(reply.metadata, f"{self.file.path}: next answer")
            fingerprint = served.new_fingerprint(reply.metadata)
            if fingerprint and not self.fingerprint_noted:
                self.fingerprint_noted = True
                what = "the server's software or set-up may have changed since the first answers"
                self.reporter(Warned(f"{what}: system_fingerprint {fingerprint} is new; every line says its own"))

    def finish(self) -> None:
        assert self.done == self.plan.responses, "a backend answers every group or raises"
        self.lock.require_held()
        self.plan.status, self.plan.reason = "finished", ""
        self.file.write_plan(self.plan)


def _ask(collection: _Collection, backend: Backend, groups: Sequence[Group]) -> None:
    """Ask the groups and write each as soon as it is answered."""
    file, plan, reporter = collection.file, collection.plan, collection.reporter
    versions, note_before = backend.identity.versions, backend.note
    if note_before:
        reporter(Warned(note_before))
    with StopAtOnce() as signals, _recorded_end(collection, signals), contextlib.closing(JsonlWriter(file.path)) as log:
        with storage_errors(str(file.path)):
            fsync_folder(file.path.parent)
        collection.progress()
        for group, replies in backend.answers(groups, collection.answered):
            collection.require_same_server(replies)
            with signals.held_back():
                pairs = zip(group, replies, strict=True)
                records = [response_record(plan, item, reply, versions) for item, reply in pairs]
                collection.lock.require_held()
                log.append_all(record.model_dump(mode="json") for record in records)
                collection.written(replies)
    if backend.note and backend.note != note_before:
        reporter(Warned(backend.note))


@contextlib.contextmanager
def _recorded_end(collection: _Collection, signals: StopAtOnce) -> Iterator[None]:
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
        kept = f"{collection.done} of {plan.responses} answers are in {collection.file.path}"
        if stopped:
            number = signals.requested or signal.SIGINT
            what = f"stopped by {signal.Signals(number).name}; {kept}"
            raise StoppedError(what, number, f"{collection.again} asks for the rest") from None
        collection.reporter(Note(f"{kept}; {collection.again} asks for the rest"))
        raise


def _analysis_command(question_set: str, stance: str, path: Path) -> str:
    script = ANALYSIS_SCRIPTS.get(question_set)
    start = f"python {script}" if script and Path(script).is_file() else f"{program()} analyze"
    other = "" if stance == DEFAULT_STANCE else f" --stance {shlex.quote(stance)}"
    return f"{start} {shlex.quote(str(path))}{other}"


def _now() -> datetime:
    return datetime.now(UTC).astimezone()
