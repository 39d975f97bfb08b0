"""What a pull brings, kept as a segment of its own: part of the journal, never pushed back.

The segment bears the name of its content, so that pulling the same again adds nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cmf import __version__, journal
from cmf.core.records import FORMAT, Header, Stamped, header_line, raw_record_line, stated_parts, time_of
from cmf.core.values import encode

SITE = "pulled"
"""The site that pulled segments name, and under which they stand in the view."""

_EPOCH = "1970-01-01T00:00:00.000000Z"


class Pulled(NamedTuple):
    """What a pull brought: the operations received, whether they were news, and the segment that has them, if any were.

    `incremental`: only what was not pulled before was asked for.
    """

    operations: int
    news: bool
    segment: str | None = None
    incremental: bool = False


def write_pulled(folder: Path, operations: Iterable[Stamped], progress: Callable[[int], None] | None) -> Pulled:
    """Keep operations as a segment in a folder: all of them, or none if they end in an exception."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f"{journal.ulid()}.received"
    segment = draft.with_suffix(".part")
    try:
        with draft.open("w+b") as received:
            count, name = _receive(received, operations, progress)
            target = folder / f"{name}{journal.SUFFIX}"
            if count == 0 or target.exists():
                return Pulled(count, news=False, segment=name if count else None)
            received.seek(0)
            _write(segment, name, received)
        segment.replace(target)
        journal.sync_folder(folder)
        return Pulled(count, news=True, segment=name)
    finally:
        draft.unlink(missing_ok=True)
        segment.unlink(missing_ok=True)


def _receive(
    received: BinaryIO, operations: Iterable[Stamped], progress: Callable[[int], None] | None
) -> tuple[int, str]:
    """Write operations down as they arrive; → their number, and the name that their content gives."""
    digest = hashlib.sha256()
    count = 0
    for stamped in operations:
        line = encode(stamped) + b"\n"
        digest.update(line)
        received.write(line)
        count += 1
        if progress:
            progress(1)
    return count, f"{SITE}-{digest.hexdigest()[:26]}"


def _write(path: Path, name: str, received: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        for line in _lines(name, received):
            file.write(line + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _lines(name: str, received: Iterable[bytes]) -> Iterator[bytes]:
    # Nothing in it tells the moment of the pull: the same content is the same file.
    line, total = header_line(Header(FORMAT, SITE, name, f"cmf {__version__} pull", _EPOCH))
    yield line
    for sequence, stated in enumerate(received, 1):
        stamp, operation = stated_parts(stated.rstrip(b"\n"))
        line, total = raw_record_line(total, sequence, time_of(stamp), operation, stamp)
        yield line
