"""Reading facts and nodes from a SQLite store, a table at a time over a list of ids."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec

from cmf.core import answers
from cmf.core.delta import ArtifactFact, ContextFact, Delta, Ending, ExecutionFact, Register, RelationFact, UseFact
from cmf.core.identity import kind_of
from cmf.core.model import Node, NodeDetail, Relation
from cmf.core.operations import ExecutionIdentity, PutContext, RecordIdentity
from cmf.core.records import Stamp
from cmf.core.series import POINTS
from cmf.core.values import encode
from cmf.stores.sqlite.statements import statements

_READ = statements("read")
_IDENTITIES: msgspec.json.Decoder[ExecutionIdentity] = msgspec.json.Decoder(ExecutionIdentity)
_RECORDS: msgspec.json.Decoder[RecordIdentity] = msgspec.json.Decoder(RecordIdentity)
_ENDINGS: msgspec.json.Decoder[Ending] = msgspec.json.Decoder(Ending)
_TYPES: msgspec.json.Decoder[tuple[str, ...]] = msgspec.json.Decoder(tuple[str, ...])


def ids(db: sqlite3.Connection, keys: Iterable[str]) -> list[int]:
    """The ids of the keys that the store knows."""
    return [row[0] for row in db.execute(_READ["entities"], {"keys": _json(list(keys))})]


def nodes(db: sqlite3.Connection, keys: Iterable[str]) -> list[Node]:
    """The nodes with these keys that the store knows."""
    named = [key for key in keys if kind_of(key) != "use"]
    found = db.execute(_READ["entities"], {"keys": _json(named)}).fetchall()
    of = Delta()
    at = {"ids": _json([row[0] for row in found])}
    _read_nodes(db, at, of)
    for key, series in db.execute(_READ["series"], at):
        # An answer names the series; their points are asked for by themselves.
        of.points[key, series, 0] = Register.of(Stamp(""), ())
    _read_places(db, at, of)
    return list(answers.nodes(of, (row[1] for row in found), {row[1]: row[2] for row in found}))


def detail(db: sqlite3.Connection, key: str, limit: int) -> NodeDetail | None:
    """One node whole."""
    found = nodes(db, [key])
    if not found:
        return None
    (node_id,) = ids(db, [key])
    total = db.execute(_READ["count_uses_of_node"], {"id": node_id}).fetchone()[0]
    use_ids = [row[0] for row in db.execute(_READ["use_ids_of_node"], {"id": node_id, "limit": limit})]
    of = Delta()
    at = {"ids": _json([node_id])}
    _read_uses(db, use_ids, of)
    _read_relations(db, "relations", at, of)
    _read_relations(db, "relations_to", at, of)
    in_order = sorted(of.uses, key=lambda use: (of.uses[use].direction, of.uses[use].path, use))
    return NodeDetail(
        node=found[0],
        uses=tuple(answers.edges(of, in_order)),
        uses_total=total,
        relations=answers.relations(of),
    )


def newer(db: sqlite3.Connection, keys: Collection[str], after: int) -> set[str]:
    """Those of these nodes and uses that are newer than a version."""
    return {row[0] for row in db.execute(_READ["newer"], {"keys": _json(list(keys)), "after": after})}


def state(db: sqlite3.Connection, keys: Collection[str] | None, points_after: int) -> Delta:
    """All that the store holds of these nodes, or of everything; see the port."""
    if keys is None:
        found = [row[0] for row in db.execute(_READ["every_entity"])]
    else:
        found = ids(db, (key for key in keys if kind_of(key) != "use"))
    of, at = Delta(), {"ids": _json(found)}
    _read_nodes(db, at, of)
    _read_uses(db, [row[0] for row in db.execute(_READ["use_ids_of_executions"], at)], of)
    _read_relations(db, "relations", at, of)
    for key, series, chunk, stamp, rows in db.execute(_READ["points"], at | {"after": points_after}):
        of.points[key, series, chunk] = _register(stamp, rows, POINTS.decode)
    if keys is not None:
        _say_of_uses(db, ids(db, (key for key in keys if kind_of(key) == "use")), of)
    return of


def told_of(db: sqlite3.Connection, node_ids: Collection[int]) -> Delta:
    """What the store holds of nodes themselves, and their relations to and from others."""
    of, at = Delta(), {"ids": _json(sorted(node_ids))}
    _read_nodes(db, at, of)
    _read_relations(db, "relations", at, of)
    _read_relations(db, "relations_to", at, of)
    return of


def relations(db: sqlite3.Connection, keys: Collection[str]) -> list[Relation]:
    """The relations at either end of these nodes."""
    of, at = Delta(), {"ids": _json(ids(db, keys))}
    _read_relations(db, "relations", at, of)
    _read_relations(db, "relations_to", at, of)
    return list(answers.relations(of))


def uses_among(db: sqlite3.Connection, use_ids: Collection[int]) -> list[str]:
    """The keys of those of these that are uses that have come."""
    of = Delta()
    _read_uses(db, sorted(use_ids), of)
    return list(of.uses)


def _say_of_uses(db: sqlite3.Connection, use_ids: list[int], of: Delta) -> None:
    """What was said of uses: it belongs to their own key, the use itself to its execution."""
    asked = Delta()
    _read_uses(db, use_ids, asked)
    for part in ("commits", "urls", "properties", "retractions"):
        getattr(of, part).update(getattr(asked, part))


def _read_nodes(db: sqlite3.Connection, at: dict[str, str], of: Delta) -> None:
    for key, first, kind, name, parent, namespace in db.execute(_READ["contexts"], at):
        of.contexts[key] = ContextFact(
            first, PutContext(key=key, kind=kind, name=name, parent=parent, namespace=namespace)
        )
    for key, first, identity in db.execute(_READ["executions"], at):
        of.executions[key] = ExecutionFact(first, _IDENTITIES.decode(identity))
    for key, first, name, size, record, sha256, types in db.execute(_READ["artifacts"], at):
        content = _RECORDS.decode(record) if record else None
        of.artifacts[key] = ArtifactFact(first, name, tuple(sorted(_TYPES.decode(types))), size, content, sha256)
    for key, stamp, body, started_at in db.execute(_READ["endings"], at):
        of.endings[key] = _register(stamp, body, _ENDINGS.decode)
        if started_at is not None:
            of.starts_told[key] = started_at
    _read_said(db, at, of)


def _read_places(db: sqlite3.Connection, at: dict[str, str], of: Delta) -> None:
    for key, first, stage, told, kind, name, namespace, parent, parent_told, *names in db.execute(_READ["places"], at):
        of.relations[RelationFact("ran_in", key, stage)] = first
        context = PutContext(key=stage, kind=kind, name=name, parent=parent, namespace=namespace)
        of.contexts[stage] = ContextFact(told, context)
        if parent_told:
            pipeline = PutContext(key=parent, kind="pipeline", name=names[0], namespace=names[1])
            of.contexts[parent] = ContextFact(parent_told, pipeline)


def _read_said(db: sqlite3.Connection, at: dict[str, str], of: Delta) -> None:
    """What can be said of nodes and uses alike."""
    for key, name, stamp, value in db.execute(_READ["properties"], at):
        of.properties[key, name] = _register(stamp, value)
    for key, stamp, body in db.execute(_READ["retractions"], at):
        of.retractions[key] = _register(stamp, body)


def _read_uses(db: sqlite3.Connection, use_ids: list[int], of: Delta) -> None:
    at = {"ids": _json(use_ids)}
    for key, first, kind, source, target, path, *registers in db.execute(_READ["uses"], at):
        execution, artifact = (target, source) if kind == "input" else (source, target)
        of.uses[key] = UseFact(first, execution, artifact, kind, path)
        commit_stamp, commit, url_stamp, url = registers
        if commit_stamp:
            of.commits[key] = _register(commit_stamp, commit)
        if url_stamp:
            of.urls[key] = _register(url_stamp, url)
    _read_said(db, at, of)


def _read_relations(db: sqlite3.Connection, statement: str, at: dict[str, str], of: Delta) -> None:
    for kind, source, target, first in db.execute(_READ[statement], at):
        of.relations[RelationFact(kind, source, target)] = first


def _register(stamp: str, body: str, decode: Callable[[str], Any] = msgspec.json.decode) -> Register[Any]:
    return Register(Stamp(stamp), body.encode(), decode(body))


def _json(value: Any) -> str:
    return encode(value).decode()
