"""`dvc.lock`: for each stage the command that last ran, and the content of what it read and wrote.

    schema: '2.0'
    stages:
      train:
        cmd: python train.py
        deps: [{path: train.npz, hash: md5, md5: 9f1c…, size: 12}]
        params: {params.yaml: {C: 1.0}}
        outs: [{path: model.pkl, hash: md5, md5: 2b7e…, size: 34}]

Schema 1.0 has the stages at the top.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cmf.core.errors import FileProblem
from cmf.core.identity import file_key, manifest, md5_of
from cmf.core.values import Json, canonical
from cmf.documents import parse
from cmf.ingest.statements import json_object

_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
_KNOWN = {"path", "hash", "md5", "size", "etag", "checksum", "files"}


class Locked(NamedTuple):
    """A file or folder as an entry names it. Without a `key` the lock has no hash of it; `more` is all else it says."""

    path: str
    key: str | None
    size_bytes: int | None
    more: dict[str, Json]


class Entry(NamedTuple):
    """What the lock holds of one stage."""

    command: tuple[str, ...]
    deps: tuple[Locked, ...]
    outs: tuple[Locked, ...]
    params: dict[str, dict[str, Json]]
    """By file; names are paths in it, such as `train.lr`."""

    @property
    def content(self) -> dict[str, Json]:
        """All that makes it another run when it changes."""
        return {
            "command": list(self.command),
            "deps": [[used.path, used.key] for used in sorted(self.deps, key=lambda used: used.path)],
            "outs": [[used.path, used.key] for used in sorted(self.outs, key=lambda used: used.path)],
            "params": dict(self.params),
        }


def entries(content: bytes, path: Path) -> dict[str, Entry]:
    """The entries of a lock file by stage; `path` is where errors are.

    Raises:
        FileProblem: it is malformed, or of a schema that is not known.
    """
    found = parse(content, path)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise FileProblem(path, "malformed: it holds no stages; nothing was recorded")
    schema = str(found.get("schema", "1.0"))
    if schema.split(".")[0] not in ("1", "2"):
        raise FileProblem(path, f"its schema is {schema}; this version of cmf reads 1.0 and 2.0")
    stages = found.get("stages") or {} if "schema" in found else found
    if not isinstance(stages, dict):
        raise FileProblem(path, "malformed: 'stages' is no mapping; nothing was recorded")
    return {str(name): _entry(str(name), entry, path) for name, entry in stages.items()}


def _entry(name: str, entry: object, path: Path) -> Entry:
    if not isinstance(entry, dict):
        raise _malformed(path, name, "it is no mapping")
    command = entry.get("cmd") or ()
    params = entry.get("params") or {}
    if not isinstance(params, dict) or not all(isinstance(of, dict) for of in params.values()):
        raise _malformed(path, name, "its params are no mappings")
    return Entry(
        command=tuple(str(line) for line in (command if isinstance(command, list | tuple) else [command])),
        deps=tuple(_locked(name, entry.get("deps"), path)),
        outs=tuple(_locked(name, entry.get("outs"), path)),
        params={str(file): json_object(of, f"{path}: stage {name!r}: params of {file}") for file, of in params.items()},
    )


def _locked(name: str, listed: object, path: Path) -> Iterator[Locked]:
    for item in listed if isinstance(listed, list) else [] if listed is None else [None]:
        if not isinstance(item, dict) or not isinstance(item.get("path"), str) or not item["path"]:
            raise _malformed(path, name, "a dependency or output without a path")
        size = item.get("size")
        more = {str(field): value for field, value in item.items() if field not in _KNOWN}
        if item.get("hash") not in (None, "md5"):
            more["hash"] = item["hash"]
        yield Locked(
            path=item["path"],
            key=_key(name, item, path),
            size_bytes=size if isinstance(size, int) and 0 <= size < 2**53 else None,
            more=json_object(more, f"{path}: stage {name!r}: {item['path']}"),
        )


def _key(name: str, item: Mapping[str, Any], path: Path) -> str | None:
    """The key of the content. What stands for content elsewhere (an ETag, a checksum) is one under its address only."""
    if md5 := item.get("md5"):
        if not _MD5.fullmatch(str(md5)):
            raise _malformed(path, name, f"the md5 of {item['path']} is {str(md5)[:60]!r}")
        return f"md5:{md5}"
    if files := item.get("files"):
        try:
            return file_key(md5_of(manifest((file["relpath"], file["md5"]) for file in files)) + ".dir")
        except (TypeError, KeyError) as exc:
            raise _malformed(path, name, f"the files of {item['path']} lack a relpath or an md5") from exc
    for kind in ("etag", "checksum"):
        if version := item.get(kind):
            of = canonical({"rule": f"dvc-{kind}/1", "address": item["path"], kind: str(version)})
            return f"{kind}:{hashlib.sha256(of).hexdigest()}"
    return None


def _malformed(path: Path, name: str, problem: str) -> FileProblem:
    return FileProblem(path, f"malformed: stage {name!r}: {problem}; nothing was recorded")
