"""Fine-grained metrics: the series of an execution, and their points."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from cmf.core import series as rules
from cmf.core.model import Series, SeriesList, SeriesOfMany
from cmf.core.resolve import resolve
from cmf.core.series import MAX_POINTS, SeriesQuestion
from cmf.core.store import Store
from cmf_api.answers import BODY, Key, answer, answers, asks
from cmf_api.bodies import read_json
from cmf_api.freshness import fresh

router = APIRouter(tags=["series"], dependencies=[Depends(fresh)])

_EXACT = 2**53
Step = Annotated[int | None, Query(gt=-_EXACT, lt=_EXACT)]


@router.get("/v1/executions/{key}/series", responses=answers(SeriesList, 404, 409, 410))
def series(request: Request, key: Key) -> Response:
    """Each fine-grained metric of an execution in few words: how many points, the first, last, least, greatest."""
    store: Store = request.app.state.store
    return answer(rules.series_of(store, resolve(store, key)))


@router.get("/v1/executions/{key}/series/{name:path}", responses=answers(Series, 404, 409, 410))
def points(
    request: Request,
    key: Key,
    name: str,
    points: Annotated[int | None, Query(ge=10, le=MAX_POINTS)] = None,
    first: Annotated[Step, Query(alias="from")] = None,
    last: Annotated[Step, Query(alias="to")] = None,
) -> Response:
    """The points of one series, `from` a step `to` a step; more than `points` are thinned out, and it says so."""
    question = SeriesQuestion(executions=(key,), name=name, points=points, from_step=first, to_step=last)
    return answer(_ask(request, question).series[0])


@router.post("/v1/series", responses=answers(SeriesOfMany, *BODY, 404, 409, 410), openapi_extra=asks(SeriesQuestion))
async def points_of_many(request: Request) -> Response:
    """The points of one series of several executions."""
    question = await read_json(request, SeriesQuestion)
    return await run_in_threadpool(lambda: answer(_ask(request, question)))


def _ask(request: Request, question: SeriesQuestion) -> SeriesOfMany:
    store: Store = request.app.state.store
    whole = tuple(resolve(store, key) for key in question.executions)
    return rules.points_of(store, msgspec.structs.replace(question, executions=whole))
