"""Times as cmf writes them, and the clock that stamps a journal."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def now() -> str:
    """The wall clock: RFC 3339, UTC, microseconds."""
    return written(time.time_ns() // 1000)


def milliseconds() -> int:
    """The wall clock in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def written(microseconds: int) -> str:
    """A time in microseconds since 1970, as RFC 3339.

    >>> written(1_777_885_951_250_001)
    '2026-05-04T09:12:31.250001Z'
    """
    return (_EPOCH + timedelta(microseconds=microseconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def microseconds(written: str) -> int:
    """The microseconds since 1970 of a time as `written` writes it."""
    return (datetime.fromisoformat(written) - _EPOCH) // _MICROSECOND


LAST_TIME = "2199-12-31T23:59:59.999999Z"
"""The last time that a journal may name."""


class HybridClock:
    """A hybrid logical clock: the wall clock, but never at or before a time it gave out, or `last`.

    So what is stated after seeing a statement is later than it, though the clock that stamped that was fast. At the
    last time there is it stands still: one machine with a mad clock must not end the recording of all that saw it,
    and stamps of one time are told apart by their segment and number.
    """

    def __init__(self, last: str | None = None) -> None:
        self._last = microseconds(last) if last else 0

    def tick(self) -> str:
        """The time of the next statement."""
        self._last = min(max(time.time_ns() // 1000, self._last + 1), _END)
        return written(self._last)


_END = microseconds(LAST_TIME)
