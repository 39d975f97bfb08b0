"""Files on their way to their place: a process prepares them in a folder of its own and then renames them.

    <folder>/<ulid>/alive      locked as long as the process lives
    <folder>/<ulid>/…          what it prepares

What a killed process leaves behind is removed by the next one that prepares something beside it.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

from cmf.journal import ulid

_ALIVE = "alive"
_MAKING_SECONDS = 60
_LOCK = ".locks"
"""A file of this suffix names a lock file elsewhere that is the same file as the draft of this name without it."""


class Scratch:
    """This process's folder for files on their way, made when it is first needed. Threads may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names = itertools.count()

    def path(self) -> Path:
        """A path that no other has, on the file system of the folder.

        Raises:
            OSError: the folder cannot be written.
        """
        return self._own / f"{os.getpid()}-{next(self._names)}"

    def close(self) -> None:
        """Remove the folder with what is in it; a forked child leaves it to its parent."""
        if "_own" in vars(self) and self._process == os.getpid():
            shutil.rmtree(self._own, ignore_errors=True)
            os.close(self._alive)
            del self._own

    @cached_property
    def _own(self) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        _sweep(self._folder)
        own = self._folder / ulid()
        own.mkdir()
        self._process = os.getpid()
        self._alive = os.open(own / _ALIVE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._alive, fcntl.LOCK_EX)
        return own


@contextmanager
def lock_file(scratch: Scratch, lock: Path, content: bytes) -> Iterator[bool]:
    """Hold a lock file as others know them (whoever creates it has it), with some content; → False if it is taken.

    It may be renamed while it is held. If this process is killed, the next one that prepares something removes it.

    Raises:
        OSError: it could not be made for another reason.
    """
    draft = scratch.path()
    note = draft.with_name(draft.name + _LOCK)
    draft.write_bytes(content)
    note.write_text(os.fspath(lock), encoding="utf-8", errors="surrogateescape")
    held = False
    try:
        with suppress(FileExistsError):
            os.link(draft, lock)
            held = True
        yield held
    finally:
        if held:
            _remove_lock(note)
        draft.unlink()
        note.unlink()


def _sweep(folder: Path) -> None:
    """Remove what killed processes left."""
    for entry in os.scandir(folder):
        left = Path(entry.path)
        with suppress(OSError):
            if not (left / _ALIVE).exists():  # it is being made at this moment, or its process was killed doing so
                if time.time() - left.stat().st_mtime > _MAKING_SECONDS:
                    shutil.rmtree(left)
                continue
            with (left / _ALIVE).open("rb+") as alive:
                fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for note in left.glob("*" + _LOCK):
                    _remove_lock(note)
                shutil.rmtree(left)


def _remove_lock(note: Path) -> None:
    """Remove a lock file, known by being the same file as its draft: what is there now may be another's."""
    lock = Path(note.read_text(encoding="utf-8", errors="surrogateescape"))
    with suppress(OSError):
        if lock.samefile(note.with_name(note.name.removesuffix(_LOCK))):
            lock.unlink()
