"""A clone: the folder `.cmf` with its journal (the truth) and its view (a SQLite store made from it).

.cmf/config.toml           settings
.cmf/site                  the clone's id
.cmf/journal/*.jsonl       what was recorded here; never changed, only appended to
.cmf/journal/pulled/       what was pulled; never pushed back
.cmf/view.db               everything above as a graph; `rebuild` makes it anew
.cmf/states.db             what is known of files that were read before, so that they need not be read again
.cmf/cache/                content that cmf itself makes, where DVC was not set up and has no cache for it
.cmf/scratch/              files on their way to their place
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from cmf import __version__, journal, pulled, settings
from cmf.clock import HybridClock
from cmf.core import chunks
from cmf.core.delta import fold
from cmf.core.delta import operations as operations_of
from cmf.core.errors import (
    BadRecord,
    ChainBroken,
    CorruptRecord,
    InvalidValue,
    JournalUnwritable,
    NotARepository,
    StoreIncompatible,
    StoreUnavailable,
)
from cmf.core.identity import kind_of
from cmf.core.news import Stated, news
from cmf.core.operations import Operation
from cmf.core.records import MAX_LINE_BYTES, ORIGIN_PATTERN, Stamp, parse_header
from cmf.core.store import Head, Store, Transaction
from cmf.journal import Appended, SegmentWriter
from cmf.places import FOLDER, KEPT, clone_of
from cmf.scratch import Scratch
from cmf.stores.sqlite import SqliteStore
from cmf.versioning.cache import Cache, CacheSettings
from cmf.versioning.contents import Contents
from cmf.versioning.dvc import DvcDataVersioning
from cmf.versioning.dvc_config import cache_settings, dvc_root
from cmf.versioning.environment import Environments, KeptEnvironment
from cmf.versioning.git import git_versioning
from cmf.versioning.none import NoCodeVersioning, NoDataVersioning
from cmf.versioning.ports import CodeVersioning, DataVersioning
from cmf.versioning.states import States

PULLED = pulled.SITE
"""The site under which pulled segments stand in the view."""

CHUNK_RECORDS = 5_000
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


class Mark(NamedTuple):
    """Where the journal stood: what was recorded since is behind `head` in a segment, or in segments born since."""

    path: Path
    head: Head
    born: str


class Repository:
    """A clone. Opening it brings its view up to date with its journal, whatever happened before.

    Without `catch_up` the view is not even opened before it is used: for whoever mends a damaged one.
    """

    def __init__(self, root: Path, *, catch_up: bool = True) -> None:
        self.root = root
        self.folder = root / FOLDER
        self.site = _site(self.folder)
        self.settings = settings.load(self.folder / "config.toml")
        self._opened_by = self._written_by = os.getpid()
        self._is_view_foreign = False
        if catch_up:
            self.catch_up()

    @property
    def has_view(self) -> bool:
        """Whether this process may use the view: a forked child may not, nor one to which it is of another version.

        SQLite's locks do not survive a fork, not even for a connection that the child opens itself. What a child
        records is shown by the next process that opens the clone.
        """
        return self._opened_by == os.getpid() and not self._is_view_foreign

    @cached_property
    def view(self) -> SqliteStore:
        """The journal as a graph."""
        return SqliteStore(self.folder / "view.db", durable=False)

    @cached_property
    def clock(self) -> HybridClock:
        """What stamps this process's records: later than everything that the view knows."""
        try:
            return HybridClock(self.view.greatest_time() if self.has_view else None)
        except (StoreUnavailable, StoreIncompatible):  # recording does not depend on the view
            return HybridClock()

    @cached_property
    def scratch(self) -> Scratch:
        """Where files are prepared."""
        return Scratch(self.folder / "scratch")

    @cached_property
    def code(self) -> CodeVersioning:
        """The versions of the code."""
        return git_versioning(self.root) if self.settings.versioning == "git" else NoCodeVersioning()

    @cached_property
    def dvc_root(self) -> Path | None:
        """The folder from which DVC looks after the data; None where it was not set up, or is not to be used."""
        return dvc_root(self.root) if self.settings.data == "dvc" else None

    @cached_property
    def cache(self) -> Cache:
        """Where content is kept: DVC's cache, or, where DVC was not set up, one for what cmf itself makes."""
        return Cache(cache_settings(self.dvc_root) if self.dvc_root else CacheSettings(self.folder / "cache"))

    @cached_property
    def contents(self) -> Contents:
        """What is at paths, without keeping it."""
        return Contents(self.states, root=self.dvc_root or self.root, sha256=self.settings.sha256 == "on")

    @cached_property
    def data(self) -> DataVersioning:
        """The versions of the data."""
        keeping = Contents(self.states, self.cache, root=self.dvc_root, sha256=self.settings.sha256 == "on")
        if self.dvc_root is None:
            return NoDataVersioning(self.contents, keeping)
        return DvcDataVersioning(self.dvc_root, keeping, self.code, self.scratch, self.folder / "tree.lock")

    @property
    def environment(self) -> KeptEnvironment | None:
        """The environment of this process, kept; None where it is not to be recorded, or cannot be kept."""
        return self._environments.now() if self.settings.environment == "on" else None

    @cached_property
    def _environments(self) -> Environments:
        return Environments(self.data, self.scratch, self.root / KEPT)

    @property
    def caches(self) -> list[Cache]:
        """Where content may be kept: DVC's cache, and the clone's own, from before DVC was set up."""
        own = Cache(CacheSettings(self.folder / "cache"))
        return [self.cache, own] if self.dvc_root else [own]

    @cached_property
    def states(self) -> States:
        """What is known of files that were read before."""
        return States(self.folder / "states.db")

    @cached_property
    def _writer(self) -> SegmentWriter:
        return SegmentWriter(self.folder / "journal", self.site, f"cmf {__version__}", self.clock)

    @classmethod
    def find(cls, start: Path, *, catch_up: bool = True) -> Repository:
        """The clone that a folder lies in.

        Raises:
            NotARepository: it lies in none.
        """
        root = clone_of(start)
        if root is None:
            raise NotARepository(start)
        return cls(root, catch_up=catch_up)

    @classmethod
    def create(cls, root: Path, *, catch_up: bool = True) -> Repository:
        """The clone with this root, made if it is not one yet."""
        folder = root / FOLDER
        try:
            (folder / "journal" / PULLED).mkdir(parents=True, exist_ok=True)
            # The folder is each clone's own: git does not see it, and no ignore file of the user's is touched.
            (folder / ".gitignore").write_text("*\n", encoding="utf-8")
        except OSError as exc:
            raise JournalUnwritable(folder, exc.strerror or str(exc)) from exc
        return cls(root, catch_up=catch_up)

    @property
    def segments(self) -> list[Segment]:
        """What was recorded here."""
        return [Segment(self.site, path) for path in journal.segments(self.folder / "journal")]

    @property
    def pulled_segments(self) -> list[Segment]:
        """What was pulled."""
        return [Segment(PULLED, path) for path in journal.segments(self.folder / "journal" / PULLED)]

    def record(self, operations: Sequence[Operation]) -> None:
        """Append operations to the journal, wait for the disk, then show them in the view.

        Raises:
            JournalUnwritable: nothing was recorded.
        """
        self._append(operations, None)

    def take(self, statements: Sequence[Stated]) -> int:
        """Record what other tools recorded, statements with stamps of their own; → how many told anything new.

        What the view knows already is not recorded again.

        Raises:
            JournalUnwritable: nothing was recorded.
            InvalidValue: a statement says nothing valid; nothing was recorded.
        """
        told = fold(statements)
        held = self.view.state([key for key in sorted(told.keys()) if kind_of(key) != "use"])
        new = list(news(operations_of(told), held))
        if new:
            self._append([operation for _, operation in new], [stamp for stamp, _ in new])
        return len(new)

    def _append(self, operations: Sequence[Operation], stamps: Sequence[Stamp] | None) -> None:
        self._leave_parent()
        appended = self._writer.append(operations, stamps)
        if self.has_view:
            self._show(appended)

    def mark(self) -> Mark:
        """Where the journal stands now; of use to this process alone."""
        self._leave_parent()
        return Mark(*self._writer.position, born=journal.ulid())

    def catch_up(self, progress: Progress | None = None) -> None:
        """Bring the view up to date with the journal.

        Raises:
            CorruptRecord: a line is damaged; all but the rest of its segment is in the view.
        """
        self.show_in(self.view, progress)

    def rebuild(self, progress: Progress | None = None) -> None:
        """Make the view anew from the journal, whatever state it was in; until it is made, the old one stays.

        Raises:
            CorruptRecord: a line is damaged; all but the rest of its segment is in the new view.
        """
        draft = self.folder / "view.new.db"
        _remove_database(draft)
        store = SqliteStore(draft, durable=False)
        try:
            self.show_in(store, progress)
        finally:
            store.close()
            self._close_view()
            _remove_database(self.folder / "view.db")
            draft.replace(self.folder / "view.db")

    def show_in(self, store: Store, progress: Progress | None = None) -> None:
        """Bring any store up to date with the journal, as `catch_up` does the view.

        Raises:
            CorruptRecord: a line is damaged; all but the rest of its segment is in the store.
        """
        heads = {site: store.heads(site) for site in (self.site, PULLED)}
        damage: CorruptRecord | None = None
        for segment in (*self.segments, *self.pulled_segments):
            head = heads[segment.site].get(segment.name, journal.START)
            try:
                if _has_more(segment, head):
                    _take(store, segment, head, progress)
            except CorruptRecord as exc:
                damage = damage or exc
        if damage:
            raise damage

    def check(self, progress: Progress | None = None) -> Iterator[CorruptRecord]:
        """Read every line of the journal; → the damage that was found, a segment at a time."""
        for segment in (*self.segments, *self.pulled_segments):
            try:
                for lines, head in _batches(segment.path, journal.START):
                    _parse(segment, lines, head)
                    if progress:
                        progress(sum(len(line) + 1 for line in lines))
            except CorruptRecord as exc:
                yield exc

    def close(self) -> None:
        """Finish the segment and let go of the view."""
        self._leave_parent()
        if "_writer" in vars(self):
            self._writer.close()
        if self.has_view:
            self._close_view()
        for part in ("code", "cache", "states", "scratch"):
            if part in vars(self):
                vars(self).pop(part).close()
        for part in ("data", "contents", "_environments"):
            vars(self).pop(part, None)

    def _leave_parent(self) -> None:
        """In a forked child: a segment of its own."""
        if self._written_by != os.getpid():
            self._written_by = os.getpid()
            vars(self).pop("_writer", None)

    def _close_view(self) -> None:
        if "view" in vars(self):
            self.view.close()
            del self.view

    def _show(self, appended: Appended) -> None:
        segment = Segment(self.site, appended.path)
        delta = fold(appended.stamped)

        def work(transaction: Transaction) -> Head | None:
            known = transaction.head(self.site, segment.name)
            if (known.sequence if known else 0) == max(0, appended.before.sequence):
                transaction.merge(delta)
                transaction.advance(self.site, segment.name, appended.after)
                return None
            return known or journal.START

        try:
            behind = self.view.write(work)
            if behind is not None and behind.sequence < appended.after.sequence:
                # An earlier call was not shown, or another process has shown some of them in between.
                _take(self.view, segment, behind, None)
        except (StoreUnavailable, StoreIncompatible) as exc:
            # The journal has it, which is what counts; the next call or the next open catches up.
            self._is_view_foreign = isinstance(exc, StoreIncompatible)
            warnings.warn(f"recorded, but not yet shown in the view: {exc}", JournalWarning, stacklevel=4)


def _remove_database(file: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)


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
            stacklevel=5,
        )
    return segment.path.exists() and segment.path.stat().st_size != head.offset


def _take(store: Store, segment: Segment, head: Head, progress: Progress | None) -> None:
    for lines, first in _batches(segment.path, head):
        chunk = _parse(segment, lines, first)
        store.write(lambda transaction, chunk=chunk: chunks.merge(transaction, chunk))  # type: ignore[misc]
        if progress:
            progress(sum(len(line) + 1 for line in lines))


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


def _parse(segment: Segment, lines: list[bytes], head: Head) -> chunks.Chunk:
    try:
        return chunks.parse(segment.site, segment.name, lines)
    except BadRecord as exc:
        raise CorruptRecord(segment.path, head.sequence + 1 + exc.line, exc.problem) from exc
    except ChainBroken as exc:
        raise CorruptRecord(segment.path, exc.sequence + 1, exc.problem) from exc


def _site(folder: Path) -> str:
    """The clone's id, made at the first use; two processes that make it at once agree.

    If the file is lost, the id is taken from what was recorded under it.
    """
    file = folder / "site"
    try:
        known = file.read_text(encoding="utf-8").strip() if file.exists() else ""
        if not known:
            draft = folder / f"site.{journal.ulid()}"
            draft.write_text((_recorded_site(folder) or journal.ulid()) + "\n", encoding="utf-8")
            _put_in_place(draft, file)
            known = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise JournalUnwritable(file, getattr(exc, "strerror", None) or str(exc)) from exc
    if not re.fullmatch(ORIGIN_PATTERN, known):
        raise JournalUnwritable(file, f"{known[:60]!r} is no id of a clone; delete the file, and the id is found again")
    return known


def _put_in_place(draft: Path, file: Path) -> None:
    """Give a file its name, unless another process was first; an empty one counts as none."""
    try:
        if file.exists() and file.stat().st_size == 0:
            draft.replace(file)
        else:
            file.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)


def _recorded_site(folder: Path) -> str | None:
    for path in journal.segments(folder / "journal"):
        with suppress(InvalidValue), path.open("rb") as lines:
            return parse_header(lines.readline(MAX_LINE_BYTES).rstrip(b"\n")).site
    return None
