"""The file of a bundle, unpacked and checked: never more than a line of it is in memory."""

from __future__ import annotations

import gzip
import itertools
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cmf.core.bundles import Carried, Contents
from cmf.core.errors import BundleRefused, FileProblem, InvalidValue
from cmf.core.records import MAX_LINE_BYTES
from cmf.segments import Progress

_GZIP = b"\x1f\x8b"
_SQLITE = b"SQLite format 3\0"
_TOLD_EVERY = 1_000
"""How many lines are read between two words to whoever looks at the progress."""


class Staging:
    """The segments of a bundle, each as a file in a folder, written one after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None
        self.segments: dict[Carried, Path] = {}

    @property
    def free_bytes(self) -> int:
        """How much the disk has room for."""
        return shutil.disk_usage(self._folder).free

    def begin(self, carried: Carried) -> None:
        """Go on with the next segment."""
        self.finish()
        path = self._folder / str(len(self.segments))
        self._file = path.open("xb")
        self.segments[carried] = path

    def write(self, line: bytes) -> None:
        """Take a line of the segment that was begun last."""
        assert self._file
        self._file.write(line + b"\n")

    def finish(self) -> None:
        """Let go of the file that was begun last."""
        if self._file:
            self._file.close()


def unpack(file: Path, staging: Staging, progress: Progress | None) -> Contents:
    """Write a bundle's segments to their files; all of it is checked when this returns.

    Raises:
        BundleRefused: it is damaged, cut short, changed, or no bundle.
        FileProblem: it cannot be read.
        OSError: the files cannot be written.
    """
    contents: Contents | None = None
    number = 0
    try:
        for line in _lines(file, progress):
            number += 1
            if contents is None:
                contents = Contents(line)
                _expect_room(staging, contents.header.max_bytes)
                continue
            if begun := contents.take(line):
                staging.begin(begun)
            if contents.sha256 is None:
                staging.write(line)
    except InvalidValue as exc:
        raise BundleRefused(file, str(exc), number) from exc
    if contents is None or contents.sha256 is None:
        raise BundleRefused(file, "it is cut short")
    staging.finish()
    return contents


def _expect_room(staging: Staging, needed: int) -> None:
    free = staging.free_bytes
    if needed > free:
        raise InvalidValue(f"it unpacks to up to {needed:,} bytes, and the disk of the clone has room for {free:,}")


def _lines(file: Path, progress: Progress | None) -> Iterator[bytes]:
    """The lines of a bundle without their newlines, of which never more than one is in memory."""
    try:
        with _opened(file) as packed, gzip.GzipFile(fileobj=packed) as unpacked:
            told = 0
            for number in itertools.count(1):
                line = unpacked.readline(MAX_LINE_BYTES + 1)
                if not line:
                    return
                if len(line) > MAX_LINE_BYTES:
                    raise BundleRefused(file, f"the line is longer than {MAX_LINE_BYTES:,} bytes", number)
                if not line.endswith(b"\n"):
                    raise BundleRefused(file, "it is cut short", number)
                yield line[:-1]
                if progress and number % _TOLD_EVERY == 0:
                    progress(packed.tell() - told)
                    told = packed.tell()
    except EOFError as exc:
        raise BundleRefused(file, "it is cut short") from exc
    except (gzip.BadGzipFile, zlib.error) as exc:
        raise BundleRefused(file, f"it is damaged, and cannot be unpacked: {exc}") from exc
    except OSError as exc:
        raise FileProblem(file, exc.strerror or str(exc)) from exc


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    if file.exists() and not file.is_file():
        raise FileProblem(file, "is no file")
    with file.open("rb") as packed:
        magic = packed.read(len(_SQLITE))
        if magic == _SQLITE:
            raise BundleRefused(file, "it is a SQLite file; if it is one of ML Metadata, run 'cmf import mlmd FILE'")
        if not magic.startswith(_GZIP):
            raise BundleRefused(file, "it is no bundle of cmf's")
        packed.seek(0)
        yield packed
