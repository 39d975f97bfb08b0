"""Ids, UUIDs, uris and names in the form of cmflib, each made of a key alone and read back to it.

| cmflib's | is here |
|---|---|
| `id`, an integer | the first 52 bits of the key's digest: the same everywhere, and exact in a float |
| `Execution_uuid` | the digest of the execution's key, written as a UUID |
| `uri` | the digest of an md5 or sha256 key; of another algorithm the whole key |
| an artifact's name | the path, a colon, the uri; what a model or metrics add behind that is for people |
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterator

from cmf.core.errors import InvalidValue
from cmf.core.identity import check_artifact_key
from cmf.core.operations import ForeignIdentity, put_execution

ID_DIGITS = 13
"""Hexadecimal digits of a digest that make an id: 52 bits, which pandas keeps exact in a column with gaps."""

_HEX_DIGEST = re.compile(rf"[0-9a-f]{{{ID_DIGITS}}}")
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def id_of(key: str) -> int:
    """The id of what a key names.

    >>> id_of("md5:d41d8cd98f00b204e9800998ecf8427e")
    3731574115332107
    """
    digest = key.partition(":")[2]
    if not _HEX_DIGEST.match(digest):
        digest = hashlib.sha256(key.encode()).hexdigest()
    return int(digest[:ID_DIGITS], 16)


def prefix_of(id_: int) -> str:
    """The digits with which the digest of a key of this id begins, where that digest is hexadecimal.

    Raises:
        InvalidValue: it is no id.
    """
    if isinstance(id_, bool) or not hasattr(id_, "__index__") or not 0 <= int(id_) < 1 << (4 * ID_DIGITS):
        raise InvalidValue(f"{id_!r} is no id; an id is the whole number that an execution, artifact or context has")
    return f"{int(id_):0{ID_DIGITS}x}"


def uuid_of(execution: str) -> str:
    """The UUID by which cmflib's commands name an execution."""
    return str(uuid.UUID(hex=execution.partition(":")[2]))


def executions_of(uuids: str) -> tuple[str, str]:
    """The keys that an execution with this UUID has: if it was recorded here, and if cmflib recorded it.

    Of several UUIDs, separated by commas, the first counts.

    Raises:
        InvalidValue: it is no UUID.
    """
    first = uuids.split(",")[0].strip()
    try:
        own = "execution:" + uuid.UUID(first).hex
    except ValueError as exc:
        raise InvalidValue(f"{first[:60]!r} is no UUID of an execution; 'cmf execution list' shows them") from exc
    return own, put_execution(recorded_by_cmflib(first)).key


def recorded_by_cmflib(uuid_: str) -> ForeignIdentity:
    """What identifies an execution that cmflib recorded."""
    return ForeignIdentity(source="mlmd", run=uuid_)


def uri_of(artifact: str) -> str:
    """The uri of an artifact."""
    algorithm, _, digest = artifact.partition(":")
    return digest if algorithm in ("md5", "sha256") else artifact


def artifact_of(uri: str) -> str:
    """The key of the artifact with this uri, or with a UUID that cmflib gave to content without a hash.

    Raises:
        InvalidValue: it names no content.
    """
    if _MD5.fullmatch(uri):
        return f"md5:{uri}"
    if _SHA256.fullmatch(uri):
        return f"sha256:{uri}"
    if _UUID.fullmatch(uri):
        return f"mlmd-uuid:{uri}"
    return check_artifact_key(uri)


def named_artifacts(name: str) -> Iterator[str]:
    """The keys that the name of an artifact may stand for."""
    parts = name.strip().split(":")
    for part in reversed(parts):
        if _MD5.fullmatch(part) or _SHA256.fullmatch(part) or _UUID.fullmatch(part):
            yield artifact_of(part)
    if len(parts) > 1:
        yield ":".join(parts[-2:])


def path_in(name: str) -> str:
    """The path in the name of an artifact: what stands before its uri.

    >>> path_in("data/raw.csv:d41d8cd98f00b204e9800998ecf8427e")
    'data/raw.csv'
    """
    parts = name.split(":")
    for index, part in enumerate(parts):
        if index and (_MD5.fullmatch(part) or _SHA256.fullmatch(part) or _UUID.fullmatch(part)):
            return ":".join(parts[:index])
    return name
