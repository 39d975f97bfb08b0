"""What is known of files that were read before, so that an unchanged one is not read again.

A file of SQLite beside the journal, shared by all processes of the clone. It can be deleted at any time, and a
damaged one is: then files are read again.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from cmf.versioning.content import Version

T = TypeVar("T")

MAX_ENTRIES = 100_000
_FORM = 1

TICK_NS = 20_000_000
"""More than the time between two ticks of a file system's clock, where that counts in less than seconds."""
_COARSE_TICK_NS = 2_000_000_000


class FileState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A version of a file, and the digests of its bytes."""

    version: Version
    md5: str
    sha256: str | None


class FolderState(msgspec.Struct, frozen=True, array_like=True):
    """The files of a folder by their path in it, and the digests of it all.

    `cache` is the stamp of the cache in which all their objects were.
    """

    files: dict[str, FileState]
    md5: str
    sha256: str | None
    cache: str | None = None


def settled(version: Version, read_at_ns: int) -> bool:
    """Whether a file that had this version when it was read at a time can only change visibly.

    The clocks of file systems tick: a second change within the tick of the first shows in nothing.
    """
    changed_ns = version[2]
    tick_ns = _COARSE_TICK_NS if changed_ns % 1_000_000_000 == 0 else TICK_NS
    return read_at_ns - changed_ns > tick_ns


class States:
    """The states of files and folders, by their absolute path."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._process = os.getpid()
        self._connection: sqlite3.Connection | None = None
        self._decode_file = msgspec.msgpack.Decoder(FileState).decode
        self._decode_folder = msgspec.msgpack.Decoder(FolderState).decode
        self._encode = msgspec.msgpack.Encoder().encode

    def file(self, path: str) -> FileState | None:
        """What is known of a file."""
        return self._known(path, self._decode_file)

    def folder(self, path: str) -> FolderState | None:
        """What is known of a folder."""
        return self._known(path + os.sep, self._decode_folder)

    def remember(self, path: str, state: FileState | FolderState) -> None:
        """Keep what was found of a file or folder."""
        key = path + os.sep if isinstance(state, FolderState) else path
        row = (os.fsencode(key), time.time_ns(), self._encode(state))
        self._do(lambda to: to.execute("INSERT OR REPLACE INTO state (path, at, body) VALUES (?, ?, ?)", row))

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None and self._process == os.getpid():
            self._connection.close()
            self._connection = None

    def _known(self, key: str, decode: Callable[[bytes], T]) -> T | None:
        row = self._do(lambda of: of.execute("SELECT body FROM state WHERE path = ?", (os.fsencode(key),)).fetchone())
        try:
            return decode(row[0]) if row else None
        except msgspec.DecodeError:  # of another version of cmf
            return None

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Some work on the file; without it, nothing is known."""
        if self._process != os.getpid():  # a connection does not survive a fork
            return None
        try:
            if self._connection is None:
                self._connection = _connect(self._file)
            return work(self._connection)
        except sqlite3.OperationalError:  # locked, read-only, a full disk
            return None
        except sqlite3.DatabaseError:
            self.close()
            for suffix in ("", "-wal", "-shm"):
                with suppress(OSError):
                    Path(f"{self._file}{suffix}").unlink(missing_ok=True)
            return None


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=5, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = OFF")  # what is lost is found again
    if connection.execute("PRAGMA user_version").fetchone()[0] != _FORM:
        connection.execute("DROP TABLE IF EXISTS state")
        connection.execute("CREATE TABLE state (path BLOB PRIMARY KEY, at INTEGER, body BLOB) STRICT, WITHOUT ROWID")
        connection.execute(f"PRAGMA user_version = {_FORM}")
    if connection.execute("SELECT count(*) FROM state").fetchone()[0] > MAX_ENTRIES:
        connection.execute(
            "DELETE FROM state WHERE at < (SELECT at FROM state ORDER BY at LIMIT 1 OFFSET ?)", (MAX_ENTRIES // 2,)
        )
    return connection
