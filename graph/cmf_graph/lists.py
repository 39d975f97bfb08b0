"""Pages of nodes, filtered and in order."""

from __future__ import annotations

from typing import Any, NamedTuple

from cmf.core.paging import position_of
from cmf.core.store import Filters, ListKind
from cmf_graph.connection import Connection
from cmf_graph.queries import Query, load

_LAST = "\U0010ffff"
"""Sorts behind every time and key."""


class Listed(NamedTuple):
    """The keys of a page in order, whether more follow, and how many there are in all."""

    keys: list[str]
    more: bool
    total: int


def page(connection: Connection, kind: ListKind, filters: Filters, limit: int, cursor: str | None) -> Listed:
    """One page of a list. What a kind has no notion of matches nothing.

    An artifact's pipeline, stage and project are those of an execution that uses it.

    Raises:
        BadQuestion: the cursor is no cursor.
    """
    start = ("", "") if kind == "pipeline" else (_LAST, _LAST)
    at, key = position_of(cursor) if cursor else start
    if _is_foreign(kind, filters):
        return Listed([], False, 0)
    asked = _parameters(filters)
    rows = _read(connection, load(f"search/{kind}s"), asked | {"at": at, "key": key, "limit": limit + 1})
    total = _read(connection, load(f"search/{kind}s_count"), asked)[0][0]
    return Listed([row[0] for row in rows[:limit]], len(rows) > limit, total)


def _is_foreign(kind: ListKind, filters: Filters) -> bool:
    match kind:
        case "artifact":
            return filters.status is not None
        case "pipeline":
            return any((filters.type, filters.pipeline, filters.stage, filters.project, filters.status))
        case _:
            return False


def _parameters(filters: Filters) -> dict[str, Any]:
    return {
        "q": filters.q,
        "q_lower": filters.q.lower() if filters.q is not None else None,
        "name": filters.name,
        "type": filters.type,
        "pipeline": filters.pipeline,
        "stage": filters.stage,
        "project": filters.project,
        "status": filters.status,
        "used": any(value is not None for value in (filters.pipeline, filters.stage, filters.project)),
    }


def _read(connection: Connection, query: Query, parameters: dict[str, Any]) -> list[list[Any]]:
    return connection.read(query, **{name: parameters[name] for name in query.parameters})
