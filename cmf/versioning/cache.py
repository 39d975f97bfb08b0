"""Content kept under its md5, laid out as DVC's cache, so that DVC's commands work on it."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from cmf.core.errors import FileProblem, ObjectProblem
from cmf.core.identity import md5_of
from cmf.scratch import Scratch
from cmf.versioning.content import Digests, Version, read_file, share_blocks, version_of
from cmf.versioning.states import TICK_NS

LAYOUT = Path("files", "md5")
_OBJECT_MODE = 0o444

_umask = os.umask(0)
os.umask(_umask)


class CacheSettings(NamedTuple):
    """Where a cache is, how the tree's files are linked to it, whether users share it: as DVC's settings say."""

    folder: Path
    links: tuple[str, ...] = ("reflink", "copy")
    shared: bool = False


class Cache:
    """Objects by their md5; of a folder, its manifest as `<md5>.dir`. What is there is whole, and what was hashed."""

    def __init__(self, settings: CacheSettings) -> None:
        self.settings = settings
        self._objects = settings.folder / LAYOUT
        self._prefix = os.fspath(self._objects) + os.sep
        self._scratch = Scratch(settings.folder / "cmf-scratch")
        self._mode = 0o2775 if settings.shared else 0o777 & ~_umask

    def path(self, md5: str) -> Path:
        """Where the object of this md5 is, or would be."""
        return Path(self._place(md5))

    def has(self, md5: str) -> bool:
        """Whether the object is here."""
        return os.path.exists(self._place(md5))  # noqa: PTH110 (asked by the ten thousand)

    def stamp(self) -> str | None:
        """What is another one as soon as an object was taken out or put in; None where that may not show yet."""
        try:
            with os.scandir(self._objects) as folders:
                changed = sorted((folder.name, folder.stat().st_mtime_ns) for folder in folders)
        except OSError:
            return None
        if time.time_ns() - max((at for _, at in changed), default=0) <= TICK_NS:
            return None
        return md5_of(repr(changed).encode())

    def add_file(self, path: Path, *, sha256: bool) -> tuple[Digests, Version]:
        """Read a file, and keep what was read.

        Raises:
            FileProblem: it cannot be read, or changed meanwhile, or the cache cannot be written; nothing was kept.
        """
        with self._writing():
            draft = self._scratch.path()
            file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            with self._writing():
                cloned = share_blocks(path, file)
                digests, version = read_file(path, sha256=sha256, copy=None if cloned else file)
            os.close(file)
            file = -1
            self._put(draft, digests.md5)
            return digests, version
        finally:
            if file >= 0:
                os.close(file)
            draft.unlink(missing_ok=True)

    def add_bytes(self, data: bytes, md5: str) -> None:
        """Keep bytes, whose md5 this is (of a folder's manifest, with `.dir`)."""
        if self.has(md5):
            return
        with self._writing():
            draft = self._scratch.path()
            draft.write_bytes(data)
        self._put(draft, md5)

    def receive(self, md5: str, bring: Callable[[Path], None], *, sha256: bool) -> Digests:
        """Keep an object that comes from elsewhere: `bring` writes it into a file, of which nothing stays if it fails.

        Raises:
            ObjectProblem: what was brought is not what has this md5.
            FileProblem: the cache cannot be written.
        """
        with self._writing():
            draft = self._scratch.path()
        try:
            bring(draft)
            digests, _ = read_file(draft, sha256=sha256)
            if digests.md5 != md5.removesuffix(".dir"):
                raise ObjectProblem(f"object {md5} arrived damaged: its bytes have the md5 {digests.md5}")
            self._put(draft, md5)
            return digests
        finally:
            draft.unlink(missing_ok=True)

    def copy(self, md5: str, to: Path) -> None:
        """Make a new file of an object, as a link or a copy, as the settings say.

        A copy is checked on the way, and an object that somebody may have written to before it is linked.

        Raises:
            ObjectProblem: there is no such object, or it is damaged.
            OSError: the file cannot be made.
        """
        place = self.path(md5)
        if not place.is_file():
            raise ObjectProblem(f"object {md5} is not in the cache {self.settings.folder}")
        if place.stat().st_mode & 0o222:
            _expect(md5, read_file(place, sha256=False)[0], place)
        for kind in self.settings.links:
            if kind == "copy":
                break
            with suppress(OSError):  # across file systems, say: the next kind of link
                if kind == "reflink":
                    _clone_to(place, to)
                else:
                    (to.hardlink_to if kind == "hardlink" else to.symlink_to)(place)
                return
        with to.open("xb") as target:
            found, _ = read_file(place, sha256=False, copy=target.fileno())
        try:
            _expect(md5, found, place)
        except ObjectProblem:
            to.unlink()
            raise

    def relink(self, path: Path, md5: str, version: Version) -> Version:
        """Make a file of the tree a link to its object, where the settings say so and it is still as it was read.

        → its version after that.
        """
        for kind in self.settings.links:
            if kind in ("reflink", "copy"):
                break
            with suppress(OSError):  # across file systems, say: the next kind of link
                return self._link(kind, path, md5, version)
        return version

    def close(self) -> None:
        """Remove what is prepared."""
        self._scratch.close()

    def _place(self, md5: str) -> str:
        return f"{self._prefix}{md5[:2]}{os.sep}{md5[2:]}"

    def _put(self, draft: Path, md5: str) -> None:
        place = self.path(md5)
        with self._writing():
            if not place.exists():
                draft.chmod(_OBJECT_MODE)
                self._make_folder(place.parent)
                draft.replace(place)

    def _make_folder(self, folder: Path) -> None:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            for made in (folder, self._objects, self._objects.parent) if self.settings.shared else ():
                with suppress(OSError):
                    made.chmod(self._mode)

    def _link(self, kind: str, path: Path, md5: str, version: Version) -> Version:
        place, draft = self.path(md5), self._scratch.path()
        (draft.hardlink_to if kind == "hardlink" else draft.symlink_to)(place)
        try:
            if not path.is_symlink() and version_of(path.stat()) == version:
                draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        return version_of(path.stat())

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise FileProblem(
                self.settings.folder,
                f"the cache cannot be written ({exc.strerror or exc}); nothing was recorded. Make room or make it "
                f"writable, move it ('dvc cache dir PATH'), or set CMF_DATA=none to record without keeping bytes",
            ) from exc


def _expect(md5: str, found: Digests, place: Path) -> None:
    if found.md5 != md5.removesuffix(".dir"):
        raise ObjectProblem(f"its object in the cache is damaged; delete {place}, and fetch it or record it again")


def _clone_to(source: Path, to: Path) -> None:
    file = os.open(to, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        if not share_blocks(source, file):
            to.unlink()
            raise OSError(errno.ENOTSUP, "the file system shares no blocks")
    finally:
        os.close(file)
