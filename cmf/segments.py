"""The files of a clone's journal, and how a store is brought up to date with them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from cmf import journal, pulled
from cmf.background import ahead
from cmf.core import chunks
from cmf.core.errors import BadRecord, ChainBroken, CorruptRecord
from cmf.core.store import Head, Store

PULLED = pulled.SITE
"""The site under which pulled segments stand in the view."""

CARRIED = "carried"
"""The folder, beside the pulled one, of the segments of other clones that bundles brought: a folder for each clone."""

CHUNK_RECORDS = 10_000
"""How many records go into one transaction, and into one request of a push."""

Progress = Callable[[int], None]
"""Told how many bytes of journal were dealt with since the last time."""


class JournalWarning(UserWarning):
    """A torn last line was cut off: a process was killed, or the machine lost power, within a call."""


class Segment(NamedTuple):
    """One file of the journal, and the site under which it stands in the view."""

    site: str
    path: Path

    @property
    def name(self) -> str:
        """The segment's name."""
        return self.path.name.removesuffix(journal.SUFFIX)


def segments_of(folder: Path, site: str) -> list[Segment]:
    """The segments in a folder, oldest first."""
    return [Segment(site, path) for path in journal.segments(folder)]


def carried_segments_of(folder: Path) -> list[Segment]:
    """The segments in a folder of folders, each of which is called as the clone that wrote what is in it."""
    if not folder.is_dir():
        return []
    sites = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    return [segment for site in sites for segment in segments_of(folder / site, site)]


def show(store: Store, segments: Sequence[Segment], progress: Progress | None = None) -> None:
    """Bring a store up to date with segments.

    Raises:
        CorruptRecord: a line is damaged; all but the rest of its segment is in the store.
    """
    heads = {site: store.heads(site) for site in {segment.site for segment in segments}}
    damage: CorruptRecord | None = None
    for segment in segments:
        head = heads[segment.site].get(segment.name, journal.START)
        try:
            if _has_more(segment, head):
                take(store, segment, head, progress)
        except CorruptRecord as exc:
            damage = damage or exc
    if damage:
        raise damage


def check(segments: Iterable[Segment], progress: Progress | None = None) -> Iterator[CorruptRecord]:
    """Read every line of segments; → the damage that was found, a segment at a time."""
    for segment in segments:
        try:
            for lines, head in _batches(segment.path, journal.START):
                _parse(segment, lines, head)
                if progress:
                    progress(sum(len(line) + 1 for line in lines))
        except CorruptRecord as exc:
            yield exc


def _has_more(segment: Segment, head: Head) -> bool:
    try:
        size = segment.path.stat().st_size
        cut = 0 if size == head.offset and size else journal.cut_torn_tail(segment.path)
    except FileNotFoundError:  # another process has just removed an empty one
        return False
    if cut:
        warnings.warn(
            f"{segment.path}: cut off {cut} bytes of a last line that was never finished "
            f"(a process was killed within a call); nothing else was lost",
            JournalWarning,
            stacklevel=6,
        )
    return segment.path.exists() and segment.path.stat().st_size != head.offset


def take(store: Store, segment: Segment, head: Head, progress: Progress | None = None) -> None:
    """Join what a segment has behind a head into a store.

    Raises:
        CorruptRecord: a line is damaged; what is before it is in the store.
    """
    consistent = segment.site == PULLED  # each was looked at when it arrived
    for chunk in ahead(
        _parse(segment, lines, first, consistent=consistent) for lines, first in _batches(segment.path, head)
    ):
        store.write(lambda transaction, chunk=chunk: chunks.merge(transaction, chunk))  # type: ignore[misc]
        if progress:
            progress(sum(chunk.lengths))


def _batches(path: Path, head: Head) -> Iterator[tuple[list[bytes], Head]]:
    """The lines behind a head in batches, each with the head before it.

    Raises:
        CorruptRecord: a damaged line, after the batch of all before it.
    """
    lines = journal.read(path, head)
    while True:
        first, damage = head, None
        batch: list[bytes] = []
        try:
            for line, after in islice(lines, CHUNK_RECORDS):
                batch.append(line)
                head = after
        except CorruptRecord as exc:
            damage = exc
        if batch:
            yield batch, first
        if damage:
            raise damage
        if not batch:
            return


def _parse(segment: Segment, lines: list[bytes], head: Head, *, consistent: bool = False) -> chunks.Chunk:
    try:
        # `journal.read` has looked whether they follow.
        return chunks.parse(segment.site, segment.name, lines, follows=True, consistent=consistent)
    except BadRecord as exc:
        raise CorruptRecord(segment.path, head.sequence + 1 + exc.line, exc.problem) from exc
    except ChainBroken as exc:
        raise CorruptRecord(segment.path, exc.sequence + 1, exc.problem) from exc
