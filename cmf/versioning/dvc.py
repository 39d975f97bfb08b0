"""The identity of files and folders, as DVC computes it: a key is the address in DVC's cache and remotes."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cmf.core.errors import FileProblem
from cmf.core.identity import file_key, folder_key


class Content(NamedTuple):
    """What is at a path: its key, and its size (of a folder, that of all its files)."""

    key: str
    size_bytes: int


def content(path: Path) -> Content:
    """Hash a file, or a folder with all below it (symbolic links are followed).

    Raises:
        FileProblem: it does not exist, cannot be read, is neither file nor folder, or changed meanwhile.
    """
    mode = _stat(path).st_mode
    if stat.S_ISDIR(mode):
        return _folder(path)
    md5, size = _file(path)
    return Content(file_key(md5), size)


def _folder(path: Path) -> Content:
    listed: list[tuple[str, str]] = []
    seen: dict[Path, os.stat_result] = {}
    total = 0
    for file in _files(path):
        seen[file] = _stat(file)
        md5, size = _file(file)
        listed.append((_utf8(file, file.relative_to(path).as_posix()), md5))
        total += size
    if {file: _version(_stat(file)) for file in _files(path)} != {f: _version(s) for f, s in seen.items()}:
        raise FileProblem(path, "changed while it was being read; record it when nothing writes to it")
    return Content(folder_key(listed), total)


def _files(path: Path) -> Iterator[Path]:
    """The files below a folder, in a fixed order, however deep."""
    waiting = [(path, frozenset({_identity(_stat(path))}))]
    while waiting:
        folder, above = waiting.pop()
        for found in _entries(folder):
            state = _stat(found)
            if not stat.S_ISDIR(state.st_mode):
                yield found
            elif _identity(state) in above:
                raise FileProblem(found, "a symbolic link that leads back to a folder above it")
            else:
                waiting.append((found, above | {_identity(state)}))


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder / entry.name for entry in os.scandir(folder))
    except OSError as exc:
        raise FileProblem(folder, exc.strerror or str(exc)) from exc


def _file(path: Path) -> tuple[str, int]:
    """The md5 and size of a file that stays the same while it is read."""
    before = _stat(path)
    if not stat.S_ISREG(before.st_mode):
        raise FileProblem(path, "is neither a file nor a folder (a pipe, socket or device has no content to record)")
    try:
        with path.open("rb") as file:
            md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as exc:
        raise FileProblem(path, exc.strerror or str(exc)) from exc
    if _version(_stat(path)) != _version(before):
        raise FileProblem(path, "changed while it was being read; record it when nothing writes to it")
    return md5, before.st_size


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the path
        raise FileProblem(path, getattr(exc, "strerror", None) or str(exc)) from exc


def _version(state: os.stat_result) -> tuple[int, ...]:
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino, state.st_dev


def _identity(state: os.stat_result) -> tuple[int, int]:
    return state.st_dev, state.st_ino


def _utf8(path: Path, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise FileProblem(path, "its name is not valid UTF-8, which keys and JSON need; rename it") from exc
    return text
