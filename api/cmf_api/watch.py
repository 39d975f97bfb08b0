"""Every request is watched: it has an id, is timed and counted, leaves a line in the log, and a fault is told."""

from __future__ import annotations

import logging
import re
import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cmf_api.current import CURRENT
from cmf_api.errors import problem
from cmf_api.logs import fields
from cmf_api.metrics import Metrics
from cmf_api.sitebook import SiteBook
from cmf_api.told import told_of

PROBES: Final = ("/healthz", "/readyz", "/metrics")
"""Asked every few seconds: they leave a line only where something is wrong, or at level debug."""

PUSH: Final = "/v1/journals/{site}/{segment}"

UNANSWERED: Final = "Unanswered"
"""The code of a request without an answer: the server stopped, or the connection broke."""

BROKEN: Final = (UNANSWERED, "Disconnected")
"""Codes of pushes that were not refused, but did not arrive."""

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SITE = re.compile(r"[0-9A-Za-z_.:-]{1,64}")
_LOG = logging.getLogger("cmf_api.request")


class Watch:
    """Stands outside of all that refuses and answers, so that this is seen too."""

    def __init__(self, app: ASGIApp, metrics: Metrics, sites: SiteBook) -> None:
        self._app = app
        self._metrics = metrics
        self._sites = sites

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seen = _Seen(scope)
        token = CURRENT.set(seen.current)
        self._metrics.in_progress.inc()
        try:
            await self._answer(seen, scope, receive, send)
        finally:
            self._metrics.in_progress.dec()
            self._note(seen)
            CURRENT.reset(token)

    async def _answer(self, seen: _Seen, scope: Scope, receive: Receive, send: Send) -> None:
        async def received() -> Message:
            message = await receive()
            seen.received += len(message.get("body", b""))
            return message

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
            else:
                seen.sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, received, sent)
        except Exception as exc:
            seen.current.code = "Fault"
            logging.getLogger("cmf_api").error("%s %s failed", seen.method, seen.route, exc_info=exc)
            if seen.status is not None:
                raise  # half an answer is out: the connection has to break
            await problem(500, "Fault", "the server failed at this request; its log says why")(scope, receive, sent)

    def _note(self, seen: _Seen) -> None:
        seconds = time.perf_counter() - seen.began
        status, code, route = seen.status, seen.current.code, seen.route
        if status is None:
            code = UNANSWERED
        count = self._metrics
        count.requests.labels(seen.method, route or "none", str(status or 0)).inc()
        count.request_seconds.labels(seen.method, route or "none").observe(seconds)
        count.received_bytes.inc(seen.received)
        count.sent_bytes.inc(seen.sent)
        if code is not None:
            count.refusals.labels(code).inc()
            if route == PUSH and seen.method == "POST" and code not in BROKEN:
                count.chunks.labels("refused").inc()
                if seen.site is not None:
                    self._sites.refused(seen.site, code)
        level = _level(route, status)
        if _LOG.isEnabledFor(level):
            told = {
                "method": seen.method,
                "route": route,
                "status": status,
                "milliseconds": round(seconds * 1e3, 1),
                "bytes_in": seen.received,
                "bytes_out": seen.sent,
                "client": seen.client,
                "site": seen.site,
                "code": code,
            }
            said = fields(**{name: value for name, value in told.items() if value is not None})
            _LOG.log(level, "request", extra=said)


class _Seen:
    """What is known of one request. Its address is not: names that are nobody's business stand in there."""

    def __init__(self, scope: Scope) -> None:
        self.current = told_of(scope)
        self.method = scope["method"] if scope["method"] in _METHODS else "other"
        self.client = scope["client"][0] if scope.get("client") else None
        self.began = time.perf_counter()
        self.status: int | None = None
        self.received = 0
        self.sent = 0
        self._scope = scope

    @property
    def route(self) -> str | None:
        """The route as it is declared; None where there is none, or none was looked for."""
        return getattr(self._scope.get("route"), "path", None)

    @property
    def site(self) -> str | None:
        """The site that the route names."""
        named = self._scope.get("path_params", {}).get("site")
        return named if isinstance(named, str) and _SITE.fullmatch(named) else None


def _level(route: str | None, status: int | None) -> int:
    if status == 503 or status is None:
        return logging.WARNING
    if status >= 500:
        return logging.ERROR
    return logging.DEBUG if route in PROBES else logging.INFO
