"""The run folder: where everything of a training run lies, and who may write into it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from epistemic_stance.foundation.errors import RefusedError, StanceError, StoppedError, StorageError
from epistemic_stance.foundation.files import MANIFEST, FolderLock, dump_json, storage_errors, write_atomic
from epistemic_stance.records.training import RunRecord


@dataclass(frozen=True)
class RunFolder:
    root: Path

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    def checkpoint(self, epoch: int) -> Path:
        return self.checkpoints / f"checkpoint-{epoch:03d}"

    @property
    def best(self) -> Path:
        return self.root / "best_model"

    @property
    def final(self) -> Path:
        return self.root / "final_model"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def reference(self) -> Path:
        return self.state / "reference.json"

    @property
    def watch_base(self) -> Path:
        return self.state / "watch.json"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def steps_log(self) -> Path:
        return self.logs / "steps.jsonl"

    @property
    def record_path(self) -> Path:
        return self.root / "run.json"

    def record(self) -> RunRecord | None:
        """run.json, or None if there is no readable one."""
        try:
            return RunRecord.model_validate_json(self.record_path.read_bytes())
        except (OSError, ValidationError):
            return None

    def write_record(self, record: RunRecord) -> None:
        write_atomic(self.record_path, dump_json(record.model_dump(mode="json"), indent=1) + "\n")

    def last_good_state(self) -> str:
        states = sorted(self.state.glob("step-*"))
        return str(states[-1]) if states else "none yet"

    def holds_a_run(self) -> bool:
        """Whether anything lies where a run would write: what is not known to be ours may not be replaced."""
        return (
            any(path.exists() or path.is_symlink() for path in (self.record_path, self.best, self.final))
            or any(folder.exists() and any(folder.iterdir()) for folder in (self.checkpoints, self.state))
            or any(self.logs.glob("training_log_*.jsonl"))
        )

    def require_free(self) -> None:
        """Raises RefusedError if a run is in here: nothing is ever mixed or silently replaced."""
        if self.holds_a_run():
            record = self.record()
            if record is None:
                raise self._not_a_run()
            raise RefusedError(
                f"{self.root} already holds a run ({record.status})",
                "--resume continues it, --overwrite deletes it, or choose another --output-dir",
            )

    def require_clearable(self) -> None:
        """Raises RefusedError unless all that `clear` would delete was written by a run of ours."""
        if not self.holds_a_run():
            return
        if self.record() is None:
            raise self._not_a_run()
        foreign = [path for path in (self.best, self.final) if path.exists() and not _is_committed(path)]
        for folder, ours in ((self.checkpoints, OUR_CHECKPOINTS), (self.state, OUR_STATES)):
            if folder.exists():
                foreign += [path for path in sorted(folder.iterdir()) if not _is_ours(path, ours)]
        if foreign:
            shown = ", ".join(str(path.relative_to(self.root)) for path in foreign[:FOREIGN_SHOWN])
            more = f" and {len(foreign) - FOREIGN_SHOWN} more" if len(foreign) > FOREIGN_SHOWN else ""
            raise RefusedError(
                f"{self.root} holds what no training run wrote: {shown}{more}; nothing was deleted",
                "move it elsewhere or choose another --output-dir",
            )

    def _not_a_run(self) -> RefusedError:
        return RefusedError(
            f"{self.root} is not empty, and its run.json does not read as the record of a run",
            "choose another --output-dir, or delete the folder yourself",
        )

    def clear(self) -> None:
        """Delete the run in here, but keep its log, which moves to logs/old/, and what was found out about it.

        Answers, probes, labels, choice and report were made of other weights: they move to old/<time>/.

        Raises RefusedError, with nothing deleted, if anything else would go with it. run.json goes last: until
        then an interrupted clearing can be repeated.
        """
        self.require_clearable()
        with storage_errors(str(self.root)):
            for folder in (self.checkpoints, self.state):
                for path in folder.iterdir() if folder.exists() else ():
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            for folder in (self.best, self.final):
                if folder.exists():
                    shutil.rmtree(folder)
            old = self.logs / "old"
            for log in self.logs.glob("training_log_*.jsonl"):
                old.mkdir(exist_ok=True)
                log.replace(old / log.name)
            self._set_findings_aside()
            for path in (self.steps_log, self.record_path):
                path.unlink(missing_ok=True)

    def _set_findings_aside(self) -> None:
        """The base model's answers and probes stay: they are as good as before."""
        found = [path for name in ARM_FOLDERS for path in sorted((self.root / name).glob("checkpoint-*"))]
        found += [path for name in FINDINGS if (path := self.root / name).exists()]
        place = self.root / "old" / datetime.now(UTC).strftime("%Y%m%d_%H%M%S_%f")
        for path in found:
            target = place / path.relative_to(self.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)


ARM_FOLDERS = ("validation", "screen")
FINDINGS = ("validation/rule.json", "screening.json", "selection.json", "report.html", "report.md", "labels")
OUR_CHECKPOINTS = re.compile(r"checkpoint-\d{3,}|\.(tmp|old)-checkpoint-\d{3,}-\d+")
OUR_STATES = re.compile(
    r"(\.bad-)?step-\d{8,}|\.(tmp|old)-step-\d{8,}-\d+|(reference|watch)\.json|\.(reference|watch)\.json\.\d+\.tmp"
)
FOREIGN_SHOWN = 3


def _is_ours(path: Path, names: re.Pattern[str]) -> bool:
    """Folders and files by their names; a link is never ours."""
    is_kind = path.is_file() if ".json" in path.name else path.is_dir()
    return is_kind and not path.is_symlink() and bool(names.fullmatch(path.name))


def _is_committed(folder: Path) -> bool:
    return not folder.is_symlink() and (folder / MANIFEST).is_file()


@contextlib.contextmanager
def recorded_failure(folder: RunFolder, record: RunRecord, lock: FolderLock) -> Iterator[None]:
    """Whatever ends the run early is written to run.json, unless the disk or the folder itself is what failed."""
    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, StoppedError | KeyboardInterrupt)
        record.status = "stopped" if stopped else "failed"
        ours = isinstance(error, StanceError)
        record.reason = str(error.args[0]) if ours else f"{type(error).__name__}: {error}"
        if isinstance(error, StorageError):
            error.args = (f"{error.args[0]}; last good state: {folder.last_good_state()}",)
        with contextlib.suppress(StorageError):
            lock.require_held()
            folder.write_record(record)
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
