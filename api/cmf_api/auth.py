"""Who may: the token that a request to `/v1` shows, and whether it may do what the request asks."""

from __future__ import annotations

import logging
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from cmf.core.errors import CmfError, SettingsProblem
from cmf_api.errors import Forbidden, ForeignRequest, TokensUnreadable, Unauthorized, as_problem
from cmf_api.tokens import ANYONE, SCOPES, Scope, Token, Tokens
from cmf_api.told import told_of

LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")

_ANY: Final[frozenset[Scope]] = frozenset(SCOPES)
_READ: Final[frozenset[Scope]] = frozenset({"read"})
_PUSH: Final[frozenset[Scope]] = frozenset({"push"})
_ADMIN: Final[frozenset[Scope]] = frozenset({"admin"})
_QUESTIONS: Final = ("/v1/lineage", "/v1/series", "/v1/pull")
"""What is posted and changes nothing."""

_LOG = logging.getLogger("cmf_api")


def scopes_for(method: str, path: str) -> frozenset[Scope]:
    """The scopes of which a request must have one. What is not named here is for `admin` alone."""
    if path == "/v1/token":
        return _ANY
    if method in ("GET", "HEAD"):
        if path == "/v1/archive":  # it has what was pruned and retracted, too
            return _ADMIN
        # Who pushes asks first what is there.
        return _READ | _PUSH if path.startswith("/v1/journals/") else _READ
    if path in _QUESTIONS:
        return _READ
    return _PUSH if path.startswith("/v1/journals/") or path == "/v1/operations" else _ADMIN


def is_write(method: str, path: str) -> bool:
    """Whether a request may change something."""
    return path.startswith("/v1") and method not in ("GET", "HEAD", "OPTIONS") and path not in _QUESTIONS


class Scopes:
    """Refuses what the token that was let in may not do."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI has it."""
        who = told_of(scope).who if scope["type"] == "http" else None
        if who is not None:
            try:
                _expect_scope(who, scope["method"], scope["path"])
            except Forbidden as refusal:
                told_of(scope).code = "Forbidden"
                await as_problem(refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class Gate:
    """Lets requests to `/v1` in that show a token which works.

    Where no token is asked for all are let in but those that a page of some other site makes a browser send: with
    the origin of that page, or under a name of its own that was made to lead here.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens, any_host: bool) -> None:
        self._app = app
        self._tokens = tokens
        self._any_host = any_host

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI has it."""
        if scope["type"] == "http" and scope["path"].startswith(("/v1", "/metrics")):
            told = told_of(scope)
            try:
                told.who = self._who(Headers(scope=scope))
            except CmfError as refusal:
                told.code = type(refusal).__name__
                await as_problem(refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _who(self, headers: Headers) -> Token:
        try:
            if not self._tokens.are_asked():
                self._expect_own(headers)
                return ANYONE
            return self._holder(headers)
        except SettingsProblem as exc:
            _LOG.error("%s", exc)
            raise TokensUnreadable("the server cannot read its tokens, so nobody is let in; its log says why") from exc

    def _holder(self, headers: Headers) -> Token:
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        if not shown:
            raise Unauthorized("this server wants a token")
        holder = self._tokens.holder(shown.strip()) if scheme.lower() == "bearer" else None
        if holder is None:
            raise Unauthorized("this is no token that the server knows")
        if holder.state == "revoked":
            raise Unauthorized(f"the token {holder.id} ({holder.name}) was revoked at {holder.revoked_at}")
        if holder.state == "expired":
            raise Unauthorized(f"the token {holder.id} ({holder.name}) expired at {holder.expires_at}")
        return holder

    def _expect_own(self, headers: Headers) -> None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            raise ForeignRequest(f"a page of {origin} may not ask this server, which asks nobody for a token")
        if not self._any_host and _name(host) not in LOOPBACK:
            raise ForeignRequest(f"without a token this server answers under {', '.join(LOOPBACK)}, not as {host!r}")


def _expect_scope(holder: Token, method: str, path: str) -> None:
    wanted = scopes_for(method, path)
    if not holder.may(wanted):
        raise Forbidden(
            f"the token {holder.id} ({holder.name}) has the scope {', '.join(holder.scopes)}; "
            f"{method} {path} wants {' or '.join(scope for scope in SCOPES if scope in wanted)}"
        )


def _name(host: str) -> str:
    """A host without its port."""
    return host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]
