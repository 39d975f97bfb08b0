"""A server's store made anew from its archive, and put in the old one's place when it is whole."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from cmf import journal
from cmf.clock import now
from cmf.core.digests import Digest, digest, lacking
from cmf.core.errors import CmfError, SettingsProblem, StoreIncompatible, StoreUnavailable
from cmf.core.identity import kind_of
from cmf.core.model import Stats
from cmf.core.store import Store
from cmf.stores.sqlite import SqliteStore
from cmf_api.archive.reading import files
from cmf_api.archive.replaying import Progress, Replayed, replay
from cmf_api.archive.writing import folder_of
from cmf_api.settings import ServerSettings
from cmf_api.stores import is_embedded, open_store, path_of

MAX_TOLD: Final = 10
PRUNED_AT_ONCE: Final = 5_000


class Rebuilt(NamedTuple):
    """A store that was made anew: what was replayed, what it holds now, and where the one before it is kept."""

    replayed: Replayed
    stats: Stats
    digest: Digest
    kept: Path | None
    lacks: list[str]
    """What the store before held and the archive lacks, in words; only where that was accepted."""


class ArchiveLacks(CmfError):
    """The archive lacks something that the store holds, so that making it anew would lose it; nothing was changed."""


def rebuild(
    settings: ServerSettings,
    store: str,
    to: str | None = None,
    secret: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Rebuilt:
    """Make the store `store` anew, or make what it should be at `to`, which must be empty.

    An embedded store is made beside its file, and put in its place when it is whole; the one before is kept under
    another name. With `force` also where the store before holds what the archive lacks, and into a Neo4j that is not
    empty, which keeps what it has.

    Raises:
        ArchiveLacks: and `force` was not given.
        SettingsProblem: the store is in use, is not empty, or there is no archive.
    """
    folder = folder_of(settings.home)
    if not files(folder):
        raise SettingsProblem(f"{folder}: there is no archive; name the server's --home")
    if to is None and is_embedded(store):
        return _in_place(folder, path_of(store), settings, force, progress)
    return _elsewhere(folder, store, to or store, secret, settings, force, progress)


def _in_place(folder: Path, file: Path, settings: ServerSettings, force: bool, progress: Progress | None) -> Rebuilt:
    draft = file.with_name(f"{file.name}.rebuilding-{journal.ulid()}")
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _at_rest(file):
            made = SqliteStore(draft, durable=False)
            try:
                replayed = replay(folder, made, settings, progress)
                lacks = _lacks_file(file, made, force) if file.exists() else []
                told = (made.stats(), digest(made))
            finally:
                made.close()
            kept = _put_in_place(draft, file)
    finally:
        for left in (draft, *(Path(f"{draft}{suffix}") for suffix in ("-wal", "-shm", "-journal"))):
            left.unlink(missing_ok=True)
    return Rebuilt(replayed, *told, kept, lacks)


def _elsewhere(
    folder: Path,
    store: str,
    to: str,
    secret: str | None,
    settings: ServerSettings,
    force: bool,
    progress: Progress | None,
) -> Rebuilt:
    made = open_store(to, secret)
    try:
        if not force and next(iter(made.all_keys()), None) is not None:
            raise SettingsProblem(
                "the store to make is not empty; empty it, name another with --to, or give --force to add to it"
            )
        replayed = replay(folder, made, settings, progress)
        lacks = _lacks_store(store, secret, made, force) if to != store else []
        return Rebuilt(replayed, made.stats(), digest(made), None, lacks)
    finally:
        made.close()


def _lacks_file(file: Path, made: Store, force: bool) -> list[str]:
    try:
        old = SqliteStore(file, durable=False)
    except (StoreIncompatible, StoreUnavailable) as exc:
        return _accept([f"the store cannot be read: {exc}"], force)
    return _compare(old, made, force)


def _lacks_store(store: str, secret: str | None, made: Store, force: bool) -> list[str]:
    try:
        old = open_store(store, secret)
        old.check()
    except (StoreIncompatible, StoreUnavailable) as exc:
        return _accept([f"the store {store.rpartition('@')[2]} cannot be read: {exc}"], force)
    return _compare(old, made, force)


def _compare(old: Store, made: Store, force: bool) -> list[str]:
    try:
        return _accept(list(islice(_lacking(old, made), MAX_TOLD)), force)
    except (StoreIncompatible, StoreUnavailable) as exc:
        return _accept([f"the store cannot be read: {exc}"], force)
    finally:
        old.close()


def _lacking(old: Store, made: Store) -> Iterator[str]:
    """In words, what a store holds that another does not."""
    for site, segment, head in old.all_heads():
        there = made.write(lambda transaction, at=(site, segment): transaction.head(*at))  # type: ignore[misc]
        if there is None or there.sequence < head.sequence:
            yield (
                f"site {site}, segment {segment}: the store has records up to {head.sequence}, the archive "
                f"{'none' if there is None else f'up to {there.sequence}'}"
            )
    first = ""
    while tombs := old.pruned(first, "\x7f", PRUNED_AT_ONCE):
        for node in made.nodes([tomb.key for tomb in tombs if kind_of(tomb.key) != "use"]):
            yield f"{node.key} was pruned from the store, and the archive does not say so"
        first = tombs[-1].key + " "
    for keys in lacking(old, made):
        yield from (f"the store holds something of {key} that the archive does not" for key in keys)


def _accept(lacks: list[str], force: bool) -> list[str]:
    if lacks and not force:
        told = "; ".join(lacks)
        more = "; and more" if len(lacks) == MAX_TOLD else ""
        raise ArchiveLacks(
            f"{told}{more}. Nothing was changed. With --force the store is made without that; those sites can push "
            f"it again, or 'cmf server migrate' moves the store as it is"
        )
    return lacks


@contextmanager
def _at_rest(file: Path) -> Iterator[None]:
    """That nobody has an embedded store open.

    Raises:
        SettingsProblem: somebody has.
    """
    if not file.exists():
        yield
        return
    db = sqlite3.connect(file, timeout=0.5, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode = DELETE")  # refused while another connection is open
    except sqlite3.OperationalError as exc:
        raise SettingsProblem(
            f"{file} is in use ({exc}); stop the server first, or make another store with --to"
        ) from exc
    except sqlite3.DatabaseError:
        pass  # no database any more: nothing to wait for
    finally:
        db.close()
    yield


def _put_in_place(draft: Path, file: Path) -> Path | None:
    """Give a whole store the name of the one before it, which keeps its own under another."""
    with draft.open("rb") as made:
        os.fsync(made.fileno())
    kept = None
    if file.exists():
        kept = file.with_name(f"{file.name}.before-{now().replace(':', '')}")
        os.link(file, kept)
    for left in ("-wal", "-shm"):
        Path(f"{file}{left}").unlink(missing_ok=True)
    draft.replace(file)
    journal.sync_folder(file.parent)
    return kept
