"""Taking another server's archive: through the same merge as a push, so that what is known changes nothing.

So servers may take from each other in rings: what was taken is archived here and goes on from here, what was known
is not archived again and stops.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, Final, cast

import msgspec

from cmf.clock import now
from cmf.core.chunks import Chunk, Merged
from cmf.core.errors import ChainBroken, CmfError, Gap, ServerProblem, StoreUnavailable
from cmf.core.store import Head, Store, Transaction
from cmf.receiving import pieces
from cmf.remote import Remote
from cmf_api.archive import Frame
from cmf_api.archive.frames import (
    MAX_FRAME_BYTES,
    ArchiveFrame,
    ChunkFrame,
    EndFrame,
    Found,
    FrameDamaged,
    StatementsFrame,
    UnknownFrame,
    read_body,
    read_frame,
)
from cmf_api.archive.taking import Taken, read, take
from cmf_api.archive.writing import server_id
from cmf_api.errors import Busy
from cmf_api.settings import ServerSettings
from cmf_api.upstreams import Upstream, is_due, keep_state, state_of, taking, tried, upstreams
from cmf_api.writer import Writer

GROUP_RECORDS: Final = 5_000
MAX_ANSWER_BYTES: Final = 2 * MAX_FRAME_BYTES
MAX_ANSWER_SECONDS: Final = 300.0
MAX_VIA: Final = 32
"""Servers that a statement may have come through."""
STOP_SECONDS: Final = 5.0
MAX_GAPS: Final = 1_000
LOOK_SECONDS: Final = 1.0
"""How often it is looked whether an upstream is due."""

_LOG = logging.getLogger("cmf_api")


@dataclass
class Followed:
    """What was taken from an upstream: frames that were news, records in them, and frames that were known."""

    frames: int = 0
    records: int = 0
    known: int = 0
    problems: list[str] = field(default_factory=list)
    gaps: dict[str, int] = field(default_factory=dict)
    """Segments (`<site>/<segment>`) of which records are missing before that sequence."""

    def refuse(self, frame: Frame, problem: CmfError) -> None:
        """Note a frame that the store did not take."""
        self.problem(str(problem))
        if isinstance(problem, Gap) and isinstance(frame.header, ChunkFrame) and len(self.gaps) < MAX_GAPS:
            self.gaps.setdefault(f"{frame.header.site}/{frame.header.segment}", frame.header.first)

    def problem(self, words: str) -> None:
        """Note what could not be taken; the first few are told."""
        if len(self.problems) < 20:
            self.problems.append(words)


class ArchiveOf(Remote):
    """A server as others follow it."""

    @contextmanager
    def archive(self, cursor: str) -> Iterator[BinaryIO]:
        """The frames after a cursor, as a file."""
        asked = {"after": cursor} if cursor else {}
        began = time.monotonic()
        with SpooledTemporaryFile(max_size=16 << 20) as file:
            with self._answer("GET", "/v1/archive", params=asked) as response:
                for piece in pieces(response):
                    file.write(piece)
                    # One that never ends must not keep us from the others.
                    if file.tell() > MAX_ANSWER_BYTES or time.monotonic() - began > MAX_ANSWER_SECONDS:
                        raise ServerProblem(f"{self.url} sends more than an answer may have, or takes too long")
            yield cast(BinaryIO, file)


class Follower:
    """Takes from upstreams into a store, by its writer."""

    def __init__(self, settings: ServerSettings, store: Store, writer: Writer) -> None:
        self._settings = settings
        self._store = store
        self._writer = writer
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="cmf-follower", daemon=True)

    def start(self) -> None:
        """Take from the upstreams of this server whenever they are due, from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more than is being taken, and wait a little for that."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def pull(self, name: str, upstream: Upstream, *, anew: bool = False) -> Followed:
        """Take all that an upstream has and this server has not, and keep how far that was.

        Raises:
            ServerProblem, SettingsProblem, StoreUnavailable: the rest is taken next time.
        """
        home = self._settings.home
        state = tried(state_of(home, name))
        if anew or self._came_since(state.gaps):
            state.cursor, state.gaps = "", {}
        followed = Followed(gaps=state.gaps)
        remote = None
        try:
            remote = ArchiveOf(upstream.url, upstream.token())
            while not self._stopping.is_set():
                end = self._answer(remote, state.cursor, followed)
                if end.more and end.cursor == state.cursor:
                    raise ServerProblem(f"{upstream.url} does not get on: it tells of more and ends where it began")
                state.cursor = end.cursor
                if not end.more:
                    state.reached_at = now()
                    break
                keep_state(home, name, state)
            missing = f"records are missing in {len(followed.gaps)} segments there" if followed.gaps else ""
            state.problem = "; ".join(filter(None, (missing, *followed.problems)))
        except CmfError as exc:
            state.problem = str(exc)
            raise
        finally:
            if remote is not None:
                remote.close()
            state.frames += followed.frames
            keep_state(home, name, state)
        return followed

    def _came_since(self, gaps: dict[str, int]) -> bool:
        """Whether what was missing has come on another way, so that what stands behind it can be taken."""
        for key, first in gaps.items():
            site, _, segment = key.partition("/")
            head = self._store.heads(site).get(segment)
            if head is not None and head.sequence >= first - 1:
                return True
        return False

    def _follow(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            try:
                known = upstreams(self._settings.home)
            except CmfError as exc:
                _LOG.error("upstreams: %s", exc)
                continue
            for name, upstream in known.items():
                self._pull_if_due(name, upstream)

    def _pull_if_due(self, name: str, upstream: Upstream) -> None:
        home = self._settings.home
        if self._stopping.is_set() or not is_due(upstream, state_of(home, name)):
            return
        try:
            with taking(home, name, wait=False) as ours:
                if ours and is_due(upstream, state_of(home, name)):
                    self.pull(name, upstream)
        except CmfError as exc:
            # It is in the statistics, and tried again.
            _LOG.warning("upstream %s: %s", name, exc)
        except Exception:
            _LOG.exception("upstream %s", name)

    def _answer(self, remote: ArchiveOf, cursor: str, followed: Followed) -> EndFrame:
        """Take one answer of an upstream; → its end."""
        taker = _Taker(self._store, self._settings, followed)
        with remote.archive(cursor) as file:
            offset = 0
            while True:
                try:
                    found = read_frame(file, offset)
                except FrameDamaged as exc:
                    raise ServerProblem(f"{remote.url}/v1/archive answered what is no archive: {exc}") from exc
                if found is None:
                    raise ServerProblem(f"{remote.url}/v1/archive ended too early; it is asked again")
                if isinstance(found.header, EndFrame):
                    self._take(taker, followed)
                    for damage in found.header.damage:
                        followed.problem(f"its archive: {damage}")
                    return found.header
                taker.add(file, found)
                if taker.records >= GROUP_RECORDS:
                    self._take(taker, followed)
                offset = found.end

    def _take(self, taker: _Taker, followed: Followed) -> None:
        group = taker.group()
        if not group:
            return
        outcomes = _patiently(
            lambda: self._writer.do(
                lambda transaction: _take_all(transaction, [taken for taken, _ in group]),
                sum(_size(taken) for taken, _ in group),
                lambda outcomes: [
                    frame for (_, frame), outcome in zip(group, outcomes, strict=True) if _is_news(outcome)
                ],
            ),
            self._stopping,
        )
        for (_, frame), outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, CmfError):
                followed.refuse(frame, outcome)
            elif _is_news(outcome):
                followed.frames += 1
                followed.records += outcome.applied
            else:
                followed.known += 1


class _Taker:
    """Gathers the frames of an answer that may be news."""

    def __init__(self, store: Store, settings: ServerSettings, followed: Followed) -> None:
        self._store = store
        self._settings = settings
        self._server = server_id(settings.home)
        self._followed = followed
        self._from = ""
        self._heads: dict[str, dict[str, Head]] = {}
        self._group: list[tuple[Taken, Frame]] = []
        self.records = 0

    def add(self, file: BinaryIO, found: Found) -> None:
        """Take a frame in."""
        match found.header:
            case ArchiveFrame():
                self._from = found.header.server
                return
            case UnknownFrame():
                raise ServerProblem(
                    f"the upstream sends a {found.header.kind!r}, which this version of cmf does not know; update it"
                )
            case ChunkFrame() if self._is_known(found.header):
                self._followed.known += 1
                return
            case StatementsFrame(via=via):
                if self._server in via or self._from == self._server or len(via) >= MAX_VIA:
                    self._followed.known += 1  # it was posted here, or came through here
                    return
                header = msgspec.structs.replace(found.header, via=(*via, self._from))
                found = found._replace(header=header)
        try:
            made = read(found.header, read_body(file, found), self._settings)
        except StoreUnavailable:
            raise
        except CmfError as exc:
            self._followed.problem(str(exc))
            return
        if made is not None:
            self._group.append(made)
            self.records += _size(made[0])

    def group(self) -> list[tuple[Taken, Frame]]:
        """What was gathered, once."""
        group, self._group, self.records = self._group, [], 0
        return group

    def _is_known(self, header: ChunkFrame) -> bool:
        if header.site not in self._heads:
            self._heads[header.site] = dict(self._store.heads(header.site))
        known = self._heads[header.site].get(header.segment)
        return known is not None and known.sequence >= header.last


def _take_all(transaction: Transaction, group: list[Taken]) -> list[Merged | CmfError]:
    outcomes: list[Merged | CmfError] = []
    for taken in group:
        try:
            outcomes.append(take(transaction, taken))
        except (Gap, ChainBroken) as exc:  # before it changed anything
            outcomes.append(exc)
    return outcomes


def _is_news(outcome: Merged | CmfError) -> bool:
    return isinstance(outcome, Merged) and bool(outcome.applied or outcome.begun)


def _size(taken: Taken) -> int:
    return len(taken.records) if isinstance(taken, Chunk) else taken.size


def _patiently(work: Callable[[], Any], stopping: threading.Event) -> Any:
    """Wait for a turn: pushes of sites come first."""
    while True:
        try:
            return work()
        except Busy:
            if stopping.wait(0.5):
                raise
