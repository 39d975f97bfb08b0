"""What is recorded of one execution, in the order in which it must reach the disk.

Bytes first (in the cache), then the files that stand for them in the tree, then the commit that has those, and last
the journal, which names them all: whatever is named is there, wherever a crash comes between.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from cmf.clock import now
from cmf.core import identity
from cmf.core.addresses import without_secrets
from cmf.core.errors import CmfError, FileProblem, InvalidValue, StoreIncompatible, StoreUnavailable
from cmf.core.identity import use_key
from cmf.core.model import Artifact, ArtifactType, Code, Node, UseKind
from cmf.core.operations import (
    ArtifactRelation,
    EndExecution,
    ExecutionIdentity,
    ForeignIdentity,
    NamedIdentity,
    Operation,
    PutArtifact,
    PutUse,
    RecordIdentity,
    RunIdentity,
    put_execution,
    put_record,
)
from cmf.core.values import Json, base_name, check_name, check_path
from cmf.places import KEPT
from cmf.points import PointBuffer
from cmf.properties import Properties, checked, set_properties, statements
from cmf.relations import put_relation
from cmf.repository import Repository
from cmf.series_file import SeriesWarning, series_file
from cmf.tracking import nesting
from cmf.versioning import environment
from cmf.versioning.contents import UNKNOWN_SIZE, Content
from cmf.versioning.environment import KeptEnvironment
from cmf.versioning.git_refs import branch_name
from cmf.versioning.none import NoBranch
from cmf.versioning.ports import Branch, Versioned

Relations = Sequence[tuple[ArtifactRelation, str]]
"""Relations of an artifact to others, by their keys."""


class AddressWarning(UserWarning):
    """An address held a password or token, which was not recorded."""


class Recorder:
    """Records one execution. Each call has reached the disk when it returns; see `PointBuffer` for points."""

    key: str
    """The execution's key."""

    identity: ExecutionIdentity
    """What the key is the digest of."""

    def __init__(
        self, repository: Repository, of: ExecutionIdentity, base: Code | None, *, taken_up: bool = False
    ) -> None:
        start = put_execution(of)
        self.key, self.identity = start.key, of
        self._process = os.getpid()
        self._repository = repository
        # One that is used again by its name has no start in its record: its end tells of it.
        self._started_at = now() if isinstance(of, NamedIdentity) else None
        self._since = repository.mark()
        around = None if taken_up else repository.environment
        of_it = [] if taken_up else [*nesting.part_of(start.key), *self._surrounded(around)]
        repository.record([start, *of_it])
        # They go along with the first commit: one of their own would cost each execution more than all of this.
        self._uncommitted = around.versioned.files if around else {}
        is_alone = isinstance(of, RunIdentity) and not taken_up
        self._points = PointBuffer(start.key, repository.record, only_process=is_alone)
        self._branch, self._title = _branch(repository, start.key, of, base)
        self._is_open = True

    def use(
        self,
        direction: UseKind,
        path: str | os.PathLike[str],
        types: tuple[str, ...] | None = None,
        properties: Properties | None = None,
        *,
        use_properties: Properties | None = None,
        relations: Relations = (),
        before: Path | None = None,
    ) -> Artifact:
        """Record that the execution reads or wrote a file or folder, and keep that, if data is versioned.

        Where it has changed since, `before` is a file with the content that it had.

        Without `types` it has those that the clone knows of it, or is a Dataset. `properties` are those of the
        artifact, `use_properties` those of this use of it, `relations` those in which it stands to other artifacts.

        Raises:
            FileProblem: it cannot be read or kept; nothing was recorded.
            InvalidValue: a path, type or property that cannot be recorded; nothing was recorded.
        """
        self._check_open()
        if not isinstance(path, str | os.PathLike):
            raise InvalidValue(f"{path!r} is no path; give it as text or as a Path")
        shown = self._relative(Path(path))
        told = _Told(
            _types(types), checked(properties, "property"), checked(use_properties, "property"), relations=relations
        )
        data = self._repository.data
        versioned = data.add(Path(path)) if before is None else data.add_former(Path(path), before)
        return self._put(direction, shown, versioned, told)

    def refer(
        self,
        direction: UseKind,
        address: str,
        version: str,
        types: tuple[str, ...] | None = None,
        properties: Properties | None = None,
        *,
        use_properties: Properties | None = None,
    ) -> Artifact:
        """Record that the execution reads or wrote content that is elsewhere, under a version that the caller knows.

        Of an address that holds a password or token only the rest is recorded, and the caller is told.

        Raises:
            InvalidValue: an address, version, type or property that cannot be recorded; nothing was recorded.
        """
        self._check_open()
        shown = check_path(without_secrets(address))
        if shown != address:
            warnings.warn(
                f"{shown}: recorded without the password or token that the address held; keep those out of addresses",
                AddressWarning,
                stacklevel=4,
            )
        content = Content(identity.check_artifact_key(version), UNKNOWN_SIZE)
        told = _Told(_types(types), checked(properties, "property"), checked(use_properties, "property"), url=shown)
        return self._put(direction, shown, Versioned(content, {}), told)

    def keep(
        self,
        direction: UseKind,
        source: Path,
        name: str,
        types: tuple[str, ...],
        properties: Properties | None = None,
        *,
        relations: Relations = (),
    ) -> Artifact:
        """Record content of cmf's own making: a file that is kept, and known as `<KEPT>/<name>`.

        It need not be in the tree; the execution's commits have it there.
        """
        self._check_open()
        shown = check_path(f"{KEPT}/{name}")
        told = _Told(_types(types), checked(properties, "property"), {}, relations=relations)
        return self._put(direction, shown, self._repository.data.keep(source, self._repository.root / shown), told)

    def keep_bytes(
        self,
        direction: UseKind,
        content: bytes,
        name: str,
        types: tuple[str, ...],
        properties: Properties | None = None,
        *,
        relations: Relations = (),
    ) -> Artifact:
        """`keep`, of content that is at hand."""
        draft = self._repository.scratch.path()
        try:
            draft.write_bytes(content)
            return self.keep(direction, draft, name, types, properties, relations=relations)
        except OSError as exc:
            raise FileProblem(draft, f"cannot be written ({exc.strerror or exc}); nothing was recorded") from exc
        finally:
            draft.unlink(missing_ok=True)

    def measure(self, name: str, values: Mapping[str, object], kind: str = ArtifactType.METRICS) -> Artifact:
        """Record metrics of the whole execution, or a record of another kind, as an artifact that it puts out.

        Raises:
            InvalidValue: a value that cannot be recorded. NaN and infinities can.
        """
        self._check_open()
        record = RecordIdentity(
            kind=check_name(kind, "the type"),
            execution=self.key,
            name=check_name(name, "the name of the metrics"),
            values=checked(values, "metric"),
        )
        put = put_record(record)
        self.write([put, PutUse(execution=self.key, artifact=put.key, direction="output", path=name)])
        return Artifact(key=put.key, name=put.name, types=put.types, values=record.values)

    def point(self, series: str, value: object, step: int | None) -> None:
        """Record one point of a fine-grained metric.

        Raises:
            InvalidValue: the value is no number.
        """
        self._check_open()
        self._points.add(series, value, step)

    def set(self, properties: Properties, key: str | None = None) -> None:
        """Record properties of the execution, or of the node or use with this key; None deletes one.

        Raises:
            InvalidValue: a property that cannot be recorded.
        """
        self.write(set_properties(key or self.key, properties))

    def commit(self, path: str | os.PathLike[str]) -> str | None:
        """Commit a small file as it is now on the execution's branch; → the commit, None without git.

        Raises:
            FileProblem: it cannot be read.
        """
        self._check_open()
        if not isinstance(path, str | os.PathLike):
            raise InvalidValue(f"{path!r} is no path; give it as text or as a Path")
        shown = self._relative(Path(path))
        try:
            text = Path(path).read_bytes()
        except OSError as exc:
            raise FileProblem(Path(path), exc.strerror or str(exc)) from exc
        whole = self._repository.root / shown
        return self._commit({whole: text}, f"{self._title}: {shown}\n\nExecution: {self.key}")

    def write(self, operations: Sequence[Operation]) -> None:
        """Record operations, behind the points gathered so far."""
        self._check_open()
        self._points.write(operations)

    def end(
        self,
        status: Literal["complete", "failed", "aborted"],
        error: str | None = None,
        *,
        keep_series: bool = True,
    ) -> None:
        """Record how the execution ended, and `keep_series`: its points as a file that it puts out.

        A forked child only leaves it, since it goes on in the parent.
        """
        self._check_open()
        if self._process != os.getpid():
            self.write([])
            self._is_open = False
            return
        if keep_series:
            self._keep_series()
        self._is_open = False
        commit = self._commit({}, f"{self._title}: end\n\nExecution: {self.key}")
        end = EndExecution(
            key=self.key,
            status=status,
            ended_at=now(),
            started_at=self._started_at,
            end_commit=commit,
            error=error,
        )
        self._repository.record([*self._points.close(), end])

    def _keep_series(self) -> None:
        """All points of the execution as one file, an artifact that it puts out."""
        if not self._points.may_have_points:
            return
        file = self._repository.scratch.path()
        try:
            self._points.write()
            if series_file(self._repository, self.key, self._since, file):
                name = f"{self.key.partition(':')[2][:12]}/series.parquet"
                self.keep("output", file, name, (ArtifactType.STEP_METRICS,))
        except CmfError as exc:  # the points are in the graph all the same, and the run is to end as it ended
            warnings.warn(f"{exc}. The run's points are recorded, but did not become a file.", SeriesWarning, 3)
        finally:
            file.unlink(missing_ok=True)

    def _check_open(self) -> None:
        if not self._is_open:
            raise InvalidValue("this run is not open; use it within `with cmf.run(...) as run:`")

    def _put(self, direction: UseKind, shown: str, versioned: Versioned, told: _Told) -> Artifact:
        content = versioned.content
        put = PutArtifact(
            key=content.key,
            name=base_name(shown),
            types=self._known_types(content.key) if told.types is None else told.types,
            size_bytes=None if content.size_bytes == UNKNOWN_SIZE else content.size_bytes,
            sha256=content.sha256,
        )
        related = [put_relation(put.key, relation, target) for relation, target in told.relations]
        message = f"{self._title}: {direction} {shown}\n\nExecution: {self.key}\nArtifact: {put.key}"
        use = PutUse(
            execution=self.key,
            artifact=put.key,
            direction=direction,
            path=shown,
            commit=None if told.url else self._commit(versioned.files, message),
            url=told.url,
        )
        of_artifact = statements(put.key, told.properties)
        of_use = statements(use_key(self.key, put.key, direction, shown), told.use_properties)
        self.write([put, use, *of_artifact, *of_use, *related])
        return Artifact(
            key=put.key,
            name=put.name,
            types=put.types,
            size_bytes=put.size_bytes,
            sha256=put.sha256,
            properties=told.properties,
        )

    def _commit(self, files: Mapping[Path, bytes | None], message: str) -> str | None:
        commit = self._branch.commit({**self._uncommitted, **files}, message)
        self._uncommitted = {}
        return commit

    def _surrounded(self, around: KeptEnvironment | None) -> list[Operation]:
        """That the execution has an environment; what that is, is said when the clone does not know it yet."""
        if around is None:
            return []
        content = around.versioned.content
        put = PutArtifact(
            key=content.key,
            name=environment.NAME,
            types=(ArtifactType.ENVIRONMENT,),
            size_bytes=content.size_bytes,
            sha256=content.sha256,
        )
        path = f"{KEPT}/{environment.NAME}"
        known = self._known(put.key)
        told = [] if known and known.properties else statements(put.key, around.properties)
        # The use first: who may not say everything may speak of what its executions use.
        return [put, PutUse(execution=self.key, artifact=put.key, direction="input", path=path), *told]

    def _known_types(self, key: str) -> tuple[str, ...]:
        known = self._known(key)
        return (known.types if isinstance(known, Artifact) else ()) or (ArtifactType.DATASET,)

    def _known(self, key: str) -> Node | None:
        """What the clone knows of a node, as far as it can be asked."""
        repository = self._repository
        try:
            return next(iter(repository.view.nodes([key])), None) if repository.has_view else None
        except (StoreUnavailable, StoreIncompatible):  # recording does not depend on the view
            return None

    def _relative(self, path: Path) -> str:
        """The path in the repository, or the whole path of what lies outside it."""
        if not os.fspath(path) or os.fspath(path) == ".":
            raise InvalidValue("the path is empty; name a file or folder")
        whole = Path(os.path.abspath(path))  # noqa: PTH100 (resolve() would follow links that users name)
        root = self._repository.root
        if whole.is_relative_to(root) and whole.relative_to(root).parts[:1] in ((".git",), (".cmf",)):
            raise InvalidValue(f"{path}: is git's or cmf's own, and no data")
        return check_path((whole.relative_to(root) if whole.is_relative_to(root) else whole).as_posix())


class _Told(NamedTuple):
    """What the caller tells of a use, beside what is found."""

    types: tuple[str, ...] | None
    properties: dict[str, Json]
    use_properties: dict[str, Json]
    url: str | None = None
    relations: Relations = ()


def _branch(repository: Repository, key: str, of: ExecutionIdentity, base: Code | None) -> tuple[Branch, str]:
    """The branch of an execution, and the title of its commits. Another system's runs have no commits of ours."""
    if isinstance(of, ForeignIdentity):
        return NoBranch(), of.run
    return repository.code.branch(branch_name(of.pipeline, of.stage, key), base), f"{of.pipeline}/{of.stage}"


def _types(types: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if types is None else tuple(check_name(name, "the type") for name in types)
