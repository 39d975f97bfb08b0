"""Bodies of requests, read and unpacked within limits: no request can make the server hold more than they say."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import TypeVar

import msgspec
import zstandard
from anyio import to_thread
from fastapi import Request

from cmf.core.errors import BadQuestion, BadRecord
from cmf.core.records import MAX_LINE_BYTES
from cmf_api.duplicates import refuse_in_body
from cmf_api.errors import TooLarge, UnsupportedBody
from cmf_api.packed import gunzipped, unzstd
from cmf_api.settings import ServerSettings

T = TypeVar("T")

_PIECE = 1 << 18


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
    if (_said_bytes(request) or 0) > limit:
        raise TooLarge(f"the body is larger than {limit} bytes; send it in smaller pieces")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            line = None if request.headers.get("content-encoding") else body.count(b"\n") + 1
            raise TooLarge(f"the body is larger than {limit} bytes; send it in smaller pieces", line)
    return bytes(body)


async def read_json(request: Request, form: type[T]) -> T:
    """The body as a value of a form. Few are decoded at once: as values they are many times their size.

    Raises:
        BadQuestion: it is not one.
        UnsupportedBody, TooLarge: see `read_text_of_json`.
    """
    body = await read_text_of_json(request)
    return await to_thread.run_sync(decoded, body, form, limiter=request.app.state.receiving)


async def read_text_of_json(request: Request) -> bytes:
    """The body, JSON that is yet to be `decoded`.

    Raises:
        UnsupportedBody: it is packed, or does not say that it is JSON.
        TooLarge: it is larger than this server takes, or has more values.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedBody("Content-Encoding: this route takes JSON as it is, not packed")
    body = await read(request, "application/json")
    if _values(body) > (most := settings_of(request).max_values):
        raise TooLarge(f"the body has more than {most} values; send fewer")
    return body


def decoded(body: bytes, form: type[T]) -> T:
    """A body of JSON as a value of a form.

    Raises:
        BadQuestion: it is not one.
    """
    try:
        value = msgspec.json.decode(body, type=form)
        refuse_in_body(body)
        return value
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
    rest = bytearray()
    size = values = 0
    for piece in _unpacked(body, encoding, found):
        size += len(piece)
        values += _values(piece)
        if size > settings.max_unpacked_bytes:
            raise TooLarge(f"the body is larger than {settings.max_unpacked_bytes} bytes unpacked", len(found) + 1)
        if len(found) + piece.count(b"\n") > settings.max_lines:
            raise TooLarge(f"the body has more than {settings.max_lines} lines; send fewer", settings.max_lines + 1)
        if values > settings.max_values:
            raise TooLarge(f"the body has more than {settings.max_values} values; send fewer", len(found) + 1)
        # Pieces may be of a few bytes: each is looked at once, and no line is put together more often than it has ends.
        whole, end, behind = piece.rpartition(b"\n")
        if end:
            for line in (bytes(rest) + whole).split(b"\n"):
                _expect_short(line, found)
                found.append(line)
            rest.clear()
        rest += behind
        _expect_short(rest, found)
    if rest:
        raise BadRecord(len(found) + 1, "the line has no end; each line ends with a newline")
    return found


def announced_bytes(request: Request) -> int:
    """How large the body is going to be at most."""
    limit = settings_of(request).max_body_bytes
    said = _said_bytes(request)
    return limit if said is None else min(said, limit)


def _said_bytes(request: Request) -> int | None:
    """How large it says that its body is, None where it does not."""
    said = request.headers.get("content-length", "")
    return int(said[:16]) if said.isdecimal() else None  # of 16 digits it is too large in any case


def _expect_short(line: bytes | bytearray, before: list[bytes]) -> None:
    if len(line) > MAX_LINE_BYTES:
        raise TooLarge(f"the line is longer than {MAX_LINE_BYTES} bytes", len(before) + 1)


def _values(text: bytes) -> int:
    """How many values a piece of JSON has, at most: the least of them takes 30 times its text."""
    return text.count(b",") + text.count(b"[") + text.count(b"{")


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
                yield from gunzipped(body)
            case "zstd":
                yield from unzstd(body)
            case _:
                raise UnsupportedBody(f"Content-Encoding {encoding!r}; this server takes gzip, zstd, or none")
    except (zlib.error, zstandard.ZstdError, EOFError) as exc:
        raise BadRecord(len(found) + 1, f"the {encoding} body cannot be unpacked: {exc}") from exc
