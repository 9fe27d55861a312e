"""Who may write into a run folder: what is in it, what of it a training may delete, and how a run ends in it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil

from epistemic_stance.foundation.errors import RefusedError, StanceError, StoppedError, StorageError
from epistemic_stance.foundation.files import LOCK_FILE, MANIFEST, FolderLock, storage_errors
from epistemic_stance.records.run_folder import RunFolder
from epistemic_stance.records.training import RunRecord

OUR_CHECKPOINTS = re.compile(r"checkpoint-(step-)?\d{3,}|\.(tmp|old)-checkpoint-(step-)?\d{3,}-\d+")
OUR_STATES = re.compile(
    r"(\.bad-)?step-\d{8,}|\.(tmp|old)-step-\d{8,}-\d+|(reference|base_answers|anchor_answers)\.json"
    r"|\.(reference|base_answers|anchor_answers)\.json\.\d+\.tmp"
)
FOREIGN_SHOWN = 3
HOLDER = re.compile(r"pid (\d{1,9}) on (.+)")
"""What `folder_lock` writes into its lock file."""


def holds_a_run(run: RunFolder) -> bool:
    """Whether anything lies where a run would write: what is not known to be ours may not be replaced."""
    return (
        any(path.exists() or path.is_symlink() for path in (run.record_path, run.best, run.final))
        or any(folder.exists() and any(folder.iterdir()) for folder in (run.checkpoints, run.state))
        or bool(run.epoch_logs())
    )


def require_free(run: RunFolder) -> None:
    """Raises RefusedError if a run is in here: nothing is ever mixed or silently replaced."""
    if holds_a_run(run):
        record = run.record()
        if record is None:
            raise _not_a_run(run)
        raise RefusedError(
            f"{run.root} already holds a run ({record.status})",
            "--resume continues it, --overwrite deletes it, or choose another --output-dir",
        )


def require_clearable(run: RunFolder) -> None:
    """Raises RefusedError unless all that `clear` would delete was written by a run of ours."""
    if not holds_a_run(run):
        return
    if run.record() is None:
        raise _not_a_run(run)
    foreign = [path for path in (run.best, run.final) if path.exists() and not _is_committed(path)]
    for folder, ours in ((run.checkpoints, OUR_CHECKPOINTS), (run.state, OUR_STATES)):
        if folder.exists():
            foreign += [path for path in sorted(folder.iterdir()) if not _is_ours(path, ours)]
    if foreign:
        shown = ", ".join(str(path.relative_to(run.root)) for path in foreign[:FOREIGN_SHOWN])
        more = f" and {len(foreign) - FOREIGN_SHOWN} more" if len(foreign) > FOREIGN_SHOWN else ""
        raise RefusedError(
            f"{run.root} holds what no training run wrote: {shown}{more}; nothing was deleted",
            "move it elsewhere or choose another --output-dir",
        )


def _not_a_run(run: RunFolder) -> RefusedError:
    return RefusedError(
        f"{run.root} is not empty, and its run.json does not read as the record of a run",
        "choose another --output-dir, or delete the folder yourself",
    )


def clear(run: RunFolder) -> None:
    """Delete the run in here, but keep its log, which moves to logs/old/, and the results of its checkpoints.

    Answers, probes, labels, choice and report are of other weights than those to come: they move to old/<time>/.

    Raises RefusedError, with nothing deleted, if anything else would go with it. run.json goes last: until then an
    interrupted clearing can be repeated.
    """
    require_clearable(run)
    with storage_errors(str(run.root)):
        for folder in (run.checkpoints, run.state):
            for path in folder.iterdir() if folder.exists() else ():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for folder in (run.best, run.final):
            if folder.exists():
                shutil.rmtree(folder)
        for log in run.epoch_logs():
            (run.logs / "old").mkdir(exist_ok=True)
            log.replace(run.logs / "old" / log.name)
        _set_results_aside(run)
        for path in (run.steps_log, run.record_path):
            path.unlink(missing_ok=True)


def _set_results_aside(run: RunFolder) -> None:
    """The base model's answers and probes stay: its weights are the same."""
    results = [path for folder in (run.validation, run.screen) for path in sorted(folder.glob("checkpoint-*"))]
    results += [run.rule, run.screening, run.selection, run.report_html, run.report_markdown, run.labels]
    place = run.old / datetime.now(UTC).strftime("%Y%m%d_%H%M%S_%f")
    for path in results:
        if path.exists():
            target = place / path.relative_to(run.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)


def _is_ours(path: Path, names: re.Pattern[str]) -> bool:
    """Folders and files by their names; a link is never ours."""
    is_kind = path.is_file() if ".json" in path.name else path.is_dir()
    return is_kind and not path.is_symlink() and bool(names.fullmatch(path.name))


def _is_committed(folder: Path) -> bool:
    return not folder.is_symlink() and (folder / MANIFEST).is_file()


def is_being_trained(run: RunFolder) -> bool:
    """Whether the process that took the folder's lock lives; one on another machine is taken to. Touches no lock."""
    try:
        holder = HOLDER.match((run.root / LOCK_FILE).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return False
    if holder is None:
        return False
    return holder[2].strip() != socket.gethostname() or psutil.pid_exists(int(holder[1]))


# --- a run that is under way -------------------------------------------------------------------------------


def last_good_state(run: RunFolder) -> str:
    states = sorted(run.state.glob("step-*"))
    return str(states[-1]) if states else "none yet"


@contextlib.contextmanager
def recorded_failure(run: RunFolder, record: RunRecord, lock: FolderLock) -> Iterator[None]:
    """Whatever ends the run early is written to run.json, unless the disk or the folder itself is what failed."""
    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, StoppedError | KeyboardInterrupt)
        record.status = "stopped" if stopped else "failed"
        ours = isinstance(error, StanceError)
        record.reason = str(error.args[0]) if ours else f"{type(error).__name__}: {error}"
        if isinstance(error, StorageError):
            error.args = (f"{error.args[0]}; last good state: {last_good_state(run)}",)
        with contextlib.suppress(StorageError):
            lock.require_held()
            run.write_record(record)
        raise


def truncate(path: Path, size: int) -> None:
    """Cut a log back to what a resume state saw; a file shorter than that means the log was tampered with."""
    with storage_errors(str(path)):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        if path.stat().st_size < size:
            raise RefusedError(
                f"{path} is shorter than the saved state says ({size} bytes)", "start anew with --overwrite"
            )
        os.truncate(path, size)
