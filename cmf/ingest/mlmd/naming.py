"""What a row of ML Metadata is called here, so that other copies of it are called the same.

| row | is |
|---|---|
| execution with cmflib's `Execution_uuid` | the run of the first id in it, which goes with it into any other file |
| execution with an `external_id` | the run of that id |
| any other execution | the run of its type, id and creation time: those of one database and its later copies |
| artifact whose `uri` is the md5 of content, as cmflib writes it | that content, `md5:…` |
| artifact whose `uri` is `<algorithm>:<digest>` | that content |
| Metrics of an execution, without such a `uri` | a record of its custom properties |
| artifact whose `uri` is a UUID | `mlmd-uuid:<UUID>` |
| any other artifact | `mlmd-artifact:` and the digest of its type, uri, id and creation time |
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from cmf.core.errors import InvalidValue
from cmf.core.identity import DIGEST_LENGTHS, check_artifact_key
from cmf.core.model import ArtifactType
from cmf.core.operations import RecordIdentity, put_record
from cmf.core.values import MAX_VALUE_BYTES, Json, base_name, canonical, encode, fit
from cmf.ingest.mlmd.file import Event, Row

UUID: Final = "Execution_uuid"
"""The property in which cmflib keeps what names an execution everywhere: ids, where it was used again."""

_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TYPES = {"Step_Metrics": ArtifactType.STEP_METRICS}
_MAX_PATH = 4096


def run_of(row: Row) -> str:
    """The id of an execution's run."""
    uuids = row.properties.get(UUID) or row.custom.get(UUID)
    if isinstance(uuids, str) and (first := uuids.split(",")[0].strip()):
        return fit(first)
    if row.external_id:
        return fit(f"external:{row.external_id}")
    return f"{fit(row.type)[:200]}:{row.id}:{_digest({'type': row.type, 'id': row.id, 'created': row.created})}"


def artifact_key(row: Row, execution: str | None) -> str:
    """The key of an artifact; `execution` is the key of the one that put it out."""
    uri = (row.uri or "").strip()
    if _MD5.fullmatch(uri):
        return f"md5:{uri}"
    if uri.partition(":")[0] in DIGEST_LENGTHS:
        try:
            return check_artifact_key(uri)
        except InvalidValue:
            pass  # an address that looks like one
    if record := record_of(row, execution):
        return put_record(record).key
    if _UUID.fullmatch(uri):
        return f"mlmd-uuid:{uri}"
    return f"mlmd-artifact:{_digest({'type': row.type, 'uri': row.uri, 'id': row.id, 'created': row.created})}"


def record_of(row: Row, execution: str | None) -> RecordIdentity | None:
    """The metrics that an artifact is, when its content is no file."""
    if row.type != "Metrics" or execution is None or not row.custom or _MD5.fullmatch(row.uri or ""):
        return None
    values: dict[str, Json] = {fit(name): value for name, value in row.custom.items()}
    if len(encode(values)) > MAX_VALUE_BYTES:
        return None
    return RecordIdentity(kind=ArtifactType.METRICS, execution=execution, name=fit(path_of(row, None)), values=values)


def type_of(row: Row) -> str:
    """An artifact's type, as cmf calls it."""
    return fit(_TYPES.get(row.type, row.type))


def path_of(row: Row, event: Event | None) -> str:
    """The path under which an artifact was used.

    As cmflib writes it, it stands in the name or the event's path, before the hash; elsewhere it is the address.
    """
    uri, name = row.uri or "", row.name or ""
    if event and len(event.path) == 1 and isinstance(event.path[0], str) and uri and f":{uri}" in event.path[0]:
        name = event.path[0]
    before, hash_, _ = name.partition(f":{uri}") if uri else (name, "", "")
    path = before if hash_ and before else uri if "/" in uri or not name else name
    return (path or row.type).replace("\0", "\N{REPLACEMENT CHARACTER}")[:_MAX_PATH]


def name_of(row: Row) -> str:
    """What to call an artifact."""
    path = path_of(row, None)
    return fit(row.name) if row.name and path == row.uri else base_name(path)


def row_digest(row: Row) -> str:
    """What tells rows that stand for the same content apart."""
    return _digest({"type": row.type, "id": row.id, "created": row.created})[:8]


def _digest(value: Json) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()[:32]
