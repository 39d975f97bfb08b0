"""The files of a folder, as DVC sees them: what its manifest lists."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from cmf.core.errors import FileProblem
from cmf.versioning.content import Version, version_of
from cmf.versioning.ignoring import Ignoring
from cmf.versioning.pointers import SUFFIX


class DataWarning(UserWarning):
    """Something that is no part of what was recorded, though one might think so."""


class Listed(NamedTuple):
    """A file of a folder: its path in it (`/` between its parts), its whole path, its version."""

    name: str
    path: str
    version: Version


def files_in(folder: Path, ignoring: Ignoring) -> Iterator[Listed]:
    """The files below a folder, however deep, in no order. Links to files are followed, to folders left out, as by DVC.

    Raises:
        FileProblem: something cannot be read, is neither file nor folder, or has a name that is not UTF-8.
    """
    waiting = [(os.fspath(folder), "", ignoring)]
    while waiting:
        path, prefix, patterns = waiting.pop()
        plain = patterns.is_plain
        for entry in _entries(path):
            is_folder = entry.is_dir(follow_symlinks=False)
            if (plain and is_folder and patterns.leaves_out(entry.name, True)) or (
                not plain and patterns.leaves_out(entry.name, is_folder)
            ):
                continue
            if is_folder:
                waiting.append((entry.path, f"{prefix}{entry.name}/", patterns.below(entry.name)))
                continue
            state = _state(entry)
            if stat.S_ISREG(state.st_mode):
                yield Listed(_utf8(entry, prefix), entry.path, version_of(state))
            elif stat.S_ISDIR(state.st_mode):
                warnings.warn(
                    f"{entry.path}: a link to a folder, which DVC leaves out of data; "
                    f"record the folder that it leads to as well if it matters",
                    DataWarning,
                    stacklevel=2,
                )
            else:
                raise FileProblem(Path(entry.path), "is a pipe, socket or device, which has no content to record")


def data_in(folder: Path, ignoring: Ignoring) -> tuple[list[Listed], tuple[str, ...]]:
    """The files below a folder that are data, and the names of those that stand for data beside them.

    Those are `.dvc` files of files and folders that are there, and `.gitignore` files that hide nothing else: a
    folder's content is the same before and after something in it was recorded.

    Raises:
        FileProblem: as of `files_in`.
    """
    listed = list(files_in(folder, ignoring))
    if not any(file.name.endswith(SUFFIX) for file in listed):
        return listed, ()
    names = {file.name for file in listed}
    there = names | {above.as_posix() for name in names for above in PurePosixPath(name).parents}
    standing = {name for name in names if name.endswith(SUFFIX) and name.removesuffix(SUFFIX) in there}
    standing |= {file.name for file in listed if _hides_only(file, standing)}
    return [file for file in listed if file.name not in standing], tuple(sorted(standing))


def _hides_only(file: Listed, standing: Collection[str]) -> bool:
    """Whether a file is a `.gitignore` of nothing but what has a `.dvc` file beside it."""
    folder, _, name = file.name.rpartition("/")
    if name != ".gitignore":
        return False
    try:
        lines = Path(file.path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        return False
    hidden = [line.replace("\\", "").removeprefix("/") for line in lines if line]
    return bool(hidden) and all((f"{folder}/{one}" if folder else one) + SUFFIX in standing for one in hidden)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as exc:
        raise FileProblem(Path(folder), exc.strerror or str(exc)) from exc


def _state(entry: os.DirEntry[str]) -> os.stat_result:
    try:
        return entry.stat()
    except OSError as exc:
        raise FileProblem(Path(entry.path), exc.strerror or str(exc)) from exc


def _utf8(entry: os.DirEntry[str], prefix: str) -> str:
    try:
        entry.name.encode()
    except UnicodeEncodeError as exc:
        raise FileProblem(Path(entry.path), "its name is not valid UTF-8, which keys and JSON need; rename it") from exc
    return prefix + entry.name
