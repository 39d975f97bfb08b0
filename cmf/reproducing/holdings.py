"""Where the bytes of recorded content are on this machine: in a cache, or in a tree that has them still."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from cmf.core.errors import FileProblem, ObjectProblem
from cmf.core.identity import md5_of
from cmf.core.recipe import Item
from cmf.repository import Repository
from cmf.versioning.cache import Cache
from cmf.versioning.git_status import git
from cmf.versioning.manifests import parse_manifest


class Part(NamedTuple):
    """A file: its path in the folder that it is of (empty for a file by itself), its md5, and where its bytes are."""

    name: str
    md5: str
    source: Path


class Held(NamedTuple):
    """Content that is here: in which place, in a person's words, and its files."""

    place: str
    parts: tuple[Part, ...]


class Missing(NamedTuple):
    """Content that is not here, and what is known of that."""

    why: str


class Holdings:
    """The places to look in: the caches of a clone, its tree, and other trees of the same shape (`others`)."""

    def __init__(self, repository: Repository, others: Sequence[Path] = ()) -> None:
        self._repository = repository
        self._caches = repository.caches
        self._trees = [repository.root, *others]

    def find(self, item: Item) -> Held | Missing:
        """The bytes of an artifact."""
        if item.url is not None:
            return Missing(f"its content is elsewhere, at {item.url}")
        if item.md5 is None:
            return Missing("it has no bytes of its own: a record, or content that was not read when it was recorded")
        for cache in self._caches:
            if cache.has(item.md5):
                return _of_cache(cache, item.md5)
        for tree in self._trees:
            if (parts := self._of_tree(tree, item)) is not None:
                return Held("tree", parts)
        return Missing("neither the cache nor the tree has it")

    def is_at(self, path: Path, item: Item) -> bool:
        """Whether a file or folder has this content."""
        try:
            if item.size_bytes is not None and path.is_file() and path.stat().st_size != item.size_bytes:
                return False
            return self._repository.contents.at(path).key == item.key
        except (FileProblem, OSError, ValueError):
            return False

    def is_in_commit(self, commit: str, item: Item) -> bool:
        """Whether a commit of the repository has this file, with this content."""
        if not re.fullmatch(r"[0-9a-f]{40,64}", commit) or item.is_folder:
            return False
        # `./`: from the clone's root, which need not be the repository's.
        try:
            done = git(str(self._repository.root), "cat-file", "blob", f"{commit}:./{item.path}")
        except (OSError, ValueError):  # no git on this machine, a NUL in the path
            return False
        return done.returncode == 0 and md5_of(done.stdout) == item.md5

    def _of_tree(self, tree: Path, item: Item) -> tuple[Part, ...] | None:
        assert item.md5 is not None
        path = within(tree, item.path)
        if path is None or not self.is_at(path, item):
            return None
        if not item.is_folder:
            return (Part("", item.md5, path),)
        names = self._repository.contents.at(path).names or ()
        return tuple(Part(name, "", path / name) for name in names)


def within(tree: Path, path: str) -> Path | None:
    """Where a recorded path is in a tree, links above it followed; None where that is not in the tree."""
    if path.startswith("/") or ".." in PurePosixPath(path).parts:
        return None
    root, whole = tree.resolve(), tree / path
    try:
        folder = whole.parent.resolve()
    except (OSError, RuntimeError, ValueError):  # links in a circle, a NUL
        return None
    return folder / whole.name if folder.is_relative_to(root) else None


def _of_cache(cache: Cache, md5: str) -> Held | Missing:
    if not md5.endswith(".dir"):
        return Held("cache", (Part("", md5, cache.path(md5)),))
    try:
        files = parse_manifest(cache.path(md5).read_bytes(), md5)
    except (OSError, ObjectProblem, FileProblem) as exc:
        return Missing(f"the list of its files in the cache cannot be read ({exc})")
    parts = tuple(Part(name, md5, cache.path(md5)) for name, md5 in files.items())
    lost = [part.name for part in parts if not cache.has(part.md5)]
    if lost:
        return Missing(f"{len(lost)} of its {len(parts)} files are not in the cache, such as {lost[0]}")
    return Held("cache", parts)
