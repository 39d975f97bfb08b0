"""Packed bodies, unpacked in pieces of bounded size, in a time that their length bounds."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

import zstandard

MAX_MEMBERS: Final = 10_000
"""How many gzip members a body may have."""

_PIECE: Final = 1 << 18
_GZIP_STEP: Final = 1 << 14
_ZSTD_STEP: Final = 64


def gunzipped(body: bytes) -> Iterator[bytes]:
    """The members of a gzip body, one after the other.

    What is left over is copied at each step, so steps are short: a body may be many members without content.

    Raises:
        zlib.error, EOFError: it is none.
    """
    start = members = 0
    while start < len(body):
        if (members := members + 1) > MAX_MEMBERS:
            raise EOFError(f"it has more than {MAX_MEMBERS} members")
        unpacker = zlib.decompressobj(wbits=31)
        while not unpacker.eof:
            step = unpacker.unconsumed_tail
            if not step:
                step = body[start : start + _GZIP_STEP]
                start += len(step)
                if not step:
                    raise EOFError("it ends too early")
            yield unpacker.decompress(step, _PIECE)
        start -= len(unpacker.unused_data)


def unzstd(body: bytes) -> Iterator[bytes]:
    """A zstd frame. A byte of it can stand for 32 KiB, so few are unpacked at a time.

    Raises:
        zstandard.ZstdError, EOFError: it is none.
    """
    unpacker = zstandard.ZstdDecompressor(max_window_size=1 << 25).decompressobj()
    for start in range(0, len(body), _ZSTD_STEP):
        if unpacker.eof:
            raise EOFError("something follows its end")
        yield unpacker.decompress(body[start : start + _ZSTD_STEP])
    if not unpacker.eof:
        raise EOFError("it ends too early")
    if unpacker.unused_data:
        raise EOFError("something follows its end")
