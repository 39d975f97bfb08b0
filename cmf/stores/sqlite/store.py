"""The store on SQLite: the view of a clone, and the server's embedded default.

One writer at a time (`BEGIN IMMEDIATE` under a lock), readers beside it (WAL, a connection a thread).
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from cmf.clock import now
from cmf.core.delta import Delta
from cmf.core.errors import StoreIncompatible, StoreUnavailable
from cmf.core.model import Edge, Node, NodeDetail, Page, Point, Relation, Stats
from cmf.core.pruning import Taken, Tombstone
from cmf.core.series import POINTS
from cmf.core.store import Filters, Head, ListKind, SiteHeads, Step, Transaction, Version
from cmf.core.values import encode
from cmf.stores.sqlite import lists, merge, prune, read
from cmf.stores.sqlite.changes import Moment, begin
from cmf.stores.sqlite.statements import script, statements

T = TypeVar("T")

SCHEMA_VERSION = 3
ROWS_PAGE = 10_000
"""Rows of a list without end that are read at once."""
LOOK_EVERY = 100_000
"""After so many of SQLite's steps, some milliseconds, it is asked whether a read has taken too long."""

POINTS_PAGE = 16
"""Chunks of points that are read at once: up to 160,000 points, most often far fewer."""

_READ = statements("read")
_MERGE = statements("merge")
_WALK = statements("walk")


class SqliteStore:
    """A store in one file.

    `durable` waits for the disk at each commit: a server's store is the truth, a clone's is a view of its
    journal. `patience_seconds` is how long a write waits for another process's, `read_seconds` how long a read may
    take (None: as long as it takes).
    """

    def __init__(
        self, path: Path, *, durable: bool, patience_seconds: float = 10.0, read_seconds: float | None = None
    ) -> None:
        self.path = path
        self._read_seconds = read_seconds
        self._durable = durable
        self._patience = patience_seconds
        self._connections: list[sqlite3.Connection] = []
        self._lock = threading.RLock()
        self._own = threading.local()
        with self._translated():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._connect()
            self._create()

    def write(self, work: Callable[[Transaction], T]) -> T:
        """See the port."""
        with self._lock, self._translated():
            try:
                self._writer.execute("BEGIN IMMEDIATE")  # within: an interrupt may come when it has just begun
                result = work(SqliteTransaction(self._writer))
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise
            return result

    def heads(self, site: str) -> Mapping[str, Head]:
        """See the port."""
        with self._reading() as db:
            return {segment: Head(*head) for segment, *head in db.execute(_READ["heads"], {"site": site})}

    def all_heads(self) -> Iterator[tuple[str, str, Head]]:
        """See the port."""
        after = ("", "")
        while page := self._page("every_head", site=after[0], segment=after[1]):
            for site, segment, *head in page:
                yield site, segment, Head(*head)
            after = page[-1][:2]

    def sites(self, after: str, limit: int) -> list[SiteHeads]:
        """See the port."""
        with self._reading() as db:
            return [SiteHeads(*row) for row in db.execute(_READ["sites"], {"after": after, "limit": limit})]

    def uses(self, roots: Collection[str], step: Step, max_edges: int | None, include_retracted: bool) -> list[Edge]:
        """See the port."""
        with self._reading() as db:
            ids = read.ids(db, roots)
            asked = {"ids": _json(ids), "include_retracted": include_retracted}
            visible = [row[0] for row in db.execute(_WALK["visible"], asked)]
            if max_edges is None:
                rows: Iterable[tuple[str, ...]] = db.execute(_WALK[f"closure_{step}"], asked | {"ids": _json(visible)})
            else:
                rows = _frontiers(db, visible, step, max_edges, include_retracted)
            return [
                Edge(key=key, kind=kind, source=source, target=target, path=path)  # type: ignore[arg-type]
                for key, kind, source, target, path in rows
            ]

    def nodes(self, keys: Iterable[str]) -> list[Node]:
        """See the port."""
        with self._reading() as db:
            return read.nodes(db, keys)

    def detail(self, key: str, limit: int) -> NodeDetail | None:
        """See the port."""
        with self._reading() as db:
            return read.detail(db, key, limit)

    def keys(self, first: str, last: str, limit: int) -> list[str]:
        """See the port."""
        with self._reading() as db:
            found = db.execute(_READ["keys_between"], {"first": first, "last": last, "limit": limit})
            return [row[0] for row in found]

    def at_path(self, path: str) -> str | None:
        """See the port."""
        with self._reading() as db:
            row = db.execute(_READ["at_path"], {"path": path}).fetchone()
            return row[0] if row else None

    def list_nodes(self, kind: ListKind, filters: Filters, limit: int, cursor: str | None) -> Page:
        """See the port."""
        with self._reading() as db:
            return lists.list_nodes(db, kind, filters, limit, cursor)

    def members(self, projects: Collection[tuple[str, str | None]], pipelines: Collection[str]) -> list[str]:
        """See the port."""
        found: set[str] = set()
        with self._reading() as db:
            for project, branch in projects:
                rows = db.execute(_READ["executions_of_project"], {"project": project, "branch": branch})
                found.update(row[0] for row in rows)
            for pipeline in pipelines:
                rows = db.execute(_READ["executions_of_pipeline"], {"pipeline": pipeline})
                found.update(row[0] for row in rows)
        return sorted(found)

    def version(self) -> Version:
        """See the port."""
        with self._reading() as db:
            return Version(*db.execute(_READ["version"]).fetchone())

    def newer(self, keys: Collection[str], after: int) -> set[str]:
        """See the port."""
        with self._reading() as db:
            return read.newer(db, keys, after)

    def state(self, keys: Collection[str] | None = None, points_after: int = 0) -> Delta:
        """See the port."""
        with self._reading() as db:
            return read.state(db, keys, points_after)

    def all_keys(self) -> Iterator[str]:
        """See the port."""
        after = ""
        while page := self.keys(after, "\x7f", 10_000):
            yield from page
            after = page[-1] + "\0"

    def awaited_uses(self) -> Iterator[str]:
        """See the port."""
        after = ""
        while page := self._page("awaited_uses", after=after):
            yield from (row[0] for row in page)
            after = page[-1][0]

    def points(self, execution: str, series: str) -> Iterator[Sequence[Point]]:
        """See the port."""
        asked = {"execution": execution, "series": series, "after": -1, "limit": POINTS_PAGE}
        while True:
            with self._reading() as db:
                page = db.execute(_READ["points_of_series"], asked).fetchall()
            for _, rows in page:
                yield POINTS.decode(rows)
            if len(page) < POINTS_PAGE:
                return
            asked["after"] = page[-1][0]

    def relations(self, keys: Collection[str]) -> list[Relation]:
        """See the port."""
        with self._reading() as db:
            return read.relations(db, keys)

    def pruned(self, first: str, last: str, limit: int) -> list[Tombstone]:
        """See the port."""
        with self._reading() as db:
            return prune.between(db, first, last, limit)

    def stats(self) -> Stats:
        """See the port."""
        with self._reading() as db:
            return Stats(
                kinds=dict(db.execute(_READ["count_kinds"]).fetchall()),
                types=dict(db.execute(_READ["count_types"]).fetchall()),
                sites=db.execute(_READ["count_sites"]).fetchone()[0],
                last_merge=db.execute(_READ["progress"]).fetchone()[0],
                version=str(self.version()),
                pruned=prune.count(db),
            )

    def greatest_time(self) -> str | None:
        """The greatest time that any statement in the store bears."""
        with self._reading() as db:
            return db.execute(_READ["progress"]).fetchone()[1] or None

    def check(self) -> None:
        """See the port."""
        with self._reading() as db:
            self._check_version(db)

    def close(self) -> None:
        """See the port."""
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
            self._own = threading.local()

    def _create(self) -> None:
        self._writer.execute("BEGIN IMMEDIATE")
        if self._writer.execute("PRAGMA user_version").fetchone()[0] == 0:
            for statement in script("schema").split(";\n"):
                self._writer.execute(statement)
            self._writer.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        for statement in script("notes").split(";\n"):  # a file that is older may have none
            self._writer.execute(statement)
        prune.create(self._writer)
        self._writer.execute("COMMIT")
        self._check_version(self._writer)

    def _check_version(self, db: sqlite3.Connection) -> None:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version != SCHEMA_VERSION:
            raise StoreIncompatible(
                f"{self.path} has schema {version}, this version of cmf has {SCHEMA_VERSION}; "
                f"in a clone 'cmf rebuild' makes it anew, on a server use the version that wrote it"
            )

    def _write_ahead(self, db: sqlite3.Connection) -> None:
        """Set the mode of the file; that another process does so at this moment SQLite does not wait for itself."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                db.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as exc:
                if exc.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return

    def _connect(self) -> sqlite3.Connection:
        # The thread that closes the store is not always the one that opened the connection.
        db = sqlite3.connect(self.path, timeout=self._patience, isolation_level=None, check_same_thread=False)
        self._connections.append(db)
        self._write_ahead(db)
        db.execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'NORMAL'}")
        db.execute("PRAGMA cache_size = -65536")  # KiB
        # Keys are random, so merges touch the same pages over and over: let them gather (pages of 4 KiB).
        db.execute("PRAGMA wal_autocheckpoint = 16000")
        db.execute("PRAGMA temp_store = MEMORY")
        db.create_function("fold", 1, str.lower, deterministic=True)  # SQLite's own lower() knows ASCII only
        return db

    def _page(self, statement: str, **after: str) -> list[Any]:
        with self._reading() as db:
            return db.execute(_READ[statement], after | {"limit": ROWS_PAGE}).fetchall()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection, in one read transaction: every answer is of one moment."""
        with self._translated():
            db: sqlite3.Connection | None = getattr(self._own, "reader", None)
            if db is None:
                with self._lock:
                    db = self._own.reader = self._connect()
                db.set_progress_handler(self._is_late, LOOK_EVERY)
            if db.in_transaction:
                yield db
                return
            self._own.end = None if self._read_seconds is None else time.monotonic() + self._read_seconds
            db.execute("BEGIN")
            try:
                yield db
            finally:
                self._own.end = None
                db.execute("COMMIT")

    def _is_late(self) -> bool:
        """Whether what this thread reads has taken too long; SQLite asks, and breaks off."""
        end: float | None = getattr(self._own, "end", None)
        return end is not None and time.monotonic() > end

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as exc:
            if getattr(exc, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
                raise StoreUnavailable(
                    f"the answer took longer than {self._read_seconds:g} seconds; ask for less: a limit or depth"
                ) from exc
            raise StoreUnavailable(f"{self.path}: {exc}; nothing was changed, try again") from exc
        except (sqlite3.ProgrammingError, OSError) as exc:
            raise StoreUnavailable(f"{self.path}: {exc}; nothing was changed, try again") from exc
        except sqlite3.DatabaseError as exc:
            raise StoreIncompatible(
                f"{self.path}: {exc}; in a clone 'cmf rebuild' makes it anew, on a server restore a backup"
            ) from exc


class SqliteTransaction:
    """The writing side; see the port."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._moment: Moment | None = None

    def head(self, site: str, segment: str) -> Head | None:
        """See the port."""
        row = self._db.execute(_MERGE["head"], (site, segment)).fetchone()
        return Head(*row) if row else None

    def advance(self, site: str, segment: str, head: Head) -> None:
        """See the port."""
        self._db.execute(_MERGE["advance"], (site, segment, *head))

    def merge(self, delta: Delta) -> None:
        """See the port."""
        self._moment = self._moment or begin(self._db)
        at = now()
        merge.merge(self._db, prune.sift(self._db, delta, at), at, self._moment)

    def prune(self, keys: Collection[str], at: str) -> Taken:
        """See the port."""
        self._moment = self._moment or begin(self._db)
        return prune.prune(self._db, keys, at)

    def kept(self, name: str) -> str | None:
        """See the port."""
        row = self._db.execute(_MERGE["kept"], (name, now())).fetchone()
        return row[0] if row else None

    def keep(self, name: str, content: str, until: str) -> None:
        """See the port."""
        self._db.execute(_MERGE["forget_kept"], (now(),))
        self._db.execute(_MERGE["keep"], (name, content, until))


def _frontiers(
    db: sqlite3.Connection, roots: list[int], step: Step, max_edges: int, include_retracted: bool
) -> Iterator[tuple[str, ...]]:
    reached, frontier = set(roots), roots
    for _ in range(max_edges + 1):
        if not frontier:
            return
        rows = db.execute(_WALK[f"step_{step}"], {"ids": _json(frontier), "include_retracted": include_retracted})
        frontier = []
        for far, *use in rows:
            if far not in reached:
                reached.add(far)
                frontier.append(far)
            yield tuple(use)


def _json(value: Any) -> str:
    return encode(value).decode()
