"""The run folder: where everything of a training run lies, and who may write into it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from epistemic_stance.errors import RefusedError
from epistemic_stance.files import dump_json, storage_errors, write_atomic
from epistemic_stance.records import RunRecord


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

    def holds_a_run(self) -> bool:
        return self.record_path.exists() or self.checkpoints.exists() or any(self.logs.glob("training_log_*.jsonl"))

    def require_free(self) -> None:
        """Raises RefusedError if a run is in here: nothing is ever mixed or silently replaced."""
        if self.holds_a_run():
            record = self.record()
            status = f" ({record.status})" if record else ""
            raise RefusedError(
                f"{self.root} already holds a run{status}",
                "--resume continues it, --overwrite deletes it, or choose another --output-dir",
            )

    def clear(self) -> None:
        """Delete the run in here, but keep its log: it moves to logs/old/."""
        with storage_errors(str(self.root)):
            for folder in (self.checkpoints, self.best, self.final, self.state, self.root / "validation"):
                shutil.rmtree(folder, ignore_errors=True)
            for path in (self.record_path, self.steps_log):
                path.unlink(missing_ok=True)
            old = self.logs / "old"
            for log in self.logs.glob("training_log_*.jsonl"):
                old.mkdir(exist_ok=True)
                log.replace(old / log.name)


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
