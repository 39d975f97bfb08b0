"""What operations change: `apply` folds them into a delta, and stores join deltas into what they hold.

A delta is a piece of the graph in which every fact can be joined with any other telling of it: nodes and uses
by union, types by union, sizes by maximum, names and first-seen by the least stamp, everything that can be
said anew by the greatest. The join is commutative, associative and idempotent, so any order, grouping and
repetition of operations gives the same graph. (The field calls this a delta-state CRDT.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from typing import Generic, NamedTuple, TypeVar, assert_never

from cmf.core import identity
from cmf.core.model import Point, UseKind
from cmf.core.operations import (
    EndExecution,
    ExecutionIdentity,
    ForeignIdentity,
    Operation,
    PutArtifact,
    PutContext,
    PutExecution,
    PutPoints,
    PutRelation,
    PutUse,
    RecordIdentity,
    Retract,
    SetProperty,
)
from cmf.core.records import Stamp
from cmf.core.values import Json, encode

T = TypeVar("T")


class Register(NamedTuple, Generic[T]):
    """A value and the stamp of its telling. `order` breaks the tie of two values with one stamp."""

    stamp: Stamp
    order: bytes
    value: T

    @classmethod
    def of(cls, stamp: Stamp, value: T) -> Register[T]:
        """The register of one telling."""
        return cls(stamp, encode(value), value)


class ContextFact(NamedTuple):
    """A context, all of it identity; `first` is the least stamp of its telling."""

    first: Stamp
    operation: PutContext


class ExecutionFact(NamedTuple):
    """The start of an execution, all of it identity."""

    first: Stamp
    identity: ExecutionIdentity


class ArtifactFact(NamedTuple):
    """An artifact: the name of its first telling, all its types (sorted), the greatest size and sha256 told."""

    first: Stamp
    name: str
    types: tuple[str, ...]
    size_bytes: int | None
    record: RecordIdentity | None
    sha256: str | None


class UseFact(NamedTuple):
    """A use, all of it identity."""

    first: Stamp
    execution: str
    artifact: str
    direction: UseKind
    path: str


class RelationFact(NamedTuple):
    """A relation, all of it identity."""

    kind: str
    source: str
    target: str


class Ending(NamedTuple):
    """How an execution ended."""

    status: str
    ended_at: str
    end_commit: str | None
    error: str | None


@dataclass
class Delta:
    """A piece of the graph. Keys of the dicts are those of nodes and uses, or as said."""

    contexts: dict[str, ContextFact] = field(default_factory=dict)
    executions: dict[str, ExecutionFact] = field(default_factory=dict)
    artifacts: dict[str, ArtifactFact] = field(default_factory=dict)
    uses: dict[str, UseFact] = field(default_factory=dict)
    relations: dict[RelationFact, Stamp] = field(default_factory=dict)
    """The least stamp of each relation's telling."""
    endings: dict[str, Register[Ending]] = field(default_factory=dict)
    starts_told: dict[str, str] = field(default_factory=dict)
    """The least start time told by `EndExecution`."""
    commits: dict[str, Register[str]] = field(default_factory=dict)
    """Of uses."""
    urls: dict[str, Register[str]] = field(default_factory=dict)
    """Of uses."""
    properties: dict[tuple[str, str], Register[Json]] = field(default_factory=dict)
    """By key and name; a null value is a deletion that still outranks older values."""
    retractions: dict[str, Register[str | None]] = field(default_factory=dict)
    """A null reason is one taken back."""
    points: dict[tuple[str, str, int], Register[tuple[Point, ...]]] = field(default_factory=dict)
    """By execution, series and number of the chunk."""

    def __bool__(self) -> bool:
        return any(getattr(self, part.name) for part in fields(self))

    def join(self, other: Delta) -> None:
        """Take in what another delta says."""
        for stamp, operation in operations(other):
            apply(operation, stamp, self)

    def keys(self) -> set[str]:
        """Every key that it speaks of, ends of uses and relations included."""
        found = {*self.contexts, *self.executions, *self.artifacts, *self.uses, *self.endings, *self.retractions}
        found.update(key for key, _ in self.properties)
        found.update(key for key, _, _ in self.points)
        for use in self.uses.values():
            found.update((use.execution, use.artifact))
        for relation in self.relations:
            found.update((relation.source, relation.target))
        found.update(fact.operation.parent for fact in self.contexts.values() if fact.operation.parent)
        return found


def fold(stamped: Iterable[tuple[Stamp, Operation]]) -> Delta:
    """The delta of many operations."""
    delta = Delta()
    for stamp, operation in stamped:
        apply(operation, stamp, delta)
    return delta


def apply(operation: Operation, stamp: Stamp, delta: Delta) -> None:
    """Take one operation into a delta. The only place that knows what an operation means."""
    match operation:  # what there is most of comes first
        case PutUse():
            _put_use(operation, stamp, delta)
        case PutArtifact():
            _put_artifact(operation, stamp, delta)
        case SetProperty():
            _latest(delta.properties, (operation.key, operation.name), Register.of(stamp, operation.value))
        case PutContext():
            _put_context(operation, stamp, delta)
        case PutExecution():
            _put_execution(operation, stamp, delta)
        case EndExecution():
            _end_execution(operation, stamp, delta)
        case PutRelation():
            relation = RelationFact(operation.kind, operation.source, operation.target)
            delta.relations[relation] = min(stamp, delta.relations.get(relation, stamp))
        case PutPoints():
            chunk = (operation.execution, operation.series, operation.chunk)
            _latest(delta.points, chunk, Register.of(stamp, operation.rows))
        case Retract():
            reason: Register[str | None] = Register.of(stamp, operation.reason)
            _latest(delta.retractions, operation.key, reason)
        case _:
            assert_never(operation)


def operations(delta: Delta) -> Iterator[tuple[Stamp, Operation]]:
    """The operations that fold into a delta: the inverse of `fold`."""
    for context in delta.contexts.values():
        yield context.first, context.operation
    for key, execution in delta.executions.items():
        yield execution.first, PutExecution(key=key, identity=execution.identity)
    for key, artifact in delta.artifacts.items():
        yield (
            artifact.first,
            PutArtifact(
                key=key,
                name=artifact.name,
                types=artifact.types,
                size_bytes=artifact.size_bytes,
                record=artifact.record,
                sha256=artifact.sha256,
            ),
        )
    yield from _use_operations(delta)
    for key, ending in delta.endings.items():
        yield ending.stamp, _end_operation(key, ending.value, delta.starts_told.get(key))
    for (key, name), value in delta.properties.items():
        yield value.stamp, SetProperty(key=key, name=name, value=value.value)
    for relation, first in delta.relations.items():
        yield first, PutRelation(kind=relation.kind, source=relation.source, target=relation.target)  # type: ignore[arg-type]
    for (key, series, chunk), rows in delta.points.items():
        yield rows.stamp, PutPoints(execution=key, series=series, chunk=chunk, rows=rows.value)
    for key, retraction in delta.retractions.items():
        yield retraction.stamp, Retract(key=key, reason=retraction.value)


def _use_operations(delta: Delta) -> Iterator[tuple[Stamp, Operation]]:
    for key, use in delta.uses.items():
        put = PutUse(execution=use.execution, artifact=use.artifact, direction=use.direction, path=use.path)
        yield use.first, put
        # The commit and the URL have stamps of their own: each is told again under its own.
        if commit := delta.commits.get(key):
            yield commit.stamp, _with(put, commit=commit.value)
        if url := delta.urls.get(key):
            yield url.stamp, _with(put, url=url.value)


def _with(put: PutUse, commit: str | None = None, url: str | None = None) -> PutUse:
    return PutUse(
        execution=put.execution,
        artifact=put.artifact,
        direction=put.direction,
        path=put.path,
        commit=commit,
        url=url,
    )


def _end_operation(key: str, ending: Ending, started_at: str | None) -> EndExecution:
    return EndExecution(
        key=key,
        status=ending.status,  # type: ignore[arg-type]
        ended_at=ending.ended_at,
        started_at=started_at,
        end_commit=ending.end_commit,
        error=ending.error,
    )


def _put_context(operation: PutContext, stamp: Stamp, delta: Delta) -> None:
    known = delta.contexts.get(operation.key)
    if known is None or stamp < known.first:
        delta.contexts[operation.key] = ContextFact(stamp, operation)


def _put_execution(operation: PutExecution, stamp: Stamp, delta: Delta) -> None:
    known = delta.executions.get(operation.key)
    if known is None or stamp < known.first:
        delta.executions[operation.key] = ExecutionFact(stamp, operation.identity)
    of = operation.identity
    if not isinstance(of, ForeignIdentity):
        # A run names its pipeline and stage, so telling of it tells of them.
        pipeline = identity.pipeline_key(of.pipeline, of.namespace)
        stage = identity.stage_key(of.pipeline, of.stage, of.namespace)
        for context in (
            PutContext(key=pipeline, kind="pipeline", name=of.pipeline, namespace=of.namespace),
            PutContext(key=stage, kind="stage", name=of.stage, parent=pipeline, namespace=of.namespace),
        ):
            _put_context(context, stamp, delta)


def _end_execution(operation: EndExecution, stamp: Stamp, delta: Delta) -> None:
    ending = Ending(operation.status, operation.ended_at, operation.end_commit, operation.error)
    _latest(delta.endings, operation.key, Register.of(stamp, ending))
    if operation.started_at is not None:
        known = delta.starts_told.get(operation.key, operation.started_at)
        delta.starts_told[operation.key] = min(known, operation.started_at)


def _put_artifact(operation: PutArtifact, stamp: Stamp, delta: Delta) -> None:
    types = tuple(sorted(set(operation.types)))
    told = ArtifactFact(stamp, operation.name, types, operation.size_bytes, operation.record, operation.sha256)
    known = delta.artifacts.get(operation.key)
    delta.artifacts[operation.key] = told if known is None else join_artifacts(known, told)


def join_artifacts(a: ArtifactFact, b: ArtifactFact) -> ArtifactFact:
    """What two tellings of one artifact say together."""
    first = min(a, b, key=lambda fact: (fact.first, fact.name))
    sizes = [fact.size_bytes for fact in (a, b) if fact.size_bytes is not None]
    types = a.types if a.types == b.types else tuple(sorted({*a.types, *b.types}))
    sha256 = max(a.sha256 or "", b.sha256 or "") or None
    return ArtifactFact(first.first, first.name, types, max(sizes, default=None), a.record or b.record, sha256)


def _put_use(operation: PutUse, stamp: Stamp, delta: Delta) -> None:
    key = identity.use_key(operation.execution, operation.artifact, operation.direction, operation.path)
    known = delta.uses.get(key)
    if known is None or stamp < known.first:
        delta.uses[key] = UseFact(stamp, operation.execution, operation.artifact, operation.direction, operation.path)
    if operation.commit is not None:
        _latest(delta.commits, key, Register.of(stamp, operation.commit))
    if operation.url is not None:
        _latest(delta.urls, key, Register.of(stamp, operation.url))


K = TypeVar("K")


def _latest(registers: dict[K, Register[T]], key: K, told: Register[T]) -> None:
    known = registers.get(key)
    if known is None or told[:2] > known[:2]:
        registers[key] = told
