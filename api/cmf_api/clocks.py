"""Clocks of sites that are off: measured at each push, told to the pusher and in the statistics."""

from __future__ import annotations

import threading
import time
from email.utils import parsedate_to_datetime
from typing import Final

from cmf.clock import microseconds
from cmf.core.wire import CLOCK_TOLERANCE_SECONDS

MAX_SITES: Final = 10_000
"""So many sites are remembered at most: whoever may push can call itself anything."""


class Clocks:
    """The sites whose clock is off, as of their last push since the server started."""

    def __init__(self) -> None:
        self._off: dict[str, int] = {}
        self._lock = threading.Lock()

    def note(self, site: str, ahead_seconds: int) -> None:
        """Remember how far a site is ahead (negative: behind), or that it is no more."""
        with self._lock:
            self._off.pop(site, None)
            if abs(ahead_seconds) > CLOCK_TOLERANCE_SECONDS:
                self._off[site] = ahead_seconds
                if len(self._off) > MAX_SITES:
                    del self._off[next(iter(self._off))]

    @property
    def off(self) -> dict[str, int]:
        """By how many seconds the clocks of sites are ahead (negative: behind), of those where it matters."""
        with self._lock:
            return dict(sorted(self._off.items()))


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
