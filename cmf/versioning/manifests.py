"""A folder's manifest, as it may come from anybody: which files it has, by their path in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import msgspec

from cmf.core.errors import FileProblem, ObjectProblem

_STEERING = frozenset({".gitattributes", ".gitignore", ".gitmodules", ".dvcignore", "dvc.yaml", "dvc.lock"})
_NOT_DATA = frozenset({".git", ".hg", ".dvc", ".cmf"})


class _Entry(msgspec.Struct, frozen=True):
    relpath: str
    md5: str


_DECODER = msgspec.json.Decoder(list[_Entry])


def parse_manifest(text: bytes, md5: str) -> Mapping[str, str]:
    """The files of a manifest: their md5 by their path in the folder.

    Raises:
        ObjectProblem: it is none.
        FileProblem: it has a path that could lead out of the folder, or that no folder can hold.
    """
    try:
        entries = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ObjectProblem(f"object {md5} is no manifest of a folder: {exc}") from exc
    files: dict[str, str] = {}
    for entry in entries:
        if not re.fullmatch(r"[0-9a-f]{32}", entry.md5):
            raise ObjectProblem(f"object {md5} is no manifest of a folder: {entry.md5[:60]!r} is no md5")
        check_place(entry.relpath)
        if entry.relpath in files:
            raise ObjectProblem(f"object {md5} is no manifest of a folder: it has {entry.relpath!r} twice")
        files[entry.relpath] = entry.md5
    for path in files:
        if any(os_path in files for os_path in map(str, PurePosixPath(path).parents)):
            raise ObjectProblem(f"object {md5} is no manifest of a folder: {path!r} lies in a file")
    return files


def steers(path: str) -> bool:
    """Whether a file under this path tells git or DVC what to do."""
    name = path.rpartition("/")[2].casefold()
    return name in _STEERING or name.endswith(".dvc")


def check_place(path: str) -> tuple[str, ...]:
    """The parts of a recorded path, if a file may be written there: below the folder that it counts from.

    Raises:
        FileProblem: it may not, for a reason that is told.
    """
    parts = tuple(path.split("/"))
    if path.startswith("/"):
        raise FileProblem(Path(path), "lies outside of the working tree; nothing is written there")
    if any(part in ("", ".", "..") for part in parts):
        raise FileProblem(Path(path), "could lead out of the working tree; nothing is written there")
    if any(ord(c) < 32 or ord(c) == 127 for c in path):
        raise FileProblem(Path(repr(path)), "has a control character in its name; nothing is written under it")
    if any(part.casefold() in _NOT_DATA for part in parts):
        raise FileProblem(Path(path), "is a place of git's, DVC's or cmf's own; nothing is written there")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise FileProblem(Path(repr(path)), "is no name that can be written") from None
    return parts
