"""Operations from clients that keep no journal."""

from __future__ import annotations

import hashlib

from anyio import to_thread
from fastapi import APIRouter, Request, Response

from cmf.clock import now
from cmf.core.delta import fold
from cmf.core.errors import BadRecord, InvalidValue
from cmf.core.operations import check, check_time
from cmf.core.records import make_stamp
from cmf.core.values import encode
from cmf_api.answers import BODY, Stated, Taken, answer, answers, asks
from cmf_api.archive import Recorder
from cmf_api.archive.taking import frame_of_statements
from cmf_api.bodies import read_json, receiving
from cmf_api.restriction import expect_within
from cmf_api.told import told_of
from cmf_api.writer import Writer

router = APIRouter(tags=["operations"])


@router.post("/v1/operations", responses=answers(Taken, *BODY), openapi_extra=asks(Stated))
async def operations(request: Request) -> Response:
    """Take operations into the graph: all of them, or none."""
    stated = await read_json(request, Stated)
    return answer(await to_thread.run_sync(_take, request, stated, limiter=receiving(request)))


def _take(request: Request, stated: Stated) -> Taken:
    told = told_of(request.scope)
    told.counts["operations"] = len(stated.operations)
    if stated.at is not None:
        check_time(stated.at)
    for number, operation in enumerate(stated.operations, 1):
        try:
            check(operation)
        except InvalidValue as exc:
            raise BadRecord(number, str(exc)) from exc
    # Its content names the statement, so that one with a time may be repeated.
    origin = "post-" + hashlib.sha256(encode(stated.operations)).hexdigest()[:32]
    at = stated.at or now()
    delta = fold((make_stamp(at, origin, number), op) for number, op in enumerate(stated.operations, 1))
    expect_within(told.who, None, enumerate(stated.operations, 1), request.app.state.store)
    writer: Writer = request.app.state.writer
    archive: Recorder = request.app.state.archive
    lines = [encode(operation) for operation in stated.operations]
    frame = frame_of_statements(origin, at, lines, archive.pack(b"", None, lines))
    writer.do(lambda transaction: transaction.merge(delta), len(stated.operations), lambda _: [frame])
    told.counts["applied"] = len(stated.operations)
    return Taken(len(stated.operations))
