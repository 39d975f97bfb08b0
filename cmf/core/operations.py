"""The closed union of operations: immutable statements about the graph, the only thing written, sent, merged.

Every operation may be repeated and may arrive in any order. As JSON each is one object whose member `is`
names the operation. What each changes is in `delta.apply`; identity rules are in `identity`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec

from cmf.core import identity
from cmf.core.errors import InvalidValue
from cmf.core.identity import KEY_PATTERN
from cmf.core.model import Code, Point, UseKind
from cmf.core.values import MAX_NAME, MAX_VALUE_BYTES, Json, check_json, check_number, encode

Key = Annotated[str, msgspec.Meta(pattern=KEY_PATTERN)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME, pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)")]
Path = Annotated[str, msgspec.Meta(min_length=1, max_length=4096, pattern=r"^[^\x00]*$(?!\n)")]
Text = Annotated[str, msgspec.Meta(max_length=1 << 20)]
Time = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$(?!\n)")]
MAX_ROWS: Final = 10_000
"""The greatest number of points in one operation."""
ArtifactRelation = Literal["slice_of", "labels", "derived_from", "version_of"]
"""The relations between two artifacts."""


class RunIdentity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="rule", tag="run/1", kw_only=True):
    """The immutable start record of a run, all of which its key is the digest of."""

    pipeline: Name
    stage: Name
    type: Name
    uuid: Name
    started_at: Time
    project: Name
    namespace: Name | None = None
    branch: Name | None = None
    command: tuple[Text, ...] = ()
    code: Code | None = None
    parameters: dict[str, Json] = {}


class NamedIdentity(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="rule", tag="named/1", kw_only=True
):
    """An execution that is used again by its name; everything else is said of it by `SetProperty`."""

    pipeline: Name
    stage: Name
    name: Name
    namespace: Name | None = None


class ForeignIdentity(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="rule", tag="foreign/1", kw_only=True
):
    """A run that another system recorded: `run` is its global id in `source`.

    Of `cmf` itself it is what stands for executions that were pruned; see `cmf.core.contraction`.
    """

    source: Literal["openlineage", "mlflow", "mlmd", "dvc", "cmf"]
    run: Name


class RecordIdentity(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="rule", tag="record/1", kw_only=True
):
    """An artifact that is a record, not a file: a statement of one execution, so equal values of two runs differ."""

    kind: Name
    execution: Key
    name: Name
    values: dict[str, Json]


ExecutionIdentity = RunIdentity | NamedIdentity | ForeignIdentity


# `gc=False`: these are trees of JSON, never cyclic, and by the hundred thousand the collector's visits are felt.
class _Operation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="is", gc=False):
    pass


class PutContext(_Operation, frozen=True, tag="PutContext", kw_only=True):
    """There is a pipeline, or a stage of the pipeline whose key is `parent`."""

    key: Key
    kind: Literal["pipeline", "stage"]
    name: Name
    parent: Key | None = None
    namespace: Name | None = None


class PutExecution(_Operation, frozen=True, tag="PutExecution", kw_only=True):
    """An execution was started."""

    key: Key
    identity: ExecutionIdentity


class EndExecution(_Operation, frozen=True, tag="EndExecution", kw_only=True):
    """An execution ended. `started_at` is told where the start record has none."""

    key: Key
    status: Literal["complete", "failed", "aborted"]
    ended_at: Time
    started_at: Time | None = None
    end_commit: Name | None = None
    error: Name | None = None


class PutArtifact(_Operation, frozen=True, tag="PutArtifact", kw_only=True):
    """There is content. `name` is a display name; `record` holds the content of one that is no file.

    `sha256` is a second digest of a file's bytes, or of a folder's files (see `identity.folder_sha256`).
    """

    key: Key
    name: Name
    types: tuple[Name, ...]
    size_bytes: Annotated[int, msgspec.Meta(ge=0, lt=2**53)] | None = None
    record: RecordIdentity | None = None
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")] | None = None


class PutUse(_Operation, frozen=True, tag="PutUse", kw_only=True):
    """An execution read (`input`) or wrote (`output`) an artifact under a path.

    `commit` is the git commit that holds its `.dvc` file, `url` where its bytes can be fetched.
    """

    execution: Key
    artifact: Key
    direction: UseKind
    path: Path
    commit: Name | None = None
    url: Text | None = None


class PutRelation(_Operation, frozen=True, tag="PutRelation", kw_only=True):
    """`source` stands in this relation to `target`."""

    kind: Literal["slice_of", "labels", "derived_from", "version_of", "part_of", "ran_in"]
    source: Key
    target: Key


class SetProperty(_Operation, frozen=True, tag="SetProperty", kw_only=True):
    """A node or a use has a property; a null value deletes it."""

    key: Key
    name: Name
    value: Json = None


class PutPoints(_Operation, frozen=True, tag="PutPoints", kw_only=True):
    """A chunk of a fine-grained metric."""

    execution: Key
    series: Name
    chunk: Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
    rows: Annotated[tuple[Point, ...], msgspec.Meta(max_length=MAX_ROWS)]


class Retract(_Operation, frozen=True, tag="Retract", kw_only=True):
    """A node or a use is hidden from answers, for a reason; a null reason takes a retraction back."""

    key: Key
    reason: Name | None


Operation = (
    PutContext | PutExecution | EndExecution | PutArtifact | PutUse | PutRelation | SetProperty | PutPoints | Retract
)


def put_context(
    kind: Literal["pipeline", "stage"], name: str, parent: str | None = None, namespace: str | None = None
) -> PutContext:
    """A context with its key."""
    key = identity.context_key(kind, name, parent, namespace)
    return PutContext(key=key, kind=kind, name=name, parent=parent, namespace=namespace)


def put_execution(of: ExecutionIdentity) -> PutExecution:
    """An execution with its key."""
    return PutExecution(key=identity.execution_key(msgspec.to_builtins(of)), identity=of)


def put_record(record: RecordIdentity) -> PutArtifact:
    """An artifact that is a record, with its key."""
    key = identity.record_key(msgspec.to_builtins(record))
    return PutArtifact(key=key, name=record.name, types=(record.kind,), record=record)


def check(operation: Operation) -> None:
    """That an operation from elsewhere is consistent: its key is that of its content, its values are tagged.

    Raises:
        InvalidValue: it is not.
    """
    match operation:  # what there is most of comes first
        case PutUse():
            _expect_kind(operation.execution, "execution")
            _expect_kind(operation.artifact, "artifact")
        case PutArtifact(record=RecordIdentity() as record):
            check_json(record.values, "values")
            _expect_key(operation, put_record(record))
        case PutArtifact():
            _expect_kind(operation.key, "artifact")
        case PutContext():
            _expect_key(operation, put_context(operation.kind, operation.name, operation.parent, operation.namespace))
        case PutExecution():
            if isinstance(operation.identity, RunIdentity):
                check_time(operation.identity.started_at)
                check_json(operation.identity.parameters, "parameters")
            _expect_key(operation, put_execution(operation.identity))
        case EndExecution():
            _expect_kind(operation.key, "execution")
            check_time(operation.ended_at)
            if operation.started_at is not None:
                check_time(operation.started_at)
        case PutPoints():
            _expect_kind(operation.execution, "execution")
            for tagged in [value for _, _, value in operation.rows if type(value) is dict]:
                check_number(tagged, "a point")
        case SetProperty():
            identity.check_key(operation.key)
            check_json(operation.value, f"property {operation.name!r}")
        case Retract():
            identity.check_key(operation.key)
        case PutRelation():
            _check_relation(operation)


def check_sizes(operation: Operation) -> None:
    """That none of an operation's values is larger than a value may be: for operations that are large themselves.

    Raises:
        InvalidValue: one is.
    """
    match operation:
        case SetProperty():
            what, value = f"property {operation.name!r}", operation.value
        case PutExecution(identity=RunIdentity() as run):
            what, value = "parameters", run.parameters
        case PutArtifact(record=RecordIdentity() as record):
            what, value = "values", record.values
        case _:
            return
    if (size := len(encode(value))) > MAX_VALUE_BYTES:
        raise InvalidValue(f"{what}: {size} bytes of JSON; a value may have up to {MAX_VALUE_BYTES}")


_ENDS = {"part_of": ("execution", "execution"), "ran_in": ("execution", "context")}


def _check_relation(operation: PutRelation) -> None:
    source, target = _ENDS.get(operation.kind, ("artifact", "artifact"))
    _expect_kind(operation.source, source)
    _expect_kind(operation.target, target)


def check_time(time: str) -> None:
    """That a time of the right form is one that a calendar and a clock of this age can show.

    Raises:
        InvalidValue: it is not.
    """
    try:
        year = datetime.fromisoformat(time).year
    except ValueError as exc:
        raise InvalidValue(f"{time} is no time that the calendar has") from exc
    if not 1970 <= year < 2200:
        # A stamp from the year 9999 would outrank every later statement, for ever and everywhere.
        raise InvalidValue(f"{time} is no time that a clock shows (years 1970 to 2199)")


def _expect_key(
    operation: PutContext | PutExecution | PutArtifact, expected: PutContext | PutExecution | PutArtifact
) -> None:
    if operation.key != expected.key:
        raise InvalidValue(f"{operation.key} is not the key of this content, {expected.key} is")


def _expect_kind(key: str, kind: str) -> None:
    identity.check_key(key)
    if identity.kind_of(key) != kind:
        raise InvalidValue(f"{key} names no {kind}")
