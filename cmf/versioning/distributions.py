"""The installed distributions, as `importlib.metadata` finds them, but without opening a file for most of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from cmf.core.values import Json

_EXACT = re.compile(r"([^-~][^-]*)-(\d[^-_]*)")
"""What a `.dist-info` folder is named where that tells its name and version as they are."""

_INFO = (".dist-info", ".egg-info")


class _Distribution(NamedTuple):
    name: str
    version: str
    origin: dict[str, Json]


def installed(path: Iterable[str]) -> dict[str, Json]:
    """The distributions on a search path, by their normalized name: what an import finds, so the first of a name.

    Each is its version, or, where that does not say where it came from, an object with it: `editable` or `folder`,
    an `archive` with its sha256, or a commit of version control.
    """
    found: dict[str, Json] = {}
    for entry in dict.fromkeys(path):
        for name, version, origin in sorted(_in_folder(entry) if os.path.isdir(entry or ".") else _in_file(entry)):
            found.setdefault(name, {"version": version, **origin} if origin else version)
    return found


def _in_folder(folder: str) -> Iterator[_Distribution]:
    try:
        names = os.listdir(folder or ".")
    except OSError:  # an import skips it too
        return
    for name in names:
        stem, suffix = os.path.splitext(name)
        if suffix in _INFO:
            yield from _distribution(os.path.join(folder, name), stem)
        elif suffix == ".egg" and (known := _read_metadata(os.path.join(folder, name, "EGG-INFO", "PKG-INFO"))):
            yield _Distribution(*known, {})


def _distribution(info: str, stem: str) -> Iterator[_Distribution]:
    origin = _origin(_read(os.path.join(info, "direct_url.json")))
    exact = _EXACT.fullmatch(stem) if info.endswith(".dist-info") else None
    if exact and os.path.exists(os.path.join(info, "METADATA")):
        yield _Distribution(_normalized(exact[1]), exact[2], origin)
        return
    for file in ("METADATA", "PKG-INFO", ""):  # an `.egg-info` may be the file itself
        if known := _read_metadata(os.path.join(info, file) if file else info):
            yield _Distribution(*known, origin)
            return


def _in_file(file: str) -> Iterator[_Distribution]:
    """Those in an archive on the path."""
    if os.path.exists(file):
        from importlib import metadata

        for found in metadata.distributions(path=[file]):
            if found.metadata["Name"]:
                yield _Distribution(_normalized(found.metadata["Name"]), found.version, {})


def _read_metadata(file: str) -> tuple[str, str] | None:
    """The name and version in a file of metadata; None where it is none."""
    head = re.split(rb"\r?\n\r?\n", _read(file) or b"", maxsplit=1)[0].decode(errors="replace")
    fields = dict(re.findall(r"^(name|version):[ \t]*(\S+)", head.lower(), re.MULTILINE))
    return (_normalized(fields["name"]), fields["version"]) if fields.keys() == {"name", "version"} else None


def _origin(text: bytes | None) -> dict[str, Json]:
    """Where a distribution came from that is of no index; without paths, which differ between users."""
    try:
        told = msgspec.json.decode(text, type=_DirectUrl) if text else _DirectUrl()
    except msgspec.MsgspecError:
        return {}
    address: dict[str, Json] = {} if told.url.startswith("file:") else {"url": _without_password(told.url)}
    if told.vcs_info:
        return {"origin": told.vcs_info.vcs, "commit": told.vcs_info.commit_id, **address}
    if told.dir_info:
        return {"origin": "editable" if told.dir_info.editable else "folder"}
    if told.archive_info:
        old = dict([told.archive_info.hash.split("=", 1)]) if "=" in told.archive_info.hash else {}
        return {"origin": "archive", **(told.archive_info.hashes or old), **address}
    return {}


class _Vcs(msgspec.Struct):
    vcs: str
    commit_id: str


class _Folder(msgspec.Struct):
    editable: bool = False


class _Archive(msgspec.Struct):
    hash: str = ""
    hashes: dict[str, str] = {}


class _DirectUrl(msgspec.Struct):
    """`direct_url.json`, as PyPA specifies it."""

    url: str = ""
    vcs_info: _Vcs | None = None
    dir_info: _Folder | None = None
    archive_info: _Archive | None = None


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _without_password(url: str) -> str:
    return re.sub(r"(?<=://)[^@/]*@", "", url)


def _read(file: str) -> bytes | None:
    try:
        return Path(file).read_bytes()
    except OSError:
        return None
