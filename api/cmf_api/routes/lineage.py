"""Lineage: where something comes from, and what it touched."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from cmf.core import lineage as rules
from cmf.core.lineage import DEFAULT_LIMIT, MAX_DEPTH, MAX_LIMIT, Question
from cmf.core.model import Lineage
from cmf.core.resolve import resolve
from cmf.core.store import Store
from cmf_api.answers import BODY, Key, answer, answers, asks
from cmf_api.bodies import read_json
from cmf_api.freshness import behind_of, fresh

router = APIRouter(tags=["lineage"], dependencies=[Depends(fresh)])


@router.get("/v1/lineage/{key:path}", responses=answers(Lineage, 404, 409, 410))
def lineage(
    request: Request,
    key: Key,
    direction: Literal["upstream", "downstream", "both"] = "both",
    depth: Annotated[int | None, Query(ge=0, le=MAX_DEPTH)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
    include_retracted: bool = False,
) -> Response:
    """The lineage of one artifact or execution."""
    question = Question(keys=(key,), direction=direction, depth=depth, limit=limit, include_retracted=include_retracted)
    return _ask(request, question)


@router.post("/v1/lineage", responses=answers(Lineage, *BODY, 404, 409, 410), openapi_extra=asks(Question))
async def lineage_of_many(request: Request) -> Response:
    """The lineage of many artifacts and executions together."""
    question = await read_json(request, Question)
    return await run_in_threadpool(_ask, request, question)


def _ask(request: Request, question: Question) -> Response:
    store: Store = request.app.state.store
    whole = tuple(resolve(store, key) for key in question.keys)
    found = rules.lineage(store, msgspec.structs.replace(question, keys=whole))
    if behind := behind_of(request):
        found = msgspec.structs.replace(found, complete=False, behind=behind)
    return answer(found)
