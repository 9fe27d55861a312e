"""The run folder: every path, file name and checkpoint pattern of a run, and the readers of its records.

    run.json                                        settings, digests, versions, status
    checkpoints/checkpoint-010/                     model folder with metadata.json, after an epoch
    checkpoints/checkpoint-step-0005/               the same, after a step within an epoch
    best_model/ final_model/                        hard links into the checkpoints
    state/                                          states to resume from
    logs/training_log_*.jsonl logs/steps.jsonl      one line an epoch, one line a step
    validation/MODEL/SET/                           responses.jsonl scores.jsonl analysis.json comparison.json
    validation/MODEL/probes.json validation/rule.json
    screen/MODEL/SET/responses.jsonl screening.json
    labels/                                         a sample of the answers, labelled
    selection.json report.html report.md
    old/                                            what was made of weights that were trained anew

MODEL is `base` or the name of a checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from epistemic_stance.foundation.errors import InputError, Problem
from epistemic_stance.foundation.files import dump_json, write_atomic
from epistemic_stance.records.checkpoint_name import CheckpointName, checkpoint_of
from epistemic_stance.records.training import CheckpointMetadata, EpochRecord, RunRecord, StepRecord

RUN_FILE = "run.json"
CHECKPOINTS = "checkpoints"
METADATA_FILE = "metadata.json"
CARD_FILE = "README.md"
"""Of a model folder; outside its manifest."""
BEST_MODEL, FINAL_MODEL = "best_model", "final_model"
VALIDATION = "validation"
PROBES_FILE = "probes.json"
RESPONSES_FILE = "responses.jsonl"
PLAN_SUFFIX = ".plan.json"
SCORES_FILE = "scores.jsonl"
ANALYSIS_FILE = "analysis.json"
COMPARISON_FILE = "comparison.json"
COMPARISON_PAGE = "comparison.md"
SELECTION_FILE = "selection.json"
LABELS = "labels"
EPOCH_LOGS = "training_log_*.jsonl"
BASE = "base"
"""Name of the base model among the models of a run."""

MAKE_AGAIN = "make it again, or move it away"

Record = TypeVar("Record", bound=BaseModel)


@dataclass(frozen=True)
class AnswerFiles:
    """A file of answers and what is written beside it.

    `responses.jsonl` has `scores.jsonl`; a file of another name, `X.jsonl`, has `X_scores.jsonl`.
    """

    responses: Path

    @property
    def plan(self) -> Path:
        """What the answers are answers to."""
        return self.responses.with_suffix(PLAN_SUFFIX)

    @property
    def torn(self) -> Path:
        """Lines that a crash cut off."""
        return self.responses.with_name(f"{self.responses.name}.torn")

    @property
    def scores(self) -> Path:
        return self._beside(SCORES_FILE)

    @property
    def analysis(self) -> Path:
        return self._beside(ANALYSIS_FILE)

    @property
    def analysis_page(self) -> Path:
        return self.analysis.with_suffix(".md")

    @property
    def comparison(self) -> Path:
        """With the base model's answers; the name is the same for every file of answers."""
        return self.responses.with_name(COMPARISON_FILE)

    def _beside(self, name: str) -> Path:
        prefix = "" if self.responses.stem == Path(RESPONSES_FILE).stem else f"{self.responses.stem}_"
        return self.responses.with_name(prefix + name)


@dataclass(frozen=True)
class RunFolder:
    root: Path

    # --- training ----------------------------------------------------------------------------------------

    @property
    def record_path(self) -> Path:
        return self.root / RUN_FILE

    @property
    def checkpoints(self) -> Path:
        return self.root / CHECKPOINTS

    def checkpoint(self, epoch: int) -> Path:
        """Of an epoch."""
        return self.checkpoints / CheckpointName(epoch).folder

    def step_checkpoint(self, step: int) -> Path:
        """Of a step within an epoch."""
        return self.checkpoints / CheckpointName(step, is_step=True).folder

    def checkpoint_folders(self) -> list[Path]:
        """Those that are there, in the order of training, whatever they hold."""
        present = [path for path in self.checkpoints.glob("*") if checkpoint_of(path.name) is not None]
        return sorted((path for path in present if path.is_dir()), key=lambda path: self.epochs_done(path.name) or 0)

    def epochs_done(self, model: str) -> float | None:
        """Epochs that a checkpoint was trained for, a whole number after an epoch; None for any other name.

        Raises InputError for a step if neither the checkpoint's metadata.json nor run.json says how long an epoch is.
        """
        name = checkpoint_of(model)
        if name is None or not name.is_step:
            return name.number if name else None
        if metadata := self.metadata(model):
            return metadata.epoch
        record = self.record()
        if record is None:
            what = f"cannot be read, so it is not known in which epoch {model} lies"
            raise InputError([Problem(str(self.record_path), what, hint="put the file back, or move the folder away")])
        return name.number / record.steps_per_epoch

    @property
    def best(self) -> Path:
        return self.root / BEST_MODEL

    @property
    def final(self) -> Path:
        return self.root / FINAL_MODEL

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def reference(self) -> Path:
        return self.state / "reference.json"

    @property
    def base_answers(self) -> Path:
        return self.state / "base_answers.json"

    @property
    def anchor_answers(self) -> Path:
        return self.state / "anchor_answers.json"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def steps_log(self) -> Path:
        return self.logs / "steps.jsonl"

    def epoch_logs(self) -> list[Path]:
        """One, unless somebody put others beside it; the newest is the last."""
        return sorted(self.logs.glob(EPOCH_LOGS))

    # --- validation --------------------------------------------------------------------------------------

    @property
    def validation(self) -> Path:
        return self.root / VALIDATION

    def answers(self, model: str, question_set: str) -> AnswerFiles:
        return AnswerFiles(self.validation / model / question_set / RESPONSES_FILE)

    def answered(self, model: str) -> list[str]:
        """Question sets that a model answered, by name."""
        return sorted(path.parent.name for path in (self.validation / model).glob(f"*/{RESPONSES_FILE}"))

    def models_validated(self) -> list[str]:
        """The base model and the checkpoints that have a folder of answers or probes, in this order."""
        names = [path.name for path in self.validation.glob("*") if path.is_dir()]
        models = [name for name in names if name == BASE or checkpoint_of(name)]
        return sorted(models, key=lambda name: self.epochs_done(name) or 0)

    def probes(self, model: str) -> Path:
        return self.validation / model / PROBES_FILE

    @property
    def rule(self) -> Path:
        return self.validation / "rule.json"

    @property
    def screen(self) -> Path:
        return self.root / "screen"

    def screen_answers(self, model: str, question_set: str) -> AnswerFiles:
        return AnswerFiles(self.screen / model / question_set / RESPONSES_FILE)

    @property
    def screening(self) -> Path:
        return self.root / "screening.json"

    @property
    def labels(self) -> Path:
        return self.root / LABELS

    @property
    def selection(self) -> Path:
        return self.root / SELECTION_FILE

    @property
    def report_html(self) -> Path:
        return self.root / "report.html"

    @property
    def report_markdown(self) -> Path:
        return self.root / "report.md"

    @property
    def old(self) -> Path:
        return self.root / "old"

    # --- records -----------------------------------------------------------------------------------------

    def record(self) -> RunRecord | None:
        """run.json, or None if there is no readable one."""
        return read_if_sound(self.record_path, RunRecord)

    def write_record(self, record: RunRecord) -> None:
        write_record(self.record_path, record)

    def epochs(self) -> list[EpochRecord]:
        """The lines of the newest epoch log; none without one. Raises InputError for a line that is none."""
        return list(read_lines(self.epoch_logs()[-1], EpochRecord)) if self.epoch_logs() else []

    def steps(self) -> Iterator[StepRecord]:
        """The lines of the step log; none without one. Raises InputError for a line that is none."""
        return read_lines(self.steps_log, StepRecord)

    def metadata(self, model: str) -> CheckpointMetadata | None:
        """What a checkpoint says of its training, or None if that cannot be read."""
        return read_if_sound(self.checkpoints / model / METADATA_FILE, CheckpointMetadata)

    def within_epochs(self) -> list[tuple[str, CheckpointMetadata]]:
        """Name and metadata of each checkpoint of a step: the epoch log has no line of these."""
        names = [path.name for path in self.checkpoint_folders() if (name := checkpoint_of(path.name)) and name.is_step]
        return [(name, metadata) for name in names if (metadata := self.metadata(name))]


def require_run_folder(root: Path) -> RunFolder:
    """Raises InputError if `root` is no folder that a training wrote checkpoints into."""
    run = RunFolder(root)
    if not run.checkpoints.is_dir():
        what = f"holds no {CHECKPOINTS}/, so it is no run folder" if root.is_dir() else "no such run folder"
        raise InputError([Problem(str(root), what, hint="name the --output-dir of a training run")])
    return run


def write_record(path: Path, record: BaseModel) -> None:
    """Replace a record as a whole. Raises StorageError."""
    write_atomic(path, dump_json(record.model_dump(mode="json"), indent=1) + "\n")


# --- readers -----------------------------------------------------------------------------------------------


def read_record(path: Path, kind: type[Record], hint: str = MAKE_AGAIN) -> Record | None:
    """The record in a file, or None if there is no such file.

    Raises InputError, with the hint, for a file that cannot be read as such a record.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise InputError([Problem(str(path), f"cannot be read: {_reason(error)}", hint=hint)]) from None


def read_if_sound(path: Path, kind: type[Record]) -> Record | None:
    """The record in a file, or None if there is none that can be read."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def read_lines(path: Path, kind: type[Record]) -> Iterator[Record]:
    """The records of a log, one a line; none if there is no such file.

    A last line without an end is left out: it is being written. Raises InputError for any other that is no record.
    """
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if line.endswith(b"\n"):
                    yield _line(path, number, line, kind)
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError([Problem(str(path), f"cannot be read: {error.strerror}")]) from None


def _line(path: Path, number: int, line: bytes, kind: type[Record]) -> Record:
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        raise InputError([Problem(str(path), f"cannot be read: {_reason(error)}", number)]) from None


def _reason(error: OSError | ValidationError) -> str:
    if isinstance(error, OSError):
        return str(error.strerror or error)
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]
