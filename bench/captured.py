"""The limit of a store: the very statements that it was given, rows ready, given to the database again and bare."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cmf import sync
from cmf.core import chunks
from cmf.stores.sqlite import SqliteStore

Statement = tuple[str, str, Any]
"""`execute` or `executemany`, the SQL, and its parameters."""


class Capturing:
    """A SQLite connection that remembers what it is told to do."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.told: list[Statement] = []

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        """As the connection's."""
        self.told.append(("execute", sql, parameters))
        return self._db.execute(sql, parameters)

    def executemany(self, sql: str, rows: Iterable[Any]) -> sqlite3.Cursor:
        """As the connection's."""
        ready = list(rows)
        self.told.append(("executemany", sql, ready))
        return self._db.executemany(sql, ready)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def taken(self) -> list[Statement]:
        """What it was told since the last time."""
        told, self.told = self.told, []
        return told


@contextmanager
def capturing_reads(store: SqliteStore) -> Iterator[Capturing]:
    """What this thread reads of a store."""
    store.check()  # makes this thread's connection
    plain = store._own.reader
    store._own.reader = capturing = Capturing(plain)
    try:
        yield capturing
    finally:
        store._own.reader = plain


@contextmanager
def capturing_writes(store: SqliteStore) -> Iterator[Capturing]:
    """What is written into a store."""
    plain = store._writer
    capturing = Capturing(plain)
    store._writer = capturing  # type: ignore[assignment]
    try:
        yield capturing
    finally:
        store._writer = plain


def merges(journal: Path, site: str, scratch: Path) -> Iterator[list[Statement]]:
    """The statements that merge a journal's segments into an empty store, chunk by chunk as a push sends them."""
    store = SqliteStore(scratch, durable=False)
    with capturing_writes(store) as capturing:
        for segment in sorted(journal.glob("*.jsonl")):
            for lines in sync._chunks(sync.journal.read(segment)):
                chunk = chunks.parse(site, segment.stem, lines)
                store.write(lambda transaction, chunk=chunk: chunks.merge(transaction, chunk))  # type: ignore[misc]
                yield capturing.taken()
    store.close()


def replay(db: sqlite3.Connection, told: Iterable[Statement]) -> float:
    """Tell a database the same, and fetch what it answers; → seconds."""
    began = time.perf_counter()
    for method, sql, parameters in told:
        if method == "executemany":
            db.executemany(sql, parameters)
        else:
            db.execute(sql, parameters).fetchall()
    return time.perf_counter() - began


def replay_merges(told: Iterable[list[Statement]], path: Path, *, durable: bool) -> float:
    """Merge into a new store with the same tables and indexes, a transaction a chunk; → seconds.

    What brings the next statements to hand does not count.
    """
    store = SqliteStore(path, durable=durable)
    seconds = sum(replay(store._writer, chunk) for chunk in told)
    store.close()
    return seconds
