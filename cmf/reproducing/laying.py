"""The inputs of an execution, laid out in a new folder: what came with the commit, what is copied, what is missing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

import msgspec

from cmf.core.errors import FileProblem
from cmf.core.recipe import Item
from cmf.repository import Repository
from cmf.reproducing.fetching import fetch
from cmf.reproducing.holdings import Holdings, Missing, Part, within
from cmf.versioning.content import read_file, share_blocks
from cmf.versioning.manifests import check_place
from cmf.versioning.work_tree import WorkTree

State = Literal["code", "cache", "tree", "outside", "missing"]


class Laid(msgspec.Struct, frozen=True, kw_only=True):
    """An input, and how it stands in the new folder: `code` came with the commit, `cache` and `tree` were copied.

    `outside` is content at an absolute path or address, as recorded; `missing` says in `why` what is to be done.
    """

    path: str
    key: str
    state: State
    why: str = ""


def lay(items: Sequence[Item], clone: Repository, repository: Repository, holdings: Holdings) -> tuple[Laid, ...]:
    """Lay inputs out in a new clone; what is not on this machine is fetched into the repository's cache.

    Raises:
        FileProblem: one cannot be copied, or what is kept of it is damaged.
    """
    base, tree = clone.root, WorkTree(clone.root, clone.scratch)
    laid = [_lay(item, base, tree, holdings) for item in items]
    lacking = [item for item, how in zip(items, laid, strict=True) if how.state == "missing"]
    problems = fetch(repository, lacking, holdings)
    return tuple(
        how if how.state != "missing" else _lay(item, base, tree, holdings, problems.get(item.key))
        for item, how in zip(items, laid, strict=True)
    )


def make_room(outputs: Iterable[Item], clone: Repository) -> None:
    """Make the folders that files were written into: a commit has no empty ones, and the command may expect them."""
    tree = WorkTree(clone.root, clone.scratch)
    written = {item.path for item in outputs if item.md5 is not None and item.url is None}
    for folder in sorted({PurePosixPath(path).parent.as_posix() for path in written} - {"."}):
        # One that is an output itself is for the command to make.
        if folder not in written:
            with suppress(FileProblem):  # outside of the tree, or behind a link: nothing is made there
                tree.make_folder(folder)


def put(tree: WorkTree, path: str, parts: Sequence[Part]) -> None:
    """Put a file, or the files of a folder, at a path in place of what is there; each is a copy, checked on the way.

    Raises:
        FileProblem: a file is not what its name in the cache says, or cannot be written.
    """
    tree.clear(path)
    if not parts:
        tree.make_folder(path)
    for part in parts:
        tree.put(f"{path}/{part.name}" if part.name else path, partial(_copy, part))


def _lay(item: Item, base: Path, tree: WorkTree, holdings: Holdings, unfetched: str | None = None) -> Laid:
    def laid(state: State, why: str = "") -> Laid:
        return Laid(path=item.path, key=item.key, state=state, why=why)

    if item.url is not None:
        return laid("outside", f"at {item.url}")
    if item.values is not None or item.md5 is None:
        return laid("outside", "a record, or content that was not read")
    if ".." not in PurePosixPath(item.path).parts and holdings.is_at(base / item.path, item):
        return laid("code") if within(base, item.path) else laid("outside", "is there, as it was")
    try:
        path = _place(tree, base, item.path)
    except FileProblem as exc:
        return laid("missing", f"{exc.problem}; put it there yourself")
    held = holdings.find(item)
    if isinstance(held, Missing):
        return laid("missing", unfetched or held.why)
    put(tree, path, held.parts)
    if item.is_folder and not holdings.is_at(base / path, item):
        raise FileProblem(base / path, f"what was put there is not {item.key}; run 'cmf fsck', and fetch it again")
    return laid("cache" if held.place == "cache" else "tree")


def _place(tree: WorkTree, base: Path, path: str) -> str:
    """The path to put something at that was recorded under one: links that stay in the tree are followed.

    Raises:
        FileProblem: nothing may be put there.
    """
    check_place(path)
    found = within(base, path)
    if found is None:
        raise FileProblem(Path(path), "lies behind a link that leads out of the tree; nothing is written there")
    inside = found.relative_to(base).as_posix()
    tree.check(inside)
    return inside


def _copy(part: Part, draft: Path) -> None:
    """A copy that shares its blocks with the original where the file system can, and never its inode."""
    executable = part.source.stat().st_mode & stat.S_IXUSR
    copy = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o777 if executable else 0o666)
    try:
        cloned = share_blocks(part.source, copy)
        digests, _ = read_file(part.source, sha256=False, copy=None if cloned else copy)
    finally:
        os.close(copy)
    if part.md5 and digests.md5 != part.md5:
        raise FileProblem(
            part.source, f"its content is not what it was: its md5 is {digests.md5}; delete it and fetch it again"
        )
