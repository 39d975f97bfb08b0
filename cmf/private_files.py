"""Files of one user alone that several processes change: one after the other, and each time whole or not at all."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """Be the only process that changes this file, while the `with` lasts; a file beside it is the lock."""
    lock = os.open(file.with_name(file.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def replace(file: Path, content: bytes) -> None:
    """Put other content in the place of a file: nobody else can read it, and who reads finds the old or the new."""
    descriptor, draft = tempfile.mkstemp(prefix=file.name, dir=file.parent)  # 0600
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        Path(draft).replace(file)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
