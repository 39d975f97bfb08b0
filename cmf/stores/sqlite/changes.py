"""Which nodes a merge changes: most rows are of new ones and go in as they are, the others are looked at one by one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable
from typing import Final, NamedTuple

from cmf.clock import milliseconds
from cmf.core.values import encode
from cmf.stores.sqlite.rows import Row, put_rows
from cmf.stores.sqlite.statements import statements

_MERGE = statements("merge")

_INPUT: Final = "input"


def _own(row: Row) -> tuple[int, ...]:
    return (row[0],)


def _of_use(row: Row) -> tuple[int, ...]:
    """The use and its execution."""
    return row[0], row[3] if row[4] == _INPUT else row[2]


def _of_relation(row: Row) -> tuple[int, ...]:
    return (row[1],)


_OWNERS: Final[dict[str, Callable[[Row], tuple[int, ...]]]] = {"use": _of_use, "relation": _of_relation}
"""By table, the entities that are newer when a row changes. Of every other table it is the row's own."""

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
        for row in known:
            if self._db.execute(_MERGE[table], row).rowcount:
                owners = _OWNERS.get(table, _own)(row)
                changed.update(owners)
                if table == "execution" or (table == "relation" and row[0] == "ran_in"):
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
            new = [row for row in rows if row[0] > known and row[3 if row[4] == _INPUT else 2] > known]
        case "relation":
            new = [row for row in rows if row[1] > known]
        case _:
            new = [row for row in rows if row[0] > known]
    if len(new) == len(rows):
        return new, []
    owners = _OWNERS.get(table, _own)
    return new, [row for row in rows if min(owners(row)) <= known]


def _json(ids: Collection[int]) -> str:
    return encode(sorted(ids)).decode()
