"""Taking nodes away for good, and keeping what comes of them later out of merges; see `cmf.core.pruning`."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from typing import Final

from cmf.core import pruning
from cmf.core.delta import Delta
from cmf.core.identity import kind_of
from cmf.core.pruning import Taken, Tombstone
from cmf.core.values import encode
from cmf.stores.sqlite import read
from cmf.stores.sqlite.statements import statements

_PRUNE = statements("prune")
_READ = statements("read")

_TABLES: Final = (
    "property",
    "retraction",
    "relation",
    "relation_to",
    "points",
    "ending",
    "execution",
    "artifact_type",
    "artifact",
    "use",
    "entity",
)
"""What is deleted, each by a statement `take_<name>`."""


def create(db: sqlite3.Connection) -> None:
    """Have the table of what was pruned, also in a store that was made without it."""
    db.execute(_PRUNE["table"])


def prune(db: sqlite3.Connection, keys: Collection[str], at: str) -> Taken:
    """See `Transaction.prune`."""
    known = _ids(db, keys)
    executions = {key: id_ for key, id_ in known.items() if kind_of(key) == "execution"}
    uses = dict(db.execute(_PRUNE["uses"], {"ids": _json(executions.values())}).fetchall())
    uses |= {key: id_ for key, id_ in known.items() if kind_of(key) == "use"}
    there = set(read.uses_among(db, uses.values()))
    _take(db, {**executions, **uses})
    artifacts = {key: id_ for key, id_ in known.items() if kind_of(key) == "artifact"}
    staying = {row[0] for row in db.execute(_PRUNE["used"], {"ids": _json(artifacts.values())})}
    artifacts = {key: id_ for key, id_ in artifacts.items() if id_ not in staying}
    _, told = pruning.part(read.told_of(db, artifacts.values()), (), artifacts)
    _take(db, artifacts)
    stays = {key for key, id_ in known.items() if kind_of(key) == "artifact" and id_ in staying}
    buried = {key for key in keys if kind_of(key) != "context"} - stays | uses.keys()
    _bury(db, buried, at, told)
    return Taken({*executions, *artifacts}, there)


def sift(db: sqlite3.Connection, delta: Delta, at: str) -> Delta:
    """A delta without what was pruned, which is put aside."""
    if not db.execute(_PRUNE["any"]).fetchone()[0]:
        return delta
    sifted = pruning.sift(delta, lambda keys: _find(db, keys))
    if sifted.back:
        db.execute(_PRUNE["back"], {"keys": _json(sifted.back)})
    _bury(db, sifted.aside, at, sifted.aside)
    if sifted.uses:
        prune(db, sifted.uses, at)  # what was said of them before they came
    return sifted.kept


def between(db: sqlite3.Connection, first: str, last: str, limit: int) -> list[Tombstone]:
    """See `Store.pruned`."""
    rows = db.execute(_PRUNE["between"], {"first": first, "last": last, "limit": limit})
    return [Tombstone(*row) for row in rows]


def count(db: sqlite3.Connection) -> int:
    """How many executions and artifacts were pruned."""
    found: int = db.execute(_PRUNE["count"]).fetchone()[0]
    return found


def _find(db: sqlite3.Connection, keys: Collection[str]) -> Mapping[str, Tombstone]:
    return {row[0]: Tombstone(*row) for row in db.execute(_PRUNE["found"], {"keys": _json(keys)})}


def _bury(db: sqlite3.Connection, keys: Collection[str], at: str, told: Mapping[str, Delta]) -> None:
    rows = [(key, at, pruning.pack(told[key]) if key in told else "") for key in sorted(keys)]
    db.executemany(_PRUNE["bury"], rows)


def _take(db: sqlite3.Connection, known: Mapping[str, int]) -> None:
    if known:
        ids = _json(known.values())
        for table in _TABLES:
            db.execute(_PRUNE[f"take_{table}"], {"ids": ids})


def _ids(db: sqlite3.Connection, keys: Collection[str]) -> dict[str, int]:
    return {key: id_ for id_, key, _ in db.execute(_READ["entities"], {"keys": _json(keys)})}


def _json(values: Collection[int] | Collection[str]) -> str:
    return encode(sorted(values)).decode()
