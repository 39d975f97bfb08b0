"""Whether the server lives, whether it can do its work, and how much it holds."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.concurrency import run_in_threadpool

from cmf.core.model import Stats
from cmf.core.store import Store
from cmf_api.answers import Health, answer, answers
from cmf_api.bodies import settings_of
from cmf_api.clocks import Clocks
from cmf_api.freshness import fresh
from cmf_api.metrics import Metrics
from cmf_api.pulse import measure
from cmf_api.readiness import Readiness
from cmf_api.upstreams import lags

router = APIRouter(tags=["health"])


@router.get("/healthz", responses=answers(Health))
def healthz() -> Response:
    """The server lives."""
    return answer(Health("alive"))


@router.get("/readyz", responses=answers(Health) | {503: answers(Health)[200] | {"description": "Not ready"}})
async def readyz(request: Request) -> Response:
    """The store can be reached and written and has the schema of this version, there is room on the disk, the writer
    lives, and the server is not stopping; 503 if not. Looked at once a second at most."""
    readiness: Readiness = request.app.state.readiness
    told = await readiness.told()
    return answer(told, 200 if told.status == "ready" else 503)


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={200: {"description": "OK", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    """What the server measures, in Prometheus' text format."""
    readiness: Readiness = request.app.state.readiness
    await readiness.told()
    measure(request.app)
    of: Metrics = request.app.state.metrics
    return Response(await run_in_threadpool(of.text), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/v1/stats", dependencies=[Depends(fresh)], responses=answers(Stats))
def stats(request: Request) -> Response:
    """Counts by kind and by artifact type, how many sites have pushed, the last merge, and whose clock is off."""
    store: Store = request.app.state.store
    clocks: Clocks = request.app.state.clocks
    lag = lags(settings_of(request).home)
    return answer(msgspec.structs.replace(store.stats(), clocks=clocks.off, upstreams=lag))
