"""A clone: the folder `.cmf` with its journal (the truth) and its view (a SQLite store made from it).

.cmf/config.toml           settings
.cmf/site                  the clone's id
.cmf/journal/*.jsonl       what was recorded here; never changed, only appended to
.cmf/journal/pulled/       what was pulled; never pushed back
.cmf/journal/carried/      journals of other clones that bundles brought; pushed as theirs
.cmf/view.db               everything above as a graph; `rebuild` makes it anew
.cmf/states.db             what is known of files that were read before, so that they need not be read again
.cmf/cache/                content that cmf itself makes, where DVC was not set up and has no cache for it
.cmf/scratch/              files on their way to their place
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cmf import __version__, journal, settings
from cmf.clock import HybridClock
from cmf.core.delta import fold
from cmf.core.delta import operations as operations_of
from cmf.core.errors import (
    JournalUnwritable,
    NotARepository,
    StoreIncompatible,
    StoreUnavailable,
)
from cmf.core.identity import kind_of
from cmf.core.news import Stated, news
from cmf.core.operations import Operation
from cmf.core.records import Stamp
from cmf.core.store import Head, Store, Transaction
from cmf.journal import Appended, SegmentWriter
from cmf.places import FOLDER, KEPT, clone_of
from cmf.scratch import Scratch
from cmf.segments import (
    CARRIED,
    PULLED,
    JournalWarning,
    Progress,
    Segment,
    carried_segments_of,
    segments_of,
    show,
    take,
)
from cmf.site import site_of
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

if TYPE_CHECKING:
    from cmf.continuous import ContinuousPush


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
        self.site = site_of(self.folder)
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

    @cached_property
    def _pushing(self) -> ContinuousPush | None:
        """What sends this process's records at once; None where they wait for a push."""
        if self.settings.push != "continuous":
            return None
        from cmf.continuous import ContinuousPush, tell_no_server

        if self.settings.server is None:
            tell_no_server()
            return None
        # Children that come and go leave it to the first process to look for what others left.
        looks = self._opened_by == os.getpid()
        return ContinuousPush(
            self.folder / "journal", self.site, self.settings.server, self.settings.token, looks=looks
        )

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
        return segments_of(self.folder / "journal", self.site)

    @property
    def pulled_segments(self) -> list[Segment]:
        """What was pulled."""
        return segments_of(self.folder / "journal" / PULLED, PULLED)

    @property
    def carried_segments(self) -> list[Segment]:
        """What other clones recorded and a bundle brought here, to be pushed for them."""
        return carried_segments_of(self.folder / "journal" / CARRIED)

    @property
    def all_segments(self) -> list[Segment]:
        """All that the view shows."""
        return [*self.segments, *self.carried_segments, *self.pulled_segments]

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
        if self._pushing is not None:
            self._pushing.wake(appended.path, appended.after)
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
        show(store, self.all_segments, progress)

    def close(self) -> None:
        """Finish the segment and let go of the view."""
        self._leave_parent()
        if "_writer" in vars(self):
            self._writer.close()
        if (pushing := vars(self).pop("_pushing", None)) is not None:
            pushing.close(self.settings.push_seconds)
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
            if (pushing := vars(self).pop("_pushing", None)) is not None:
                pushing.leave()

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
                take(self.view, segment, behind)
        except (StoreUnavailable, StoreIncompatible) as exc:
            # The journal has it, which is what counts; the next call or the next open catches up.
            self._is_view_foreign = isinstance(exc, StoreIncompatible)
            warnings.warn(f"recorded, but not yet shown in the view: {exc}", JournalWarning, stacklevel=4)


def _remove_database(file: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)
