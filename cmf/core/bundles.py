"""Bundles: segments of journals in one file, to be carried where no connection reaches.

Unpacked (the file is gzip), a bundle is lines: its header, then segments one after the other, each from its own header
on as it stands in its journal, then the end, which counts and proves all lines before it.

    {"bundle":1,"site":"01J…","tool":"cmf 0.1.0","max_bytes":81234}
    {"cmf":1,"site":"01J…","segment":"01J…",…}
    {"seq":1,…,"sum":"<32 hex>"}
    …
    {"end":1201,"sha256":"<64 hex>"}

`Contents` takes the lines one by one, whatever file they come from.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Final, NamedTuple, TypeVar

import msgspec

from cmf.core.errors import InvalidValue
from cmf.core.records import Origin, chain, continues, parse_header, parse_record

BUNDLE_FORMAT: Final = 1
"""The version of the form of bundles."""

_BEGINS: Final = b'{"bundle":'
_SEGMENT: Final = b'{"cmf":'
_END: Final = b'{"end":'

_T = TypeVar("_T")


class BundleHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line of a bundle: the clone that made it, and how many bytes, unpacked, may follow at most."""

    bundle: int
    site: Origin
    tool: str
    max_bytes: Annotated[int, msgspec.Meta(ge=0)]


class EndOfBundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last line of a bundle: the number of lines before it, and the SHA-256 of their bytes, newlines included."""

    end: int
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]


class Carried(NamedTuple):
    """A segment within a bundle."""

    site: str
    segment: str


class Contents:
    """Checks the lines of a bundle as they come, each without its newline, after the header.

    Raises (each method): InvalidValue: the line is not what a bundle has there.
    """

    def __init__(self, first: bytes) -> None:
        self.header = parse_bundle_header(first)
        self.records = 0
        self.sha256: str | None = None
        """What proves the whole, once the end has come."""
        self._known: set[Carried] = set()
        self._sequence = -1
        self._sum = ""
        self._lines = 0
        self._bytes = 0
        self._digest = hashlib.sha256()
        self._count(first)

    def take(self, line: bytes) -> Carried | None:
        """Take the next line; → the segment that begins with it, None when it goes on with the one before."""
        if self.sha256 is not None:
            raise InvalidValue("something follows its end")
        if line.startswith(_END):
            self._take_end(line)
            return None
        self._bytes += len(line) + 1
        if self._bytes > self.header.max_bytes:
            raise InvalidValue(f"more follows than the {self.header.max_bytes:,} bytes that its first line tells of")
        begun = None
        if line.startswith(_SEGMENT):
            begun = self._begin(line)
        else:
            self._go_on(line)
        self._count(line)
        return begun

    def _begin(self, line: bytes) -> Carried:
        self._finish()
        header = parse_header(line)
        carried = Carried(header.site, header.segment)
        if header.site in (".", ".."):  # it becomes the name of a folder
            raise InvalidValue(f"{header.site!r} is no id of a clone")
        if carried in self._known:
            raise InvalidValue(f"segment {header.segment} is in it twice")
        self._known.add(carried)
        self._sequence, self._sum = 0, chain("", line)
        return carried

    def _go_on(self, line: bytes) -> None:
        if self._sequence < 0:
            raise InvalidValue("no header of a segment comes before it")
        record = parse_record(line)
        if record.seq != self._sequence + 1:
            raise InvalidValue(f"sequence {record.seq} where {self._sequence + 1} follows")
        if not continues(self._sum, line):
            raise InvalidValue("its sum does not continue the chain")
        self._sequence, self._sum = record.seq, record.sum
        self.records += 1

    def _take_end(self, line: bytes) -> None:
        self._finish()
        end = _parse(line, _ENDS)
        if (end.end, end.sha256) != (self._lines, self._digest.hexdigest()):
            raise InvalidValue("the digest over all of it is another")
        self.sha256 = end.sha256

    def _finish(self) -> None:
        if self._sequence == 0:
            raise InvalidValue("the segment before has no record")

    def _count(self, line: bytes) -> None:
        self._lines += 1
        self._digest.update(line + b"\n")


def parse_bundle_header(line: bytes) -> BundleHeader:
    """The header of a bundle.

    Raises:
        InvalidValue: it is none, or one of a later format.
    """
    if not line.startswith(_BEGINS):
        raise InvalidValue("it is no bundle of cmf's")
    header = _parse(line, _HEADERS)
    if header.bundle != BUNDLE_FORMAT:
        raise InvalidValue(f"bundle format {header.bundle}; this version reads format {BUNDLE_FORMAT}")
    return header


_HEADERS: msgspec.json.Decoder[BundleHeader] = msgspec.json.Decoder(BundleHeader)
_ENDS: msgspec.json.Decoder[EndOfBundle] = msgspec.json.Decoder(EndOfBundle)


def _parse(line: bytes, decoder: msgspec.json.Decoder[_T]) -> _T:
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
        raise InvalidValue(str(exc) or type(exc).__name__) from exc
