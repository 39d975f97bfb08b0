"""Whose push is next: a few are worked on at once, others wait, and the sites that wait take turns.

A site with a million records to push waits for its own backlog, and nobody else does: each turn gives a site credit
for so many bytes, and its next push is taken when that is enough for it (deficit round robin).
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from cmf_api.errors import Busy

CREDIT_BYTES: Final = 1 << 18
"""What a site is given in a turn."""

PUSH_BYTES: Final = 1 << 16
"""What a push costs beside the bytes of its body, so that many small ones are not for nothing."""

MAX_RETRY_SECONDS: Final = 60


class _Waiting(NamedTuple):
    cost: int
    turn: asyncio.Future[None]


class Turns:
    """Lets `at_once` pushes be worked on at once. Of one event loop; nothing of it is shared between processes.

    Up to `max_waiting` wait, of one site up to an eighth of that, with up to `max_bytes` together.
    """

    def __init__(self, at_once: int, max_waiting: int, max_bytes: int) -> None:
        self._free = self._at_once = at_once
        self._max_waiting = max_waiting
        self._max_of_a_site = max(1, max_waiting // 8)
        self._max_bytes = max_bytes
        self._queues: OrderedDict[str, deque[_Waiting]] = OrderedDict()
        """Of the sites that wait; the one whose turn it is comes first."""
        self._credits: dict[str, int] = {}
        self._waiting = self._waiting_bytes = 0
        self._push_seconds = 0.1
        """How long a push has been worked on of late."""

    def expect_room(self, site: str, size_bytes: int = 0) -> None:
        """That a push of this site may wait, if it has to.

        Raises:
            Busy: it may not.
        """
        if self._waiting >= self._max_waiting or self._waiting_bytes + size_bytes > self._max_bytes:
            raise self._busy("too many pushes are waiting")
        if len(self._queues.get(site, ())) >= self._max_of_a_site:
            raise self._busy("too many pushes of this site are waiting")

    @asynccontextmanager
    async def turn(self, site: str, size_bytes: int) -> AsyncIterator[None]:
        """Wait until it is this push's turn, and be worked on inside.

        Raises:
            Busy: too much is waiting already.
        """
        if self._free and not self._queues:
            self._free -= 1
        else:
            self.expect_room(site, size_bytes)
            await self._wait(site, PUSH_BYTES + size_bytes)
        began = time.monotonic()
        try:
            yield
        finally:
            self._push_seconds += (time.monotonic() - began - self._push_seconds) / 8
            self._free += 1
            self._pass_on()

    async def _wait(self, site: str, cost: int) -> None:
        waiting = _Waiting(cost, asyncio.get_running_loop().create_future())
        self._queues.setdefault(site, deque()).append(waiting)
        self._waiting += 1
        self._waiting_bytes += cost - PUSH_BYTES
        try:
            await waiting.turn
        except asyncio.CancelledError:
            if waiting.turn.done() and not waiting.turn.cancelled():  # it was its turn at this very moment
                self._free += 1
            else:
                self._queues[site].remove(waiting)
                self._left(site, waiting)
            self._pass_on()
            raise

    def _pass_on(self) -> None:
        while self._free and self._queues:
            site, queue = next(iter(self._queues.items()))
            following = queue[0]
            if self._credits.get(site, 0) < following.cost:
                self._credits[site] = self._credits.get(site, 0) + CREDIT_BYTES
                self._queues.move_to_end(site)
                continue
            queue.popleft()
            self._credits[site] -= following.cost
            self._left(site, following)
            self._free -= 1
            following.turn.set_result(None)

    def _left(self, site: str, waiting: _Waiting) -> None:
        self._waiting -= 1
        self._waiting_bytes -= waiting.cost - PUSH_BYTES
        if not self._queues[site]:
            del self._queues[site]
            self._credits.pop(site, None)

    def _busy(self, problem: str) -> Busy:
        seconds = math.ceil((self._waiting + 1) * self._push_seconds / self._at_once)
        # Not all of those that are refused now should come back in the same moment.
        later = min(MAX_RETRY_SECONDS, random.randint(seconds, 2 * seconds))  # noqa: S311 - no secret
        return Busy(f"{problem}; push again in {later} s", later)
