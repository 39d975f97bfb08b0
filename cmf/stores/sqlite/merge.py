"""Joining a delta into a SQLite store: rows for `sql/merge.sql`, a table at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from cmf.core import answers
from cmf.core.delta import Delta, ExecutionFact, Register
from cmf.core.foreign import PREFIX
from cmf.core.model import Execution
from cmf.core.operations import ForeignIdentity, NamedIdentity, RunIdentity
from cmf.core.records import Stamp, time_of
from cmf.core.values import encode
from cmf.stores.sqlite import read
from cmf.stores.sqlite.changes import Changes, Moment
from cmf.stores.sqlite.statements import statements

_MERGE = statements("merge")
Rows = Iterator[tuple[Any, ...]]

PIECE = 1_000
"""How many executions are read at a time."""

_IDS: msgspec.json.Decoder[dict[str, int]] = msgspec.json.Decoder(dict[str, int])


def merge(db: sqlite3.Connection, delta: Delta, recorded_at: str, moment: Moment) -> None:
    """Join a delta into the tables, inside the caller's transaction, which began at this moment."""
    changes = Changes(db, moment)
    version = moment.version
    ids = _entities(db, delta, recorded_at, version)
    contexts = _json([ids[key] for key in delta.contexts])
    untold = [row[0] for row in db.execute(_MERGE["untold_contexts"], {"ids": contexts})]
    tables: dict[str, Rows] = {
        "context": _contexts(delta, ids),
        "execution": _executions(delta, ids),
        "artifact": _artifacts(delta, ids),
        "artifact_type": ((ids[key], name) for key, fact in delta.artifacts.items() for name in fact.types),
        "use": _uses(delta, ids),
        "ending": _endings(delta, ids),
        "property": ((ids[key], name, r.stamp, r.order.decode()) for (key, name), r in delta.properties.items()),
        "retraction": (
            (ids[key], r.stamp, r.order.decode(), r.value, recorded_at) for key, r in delta.retractions.items()
        ),
        "relation": ((r.kind, ids[r.source], ids[r.target], first) for r, first in delta.relations.items()),
        "points": (
            (ids[key], series, chunk, r.stamp, r.order.decode(), version)
            for (key, series, chunk), r in delta.points.items()
        ),
    }
    for name, rows in tables.items():
        changes.join(name, rows)
    if untold:
        changes.moved.update(row[0] for row in db.execute(_MERGE["ran_in"], {"contexts": _json(untold)}))
    changes.moved |= _list_stated(db, [ids[key] for key in _may_be_stated(delta)], untold)
    changes.state()
    db.execute(_MERGE["progress"], (recorded_at, _greatest_time(delta)))


def _entities(db: sqlite3.Connection, delta: Delta, recorded_at: str, version: int) -> dict[str, int]:
    # In the order of the keys, so that the index is written page by page.
    keys = sorted(delta.keys() | delta.uses.keys())
    told = encode(keys).decode()
    db.execute(_MERGE["entities"], {"keys": told, "recorded_at": recorded_at, "version": version})
    (ids,) = db.execute(_MERGE["ids"], {"keys": told}).fetchone()
    return _IDS.decode(ids)


def _contexts(delta: Delta, ids: dict[str, int]) -> Rows:
    for key, fact in delta.contexts.items():
        of = fact.operation
        yield ids[key], fact.first, of.kind, of.name, ids[of.parent] if of.parent else None, of.namespace


def _executions(delta: Delta, ids: dict[str, int]) -> Rows:
    for key, fact in delta.executions.items():
        yield ids[key], fact.first, *_listed(fact), encode(fact.identity).decode()


def _listed(fact: ExecutionFact) -> tuple[Any, ...]:
    """What lists are narrowed and sorted by: name, pipeline, stage, type, project, branch, start.

    What statements say of it instead is filled in at the end, when all they say is there.
    """
    match fact.identity:
        case RunIdentity() as run:
            return run.stage, run.pipeline, run.stage, run.type, run.project, run.branch, run.started_at
        case NamedIdentity() as named:
            return named.name, named.pipeline, named.stage, named.stage, None, None, ""
        case ForeignIdentity() as foreign:
            return foreign.run, None, None, foreign.source, None, None, ""


def _artifacts(delta: Delta, ids: dict[str, int]) -> Rows:
    for key, fact in delta.artifacts.items():
        record = encode(fact.record).decode() if fact.record else None
        yield ids[key], fact.first, fact.name, fact.size_bytes, record, fact.sha256


def _uses(delta: Delta, ids: dict[str, int]) -> Rows:
    for key, use in delta.uses.items():
        execution, artifact = ids[use.execution], ids[use.artifact]
        ends = (artifact, execution) if use.direction == "input" else (execution, artifact)
        commit, url = delta.commits.get(key), delta.urls.get(key)
        yield ids[key], use.first, *ends, use.direction, use.path, *_register(commit), *_register(url)


def _register(register: Register[str] | None) -> tuple[str | None, str | None]:
    return (register.stamp, register.order.decode()) if register else (None, None)


def _endings(delta: Delta, ids: dict[str, int]) -> Rows:
    for key, r in delta.endings.items():
        yield ids[key], r.stamp, r.order.decode(), r.value.status, delta.starts_told.get(key)


def _may_be_stated(delta: Delta) -> set[str]:
    """The executions of which it may say anew what they are listed under."""
    found = {key for key, fact in delta.executions.items() if not isinstance(fact.identity, RunIdentity)}
    found |= delta.endings.keys()
    found |= {relation.source for relation in delta.relations if relation.kind == "ran_in"}
    return found | {key for key, name in delta.properties if name.startswith(PREFIX)}


def _list_stated(db: sqlite3.Connection, ids: list[int], contexts: list[int]) -> set[int]:
    """List the executions that statements say it of under what they say by now; `contexts` are those new to us.

    → Those that are in another pipeline, in another project or on another branch now.
    """
    moved: set[int] = set()
    if not ids and not contexts:
        return moved
    touched = dict(db.execute(_MERGE["stated"], {"ids": _json(ids), "contexts": _json(contexts)}).fetchall())
    waiting = iter(sorted(touched))
    while piece := list(islice(waiting, PIECE)):
        found = [node for node in read.nodes(db, piece) if isinstance(node, Execution)]
        for node in found:
            execution = touched[node.key]
            before = db.execute(_MERGE["membership"], (execution,)).fetchone()
            db.execute(_MERGE["listed"], (*_listed_answer(node), execution))
            if before != (node.pipeline, node.project, node.branch):
                moved.add(execution)
    return moved


def _listed_answer(node: Execution) -> tuple[Any, ...]:
    return node.name, node.pipeline, node.stage, node.type, node.project, node.branch, answers.listed_at(node)


def _json(value: object) -> str:
    return encode(value).decode()


def _greatest_time(delta: Delta) -> str:
    """The greatest time of a statement in it."""
    stamps: set[Stamp] = set(delta.relations.values())
    for facts in (delta.contexts, delta.executions, delta.artifacts, delta.uses):
        stamps.update(fact.first for fact in facts.values())
    for registers in (delta.endings, delta.commits, delta.urls, delta.properties, delta.retractions, delta.points):
        stamps.update(register.stamp for register in registers.values())
    return time_of(max(stamps, default=""))
