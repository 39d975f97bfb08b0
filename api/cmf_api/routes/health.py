"""Whether the server lives, whether it can do its work, and how much it holds."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from cmf.core.errors import StoreIncompatible, StoreUnavailable
from cmf.core.model import Stats
from cmf.core.store import Store
from cmf_api.answers import Health, answer, answers
from cmf_api.bodies import settings_of
from cmf_api.clocks import Clocks
from cmf_api.freshness import fresh
from cmf_api.upstreams import lags

router = APIRouter(tags=["health"])


@router.get("/healthz", responses=answers(Health))
def healthz() -> Response:
    """The server lives."""
    return answer(Health("alive"))


@router.get("/readyz", responses=answers(Health) | {503: answers(Health)[200] | {"description": "Not ready"}})
def readyz(request: Request) -> Response:
    """The store can be reached and has the schema of this version; 503 if not."""
    store: Store = request.app.state.store
    try:
        store.check()
    except (StoreUnavailable, StoreIncompatible) as exc:
        return answer(Health("unavailable", str(exc)), 503)
    return answer(Health("ready"))


@router.get("/v1/stats", dependencies=[Depends(fresh)], responses=answers(Stats, 503))
def stats(request: Request) -> Response:
    """Counts by kind and by artifact type, how many sites have pushed, the last merge, and whose clock is off."""
    store: Store = request.app.state.store
    clocks: Clocks = request.app.state.clocks
    lag = lags(settings_of(request).home)
    return answer(msgspec.structs.replace(store.stats(), clocks=clocks.off, upstreams=lag))
