"""Pull: a slice of the graph, as the operations that make it."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from cmf.core.slices import answer, statements
from cmf.core.store import Store
from cmf.core.wire import NDJSON, PullQuestion
from cmf_api.answers import BODY, answers, asks
from cmf_api.bodies import read_json
from cmf_api.freshness import fresh

router = APIRouter(tags=["pull"], dependencies=[Depends(fresh)])


@router.post(
    "/v1/pull",
    response_class=StreamingResponse,
    responses=answers(PullQuestion, *BODY)
    | {
        200: {
            "description": "Operations with their stamps, one a line; the last line counts them and names the version.",
            "content": {NDJSON: {"schema": {"type": "string"}}},
        }
    },
    openapi_extra=asks(PullQuestion),
)
async def pull(request: Request) -> Response:
    """The operations of artifacts with their chain of lineage, of projects, and of pipelines."""
    question = await read_json(request, PullQuestion)
    store: Store = request.app.state.store
    told = await run_in_threadpool(answer, store, question)
    return StreamingResponse(statements(store, told), media_type=NDJSON)
