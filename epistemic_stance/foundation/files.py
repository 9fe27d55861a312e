"""Files that survive a crash: atomic replace, committed folders, append-only JSONL, locks."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from epistemic_stance.foundation.errors import InputError, Problem, RefusedError, StorageError

MANIFEST = "MANIFEST.json"
LOCK_FILE = ".lock"
MAX_INPUT_BYTES = 64 * 2**20
REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free space or write to another folder"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make it writable or write to another folder"),
}


# --- writing -----------------------------------------------------------------------------------------------


def dump_json(value: Any, indent: int | None = None) -> str:
    """Strict JSON: ASCII-escaped, so that a lone surrogate cannot kill the writer; NaN is refused."""
    return json.dumps(value, indent=indent, allow_nan=False)


def fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Turn an I/O failure while writing into a StorageError that says what was being written."""
    try:
        yield
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "write to another folder")
        hint = f"{remedy}; what was saved before is intact"
        raise StorageError(f"could not write {what}: {error.strerror or error}", hint) from error


def require_folder(path: Path, flag: str) -> None:
    """Raises InputError naming the flag if a file stands where the folder, or one above it, would have to be."""
    nearest = next(part for part in (path, *path.parents) if os.path.lexists(part))
    if not nearest.is_dir():
        what = f"{nearest} is a file, expected a folder" if nearest.is_file() else f"{nearest} is no folder"
        raise InputError([Problem(flag, what, hint="name another folder, or move what is there")])


def write_atomic(path: Path, text: str) -> None:
    """Replace `path` so that a reader, or a crash, sees the old or the new content, never a part."""
    with storage_errors(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        fsync_folder(path.parent)


_digests: dict[tuple[int, int, int, int], str] = {}
"""(device, inode, size, modification time in ns) -> sha256, for as long as the process lives."""
SETTLED_NS = 50_000_000
"""A file system stamps files at the ticks of a clock, up to 10 ms apart. A file modified just now could change again
under the same stamp, and is not remembered."""


def sha256_of(path: Path) -> str:
    """sha256 of a file. One that did not change is read once in a process, under whatever names it is linked."""
    with path.open("rb") as stream:
        status = os.fstat(stream.fileno())
        key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if key in _digests:
            return _digests[key]
        settled = time.time_ns() - status.st_mtime_ns > SETTLED_NS
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if settled and os.fstat(stream.fileno()).st_mtime_ns == status.st_mtime_ns:
            _digests[key] = digest
        return digest


def commit_folder(final: Path, fill: Callable[[Path], None]) -> None:
    """Make a folder appear at once and complete, or not at all.

    `fill` writes into a temporary sibling; every file is fsynced, the manifest (sha256 and size of each file)
    is written last, the folder is renamed into place and its parent fsynced. Whatever was at `final` is
    moved aside first and deleted after.
    """
    with storage_errors(str(final)):
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = final.parent / f".tmp-{final.name}-{os.getpid()}"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            fill(temporary)
            files = {}
            for path in sorted(p for p in temporary.rglob("*") if p.is_file()):
                path.chmod(0o666 & ~current_umask())  # safetensors leaves its files to their owner alone
                fsync_file(path)
                files[str(path.relative_to(temporary))] = {"sha256": sha256_of(path), "size": path.stat().st_size}
            write_atomic(temporary / MANIFEST, dump_json({"schema": 1, "files": files}, indent=1))
            replace_folder(temporary, final)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def current_umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def replace_folder(source: Path, final: Path) -> None:
    """Rename `source` to `final`; a folder already there is first moved to a hidden name, then deleted."""
    old = final.parent / f".old-{final.name}-{os.getpid()}"
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    source.rename(final)
    fsync_folder(final.parent)
    shutil.rmtree(old, ignore_errors=True)


def link_folder(source: Path, final: Path) -> None:
    """Make `final` a folder of hard links to the files of `source` (copies where links are impossible).

    Raises StorageError if `source` is no committed folder: what `final` holds is then better than nothing.
    """
    if not (source / MANIFEST).is_file():
        raise StorageError(f"could not write {final}: {source} is gone or holds no {MANIFEST}", "was it deleted?")
    with storage_errors(str(final)):
        temporary = final.parent / f".tmp-{final.name}-{os.getpid()}"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        for path in sorted(p for p in source.rglob("*") if p.is_file()):
            target = temporary / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(path, target)
        replace_folder(temporary, final)


def link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
        fsync_file(target)


def sweep_leftovers(folder: Path, name: str = "*") -> None:
    """Finish what interrupted commits of `name` left behind; only called while holding the folder's lock.

    A folder that was moved aside and whose successor never arrived is moved back; the rest is deleted.
    """
    for old in folder.glob(f".old-{name}-*"):
        moved = re.fullmatch(r"\.old-(.+)-\d+", old.name)
        if moved and not (folder / moved[1]).exists():
            old.rename(folder / moved[1])
    for pattern in (f".tmp-{name}-*", f".old-{name}-*", f".{name}.*.tmp"):
        for leftover in folder.glob(pattern):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def committed_weights_digest(folder: Path) -> str | None:
    """What `ModelFiles.digest` says of a committed model folder, from its manifest: no gigabyte is read again.

    None for a folder without a manifest that can be read.
    """
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        weights = sorted(name for name in files if PurePath(name).match("model*.safetensors"))
        digests = [files[name]["sha256"] for name in ("config.json", *weights)]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def verify_manifest(folder: Path, contents: bool = True) -> str | None:
    """Why the folder cannot be trusted, or None if every file matches its manifest.

    Without `contents` the sizes decide, and nothing is hashed.
    """
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        for name, entry in files.items():
            path = folder / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != entry["size"]:
                return f"{name} has {path.stat().st_size} bytes, the manifest says {entry['size']}"
            digest = sha256_of(path) if contents else entry["sha256"]
            if digest != entry["sha256"]:
                return f"{name} has sha256 {digest}, the manifest says {entry['sha256']}"
    except OSError as error:
        return f"{MANIFEST} cannot be read: {error.strerror}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{MANIFEST} is damaged"
    return None


class JsonlWriter:
    """Append-only JSONL: whole lines in one write call, flushed to the disk before `append` returns."""

    def __init__(self, path: Path) -> None:
        with storage_errors(str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._path = path

    def append(self, record: Any, sync: bool = True) -> None:
        self.append_all([record], sync)

    def append_all(self, records: Iterable[Any], sync: bool = True) -> None:
        """Several records in one write: after a crash the file holds the first few of them, whole, and a part."""
        lines = "".join(dump_json(record) + "\n" for record in records).encode()
        with storage_errors(str(self._path)):
            if os.write(self._descriptor, lines) != len(lines):
                raise OSError("short write: the disk is full?")
            if sync:
                os.fdatasync(self._descriptor)

    def offset(self) -> int:
        """Bytes in the file, all of them on the disk."""
        with storage_errors(str(self._path)):
            os.fdatasync(self._descriptor)
        return os.fstat(self._descriptor).st_size

    def close(self) -> None:
        os.close(self._descriptor)


@dataclass(frozen=True)
class FolderLock:
    """A held lock file and the inode it had when it was locked."""

    path: Path
    inode: int

    def require_held(self) -> None:
        """Raises StorageError if the folder was deleted or replaced: it may belong to another run by now."""
        try:
            held = self.path.stat().st_ino == self.inode
        except OSError:
            held = False
        if not held:
            raise StorageError(f"{self.path.parent} was deleted or replaced while it was in use", "start again")


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[FolderLock]:
    """Hold `folder` for one writer; the lock dies with the process, however it dies.

    Raises RefusedError naming the pid and host that hold it.
    """
    with storage_errors(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / LOCK_FILE).open("a+", encoding="utf-8")
    try:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            stream.seek(0)
            holder = stream.read().strip() or "another process"
            raise RefusedError(
                f"{folder} is in use by {holder}",
                "wait for that run, stop it, or choose another --output-dir",
            ) from error
        stream.truncate(0)
        stream.write(f"pid {os.getpid()} on {socket.gethostname()}\n")
        stream.flush()
        yield FolderLock(folder / LOCK_FILE, os.fstat(stream.fileno()).st_ino)
    finally:
        stream.close()


# --- reading what people wrote -----------------------------------------------------------------------------


def read_text(path: Path) -> str:
    """Strict UTF-8 text of a file a person wrote; a BOM is dropped and CRLF becomes LF."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_INPUT_BYTES + 1)
    except FileNotFoundError as error:
        raise InputError([Problem(str(path), "no such file")]) from error
    except OSError as error:
        raise InputError([Problem(str(path), f"cannot be read: {error.strerror}")]) from error
    if len(data) > MAX_INPUT_BYTES:
        raise InputError([Problem(str(path), f"larger than {MAX_INPUT_BYTES} bytes", hint="is it the right file?")])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = Problem(str(path), f"invalid UTF-8 byte 0x{data[error.start]:02x}", line, hint="save it as UTF-8")
        raise InputError([problem]) from error
    return text.replace("\r\n", "\n")
