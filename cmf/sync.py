"""Push and pull: the journal to a server, a slice of its graph back."""

from __future__ import annotations

import os
import re
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

from cmf import journal
from cmf.background import in_background
from cmf.core.errors import CorruptRecord, Gap, SettingsProblem
from cmf.core.freshness import Position, token_of
from cmf.core.store import Head
from cmf.core.wire import CLOCK_TOLERANCE_SECONDS, EndOfPull, PullQuestion, Received
from cmf.patience import patiently
from cmf.pulled import Pulled, write_pulled
from cmf.pulls import Pulls
from cmf.remote import JournalHead, Remote, pack
from cmf.repository import Repository
from cmf.segments import CHUNK_RECORDS, PULLED, Segment

CHUNK_BYTES = 2 << 20
"""The greatest size of a chunk before compression, give or take a line."""

IN_FLIGHT = 2
"""How many chunks of a segment are on their way: a server reads one while it merges the one before it."""

T = TypeVar("T")
Progress = Callable[[int], None]


class ClockWarning(UserWarning):
    """This site's clock and the server's are far apart, so that not who spoke last has the last word."""


class _Counts(NamedTuple):
    applied: int
    duplicates: int


class Pushed(_Counts):
    """What a push did: records sent and new to the server, and records it turned out to have already.

    `token` names the positions to which it sent segments, or, where nothing was to send, that of the newest segment;
    whoever shows it to a server is answered when that has them (`cmf.query(url, at_least=token)`).
    """

    token: str | None

    def __new__(cls, applied: int, duplicates: int, token: str | None = None) -> Self:
        """The token is no part of what makes two equal."""
        made = super().__new__(cls, applied, duplicates)
        made.token = token
        return made


def remote(repository: Repository, url: str | None = None, at_least: str | None = None) -> Remote:
    """The server of a clone, or another; with the token of a push (`at_least`) it answers when it has what that sent.

    Raises:
        SettingsProblem: the clone has none and no other was named.
    """
    address = url or repository.settings.server
    if address is None:
        raise SettingsProblem("no server is set; run 'cmf init --server URL', or set CMF_SERVER")
    return Remote(address, repository.settings.token, at_least=at_least)


def unpushed_bytes(repository: Repository, server: Remote) -> int:
    """How many bytes of journal the server does not have yet."""
    segments = _to_push(repository)
    heads = _heads(server, repository.site, segments)
    return sum(segment.path.stat().st_size - _offset(heads, segment) for segment in segments)


def ends(repository: Repository) -> dict[Segment, int]:
    """How long each segment to push is now."""
    return {segment: segment.path.stat().st_size for segment in _to_push(repository)}


def push(
    repository: Repository, server: Remote, progress: Progress | None = None, until: Mapping[Segment, int] | None = None
) -> Pushed:
    """Send what the server does not have yet, or of that no more than there was at the `ends` `until`.

    That is what was recorded here, and what other clones recorded and a bundle brought here, as theirs.
    Interrupted anywhere, the next push goes on from there.

    Raises:
        CorruptRecord: a line is damaged; nothing of its segment from there on was sent, of others everything.
        ServerProblem: and the next push sends what this one did not.
    """
    segments = _to_push(repository)
    heads = _heads(server, repository.site, segments)
    applied = duplicates = ahead_seconds = 0
    damage: CorruptRecord | None = None
    reached: dict[Segment, int] = {}
    for segment in segments:
        size, known_to = segment.path.stat().st_size, _offset(heads, segment)
        end = size if until is None else until.get(segment, 0)
        if known_to == size or end <= known_to < size:
            continue
        try:
            for received, sent_bytes in _push_segment(server, segment, heads.get(segment), end):
                applied += received.applied
                reached[segment] = received.sequence
                duplicates += received.duplicates
                ahead_seconds = max(ahead_seconds, received.clock_ahead_seconds, key=abs)
                if progress:
                    progress(sent_bytes)
        except CorruptRecord as exc:
            damage = damage or exc
    if is_clock_off(ahead_seconds):
        warnings.warn(clock_words(ahead_seconds), ClockWarning, stacklevel=2)
    if damage:
        raise damage
    return Pushed(applied, duplicates, _token(reached, heads))


def _token(reached: Mapping[Segment, int], heads: Mapping[Segment, JournalHead]) -> str | None:
    if not reached and heads:
        newest = max(heads, key=lambda segment: segment.name)
        reached = {newest: heads[newest].sequence}
    return token_of(Position(segment.site, segment.name, sequence) for segment, sequence in reached.items())


def is_clock_off(ahead_seconds: int) -> bool:
    """Whether this site's clock is so far from the server's that somebody is to be told."""
    return abs(ahead_seconds) > CLOCK_TOLERANCE_SECONDS


def clock_words(ahead_seconds: int) -> str:
    """What is told of a clock that is off."""
    hours = abs(ahead_seconds) / 3600
    span = f"{round(hours * 60)} minutes" if hours < 2 else f"{round(hours)} hours"
    span = span if hours < 48 else f"{round(hours / 24):,} days"
    if ahead_seconds > 0:
        return (
            f"this site's clock, or what it has stamped, is {span} ahead of the server's: where both state a property, "
            f"this site's word stands until theirs is as late; everything was sent; set the clock"
        )
    return (
        f"this site's clock is {span} behind the server's: where others stated a property before, their word stands "
        f"though this site's is newer; everything was sent; set the clock"
    )


def _push_segment(
    server: Remote, segment: Segment, known: JournalHead | None, end: int
) -> Iterator[tuple[Received, int]]:
    """Push a segment from where the server is; → per chunk: what became of it, its bytes."""
    lines = journal.read(segment.path, head_at(segment.path, known))
    chunks = _chunks(takewhile(lambda line: line[1].offset <= end, lines))
    try:
        yield from _sent(partial(server.push, segment.site, segment.name), chunks)
    except Gap:
        if known is None:
            raise
        # The server lost what it said it had (it was restored from a backup, say): it gets everything again.
        yield from _push_segment(server, segment, None, end)


def _sent(send: Callable[[bytes], Received], chunks: Iterator[list[bytes]]) -> Iterator[tuple[Received, int]]:
    """Send chunks in their order, each before the answer to the one ahead of it; → per chunk: the answer, its bytes."""
    under_way: deque[tuple[Future[Received], bytes, int]] = deque()
    damage: CorruptRecord | None = None
    while chunk := _next(chunks):
        if isinstance(chunk, CorruptRecord):
            damage = chunk
            break
        body, size = pack(chunk), sum(map(len, chunk)) + len(chunk)
        under_way.append((in_background(partial(patiently, partial(send, body))), body, size))
        if len(under_way) == IN_FLIGHT:
            yield _answer(send, *under_way.popleft())
    while under_way:
        yield _answer(send, *under_way.popleft())
    if damage:
        raise damage


def _next(chunks: Iterator[list[bytes]]) -> list[bytes] | CorruptRecord | None:
    try:
        return next(chunks, None)
    except CorruptRecord as exc:  # what precedes the damage is under way
        return exc


def _answer(send: Callable[[bytes], Received], sent: Future[Received], body: bytes, size: int) -> tuple[Received, int]:
    try:
        return sent.result(), size
    except Gap:  # perhaps it was there before the one ahead of it, which is taken by now
        return patiently(partial(send, body)), size


def head_at(path: Path, known: JournalHead | None) -> Head:
    """The head that the server stands at, read back from the file."""
    if known is None:
        return journal.START
    if (total := journal.sum_before(path, known.offset)) is not None:
        return Head(known.sequence, total, known.offset)
    for _, head in journal.read(path):
        if head.sequence == known.sequence:
            return head
    raise CorruptRecord(path, known.sequence + 1, "the server has records that this file has not")


def _chunks(lines: Iterable[tuple[bytes, Head]]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    size = 0
    try:
        for line, _ in lines:
            chunk.append(line)
            size += len(line)
            if len(chunk) >= CHUNK_RECORDS or size >= CHUNK_BYTES:
                yield chunk
                chunk, size = [], 0
    except CorruptRecord:
        # What precedes the damage is sound, and sent.
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk


def _to_push(repository: Repository) -> list[Segment]:
    return [*repository.segments, *repository.carried_segments]


def _heads(server: Remote, own: str, segments: Sequence[Segment]) -> dict[Segment, JournalHead]:
    """How far the server has these segments. It is asked once for each site, also for an own one without any."""
    by_site = {
        site: patiently(partial(server.heads, site)) for site in sorted({own, *(segment.site for segment in segments)})
    }
    return {s: head for s in segments if (head := by_site[s.site].get(s.name)) is not None}


def _offset(heads: dict[Segment, JournalHead], segment: Segment) -> int:
    known = heads.get(segment)
    return known.offset if known else 0


def pull(
    repository: Repository,
    server: Remote,
    question: PullQuestion,
    progress: Progress | None = None,
    *,
    everything: bool = False,
) -> Pulled:
    """Bring what is news of a slice of the server's graph into the clone, or `everything`; see `PullQuestion`.

    Interrupted, nothing was pulled.
    """
    folder = repository.folder / "journal" / PULLED
    before = Pulls(repository.folder / "pulls", server.asker, folder)
    known = None if everything else before.best(question)
    asked = question if known is None else known.asking(question)
    ends: list[EndOfPull] = []
    pulled = write_pulled(folder, server.pull(asked, ends.append), progress)
    before.keep(question, ends[-1].version, known, pulled.segment)
    repository.catch_up()
    return pulled._replace(incremental=known is not None and known.is_of_the_store_of(ends[-1].version))


_MD5 = re.compile(r"^\s*(?:- )?md5:\s*([0-9a-f]{32}(?:\.dir)?)\s*$", re.MULTILINE)


def tracked_artifacts(root: Path) -> Sequence[str]:
    """The keys in the `.dvc` files and `dvc.lock` files of a working tree."""
    found: set[str] = set()
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if name not in (".git", ".dvc", ".cmf")]
        for name in files:
            if name.endswith(".dvc") or name == "dvc.lock":
                found.update(f"md5:{md5}" for md5 in _MD5.findall(Path(folder, name).read_text(errors="replace")))
    return sorted(found)
