"""Which nodes a merge changes: most rows are of new ones and go in as they are, of others SQLite tells what changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from cmf.clock import milliseconds
from cmf.core.values import encode
from cmf.stores.sqlite.rows import Row, put_and_return, put_rows
from cmf.stores.sqlite.statements import statements

_MERGE = statements("merge")

_INPUT: Final = "input"

_OWNERS: Final = {
    "context": "id",
    "execution": "id",
    "artifact": "id",
    "artifact_type": "artifact",
    "use": "id, iif(kind = 'input', target, source)",
    "ending": "execution",
    "property": "entity",
    "retraction": "entity",
    "relation": "source, kind",
    "points": "execution",
}
"""By table, the entities that are newer when a row changes, of a use its execution too. (A relation's kind is none.)"""

_SAID: Final = ("property", "retraction")
"""The tables of what may be said of uses, too."""


class Moment(NamedTuple):
    """What a transaction begins with: the version that it makes, and the greatest id of an entity before it.

    Ids ascend: what the transaction puts in has a greater one, and bears the version from its start.
    """

    version: int
    known: int


def begin(db: sqlite3.Connection) -> Moment:
    """The next version, and what there was before it."""
    (version,) = db.execute(_MERGE["next_version"], (milliseconds(),)).fetchone()
    return Moment(version, db.execute(_MERGE["last_entity"]).fetchone()[0] or 0)


class Changes:
    """Joins rows into tables and notes what that changed."""

    def __init__(self, db: sqlite3.Connection, moment: Moment) -> None:
        self._db = db
        self._version, self._known = moment
        self._changed: set[int] = set()
        self._said: set[int] = set()
        self.moved: set[int] = set()
        """Executions that may be members of other projects or pipelines than before."""

    def join(self, table: str, rows: Iterable[Row]) -> None:
        """Join rows into a table."""
        new, known = _parted(table, list(rows), self._known)
        put_rows(self._db, _MERGE[table], new)
        changed = self._said if table in _SAID else self._changed
        for owners in put_and_return(self._db, _MERGE[table], known, _OWNERS[table]):
            match table:
                case "relation":
                    changed.add(owners[0])
                    if owners[1] == "ran_in":
                        self.moved.add(owners[0])
                case _:
                    changed.update(owners)
                    if table == "execution":
                        self.moved.update(owners)

    def state(self) -> None:
        """Let what changed have the version of this merge."""
        said = dict(self._db.execute(_MERGE["executions_of_uses"], {"ids": _json(self._said)})) if self._said else {}
        moved = {execution for execution in self.moved if execution <= self._known}
        changed = self._changed | (self._said - said.keys()) | set(said.values()) | moved
        for statement, ids in (("changed", changed), ("uses_moved", moved), ("points_moved", moved)):
            if ids:
                self._db.execute(_MERGE[statement], {"ids": _json(ids), "version": self._version})


def _parted(table: str, rows: list[Row], known: int) -> tuple[list[Row], list[Row]]:
    """The rows of which all owners are new, and the others. A call for each row would cost more than all else here."""
    match table:
        case "use":
            are_new = [row[0] > known and row[3 if row[4] == _INPUT else 2] > known for row in rows]
        case "relation":
            are_new = [row[1] > known for row in rows]
        case _:
            are_new = [row[0] > known for row in rows]
    if all(are_new):
        return rows, []
    parted: tuple[list[Row], list[Row]] = [], []
    for row, is_new in zip(rows, are_new, strict=True):
        parted[not is_new].append(row)
    return parted


def _json(ids: Collection[int]) -> str:
    return encode(sorted(ids)).decode()
