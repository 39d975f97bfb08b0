"""Lists of a SQLite store: filtered, sorted, paged by the position of the last item."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from cmf.core.model import Page
from cmf.core.paging import cursor_of, position_of
from cmf.core.store import Filters, ListKind
from cmf.stores.sqlite import read

_USER: Final = """EXISTS (
    SELECT 1 FROM use AS u JOIN execution AS x ON x.id IN (u.source, u.target)
    WHERE (u.source = n.id OR u.target = n.id) AND {0})"""
_PLACE: Final = "where it ran"

# Another system's execution is listed under one place that it ran in, and found under every one.
_RAN_THERE: Final = """({0} OR {1}.id IN (
    SELECT r.source FROM context AS s LEFT JOIN context AS p ON p.id = s.parent
    JOIN relation AS r ON r.target = s.id AND r.kind = 'ran_in'
    JOIN execution AS f ON f.id = r.source AND f.identity LIKE '{{"rule":"foreign/%'
    WHERE {2}))"""
_PLACES: Final = {
    "pipeline": "(CASE s.kind WHEN 'stage' THEN p.name ELSE s.name END) = :pipeline",
    "stage": "s.kind = 'stage' AND s.name = :stage",
}
_STATUS: Final = """coalesce(d.status, CASE WHEN n.identity NOT LIKE '{"rule":"foreign/%' OR EXISTS (
    SELECT 1 FROM property AS p WHERE p.entity = n.id AND p.name = 'cmf.status' AND p.value = '"running"')
    THEN 'running' ELSE 'unknown' END) = :status"""

# Per kind: the table, what it is sorted by, and what each filter asks of a row.
_TABLES: Final[dict[str, tuple[str, str, dict[str, str]]]] = {
    "execution": (
        "execution AS n LEFT JOIN ending AS d ON d.execution = n.id",
        "n.started_at",
        {
            "type": "n.type = :type",
            "pipeline": _PLACE,
            "stage": _PLACE,
            "project": "n.project = :project",
            "status": _STATUS,
        },
    ),
    "artifact": (
        "artifact AS n",
        "n.first",
        {
            "type": "EXISTS (SELECT 1 FROM artifact_type AS t WHERE t.artifact = n.id AND t.type = :type)",
            "pipeline": _USER,
            "stage": _USER,
            "project": _USER,
        },
    ),
    "pipeline": ("context AS n", "n.name", {}),
}
_ANY_KIND: Final = {
    "q": "(instr(fold(n.name), fold(:q)) OR substr(e.key, instr(e.key, ':') + 1, length(:q)) = :q"
    " OR substr(e.key, 1, length(:q)) = :q)",
    "name": "n.name = :name",
}


def list_nodes(db: sqlite3.Connection, kind: ListKind, filters: Filters, limit: int, cursor: str | None) -> Page:
    """A page of a list; see the port."""
    table, order, _ = _TABLES[kind]
    asked = {name: value for name in filters.__struct_fields__ if (value := getattr(filters, name)) is not None}
    where = _conditions(kind, asked)
    source = f"FROM {table} JOIN entity AS e ON e.id = n.id WHERE {where}"
    total = db.execute(f"SELECT count(*) {source}", asked).fetchone()[0]
    rows = _page(db, kind, f"SELECT {order}, e.key {source}", asked, limit, cursor)
    keys = [key for _, key in rows[:limit]]
    found = {node.key: node for node in read.nodes(db, keys)}
    following = cursor_of(_position(kind, rows[limit - 1])) if len(rows) > limit else None
    return Page(items=tuple(found[key] for key in keys), next=following, total=total)


# The text of each statement below is made of this file's constants; values are parameters.


def _page(
    db: sqlite3.Connection, kind: ListKind, select: str, asked: dict[str, Any], limit: int, cursor: str | None
) -> list[tuple[str, str]]:
    order = _TABLES[kind][1]
    way, beyond = ("ASC", ">") if kind == "pipeline" else ("DESC", "<")
    parameters = asked | {"limit": limit + 1}
    if cursor is not None:
        parameters["after"], parameters["after_key"] = position_of(cursor)
        # An artifact's position is the time of its first stamp, and that time begins the stamp.
        compared = f"substr({order}, 1, 27)" if kind == "artifact" else order
        select += f" AND ({compared}, e.key) {beyond} (:after, :after_key)"
    compared = f"substr({order}, 1, 27)" if kind == "artifact" else order
    return db.execute(f"{select} ORDER BY {compared} {way}, e.key {way} LIMIT :limit", parameters).fetchall()


def _position(kind: ListKind, row: tuple[str, str]) -> tuple[str, str]:
    return (row[0][:27], row[1]) if kind == "artifact" else row


def _conditions(kind: ListKind, asked: dict[str, Any]) -> str:
    """The conditions of the filters asked for; a filter that this kind has no notion of matches nothing."""
    known = _TABLES[kind][2] | _ANY_KIND
    conditions = ["n.kind = 'pipeline'"] if kind == "pipeline" else ["1"]
    if users := [name for name in asked if known.get(name) is _USER]:
        conditions.append(_USER.format(" AND ".join(_of_execution("x", users))))
    conditions += _of_execution("n", [name for name in asked if known.get(name) is _PLACE])
    conditions += [known.get(name, "0") for name in asked if known.get(name) not in (_USER, _PLACE)]
    return " AND ".join(conditions)


def _of_execution(alias: str, names: list[str]) -> list[str]:
    """That an execution has the pipeline, stage and project asked for, pipeline and stage together."""
    places = [name for name in names if name in _PLACES]
    conditions = [f"{alias}.{name} = :{name}" for name in names if name not in places]
    if places:
        shown = " AND ".join(f"{alias}.{name} = :{name}" for name in places)
        conditions.append(_RAN_THERE.format(shown, alias, " AND ".join(_PLACES[name] for name in places)))
    return conditions
