"""Disks that are full for a while."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SMALL_BYTES = 256 << 20


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Put a small disk of its own under a folder; → whether this machine lets us."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_BYTES}", "none", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Leave no room on a small disk."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        free = os.statvfs(folder)
        with suppress(OSError):  # somebody else took it meanwhile
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize)
        with suppress(OSError):
            while True:
                file.write(bytes(4096))
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def no_file_grows(pid: int, size_bytes: int) -> Iterator[None]:
    """Let no file that a process writes reach beyond a size: what a quota does, and every user may set."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        try:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        except ProcessLookupError:  # it did not survive that
            return
