"""What is at a path: the key of its content, read only when it changed since it was last read, and kept in a cache."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from msgspec import structs

from cmf.core.errors import FileProblem
from cmf.core.identity import file_key, folder_sha256, manifest, md5_of
from cmf.versioning.cache import Cache
from cmf.versioning.content import NO_CONTENT, Version, read_file, state_of, version_of
from cmf.versioning.folders import Listed, data_in
from cmf.versioning.ignoring import Ignoring, patterns_of
from cmf.versioning.states import TICK_NS, FileState, FolderState, States, settled

UNKNOWN_SIZE = -1
"""The size of content that was not read."""

_WORTH_WAITING_BYTES = 64 << 20
_MANY_FILES = 1_000


class Content(NamedTuple):
    """What is at a path: its key, its size (of a folder, that of all its files), its sha256 where that was taken.

    `names` are the paths of a folder's files in it, None for a file; `pointers` those of the files in it that stand
    for some of that data, and are no part of the content.
    """

    key: str
    size_bytes: int
    sha256: str | None = None
    names: tuple[str, ...] | None = None
    executable: bool = False
    pointers: tuple[str, ...] = ()


class Listing(NamedTuple):
    """A folder: its content, and the state of each file by its path in it."""

    content: Content
    files: Mapping[str, FileState]


class Contents:
    """Finds contents.

    With `states`, unchanged files are not read again. With a `cache`, what is found is kept in it. `.dvcignore` files
    count from the folder `root` on.
    """

    def __init__(
        self,
        states: States | None = None,
        cache: Cache | None = None,
        *,
        root: Path | None = None,
        sha256: bool = False,
    ) -> None:
        self._states = states
        self._cache = cache
        self._root = root
        self._sha256 = sha256

    def at(self, path: Path) -> Content:
        """The content of a file, or of a folder with all below it.

        Raises:
            FileProblem: it does not exist, cannot be read, is neither file nor folder, changed meanwhile, or
                could not be kept.
        """
        whole = os.path.abspath(path)  # noqa: PTH100 (resolve() would follow links that users name)
        state = state_of(path)
        if not stat.S_ISREG(state.st_mode) and not stat.S_ISDIR(state.st_mode):
            raise FileProblem(path, NO_CONTENT)
        if stat.S_ISDIR(state.st_mode):
            return self._folder(Path(whole)).content
        known = self._states.file(whole) if self._states else None
        found, is_new = self._file(path, version_of(state), known)
        if is_new and self._states:
            self._states.remember(whole, found)
        executable = bool(state.st_mode & stat.S_IXUSR)
        return Content(file_key(found.md5), found.version[0], found.sha256, executable=executable)

    def listing(self, folder: Path) -> Listing:
        """The content of a folder, file by file.

        Raises:
            FileProblem: as of `at`.
        """
        return self._folder(Path(os.path.abspath(folder)))  # noqa: PTH100

    def _file(self, path: Path, version: Version, known: FileState | None) -> tuple[FileState, bool]:
        """The state of a file, and whether that is news worth remembering."""
        if known is not None and known.version == version and self._suffices(known):
            return known, False
        if version[0] >= _WORTH_WAITING_BYTES and not settled(version, time.time_ns()):
            time.sleep(TICK_NS / 1e9)  # so that what takes long to read need not be read again
        read_at = time.time_ns()
        if self._cache is None:
            digests, version = read_file(path, sha256=self._sha256)
            return FileState(version, digests.md5, digests.sha256), settled(version, read_at)
        digests, version = self._cache.add_file(path, sha256=self._sha256)
        linked = self._cache.relink(path, digests.md5, version)
        return FileState(linked, digests.md5, digests.sha256), settled(version, read_at)

    def _suffices(self, known: FileState, trusted: bool = False) -> bool:
        if self._sha256 and known.sha256 is None:
            return False
        return trusted or self._cache is None or self._cache.has(known.md5)

    def _folder(self, folder: Path) -> Listing:
        known = self._states.folder(os.fspath(folder)) if self._states else None
        ignoring = self._ignoring(folder)
        listed, pointers = data_in(folder, ignoring)
        stamp = self._cache.stamp() if self._cache else None
        trusted = known is not None and stamp is not None and known.cache == stamp
        states, unsettled = self._files(listed, known.files if known else {}, trusted)
        is_kept = self._cache is None or (known is not None and self._cache.has(known.md5))
        if known and is_kept and not unsettled and states == known.files:
            if stamp and not trusted and self._states:
                self._states.remember(os.fspath(folder), structs.replace(known, cache=stamp))
            return Listing(_folder_content(known.md5, states, known.sha256, pointers), states)
        again, _ = data_in(folder, ignoring)
        if {file.name: file.version for file in again} != {name: state.version for name, state in states.items()}:
            raise FileProblem(folder, "changed while it was being read; record it when nothing writes to it")
        text = manifest((name, state.md5) for name, state in states.items())
        md5 = md5_of(text) + ".dir"
        if self._cache:
            self._cache.add_bytes(text, md5)
        sha256 = folder_sha256((name, state.sha256 or "") for name, state in states.items()) if self._sha256 else None
        if self._states:
            kept = {name: state for name, state in states.items() if name not in unsettled}
            self._states.remember(os.fspath(folder), FolderState(kept, md5, sha256, self._settled_stamp(len(states))))
        return Listing(_folder_content(md5, states, sha256, pointers), states)

    def _settled_stamp(self, count: int) -> str | None:
        """The stamp of the cache; for many files it is worth waiting until it shows all changes."""
        if self._cache and count >= _MANY_FILES:
            time.sleep(TICK_NS / 1e9)
        return self._cache.stamp() if self._cache else None

    def _files(
        self, listed: list[Listed], known: Mapping[str, FileState], trusted: bool
    ) -> tuple[dict[str, FileState], set[str]]:
        """The states of a folder's files, and the names of those that may yet change without it showing.

        `trusted`: the cache has all that is known.
        """
        states: dict[str, FileState] = {}
        unsettled: set[str] = set()
        for file in listed:
            before = known.get(file.name)
            if before is not None and before.version == file.version and self._suffices(before, trusted):
                states[file.name] = before  # (as `_file` does, for the ten thousand that did not change)
                continue
            states[file.name], is_new = self._file(Path(file.path), file.version, before)
            if states[file.name] is not before and not is_new:
                unsettled.add(file.name)
        return states, unsettled

    def _ignoring(self, folder: Path) -> Ignoring:
        root = os.fspath(self._root) if self._root and folder.is_relative_to(self._root) else os.fspath(folder)
        return patterns_of(os.fspath(folder), root)


def _folder_content(
    md5: str, states: Mapping[str, FileState], sha256: str | None, pointers: tuple[str, ...]
) -> Content:
    size = sum(state.version[0] for state in states.values())
    return Content(f"md5:{md5}", size, sha256, tuple(states), pointers=pointers)
