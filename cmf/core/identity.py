"""Every rule of identity: what a key is the digest of. No key is made anywhere else.

| key                          | digest of |
|------------------------------|-----------|
| `md5:<32 hex>[.dir]`         | the bytes of a file; of a folder, DVC's manifest (see `manifest`) |
| `<algorithm>:<digest>`       | given by the caller, checked for form |
| `sha256:<64 hex>`            | canonical JSON of an artifact that is a record (`Record` in operations) |
| `execution:<32 hex>`         | canonical JSON of what identifies the run (`RunIdentity` in operations) |
| `context:<32 hex>`           | canonical JSON of kind, name, parent and namespace |
| `use:<32 hex>`               | canonical JSON of execution, artifact, direction and path |

Each rule carries its version inside the hashed content. Same content, same key, on every machine.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

from cmf.core.errors import InvalidValue
from cmf.core.values import Json, canonical, canonical_text

Kind = Literal["artifact", "execution", "context", "use"]

KEY_PATTERN = r"^[a-z0-9][a-z0-9-]{0,31}:[0-9A-Za-z._=+/-]{4,200}$(?!\n)"
"""The form of every key: its kind or algorithm, a colon, the digest."""

DIGEST_LENGTHS = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128, "blake3": 64, "xxh3": 16}
"""The hexadecimal digits of the algorithms whose form is known; any other algorithm is taken as is."""

_KEY = re.compile(KEY_PATTERN)
_HEX = re.compile(r"[0-9a-f]+(\.dir)?")
_OWN_KINDS: dict[str, Kind] = {"execution": "execution", "context": "context", "use": "use"}


def kind_of(key: str) -> Kind:
    """What a key names.

    >>> kind_of("md5:d41d8cd98f00b204e9800998ecf8427e")
    'artifact'
    """
    return _OWN_KINDS.get(key.partition(":")[0], "artifact")


@lru_cache(maxsize=16_384)  # the operations of one execution name its key over and over
def check_key(key: str) -> str:
    """That `key` has the form of a key.

    Raises:
        InvalidValue: it has not.
    """
    scheme, _, digest = key.partition(":")
    length = 32 if scheme in _OWN_KINDS else DIGEST_LENGTHS.get(scheme)
    if not _KEY.match(key) or (length and (not _HEX.fullmatch(digest) or len(digest.removesuffix(".dir")) != length)):
        raise InvalidValue(f"{key[:120]!r} is no key; a key is <algorithm>:<digest>, such as md5:<32 hex digits>")
    return key


def check_artifact_key(key: str) -> str:
    """That `key` can name content.

    Raises:
        InvalidValue: it cannot.
    """
    if kind_of(check_key(key)) != "artifact":
        raise InvalidValue(f"{key} names no content but an {kind_of(key)}")
    return key


def file_key(md5: str) -> str:
    """The key of a file's content, from the md5 of its bytes (hexadecimal)."""
    return f"md5:{md5}"


def manifest(files: Iterable[tuple[str, str]]) -> bytes:
    """The bytes that stand for a folder in DVC's cache, and whose md5 is its key.

    `files` are pairs of path (relative, `/` between its parts) and md5.
    """
    listed = [{"md5": md5, "relpath": path} for path, md5 in sorted(files)]
    return json.dumps(listed).encode()


def md5_of(content: bytes) -> str:
    """The md5 of bytes (hexadecimal)."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def folder_sha256(files: Iterable[tuple[str, str]]) -> str:
    """The sha256 that vouches for a folder, from the path in it and the sha256 of each file (hexadecimal)."""
    listed: Json = [{"relpath": path, "sha256": sha256} for path, sha256 in sorted(files)]
    return hashlib.sha256(canonical({"rule": "folder/1", "files": listed})).hexdigest()


def record_key(identity: Json) -> str:
    """The key of an artifact that is a record."""
    return "sha256:" + hashlib.sha256(canonical(identity)).hexdigest()


def execution_key(identity: Json) -> str:
    """The key of an execution."""
    return "execution:" + _digest(identity)


@lru_cache(maxsize=4096)
def context_key(kind: str, name: str, parent: str | None, namespace: str | None) -> str:
    """The key of a pipeline (`parent` None) or of a stage (`parent` its pipeline's key)."""
    identity: Json = {"rule": "context/1", "kind": kind, "name": name, "parent": parent, "namespace": namespace}
    return "context:" + _digest(identity)


def pipeline_key(pipeline: str, namespace: str | None) -> str:
    """The key of the pipeline of this name."""
    return context_key("pipeline", pipeline, None, namespace)


def stage_key(pipeline: str, stage: str, namespace: str | None) -> str:
    """The key of this stage of the pipeline of this name."""
    return context_key("stage", stage, pipeline_key(pipeline, namespace), namespace)


def use_key(execution: str, artifact: str, direction: str, path: str) -> str:
    """The key of a use."""
    identity = {
        "rule": "use/1",
        "execution": execution,
        "artifact": artifact,
        "direction": direction,
        "path": path,
    }
    return "use:" + hashlib.sha256(canonical_text(identity)).hexdigest()[:32]


def _digest(identity: Json) -> str:
    return hashlib.sha256(canonical(identity)).hexdigest()[:32]
