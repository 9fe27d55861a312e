"""The file of answers and the plan beside it: read, mended after a crash, appended to, replaced."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from epistemic_stance.collection.backend import FILTERED, Group, Reply
from epistemic_stance.collection.design import Item
from epistemic_stance.collection.plan import OVERWRITE_HINT
from epistemic_stance.foundation.errors import MAX_PROBLEMS_SHOWN, InputError, Problem, RefusedError
from epistemic_stance.foundation.files import dump_json, fsync_folder, storage_errors, write_atomic
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records.collection import CollectionRecord, ResponseMetadata, ResponseRecord
from epistemic_stance.records.run_folder import PLAN_SUFFIX

MAX_LINE_BYTES = 16 * 2**20
"""Far beyond the longest answer that can be asked for."""

ItemKey = tuple[str, float, int]
"""Question id, temperature, iteration: unique in a file, whose plan fixes the rest, the weights' digest included."""


def key_of(item: Item | ResponseRecord) -> ItemKey:
    return item.question_id, item.temperature, item.iteration


@dataclass(frozen=True)
class Line:
    start: int
    """Byte of the file."""
    ending: str
    """The finish reason, but FILTERED for an answer that a server's content filter cut off."""


@dataclass
class Stored:
    """The answers that a file holds, in its order, and where its unreadable end begins."""

    lines: dict[ItemKey, Line] = field(default_factory=dict)
    torn_from: int | None = None
    server_model: str | None = None
    """What a server calls its model: all that tells of other weights at an address. None until an answer says."""
    fingerprints: set[str] = field(default_factory=set)
    """What a server calls its software and set-up."""

    def add(self, record: ResponseRecord, start: int, where: str) -> None:
        """Raises RefusedError if a server's answer is of another model than those before."""
        reported = record.metadata.reported
        model, fingerprint = reported.get("server_model"), reported.get("system_fingerprint")
        if isinstance(model, str):
            if self.server_model not in (None, model):
                was = shorten(self.server_model or "")
                what = f"the server calls its model {shorten(model)}, in the answers before this one {was}"
                raise RefusedError(f"{where}: {what}", f"have the server load {was} again, or {OVERWRITE_HINT}")
            self.server_model = model
        if isinstance(fingerprint, str):
            self.fingerprints.add(fingerprint)
        filtered = record.finish_reason == "length" and reported.get("server_finish_reason") == FILTERED
        self.lines[key_of(record)] = Line(start, FILTERED if filtered else record.finish_reason)

    def missing(self, groups: Iterable[Group]) -> list[Group]:
        """What is still to be asked; a group of which some answers are kept becomes a smaller one."""
        left = (tuple(item for item in group if key_of(item) not in self.lines) for group in groups)
        return [group for group in left if group]


class ResponseStore:
    """`responses.jsonl`, `responses.plan.json` and what a crash left of lines, `responses.jsonl.torn`.

    Only for the holder of the folder's lock.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plan_path = path.with_suffix(PLAN_SUFFIX)
        self.torn_path = path.with_name(f"{path.name}.torn")

    # --- the plan ----------------------------------------------------------------------------------------

    def plan(self) -> CollectionRecord | None:
        """The plan of the answers here; None if there are neither. Raises RefusedError for answers without one."""
        try:
            plan = self._read_plan()
        except FileNotFoundError:
            if not self._holds_answers():
                return None
            what = f"{self.path} holds answers, but {self.plan_path.name}, which says to what, is not beside it"
        except (OSError, ValueError, RecursionError):
            what = f"{self.plan_path} does not read as the plan of a collection"
        else:
            if plan.status == "replacing":
                self._delete_answers()
            return plan
        raise RefusedError(what, OVERWRITE_HINT)

    def _read_plan(self) -> CollectionRecord:
        return CollectionRecord.model_validate(json.loads(self.plan_path.read_bytes()))

    def write_plan(self, plan: CollectionRecord) -> None:
        write_atomic(self.plan_path, dump_json(plan.model_dump(mode="json"), indent=1) + "\n")

    def _holds_answers(self) -> bool:
        return self.path.exists() and self.path.stat().st_size > 0

    # --- replacing ---------------------------------------------------------------------------------------

    def require_replaceable(self) -> None:
        """Raises RefusedError unless what `replace` would delete was written by a collection."""
        if not self._holds_answers() and not self.plan_path.exists():
            return
        try:
            self._read_plan()
        except (OSError, ValueError, RecursionError):
            try:
                with self.path.open("rb") as stream:
                    parsed_line(stream.readline(MAX_LINE_BYTES))
            except (OSError, ValueError):
                raise RefusedError(
                    f"{self.path} was not written by a collection; nothing was replaced",
                    "choose another --output-dir, or delete the file yourself",
                ) from None

    def replace(self, plan: CollectionRecord) -> None:
        """Write a new plan in place of an old one and its answers, which are deleted only once it is there.

        A crash leaves the old collection, or a plan that is `replacing`: then `plan` deletes the old answers.
        """
        self.write_plan(plan.model_copy(update={"status": "replacing"}))
        self._delete_answers()

    def _delete_answers(self) -> None:
        with storage_errors(str(self.path)):
            for path in (self.path, self.torn_path):
                path.unlink(missing_ok=True)
            fsync_folder(self.path.parent)

    # --- reading -----------------------------------------------------------------------------------------

    def read(self, plan: CollectionRecord, items: Sequence[Item]) -> Stored:
        """The answers so far. The last line may be torn; it is left to `mend`.

        Raises InputError for other damaged lines, RefusedError for an answer that is not of this plan.
        """
        try:
            with self.path.open("rb") as stream:
                return self._stored(stream, plan, {key_of(item): item for item in items})
        except FileNotFoundError:
            return Stored()
        except OSError as error:
            raise InputError([Problem(str(self.path), f"cannot be read: {error.strerror}")]) from error

    def _stored(self, stream: BinaryIO, plan: CollectionRecord, expected: Mapping[ItemKey, Item]) -> Stored:
        stored, problems = Stored(), list[Problem]()
        start = 0
        for number, line in enumerate(iter(lambda: stream.readline(MAX_LINE_BYTES), b""), start=1):
            if len(line) == MAX_LINE_BYTES:
                what = f"longer than {MAX_LINE_BYTES} bytes"
                raise InputError([*problems, Problem(str(self.path), what, number, hint="no answer is so long")])
            try:
                record = parsed_line(line)
            except ValueError as error:
                stored.torn_from = start
                problems.append(Problem(str(self.path), str(error), number, hint="delete the line to ask again"))
            else:
                where = f"{self.path}:{number}"
                _require_of_plan(record, plan, expected.get(key_of(record)), where)
                if key_of(record) in stored.lines:
                    problems.append(Problem(str(self.path), "this answer stands twice", number, hint="delete one"))
                stored.add(record, start, where)
                stored.torn_from = None
            start += len(line)
            if len(problems) > MAX_PROBLEMS_SHOWN:
                break
        if stored.torn_from is not None:
            problems.pop()
        if problems:
            raise InputError(problems)
        return stored

    def mend(self, stored: Stored, groups: Sequence[Group]) -> int:
        """Move what a crash left at the end of the file to the .torn file; it is asked again.

        That is a torn line, and the whole lines before it if their group is incomplete: a group is asked together, and
        its text has to be that of an uninterrupted run. Returns the number of whole lines. Raises StorageError.
        """
        size = self.path.stat().st_size if self.path.exists() else 0
        cut = size if stored.torn_from is None else stored.torn_from
        group_of = {key_of(item): number for number, group in enumerate(groups) for item in group}
        moved = 0
        last = group_of[next(reversed(stored.lines))] if stored.lines and groups else None
        if last is not None and any(key_of(item) not in stored.lines for item in groups[last]):
            while stored.lines and group_of[next(reversed(stored.lines))] == last:
                cut = stored.lines.popitem()[1].start
                moved += 1
        if cut < size:
            self._move_tail(cut)
        stored.torn_from = None
        return moved

    def _move_tail(self, cut: int) -> None:
        with storage_errors(str(self.torn_path)), self.path.open("r+b") as stream:
            stream.seek(cut)
            with self.torn_path.open("ab") as torn:
                torn.write(stream.read() + b"\n")
                torn.flush()
                os.fsync(torn.fileno())
            fsync_folder(self.path.parent)
            stream.truncate(cut)
            os.fsync(stream.fileno())


# --- one line ----------------------------------------------------------------------------------------------


def parsed_line(line: bytes) -> ResponseRecord:
    """Raises ValueError, in words for a person, for a line that no collection wrote to its end."""
    if not line.endswith(b"\n"):
        raise ValueError("the line is not complete")
    try:
        return ResponseRecord.model_validate(json.loads(line))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"not an answer: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {shorten(str(error), 200)}") from None


def _planned(plan: CollectionRecord, item: Item) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fields of an answer's line and of its metadata that its plan decides."""
    line = {
        "question_set": plan.question_set,
        "category": item.category,
        "question_id": item.question_id,
        "question": item.question,
        "temperature": item.temperature,
        "iteration": item.iteration,
        "system_prompt": plan.system_prompt,
    }
    metadata = {
        "weights_digest": plan.weights_digest,
        "template_digest": plan.template_digest,
        "sampling": plan.sampling,
        "max_tokens": plan.max_new_tokens,
        "seed": item.seed,
        "backend": plan.backend,
        "device": plan.device,
        "dtype": plan.dtype,
    }
    return line, metadata


def response_record(plan: CollectionRecord, item: Item, reply: Reply, versions: Mapping[str, str]) -> ResponseRecord:
    """The line of one answer."""
    line, metadata = _planned(plan, item)
    return ResponseRecord(
        timestamp=datetime.now(UTC).isoformat(timespec="milliseconds"),
        response=reply.text,
        response_length=len(reply.text),
        latency_ms=round(reply.latency_ms, 1),
        finish_reason=reply.finish_reason,
        metadata=ResponseMetadata(
            model=plan.model,
            base_model=plan.base_model,
            corpus_digest=plan.corpus_digest,
            tokens=reply.tokens,
            versions=dict(versions),
            reported=reply.metadata,
            **metadata,
        ),
        **line,
    )


def _require_of_plan(record: ResponseRecord, plan: CollectionRecord, item: Item | None, where: str) -> None:
    """Raises RefusedError for a line that answers something else than the plan asks, or comes from another model."""
    if item is None:
        asked = f"{record.question_id} at temperature {record.temperature:g}, iteration {record.iteration}"
        raise RefusedError(f"{where}: {shorten(asked)} is not part of this collection", OVERWRITE_HINT)
    line, metadata = _planned(plan, item)
    for of, fields in ((record, line), (record.metadata, metadata)):
        for name, expected in fields.items():
            value = getattr(of, name)
            if value != expected:
                what = f"{name}: is {shorten(str(value))}, in this collection {shorten(str(expected))}"
                raise RefusedError(f"{where}: {what}", OVERWRITE_HINT)
