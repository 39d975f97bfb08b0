"""The archive, for other servers: everything that was accepted, from a cursor on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from cmf import __version__
from cmf.clock import now
from cmf_api.answers import Problem, answers
from cmf_api.archive import Recorder
from cmf_api.archive.frames import FORMAT, ArchiveFrame, EndFrame, pack_header
from cmf_api.archive.reading import MAX_CURSOR, START, Position, Reading, raw_of, read_cursor, write_cursor
from cmf_api.archive.writing import folder_of
from cmf_api.bodies import settings_of
from cmf_api.errors import NothingKept

router = APIRouter(tags=["archive"])

GZIP: Final = "application/gzip"
PIECE_BYTES: Final = 1 << 18
MAX_ANSWER_BYTES: Final = 8 << 20
"""An answer has a frame more than fits into this at most."""


@router.get(
    "/v1/archive",
    response_class=StreamingResponse,
    responses=answers(Problem, 404, 422, 503)
    | {
        200: {
            "description": "Frames as in the files of an archive; the last one says where the next answer begins.",
            "content": {GZIP: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
def archive(
    request: Request,
    after: Annotated[str, Query(max_length=MAX_CURSOR, description="Where an earlier answer ended.")] = "",
) -> Response:
    """What was accepted after a cursor, in the order in which it was, as it was received."""
    recorder: Recorder = request.app.state.archive
    if not recorder.server:
        raise NothingKept("this server keeps no archive; it was started with --no-archive")
    folder = folder_of(settings_of(request).home)
    position = read_cursor(after, recorder.server, folder) if after else START
    frames = _frames(folder, recorder.server, position or START, anew=position is None)
    return StreamingResponse(frames, media_type=GZIP)


def _frames(folder: Path, server: str, position: Position, anew: bool) -> Iterator[bytes]:
    yield pack_header(ArchiveFrame(at=now(), bytes=0, server=server, tool=f"cmf {__version__}", format=FORMAT))
    reading = Reading(folder, position)
    sent = 0
    piece = bytearray()  # each piece costs the server the same, however small
    for path, found in reading:
        piece += raw_of(path, found)
        sent += found.end - found.offset
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
        if sent >= MAX_ANSWER_BYTES:
            break
    yield bytes(piece)
    cursor = write_cursor(server, reading.position)
    yield pack_header(
        EndFrame(
            at=now(),
            bytes=0,
            cursor=cursor,
            more=sent >= MAX_ANSWER_BYTES,
            anew=anew,
            damage=tuple(reading.damage[:20]),
        )
    )
