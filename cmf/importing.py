"""Import: what a bundle holds, brought into a clone; its form is in `cmf.core.bundles`.

All of it is unpacked beside the journal and checked before any of it takes its place there. Each segment is whole in
its place or not there at all, so an import that was killed is repeated.

    a slice, and what was pulled               .cmf/journal/pulled/          never pushed
    what this clone recorded                   .cmf/journal/                 is there already, most often
    what another clone recorded                .cmf/journal/carried/<site>/  pushed for that clone
"""

from __future__ import annotations

import fcntl
import gzip
import itertools
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cmf import journal
from cmf.core.bundles import Carried, Contents
from cmf.core.errors import BundleRefused, FileProblem, InvalidValue, JournalUnwritable
from cmf.core.records import MAX_LINE_BYTES, Stamped, parse_record
from cmf.pulled import write_pulled
from cmf.repository import Repository
from cmf.segments import CARRIED, PULLED, Progress

_GZIP = b"\x1f\x8b"
_SQLITE = b"SQLite format 3\0"
_PIECE = 1 << 20
_TOLD_EVERY = 1_000
"""How many lines are read between two words to whoever looks at the progress."""


class Imported(NamedTuple):
    """What a bundle held, what of it was news, and how much of that is to be pushed for the clones that recorded it."""

    site: str
    """The clone that made the bundle."""
    segments: int
    records: int
    news: int
    to_push: int
    sha256: str


def import_(repository: Repository, file: Path, progress: Progress | None = None) -> Imported:
    """Bring in what a bundle holds. What is known already is not taken again; `progress` is told of bytes of the file.

    Raises:
        BundleRefused: it is damaged, cut short, changed, or no bundle; nothing of it was taken.
        FileProblem: it cannot be read.
        JournalUnwritable: nothing was taken, or some of its segments whole; import it again.
    """
    with _writing(repository), _staging(repository) as staging:
        contents = _unpack(file, staging, progress)
        with _alone(repository.folder / "journal" / CARRIED):
            _expect_same_beginnings(repository, file, staging.segments)
            news = {carried: _put(repository, carried, path) for carried, path in staging.segments.items()}
    repository.catch_up()
    to_push = sum(count for carried, count in news.items() if carried.site != PULLED)
    told = (contents.header.site, len(news), contents.records, sum(news.values()), to_push)
    return Imported(*told, contents.sha256 or "")


class _Staging:
    """The segments of a bundle, each as a file in a folder, written one after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None
        self.segments: dict[Carried, Path] = {}

    @property
    def free_bytes(self) -> int:
        return shutil.disk_usage(self._folder).free

    def begin(self, carried: Carried) -> None:
        self.finish()
        path = self._folder / str(len(self.segments))
        self._file = path.open("xb")
        self.segments[carried] = path

    def write(self, line: bytes) -> None:
        assert self._file
        self._file.write(line + b"\n")

    def finish(self) -> None:
        if self._file:
            self._file.close()


@contextmanager
def _staging(repository: Repository) -> Iterator[_Staging]:
    folder = repository.scratch.path()  # on the file system of the journal, and swept up if this process is killed
    folder.mkdir()
    staging = _Staging(folder)
    try:
        yield staging
    finally:
        staging.finish()
        shutil.rmtree(folder, ignore_errors=True)


def _unpack(file: Path, staging: _Staging, progress: Progress | None) -> Contents:
    """Write a bundle's segments to their files; all of it is checked when this returns."""
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


def _expect_room(staging: _Staging, needed: int) -> None:
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


def _expect_same_beginnings(repository: Repository, file: Path, segments: Mapping[Carried, Path]) -> None:
    """That each segment which is here already is the same as far as both go."""
    for carried, path in segments.items():
        place = _place(repository, carried)
        if carried.site == PULLED or not place.exists():
            continue
        if not _begin_alike(path, place):
            raise BundleRefused(
                file,
                f"segment {carried.segment} of site {carried.site} is another here ({place}): "
                f"one of the two was changed; run 'cmf fsck' in both clones",
            )
        if place.parent == repository.folder / "journal" and place.stat().st_size < path.stat().st_size:
            raise BundleRefused(
                file,
                f"{place} has fewer records than the bundle: it was restored from an older copy; "
                f"move it away and import again",
            )


def _put(repository: Repository, carried: Carried, path: Path) -> int:
    """Give a segment its place; → how many of its records are news."""
    place = _place(repository, carried)
    if carried.site == PULLED:
        pulled = write_pulled(place.parent, _stamped(carried.segment, path), None)
        return pulled.operations if pulled.news else 0
    here = _records(place) if place.exists() else 0
    news = _records(path) - here
    if news <= 0:
        return 0
    place.parent.mkdir(exist_ok=True)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    path.replace(place)
    journal.sync_folder(place.parent)
    journal.sync_folder(place.parent.parent)
    return news


def _place(repository: Repository, carried: Carried) -> Path:
    journals = repository.folder / "journal"
    name = carried.segment + journal.SUFFIX
    if carried.site == PULLED:
        return journals / PULLED / name
    # What is not in the clone's own journal was not recorded by it, whatever a bundle says, and is not run as its own.
    if carried.site == repository.site and (journals / name).exists():
        return journals / name
    return journals / CARRIED / carried.site / name


def _stamped(segment: str, path: Path) -> Iterator[Stamped]:
    with path.open("rb") as lines:
        for line in itertools.islice(lines, 1, None):
            record = parse_record(line[:-1])
            yield Stamped(record.stamp_in(segment), record.op)


def _begin_alike(one: Path, other: Path) -> bool:
    """Whether the shorter of two files is the beginning of the longer."""
    left = min(one.stat().st_size, other.stat().st_size)
    with one.open("rb") as a, other.open("rb") as b:
        while left:
            piece = min(left, _PIECE)
            if a.read(piece) != b.read(piece):
                return False
            left -= piece
    return True


def _records(path: Path) -> int:
    with path.open("rb") as file:
        return sum(piece.count(b"\n") for piece in iter(lambda: file.read(_PIECE), b"")) - 1


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder: of two imports at once the second compares with what the first has put there."""
    folder.mkdir(parents=True, exist_ok=True)
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


@contextmanager
def _writing(repository: Repository) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise JournalUnwritable(repository.folder / "journal", exc.strerror or str(exc)) from exc
