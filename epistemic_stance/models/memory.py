"""Memory of the machine: how much is left, and an allocator that keeps what it has."""

from __future__ import annotations

import ctypes
from pathlib import Path

import psutil
import torch


def tune_allocator() -> None:
    """Keep freed memory in the process, so that gigabytes of gradients are not page-faulted anew each step.

    Linux with glibc; without effect elsewhere. Memory that was allocated before stays as it is.
    """
    try:
        glibc = ctypes.CDLL("libc.so.6")
        glibc.gnu_get_libc_version  # noqa: B018 - musl has no such symbol, and a mallopt without effect
    except (OSError, AttributeError):
        return
    trim_threshold, mmap_max = -1, -4  # malloc.h
    glibc.mallopt(mmap_max, 0)
    glibc.mallopt(trim_threshold, -1)


def available_memory(device: str) -> int:
    """Bytes that can still be taken on a device; for mps, which shares it, those of the machine."""
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    available: int = psutil.virtual_memory().available
    limits = [_cgroup_room(*files) for files in CGROUP_FILES]
    return min([available, *(limit for limit in limits if limit is not None)])


CGROUP_FILES = [
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current"), Path("/sys/fs/cgroup/memory.stat")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.stat"),
    ),
]
"""Limit, use and details of a container's memory, in cgroup versions 2 and 1."""


def _cgroup_room(limit: Path, usage: Path, stat: Path) -> int | None:
    """Bytes below a cgroup's limit, file cache that can be dropped counted as free; None without a limit."""
    try:
        droppable = dict(line.split() for line in stat.read_text().splitlines()).get("inactive_file", 0)
        return max(0, int(limit.read_text()) - int(usage.read_text()) + int(droppable))
    except (OSError, ValueError):  # no such cgroup, or a limit of "max"
        return None
