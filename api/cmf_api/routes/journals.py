"""Journals: where each stands, and the records that sites push."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from functools import partial

from anyio import to_thread
from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from cmf.core import chunks
from cmf.core.chunks import Chunk, Merged
from cmf.core.errors import BadRecord
from cmf.core.store import Store
from cmf.core.wire import NDJSON, Journals, Received
from cmf_api.answers import BODY, Name, answer, answers
from cmf_api.archive import Recorder
from cmf_api.archive.taking import frame_of_chunk
from cmf_api.bodies import announced_bytes, lines, read, settings_of
from cmf_api.clocks import Clocks, ahead_seconds, stamped_ahead_seconds
from cmf_api.duplicates import refuse_in_lines
from cmf_api.freshness import fresh
from cmf_api.pulse import count_merged
from cmf_api.restriction import expect_within
from cmf_api.told import told_of
from cmf_api.turns import Turns
from cmf_api.writer import BYTES_OF_A_RECORD, Writer

router = APIRouter(tags=["journals"])


@router.get("/v1/journals/{site}", dependencies=[Depends(fresh)], responses=answers(Journals))
def heads(request: Request, site: Name) -> Response:
    """Up to where each segment of a site's journal is in the graph."""
    store: Store = request.app.state.store
    found = store.heads(site)
    return answer(
        Journals(
            segments={segment: head.sequence for segment, head in found.items()},
            offsets={segment: head.offset for segment, head in found.items()},
        )
    )


@router.post(
    "/v1/journals/{site}/{segment}",
    responses=answers(Received, *BODY, 409),
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "Consecutive lines of a segment, the first time from its header on; gzip or zstd if "
            "Content-Encoding says so. See the protocol page.",
            "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
        }
    },
)
async def push(request: Request, site: Name, segment: Name) -> Response:
    """Take records of a segment into the graph: all of these lines, or none."""
    turns: Turns = request.app.state.turns
    writer: Writer = request.app.state.writer
    async with turns.place(site, announced_bytes(request)) as place:  # before its body is read
        ahead = ahead_seconds(request.headers.get("date"))  # now: a body may take its time
        body = await read(request, NDJSON)
        encoding = request.headers.get("content-encoding")
        async with place.turn(len(body)):
            work = partial(_receive, request, site, segment, body, encoding)
            chunk, taken = await to_thread.run_sync(work, limiter=request.app.state.receiving)
            outcome = asyncio.wrap_future(taken)
            if writer.is_full:  # else others are read meanwhile, and share the transaction
                await outcome
        merged = await outcome
    return answer(await run_in_threadpool(_received, request, site, chunk, merged, ahead))


def _receive(
    request: Request, site: str, segment: str, body: bytes, encoding: str | None
) -> tuple[Chunk, Future[Merged]]:
    """Read a body and let it wait for the store."""
    writer: Writer = request.app.state.writer
    told = told_of(request.scope)
    received = lines(body, encoding, settings_of(request))
    if not received:
        raise BadRecord(1, "there is no line")
    told.counts["lines"] = len(received)
    chunk = chunks.parse(site, segment, received)
    refuse_in_lines(received, chunk.records)
    start = 2 if chunk.header else 1
    expect_within(told.who, site, enumerate((record.op for record in chunk.records), start), request.app.state.store)
    archive: Recorder = request.app.state.archive
    frame = frame_of_chunk(chunk, archive.pack(body, encoding, received))
    taken = writer.submit(
        lambda transaction: chunks.merge(transaction, chunk),
        max(len(chunk.records), sum(chunk.lengths) // BYTES_OF_A_RECORD),
        lambda merged: [frame] if merged.applied or merged.begun else [],
        site,
    )
    return chunk, taken


def _received(request: Request, site: str, chunk: Chunk, merged: Merged, ahead: int) -> Received:
    count_merged(request.app, site, chunk, merged)
    if chunk.records:
        ahead = max(ahead, stamped_ahead_seconds(chunk.records[-1].at), key=abs)
    clocks: Clocks = request.app.state.clocks
    clocks.note(site, ahead)
    told_of(request.scope).counts |= {"applied": merged.applied, "duplicates": merged.duplicates}
    return Received(merged.head.sequence, merged.applied, merged.duplicates, ahead)
