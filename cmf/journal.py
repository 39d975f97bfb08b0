"""The journal of a clone: `.cmf/journal/<segment>.jsonl`, one file a process, only ever appended to.

It is the truth; everything else that a clone knows can be made anew from it. The form of its lines is in
`cmf.core.records`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from cmf.clock import HybridClock
from cmf.core.errors import CorruptRecord, InvalidValue, JournalUnwritable
from cmf.core.operations import Operation
from cmf.core.records import (
    FORMAT,
    MAX_LINE_BYTES,
    TAIL_BYTES,
    Header,
    Stamp,
    chain,
    continues,
    header_line,
    make_stamp,
    parse_header,
    parse_record,
    record_line,
    sum_of,
)
from cmf.core.store import Head

SUFFIX = ".jsonl"
START = Head(-1, "", 0)
"""Before the header."""

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Appended(NamedTuple):
    """What an append wrote, and to which segment: the operations with their stamps, the heads before and after."""

    path: Path
    stamped: list[tuple[Stamp, Operation]]
    before: Head
    after: Head


class SegmentWriter:
    """Appends to one segment, its own; made at the first append. Safe to share between threads.

    A forked child needs a writer of its own.
    """

    def __init__(self, folder: Path, site: str, tool: str, clock: HybridClock) -> None:
        self._folder = folder
        self._site = site
        self._tool = tool
        self._clock = clock
        self._lock = threading.Lock()
        self._file: int | None = None
        self._head = START
        self._forget()

    @property
    def position(self) -> tuple[Path, Head]:
        """The segment, and how far it is written."""
        with self._lock:
            return self.path, self._head

    def append(self, operations: Sequence[Operation], stamps: Sequence[Stamp] | None = None) -> Appended:
        """Write operations, in order, and wait until the disk has them.

        `stamps` are their own, where they were made elsewhere.

        Raises:
            JournalUnwritable: it could not; the journal is as before.
            InvalidValue: an operation says nothing valid; nothing was written.
        """
        with self._lock:
            before = self._head
            lines, stamped, after = self._lines(operations, stamps or [None] * len(operations))
            self._write(lines, after)
            return Appended(self.path, stamped, before, after)

    def close(self) -> None:
        """Let go of the file, so that others may take it for finished."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
            self._forget()

    def _forget(self) -> None:
        self._file = None
        self._head = START
        self.segment = ulid()
        self.path = self._folder / (self.segment + SUFFIX)

    def _lines(
        self, operations: Sequence[Operation], stamps: Sequence[Stamp | None]
    ) -> tuple[bytes, list[tuple[Stamp, Operation]], Head]:
        lines: list[bytes] = []
        sequence, total = self._head.sequence, self._head.sum
        if sequence < 0:
            header = Header(FORMAT, self._site, self.segment, self._tool, self._clock.tick())
            line, total = header_line(header)
            lines.append(line)
            sequence = 0
        stamped: list[tuple[Stamp, Operation]] = []
        for operation, stamp in zip(operations, stamps, strict=True):
            sequence += 1
            at = self._clock.tick()
            line, total = record_line(total, sequence, at, operation, stamp)
            parse_record(line)  # what its own reader would refuse is never written
            lines.append(line)
            stamped.append((stamp or make_stamp(at, self.segment, sequence), operation))
        written = b"".join(line + b"\n" for line in lines)
        return written, stamped, Head(sequence, total, self._head.offset + len(written))

    def _write(self, lines: bytes, after: Head) -> None:
        path = self.path
        try:
            if self._file is None:
                self._file = self._create()
            view = memoryview(lines)
            while view:
                view = view[os.write(self._file, view) :]
            os.fdatasync(self._file)
            if os.fstat(self._file).st_nlink == 0:
                raise FileNotFoundError(errno.ENOENT, "the file was deleted while it was written")
            self._head = after
        except OSError as exc:
            self._take_back()
            raise JournalUnwritable(path, exc.strerror or str(exc)) from exc
        except BaseException:  # a signal's handler may raise at any moment, most of all while the disk is waited for
            self._take_back()
            raise

    def _create(self) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        while True:
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
            # Held as long as this process writes: who cannot take it must not take a torn tail for a crash.
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file).st_nlink:
                sync_folder(self._folder)
                return file
            os.close(file)  # another process took it for what a crash left, before it was locked

    def _take_back(self) -> None:
        """Undo a write that failed half-way, so that the next one does not follow half a line."""
        if self._file is None:
            self._forget()  # the name may be taken by what was begun
            return
        with suppress(OSError):
            os.ftruncate(self._file, self._head.offset)
            if os.fstat(self._file).st_nlink:
                return
        # Not even that: leave the torn tail to the next open, and go on in a new segment.
        os.close(self._file)
        self._forget()


def segments(folder: Path) -> list[Path]:
    """The segments in a folder, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(folder / entry.name for entry in os.scandir(folder) if entry.name.endswith(SUFFIX))


def cut_torn_tail(path: Path) -> int:
    """Cut off an unfinished last line that a crash left; → the number of bytes cut, 0 for a sound end.

    A segment that a living process writes is left alone.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if size and _ends_line(file.fileno(), size):
            return 0
    with path.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        size = os.fstat(file.fileno()).st_size
        if size and _ends_line(file.fileno(), size):
            return 0
        kept = _last_line_end(file.fileno(), size)
        if kept == 0:
            path.unlink()  # not even its header was finished
        else:
            os.ftruncate(file.fileno(), kept)
            os.fsync(file.fileno())
        return size - kept


def read(path: Path, after: Head = START) -> Iterator[tuple[bytes, Head]]:
    """The finished lines of a segment behind a head, each with the head after it; an unfinished one ends them.

    Raises:
        CorruptRecord: a line does not follow the one before it; the first such line of the file is named.
    """
    head = after
    with path.open("rb") as file:
        file.seek(head.offset)
        while line := file.readline(MAX_LINE_BYTES + 1):
            if not line.endswith(b"\n") and len(line) <= MAX_LINE_BYTES:
                return
            body = line[:-1]
            if problem := _problem(path, head, line):
                if after != START:
                    # Something before `after` was changed, maybe, and only shows here.
                    deque(read(path), maxlen=0)
                raise CorruptRecord(path, head.sequence + 2, problem)
            total = chain("", body) if head.sequence < 0 else sum_of(body)
            head = Head(head.sequence + 1, total or "", head.offset + len(line))
            yield body, head


def _problem(path: Path, head: Head, line: bytes) -> str | None:
    """What is wrong with the line behind a head, if anything is."""
    if len(line) > MAX_LINE_BYTES:
        return f"the line is longer than {MAX_LINE_BYTES} bytes"
    if head.sequence >= 0:
        return None if continues(head.sum, line[:-1]) else "its sum does not continue the chain"
    try:
        header = parse_header(line[:-1])
    except InvalidValue as exc:
        return f"no header of a journal: {exc}"
    return None if path.stem == header.segment else f"it is the header of segment {header.segment}"


def ulid() -> str:
    """A name that is unique and sorts by its time of birth (26 characters, Crockford's base 32)."""
    number = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def sum_before(path: Path, offset: int) -> str | None:
    """The sum of the record whose line ends at an offset, None where no record's line does."""
    with path.open("rb") as file:
        tail = os.pread(file.fileno(), TAIL_BYTES + 1, max(0, offset - TAIL_BYTES - 1))
    return sum_of(tail[:-1]) if tail.endswith(b"\n") else None


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names in a folder."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _ends_line(file: int, size: int) -> bool:
    return os.pread(file, 1, size - 1) == b"\n"


def _last_line_end(file: int, size: int) -> int:
    """The offset behind the last newline."""
    end = size
    while end:
        start = max(0, end - (1 << 20))
        found = os.pread(file, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
