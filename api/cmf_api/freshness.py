"""`at_least`: an answer waits until the store knows the positions that it names, or says that it does not."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Final

from fastapi import Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cmf.core.errors import BadQuestion
from cmf.core.freshness import Position, behind, positions_of, words
from cmf.core.model import Behind
from cmf.core.store import Store
from cmf.core.wire import BEHIND_HEADER
from cmf_api.bodies import settings_of
from cmf_api.errors import BadToken

MAX_TOLD: Final = 16
"""How many positions the header names; of more, their number follows as `+N`."""

MAX_TOKEN: Final = 40_000
MAX_WAITING: Final = 64
"""How many reads wait at once; others are answered with what there is."""

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.01, 0.1
_KEY = "cmf.behind"

Token = Annotated[
    str | None,
    Query(
        description="The token of a push: the answer is to know what it sent. If it does not come within a "
        "moment, the answer says so: by the header Cmf-Behind, and in `behind` of a lineage.",
    ),
]


async def fresh(request: Request, at_least: Token = None) -> None:
    """Wait, within bounds, until the store has what the request asks for.

    Raises:
        BadToken: `at_least` names no positions.
    """
    if at_least is None:
        return
    if len(request.query_params.getlist("at_least")) > 1:
        raise BadToken("at_least is given twice; join the positions by commas")
    if len(at_least) > MAX_TOKEN:
        raise BadToken(f"at_least is longer than {MAX_TOKEN} characters")
    try:
        positions = positions_of(at_least)
    except BadQuestion as exc:
        raise BadToken(str(exc)) from exc
    request.scope[_KEY] = await _missing(request, positions)


def behind_of(request: Request) -> tuple[Behind, ...]:
    """What the store did not have of what the request asked for, when that had been waited for."""
    return tuple(request.scope.get(_KEY, ()))


async def _missing(request: Request, positions: list[Position]) -> list[Behind]:
    store: Store = request.app.state.store
    deadline = time.monotonic() + settings_of(request).freshness_seconds
    pause = _FIRST_PAUSE_SECONDS
    missing = await run_in_threadpool(_behind, store, positions)
    waiting = request.app.state.waiting_reads
    if waiting.statistics().borrowed_tokens >= MAX_WAITING:
        return missing
    async with waiting:
        while missing and time.monotonic() < deadline:
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE_SECONDS, pause * 1.5)
            missing = await run_in_threadpool(_behind, store, positions)
    return missing


def _behind(store: Store, positions: list[Position]) -> list[Behind]:
    return behind(positions, {site: store.heads(site) for site in {position.site for position in positions}})


class TellBehind:
    """Puts the header `Cmf-Behind` on every answer, an error too, that knows less than was asked for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI has it."""

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start" and (missing := scope.get(_KEY)):
                message["headers"] = [*message["headers"], (BEHIND_HEADER.lower().encode(), _header(missing))]
            await send(message)

        await self._app(scope, receive, told)


def _header(missing: list[Behind]) -> bytes:
    named = [words(one) for one in missing[:MAX_TOLD]]
    more = [f"+{len(missing) - MAX_TOLD}"] if len(missing) > MAX_TOLD else []
    return ",".join(named + more).encode()
