"""How often a client may ask: a token bucket for each, refused with 503 and when to come back."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from cmf_api.errors import Busy, as_problem
from cmf_api.limits import Limits
from cmf_api.told import told_of

MAX_CLIENTS: Final = 10_000
"""So many clients are remembered at most; the one that has been silent longest is forgotten first."""

Client = tuple[str, str]
"""An address, and the token that let the client in."""


class Buckets:
    """A bucket for each client: a request takes one from it, and it fills at `per_second` up to `burst`."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._levels: OrderedDict[Client, tuple[float, float]] = OrderedDict()

    def wait_seconds(self, client: Client, now: float) -> float:
        """0, and the request counts; or how long to wait until there is room for it."""
        level, at = self._levels.get(client, (self._burst, now))
        level = min(self._burst, level + (now - at) * self._per_second)
        wait = 0.0 if level >= 1 else (1 - level) / self._per_second
        self._levels[client] = (level if wait else level - 1, now)
        self._levels.move_to_end(client)
        if len(self._levels) > MAX_CLIENTS:
            self._levels.popitem(last=False)
        return wait


class Rationed:
    """Refuses requests to `/v1` of clients that ask too often.

    It stands behind whoever checks tokens: clients at one address are told apart by tokens that the server knows.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._per_second = limits.requests_per_second
        self._buckets = Buckets(limits.requests_per_second, limits.burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, as ASGI has it."""
        if self._per_second and scope["type"] == "http" and scope["path"].startswith("/v1"):
            address = network_of(scope["client"][0]) if scope.get("client") else ""
            who = told_of(scope).who
            wait = self._buckets.wait_seconds((address, who.id if who else ""), time.monotonic())
            if wait:
                told = f"this client may make {self._per_second:g} requests a second on average; come back later"
                await as_problem(Busy(told, math.ceil(wait)))(scope, receive, send)
                return
        await self._app(scope, receive, send)


def network_of(address: str) -> str:
    """An address, of IPv6 the network that one subscriber has: each has more addresses than could be remembered.

    >>> network_of("2001:db8:1:2:3:4:5:6"), network_of("192.0.2.7")
    ('2001:db8:1:2::/64', '192.0.2.7')
    """
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if known.version == 4:
        return address
    return str(ipaddress.ip_network((known, 64), strict=False))
