"""Writing the archive: a file a process, on the disk before what it holds is committed to the store.

    <home>/archive/<ulid>.cmfa         whole; never changed again
    <home>/archive/<ulid>.cmfa.open    being written, and locked by whoever writes it
    <home>/archive/.lock               locked while files are made, or those of processes that died are put right
    <home>/server-id                   who wrote them

The names of files are in the order in which they were begun.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import msgspec

from cmf import __version__, journal
from cmf.clock import microseconds, now, written
from cmf.core.errors import SettingsProblem, StoreUnavailable
from cmf.core.values import encode
from cmf_api.archive.frames import (
    FORMAT,
    ArchiveFrame,
    Frame,
    FrameDamaged,
    FrameTorn,
    check_body,
    pack_header,
    pack_lines,
    read_body,
    read_frame,
)
from cmf_api.settings import ServerSettings

SUFFIX: Final = ".cmfa"
OPEN: Final = ".open"
MAX_FILE_BYTES: Final = 64 << 20
RECENT: Final = 1_000
"""Frames of which it is remembered that they are on the disk."""

_DIGITS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Recorder(Protocol):
    """What keeps what was accepted: an archive, or nothing."""

    server: str
    """The id of this server."""

    def pack(self, body: bytes, encoding: str | None, lines: Sequence[bytes]) -> bytes:
        """The body of a frame for lines that were received in this form."""

    def keep(self, frames: Sequence[Frame]) -> None:
        """Have these frames on the disk when this returns.

        Raises:
            StoreUnavailable: it cannot be done; nothing may be taken.
        """

    def close(self) -> None:
        """Finish the file."""


def folder_of(home: Path) -> Path:
    """Where the archive of a server is."""
    return home / "archive"


def open_archive(settings: ServerSettings) -> Recorder:
    """The archive of a server as its settings have it.

    Raises:
        SettingsProblem: it cannot be kept where it should be.
    """
    return Archive(settings.home) if settings.archive else NoArchive()


class NoArchive:
    """Keeps nothing."""

    server = ""

    def pack(self, body: bytes, encoding: str | None, lines: Sequence[bytes]) -> bytes:
        """Nothing."""
        return b""

    def keep(self, frames: Sequence[Frame]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Archive:
    """The archive of a server, written by this process; by one thread at a time.

    Raises:
        SettingsProblem: there can be none in this folder.
    """

    def __init__(self, home: Path, max_file_bytes: int = MAX_FILE_BYTES) -> None:
        self._folder = folder_of(home)
        self._max = max_file_bytes
        self._file: _File | None = None
        self._last = 0
        self._recent: dict[bytes, None] = {}
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.server = server_id(home)
            with _alone(self._folder):
                _put_right(self._folder)
        except OSError as exc:
            raise SettingsProblem(
                f"{self._folder}: {exc.strerror or exc}; what is accepted is kept there: give another --home, "
                f"or --no-archive to keep nothing"
            ) from exc

    def pack(self, body: bytes, encoding: str | None, lines: Sequence[bytes]) -> bytes:
        """See `Recorder`: gzip stays as it came."""
        return body if encoding and encoding.strip().lower() == "gzip" else pack_lines(lines)

    def keep(self, frames: Sequence[Frame]) -> None:
        """See `Recorder`."""
        if not frames:
            return
        # Where commits fail, the same pushes come again and again: what is here is not kept once more.
        names = [_name_of(frame) for frame in frames]
        fresh = [frame for frame, name in zip(frames, names, strict=True) if name not in self._recent]
        if not fresh:
            return
        packed = b"".join(self._packed(frame) for frame in fresh)
        try:
            self._ready().append(packed)
        except OSError as exc:
            raise StoreUnavailable(
                f"the archive cannot be written ({self._folder}: {exc.strerror or exc}); nothing was taken. Make room "
                f"there, or start the server with --no-archive"
            ) from exc
        self._recent.update(dict.fromkeys(names))
        while len(self._recent) > RECENT:
            del self._recent[next(iter(self._recent))]

    def close(self) -> None:
        """See `Recorder`. What cannot be finished now is by the next process."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.seal()

    def _packed(self, frame: Frame) -> bytes:
        self._last = max(time.time_ns() // 1000, self._last + 1)
        header = msgspec.structs.replace(frame.header, at=written(self._last), bytes=len(frame.body))
        return pack_header(header) + frame.body

    def _ready(self) -> _File:
        """The file to write to: another one when the last is full, of another day, or could not be written."""
        file = self._file
        if file and file.is_sound and file.size < self._max and file.day == now()[:10]:
            return file
        self._file = None
        if file is not None:
            file.seal()
        with _alone(self._folder):
            self._file = _File(self._folder, _next_name(self._folder), self.server)
        return self._file


class _File:
    """A file that this process writes."""

    def __init__(self, folder: Path, name: str, server: str) -> None:
        self.day = now()[:10]
        self.is_sound = True
        self.size = 0
        self._path = folder / f"{name}{SUFFIX}{OPEN}"
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            header = ArchiveFrame(at=now(), bytes=0, server=server, tool=f"cmf {__version__}", format=FORMAT)
            self.append(pack_header(header))
            _sync_folder(folder)
        except BaseException:
            self._path.unlink(missing_ok=True)
            os.close(self._fd)
            raise

    def append(self, packed: bytes) -> None:
        """Have bytes at the end of the file, on the disk. On failure they are not there."""
        try:
            rest = memoryview(packed)
            while rest:
                rest = rest[os.write(self._fd, rest) :]
            journal_sync(self._fd)
        except OSError:
            # After a failed fsync nobody knows what is on the disk: this file gets no more.
            self.is_sound = False
            with suppress(OSError):
                os.ftruncate(self._fd, self.size)
            raise
        self.size += len(packed)

    def seal(self) -> None:
        """Close it, and give it the name of one that is whole."""
        try:
            self._path.rename(self._path.with_suffix(""))
            _sync_folder(self._path.parent)
        finally:
            os.close(self._fd)


def _name_of(frame: Frame) -> bytes:
    digest = hashlib.blake2b(encode(frame.header), digest_size=16)
    digest.update(frame.body)
    return digest.digest()


def journal_sync(fd: int) -> None:
    """Wait until what was written is on the disk."""
    getattr(os, "fdatasync", os.fsync)(fd)


def server_id(home: Path) -> str:
    """The id of the server with this home, which is given to it when it is first asked for."""
    file = home / "server-id"
    while True:
        try:
            found = file.read_text().strip()
        except FileNotFoundError:
            draft = home / f".server-id-{journal.ulid()}"
            home.mkdir(parents=True, exist_ok=True)
            draft.write_text(journal.ulid() + "\n")
            with suppress(FileExistsError):
                os.link(draft, file)  # of two at once, one
            draft.unlink()
            continue
        if len(found) != 26 or not found.isalnum() or not found.isascii():
            raise SettingsProblem(f"{file} holds no id of a server; restore it, or delete it to get a new one")
        return found


def _put_right(folder: Path) -> None:
    """Finish the files of processes that died: what is torn at their end is cut off."""
    for path in sorted(folder.glob(f"*{SUFFIX}{OPEN}")):
        # Its process may finish it at this very moment.
        with suppress(FileNotFoundError), path.open("r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # its process lives
            if _cut(path, file):
                path.rename(path.with_suffix(""))
            else:
                path.unlink()
    _sync_folder(folder)


def _cut(path: Path, file: BinaryIO) -> bool:
    """Cut off what is behind the last whole frame; → whether there is one beside that of the file itself.

    What is not merely torn is kept beside it: it was on the disk, and is damaged.
    """
    end = frames = 0
    is_damaged = False
    try:
        while found := read_frame(file, end):
            if found.header.bytes:
                check_body(read_body(file, found))
            end = found.end
            frames += 1
    except FrameTorn:
        pass
    except FrameDamaged:
        is_damaged = True
    size = file.seek(0, 2)
    if size > end:
        if is_damaged:
            file.seek(end)
            path.with_suffix(".damaged").write_bytes(file.read())
        os.truncate(path, end)
        with path.open("rb") as again:
            os.fsync(again)
    return frames > 1


def _next_name(folder: Path) -> str:
    """A name behind those of all files that are there, whatever the clock says."""
    last = max((path.name[:26] for path in folder.glob(f"*{SUFFIX}*")), default="")
    return max(journal.ulid(), _following(last)) if last else journal.ulid()


def _following(name: str) -> str:
    digits = [_DIGITS.index(digit) for digit in name]
    place = len(digits) - 1
    while place and digits[place] == len(_DIGITS) - 1:
        digits[place] = 0
        place -= 1
    digits[place] += 1
    return "".join(_DIGITS[digit] for digit in digits)


def begun_at(name: str) -> str:
    """The time at which a file was begun, by its name."""
    milliseconds = 0
    for digit in name[:10]:
        milliseconds = milliseconds * 32 + _DIGITS.index(digit)
    return written(min(milliseconds * 1000, microseconds("2199-12-31T23:59:59.999999Z")))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    fd = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
