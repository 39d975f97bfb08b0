"""Sites: what of each is in the graph, and what it did lately."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from cmf.core.store import SiteHeads, Store
from cmf.core.wire import SiteRefusal, Sites, SiteState
from cmf_api.answers import answer, answers
from cmf_api.sitebook import SiteBook, SiteNote

router = APIRouter(tags=["sites"])


@router.get("/v1/sites", responses=answers(Sites, 422, 503))
def sites(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    cursor: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """Sites by name: segments and records in the graph, the last push, its lag, and what was refused."""
    store: Store = request.app.state.store
    book: SiteBook = request.app.state.sites
    heads = {of.site: of for of in store.sites(cursor, limit + 1)}
    # Of some only refusals are known: they have nothing in the store.
    names = sorted(heads.keys() | book.notes(after=cursor, limit=limit + 1).keys())
    shown = names[:limit]
    notes = book.notes(shown)
    items = tuple(_state(heads.get(site, SiteHeads(site, 0, 0)), notes.get(site) or SiteNote()) for site in shown)
    return answer(Sites(items, shown[-1] if len(names) > limit else None))


def _state(heads: SiteHeads, note: SiteNote) -> SiteState:
    return SiteState(
        site=heads.site,
        segments=heads.segments,
        records=heads.records,
        last_push=None if note.pushed is None else _time(note.pushed),
        lag_seconds=None if note.lag is None else round(note.lag, 3),
        refusals=note.refusals,
        last_refusal=None if note.refused is None else SiteRefusal(_time(note.refused), note.refusal or ""),
    )


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
