"""Replaying an archive into a store: everything that was accepted, in the order in which it was."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from cmf.core.chunks import Chunk, Merged
from cmf.core.errors import ChainBroken, CmfError, Gap, StoreUnavailable
from cmf.core.store import Store, Transaction
from cmf_api.archive import pruned
from cmf_api.archive.frames import Found, PruneFrame, UnknownFrame
from cmf_api.archive.reading import Reading, body_of
from cmf_api.archive.taking import Taken, read, take
from cmf_api.settings import ServerSettings

GROUP_RECORDS: Final = 10_000
"""How many records go into one transaction."""

MAX_TOLD: Final = 20

Progress = Callable[[int], None]
"""Told how many bytes were dealt with since the last time."""


@dataclass
class Replayed:
    """What became of an archive's frames."""

    frames: int = 0
    records: int = 0
    known: int = 0
    """Records that were in the archive more than once, or in the store already."""
    waiting: int = 0
    """Frames whose predecessors never came."""
    refused: int = 0
    problems: list[str] = field(default_factory=list)
    """The first of what was wrong, in words."""


class _Piece(NamedTuple):
    path: Path
    found: Found
    taken: Taken


def replay(folder: Path, store: Store, settings: ServerSettings, progress: Progress | None = None) -> Replayed:
    """Join all of an archive into a store; what it has already changes nothing.

    A frame whose predecessor has not come yet waits for it.

    Raises:
        StoreUnavailable: it goes on from there when it is done again.
        CmfError: the archive has frames that only a later version of cmf knows.
    """
    return _Replay(store, settings).all_of(Reading(folder), progress)


class _Replay:
    def __init__(self, store: Store, settings: ServerSettings) -> None:
        self._store = store
        self._settings = settings
        self._told = Replayed()
        self._group: list[_Piece] = []
        self._records = 0
        # Only where they stand: they may be many.
        self._waiting: dict[tuple[str, str], list[tuple[Path, Found]]] = defaultdict(list)

    def all_of(self, reading: Reading, progress: Progress | None) -> Replayed:
        for path, found in reading:
            self._told.frames += 1
            self._add(path, found)
            if progress:
                progress(found.end - found.offset)
        self._flush()
        for (site, segment), places in self._waiting.items():
            self._told.waiting += len(places)
            self._problem(f"segment {segment} of site {site}: records are missing before {len(places)} of its chunks")
        for damage in reading.damage:
            self._problem(damage)
        return self._told

    def _add(self, path: Path, found: Found) -> None:
        if isinstance(found.header, UnknownFrame):
            raise CmfError(
                f"{path}: there is a {found.header.kind!r} in it, which this version does not know; "
                f"use the version of cmf that wrote it"
            )
        if isinstance(found.header, PruneFrame):
            self._prune(path, found, found.header.at)
            return
        try:
            frame = read(found.header, body_of(path, found), self._settings)
        except StoreUnavailable:
            raise
        except CmfError as exc:
            self._refuse(path, found, exc)
            return
        if frame is not None:
            self._group.append(_Piece(path, found, frame[0]))
            self._records += len(frame[0].records) if isinstance(frame[0], Chunk) else frame[0].size
            if self._records >= GROUP_RECORDS:
                self._flush()

    def _prune(self, path: Path, found: Found, at: str) -> None:
        """Prune again what was pruned, when all is in that came before."""
        try:
            told = pruned.read(body_of(path, found))
        except StoreUnavailable:
            raise
        except CmfError as exc:
            self._refuse(path, found, exc)
            return
        self._flush()
        self._store.write(lambda transaction: pruned.take(transaction, told, at))

    def _flush(self) -> None:
        while group := self._group:
            self._group, self._records = [], 0
            outcomes = self._store.write(lambda transaction, group=group: _take_all(transaction, group))  # type: ignore[misc]
            moved: set[tuple[str, str]] = set()
            for piece, outcome in zip(group, outcomes, strict=True):
                self._note(piece, outcome, moved)
            for key in moved & self._waiting.keys():
                places = self._waiting.pop(key)
                places.sort(key=lambda place: getattr(place[1].header, "first", 0))
                for path, found in places:
                    self._add(path, found)

    def _note(self, piece: _Piece, outcome: Merged | CmfError, moved: set[tuple[str, str]]) -> None:
        match outcome:
            case Merged():
                self._told.records += outcome.applied
                self._told.known += outcome.duplicates
                if isinstance(piece.taken, Chunk) and (outcome.applied or outcome.begun):
                    moved.add((piece.taken.site, piece.taken.segment))
            case Gap() if isinstance(piece.taken, Chunk):
                self._waiting[piece.taken.site, piece.taken.segment].append((piece.path, piece.found))
            case _:
                self._refuse(piece.path, piece.found, outcome)

    def _refuse(self, path: Path, found: Found, problem: CmfError) -> None:
        self._told.refused += 1
        self._problem(f"{path.name}, byte {found.offset:,}: {problem}")

    def _problem(self, words: str) -> None:
        if len(self._told.problems) < MAX_TOLD:
            self._told.problems.append(words)


def _take_all(transaction: Transaction, group: list[_Piece]) -> list[Merged | CmfError]:
    outcomes: list[Merged | CmfError] = []
    for piece in group:
        try:
            outcomes.append(take(transaction, piece.taken))
        except (Gap, ChainBroken) as exc:  # before it changed anything
            outcomes.append(exc)
    return outcomes
