"""Data slices as cmflib has them: a Parquet file that lists files with their hashes and properties."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmf.compat.arguments import AnyPath, checked_methods
from cmf.compat.files import OwnFile, content_file, own_file, read_parquet, write_frame, write_parquet
from cmf.compat.ids import artifact_of, uri_of
from cmf.compat.objects import Artifact
from cmf.compat.session import Properties, Session
from cmf.core import model
from cmf.core.errors import InvalidValue, UnknownKey
from cmf.core.model import ArtifactType
from cmf.core.operations import PutRelation
from cmf.core.store import Filters
from cmf.core.values import from_json, to_json
from cmf.versioning.contents import Contents

if TYPE_CHECKING:
    from cmf.compat.writer import Cmf

INDEX = "Path"
HASH = "hash"
KIND = "dataslice"


@checked_methods
class DataSlice:
    """A list of files that becomes an artifact when it is committed. Made by `Cmf.create_dataslice`."""

    def __init__(self, name: str, writer: Cmf) -> None:
        self.name = name
        self.writer = writer
        self.props: dict[str, dict[str, Any]] = {}

    def add_data(self, path: AnyPath, custom_properties: Properties | None = None) -> None:
        """Add a file or folder, by the hash that it has now.

        Raises:
            FileProblem: it cannot be read.
            InvalidValue: a property that cannot be recorded.
        """
        told = {str(name): from_json(to_json(value, name)) for name, value in (custom_properties or {}).items()}
        key = Contents().at(self.writer._session.whole(path)).key
        self.props[str(path)] = {HASH: uri_of(key), **told}

    def commit(self, custom_properties: Properties | None = None) -> Artifact:
        """Write the list to `cmf_artifacts/<Execution_uuid>/dataslice/<name>`, and record that as an output.

        Raises:
            InvalidValue: nothing was added.
            MissingExtra: pandas or pyarrow is not installed.
        """
        if not self.props:
            raise InvalidValue(f"the data slice {self.name!r} is empty; add_data(path) comes before commit()")
        session = self.writer._session
        file = own_file(session, KIND, self.name)
        write_parquet(file.path, self.props, INDEX)
        recorded = _record(session, file, custom_properties)
        _relate(session, recorded.key, self.props)
        return recorded

    def log_dataslice_from_client(
        self, uri: str, props: Properties | None = None, custom_properties: Properties | None = None
    ) -> Artifact:
        """Record a data slice that was committed elsewhere, by its hash."""
        key = artifact_of(uri)
        return self.writer.replay("output", self.name, key, ArtifactType.DATASLICE, props, custom_properties)


def slice_file(session: Session, name: str) -> Path:
    """The file of a data slice: of the open execution, else of the one that was recorded last under this name.

    Raises:
        UnknownKey: there is none.
    """
    if session.recorder is not None and (own := own_file(session, KIND, name).path).exists():
        return own
    for node in session.graph.query.artifacts(Filters(type=ArtifactType.DATASLICE)):
        if isinstance(node, model.Artifact) and node.name == name.rpartition("/")[2]:
            uses = session.graph.query.show(node.key).uses
            return content_file(session.repository, node.key, sorted({use.path for use in uses}))
    raise UnknownKey(f"data slice {name}")


def change_slice(session: Session, name: str, record: str, properties: Properties) -> None:
    """Set properties of one file in a data slice, and record the new content as an output of the open execution.

    Raises:
        UnknownKey: there is no such data slice, or no such file in it.
    """
    recorder = session.running()
    before = slice_file(session, name)
    frame = read_parquet(before)
    if record not in frame.index:
        raise UnknownKey(f"{record} in the data slice {name}")
    for column, value in properties.items():
        frame.loc[record, str(column)] = from_json(to_json(value, f"property {column!r}"))
    old = Contents().at(before).key
    known = session.graph.key_named(uri_of(old))
    kept = session.graph.artifact(old).custom_properties.plain() if known == old else None
    file = own_file(session, KIND, name)
    write_frame(file.path, frame)
    new = _record(session, file, kept)
    _relate(session, new.key, {path: {HASH: value} for path, value in frame[HASH].items()})
    if known == old != new.key:
        recorder.write([PutRelation(kind="version_of", source=new.key, target=old)])


def _relate(session: Session, slice_: str, props: Mapping[str, Mapping[str, Any]]) -> None:
    """State which recorded files, and recorded folders, a data slice is of, as far as the clone can be asked."""
    if not session.repository.has_view:
        return
    view = session.repository.view
    found = {node.key for node in view.nodes({artifact_of(row[HASH]) for row in props.values()})}
    shown = [Path(session.shown(session.whole(path))) for path in props]
    for folder in {folder.as_posix() for path in shown for folder in path.parents}:
        if (key := view.at_path(folder)) is not None:
            found.add(key)
    relations = [PutRelation(kind="slice_of", source=slice_, target=key) for key in sorted(found)]
    session.running().write(relations)


def _record(session: Session, file: OwnFile, properties: Properties | None) -> Artifact:
    recorded = session.running().keep("output", file.path, file.name, (ArtifactType.DATASLICE,), properties)
    return session.put("output", file.shown, recorded)
