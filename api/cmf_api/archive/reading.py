"""Reading an archive: the frames of all its files in the order in which they were accepted, from a cursor on.

A cursor says of the files how far each was read: all up to a name are done with, of later ones it has the offsets.

    <server id>~<name>~<name>:<offset>,<name>:<offset>
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from cmf.core.errors import BadQuestion
from cmf_api.archive.frames import ArchiveFrame, Found, FrameDamaged, FrameTorn, read_body, read_frame
from cmf_api.archive.writing import OPEN, SUFFIX, begun_at

MAX_CURSOR: Final = 16_384

_NAME: Final = r"[0-9A-HJKMNP-TV-Z]{26}"
_CURSOR = re.compile(rf"({_NAME})~((?:{_NAME})?)~((?:{_NAME}:\d{{1,15}}(?:,(?!$)|$))*)(?!\n)")
_FILE = re.compile(rf"({_NAME}){re.escape(SUFFIX)}({re.escape(OPEN)})?")


class Position(NamedTuple):
    """How far an archive was read: every file up to the name `done`, and of later ones the offsets."""

    done: str
    offsets: dict[str, int]


START: Final = Position("", {})


class _File(NamedTuple):
    name: str
    path: Path
    is_whole: bool
    size: int


class Reading:
    """One pass over an archive. `position` is how far it got, `damage` what could not be read."""

    def __init__(self, folder: Path, position: Position = START) -> None:
        self._files = files(folder)
        self._done = position.done
        self._offsets = {
            file.name: position.offsets.get(file.name, 0) for file in self._files if file.name > position.done
        }
        self._ended: set[str] = set()
        self.damage: list[str] = []
        self.bytes = sum(file.size - self._offsets[file.name] for file in self._files if file.name in self._offsets)
        """How much there is to read."""

    def __iter__(self) -> Iterator[tuple[Path, Found]]:
        """The frames with the file of each, but for those that only say whose the file is."""
        waiting: list[tuple[str, str, Path, Found | None]] = []
        for file in self._files:
            if file.name in self._offsets:
                # A file is opened when its turn comes: there may be thousands.
                heapq.heappush(waiting, (begun_at(file.name), file.name, file.path, None))
        while waiting:
            _, name, path, found = heapq.heappop(waiting)
            if found is not None:
                self._offsets[name] = found.end
                if not isinstance(found.header, ArchiveFrame):
                    yield path, found
            following = self._following(name, path)
            if following is not None:
                heapq.heappush(waiting, (following.header.at, name, path, following))

    @property
    def position(self) -> Position:
        """How far every file was read by now."""
        done = self._done
        for file in self._files:
            if file.name > done:
                if not (file.is_whole and file.name in self._ended):
                    break
                done = file.name
        return Position(done, {name: offset for name, offset in self._offsets.items() if offset and name > done})

    def _following(self, name: str, path: Path) -> Found | None:
        """The next frame of a file, None where it ends or cannot be read."""
        try:
            with _opened(path) as file:
                found = read_frame(file, self._offsets[name])
        except FrameTorn:
            found = None  # it is being written, or was when its process died
        except FrameDamaged as exc:
            self.damage.append(f"{path.name} is damaged behind byte {self._offsets[name]:,}: {exc}")
            found = None
        if found is None:
            self._ended.add(name)
        return found


def body_of(path: Path, found: Found) -> bytes:
    """The body of a frame, as it was received."""
    with _opened(path) as file:
        return read_body(file, found)


def raw_of(path: Path, found: Found) -> bytes:
    """A frame as it stands in its file, header and body."""
    with _opened(path) as file:
        file.seek(found.offset)
        return file.read(found.end - found.offset)


def files(folder: Path) -> list[_File]:
    """The files of an archive, oldest first."""
    found: dict[str, _File] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if named := _FILE.fullmatch(path.name):
            try:
                size = path.stat().st_size
            except FileNotFoundError:  # its process has just finished it
                path = path.with_suffix("")
                size = path.stat().st_size
            found.setdefault(named[1], _File(named[1], path, named[2] is None, size))
    return [found[name] for name in sorted(found)]


def write_cursor(server: str, position: Position) -> str:
    """A position in the archive of a server, as text."""
    offsets = ",".join(f"{name}:{offset}" for name, offset in sorted(position.offsets.items()))
    return f"{server}~{position.done}~{offsets}"


def read_cursor(cursor: str, server: str, folder: Path) -> Position | None:
    """The position that a cursor says, None where it is of another archive: of another server, or before a restore.

    Raises:
        BadQuestion: it is none.
    """
    said = _CURSOR.fullmatch(cursor) if len(cursor) <= MAX_CURSOR else None
    if said is None:
        raise BadQuestion(f"{cursor[:80]!r} is no cursor of an archive")
    offsets = {name: int(offset) for name, _, offset in (part.partition(":") for part in said[3].split(",") if part)}
    sizes = {file.name: file.size for file in files(folder)}
    is_ours = said[1] == server and (not said[2] or said[2] in sizes)
    if not is_ours or any(sizes.get(name, -1) < offset for name, offset in offsets.items()):
        return None
    return Position(said[2], offsets)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:  # its process has finished it since
        return path.with_suffix("").open("rb")
