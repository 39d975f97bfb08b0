"""Objects of the cache put into the working tree: decided first, then done, and never outside of it.

A file is written below an open folder, into which each step went without following a link: whoever swaps a folder
for a link meanwhile, or before, gets nothing written where it leads.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from cmf.core.errors import FileProblem
from cmf.journal import ulid
from cmf.scratch import Scratch
from cmf.versioning.cache import LAYOUT, Cache
from cmf.versioning.contents import Contents
from cmf.versioning.folders import files_in
from cmf.versioning.ignoring import patterns_of
from cmf.versioning.manifests import check_place
from cmf.versioning.pointers import SUFFIX


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
        self._scratch = scratch

    def compare(self, path: str, key: str, files: Mapping[str, str] | None, *, force: bool) -> Changes:
        """What the tree lacks of an artifact; `files` are those of a folder, by their path in it.

        Raises:
            FileProblem: it may not be put there, or something that is in no cache would be lost (unless `force`).
        """
        check_place(path)
        self._expect_no_link_above(path)
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
            with self._folder_of(path) as (folder, name), _naming(self._root / path):
                os.unlink(name, dir_fd=folder)
        for path, md5 in changes.writes.items():
            with self._folder_of(path) as (folder, name), _naming(self._root / path):
                self._write(folder, name, md5, executable)

    def hide(self, folder: str) -> None:
        """Have git see nothing of a folder, where that has no `.gitignore` yet.

        Raises:
            FileProblem: it cannot be written.
        """
        path = f"{folder}/.gitignore"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with (
            self._folder_of(path) as (at, name),
            _naming(self._root / path),
            suppress(FileExistsError),
            os.fdopen(os.open(name, flags, 0o644, dir_fd=at), "wb") as file,
        ):
            file.write(b"*\n")  # this file among them

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

    def _expect_no_link_above(self, path: str) -> None:
        for above in Path(path).parents:
            if (self._root / above).is_symlink():
                raise _linked(self._root / path, str(above))

    @contextmanager
    def _folder_of(self, path: str) -> Iterator[tuple[int, str]]:
        """The open folder that a path lies in, made if it is not there, and the name in it."""
        *folders, name = check_place(path)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        with _naming(self._root / path):
            at = os.open(self._root, flags)
        try:
            for folder in folders:
                with _naming(self._root / path):
                    with suppress(FileExistsError):
                        os.mkdir(folder, dir_fd=at)
                    try:
                        below = os.open(folder, flags, dir_fd=at)
                    except OSError as exc:
                        if exc.errno in (errno.ELOOP, errno.ENOTDIR):
                            raise _linked(self._root / path, folder) from exc
                        raise
                os.close(at)
                at = below
            yield at, name
        finally:
            os.close(at)

    def _write(self, folder: int, name: str, md5: str, executable: bool) -> None:
        draft = self._scratch.path()
        try:
            self._cache.copy(md5, draft)
            if executable and not draft.is_symlink() and draft.stat().st_nlink == 1:
                draft.chmod(draft.stat().st_mode | 0o111)
            try:
                os.replace(draft, name, dst_dir_fd=folder)
            except OSError as exc:
                if exc.errno != errno.EXDEV:
                    raise
                _move_across(draft, folder, name)  # another file system is mounted there
        finally:
            draft.unlink(missing_ok=True)


def _move_across(draft: Path, folder: int, name: str) -> None:
    beside = f".cmf-{ulid()}"
    mode = draft.stat().st_mode & 0o777
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode, dir_fd=folder)
    try:
        with os.fdopen(file, "wb") as target, draft.open("rb") as source:
            while block := source.read(1 << 20):
                target.write(block)
        os.replace(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(beside, dir_fd=folder)
        raise


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise FileProblem(path, f"cannot be written ({exc.strerror or exc})") from exc


def _changed(path: Path) -> FileProblem:
    return FileProblem(
        path,
        "was changed here, and no cache has what it is now; record it, move it away, or say --force to lose it",
    )


def _linked(path: Path, folder: str) -> FileProblem:
    return FileProblem(path, f"lies behind {folder!r}, which is a link or no folder; nothing is written there")
