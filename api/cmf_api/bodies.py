"""Bodies of requests, read and unpacked within limits: no request can make the server hold more than they say."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import TypeVar

import msgspec
import zstandard
from fastapi import Request

from cmf.core.errors import BadQuestion, BadRecord
from cmf.core.records import MAX_LINE_BYTES
from cmf_api.errors import TooLarge, UnsupportedBody
from cmf_api.settings import ServerSettings

T = TypeVar("T")

_PIECE = 1 << 18
_ZSTD_STEP = 64


async def read(request: Request, media_type: str) -> bytes:
    """The body as sent, which must say that it is of this type.

    Raises:
        UnsupportedBody: it says something else, or nothing.
        TooLarge: it is larger than the server takes; the rest of it is not read.
    """
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent != media_type:
        raise UnsupportedBody(f"Content-Type {sent!r}; this route takes {media_type}")
    limit = settings_of(request).max_body_bytes
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            line = None if request.headers.get("content-encoding") else body.count(b"\n") + 1
            raise TooLarge(f"the body is larger than {limit} bytes; send it in smaller pieces", line)
    return bytes(body)


async def read_json(request: Request, form: type[T]) -> T:
    """The body as a value of a form.

    Raises:
        BadQuestion: it is not one.
        UnsupportedBody: it does not say that it is JSON.
    """
    body = await read(request, "application/json")
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
        raise BadQuestion(f"the body is no valid JSON for this route: {exc}") from exc


def lines(body: bytes, encoding: str | None, settings: ServerSettings) -> list[bytes]:
    """The lines of a body, unpacked, without their newlines.

    Raises:
        TooLarge: a line is too long, there are too many, or all together are too large.
        BadRecord: it cannot be unpacked, or ends within a line.
        UnsupportedBody: the encoding is not gzip or zstd.
    """
    found: list[bytes] = []
    rest = b""
    size = 0
    for piece in _unpacked(body, encoding, found):
        size += len(piece)
        if size > settings.max_unpacked_bytes:
            raise TooLarge(f"the body is larger than {settings.max_unpacked_bytes} bytes unpacked", len(found) + 1)
        if len(found) + piece.count(b"\n") > settings.max_lines:
            raise TooLarge(f"the body has more than {settings.max_lines} lines; send fewer", settings.max_lines + 1)
        *whole, rest = (rest + piece).split(b"\n")
        for line in (*whole, rest):
            if len(line) > MAX_LINE_BYTES:
                raise TooLarge(f"the line is longer than {MAX_LINE_BYTES} bytes", len(found) + 1)
            found.append(line)
        found.pop()
    if rest:
        raise BadRecord(len(found) + 1, "the line has no end; each line ends with a newline")
    return found


def announced_bytes(request: Request) -> int:
    """How large the body is going to be at most."""
    limit = settings_of(request).max_body_bytes
    said = request.headers.get("content-length", "")
    return min(int(said), limit) if said.isdecimal() and len(said) < 16 else limit


def settings_of(request: Request) -> ServerSettings:
    """The settings of the server that a request came to."""
    found: ServerSettings = request.app.state.settings
    return found


def _unpacked(body: bytes, encoding: str | None, found: list[bytes]) -> Iterator[bytes]:
    """The body in pieces of bounded size; `found` are the lines so far, for the line number of an error."""
    try:
        match encoding and encoding.strip().lower():
            case None | "" | "identity":
                yield from (body[start : start + _PIECE] for start in range(0, len(body), _PIECE))
            case "gzip":
                yield from _gunzipped(body)
            case "zstd":
                yield from _unzstd(body)
            case _:
                raise UnsupportedBody(f"Content-Encoding {encoding!r}; this server takes gzip, zstd, or none")
    except (zlib.error, zstandard.ZstdError, EOFError) as exc:
        raise BadRecord(len(found) + 1, f"the {encoding} body cannot be unpacked: {exc}") from exc


def _gunzipped(body: bytes) -> Iterator[bytes]:
    """The members of a gzip body, one after the other."""
    while body:
        unpacker = zlib.decompressobj(wbits=31)
        while not unpacker.eof:
            piece = unpacker.decompress(body, _PIECE)
            body = unpacker.unconsumed_tail
            if not piece and not body and not unpacker.eof:
                raise EOFError("it ends too early")
            yield piece
        body = unpacker.unused_data


def _unzstd(body: bytes) -> Iterator[bytes]:
    """A zstd frame. A byte of it can stand for 32 KiB, so few are unpacked at a time."""
    unpacker = zstandard.ZstdDecompressor(max_window_size=1 << 25).decompressobj()
    for start in range(0, len(body), _ZSTD_STEP):
        if unpacker.eof:
            raise EOFError("something follows its end")
        yield unpacker.decompress(body[start : start + _ZSTD_STEP])
    if not unpacker.eof:
        raise EOFError("it ends too early")
    if unpacker.unused_data:
        raise EOFError("something follows its end")
