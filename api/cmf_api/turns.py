"""How much is worked on at once, how much may wait, and when to come back for those that find no room.

A push needs room from its first byte on, since its body has to be held; then it waits until it is its site's turn,
and is unpacked and read only then, since what was read takes many times the memory of what was sent.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from cmf_api.errors import Busy
from cmf_api.fairness import FairQueue

CREDIT_BYTES: Final = 1 << 18
"""What a site is given in a turn."""

PUSH_BYTES: Final = 1 << 14
"""What a push costs beside the bytes of its body, so that many small ones are not for nothing."""

MAX_COMING: Final = 256
"""How many bodies are on their way at once."""

MAX_RETRY_SECONDS: Final = 60


class _Waiter:
    """A push that waits for its turn. The future tells that it has come, or why it does not."""

    def __init__(self, site: str, size_bytes: int) -> None:
        self.site = site
        self.size_bytes = size_bytes
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Turns:
    """Lets `at_once` pushes be worked on at once, and up to `max_waiting` wait, with up to `max_bytes` of bodies.

    Of one event loop. Those of one site come one after the other, as they came. Where there is no room, the site that
    most waits of makes it.
    """

    def __init__(self, at_once: int, max_waiting: int, max_bytes: int) -> None:
        self._free = self._at_once = at_once
        self._max_waiting = max_waiting
        self._max_bytes = max_bytes
        self._queue: FairQueue[_Waiter] = FairQueue(CREDIT_BYTES)
        self._at_work: set[str] = set()
        """The sites whose pushes are worked on."""
        self._coming = self._coming_bytes = 0
        self._coming_of: Counter[str] = Counter()
        """Bytes that are on their way, by site."""
        self._waiting_bytes = self._working_cost = 0
        self._seconds_per_byte = 0.1 / CREDIT_BYTES
        """How long a push has been worked on of late, by its cost."""

    @property
    def waiting(self) -> int:
        """How many pushes wait their turn."""
        return len(self._queue)

    @asynccontextmanager
    async def place(self, site: str, announced_bytes: int) -> AsyncIterator[Place]:
        """Room for a push whose body will have so many bytes, from before it is read.

        Raises:
            Busy: there is none.
        """
        of_site = self._coming_of[site]
        if self._coming >= MAX_COMING or (of_site and of_site + announced_bytes > self._max_bytes // 2):
            raise self._busy()
        while self._coming_bytes + self._waiting_bytes + announced_bytes > self._max_bytes:
            self._send_away_for(site, announced_bytes)
        place = Place(self, site, announced_bytes)
        self._count_coming(site, 1, announced_bytes)
        try:
            yield place
        finally:
            place.arrived()

    def _count_coming(self, site: str, bodies: int, size_bytes: int) -> None:
        self._coming += bodies
        self._coming_bytes += size_bytes
        self._coming_of[site] += size_bytes
        if self._coming_of[site] <= 0:
            del self._coming_of[site]

    @asynccontextmanager
    async def turn(self, site: str, size_bytes: int) -> AsyncIterator[None]:
        """Wait until it is this push's turn, and be worked on inside.

        Raises:
            Busy: too much is waiting already.
        """
        cost = PUSH_BYTES + size_bytes
        if self._free and not self._queue and site not in self._at_work:
            self._begin(site)
        else:
            await self._wait(site, cost, size_bytes)
        self._working_cost += cost
        began = time.monotonic()
        try:
            yield
        finally:
            self._seconds_per_byte += ((time.monotonic() - began) / cost - self._seconds_per_byte) / 8
            self._working_cost -= cost
            self._end(site)

    def _begin(self, site: str) -> None:
        self._free -= 1
        self._at_work.add(site)

    def _end(self, site: str) -> None:
        self._free += 1
        self._at_work.discard(site)
        self._pass_on()

    async def _wait(self, site: str, cost: int, size_bytes: int) -> None:
        while len(self._queue) >= self._max_waiting:
            self._send_away_for(site, cost)
        waiter = _Waiter(site, size_bytes)
        self._queue.put(site, cost, waiter)
        self._waiting_bytes += size_bytes
        self._pass_on()  # all that wait before it may be of sites that are worked on
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if self._queue.remove(site, waiter):
                self._waiting_bytes -= size_bytes
            elif waiter.turn.done() and not waiter.turn.cancelled() and waiter.turn.exception() is None:
                self._end(site)  # it was its turn at this very moment
            raise

    def _pass_on(self) -> None:
        while self._free and (waiter := self._queue.take(self._at_work)) is not None:
            self._waiting_bytes -= waiter.size_bytes
            if not waiter.turn.done():  # else it was cancelled, and has not noticed yet
                self._begin(waiter.site)
                waiter.turn.set_result(None)

    def _send_away_for(self, site: str, cost: int) -> None:
        """Make room for a push of a site: that of which most waits has to come back, if that is another.

        Raises:
            Busy: it is this one.
        """
        if not self._queue:
            raise self._busy()
        longest, last = self._queue.longest()
        if longest == site or self._queue.cost_of(longest) <= self._queue.cost_of(site) + cost:
            raise self._busy()
        self._queue.remove(longest, last)
        self._waiting_bytes -= last.size_bytes
        if not last.turn.done():
            last.turn.set_exception(self._busy())

    def _busy(self) -> Busy:
        before = self._queue.cost + self._working_cost + self._coming_bytes
        seconds = max(1, math.ceil(before * self._seconds_per_byte / self._at_once))
        # Not all of those that are sent away now are to come back in the same moment.
        later = min(MAX_RETRY_SECONDS, random.randint(seconds, 2 * seconds))  # noqa: S311 (no secret)
        return Busy(f"too many pushes are waiting; nothing was taken, push again in {later} s", later)


class Place:
    """Room for one push."""

    def __init__(self, turns: Turns, site: str, announced_bytes: int) -> None:
        self._turns = turns
        self._site = site
        self._held = announced_bytes
        self._is_coming = True

    @asynccontextmanager
    async def turn(self, size_bytes: int) -> AsyncIterator[None]:
        """The body is here, with so many bytes: wait for the turn, and be worked on inside.

        Raises:
            Busy: too much is waiting already.
        """
        self.arrived()
        async with self._turns.turn(self._site, size_bytes):
            yield

    def arrived(self) -> None:
        """The body is no longer on its way."""
        if self._is_coming:
            self._is_coming = False
            self._turns._count_coming(self._site, -1, -self._held)
