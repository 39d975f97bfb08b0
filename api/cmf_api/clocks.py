"""Clocks of sites that are off: measured at each push, told to the pusher and in the statistics."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

from cmf.clock import microseconds
from cmf.core.wire import CLOCK_TOLERANCE_SECONDS

MAX_SITES: Final = 10_000
"""So many sites are remembered at most: whoever may push can call itself anything."""

_PREFIX: Final = "of-"
"""Before a site's name, which may be `..`."""


class Clocks:
    """The sites whose clock is off, as of their last push: a small file each, which all workers of a server share.

    They are notes. Where one cannot be written the pusher is told all the same.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / "clocks"
        self._lock = threading.Lock()

    def note(self, site: str, ahead_seconds: int) -> None:
        """Remember how far a site is ahead (negative: behind), or that it is no more."""
        file = self._folder / f"{_PREFIX}{site}"
        with suppress(OSError), self._lock:
            if abs(ahead_seconds) <= CLOCK_TOLERANCE_SECONDS:
                file.unlink(missing_ok=True)
                return
            if not file.exists():
                self._make_room()
            # Written beside it and moved, so that nobody reads half a number.
            written = self._folder / f".{os.getpid()}"
            written.write_text(str(ahead_seconds))
            written.replace(file)

    @property
    def off(self) -> dict[str, int]:
        """By how many seconds the clocks of sites are ahead (negative: behind), of those where it matters."""
        found: dict[str, int] = {}
        with suppress(OSError):
            for name in sorted(file.name for file in self._folder.iterdir()):
                if name.startswith(_PREFIX):
                    with suppress(OSError, ValueError):  # it was right in this moment
                        found[name.removeprefix(_PREFIX)] = int((self._folder / name).read_text())
        return found

    def _make_room(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        known = [entry for entry in os.scandir(self._folder) if entry.name.startswith(_PREFIX)]
        if len(known) >= MAX_SITES:
            oldest = min(known, key=lambda entry: entry.stat().st_mtime_ns)
            Path(oldest).unlink()


def ahead_seconds(date: str | None) -> int:
    """How far the clock that said the date of a request is ahead; 0 where it said none that can be read."""
    if date is None:
        return 0
    try:
        return round(parsedate_to_datetime(date).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0


def stamped_ahead_seconds(newest: str) -> int:
    """How far the newest time of a journal lies in the future.

    A clock that was set right stays ahead in the journal, which never goes back. That a time is past says nothing.
    """
    return max(0, round(microseconds(newest) / 1e6 - time.time()))
