"""The label folder of a run: drawn once, continued, drawn anew; and the file of one annotator or judge in it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from epistemic_stance.foundation.errors import InputError, Problem, RefusedError
from epistemic_stance.foundation.files import (
    FolderLock,
    JsonlWriter,
    dump_json,
    folder_lock,
    fsync_folder,
    storage_errors,
    write_atomic,
)
from epistemic_stance.foundation.settings import DRAW_SEED, DRAWN_PER_ARM, LabelSettings
from epistemic_stance.labelling.draw import ArmDraw, draw_arm, in_order, least_number
from epistemic_stance.labelling.label_matching import drawn_places
from epistemic_stance.labelling.labels import (
    DRAW_FILE,
    SAMPLE_FILE,
    is_judge,
    is_torn,
    label_files,
    read_draw,
    read_labels,
    read_sample,
)
from epistemic_stance.labelling.sources import Sources
from epistemic_stance.records.labels import ArmRecord, DrawnAnswer, DrawRecord, GivenLabels, JudgeLabels
from epistemic_stance.scoring.patterns import PatternSet

Note = Callable[[str], None]
LOCK = ".lock-"
FEW_ARMS = 3
"""With more, it is said how many answers that makes."""


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


# --- the sample --------------------------------------------------------------------------------------------


def begin_or_continue(settings: LabelSettings, sources: Sources, patterns: PatternSet, note: Note) -> None:
    """See to it that the label folder holds the sample that the settings ask for.

    Raises InputError for a wrong number, RefusedError if labels of another sample would be lost.
    """
    folder = sources.labels
    begun = (folder / SAMPLE_FILE).is_file()
    if begun and not settings.redraw:
        draw = read_draw(folder)
        other = _differences(settings, sources, draw)
        if not other:
            _tell_what_changed(settings, sources, draw, note)
            return
        if _labelled(folder):
            hint = "leave the flags out to go on with it, or --redraw: the labels of answers drawn again are kept"
            raise RefusedError(f"{folder} holds labels of another sample: {'; '.join(other)}", hint)
        note("nothing was labelled yet: drawn again")
    _draw(settings, sources, patterns, note)


def _differences(settings: LabelSettings, sources: Sources, draw: DrawRecord) -> list[str]:
    """What was asked for by a flag and is not what was drawn."""
    drawn_sets = {source.question_set for arm in draw.arms.values() for source in arm.sources}
    found = []
    if settings.number not in (None, draw.number):
        found.append(f"--number was {draw.number}")
    if settings.seed not in (None, draw.seed):
        found.append(f"--seed was {draw.seed}")
    if settings.arms and set(sources.arms) != set(draw.arms):
        found.append(f"--arms was {','.join(draw.arms)}")
    if settings.questions and {source.question_set for source in sources.files} != drawn_sets:
        found.append(f"--questions was {','.join(sorted(filter(None, drawn_sets)))}")
    return found


def _tell_what_changed(settings: LabelSettings, sources: Sources, draw: DrawRecord, note: Note) -> None:
    drawn = {(arm, one.question_set): one.sha256 for arm, record in draw.arms.items() for one in record.sources}
    for source in sources.files:
        digest = drawn.get((source.arm, source.question_set))
        if digest not in (None, source.digest()):
            note(f"{source.path} has changed since the sample was drawn, which speaks for what it was; see --redraw")
    new = [arm for arm in sources.arms if arm not in draw.arms]
    if new and not settings.arms:
        note(f"not in the sample: {', '.join(new)}; --redraw draws from all arms, --arms from some")


def _draw(settings: LabelSettings, sources: Sources, patterns: PatternSet, note: Note) -> None:
    number = DRAWN_PER_ARM if settings.number is None else settings.number
    seed = DRAW_SEED if settings.seed is None else settings.seed
    least = least_number(len(patterns.patterns))
    if number < least:
        what, hint = f"expected {least} or more, found {number}", "fewer cannot hold some answers of every pattern"
        raise InputError([Problem("command line", what, field="--number", hint=hint)])
    draws: list[ArmDraw] = []
    arms: dict[str, ArmRecord] = {}
    for arm in sources.arms:
        read = [source.read(sources.labels) for source in sources.files if source.arm == arm]
        answers = [answer for _, each in read for answer in each]
        draws.append(draw_arm(arm, answers, patterns, number, seed))
        arms[arm] = ArmRecord(sources=[record for record, _ in read], strata=draws[-1].strata)
        note(f"{arm}: {len(draws[-1].drawn)} of {len(answers)} answers drawn")
    if len(arms) > FEW_ARMS:
        total = sum(len(each.drawn) for each in draws)
        note(f"{total} answers to label in all; --arms {','.join([*arms][:: len(arms) - 1])} draws from two arms alone")
    record = DrawRecord(timestamp=now(), stance=settings.stance, seed=seed, number=number, arms=arms)
    _put_in_place(sources.labels, record, in_order(draws), list(patterns.patterns), note)


def _put_in_place(
    folder: Path, record: DrawRecord, drawn: Sequence[DrawnAnswer], names: Collection[str], note: Note
) -> None:
    """Make the folder appear whole; one that is there moves aside, unless it holds nothing but a sample."""
    temporary = folder.with_name(f".tmp-{folder.name}-{os.getpid()}")
    with contextlib.ExitStack() as stack, storage_errors(str(folder)):
        shutil.rmtree(temporary, ignore_errors=True)
        stack.callback(shutil.rmtree, temporary, ignore_errors=True)
        for path in label_files(folder):
            hint = f"{path.stem} is at work on the sample: draw anew when they have stopped; what they saved is kept"
            stack.enter_context(_lock(folder, path.stem, hint))
        worth_keeping = _is_worth_keeping(folder)
        if worth_keeping:
            drawn = _in_batches(drawn, record.arms, folder)
        write_atomic(temporary / DRAW_FILE, dump_json(record.model_dump(mode="json"), indent=1) + "\n")
        write_atomic(temporary / SAMPLE_FILE, _text(drawn))
        if worth_keeping:
            kept = _carry_over(folder, temporary, drawn, names, note)
            old = _free_name(folder)
            folder.rename(old)
            note(f"the old labels are in {old}; {kept} of them are of answers that were drawn again, and count")
        elif folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
        fsync_folder(folder.parent)


def _is_worth_keeping(folder: Path) -> bool:
    """Whether there is more in it than a sample that nobody labelled."""
    if not folder.is_dir():
        return False
    ours = {DRAW_FILE, SAMPLE_FILE, *(path.name for path in label_files(folder) if not path.stat().st_size)}
    return any(path.name not in ours and not path.name.startswith(LOCK) for path in folder.iterdir())


def _in_batches(drawn: Sequence[DrawnAnswer], arms: Mapping[str, ArmRecord], old: Path) -> list[DrawnAnswer]:
    """Tell answers of the old sample, whose labels are kept, from those that come in now.

    Where the answers of an arm and their strata are what they were, the old sample is a random part of each stratum
    and may stand for the new one until that is labelled. Elsewhere they are batches, each of which stands for itself.
    """
    try:
        before, old_arms = read_sample(old), read_draw(old).arms
    except InputError:
        return list(drawn)
    by_place = dict(zip(drawn_places(before).values(), before, strict=True))
    again = {name: by_place[place] for name, place in drawn_places(drawn).items() if place in by_place}
    newest: dict[str, int] = {}
    for arm, record in arms.items():
        pairs = [(again[answer.id], answer) for answer in drawn if answer.arm == arm and answer.id in again]
        batches = {earlier.batch for earlier, _ in pairs} or {0}
        alike = arm in old_arms and _outline(old_arms[arm]) == _outline(record) and len(batches) == 1
        alike = alike and all(earlier.stratum == answer.stratum for earlier, answer in pairs)
        newest[arm] = max(batches) + (bool(pairs) and not alike)
    batch_of = {one.id: again[one.id].batch if one.id in again else newest[one.arm] for one in drawn}
    return [one.model_copy(update={"batch": batch_of[one.id]}) for one in drawn]


def _outline(arm: ArmRecord) -> tuple[dict[str | None, str], dict[str, int]]:
    """Its answers, and how many of them are in each stratum."""
    sources = {source.question_set: source.sha256 for source in arm.sources}
    return sources, {name: stratum.answers for name, stratum in arm.strata.items()}


def _carry_over(old: Path, new: Path, drawn: Sequence[DrawnAnswer], names: Collection[str], note: Note) -> int:
    """Write the labels of the old sample that are of answers in the new one.

    Not those of equal texts that were drawn elsewhere: a frequent text would be over-represented until all is labelled.
    Lines with a label that is no pattern of today, one of `names`, stay behind, and files that cannot be read.
    Returns how many lines were written.
    """
    ids = {place: identifier for identifier, place in drawn_places(drawn).items()}
    kept = 0
    for path in label_files(old):
        try:
            old_places = drawn_places(read_sample(old))
            given = read_labels(path, JudgeLabels if is_judge(path) else GivenLabels)
        except InputError as error:
            note(f"{path.name} stays behind: {error.problems[0]}")
            continue
        lines = [
            labels.model_copy(update={"id": ids[place]})
            for old_id, (_, labels) in given.items()
            if (place := old_places.get(old_id)) in ids and _is_sound(labels, names)
        ]
        if lines:
            write_atomic(new / path.name, _text(lines))
        kept += len(lines)
    return kept


def _is_sound(labels: GivenLabels, names: Collection[str]) -> bool:
    said = {*labels.labels, *labels.unsure}
    return said <= {*names}.intersection(labels.offered) and len(said) == len(labels.labels) + len(labels.unsure)


def _free_name(folder: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    name = folder.with_name(f"{folder.name}.old-{stamp}")
    number = 1
    while name.exists():
        number += 1
        name = folder.with_name(f"{folder.name}.old-{stamp}-{number}")
    return name


def _labelled(folder: Path) -> bool:
    return any(path.stat().st_size for path in label_files(folder))


def _text(records: Sequence[DrawnAnswer] | Sequence[GivenLabels]) -> str:
    return "".join(dump_json(record.model_dump(mode="json")) + "\n" for record in records)


# --- the file of one annotator or judge --------------------------------------------------------------------


@dataclass(frozen=True)
class LabelFile:
    """An annotator's or judge's file, open for this process alone."""

    path: Path
    writer: JsonlWriter
    lock: FolderLock

    def append(self, labels: Sequence[GivenLabels] | Sequence[JudgeLabels]) -> None:
        """On the disk when it returns. Raises StorageError, also if the folder was drawn anew meanwhile."""
        self.lock.require_held()
        self.writer.append_all([one.model_dump(mode="json") for one in labels])


@contextlib.contextmanager
def label_file(folder: Path, name: str) -> Iterator[LabelFile]:
    """The file of one annotator or judge, what a crash left at its end mended. Raises RefusedError if it is in use."""
    path = folder / f"{name}.jsonl"
    hint = f"{name} is being labelled in another terminal: go on there, or choose another --annotator"
    with _lock(folder, name, hint) as lock:
        _mend(path)
        writer = JsonlWriter(path)
        try:
            yield LabelFile(path, writer, lock)
        finally:
            writer.close()


@contextlib.contextmanager
def _lock(folder: Path, name: str, hint: str) -> Iterator[FolderLock]:
    """Raises RefusedError with the hint if it is held."""
    with contextlib.ExitStack() as stack:
        try:
            lock = stack.enter_context(folder_lock(folder / f"{LOCK}{name}"))
        except RefusedError as error:
            error.hint = hint
            raise
        yield lock


def _mend(path: Path) -> None:
    """Take away a torn last line, so that the next one is not appended to it."""
    if not path.exists():
        return
    with storage_errors(str(path)), path.open("r+b") as stream:
        data = stream.read()
        start = data.rfind(b"\n") + 1
        if start < len(data):
            if is_torn(data[start:].decode("utf-8", "replace")):
                stream.truncate(start)
            else:
                stream.write(b"\n")
            stream.flush()
            os.fsync(stream.fileno())
