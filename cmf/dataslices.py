"""Dataslices: which files of a dataset were used, with properties of each; kept as Parquet, the files once only.

Columns are `path` (from the clone's root), `md5`, and the properties. Equal slices are one artifact.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from cmf import parquet
from cmf.core.errors import FileProblem, InvalidValue, MissingExtra, UnknownKey
from cmf.core.identity import md5_of
from cmf.core.model import Artifact, ArtifactType
from cmf.core.values import check_name
from cmf.parquet import Cell
from cmf.places import KEPT
from cmf.relations import Named, key_of
from cmf.versioning.content import state_of, version_of
from cmf.versioning.contents import Listing

if TYPE_CHECKING:
    from pandas import DataFrame

    from cmf.questions import Query
    from cmf.recorder import Recorder
    from cmf.repository import Repository
    from cmf.versioning.cache import Cache

FOLDER = "dataslices"
FIXED = ("path", "md5")
TYPES = (ArtifactType.DATASLICE,)
FEATURE = "a dataslice"


class Dataslice(NamedTuple):
    """A dataslice that was recorded: its key, and its rows as a table of pyarrow."""

    key: str
    table: Any

    @property
    def rows(self) -> list[dict[str, Cell]]:
        """Each item: its `path`, its `md5`, its properties; None where it has not one that others have."""
        found: list[dict[str, Cell]] = self.table.to_pylist()
        return found

    def to_pandas(self) -> DataFrame:
        """The rows as a DataFrame.

        Raises:
            MissingExtra: pandas is not installed.
        """
        try:
            import pandas  # noqa: F401
        except ImportError as exc:
            raise MissingExtra("a DataFrame", "pandas") from exc
        frame: DataFrame = self.table.to_pandas()
        return frame


class DatasliceDraft:
    """A dataslice while its items are named; it is recorded as the `with` ends, unless by an exception."""

    artifact: Artifact
    """What was recorded, once it was."""

    def __init__(
        self, repository: Repository, recorder: Recorder, name: str, of: Named | None, properties: dict[str, object]
    ) -> None:
        """Raises: see `Run.dataslice`."""
        parquet.check_installed(FEATURE)
        if not repository.has_view:
            raise InvalidValue("a forked child cannot look into the view; make the dataslice where the run was started")
        self._path = slice_path(name)
        self._repository = repository
        self._recorder = recorder
        self._properties = properties
        self._datasets = _Datasets(repository, of)
        self._rows: dict[str, dict[str, Cell]] = {}
        self._items: list[_Item] = []

    def add(self, path: str | os.PathLike[str], /, **properties: object) -> None:
        """Take a file in, with properties: text, numbers, true, false or None.

        Its md5 is that of the dataset it lies in, as recorded; a file that lies in none is read.

        Raises:
            FileProblem: it is not there, or not in the dataset, or the dataset is not recorded as it is now.
            InvalidValue: a property that no column can hold, or the file is in the slice already.
        """
        item = self._datasets.item(os.path.abspath(path))
        if item.shown in self._rows:
            raise InvalidValue(f"{item.shown} is in the slice already; give all its properties at once")
        row: dict[str, Cell] = {"path": item.shown, "md5": item.md5}
        for name, value in properties.items():
            if name in FIXED:
                raise InvalidValue(f"an item's {name!r} is a column of its own; call the property otherwise")
            row[check_name(name, "the property's name")] = parquet.cell(value, f"property {name!r} of {item.shown}")
        self._rows[item.shown] = row
        self._items.append(item)

    def __len__(self) -> int:
        return len(self._rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.artifact = self._record()

    def _record(self) -> Artifact:
        if not self._rows:
            raise InvalidValue(f"the dataslice {self._path} is empty; add items to it, or do not make it")
        for item in self._items:
            item.check_unchanged()
        content = parquet.write(sorted(self._rows), self._rows, FIXED)
        datasets = sorted({item.of for item in self._items if item.of})
        return self._recorder.keep_bytes(
            "output",
            content,
            self._path,
            TYPES,
            {"item_count": len(self._rows), **self._properties},
            relations=[("slice_of", key) for key in datasets],
        )


def slice_path(name: str) -> str:
    """The path of the dataslice of a name, below the folder of what cmf keeps.

    Raises:
        InvalidValue: it cannot name one.
    """
    check_name(name, "the dataslice's name")
    if any(part in ("", ".", "..") or len(part.encode()) > 200 for part in name.split("/")):
        raise InvalidValue(f"the dataslice's name {name[:60]!r} has a part that is empty, too long or leads elsewhere")
    return f"{FOLDER}/{name}.parquet"


def find(query: Query, asked: str) -> str:
    """The key of the dataslice that a person names: by its name, a key's prefix or a path.

    Raises:
        UnknownKey, AmbiguousKey
    """
    try:
        return query.key(f"{KEPT}/{slice_path(asked)}")
    except (UnknownKey, InvalidValue):
        return query.key(asked)


def load(cache: Cache, key: str) -> Dataslice:
    """The rows of a dataslice.

    Raises:
        FileProblem: its bytes are not here, or are not what they were.
        InvalidValue: it is no dataslice.
        MissingExtra
    """
    return _parsed(key, _kept(cache, key))


def read(repository: Repository, recorder: Recorder, asked: Named) -> Dataslice:
    """Record that an execution reads a dataslice; → its rows. See `Run.read_dataslice`."""
    from cmf.questions import Query, StoreSource

    if isinstance(asked, Artifact):
        key = asked.key
    elif repository.has_view:
        key = find(Query(StoreSource(repository.view), repository.root), os.fspath(asked))
    else:
        raise InvalidValue("a forked child cannot look into the view; hand over the artifact of the dataslice")
    content = _kept(repository.cache, key)
    found = _parsed(key, content)
    recorder.keep_bytes("input", content, _path_of(repository, key), TYPES)
    return found


def _kept(cache: Cache, key: str) -> bytes:
    place = cache.path(md5_of_key(key))
    try:
        content = place.read_bytes()
    except OSError as exc:
        raise FileProblem(place, f"the dataslice {key} is not in the cache here; bring it ('dvc pull')") from exc
    if md5_of(content) != md5_of_key(key):
        raise FileProblem(place, "is not what was kept; delete it, and bring it again")
    return content


def _parsed(key: str, content: bytes) -> Dataslice:
    parquet.check_installed(FEATURE)
    try:
        table = parquet.read(content)
    except InvalidValue as exc:
        raise InvalidValue(f"{key} is no dataslice: {exc}") from exc
    if not {*FIXED} <= {*table.column_names}:
        raise InvalidValue(f"{key} is no dataslice: it has no columns `path` and `md5`")
    return Dataslice(key, table)


def _path_of(repository: Repository, key: str) -> str:
    """What a dataslice is known as in the folder of what cmf keeps."""
    detail = repository.view.detail(key, 1) if repository.has_view else None
    path = detail.uses[0].path if detail and detail.uses else ""
    # Under another path it was recorded as any file; here it is one of cmf's own.
    return path.removeprefix(f"{KEPT}/") if path.startswith(f"{KEPT}/") else f"{FOLDER}/{md5_of_key(key)}.parquet"


def md5_of_key(key: str) -> str:
    """The md5 of a file's content.

    Raises:
        InvalidValue: it is something else that has this key.
    """
    if not key.startswith("md5:") or key.endswith(".dir"):
        raise InvalidValue(f"{key} is no dataslice: it is no file")
    return key.removeprefix("md5:")


class _Item(NamedTuple):
    path: str
    shown: str
    md5: str
    version: tuple[int, ...]
    of: str | None

    def check_unchanged(self) -> None:
        try:
            is_same = version_of(os.stat(self.path)) == self.version
        except OSError:
            is_same = False
        if not is_same:
            raise FileProblem(Path(self.path), "changed since it was taken into the slice; the slice was not recorded")


class _Dataset(NamedTuple):
    folder: str
    key: str
    listing: Listing


class _Datasets:
    """The recorded folders that items lie in; each is looked at once, and a file that lies in one is not read."""

    def __init__(self, repository: Repository, of: Named | None) -> None:
        self._repository = repository
        self._root = os.fspath(repository.root) + os.sep
        self._of = None if of is None else self._named(of)
        self._by_folder: dict[str, _Dataset | None] = {}

    def item(self, path: str) -> _Item:
        parent = os.path.dirname(path)
        if parent not in self._by_folder:
            self._by_folder[parent] = self._dataset(parent)
        dataset = self._by_folder[parent]
        shown = path.removeprefix(self._root)
        if dataset is None:
            version = version_of(state_of(Path(path)))  # before it is read, so that a change meanwhile shows later
            if os.path.isdir(path):
                raise FileProblem(Path(path), "is a folder; a dataslice has files")
            return _Item(path, shown, md5_of_key(self._repository.contents.at(Path(path)).key), version, None)
        state = dataset.listing.files.get(path[len(dataset.folder) + 1 :].replace(os.sep, "/"))
        if state is None:
            raise FileProblem(Path(path), f"is no file of the dataset {dataset.folder} ({dataset.key})")
        return _Item(path, shown, state.md5, state.version, dataset.key)

    def _dataset(self, folder: str) -> _Dataset | None:
        if self._of:
            if not f"{folder}{os.sep}".startswith(f"{self._of.folder}{os.sep}"):
                raise FileProblem(Path(folder), f"lies outside of the dataset {self._of.folder} ({self._of.key})")
            return self._of
        for above in _upwards(folder):
            if above in self._by_folder:
                return self._by_folder[above]
            if not above.startswith(self._root):
                return None
            if self._repository.view.at_path(above.removeprefix(self._root)) is not None:
                self._by_folder[above] = self._recorded(above)
                return self._by_folder[above]
        return None

    def _named(self, of: Named) -> _Dataset:
        """The dataset that a caller names: the folder, or where the artifact is."""
        if not isinstance(of, Artifact) and os.path.isdir(of):
            return self._recorded(os.path.abspath(of))
        key = key_of(self._repository, of)
        detail = self._repository.view.detail(key, 1_000)
        paths = sorted({use.path for use in detail.uses}) if detail else []
        for path in paths:
            whole = os.path.join(self._root, path)
            if os.path.isdir(whole) and (found := self._listed(whole)).key == key:
                return found
        raise FileProblem(
            self._repository.root,
            f"{key} is at none of the paths where it was recorded ({', '.join(paths[:5])}), or is no folder; "
            f"name the folder of the items",
        )

    def _recorded(self, folder: str) -> _Dataset:
        found = self._listed(folder)
        if not self._repository.view.nodes([found.key]):
            raise FileProblem(
                Path(folder),
                "is not recorded as it is now; record it with run.input(…) or run.output(…), then make slices of it",
            )
        return found

    def _listed(self, folder: str) -> _Dataset:
        listing = self._repository.contents.listing(Path(folder))
        return _Dataset(folder, listing.content.key, listing)


def _upwards(folder: str) -> Iterator[str]:
    """A folder, and those above it."""
    while True:
        yield folder
        above = os.path.dirname(folder)
        if above == folder:
            return
        folder = above
