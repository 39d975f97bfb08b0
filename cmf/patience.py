"""Patience with a server that has too much to do, or that broke off: what may be repeated is, within limits."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Final, TypeVar

from cmf.core.errors import ServerBusy, ServerUnreachable

T = TypeVar("T")

BUSY_SECONDS: Final = 120.0
"""How long a server that has too much to do is waited for; each chunk that it takes begins this anew."""

DOWN_SECONDS: Final = 3.0
"""How long one is waited for whose store is down, for which somebody may have to do something."""

LONGEST_PAUSE_SECONDS: Final = 30.0

BROKEN_PAUSE_SECONDS: Final = 0.2
"""After a connection that broke: one of a server's workers may have died, and another goes on."""


class BusyWarning(UserWarning):
    """A push waits for a server that has too much to do."""


def patiently(attempt: Callable[[], T]) -> T:
    """What `attempt` answers, once a server that is busy has time for it. It may be called again.

    A connection that breaks is tried once more.

    Raises:
        ServerUnreachable: the server was busy all the time, or cannot be reached.
    """
    began = time.monotonic()
    is_told = is_broken = False
    while True:
        try:
            return attempt()
        except ServerUnreachable as exc:
            asked = exc.retry_after_seconds
            if asked is None:
                if is_broken or not exc.is_broken_off:
                    raise
                is_broken = True
                time.sleep(BROKEN_PAUSE_SECONDS)
                continue
            # A server that does not say how long, or a day, is asked again all the same.
            pause = min(max(asked, 0.5), LONGEST_PAUSE_SECONDS)
            is_busy = isinstance(exc, ServerBusy)
            waited = time.monotonic() - began
            if waited + pause > (BUSY_SECONDS if is_busy else DOWN_SECONDS):
                if is_busy:
                    raise ServerBusy(f"{exc}; it was so for {waited:.0f} seconds, try later") from exc
                raise
            if is_busy and not is_told:
                is_told = True
                told = f"the server has too much to do; this waits for it, for up to {BUSY_SECONDS:.0f} seconds"
                warnings.warn(told, BusyWarning, stacklevel=2)
            time.sleep(pause)
