"""Files put into a new folder at recorded paths, which are anyone's text: nothing is ever written outside of it."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from cmf.core.errors import FileProblem
from cmf.reproducing.holdings import Part
from cmf.versioning.content import read_file, share_blocks

_NOT_DATA = frozenset({".git", ".cmf", ".dvc"})
"""Folders whose files steer programs: what was recorded under such a path is not put there."""


class Refused(NamedTuple):
    """Why nothing is put at a path."""

    why: str


def place_in(base: Path, path: str) -> Path | Refused:
    """Where in a folder a recorded path is, once links in the tree are followed."""
    parts = PurePosixPath(path).parts
    if path.startswith("/"):
        return Refused("it is outside of the tree")
    if not parts or ".." in parts or "\0" in path:
        return Refused("its path leads out of the tree")
    root = base.resolve()
    try:
        folder = root.joinpath(*parts[:-1]).resolve()
    except (OSError, RuntimeError) as exc:  # links in a circle
        return Refused(f"its path cannot be followed ({exc})")
    if not folder.is_relative_to(root):
        return Refused(f"a link in the tree leads to {folder}, outside of it")
    if not _NOT_DATA.isdisjoint(part.lower() for part in (*folder.relative_to(root).parts, *parts)):
        return Refused("its path is in a folder that steers git, DVC or cmf")
    return folder / parts[-1]


def put(place: Path, parts: Iterable[Part], base: Path) -> None:
    """Put content at a place that `place_in` gave, in place of what is there; each file is a copy, checked on the way.

    Raises:
        FileProblem: a file is not what its name in the cache says, or cannot be written.
    """
    try:
        _clear(place)
        for part in parts:
            target = place_in(base, (place.relative_to(base.resolve()) / part.name).as_posix())
            if isinstance(target, Refused):
                raise FileProblem(place, f"its list of files names {part.name!r}: {target.why}")
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy(part, target)
    except OSError as exc:
        raise FileProblem(place, exc.strerror or str(exc)) from exc


def _clear(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def _copy(part: Part, target: Path) -> None:
    """A copy that shares its blocks with the original where the file system can, and never its inode."""
    copy = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        cloned = share_blocks(part.source, copy)
        digests, _ = read_file(part.source, sha256=False, copy=None if cloned else copy)
    finally:
        os.close(copy)
    if part.md5 and digests.md5 != part.md5:
        target.unlink()
        raise FileProblem(
            part.source, f"its content is not what it was: its md5 is {digests.md5}; delete it and fetch it again"
        )
    if part.source.stat().st_mode & stat.S_IXUSR:
        target.chmod(target.stat().st_mode | 0o111 & ~_umask())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
