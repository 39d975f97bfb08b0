"""Who may: a bearer token for everything under `/v1`, compared in constant time."""

from __future__ import annotations

import hmac
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cmf import __version__
from cmf.core.wire import SERVER_HEADER
from cmf_api.errors import ForeignRequest, Unauthorized, as_problem

LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")


class Gate:
    """Lets requests to `/v1` in that show the token, and signs every answer.

    Without a token all are let in but those that a page of some other site makes a browser send: with the origin
    of that page, or under a name of its own that was made to lead here.
    """

    def __init__(self, app: ASGIApp, token: str | None, any_host: bool) -> None:
        self._app = app
        self._token = token.encode() if token else None
        self._any_host = any_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def signed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (SERVER_HEADER.lower().encode(), __version__.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        if scope["path"].startswith("/v1") and (refusal := self._refusal(Headers(scope=scope))):
            await as_problem(refusal)(scope, receive, signed)
            return
        await self._app(scope, receive, signed)

    def _refusal(self, headers: Headers) -> Unauthorized | ForeignRequest | None:
        if self._token is not None:
            scheme, _, shown = headers.get("authorization", "").partition(" ")
            if not shown:
                return Unauthorized("this server wants a token")
            same = scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), self._token)
            return None if same else Unauthorized("this is not the token that the server wants")
        host, origin = headers.get("host", ""), headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return ForeignRequest(f"a page of {origin} may not ask this server, which asks nobody for a token")
        if not self._any_host and _name(host) not in LOOPBACK:
            return ForeignRequest(f"without a token this server answers under {', '.join(LOOPBACK)}, not as {host!r}")
        return None


def _name(host: str) -> str:
    """A host without its port."""
    return host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]
