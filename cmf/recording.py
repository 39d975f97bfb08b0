"""The native recording API: `with cmf.run(pipeline, stage) as run:` is one execution."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import uuid
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from cmf.clock import now
from cmf.core import identity
from cmf.core.errors import CorruptRecord, InvalidValue, StoreIncompatible, StoreUnavailable
from cmf.core.model import Artifact, ArtifactType
from cmf.core.operations import (
    EndExecution,
    Operation,
    PutArtifact,
    PutUse,
    RecordIdentity,
    RunIdentity,
    SetProperty,
    put_execution,
    put_record,
)
from cmf.core.values import MAX_NAME, Json, check_name, to_json
from cmf.places import root_of
from cmf.points import PointBuffer
from cmf.repository import JournalWarning, Repository
from cmf.versioning.dvc import Content, content
from cmf.versioning.git import CodeVersioning, GitVersioning, project_name
from cmf.versioning.none import NoVersioning


def run(
    pipeline: str,
    stage: str,
    *,
    params: Mapping[str, object] | None = None,
    type: str | None = None,  # noqa: A002 (the graph's word)
    root: str | os.PathLike[str] | None = None,
) -> Run:
    """One execution of a stage, as a context manager; an exception in its body ends it as failed.

    `params` configured it and are part of its identity. `type` is its type where the stage's name is none.
    `root` is a folder of the clone to record in, instead of the current one; a folder that lies in no clone
    becomes one (at its git repository's root).

    Raises:
        InvalidValue: a name or a parameter that cannot be recorded; nothing was recorded.

    >>> with cmf.run("digits", "train", params={"C": 1.0}) as run:     # doctest: +SKIP
    ...     run.input("data/train.npz")
    ...     run.metrics(accuracy=0.97)
    ...     run.output("model.pkl", type="Model")
    """
    repository = open_repository(Path(root or "."))
    return Run(repository, pipeline, stage, dict(params or {}), type or stage)


class Run:
    """An execution that is being recorded. Each call has reached the disk when it returns.

    Points of `metric` are gathered and reach it within a second, or with the next other call.
    """

    key: str
    """The execution's key, once it was started."""

    def __init__(
        self, repository: Repository, pipeline: str, stage: str, params: Mapping[str, object], type_: str
    ) -> None:
        self._repository = repository
        self._pipeline = check_name(pipeline, "the pipeline's name")
        self._stage = check_name(stage, "the stage's name")
        self._type = check_name(type_, "the type")
        self._parameters = _values(params, "parameter")
        self._points: PointBuffer | None = None

    def __enter__(self) -> Self:
        code, branch, remote = _versioning(self._repository).now()
        start = put_execution(
            RunIdentity(
                pipeline=self._pipeline,
                stage=self._stage,
                type=self._type,
                uuid=uuid.uuid4().hex,
                started_at=now(),
                project=self._repository.settings.project or project_name(remote, self._repository.root),
                namespace=self._repository.settings.namespace,
                branch=branch,
                command=_command(),
                code=code,
                parameters=self._parameters,
            )
        )
        self._repository.record([start])
        self.key = start.key
        self._points = PointBuffer(start.key, self._repository.record)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        points = self._open()
        self._points = None
        end = EndExecution(key=self.key, status=_status(error), ended_at=now(), error=_one_line(error))
        self._repository.record([*points.close(), end])

    def input(
        self,
        path: str | os.PathLike[str],
        *,
        type: str | None = None,  # noqa: A002
        version: str | None = None,
        **properties: object,
    ) -> Artifact:
        """Record that the execution reads a file or folder, by the hash of its content.

        Without a `type` it has those that the clone knows of it, or is a Dataset. With a `version`
        (`<algorithm>:<digest>`) nothing is read: `path` may be any address, and the version is taken as the key
        of its content. Properties are those of the artifact.

        Raises:
            FileProblem: it does not exist, cannot be read, or changes while it is read; nothing was recorded.
            InvalidValue: a property or version that cannot be recorded.
        """
        return self._use("input", path, None if type is None else (type,), version, properties)

    def output(
        self,
        path: str | os.PathLike[str],
        *,
        type: str = ArtifactType.DATASET,  # noqa: A002
        version: str | None = None,
        **properties: object,
    ) -> Artifact:
        """Record that the execution wrote a file or folder; call it when it is written. As `input` otherwise."""
        return self._use("output", path, (type,), version, properties)

    def metrics(self, name: str = "metrics", /, **values: object) -> Artifact:
        """Record metrics of the whole execution, as an artifact that it puts out.

        Raises:
            InvalidValue: a value that cannot be recorded. NaN and infinities can.
        """
        if not values:
            raise InvalidValue("metrics needs at least one value, such as metrics(accuracy=0.97)")
        record = RecordIdentity(
            kind=ArtifactType.METRICS,
            execution=self._key(),
            name=check_name(name, "the name of the metrics"),
            values=_values(values, "metric"),
        )
        put = put_record(record)
        use = PutUse(execution=self.key, artifact=put.key, direction="output", path=name)
        self._record([put, use])
        return Artifact(key=put.key, name=put.name, types=put.types, values=record.values)

    def metric(self, name: str, value: object, *, step: int | None = None) -> None:
        """Record one point of a fine-grained metric. Cheap: points are gathered, see `Run`.

        Raises:
            InvalidValue: the value is no number.
        """
        self._open().add(name, value, step)

    def set(self, **properties: object) -> None:
        """Record properties of the execution; None deletes one.

        Raises:
            InvalidValue: a property that cannot be recorded.
        """
        self._record(_properties(self._key(), properties))

    def _use(
        self,
        direction: str,
        path: str | os.PathLike[str],
        types: tuple[str, ...] | None,
        version: str | None,
        properties: Mapping[str, object],
    ) -> Artifact:
        execution = self._key()
        if version is None:
            found, shown, url = content(Path(path)), self._relative(Path(path)), None
        else:
            shown = url = check_path(os.fspath(path))
            found = Content(identity.check_artifact_key(version), -1)
        put = PutArtifact(
            key=found.key,
            name=_base_name(shown),
            types=self._known_types(found.key) if types is None else tuple(check_name(t, "the type") for t in types),
            size_bytes=found.size_bytes if found.size_bytes >= 0 else None,
        )
        use = PutUse(execution=execution, artifact=put.key, direction=direction, path=shown, url=url)  # type: ignore[arg-type]
        stated = _properties(put.key, properties)
        self._record([put, use, *stated])
        return Artifact(
            key=put.key,
            name=put.name,
            types=put.types,
            size_bytes=put.size_bytes,
            properties={statement.name: statement.value for statement in stated},
        )

    def _known_types(self, key: str) -> tuple[str, ...]:
        try:
            known = self._repository.view.nodes([key]) if self._repository.has_view else []
        except (StoreUnavailable, StoreIncompatible):  # recording does not depend on the view
            known = []
        return (known[0].types if known and isinstance(known[0], Artifact) else ()) or (ArtifactType.DATASET,)

    def _relative(self, path: Path) -> str:
        """The path in the repository, or the whole path of what lies outside it."""
        if not os.fspath(path) or os.fspath(path) == ".":
            raise InvalidValue("the path is empty; name a file or folder")
        whole = Path(os.path.abspath(path))  # noqa: PTH100 (resolve() would follow links that users name)
        shown = whole.relative_to(self._repository.root) if whole.is_relative_to(self._repository.root) else whole
        return check_path(shown.as_posix())

    def _record(self, operations: Sequence[Operation]) -> None:
        self._open().write(operations)

    def _key(self) -> str:
        self._open()
        return self.key

    def _open(self) -> PointBuffer:
        if self._points is None:
            raise InvalidValue("this run is not open; use it within `with cmf.run(...) as run:`")
        return self._points


def check_path(path: str) -> str:
    """That a path can be recorded."""
    try:
        path.encode()
    except UnicodeEncodeError as exc:
        raise InvalidValue(f"the path {path!r} is not valid UTF-8, which JSON needs; rename it") from exc
    if "\0" in path:
        raise InvalidValue(f"the path {path[:60]!r} has a NUL character")
    if not 0 < len(path) <= 4096:
        raise InvalidValue(f"the path {path[:60]!r}… has {len(path)} characters; up to 4096 can be recorded")
    return path


_open_repositories: dict[Path, Repository] = {}
_opening = threading.Lock()


def open_repository(start: Path) -> Repository:
    """The clone to record in from a folder; one of this process, shared by all its runs; made if there is none."""
    root = root_of(start)
    with _opening:
        if root not in _open_repositories:
            _open_repositories[root] = _opened(root)
        return _open_repositories[root]


def _opened(root: Path) -> Repository:
    repository = Repository.create(root, catch_up=False)
    try:
        repository.catch_up()
    except (CorruptRecord, StoreUnavailable, StoreIncompatible) as exc:
        # What is recorded now goes into a segment of its own, whatever state the others and the view are in.
        warnings.warn(f"{exc}. What is recorded now is not affected.", JournalWarning, stacklevel=5)
    return repository


def close_repositories() -> None:
    """Finish what this process records; later runs open their clone again."""
    with _opening:
        while _open_repositories:
            _open_repositories.popitem()[1].close()


atexit.register(close_repositories)


def _renew_lock() -> None:
    global _opening
    _opening = threading.Lock()


# A thread of the parent may have held it at the fork, and is not there to let go of it.
os.register_at_fork(after_in_child=_renew_lock)


def _versioning(repository: Repository) -> CodeVersioning:
    return GitVersioning(repository.root) if repository.settings.versioning == "git" else NoVersioning()


def _command() -> tuple[str, ...]:
    return tuple(os.fsencode(part).decode(errors="backslashreplace") for part in sys.orig_argv)


def _values(values: Mapping[str, object], what: str) -> dict[str, Json]:
    named = {check_name(name, f"the {what}'s name"): to_json(v, f"{what} {name!r}") for name, v in values.items()}
    to_json(named, f"the {what}s together")
    return named


def _properties(key: str, properties: Mapping[str, object]) -> list[SetProperty]:
    return [SetProperty(key=key, name=name, value=value) for name, value in _values(properties, "property").items()]


def _base_name(path: str) -> str:
    """What to call an artifact that was used under a path: its last part, as a name can hold it."""
    last = path.rstrip("/").rpartition("/")[2] or path
    return "".join("\N{REPLACEMENT CHARACTER}" if ord(c) < 32 or ord(c) == 127 else c for c in last)[:MAX_NAME]


def _status(error: BaseException | None) -> Literal["complete", "failed", "aborted"]:
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return "complete"
    return "failed" if isinstance(error, Exception | SystemExit) else "aborted"


def _one_line(error: BaseException | None) -> str | None:
    if error is None:
        return None
    try:
        said = str(error)
    except Exception:  # an error whose text is itself an error must not hide it
        said = "(its text cannot be shown)"
    text = f"{type(error).__name__}: {said}".removesuffix(": ").split("\n")[0]
    return "".join(c if c.isprintable() else " " for c in text)[:MAX_NAME]
