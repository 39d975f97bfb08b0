"""Objects of the cache put into the working tree: decided first, then done, and never outside of it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cmf.core.errors import FileProblem
from cmf.scratch import Scratch
from cmf.versioning.cache import LAYOUT, Cache
from cmf.versioning.contents import Contents
from cmf.versioning.folders import files_in
from cmf.versioning.ignoring import patterns_of
from cmf.versioning.pointers import SUFFIX
from cmf.versioning.work_tree import WorkTree


class Changes(NamedTuple):
    """What has to be done for the tree to have some content at a path: files to write (with their md5), to remove."""

    writes: Mapping[str, str]
    removes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.writes or self.removes)


class Checkout:
    """Puts objects into the tree below `root`. What is found there is read with `contents`."""

    def __init__(self, root: Path, cache: Cache, contents: Contents, scratch: Scratch) -> None:
        self._root = root
        self._cache = cache
        self._contents = contents
        self._tree = WorkTree(root, scratch)

    def compare(self, path: str, key: str, files: Mapping[str, str] | None, *, force: bool) -> Changes:
        """What the tree lacks of an artifact; `files` are those of a folder, by their path in it.

        Raises:
            FileProblem: it may not be put there, or something that is in no cache would be lost (unless `force`).
        """
        self._tree.check(path)
        whole = self._root / path
        if files is None:
            md5 = key.partition(":")[2]
            return Changes({path: md5} if self._differs(path, md5, force) else {})
        if not os.path.lexists(whole):
            return Changes({f"{path}/{name}": md5 for name, md5 in files.items()})
        if whole.is_symlink() or not whole.is_dir():
            raise FileProblem(whole, "is in the way of a folder; move it away")
        with suppress(FileProblem):  # (a pipe in it, say, which the comparison file by file leaves alone)
            if self._contents.at(whole).key == key:
                return Changes({})
        writes = {f"{path}/{n}": md5 for n, md5 in files.items() if self._differs(f"{path}/{n}", md5, force)}
        return Changes(writes, tuple(f"{path}/{name}" for name in self._extra(whole, files, force)))

    def apply(self, changes: Changes, *, executable: bool = False) -> None:
        """Do it, a file at a time: each is the old one or the new one, whatever happens meanwhile.

        Raises:
            FileProblem: one cannot be written.
            ObjectProblem: an object is not in the cache.
        """
        for path in changes.removes:
            self._tree.remove(path)
        for path, md5 in changes.writes.items():
            self._tree.put(path, partial(self._copy, md5, executable=executable))

    def hide(self, folder: str) -> None:
        """Have git see nothing of a folder, where that has no `.gitignore` yet.

        Raises:
            FileProblem: it cannot be written.
        """
        self._tree.add(f"{folder}/.gitignore", b"*\n")  # this file among them

    def is_executable(self, path: str, key: str) -> bool:
        """Whether the `.dvc` file beside a file says that it is a program."""
        try:
            text = (self._root / (path + SUFFIX)).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return False
        return f"md5: {key.partition(':')[2]}\n" in text and re.search(r"^\s+isexec: true$", text, re.M) is not None

    def _differs(self, path: str, md5: str, force: bool) -> bool:
        """Whether a file has to be written for the tree to have this content at a path."""
        whole = self._root / path
        try:
            mode = whole.lstat().st_mode
        except FileNotFoundError:
            return True
        except OSError as exc:
            raise FileProblem(whole, exc.strerror or str(exc)) from exc
        if stat.S_ISDIR(mode):
            raise FileProblem(whole, "is a folder, and in the way of a file; move it away")
        if stat.S_ISLNK(mode) and not self._is_ours(whole):
            if force:
                return True
            raise FileProblem(whole, "is a symbolic link, which pulling would replace; say --force to do so")
        found = self._contents.at(whole).key.partition(":")[2]
        if found != md5 and not force and not self._cache.has(found):
            raise _changed(whole)
        return found != md5

    def _extra(self, folder: Path, files: Mapping[str, str], force: bool) -> Iterator[str]:
        for listed in files_in(folder, patterns_of(os.fspath(folder), os.fspath(self._root))):
            if listed.name not in files:
                if not force and not self._cache.has(self._contents.at(Path(listed.path)).key.partition(":")[2]):
                    raise _changed(Path(listed.path))
                yield listed.name

    def _is_ours(self, link: Path) -> bool:
        """Whether a link leads to an object of the cache."""
        objects = os.path.realpath(self._cache.settings.folder / LAYOUT)
        return os.path.realpath(link).startswith(objects + os.sep) and link.exists()

    def _copy(self, md5: str, draft: Path, executable: bool) -> None:
        self._cache.copy(md5, draft)
        if executable and not draft.is_symlink() and draft.stat().st_nlink == 1:
            draft.chmod(draft.stat().st_mode | 0o111)


def _changed(path: Path) -> FileProblem:
    return FileProblem(
        path,
        "was changed here, and no cache has what it is now; record it, move it away, or say --force to lose it",
    )
