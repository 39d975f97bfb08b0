"""What every answer bears: who answers, the request's id, and what a browser may do with it."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cmf import __version__
from cmf.core.wire import SERVER_HEADER
from cmf_api.told import REQUEST_ID, told_of

_DEFAULTS: Final = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Where a route says nothing else. No page of another site may read an answer: CORS is not spoken."""


class Headers:
    """Adds them to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = told_of(scope)

        async def signed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers[SERVER_HEADER] = __version__
                headers[REQUEST_ID] = told.request
                headers["x-content-type-options"] = "nosniff"
                for name, value in _DEFAULTS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, signed)
