"""Artifacts, executions and pipelines: lists, and one of each, whole."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from cmf.core.errors import UnknownKey
from cmf.core.identity import kind_of
from cmf.core.model import NodeDetail, Page
from cmf.core.resolve import resolve
from cmf.core.store import Filters, ListKind, Store
from cmf.core.wire import Resolved
from cmf_api.answers import Key, answer, answers
from cmf_api.freshness import fresh

router = APIRouter(tags=["graph"], dependencies=[Depends(fresh)])

MAX_PAGE = 1_000
Text = Annotated[str | None, Query(max_length=1_000)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]


async def _filters(
    q: Text = None,
    name: Text = None,
    type: Text = None,  # noqa: A002 (the parameter's name in the API)
    pipeline: Text = None,
    stage: Text = None,
    project: Text = None,
    status: Text = None,
) -> Filters:
    """What a list is narrowed to; see `Filters` of those that a kind of node has no notion of."""
    return Filters(q=q, name=name, type=type, pipeline=pipeline, stage=stage, project=project, status=status)


Narrowed = Annotated[Filters, Depends(_filters)]


@router.get("/v1/artifacts", responses=answers(Page))
def artifacts(request: Request, filters: Narrowed, limit: Limit = 100, cursor: Text = None) -> Response:
    """Artifacts, newest first. `pipeline`, `stage` and `project` are those of an execution that uses them."""
    return _list(request, "artifact", filters, limit, cursor)


@router.get("/v1/executions", responses=answers(Page))
def executions(request: Request, filters: Narrowed, limit: Limit = 100, cursor: Text = None) -> Response:
    """Executions, newest first."""
    return _list(request, "execution", filters, limit, cursor)


@router.get("/v1/pipelines", responses=answers(Page))
def pipelines(request: Request, filters: Narrowed, limit: Limit = 100, cursor: Text = None) -> Response:
    """Pipelines, by name."""
    return _list(request, "pipeline", filters, limit, cursor)


@router.get("/v1/artifacts/{key:path}", responses=answers(NodeDetail, 404, 409, 410))
def artifact(request: Request, key: Key, limit: Limit = 100) -> Response:
    """One artifact, whole, with up to `limit` of its uses."""
    return _one(request, key, "artifact", limit)


@router.get("/v1/executions/{key:path}", responses=answers(NodeDetail, 404, 409, 410))
def execution(request: Request, key: Key, limit: Limit = 100) -> Response:
    """One execution, whole, with up to `limit` of its uses."""
    return _one(request, key, "execution", limit)


@router.get("/v1/pipelines/{name:path}", responses=answers(NodeDetail, 404))
def pipeline(request: Request, name: str) -> Response:
    """The pipeline of this name; of several in different namespaces, the first."""
    store: Store = request.app.state.store
    found = store.list_nodes("pipeline", Filters(name=name), 1, None).items
    if not found:
        raise UnknownKey(name)
    return answer(store.detail(found[0].key, MAX_PAGE))


@router.get("/v1/resolve/{asked:path}", responses=answers(Resolved, 404, 409, 410))
def resolved(request: Request, asked: str) -> Response:
    """The key that has this prefix, or else the artifact last used under this path."""
    return answer(Resolved(resolve(request.app.state.store, asked)))


def _list(request: Request, kind: ListKind, filters: Filters, limit: int, cursor: str | None) -> Response:
    store: Store = request.app.state.store
    return answer(store.list_nodes(kind, filters, limit, cursor))


def _one(request: Request, asked: str, kind: str, limit: int) -> Response:
    store: Store = request.app.state.store
    key = resolve(store, asked)
    found = store.detail(key, limit) if kind_of(key) == kind else None
    if found is None:
        raise UnknownKey(asked)
    return answer(found)
