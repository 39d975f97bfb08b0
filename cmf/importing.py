"""Import: what a bundle holds, brought into a clone; its form is in `cmf.core.bundles`.

All of it is unpacked beside the journal and checked before any of it takes its place there. Each segment is whole in
its place or not there at all, so an import that was killed is repeated.

    a slice, and what was pulled               .cmf/journal/pulled/          never pushed
    what this clone recorded                   .cmf/journal/                 is there already, most often
    what another clone recorded                .cmf/journal/carried/<site>/  pushed for that clone
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from cmf import journal
from cmf.core.bundles import Carried
from cmf.core.errors import BundleRefused, JournalUnwritable
from cmf.core.records import Stamped, parse_record
from cmf.pulled import write_pulled
from cmf.repository import Repository
from cmf.segments import CARRIED, PULLED, Progress
from cmf.unpacking import Staging, unpack

_PIECE = 1 << 20


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
        contents = unpack(file, staging, progress)
        with _alone(repository):
            _expect_same_beginnings(repository, file, staging.segments)
            news = {carried: _put(repository, carried, path) for carried, path in staging.segments.items()}
            _sync_folders(repository, news)
    repository.catch_up()
    to_push = sum(count for carried, count in news.items() if carried.site != PULLED)
    told = (contents.header.site, len(news), contents.records, sum(news.values()), to_push)
    return Imported(*told, contents.sha256 or "")


@contextmanager
def _staging(repository: Repository) -> Iterator[Staging]:
    folder = repository.scratch.path()  # on the file system of the journal, and swept up if this process is killed
    folder.mkdir()
    staging = Staging(folder)
    try:
        yield staging
    finally:
        staging.finish()
        shutil.rmtree(folder, ignore_errors=True)


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
    place.parent.mkdir(parents=True, exist_ok=True)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    path.replace(place)
    return news


def _sync_folders(repository: Repository, news: Mapping[Carried, int]) -> None:
    """Wait until the disk has the names of what is new."""
    changed = {_place(repository, carried).parent for carried, count in news.items() if count}
    for folder in {repository.folder / "journal", repository.folder / "journal" / CARRIED, *changed}:
        if folder.exists():
            journal.sync_folder(folder)


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
def _alone(repository: Repository) -> Iterator[None]:
    """Of two imports at once, the second compares with what the first has put in its place."""
    with (repository.folder / "import.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _writing(repository: Repository) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise JournalUnwritable(repository.folder / "journal", exc.strerror or str(exc)) from exc
