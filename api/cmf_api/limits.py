"""What a request may take of the server: time for its body and its answer, and memory while it is in progress."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cmf_api.errors import Busy, TooSlow

READ_SECONDS: Final = 60.0
"""How long a statement that reads from the store may take; that of Neo4j is as long."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How patient a server is, and what it holds at once."""

    head_seconds: float = 10.0
    """From the first byte of a request (of a new connection: from its beginning) to the end of its head."""
    max_head_bytes: int = 64 << 10
    """The greatest size of a request's head, its address included, and of what stands between pieces of a body."""
    body_idle_seconds: float = 20.0
    """How long a body may pause."""
    body_seconds: float = 300.0
    """How long a body may take in all."""
    max_held_bytes: int = 128 << 20
    """The greatest size of the bodies of all requests in progress."""
    answer_idle_seconds: float = 60.0
    """In this time a client must take 256 KiB of an answer, or what is left of it."""
    rest_seconds: float = 10.0
    """How long the rest of a request that was answered already may take; then the connection is broken off."""
    idle_seconds: int = 75
    """How long a connection is kept between requests."""
    max_connections: int = 1_000
    """How many connections are open at once. Beyond, the one that has been idle longest makes room."""
    max_pipelined: int = 16
    """How many requests of one connection may wait behind the one that is answered."""
    requests_per_second: float = 0.0
    """How many requests one client may make, on average; 0 sets no limit."""

    @property
    def burst(self) -> float:
        """How many requests a client may make at once when it has made none for a while."""
        return max(10.0, 10 * self.requests_per_second)


class Limited:
    """Gives up on bodies that do not come, and takes no more of them at once than there is memory for."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(self._limits)

        async def received() -> Message:
            if body.is_whole:  # from here on only the end of the connection is waited for
                return await receive()
            message = await body.next(receive)
            size = len(message.get("body", b""))
            body.size_bytes += size
            self._held_bytes += size
            if self._held_bytes > self._limits.max_held_bytes:
                raise Busy("the server has its hands full of other requests; repeat this one in a moment", 2)
            return message

        try:
            await self._app(scope, received, send)
        finally:
            self._held_bytes -= body.size_bytes


class _Body:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._end = asyncio.get_running_loop().time() + limits.body_seconds
        self.size_bytes = 0
        self.is_whole = False

    async def next(self, receive: Receive) -> Message:
        """The next piece.

        Raises:
            TooSlow: it does not come in time.
        """
        now = asyncio.get_running_loop().time()
        patience = min(self._limits.body_idle_seconds, self._end - now)
        try:
            async with asyncio.timeout(patience):
                message = await receive()
        except TimeoutError:
            raise TooSlow(
                f"the body did not come in time: it may pause for {self._limits.body_idle_seconds:g} seconds and take "
                f"{self._limits.body_seconds:g} in all; nothing of it was taken"
            ) from None
        self.is_whole = message["type"] != "http.request" or not message.get("more_body", False)
        return message
