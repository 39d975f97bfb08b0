"""Operations from clients that keep no journal."""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import Future
from functools import partial
from typing import Final

from anyio import to_thread
from fastapi import APIRouter, Request, Response

from cmf.clock import now
from cmf.core.delta import fold
from cmf.core.errors import BadRecord, InvalidValue
from cmf.core.operations import check, check_sizes, check_time
from cmf.core.records import MAX_LINE_BYTES, make_stamp
from cmf.core.store import Transaction
from cmf.core.values import MAX_VALUE_BYTES, encode
from cmf_api.answers import BODY, Stated, Taken, answer, answers, asks
from cmf_api.archive import Recorder
from cmf_api.archive.taking import frame_of_statements
from cmf_api.bodies import announced_bytes, decoded, read_text_of_json
from cmf_api.idempotency import HEADER, REPLAYED_HEADER, key_of, once
from cmf_api.restriction import expect_within
from cmf_api.told import told_of
from cmf_api.turns import Turns
from cmf_api.writer import BYTES_OF_A_RECORD, Writer

router = APIRouter(tags=["operations"])

MAX_OPERATION_BYTES: Final = MAX_LINE_BYTES - 256
"""So that it fits into a line with its stamp, wherever it goes."""


@router.post(
    "/v1/operations",
    responses=answers(Taken, *BODY),
    openapi_extra=asks(Stated)
    | {
        "parameters": [
            {
                "name": HEADER,
                "in": "header",
                "required": False,
                "description": "Names the request: repeated with its key within a day, it has one effect and the "
                "same answer, and another request with the key is refused (422).",
                "schema": {"type": "string"},
            }
        ]
    },
)
async def operations(request: Request) -> Response:
    """Take operations into the graph: all of them, or none."""
    key_of(request)  # a wrong one is refused before the body is read
    turns: Turns = request.app.state.turns
    writer: Writer = request.app.state.writer
    # Whoever keeps no journal has no name of a site: those of one machine share the turns.
    poster = f"post:{request.client.host if request.client else ''}"
    async with turns.place(poster, announced_bytes(request)) as place:
        body = await read_text_of_json(request)
        async with place.turn(len(body)):
            work = partial(_state, request, body, poster)
            outcome = asyncio.wrap_future(await to_thread.run_sync(work, limiter=request.app.state.receiving))
            if writer.is_full:
                await outcome
        taken, is_replayed = await outcome
    told_of(request.scope).counts["applied"] = 0 if is_replayed else taken.applied
    told = answer(taken)
    if is_replayed:
        told.headers[REPLAYED_HEADER] = "true"
    return told


def _state(request: Request, body: bytes, poster: str) -> Future[tuple[Taken, bool]]:
    """Let operations wait for the store; → what tells the answer, and whether it was given before."""
    stated = decoded(body, Stated)
    who = told_of(request.scope)
    who.counts["operations"] = len(stated.operations)
    if stated.at is not None:
        check_time(stated.at)
    lines = [encode(operation) for operation in stated.operations]
    for number, (operation, line) in enumerate(zip(stated.operations, lines, strict=True), 1):
        try:
            check(operation)
            if len(line) > MAX_VALUE_BYTES:
                check_sizes(operation)
        except InvalidValue as exc:
            raise BadRecord(number, str(exc)) from exc
        if len(line) > MAX_OPERATION_BYTES:
            raise BadRecord(number, f"{len(line)} bytes; an operation may have up to {MAX_OPERATION_BYTES}")
    # Its content names the statement, so that one with a time may be repeated.
    said = encode(stated.operations)
    origin = "post-" + hashlib.sha256(said).hexdigest()[:32]
    at = stated.at or now()
    delta = fold((make_stamp(at, origin, number), op) for number, op in enumerate(stated.operations, 1))
    expect_within(who.who, None, enumerate(stated.operations, 1), request.app.state.store)
    archive: Recorder = request.app.state.archive
    frame = frame_of_statements(origin, at, lines, archive.pack(b"", None, lines))
    taken = Taken(len(stated.operations))
    keyed = once(request, stated, said)

    def work(transaction: Transaction) -> tuple[Taken, bool]:
        if keyed is not None and (before := keyed.answered(transaction)) is not None:
            return before, True
        transaction.merge(delta)
        if keyed is not None:
            keyed.keep(transaction, taken)
        return taken, False

    writer: Writer = request.app.state.writer
    weight = max(taken.applied, len(said) // BYTES_OF_A_RECORD)
    return writer.submit(work, weight, lambda done: [] if done[1] else [frame], poster)
