"""The files that cmflib writes beside the data: Parquet, in `cmf_artifacts/<Execution_uuid>/…`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cmf.compat.ids import uuid_of
from cmf.compat.session import Session
from cmf.core.errors import FileProblem, InvalidValue, MissingExtra
from cmf.core.values import check_name
from cmf.journal import ulid
from cmf.places import KEPT
from cmf.repository import Repository
from cmf.versioning.contents import Contents

EXTRA = "pandas"


class OwnFile(NamedTuple):
    """A file of an execution: where it is, and its name within `cmf_artifacts`."""

    path: Path
    name: str

    @property
    def shown(self) -> str:
        """The path under which it is recorded."""
        return f"{KEPT}/{self.name}"


def own_file(session: Session, kind: str, name: str) -> OwnFile:
    """The file of the open execution of this kind and name, in a folder that git does not see.

    Raises:
        InvalidValue: the name leads out of that folder.
        FileProblem: the folder cannot be made.
    """
    if any(part in ("", ".", "..") for part in check_name(name, "the name").split("/")):
        raise InvalidValue(f"{name!r} cannot be the name of a file; use letters, digits and single slashes")
    uuid = uuid_of(session.running().key)
    file = OwnFile(session.folder / KEPT / uuid / kind / name, f"{uuid}/{kind}/{name}")
    try:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        # The commits of the execution have it; in the tree it is in nobody's way.
        (session.folder / KEPT / uuid / ".gitignore").write_text("*\n", encoding="utf-8")
    except OSError as exc:
        raise FileProblem(file.path.parent, f"cannot be made: {exc.strerror or exc}") from exc
    return file


def content_file(repository: Repository, key: str, paths: Collection[str]) -> Path:
    """Where the bytes of an artifact are: in the cache, or at a path under which it was used, if it is there still.

    Raises:
        FileProblem: neither.
    """
    md5 = key.removeprefix("md5:")
    if repository.cache.has(md5):
        return repository.cache.path(md5)
    for path in paths:
        whole = repository.root / path
        if whole.is_file() and Contents().at(whole).key == key:
            return whole
    shown = repository.root / min(paths, default=key)
    raise FileProblem(shown, f"its bytes ({key}) are not here; 'cmf artifacts pull {key}' fetches them")


def pandas() -> Any:
    """The package pandas, with an engine for Parquet.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import pandas
        import pyarrow  # noqa: F401 (what pandas reads and writes Parquet with)
    except ImportError as exc:
        raise MissingExtra("a DataFrame", EXTRA) from exc
    return pandas


def write_parquet(path: Path, rows: Mapping[Any, Mapping[str, Any]], index: str) -> None:
    """Write rows by their label to a Parquet file, replacing one that is there only when the new one is whole.

    Raises:
        MissingExtra, FileProblem
    """
    frame = pandas().DataFrame.from_dict(dict(rows), orient="index")
    write_frame(path, frame.rename_axis(index))


def write_frame(path: Path, frame: Any) -> None:
    """Write a DataFrame to a Parquet file, as `write_parquet` does."""
    draft = path.with_name(f".{path.name[:200]}.{ulid()}.cmf-draft")
    try:
        frame.to_parquet(draft)
        draft.replace(path)
    except (OSError, ValueError, TypeError) as exc:  # pyarrow's own errors are ValueErrors and TypeErrors
        draft.unlink(missing_ok=True)
        raise FileProblem(path, f"cannot be written as Parquet: {exc}") from exc


def read_parquet(path: Path) -> Any:
    """A Parquet file as a DataFrame.

    Raises:
        MissingExtra, FileProblem
    """
    reader = pandas()
    try:
        return reader.read_parquet(path)
    except (OSError, ValueError) as exc:
        raise FileProblem(path, f"cannot be read as Parquet: {exc}") from exc
