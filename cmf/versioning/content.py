"""The content of a file: read once, hashed, and copied where it is to be kept, all in that one pass."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from cmf.core.errors import FileProblem

SMALL_BYTES = 1 << 20
"""From this size on a file is read and hashed by two threads."""

NO_CONTENT = "is neither a file nor a folder (a pipe, socket or device has no content to record)"
_FICLONE = 0x40049409
_BUFFER_BYTES = 1 << 20
_BUFFERS = 6

Version = tuple[int, ...]
"""What changes when a file does: size, times of change, inode, device."""


class Digests(NamedTuple):
    """The digests of one content (hexadecimal), and its size. `sha256` is None where it was not asked for."""

    md5: str
    sha256: str | None
    size_bytes: int


def version_of(state: os.stat_result) -> Version:
    """The version of a file in a state."""
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino, state.st_dev


def state_of(path: Path) -> os.stat_result:
    """The state of what is at a path; symbolic links are followed.

    Raises:
        FileProblem: nothing is there, or it cannot be seen.
    """
    try:
        return path.stat()
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the path
        raise FileProblem(path, getattr(exc, "strerror", None) or str(exc)) from exc


def read_file(path: Path, *, sha256: bool, copy: int | None = None) -> tuple[Digests, Version]:
    """The digests of a file that stays the same while it is read, and its version.

    Its bytes are written to the file descriptor `copy` on the way, so that a copy is what was hashed.

    Raises:
        FileProblem: it cannot be read, is no file, or changed meanwhile.
        OSError: the copy could not be written.
    """
    with _opened(path) as file:
        before = os.fstat(file)
        if not stat.S_ISREG(before.st_mode):
            raise FileProblem(path, NO_CONTENT)
        sink = _Sink(copy)
        read = _read_small if before.st_size < SMALL_BYTES else _read_large
        try:
            digests = read(file, sha256, sink)
        except OSError as exc:
            if sink.problem is not None:
                raise sink.problem from exc
            raise FileProblem(path, exc.strerror or str(exc)) from exc
    version = version_of(before)
    if version_of(state_of(path)) != version or digests.size_bytes != before.st_size:
        raise FileProblem(path, "changed while it was being read; record it when nothing writes to it")
    return digests, version


def share_blocks(path: Path, into: int) -> bool:
    """Let a new file (`into`, its descriptor) share the blocks of another, where the file system can (btrfs, XFS)."""
    try:
        source = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return False
    try:
        fcntl.ioctl(into, _FICLONE, source)
    except OSError:
        return False
    finally:
        os.close(source)
    return True


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        # Not blocking: a pipe without a writer would make open() wait for one.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as exc:
        raise FileProblem(path, getattr(exc, "strerror", None) or str(exc)) from exc
    try:
        yield file
    finally:
        os.close(file)


class _Sink:
    """Where the copy goes; remembers whether it was the copy that failed."""

    def __init__(self, file: int | None) -> None:
        self._file = file
        self.problem: OSError | None = None

    def write(self, data: memoryview) -> None:
        if self._file is None:
            return
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as exc:
            self.problem = exc
            raise


def _read_small(file: int, sha256: bool, sink: _Sink) -> Digests:
    md5, sha, size = _md5(), hashlib.sha256() if sha256 else None, 0
    while data := os.read(file, SMALL_BYTES):
        md5.update(data)
        if sha:
            sha.update(data)
        sink.write(memoryview(data))
        size += len(data)
    return Digests(md5.hexdigest(), sha.hexdigest() if sha else None, size)


def _read_large(file: int, sha256: bool, sink: _Sink) -> Digests:
    """md5 in this thread; reading, sha256 and the copy in a second one: hashlib lets go of the GIL."""
    md5, sha, size = _md5(), hashlib.sha256() if sha256 else None, 0
    free: SimpleQueue[memoryview | None] = SimpleQueue()
    filled: SimpleQueue[tuple[memoryview, memoryview] | BaseException | None] = SimpleQueue()
    for _ in range(_BUFFERS):
        free.put(memoryview(bytearray(_BUFFER_BYTES)))

    def fill() -> None:
        try:
            while (buffer := free.get()) is not None and (count := os.readv(file, [buffer])):
                data = buffer[:count]
                if sha:
                    sha.update(data)
                sink.write(data)
                filled.put((buffer, data))
            filled.put(None)
        except BaseException as exc:  # raised again where it is waited for
            filled.put(exc)

    filler = threading.Thread(target=fill, name="cmf-read", daemon=True)
    filler.start()
    try:
        while (item := filled.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            buffer, data = item
            md5.update(data)
            size += len(data)
            free.put(buffer)
    finally:
        free.put(None)  # for a filler that goes on though this thread was interrupted
        filler.join()
    return Digests(md5.hexdigest(), sha.hexdigest() if sha else None, size)


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)
