"""From a push to the frame that the archive keeps of it, and from a frame to what it does to a store."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from cmf.core import chunks
from cmf.core.chunks import Chunk, Merged
from cmf.core.delta import Delta, fold
from cmf.core.errors import BadRecord, InvalidValue
from cmf.core.operations import Operation, check, check_time
from cmf.core.records import make_stamp
from cmf.core.store import Head, Transaction
from cmf_api.archive.frames import ChunkFrame, Frame, Header, StatementsFrame
from cmf_api.bodies import lines as unpacked
from cmf_api.settings import ServerSettings


class Statements(NamedTuple):
    """Operations that were posted, as a delta; `via` are the servers that they came through."""

    origin: str
    time: str
    via: tuple[str, ...]
    size: int
    delta: Delta


Taken = Chunk | Statements


def frame_of_chunk(chunk: Chunk, body: bytes) -> Frame:
    """The frame of a chunk that was received in this form."""
    first = 0 if chunk.header else chunk.records[0].seq
    last = chunk.records[-1].seq if chunk.records else 0
    return Frame(ChunkFrame(at="", bytes=0, site=chunk.site, segment=chunk.segment, first=first, last=last), body)


def frame_of_statements(
    origin: str, time: str, lines: Sequence[bytes], body: bytes, via: tuple[str, ...] = ()
) -> Frame:
    """The frame of operations that were posted; `lines` are theirs, `body` is those packed."""
    return Frame(StatementsFrame(at="", bytes=0, origin=origin, time=time, count=len(lines), via=via), body)


def read(header: Header, body: bytes, settings: ServerSettings) -> tuple[Taken, Frame] | None:
    """What a frame says, checked as a push is, and the frame that keeps it; None where it is of another kind.

    Raises:
        BadRecord, ChainBroken, InvalidValue, TooLarge: it says nothing valid.
    """
    match header:
        case ChunkFrame():
            received = unpacked(body, "gzip", settings)
            if not received:
                raise BadRecord(1, "there is no line")
            chunk = chunks.parse(header.site, header.segment, received)
            return chunk, frame_of_chunk(chunk, body)
        case StatementsFrame():
            received = unpacked(body, "gzip", settings)
            delta = _folded(header, received)
            frame = frame_of_statements(header.origin, header.time, received, body, header.via)
            return Statements(header.origin, header.time, header.via, len(received), delta), frame
        case _:
            return None


def take(transaction: Transaction, taken: Taken) -> Merged:
    """Join it into the graph, inside a transaction; what is known already changes nothing.

    Raises:
        Gap, ChainBroken: of a chunk, as `cmf.core.chunks.merge` does.
    """
    if isinstance(taken, Chunk):
        return chunks.merge(transaction, taken)
    # What came through other servers arrives on several ways: the head of a segment that stands for it says whether
    # it did. What was posted here is never asked for that.
    if taken.via:
        site, segment, sum_ = taken.via[0], _segment_of(taken), hashlib.sha256(taken.time.encode()).hexdigest()[:32]
        head = Head(taken.size, sum_, 0)
        if known := transaction.head(site, segment):
            return Merged(known, 0, taken.size)
        transaction.advance(site, segment, head)
    transaction.merge(taken.delta)
    return Merged(Head(taken.size, "", 0), taken.size, 0)


def _segment_of(taken: Statements) -> str:
    return "post-" + hashlib.sha256(f"{taken.time} {taken.origin}".encode()).hexdigest()[:32]


def _folded(header: StatementsFrame, received: Sequence[bytes]) -> Delta:
    check_time(header.time)
    stamped = []
    for number, line in enumerate(received, 1):
        try:
            operation: Operation = _OPERATIONS.decode(line)
            check(operation)
        except (InvalidValue, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise BadRecord(number, str(exc)) from exc
        stamped.append((make_stamp(header.time, header.origin, number), operation))
    return fold(stamped)


_OPERATIONS: msgspec.json.Decoder[Operation] = msgspec.json.Decoder(Operation)
