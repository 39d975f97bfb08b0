"""All of a file of ML Metadata as statements, an execution after the other, with what it used.

Statements are stamped with the file's own times, so a copy that has grown adds its news, and copies at several sites
say the same.
"""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, Literal, NamedTuple

from cmf.clock import written
from cmf.core import foreign
from cmf.core.identity import file_key, use_key
from cmf.core.model import Code
from cmf.core.operations import (
    EndExecution,
    ForeignIdentity,
    PutArtifact,
    PutRelation,
    PutUse,
    put_execution,
    put_record,
)
from cmf.core.values import Json, fit, to_json
from cmf.ingest.mlmd import contexts
from cmf.ingest.mlmd.contexts import Place
from cmf.ingest.mlmd.file import ARTIFACT_STATES, EVENT_TYPES, EXECUTION_STATES, Event, MlmdFile, Row
from cmf.ingest.mlmd.naming import UUID, artifact_key, name_of, path_of, record_of, row_digest, run_of, type_of
from cmf.ingest.statements import Statements, is_to_come
from cmf.repository import Repository
from cmf.versioning.git import project_name, without_password

SOURCE: Final = "mlmd"
OWN = "mlmd"
"""The property that holds what a row has beside its properties: its type, name, uri, state, times."""

NO_TIME = written(0)

_LAST_MS = 7_258_118_399_999  # the year 2199
_INPUTS = {"DECLARED_INPUT", "INPUT", "INTERNAL_INPUT"}
_ENDED: dict[str, Literal["complete", "failed", "aborted"]] = {
    "COMPLETE": "complete",
    "CACHED": "complete",
    "FAILED": "failed",
    "CANCELED": "aborted",
}
_HELD_PASSWORD = re.compile(r"^[a-z][a-z0-9+.-]*://[^/@\s]+@", re.IGNORECASE)
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")


class Imported(NamedTuple):
    """What was found, how many statements of it were new, and notes of what was odd."""

    executions: int
    artifacts: int
    events: int
    contexts: int
    statements: int
    notes: tuple[str, ...]


def bring_in(
    repository: Repository, file: MlmdFile, pipeline: str | None = None, advance: Callable[[int], None] = lambda _: None
) -> Imported:
    """Record all that a file holds, or what it holds of one pipeline. What is known already is not said again.

    It is recorded in pieces; interrupted, the next import goes on. `advance` is told how many more rows are done.

    Raises:
        FileProblem: the file cannot be read.
        BadQuestion: it has no such pipeline.
    """
    return _Import(repository, file, pipeline, advance).whole()


class _Import:
    def __init__(
        self, repository: Repository, file: MlmdFile, pipeline: str | None, advance: Callable[[int], None]
    ) -> None:
        self._repository, self._file, self._advance = repository, file, advance
        self._rows = file.contexts()
        self._places = contexts.places(self._rows, file.parents())
        self._chosen = None if pipeline is None else contexts.among(self._places, pipeline)
        self._keys: dict[Place, str] = {}
        self._done: Counter[str] = Counter()
        self._notes: Counter[str] = Counter()
        self._seen: set[int] = set()
        self._fresh()

    def whole(self) -> Imported:
        self._contexts()
        self._record()
        for rows in self._file.executions(self._chosen):
            self._executions(rows)
            self._record()
            self._advance(len(rows))
        for rows in self._file.unused_artifacts(self._chosen):
            self._artifacts(rows, {})
            self._record()
            self._advance(len(rows))
        if dangling := self._file.dangling():
            self._notes["events that name an artifact or execution which is not in the file were left out"] = dangling
        of, notes = self._done, tuple(f"{count:,} {text}" for text, count in sorted(self._notes.items()))
        return Imported(of["executions"], len(self._seen), of["events"], of["contexts"], of["statements"], notes)

    def _fresh(self) -> None:
        self._say = Statements(SOURCE, self._repository.settings.namespace)

    def _record(self) -> None:
        self._done["statements"] += self._repository.take(self._say.stated)
        self._fresh()

    def _contexts(self) -> None:
        for row in self._rows:
            if self._chosen is not None and row.id not in self._chosen:
                continue
            self._done["contexts"] += 1
            created, updated = _time(row.created), _time(row.updated)
            for place in self._places[row.id]:
                key = self._context(created, place)
                self._say.set(updated, key, self._merged(row) | {OWN: _facts(row, None)})

    def _context(self, at: str, place: Place) -> str:
        """The key of a pipeline or stage, stated once."""
        if place not in self._keys:
            pipeline = self._say.pipeline(at, place.pipeline)
            self._keys[place] = pipeline if place.stage is None else self._say.stage(at, pipeline, place.stage)
        return self._keys[place]

    def _executions(self, rows: list[Row]) -> None:
        keys = {row.id: _execution_key(row) for row in rows}
        for row in rows:
            self._execution(row, keys[row.id])
        created = {row.id: _time(row.created) for row in rows}
        for execution, context in self._file.associations(keys):
            for place in self._places.get(context, ()):
                at = created[execution]
                self._say.ran_in(at, keys[execution], self._context(at, place))
        events = self._file.events(keys)
        artifacts = self._file.artifacts({event.artifact for event in events})
        used = self._artifacts(artifacts, keys)
        self._uses(events, {row.id: row for row in rows}, keys, {row.id: row for row in artifacts}, used)
        self._done["executions"] += len(rows)

    def _execution(self, row: Row, key: str) -> None:
        created, updated = _time(row.created), _time(row.updated)
        self._say.say(created, [put_execution(ForeignIdentity(source=SOURCE, run=run_of(row)))])
        declared, state = self._clean(row.properties), _named(EXECUTION_STATES, row.state)
        code = _code(declared)
        self._say.say(
            updated,
            foreign.state(
                key,
                name=fit(row.name) if row.name else None,
                type_=fit(row.type),
                started_at=created if created != NO_TIME else None,
                command=_command(declared.get("Execution")) if UUID in row.properties else (),
                code=code,
                project=project_name(code.remote, self._file.path.parent) if code and code.remote else None,
                running=state == "RUNNING",
                parameters={fit(name): value for name, value in self._clean(row.custom).items()},
            ),
        )
        self._say.set(updated, key, _escaped(declared) | {OWN: _facts(row, EXECUTION_STATES)})
        if state in _ENDED:
            end = EndExecution(
                key=key,
                status=_ENDED[state],
                ended_at=updated,
                started_at=created if created != NO_TIME else None,
                end_commit=_name(declared.get("Git_End_Commit")),
            )
            self._say.say(updated, [end])

    def _artifacts(self, rows: list[Row], keys: Mapping[int, str]) -> dict[int, str]:
        """State artifacts; → their keys by their ids."""
        owners = self._owners(rows, keys)
        found = {row.id: artifact_key(row, owners.get(row.id)) for row in rows}
        shared = self._file.shared({row.uri for row in rows if row.uri})
        places: dict[int, list[str]] = defaultdict(list)
        for artifact, context in self._file.attributions(found):
            places[artifact] += [place.label for place in self._places.get(context, ())]
        self._seen.update(found)
        for row in rows:
            self._artifact(row, found[row.id], owners.get(row.id), places[row.id], row.uri in shared)
        return found

    def _owners(self, rows: Iterable[Row], keys: Mapping[int, str]) -> dict[int, str]:
        """The keys of the executions that put metrics out, by the artifact's id."""
        metrics = {row.id for row in rows if row.type == "Metrics"}
        events = sorted(self._file.events_of(metrics), key=lambda event: (_is_input(event), event.id))
        first = {event.artifact: event.execution for event in reversed(events)}
        others = self._file.run_ids(set(first.values()) - keys.keys())
        known = dict(keys) | {row.id: _execution_key(row) for row in others}
        return {artifact: known[execution] for artifact, execution in first.items() if execution in known}

    def _artifact(self, row: Row, key: str, owner: str | None, places: list[str], is_shared: bool) -> None:
        created, updated = _time(row.created), _time(row.updated)
        record = record_of(row, owner)
        put = PutArtifact(key=key, name=name_of(row), types=(type_of(row),))
        self._say.say(created, [put_record(record) if record and put_record(record).key == key else put])
        facts = _facts(row, ARTIFACT_STATES)
        self._say.set(updated, key, self._merged(row) | {OWN: facts})
        if is_shared:
            # Several rows are one content: what they say differently is kept of each.
            whole: Json = {
                **facts,
                "properties": self._clean(row.properties),
                "custom_properties": self._clean(row.custom),
            }
            self._say.set(updated, key, {f"{OWN}.{row_digest(row)}": whole})
        self._say.set(updated, key, {fit(f"{OWN}.in.{label}"): True for label in places})
        labelled = row.custom.get("dataset_uri")
        if row.type == "Label" and isinstance(labelled, str) and _MD5.fullmatch(labelled):
            self._say.say(created, [PutRelation(kind="labels", source=key, target=file_key(labelled))])

    def _uses(
        self,
        events: list[Event],
        executions: Mapping[int, Row],
        execution_keys: Mapping[int, str],
        artifacts: Mapping[int, Row],
        artifact_keys: Mapping[int, str],
    ) -> None:
        said: dict[str, list[Json]] = defaultdict(list)
        latest: dict[str, str] = {}
        for event in events:
            if event.artifact not in artifacts:
                continue
            self._done["events"] += 1
            execution, artifact = execution_keys[event.execution], artifact_keys[event.artifact]
            at = _time(event.milliseconds or executions[event.execution].created)
            kind = _named(EVENT_TYPES, event.type)
            facts = to_json({"type": kind, "at": event.milliseconds, "path": event.path})
            if kind not in EVENT_TYPES or kind == "UNKNOWN":
                self._notes["events of no known type were kept as properties of their execution"] += 1
                self._say.set(at, execution, {fit(f"{OWN}.event.{artifact}"): facts})
                continue
            use = PutUse(
                execution=execution,
                artifact=artifact,
                direction="input" if _is_input(event) else "output",
                path=path_of(artifacts[event.artifact], event),
                url=_address(artifacts[event.artifact]),
            )
            self._say.say(at, [use])
            key = use_key(execution, artifact, use.direction, use.path)
            said[key].append(facts)
            latest[key] = max(at, latest.get(key, at))
        for key, told in said.items():
            self._say.set(latest[key], key, {f"{OWN}.events": told})

    def _merged(self, row: Row) -> dict[str, Json]:
        """The properties of a row under their names; a custom one that is called as a declared one says so."""
        declared, custom = self._clean(row.properties), self._clean(row.custom)
        renamed = {f"custom_properties_{name}" if name in declared else name: value for name, value in custom.items()}
        return _escaped(declared | renamed)

    def _clean(self, properties: Mapping[str, Json]) -> dict[str, Json]:
        """Properties without passwords in addresses, under names that can be recorded."""
        found: dict[str, Json] = {}
        for name, value in properties.items():
            if isinstance(value, str) and _HELD_PASSWORD.match(value):
                value = without_password(value)
                self._notes["addresses were kept without the user and password in them"] += 1
            if " (part 01 of " in name:
                self._notes["texts longer than a value may be were kept in parts"] += 1
            found[fit(name)] = value
        return found


def _address(row: Row) -> str | None:
    """Where the content can be fetched, where that is told by the URI."""
    return without_password(row.uri) if row.uri and "://" in row.uri else None


def _execution_key(row: Row) -> str:
    return put_execution(ForeignIdentity(source=SOURCE, run=run_of(row))).key


def _facts(row: Row, states: Collection[str] | None) -> dict[str, Json]:
    """What a row has beside its properties."""
    facts: dict[str, object] = {
        "id": row.id,
        "type": row.type,
        "type_version": row.type_version,
        "name": row.name,
        "uri": row.uri,
        "external_id": row.external_id,
        "state": _named(tuple(states), row.state) if states and row.state is not None else None,
        "created": row.created,
        "updated": row.updated,
        "unset": list(row.unset) or None,
    }
    return {name: to_json(value) for name, value in facts.items() if value is not None}


def _escaped(properties: Mapping[str, Json]) -> dict[str, Json]:
    """Properties that are not called as ours are."""
    own = (foreign.PREFIX, OWN + ".")
    return {f"property.{n}" if n.startswith(own) or n == OWN else n: value for n, value in properties.items()}


def _named(names: tuple[str, ...], number: int | None) -> str:
    number = number or 0
    return names[number] if 0 <= number < len(names) else str(number)


def _is_input(event: Event) -> bool:
    return _named(EVENT_TYPES, event.type) in _INPUTS


def _time(milliseconds: int) -> str:
    """A time of the file; one that has not come, or is before 1970, is none, which is the start of 1970."""
    at = written(milliseconds * 1000) if 0 < milliseconds <= _LAST_MS else NO_TIME
    return NO_TIME if is_to_come(at) else at


def _command(text: Json) -> tuple[str, ...]:
    """A command as cmflib keeps it: the text of a Python list, or what the user said."""
    if not isinstance(text, str) or not text:
        return ()
    try:
        parts = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return (text,)
    return tuple(parts) if isinstance(parts, list) and all(isinstance(p, str) and p for p in parts) else (text,)


def _code(declared: Mapping[str, Json]) -> Code | None:
    commit, remote = _name(declared.get("Git_Start_Commit")), _name(declared.get("Git_Repo"))
    return Code(commit=commit, remote=remote) if commit or remote else None


def _name(value: Json) -> str | None:
    return fit(value) if isinstance(value, str) and value.strip() else None
