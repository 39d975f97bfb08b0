"""The native recording API: `with cmf.run(pipeline, stage) as run:` is one execution."""

from __future__ import annotations

import atexit
import os
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from cmf.core.errors import CorruptRecord, InvalidValue, StoreIncompatible, StoreUnavailable
from cmf.core.model import Artifact, ArtifactType, UseKind
from cmf.core.operations import ArtifactRelation
from cmf.core.values import MAX_NAME
from cmf.places import root_of
from cmf.recorder import Recorder
from cmf.relations import Named, key_of, put_relation
from cmf.repository import Repository
from cmf.segments import JournalWarning
from cmf.starting import Start, start_run
from cmf.tracking import nesting

if TYPE_CHECKING:
    from cmf.dataslices import Dataslice, DatasliceDraft


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
    becomes one (at its git repository's root). Within another run, it is a part of that one.

    Raises:
        InvalidValue: a name or a parameter that cannot be recorded; nothing was recorded.

    >>> with cmf.run("digits", "train", params={"C": 1.0}) as run:     # doctest: +SKIP
    ...     run.input("data/train.npz")
    ...     run.metrics(accuracy=0.97)
    ...     run.output("model.pkl", type="Model")
    """
    start = Start.of(pipeline, stage, params, type)
    repository = open_repository(Path(root or "."))
    return Run(repository, start)


class Run:
    """An execution that is being recorded. Each call has reached the disk when it returns.

    Points of `metric` are gathered and reach it within a second, or with the next other call.
    """

    key: str
    """The execution's key, once it was started."""
    pipeline: str
    """The name of its pipeline."""

    def __init__(self, repository: Repository, start: Start) -> None:
        self.pipeline = start.pipeline
        self._repository = repository
        self._start = start
        self._recorder: Recorder | None = None

    def __enter__(self) -> Self:
        self._recorder = start_run(self._repository, self._start)
        self.key = self._recorder.key
        nesting.enter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        nesting.leave(self)
        recorder, self._recorder = self.recorder, None
        recorder.end(*ending(error))

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
            FileProblem: it does not exist, cannot be read or kept, or changes while it is read; nothing was recorded.
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
        return self.recorder.measure(name, values)

    def metric(self, name: str, value: object, *, step: int | None = None) -> None:
        """Record one point of a fine-grained metric. Cheap: points are gathered, see `Run`.

        Raises:
            InvalidValue: the value is no number.
        """
        self.recorder.point(name, value, step)

    def dataslice(self, name: str, *, of: Named | None = None, **properties: object) -> DatasliceDraft:
        """A dataslice that the execution puts out: some files of a dataset, with properties of each.

        The items' dataset is the nearest recorded folder that they lie in, or `of`: a folder, a key or an artifact.
        Properties are those of the slice.

        Raises:
            MissingExtra: there is no library for Parquet.
            UnknownKey, AmbiguousKey, FileProblem: `of` is in no record, or not recorded as it is now.
            InvalidValue: a name that cannot name one.

        >>> with run.dataslice("hard-cases", of="data/images") as hard:     # doctest: +SKIP
        ...     hard.add("data/images/7.png", split="train", score=0.3)
        """
        from cmf.dataslices import DatasliceDraft

        return DatasliceDraft(self._repository, self.recorder, name, of, properties)

    def read_dataslice(self, asked: Named) -> Dataslice:
        """Record that the execution reads a dataslice, by its name, key, path or artifact; → its rows.

        Raises:
            UnknownKey, AmbiguousKey
            FileProblem: its bytes are not here.
            InvalidValue: it is no dataslice.
            MissingExtra: there is no library for Parquet.
        """
        from cmf.dataslices import read

        return read(self._repository, self.recorder, asked)

    def label(self, path: str | os.PathLike[str], dataset: Named, **properties: object) -> Artifact:
        """Record that the execution reads a file of labels, and which dataset it labels: a path, a key, an artifact.

        Raises:
            UnknownKey, AmbiguousKey: the dataset is in no record.
            FileProblem: the file cannot be recorded, or the dataset is not recorded as it is now.
        """
        target = key_of(self._repository, dataset)
        types = (ArtifactType.LABEL,)
        return self.recorder.use("input", path, types, properties, relations=[("labels", target)])

    def derived_from(self, artifact: Named, source: Named) -> None:
        """State that an artifact was made from another, where the uses of executions do not say it; see `relate`."""
        self._relate(artifact, "derived_from", source)

    def version_of(self, artifact: Named, other: Named) -> None:
        """State that an artifact is another version of one; see `relate`."""
        self._relate(artifact, "version_of", other)

    def set(self, **properties: object) -> None:
        """Record properties of the execution; None deletes one.

        Raises:
            InvalidValue: a property that cannot be recorded.
        """
        self.recorder.set(properties)

    @property
    def recorder(self) -> Recorder:
        """What records it, and can do more than a pipeline needs to say.

        Raises:
            InvalidValue: the run is not open.
        """
        if self._recorder is None:
            raise InvalidValue("this run is not open; use it within `with cmf.run(...) as run:`")
        return self._recorder

    def _use(
        self,
        direction: UseKind,
        path: str | os.PathLike[str],
        types: tuple[str, ...] | None,
        version: str | None,
        properties: Mapping[str, object],
    ) -> Artifact:
        if version is None:
            return self.recorder.use(direction, path, types, properties)
        return self.recorder.refer(direction, os.fspath(path), version, types, properties)

    def _relate(self, source: Named, relation: ArtifactRelation, target: Named) -> None:
        recorder = self.recorder
        repository = self._repository
        recorder.write([put_relation(key_of(repository, source), relation, key_of(repository, target))])


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


def ending(error: BaseException | None) -> tuple[Literal["complete", "failed", "aborted"], str | None]:
    """How a run ends that this exception left, and the exception as one line."""
    return _status(error), _one_line(error)


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
