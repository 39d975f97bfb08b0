"""Who may: a bearer token for everything under `/v1`, compared in constant time."""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cmf import __version__
from cmf.core.wire import SERVER_HEADER
from cmf_api.errors import Unauthorized, as_problem


class Gate:
    """Lets requests to `/v1` in that show the token (all, when there is none), and signs every answer."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._token = token.encode() if token else None

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

        if scope["path"].startswith("/v1") and not self._admits(Headers(scope=scope)):
            await as_problem(Unauthorized("this server wants a token"))(scope, receive, signed)
            return
        await self._app(scope, receive, signed)

    def _admits(self, headers: Headers) -> bool:
        if self._token is None:
            return True
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), self._token)
