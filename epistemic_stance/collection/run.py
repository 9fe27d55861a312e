"""Ask a model what a design says and keep every answer: what `stance collect` does."""

from __future__ import annotations

import contextlib
import shlex
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from epistemic_stance.collection.backend import Backend, Group, Source
from epistemic_stance.collection.design import Design, read_design
from epistemic_stance.collection.events import finished, started
from epistemic_stance.collection.plan import MAY_DIFFER, OVERWRITE_HINT, completed, differences, grown, new_plan
from epistemic_stance.collection.source import find_source
from epistemic_stance.collection.store import ResponseStore, Stored, response_record
from epistemic_stance.foundation.console import program
from epistemic_stance.foundation.errors import RefusedError, StanceError, StoppedError, StorageError
from epistemic_stance.foundation.files import (
    FolderLock,
    JsonlWriter,
    folder_lock,
    fsync_folder,
    require_folder,
    storage_errors,
)
from epistemic_stance.foundation.reporter import Note, Progress, Reporter, Warned
from epistemic_stance.foundation.settings import DEFAULT_STANCE, CollectSettings
from epistemic_stance.foundation.signals import StopAtOnce
from epistemic_stance.records.collection import CollectionRecord, ResponseRecord
from epistemic_stance.records.run_folder import PLAN_SUFFIX, RESPONSES_FILE

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
    seconds: float
    """That asking took."""


def run(settings: CollectSettings, reporter: Reporter) -> Collected:
    """Ask what is missing of a collection, new or begun earlier.

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
    folder, plan = _folder(settings, design), new_plan(settings, design, source)
    with folder_lock(folder) as lock:
        store, earlier = _find_earlier(settings, design, folder, plan)
        stored = store.read(earlier, design.items) if earlier else Stored()
        grows = earlier is not None and earlier.status == "finished" and earlier.responses < plan.responses
        earlier = grown(earlier, plan) if earlier else None
        backend, groups = None, list[Group]()
        if earlier and len(stored.lines) == len(design.items):
            plan = earlier
        else:
            backend = source.open(settings, design, earlier, reporter)
            groups, plan = backend.grouped(design.items), completed(plan, backend)
            if earlier and _continues(earlier, plan, store, settings, reporter):
                plan = earlier
            elif earlier:
                store, stored = _new_store(folder, design.prefix), Stored()
        _mend(store, stored, [] if grows else groups, reporter)  # no group of a finished plan was cut off
        collection = _Collection(store, lock, plan, stored, reporter, settings.overwrite, len(stored.lines))
        if backend is None:
            reporter(Note(f"nothing is missing: all {plan.responses} answers are there"))
        else:
            reporter(started(design, plan, collection.done, store.path))
            for warning in source.warnings(settings.model, design.system_prompt):
                reporter(Warned(warning))
            _ask(collection, backend, stored.missing(groups))
        collection.finish()
    endings = Counter(line.ending for line in stored.lines.values())
    lines = [f"answers: {store.path}", f"next: {_analysis_command(design.question_set, settings.stance, store.path)}"]
    reporter(finished(endings, collection.asked, collection.seconds, plan.max_new_tokens, lines))
    return Collected(store.path, plan, collection.asked, collection.seconds if backend else 0.0)


# --- before anything is asked ------------------------------------------------------------------------------


def _folder(settings: CollectSettings, design: Design) -> Path:
    return settings.output_dir or Path(f"{design.prefix}_data")


def _find_earlier(
    settings: CollectSettings, design: Design, folder: Path, plan: CollectionRecord
) -> tuple[ResponseStore, CollectionRecord | None]:
    """Where the answers go, and the plan of those that are there. Raises RefusedError if they are of another plan."""
    if settings.output_dir is None:
        return _newest_unfinished(folder, design.prefix, plan) or (_new_store(folder, design.prefix), None)
    store = ResponseStore(folder / RESPONSES_FILE)
    if settings.overwrite:
        store.require_replaceable()
        return store, None
    earlier = store.plan()
    if earlier:
        _require_same(grown(earlier, plan), plan, store)
    return store, earlier


def _newest_unfinished(
    folder: Path, prefix: str, plan: CollectionRecord
) -> tuple[ResponseStore, CollectionRecord] | None:
    """The last collection under a default name that has this plan and was not finished."""
    for path in sorted(folder.glob(f"{prefix}_responses_*{PLAN_SUFFIX}"), reverse=True):
        store = ResponseStore(path.with_name(path.name.removesuffix(PLAN_SUFFIX) + ".jsonl"))
        with contextlib.suppress(RefusedError):  # not ours: it is left alone
            earlier = store.plan()
            if earlier and earlier.status != "finished" and not differences(earlier, plan):
                return store, earlier
    return None


def _new_store(folder: Path, prefix: str) -> ResponseStore:
    """A file under the default name of this moment, or of the first second after it that is free."""
    moment = datetime.now().astimezone()
    while True:
        store = ResponseStore(folder / f"{prefix}_responses_{moment:%Y%m%d_%H%M%S}.jsonl")
        if not store.path.exists() and not store.plan_path.exists():
            return store
        moment += timedelta(seconds=1)


def _require_same(earlier: CollectionRecord, plan: CollectionRecord, store: ResponseStore) -> None:
    """Raises RefusedError naming what changed."""
    if changed := differences(earlier, plan):
        what = f"{store.path} holds the answers of another collection, which this would not continue:\n  "
        raise RefusedError(what + "\n  ".join(changed), OVERWRITE_HINT)


def _continues(
    earlier: CollectionRecord,
    plan: CollectionRecord,
    store: ResponseStore,
    settings: CollectSettings,
    reporter: Reporter,
) -> bool:
    """Whether what is known only of the loaded model fits what was begun; else a file of a default name is left alone.

    Raises RefusedError if the folder was named: nothing but these answers can be meant.
    """
    if settings.output_dir is not None:
        _require_same(earlier, plan, store)
    if changed := differences(earlier, plan):
        reporter(Note(f"not continuing {store.path}: {'; '.join(changed)}"))
        return False
    for change in differences(earlier, plan, MAY_DIFFER):
        reporter(Warned(f"since the first answers changed {change}"))
    return True


def _mend(store: ResponseStore, stored: Stored, groups: Sequence[Group], reporter: Reporter) -> None:
    """Set aside what a crash left at the end of the file."""
    torn = stored.torn_from is not None
    moved = store.mend(stored, groups)
    if torn:
        reporter(Warned(f"the last line was not complete; it was moved to {store.torn_path.name}"))
    if moved:
        reporter(Warned(f"{moved} answers of a group that was cut off were moved to {store.torn_path.name}"))


# --- asking ------------------------------------------------------------------------------------------------


@dataclass
class _Collection:
    """A file of answers that is open for more."""

    store: ResponseStore
    lock: FolderLock
    plan: CollectionRecord
    stored: Stored
    reporter: Reporter
    overwrites: bool
    there: int
    """Answers that were in the file before."""
    asked: int = 0
    """Answers written by this run."""
    ahead: int = 0
    """Answers that are complete, but of groups that are not written yet."""
    started_at: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> int:
        return self.there + self.asked

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started_at

    @property
    def again(self) -> str:
        """The command that asks for the rest."""
        return "the same command without --overwrite" if self.overwrites else "the same command"

    def begin(self) -> None:
        if self.overwrites:
            self.store.replace(self.plan)
        self.set_status("running")

    def set_status(self, status: Literal["running", "stopped", "failed", "finished"], reason: str = "") -> None:
        self.lock.require_held()
        self.plan.status, self.plan.reason = status, reason
        self.store.write_plan(self.plan)

    def answered(self) -> None:
        """One more answer is complete, though not on the disk yet."""
        self.ahead += 1
        self.report_progress()

    def report_progress(self) -> None:
        total = self.plan.responses
        self.reporter(Progress(min(self.done + self.ahead, total), total, "answers"))

    def check_server(self, records: Sequence[ResponseRecord]) -> None:
        """Raises RefusedError if a server answers with another model than before; other software is reported once."""
        known = len(self.stored.fingerprints)
        for record in records:
            self.stored.add(record, 0, f"{self.store.path}: next answer")
        if known == 1 and len(self.stored.fingerprints) > 1:
            what = "the server's software or set-up may have changed since the first answers"
            self.reporter(Warned(f"{what}: its system_fingerprint is another; every line says its own"))

    def finish(self) -> None:
        assert self.done == self.plan.responses, "a backend answers every group or raises"
        self.set_status("finished")


def _ask(collection: _Collection, backend: Backend, groups: Sequence[Group]) -> None:
    """Ask the groups and write each as soon as it is answered."""
    plan, reporter, path = collection.plan, collection.reporter, collection.store.path
    versions, note_before = backend.identity.versions, backend.note
    if note_before:
        reporter(Warned(note_before))
    collection.begin()
    with StopAtOnce() as signals, _recorded_end(collection, signals), contextlib.closing(JsonlWriter(path)) as log:
        with storage_errors(str(path)):
            fsync_folder(path.parent)
        collection.report_progress()
        for group, replies in backend.answers(groups, collection.answered):
            pairs = zip(group, replies, strict=True)
            records = [response_record(plan, item, reply, versions) for item, reply in pairs]
            collection.check_server(records)
            with signals.held_back():
                collection.lock.require_held()
                log.append_all(record.model_dump(mode="json") for record in records)
                collection.asked += len(records)
                collection.ahead = 0
                collection.report_progress()
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
        reason = str(error.args[0]) if isinstance(error, StanceError) else type(error).__name__
        with contextlib.suppress(StorageError):
            collection.set_status("stopped" if stopped else "failed", reason)
        kept = f"{collection.done} of {collection.plan.responses} answers are in {collection.store.path}"
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
