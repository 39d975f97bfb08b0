"""`cmf fsck`: is the journal what was written, and does the view show what the journal says?"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import typer

from cmf.cli.options import JsonOption
from cmf.cli.terminal import one_line, progress, say, say_json
from cmf.core.errors import CmfError

if TYPE_CHECKING:
    from cmf.core.store import Head, Store
    from cmf.repository import Repository
    from cmf.segments import Segment

EXAMPLE = "Example: cmf fsck || cmf rebuild"
BATCH = 500
TRIES = 5
NAMED = 3
_MEND_JOURNAL = "restore the file from a backup, or move it away and run 'cmf rebuild' to go on without it"
_MEND_VIEW = "run 'cmf rebuild'"


class Damage(NamedTuple):
    """What is wrong, where (a line of a segment, or the view's file), and what to do."""

    path: str
    line: int | None
    problem: str
    mend: str


def fsck(as_json: JsonOption = False) -> None:
    """Check the journal, line by line, and the view against it.

    Says where it is damaged and what to do about it; exits with 1 if it is.
    """
    from cmf.repository import Repository

    repository = Repository.find(Path.cwd(), catch_up=False)
    segments = repository.all_segments
    size = sum(segment.path.stat().st_size for segment in segments)
    # A view is held against a sound journal only: what a damaged one ought to show, nobody knows.
    damage = _damage_of_journal(segments, size) or _damage_of_view(repository, size)
    if as_json:
        say_json({"segments": len(segments), "bytes": size, "damage": [found._asdict() for found in damage]})
    else:
        _say(damage, segments, size)
    if damage:
        raise typer.Exit(1)


def _say(damage: list[Damage], segments: list[Segment], size_bytes: int) -> None:
    from cmf.pictures.labels import counted, size

    for found in damage:
        line = f", line {found.line}" if found.line else ""
        say(one_line(f"{found.path}{line}: {found.problem}; {found.mend}"))
    if not damage:
        say(f"sound: {counted(len(segments), 'segment')}, {size(size_bytes)}; the view shows what they say")


def _damage_of_journal(segments: list[Segment], size: int) -> list[Damage]:
    from cmf.segments import check

    with progress("journal", size) as advance:
        return [Damage(str(bad.path), bad.line, bad.problem, _MEND_JOURNAL) for bad in check(segments, advance)]


def _damage_of_view(repository: Repository, size: int) -> list[Damage]:
    """What the view gets wrong, by making another beside it, from the journal, that is thrown away."""
    from cmf.stores.sqlite import SqliteStore

    with TemporaryDirectory(prefix="fsck-", dir=repository.folder) as folder:
        fresh = SqliteStore(Path(folder) / "view.db", durable=False)
        with progress("view", size) as advance:
            repository.show_in(fresh, advance)
        try:
            problems = [*_lost(repository, fresh), *_differences(repository, fresh)]
        except CmfError as exc:  # the journal is sound, so it is the view that cannot be read or brought up to date
            problems = [str(exc)]
        finally:
            fresh.close()
    return [Damage(str(repository.folder / "view.db"), None, problem, _MEND_VIEW) for problem in problems]


def _lost(repository: Repository, fresh: Store) -> Iterator[str]:
    """What the view has of the journal that the journal itself has no longer."""
    shown = _heads(repository, repository.view)
    repository.show_in(fresh)
    there = _heads(repository, fresh)
    lost = [name for name, head in shown.items() if name not in there or there[name].sequence < head.sequence]
    if lost:
        yield f"it shows records that the journal has not (segments {_some([name for _, name in lost])})"


def _differences(repository: Repository, fresh: Store) -> Iterator[str]:
    repository.catch_up()
    keys = (key for key, _ in groupby(heapq.merge(repository.view.all_keys(), fresh.all_keys())))
    differing: list[str] = []
    while batch := list(islice(keys, BATCH)):
        if not _alike(repository, fresh, batch):
            differing += [key for key in batch if not _alike(repository, fresh, [key])]
    if differing:
        yield f"it says other than the journal of {len(differing):,} nodes ({_some(differing)})"


def _alike(repository: Repository, fresh: Store, keys: list[str]) -> bool:
    """Whether both stores, at the same moment of a journal that others may be writing, hold the same of these nodes."""
    for _ in range(TRIES):
        before = _heads(repository, repository.view)
        if repository.view.state(keys) == fresh.state(keys):
            return True
        if before == _heads(repository, repository.view) == _heads(repository, fresh):
            return False
        repository.catch_up()
        repository.show_in(fresh)
    return True


def _heads(repository: Repository, store: Store) -> dict[tuple[str, str], Head]:
    from cmf.segments import PULLED

    sites = {repository.site, PULLED, *(segment.site for segment in repository.carried_segments)}
    return {(site, name): head for site in sites for name, head in store.heads(site).items()}


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:NAMED]) + (f" and {len(listed) - NAMED} more" if len(listed) > NAMED else "")
