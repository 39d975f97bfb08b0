"""The frames of an archive: each a gzip member with a line that says what it is, then one with the lines received.

So `zcat` shows all of a file:

    {"kind":"archive","at":"2026-05-04T09:12:31.250001Z","bytes":0,"server":"01J…","tool":"cmf 0.1.0","format":1}
    {"kind":"chunk","at":"…","bytes":81234,"site":"01J…","segment":"01J…","first":0,"last":1200}
    {"cmf":1,"site":"01J…",…}
    {"seq":1,…}
    …
    {"kind":"statements","at":"…","bytes":412,"origin":"post-…","time":"…","count":2}
    {"is":"SetProperty",…}
    …
    {"kind":"prune","at":"…","bytes":512,"count":12}
    {"pruned":"execution:…"}
    …

`bytes` is the length of the second member, 0 where there is none; a body that came as gzip is kept as it came.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from typing import BinaryIO, Final, NamedTuple

import msgspec

from cmf.core.errors import CmfError
from cmf.core.operations import Time
from cmf.core.records import Origin
from cmf.core.values import encode
from cmf_api.packed import gunzipped

FORMAT: Final = 1
"""The version of the form of archives."""

MAX_HEADER_BYTES: Final = 1 << 16
MAX_FRAME_BYTES: Final = 64 << 20
"""No body of a push is larger, even one that was packed anew."""

_HEADER_PIECE: Final = 1024


class FrameDamaged(CmfError):
    """What stands in an archive, or came from one, is no frame."""


class FrameTorn(FrameDamaged):
    """A frame that ends too early: it is being written, or whoever wrote it was killed."""


class _Header(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", omit_defaults=True):
    """What every frame says: when it was accepted, and how long its body is."""

    at: Time
    bytes: int


class ArchiveFrame(_Header, frozen=True, kw_only=True, tag="archive"):
    """The first frame of a file, without a body: the server that wrote it."""

    server: Origin
    tool: str
    format: int


class ChunkFrame(_Header, frozen=True, kw_only=True, tag="chunk"):
    """Lines of a segment as a site pushed them; `first` and `last` are sequences, 0 for the segment's header."""

    site: Origin
    segment: Origin
    first: int
    last: int


class StatementsFrame(_Header, frozen=True, kw_only=True, tag="statements"):
    """Operations that were posted without a journal, one a line: their origin, and the time they were stamped with.

    `via` are the servers that they came through, the one they were posted to first; none where that is this one.
    """

    origin: Origin
    time: Time
    count: int
    via: tuple[Origin, ...] = ()


class PruneFrame(_Header, frozen=True, kw_only=True, tag="prune"):
    """What was pruned, a key a line, and the operations that stand for it since; see `cmf_api.pruning`."""

    count: int


class EndFrame(_Header, frozen=True, kw_only=True, tag="end"):
    """The last frame of an answer: where the next one begins.

    `more` says whether there is more at once, `anew` that the cursor of the question was of another archive, so that
    this answer began from the start, `damage` what of the archive cannot be read.
    """

    cursor: str
    more: bool
    anew: bool = False
    damage: tuple[str, ...] = ()


class UnknownFrame(msgspec.Struct, frozen=True, kw_only=True):
    """A frame of a kind that only a later version knows: it is carried along, and not taken."""

    kind: str
    at: Time
    bytes: int


Known = ArchiveFrame | ChunkFrame | StatementsFrame | PruneFrame | EndFrame
"""Every kind of frame that this version knows."""

Header = Known | UnknownFrame


class Frame(NamedTuple):
    """What is to be kept: its time and length are filled in when it is."""

    header: ChunkFrame | StatementsFrame | PruneFrame
    body: bytes


class Found(NamedTuple):
    """A frame where it stands in a file."""

    header: Header
    offset: int
    body_offset: int
    end: int


def pack_header(header: Known) -> bytes:
    """The first member of a frame."""
    return gzip.compress(encode(header) + b"\n", compresslevel=1, mtime=0)


def pack_lines(lines: Iterable[bytes]) -> bytes:
    """Lines, without their newlines, as the second member of a frame."""
    return gzip.compress(b"".join(line + b"\n" for line in lines), compresslevel=1, mtime=0)


def read_frame(file: BinaryIO, offset: int) -> Found | None:
    """The frame at an offset, without its body; None where the file ends.

    Raises:
        FrameTorn: the file ends within it.
        FrameDamaged: there is none.
    """
    file.seek(offset)
    line, length = _first_member(file)
    if not length:
        return None
    try:
        header = _parse(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise FrameDamaged(f"at byte {offset}: {exc}") from exc
    if not 0 <= header.bytes <= MAX_FRAME_BYTES:
        raise FrameDamaged(f"at byte {offset}: a body of {header.bytes} bytes")
    end = offset + length + header.bytes
    if file.seek(0, 2) < end:
        raise FrameTorn(f"at byte {offset}: it ends too early")
    return Found(header, offset, offset + length, end)


def read_body(file: BinaryIO, found: Found) -> bytes:
    """The body of a frame, as it was received."""
    file.seek(found.body_offset)
    return file.read(found.end - found.body_offset)


def check_body(body: bytes) -> None:
    """That a body can be unpacked whole.

    Raises:
        FrameDamaged: it cannot.
    """
    try:
        for _ in gunzipped(body):
            pass
    except (zlib.error, EOFError) as exc:
        raise FrameDamaged(f"a body cannot be unpacked: {exc}") from exc


_KNOWN: msgspec.json.Decoder[Known] = msgspec.json.Decoder(Known)
_UNKNOWN = msgspec.json.Decoder(UnknownFrame)
_KINDS: Final = {
    kind.__struct_config__.tag for kind in (ArchiveFrame, ChunkFrame, StatementsFrame, PruneFrame, EndFrame)
}


def _parse(line: bytes) -> Header:
    found = _UNKNOWN.decode(line)
    return _KNOWN.decode(line) if found.kind in _KINDS else found


def _first_member(file: BinaryIO) -> tuple[bytes, int]:
    """The content of the gzip member here, and its length; 0 at the end of the file."""
    unpacker = zlib.decompressobj(wbits=31)
    line = b""
    length = 0
    while not unpacker.eof:
        if not (piece := file.read(_HEADER_PIECE)):
            if length:
                raise FrameTorn("it ends too early")
            return b"", 0
        length += len(piece)
        try:
            line += unpacker.decompress(piece, MAX_HEADER_BYTES)
        except zlib.error as exc:
            raise FrameDamaged(str(exc)) from exc
        if unpacker.unconsumed_tail or len(line) >= MAX_HEADER_BYTES:
            raise FrameDamaged(f"the line of a frame is longer than {MAX_HEADER_BYTES} bytes")
    return line, length - len(unpacker.unused_data)
