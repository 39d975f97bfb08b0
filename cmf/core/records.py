"""The lines of a journal: a header, then records, each chained to the line before it.

    {"cmf":1,"site":"01J…","segment":"01J…","tool":"cmf 0.1.0","at":"2026-05-04T09:12:31.250000Z"}
    {"seq":1,"at":"2026-05-04T09:12:31.250001Z","op":{"is":"PutArtifact",…},"sum":"<32 hex>"}

`sum` is the last member of its line. It is the first 32 hexadecimal digits of the SHA-256 of the previous
line's sum (ASCII) followed by this line's bytes up to, not including, `,"sum":`. The header has no member
`sum`: its sum is that of its whole line, after nothing. So a journal can be checked without parsing it, and
by a program in any language.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Final, NewType, TypeVar

import msgspec

from cmf.core.errors import InvalidValue
from cmf.core.operations import Operation, Time, check, check_sizes, check_time
from cmf.core.values import MAX_VALUE_BYTES, encode

FORMAT: Final = 1
"""The version of the journal's format."""

MAX_LINE_BYTES: Final = 4 << 20
"""The greatest length of a line; no valid operation needs more."""

ORIGIN_PATTERN: Final = r"^[0-9A-Za-z_.:-]{1,64}$(?!\n)"
"""The form of a site's and of a segment's name."""

Origin = Annotated[str, msgspec.Meta(pattern=ORIGIN_PATTERN)]

_T = TypeVar("_T")

Stamp = NewType("Stamp", str)
"""When and where a statement was made, totally ordered as text: `<time> <origin> <sequence, 12 digits>`."""

STAMP_PATTERN: Final = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z [0-9A-Za-z_.:-]{1,64} \d{12}$(?!\n)"
Sequence = Annotated[int, msgspec.Meta(ge=1, lt=10**12)]


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line of a segment: who writes it."""

    cmf: int
    site: Origin
    segment: Origin
    tool: str
    at: Time


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """One operation with its place in the chain. A foreign event brings a stamp of its own."""

    seq: Sequence
    at: Time
    op: Operation
    sum: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}$(?!\n)")]
    stamp: Annotated[str, msgspec.Meta(pattern=STAMP_PATTERN)] | None = None

    def stamp_in(self, segment: str) -> Stamp:
        """The stamp of its operation, as a record of `segment`."""
        return Stamp(self.stamp) if self.stamp else make_stamp(self.at, segment, self.seq)


class Stamped(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """An operation with its stamp, without a place in a chain: a line of a pull."""

    stamp: Annotated[str, msgspec.Meta(pattern=STAMP_PATTERN)]
    op: Operation


def make_stamp(at: str, origin: str, sequence: int) -> Stamp:
    """The stamp of a statement.

    >>> make_stamp("2026-05-04T09:12:31.250001Z", "01J", 7)
    '2026-05-04T09:12:31.250001Z 01J 000000000007'
    """
    return Stamp(f"{at} {origin} {sequence:012d}")


def time_of(stamp: str) -> str:
    """The time of a stamp, RFC 3339."""
    return stamp[:27]


def header_line(header: Header) -> tuple[bytes, str]:
    """The line of a header, without its newline, and its sum."""
    line = encode(header)
    return line, chain("", line)


def record_line(
    previous: str, sequence: int, at: str, operation: Operation, stamp: Stamp | None = None
) -> tuple[bytes, str]:
    """The line of a record, without its newline, and its sum; `previous` is the sum of the line before.

    Raises:
        InvalidValue: it would be longer than MAX_LINE_BYTES.
    """
    try:
        return raw_record_line(previous, sequence, at, encode(operation), stamp)
    except InvalidValue as exc:
        raise InvalidValue(f"{type(operation).__name__}: {exc}") from exc


def raw_record_line(
    previous: str, sequence: int, at: str, operation: bytes, stamp: Stamp | None = None
) -> tuple[bytes, str]:
    """`record_line` of an operation that is JSON already."""
    own = b',"stamp":"%s"' % stamp.encode() if stamp else b""
    body = b'{"seq":%d,"at":"%s","op":%s%s' % (sequence, at.encode(), operation, own)
    if len(body) + TAIL_BYTES > MAX_LINE_BYTES:
        raise InvalidValue(
            f"an operation of {len(body)} bytes; up to {MAX_LINE_BYTES} can be recorded. "
            f"Write what is large to a file and record that as an artifact."
        )
    total = chain(previous, body)
    return b'%s,"sum":"%s"}' % (body, total.encode()), total


_STATED = re.compile(rb'\{"stamp":"([^"]*)","op":(.*)\}', re.DOTALL)


def stated_parts(line: bytes) -> tuple[Stamp, bytes]:
    """The stamp and the operation, as JSON, of a `Stamped` that `encode` wrote."""
    found = _STATED.fullmatch(line)
    assert found, line[:100]
    return Stamp(found[1].decode()), found[2]


def chain(previous: str, body: bytes) -> str:
    """The sum of a line whose bytes before its sum are `body`."""
    return hashlib.sha256(previous.encode() + body).hexdigest()[:32]


_TAIL = re.compile(rb',"sum":"([0-9a-f]{32})"\}\s*\Z')
TAIL_BYTES: Final = len(',"sum":""}') + 32
"""How many bytes of a record's line hold its sum."""


def sum_of(line: bytes) -> str | None:
    """The sum that a record's line states, None where it states none."""
    found = _TAIL.match(line, len(line) - TAIL_BYTES) if len(line) >= TAIL_BYTES else None
    return found[1].decode() if found else None


def continues(previous: str, line: bytes) -> bool:
    """Whether a record's line (without its newline) follows the line whose sum is `previous`."""
    return line.endswith(b',"sum":"%s"}' % chain(previous, line[:-TAIL_BYTES]).encode())


def parse_record(line: bytes, *, consistent: bool = False) -> Record:
    """The record of a line, checked for form and consistency, not for its place in the chain.

    `consistent`: its consistency was checked before it was written down.

    Raises:
        InvalidValue: it is not one.
    """
    record: Record = _parse(line, _RECORDS)
    if consistent:
        return record
    check(record.op)
    if len(line) > MAX_VALUE_BYTES:
        check_sizes(record.op)
    check_time(record.at)
    if record.stamp:
        check_time(time_of(record.stamp))
    return record


def parse_stamped(line: bytes) -> Stamped:
    """The operation of a line of a pull.

    Raises:
        InvalidValue: it is not one.
    """
    stamped: Stamped = _parse(line, _STAMPED)
    check(stamped.op)
    if len(line) > MAX_VALUE_BYTES:
        check_sizes(stamped.op)
    check_time(time_of(stamped.stamp))
    return stamped


def parse_header(line: bytes) -> Header:
    """The header of a segment.

    Raises:
        InvalidValue: it is none, or one of a later format.
    """
    header: Header = _parse(line, _HEADERS)
    if header.cmf != FORMAT:
        raise InvalidValue(f"journal format {header.cmf}; this version reads format {FORMAT}")
    check_time(header.at)
    return header


_RECORDS: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)
_STAMPED: msgspec.json.Decoder[Stamped] = msgspec.json.Decoder(Stamped)
_HEADERS: msgspec.json.Decoder[Header] = msgspec.json.Decoder(Header)


def _parse(line: bytes, decoder: msgspec.json.Decoder[_T]) -> _T:
    if len(line) > MAX_LINE_BYTES:
        raise InvalidValue(f"a line of {len(line)} bytes; a line may have up to {MAX_LINE_BYTES}")
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
        raise InvalidValue(str(exc) or type(exc).__name__) from exc
