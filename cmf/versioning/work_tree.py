"""Files put into a tree at recorded paths, which are anyone's text, and never outside of it.

A file is written below an open folder, into which each step went without following a link: whoever swaps a folder
for a link meanwhile, or before, gets nothing written where it leads.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from cmf.core.errors import FileProblem
from cmf.journal import ulid
from cmf.scratch import Scratch
from cmf.versioning.manifests import check_place


class WorkTree:
    """The tree below `root`. A file in it is the old one or the new one, whatever happens meanwhile."""

    def __init__(self, root: Path, scratch: Scratch) -> None:
        self._root = root
        self._scratch = scratch

    def check(self, path: str) -> None:
        """See that something may be put at a path.

        Raises:
            FileProblem: it may not, or a link is above it.
        """
        check_place(path)
        for above in Path(path).parents:
            if (self._root / above).is_symlink():
                raise _linked(self._root / path, str(above))

    def put(self, path: str, make: Callable[[Path], None]) -> None:
        """Put a file at a path, in place of a file that is there; `make` makes it, at a path of its own.

        Raises:
            FileProblem: it cannot be written.
        """
        with self._folder_of(path) as (folder, name):
            draft = self._scratch.path()
            try:
                make(draft)
                _move(draft, folder, name)
            finally:
                draft.unlink(missing_ok=True)

    def add(self, path: str, content: bytes) -> None:
        """Make a small file, unless something is there.

        Raises:
            FileProblem: it cannot be written.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with (
            self._folder_of(path) as (folder, name),
            suppress(FileExistsError),
            os.fdopen(os.open(name, flags, 0o644, dir_fd=folder), "wb") as file,
        ):
            file.write(content)

    def make_folder(self, path: str) -> None:
        """Make a folder, unless it is there.

        Raises:
            FileProblem: it cannot be made.
        """
        with self._opened(path, check_place(path)):
            pass

    def remove(self, path: str) -> None:
        """Remove a file.

        Raises:
            FileProblem: it cannot be removed.
        """
        with self._folder_of(path) as (folder, name):
            os.unlink(name, dir_fd=folder)

    def clear(self, path: str) -> None:
        """Remove what is at a path, if anything is, a folder with all that is in it.

        Raises:
            FileProblem: it cannot be removed.
        """
        with self._folder_of(path) as (folder, name), suppress(FileNotFoundError):
            try:
                os.unlink(name, dir_fd=folder)
            except (IsADirectoryError, PermissionError):  # POSIX has the second for folders, and macOS
                shutil.rmtree(name, dir_fd=folder)

    @contextmanager
    def _folder_of(self, path: str) -> Iterator[tuple[int, str]]:
        """The open folder that a path lies in, made if it is not there, and the name in it."""
        *folders, name = check_place(path)
        with self._opened(path, folders) as folder:
            yield folder, name

    @contextmanager
    def _opened(self, path: str, folders: Sequence[str]) -> Iterator[int]:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        with _naming(self._root / path):
            at = os.open(self._root, flags)
            try:
                for folder in folders:
                    below = self._step(path, at, folder, flags)
                    os.close(at)
                    at = below
                yield at
            finally:
                os.close(at)

    def _step(self, path: str, at: int, folder: str, flags: int) -> int:
        with suppress(FileExistsError):
            os.mkdir(folder, dir_fd=at)
        try:
            return os.open(folder, flags, dir_fd=at)
        except OSError as exc:
            if exc.errno in (errno.ELOOP, errno.ENOTDIR):
                raise _linked(self._root / path, folder) from exc
            raise


def _move(draft: Path, folder: int, name: str) -> None:
    try:
        os.replace(draft, name, dst_dir_fd=folder)
    except OSError as exc:
        if exc.errno != errno.EXDEV:
            raise
        _move_across(draft, folder, name)  # another file system is mounted there


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


def _linked(path: Path, folder: str) -> FileProblem:
    return FileProblem(path, f"lies behind {folder!r}, which is a link or no folder; nothing is written there")
