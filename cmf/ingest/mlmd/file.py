"""A SQLite file of ML Metadata (schema 4 and later), read with sqlite3 alone and never written.

It is copied as it is at one moment, into a temporary database on the disk: whoever writes it is held up no longer
than that, and what is read fits together.
"""

from __future__ import annotations

import base64
import json
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote

from cmf.core.errors import FileProblem
from cmf.core.values import Json, to_json

BATCH = 500
"""How many executions are read at a time: what bounds the memory."""

LONGEST = 150_000
"""How many characters of a text are one value: as JSON they are less than a value may be, whatever they are."""

EVENT_TYPES = (
    "UNKNOWN",
    "DECLARED_OUTPUT",
    "DECLARED_INPUT",
    "INPUT",
    "OUTPUT",
    "INTERNAL_INPUT",
    "INTERNAL_OUTPUT",
    "PENDING_OUTPUT",
)
EXECUTION_STATES = ("UNKNOWN", "NEW", "RUNNING", "COMPLETE", "FAILED", "CACHED", "CANCELED")
ARTIFACT_STATES = (
    "UNKNOWN",
    "PENDING",
    "LIVE",
    "MARKED_FOR_DELETION",
    "DELETED",
    "ABANDONED",
    "REFERENCE",
)

_NEEDED = {"Type", "Artifact", "ArtifactProperty", "Execution", "ExecutionProperty", "Event", "EventPath"} | {
    "Context",
    "ContextProperty",
    "Association",
    "Attribution",
}
_COLUMNS = {
    "Artifact": ("id", "type_id", "uri", "state", "name", "external_id"),
    "Execution": ("id", "type_id", "NULL", "last_known_state", "name", "external_id"),
    "Context": ("id", "type_id", "NULL", "NULL", "name", "external_id"),
}
_TIMES = ("create_time_since_epoch", "last_update_time_since_epoch")
_VALUES = ("int_value", "double_value", "string_value", "bool_value", "byte_value", "proto_value")


class Row(NamedTuple):
    """An artifact, an execution or a context. Times are milliseconds since 1970."""

    id: int
    type: str
    type_version: str | None
    uri: str | None
    state: int | None
    name: str | None
    external_id: str | None
    created: int
    updated: int
    properties: dict[str, Json]
    custom: dict[str, Json]
    unset: tuple[str, ...]
    """Properties that have no value."""


class Event(NamedTuple):
    """What an execution did with an artifact, by their ids. `path` is made of keys and indexes."""

    id: int
    artifact: int
    execution: int
    type: int
    milliseconds: int
    path: tuple[str | int, ...]


class MlmdFile:
    """A file as it was when it was opened.

    Raises:
        FileProblem: it is not there, cannot be read, or is no file of ML Metadata.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._translated():
            self._db = _copied(path)
            self._db.text_factory = lambda text: text.decode("utf-8", "replace")
            tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if missing := sorted(_NEEDED - tables):
                raise FileProblem(path, f"is no file of ML Metadata: it has no table {', '.join(missing)}")
            self._prepare(tables)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def count(self, table: str) -> int:
        """How many rows one of the tables has."""
        return int(self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 (our own names)

    def contexts(self) -> list[Row]:
        """Every context."""
        return [row for rows in self._batches("Context", "1") for row in rows]

    def parents(self) -> dict[int, list[int]]:
        """The parents of contexts."""
        found: dict[int, list[int]] = defaultdict(list)
        for child, parent in self._rows("SELECT context_id, parent_context_id FROM ParentContext ORDER BY 1, 2"):
            found[child].append(parent)
        return found

    def executions(self, contexts: Collection[int] | None) -> Iterator[list[Row]]:
        """Every execution, or those of some contexts, in pieces."""
        if contexts is None:
            return self._batches("Execution", "1")
        chosen = "SELECT execution_id FROM Association WHERE context_id IN (SELECT value FROM json_each(:contexts))"
        return self._batches("Execution", f"n.id IN ({chosen})", contexts=_ids(contexts))

    def unused_artifacts(self, contexts: Collection[int] | None) -> Iterator[list[Row]]:
        """The artifacts that no event of an execution names, or those of them in some contexts, in pieces."""
        unused = "n.id NOT IN (SELECT v.artifact_id FROM Event AS v JOIN Execution AS x ON x.id = v.execution_id)"
        if contexts is None:
            return self._batches("Artifact", unused)
        chosen = "SELECT artifact_id FROM Attribution WHERE context_id IN (SELECT value FROM json_each(:contexts))"
        return self._batches("Artifact", f"{unused} AND n.id IN ({chosen})", contexts=_ids(contexts))

    def artifacts(self, ids: Collection[int]) -> list[Row]:
        """The artifacts with these ids."""
        chosen = "n.id IN (SELECT value FROM json_each(:chosen))"
        return [row for rows in self._batches("Artifact", chosen, chosen=_ids(ids)) for row in rows]

    def events(self, executions: Collection[int]) -> list[Event]:
        """The events of these executions."""
        return self._events("execution_id", executions)

    def events_of(self, artifacts: Collection[int]) -> list[Event]:
        """The events of these artifacts."""
        return self._events("artifact_id", artifacts)

    def run_ids(self, executions: Collection[int]) -> list[Row]:
        """The executions with these ids."""
        chosen = "n.id IN (SELECT value FROM json_each(:chosen))"
        return [row for rows in self._batches("Execution", chosen, chosen=_ids(executions)) for row in rows]

    def associations(self, executions: Collection[int]) -> list[tuple[int, int]]:
        """Pairs of execution and context."""
        return self._pairs("Association", "execution_id", executions)

    def attributions(self, artifacts: Collection[int]) -> list[tuple[int, int]]:
        """Pairs of artifact and context."""
        return self._pairs("Attribution", "artifact_id", artifacts)

    def shared(self, uris: Collection[str]) -> set[str]:
        """Those of these addresses that several artifacts have."""
        statement = (
            "SELECT uri FROM Artifact WHERE uri IN (SELECT value FROM json_each(?)) GROUP BY uri HAVING count(*) > 1"
        )
        return {uri for (uri,) in self._rows(statement, json.dumps(sorted(uris)))}

    def dangling(self) -> int:
        """How many events name an artifact or an execution that is not there."""
        statement = (
            "SELECT count(*) FROM Event WHERE artifact_id NOT IN (SELECT id FROM Artifact)"
            " OR execution_id NOT IN (SELECT id FROM Execution)"
        )
        return int(next(iter(self._rows(statement)))[0])

    def _prepare(self, tables: set[str]) -> None:
        """Make the copy fit for reading by id, and like the newest schema."""
        if "ParentContext" not in tables:
            self._db.execute("CREATE TABLE ParentContext (context_id INT, parent_context_id INT)")
        self._db.execute("CREATE INDEX IF NOT EXISTS cmf_event_execution ON Event (execution_id)")
        self._db.execute("CREATE INDEX IF NOT EXISTS cmf_event_artifact ON Event (artifact_id)")
        self._db.execute("CREATE INDEX IF NOT EXISTS cmf_event_path ON EventPath (event_id)")
        self._db.execute("CREATE INDEX IF NOT EXISTS cmf_association ON Association (execution_id)")
        self._db.execute("CREATE INDEX IF NOT EXISTS cmf_attribution ON Attribution (artifact_id)")
        self._has = {
            table: {row[1] for row in self._db.execute(f"PRAGMA table_info({table})")} for table in tables | _NEEDED
        }

    # The text of each statement is made of this file's constants and the caller's; values are parameters.

    def _batches(self, table: str, condition: str, **parameters: str) -> Iterator[list[Row]]:
        columns = [self._column(table, name) for name in (*_COLUMNS[table], *_TIMES)]
        statement = (
            f"SELECT {', '.join(columns)}, t.name, {self._column('Type', 'version', 't')} "  # noqa: S608
            f"FROM {table} AS n LEFT JOIN Type AS t ON t.id = n.type_id "
            f"WHERE n.id > :after AND {condition} ORDER BY n.id LIMIT {BATCH}"
        )
        after = -(2**63)
        while found := self._rows(statement, after=after, **parameters):
            after = found[-1][0]
            yield self._whole(table, found)

    def _whole(self, table: str, found: list[tuple[Any, ...]]) -> list[Row]:
        said = self._properties(table, [row[0] for row in found])
        return [
            Row(
                id_,
                kind or f"type {type_id}",
                version,
                uri,
                state,
                name,
                external,
                self._milliseconds(created, table, id_),
                self._milliseconds(updated or created, table, id_),
                *said[id_],
            )
            for id_, type_id, uri, state, name, external, created, updated, kind, version in found
        ]

    def _milliseconds(self, value: object, table: str, id_: int) -> int:
        if not isinstance(value, int | None):
            raise FileProblem(self.path, f"{table} {id_} has the time {value!r}, which is no number of milliseconds")
        return value or 0

    def _properties(
        self, table: str, ids: list[int]
    ) -> dict[int, tuple[dict[str, Json], dict[str, Json], tuple[str, ...]]]:
        of = table.lower()
        columns = ", ".join(self._column(f"{table}Property", name, "n") for name in _VALUES)
        statement = (
            f"SELECT n.{of}_id, n.name, n.is_custom_property, {columns} FROM {table}Property AS n "  # noqa: S608
            f"WHERE n.{of}_id IN (SELECT value FROM json_each(:ids)) ORDER BY n.{of}_id, n.name"
        )
        declared: dict[int, dict[str, Json]] = defaultdict(dict)
        custom: dict[int, dict[str, Json]] = defaultdict(dict)
        unset: dict[int, list[str]] = defaultdict(list)
        for id_, name, is_custom, *values in self._rows(statement, ids=_ids(ids)):
            found = _pieces(*values)
            if not found:
                unset[id_].append(name)
            said = (custom if is_custom else declared)[id_]
            said |= {_piece_name(name, number, len(found)): value for number, value in enumerate(found, 1)}
        return {id_: (declared[id_], custom[id_], tuple(unset[id_])) for id_ in ids}

    def _events(self, by: str, ids: Collection[int]) -> list[Event]:
        paths: dict[int, list[str | int]] = defaultdict(list)
        chosen = f"SELECT id FROM Event WHERE {by} IN (SELECT value FROM json_each(:ids))"  # noqa: S608
        statement = f"SELECT event_id, is_index_step, step_index, step_key FROM EventPath WHERE event_id IN ({chosen})"  # noqa: S608
        for event, is_index, index, key in self._rows(f"{statement} ORDER BY event_id, rowid", ids=_ids(ids)):
            paths[event].append(index if is_index else key or "")
        columns = "id, artifact_id, execution_id, type, milliseconds_since_epoch"
        return [
            Event(id_, artifact, execution, type_ or 0, at or 0, tuple(paths[id_]))
            for id_, artifact, execution, type_, at in self._rows(
                f"SELECT {columns} FROM Event WHERE {by} IN (SELECT value FROM json_each(:ids)) ORDER BY id",  # noqa: S608
                ids=_ids(ids),
            )
        ]

    def _pairs(self, table: str, by: str, ids: Collection[int]) -> list[tuple[int, int]]:
        chosen = f"{by} IN (SELECT value FROM json_each(:ids))"  # noqa: S608
        found = self._rows(f"SELECT {by}, context_id FROM {table} WHERE {chosen} ORDER BY 1, 2", ids=_ids(ids))  # noqa: S608
        return [(one, context) for one, context in found]

    def _column(self, table: str, name: str, alias: str = "n") -> str:
        return f"{alias}.{name}" if name in self._has[table] else "NULL"

    def _rows(self, statement: str, *values: object, **named: object) -> list[tuple[Any, ...]]:
        with self._translated():
            return self._db.execute(statement, values or named).fetchall()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as exc:
            raise FileProblem(self.path, f"cannot be read as a file of ML Metadata: {exc}") from exc


def _copied(path: Path) -> sqlite3.Connection:
    """A copy of a database, at one moment, in a temporary file that goes when it is closed."""
    if not path.is_file():
        raise FileProblem(path, "is not there" if not path.exists() else "is no file")
    copy = sqlite3.connect("", isolation_level=None)
    try:
        with closing(sqlite3.connect(_address(path), uri=True, timeout=30)) as source:
            source.execute("PRAGMA schema_version").fetchone()
            source.backup(copy)
    except BaseException:
        copy.close()
        raise
    return copy


def _address(path: Path) -> str:
    """How to open a file so that nothing is written, not even beside it."""
    with path.open("rb") as file:
        head = file.read(20)
    alone = not Path(f"{path}-wal").exists() and not Path(f"{path}-journal").exists()
    # A file in WAL mode without its log has no writer; opened as usual, a log would be made.
    mode = "mode=ro&immutable=1" if head[18:20] == b"\x02\x02" and alone else "mode=ro"
    return f"file:{quote(str(path.resolve()))}?{mode}"


def _pieces(
    integer: int | None,
    double: float | None,
    text: str | None,
    truth: int | None,
    bytes_: bytes | str | None,
    proto: bytes | str | None,
) -> list[Json]:
    """A value as it is recorded: none where there is none, several where a text is too long for one."""
    if truth is not None:
        return [bool(truth)]
    if integer is not None:
        return [to_json(integer)]
    if double is not None:
        return [to_json(float(double))]
    if text is not None:
        return list(_cut(text))
    for kind, content in (("proto", proto), ("bytes", bytes_)):
        if content is not None:
            # ML Metadata itself writes a proto as base64.
            whole = content if isinstance(content, str) else base64.b64encode(content).decode()
            return [{kind: part} for part in _cut(whole)]
    return []


def _cut(text: str) -> Iterator[str]:
    yield text[:LONGEST]
    for start in range(LONGEST, len(text), LONGEST):
        yield text[start : start + LONGEST]


def _piece_name(name: str, number: int, of: int) -> str:
    return name if of == 1 else f"{name} (part {number:02} of {of:02})"


def _ids(ids: Iterable[int]) -> str:
    return json.dumps(list(ids))
