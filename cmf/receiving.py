"""Answers of a server, read within bounds: whatever it is, it fills neither the memory nor the time of who asked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import httpx

from cmf.core.errors import ServerProblem, ServerUnreachable
from cmf.core.records import MAX_LINE_BYTES

MAX_ANSWER_BYTES: Final = 1 << 30
"""The greatest size of an answer that is read at once: a lineage of a million nodes is within it."""

MAX_REFUSAL_BYTES: Final = 1 << 20
"""That of one that is an error, or comes from what is no cmf server."""

SLOW_BYTES: Final = 64 << 10
"""A stream of lines that brings less than this in the time that a whole answer may take has stalled."""

SHOWN: Final = 1_000
"""How many characters of what a server says are shown."""


def whole(response: httpx.Response, most_bytes: int, end: float) -> bytes:
    """The body of an answer; `end` is the moment (of `time.monotonic`) when it must be there.

    Raises:
        ServerProblem: it is packed, or larger.
        ServerUnreachable: it does not come.
    """
    body = bytearray()
    for piece in pieces(response):
        body += piece
        if len(body) > most_bytes:
            raise ServerProblem(
                f"{_named(response)}: the answer has more than {most_bytes:,} bytes; ask for less, or check the address"
            )
        if time.monotonic() > end:
            raise ServerUnreachable(f"{_named(response)}: the answer does not come to an end; try again")
    return bytes(body)


def lines(response: httpx.Response, patience_seconds: float) -> Iterator[bytes]:
    """The lines of an answer that may be of any length, without their newlines, as they arrive.

    Raises:
        ServerProblem: it is packed, or a line is too long.
        ServerUnreachable: next to nothing came in `patience_seconds`.
    """
    rest = bytearray()
    came, end = 0, time.monotonic() + patience_seconds
    for piece in pieces(response):
        came += len(piece)
        if time.monotonic() > end:
            if came < SLOW_BYTES:
                raise ServerUnreachable(f"{_named(response)}: the answer has stalled; try again")
            came, end = 0, time.monotonic() + patience_seconds
        whole, newline, behind = piece.rpartition(b"\n")
        if newline:
            yield from (bytes(rest) + whole).split(b"\n")
            rest.clear()
            end = time.monotonic() + patience_seconds
        rest += behind
        if len(rest) > 2 * MAX_LINE_BYTES:
            raise ServerProblem(f"{_named(response)}: the answer has a line that no cmf server sends")
    if rest:
        yield bytes(rest)


def pieces(response: httpx.Response) -> Iterator[bytes]:
    """The body of an answer as it arrives.

    Raises:
        ServerProblem: it is packed.
    """
    packed = response.headers.get("content-encoding", "identity").strip().lower()
    if packed not in ("", "identity"):  # a piece of it could be thousands of times its size
        raise ServerProblem(f"{_named(response)}: the answer is packed ({shown(packed)}), which was not asked for")
    return response.iter_raw()


def shown(text: str) -> str:
    """What a server says, as it can be shown in a terminal: nothing in it acts on that."""
    plain = "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text[:SHOWN])
    return plain if len(text) <= SHOWN else f"{plain}…"


def _named(response: httpx.Response) -> str:
    return f"{response.request.url.copy_with(query=None, userinfo=b'')}"
