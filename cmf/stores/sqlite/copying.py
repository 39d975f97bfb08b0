"""Backups of an embedded store: a copy of one moment, made while a server uses it, checked before it is named."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from cmf.core.errors import StoreIncompatible, StoreUnavailable
from cmf.stores.sqlite.store import SCHEMA_VERSION

_PATIENCE_SECONDS: Final = 10.0


def backup(store: Path, to: Path) -> Mapping[str, int]:
    """Write what the store holds at this moment to a file; → the rows of each table, which the copy was checked for.

    Others may read and write the store meanwhile. The file is there whole, or not at all.

    Raises:
        StoreUnavailable: the store is not there or cannot be read, or the file cannot be written, or is there.
        StoreIncompatible: the store is of another version, or damaged.
    """
    if not store.is_file():
        raise StoreUnavailable(f"{store}: there is no such store")
    if to.exists():
        raise StoreUnavailable(f"{to} is there already; name another file, or move it away")
    with _partial(to) as partial:
        with _translated(store), closing(_reading(store)) as source:
            # A transaction of its own: the copy and the counts are of one moment.
            source.execute("BEGIN")
            counts = _counts(source)
            with closing(sqlite3.connect(partial)) as copy:
                # In one step: in several, each write of the server's in between would begin it anew.
                source.backup(copy, pages=-1)
        found = check(partial)
        if found != counts:
            raise StoreUnavailable(f"{to}: the copy holds {found}, the store {counts}; try again")
        _sync(partial)
    return counts


def restore(file: Path, store: Path, replace: bool) -> tuple[Mapping[str, int], Path | None]:
    """Make a store from a backup; → the rows of each table, and where the store that was there before is now.

    Raises:
        StoreUnavailable: the backup cannot be read, the store's folder cannot be written, a store is there and is not
            to be replaced, or some process uses it.
        StoreIncompatible: the backup is of another version, damaged, or none.
    """
    if not file.is_file():
        raise StoreUnavailable(f"{file}: there is no such file")
    if store.exists() and not replace:
        raise StoreUnavailable(f"{store} is there already; say --force to replace it (it is kept beside)")
    store.parent.mkdir(parents=True, exist_ok=True)
    before = _free_name(store) if store.exists() else None
    with _partial(store, replace=before is not None) as partial:
        with _translated(file):
            shutil.copyfile(file, partial)
        counts = check(partial)
        if before is not None:
            _as_before(store, partial)
        _sync(partial)
        if before is not None:
            _at_rest(store)
            _also_named(store, before)
        elif any(_beside(store)):
            raise StoreUnavailable(
                f"{next(_beside(store))} belongs to a store that is gone, and would damage this one; move it away"
            )
    return counts, before


def check(file: Path) -> Mapping[str, int]:
    """That a file that nobody writes is a whole store of this version; → the rows of each table.

    Raises:
        StoreUnavailable, StoreIncompatible
    """
    with _translated(file), closing(_reading(file)) as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version != SCHEMA_VERSION:
            raise StoreIncompatible(
                f"{file} is no store of this version of cmf: it has schema {version}, which should be {SCHEMA_VERSION}"
            )
        said = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if said != "ok":
            raise StoreIncompatible(f"{file} is damaged: {said}")
        return _counts(db)


def _counts(db: sqlite3.Connection) -> dict[str, int]:
    tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name")
    return {
        name: db.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608 (names of its own schema)
        for (name,) in tables.fetchall()
    }


def _reading(file: Path) -> sqlite3.Connection:
    # Not `mode=ro`: where the server was killed, what it left in the -wal file is read by who may write.
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, timeout=_PATIENCE_SECONDS)


def _at_rest(store: Path) -> None:
    """That no process has the store open, and all of it is in its one file."""
    with _translated(store), closing(sqlite3.connect(store, timeout=0.5)) as db:
        try:
            # SQLite leaves this mode only for one who is alone.
            db.execute("PRAGMA journal_mode = DELETE").fetchone()
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise StoreUnavailable(f"{store} is in use; stop the server, then restore") from exc
            raise
        except sqlite3.DatabaseError:
            return  # damaged: a reason to restore
    for file in _beside(store):
        file.unlink()


def _beside(store: Path) -> Iterator[Path]:
    """The files that SQLite keeps beside a store and would take for the new one's."""
    for suffix in ("-wal", "-shm", "-journal"):
        file = store.with_name(store.name + suffix)
        if file.exists():
            yield file


def _as_before(store: Path, partial: Path) -> None:
    """Give the new file the mode and, where we may, the owner of the old one: the server's user has to open it."""
    was = store.stat()
    partial.chmod(was.st_mode & 0o777)
    if os.geteuid() == 0:
        os.chown(partial, was.st_uid, was.st_gid)


def _also_named(file: Path, name: Path) -> None:
    """Give a file a second name that nothing else has; where there are no links, it loses the first."""
    try:
        name.hardlink_to(file)
    except FileExistsError:
        raise
    except OSError:
        if name.exists():
            raise FileExistsError(errno.EEXIST, "it is there already", str(name)) from None
        file.rename(name)


def _free_name(store: Path) -> Path:
    number = 1
    while (named := store.with_name(f"{store.name}.before-{number}")).exists():
        number += 1
    return named


@contextmanager
def _partial(to: Path, replace: bool = False) -> Iterator[Path]:
    """A file beside the one to be, which gets its name at the end, or is gone. Unless `replace`, the name is free."""
    partial = to.with_name(f"{to.name}.{os.getpid()}.partial")
    try:
        try:
            os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            yield partial
            if replace:
                partial.replace(to)
            else:
                _also_named(partial, to)
            _sync(to.parent)
        except OSError as exc:
            raise StoreUnavailable(f"{to}: {exc.strerror or exc}") from exc
    finally:
        for file in (partial, *_beside(partial)):
            file.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated(file: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.OperationalError, OSError) as exc:
        raise StoreUnavailable(f"{file}: {exc}") from exc
    except sqlite3.DatabaseError as exc:
        raise StoreIncompatible(f"{file} is damaged, or no store of cmf: {exc}") from exc
