"""A chunk of a journal and what it does to a store: the one way of records into a graph, here and on a server.

First `parse` (pure, outside any transaction): form, consistency and the chain within the chunk. Then `merge`,
inside the transaction that reads the segment's head: what is known already is skipped, what does not follow is
refused, the rest is joined and the head moves, all together or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cmf.core.delta import Delta, apply
from cmf.core.errors import BadRecord, ChainBroken, Gap, InvalidValue
from cmf.core.records import Record, chain, continues, parse_header, parse_record
from cmf.core.store import Head, Transaction


class Chunk(NamedTuple):
    """Lines of one segment that follow each other, from the header or from some record on.

    `heads` are the heads after each record, counted from the chunk's beginning when it has no header.
    """

    site: str
    segment: str
    header: Head | None
    records: list[Record]
    lengths: list[int]
    """Bytes of each record's line, newline included."""
    first: bytes
    """The first record's line, for a chunk without header: only its predecessor's sum can prove it."""
    delta: Delta


class Merged(NamedTuple):
    """What became of a chunk: the segment's head, how many records were new and how many known."""

    head: Head
    applied: int
    duplicates: int
    begun: bool = False
    """Whether the segment was unknown before."""


def parse(site: str, segment: str, lines: Sequence[bytes], *, follows: bool = False, consistent: bool = False) -> Chunk:
    """A chunk from its lines, without their newlines.

    `follows`: it is known that each continues the one before it; `consistent`: that each is consistent in itself.

    Raises:
        BadRecord: a line is no header or record of this segment (with its number, from 1).
        ChainBroken: a record does not follow the one before it.
    """
    header = _header(site, segment, lines[0]) if lines and lines[0].startswith(b'{"cmf"') else None
    start = 1 if header else 0
    records: list[Record] = []
    delta = Delta()
    previous = header.sum if header else None
    expected = 1 if header else None
    for number, line in enumerate(lines[start:], start + 1):
        record = _record(number, line, consistent)
        if expected is not None and record.seq != expected:
            raise BadRecord(number, f"sequence {record.seq} where {expected} follows")
        if previous is not None and not follows and not continues(previous, line):
            raise ChainBroken(segment, record.seq)
        apply(record.op, record.stamp_in(segment), delta)
        records.append(record)
        previous, expected = record.sum, record.seq + 1
    lengths = [len(line) + 1 for line in lines[start:]]
    return Chunk(site, segment, header, records, lengths, lines[start] if records else b"", delta)


def merge(transaction: Transaction, chunk: Chunk) -> Merged:
    """Join a chunk into the graph and move its segment's head, inside a transaction.

    Raises:
        Gap: records are missing before it.
        ChainBroken: it does not follow what the store has.
    """
    known = transaction.head(chunk.site, chunk.segment)
    if known is None and chunk.header is None:
        raise Gap(chunk.segment, 0)
    head = known or chunk.header
    assert head is not None
    new = [index for index, record in enumerate(chunk.records) if record.seq > head.sequence]
    _expect_continuation(chunk, head, new[0] if new else None)
    duplicates = len(chunk.records) - len(new)
    if new or known is None:
        # Known records in it are the very ones of the store, as the chain has just proved: joining them again
        # changes nothing.
        transaction.merge(chunk.delta)
        sum_ = chunk.records[-1].sum if new else head.sum
        offset = head.offset + sum(chunk.lengths[index] for index in new)
        head = Head(head.sequence + len(new), sum_, offset)
        transaction.advance(chunk.site, chunk.segment, head)
    return Merged(head, len(new), duplicates, known is None)


def _expect_continuation(chunk: Chunk, head: Head, new: int | None) -> None:
    """That the first new record (its index; None: there is none) follows the head."""
    if chunk.header and head.sequence == 0 and chunk.header.sum != head.sum:
        raise ChainBroken(chunk.segment, 0, "its header is another than the one known")
    if new is None:
        last = chunk.records[-1] if chunk.records else None
        if last and last.seq == head.sequence and last.sum != head.sum:
            raise ChainBroken(chunk.segment, last.seq, "another record is known under this sequence")
        return
    sequence = chunk.records[new].seq
    if sequence != head.sequence + 1:
        raise Gap(chunk.segment, head.sequence + 1)
    if new > 0:
        follows = chunk.records[new - 1].sum == head.sum
    elif chunk.header:
        follows = chunk.header.sum == head.sum
    else:
        follows = continues(head.sum, chunk.first)
    if not follows:
        raise ChainBroken(chunk.segment, sequence)


def _header(site: str, segment: str, line: bytes) -> Head:
    try:
        header = parse_header(line)
    except InvalidValue as exc:
        raise BadRecord(1, str(exc)) from exc
    if (header.site, header.segment) != (site, segment):
        raise BadRecord(1, f"the header is of site {header.site}, segment {header.segment}")
    return Head(0, chain("", line), len(line) + 1)


def _record(number: int, line: bytes, consistent: bool) -> Record:
    try:
        return parse_record(line, consistent=consistent)
    except InvalidValue as exc:
        raise BadRecord(number, str(exc)) from exc
