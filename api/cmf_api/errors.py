"""Errors as answers: one table from error to status, one shape (RFC 9457 problem+json)."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from cmf.core import errors
from cmf.core.values import encode
from cmf_api.current import CURRENT
from cmf_api.told import told_of

PROBLEM: Final = "application/problem+json"
RETRY_AFTER_SECONDS: Final = 2
"""When to come back to a store that is down: nobody knows."""

_LOG = logging.getLogger("cmf_api")


class TooLarge(errors.CmfError):
    """A request is larger than the server takes. `line` is the one at which it became so."""

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem if line is None else f"line {line}: {problem}; nothing of these records was taken")
        self.line = line


class Unauthorized(errors.CmfError):
    """A request shows no valid token."""


class Forbidden(errors.CmfError):
    """A request shows a token that may not do this. `line` is the number of the first line or operation it may not."""

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.line = line


class TokensUnreadable(errors.CmfError):
    """The server cannot read its tokens; it lets nobody in until it can."""


class AuditUnwritable(errors.CmfError):
    """The audit log cannot be written; nothing was taken, or all of it; the same request may be repeated."""


class ForeignRequest(errors.CmfError):
    """A request that some page in a browser made, to a server that asks nobody for a token."""


class UnknownParameter(errors.CmfError):
    """A request's address has a parameter that this route does not know."""

    def __init__(self, asked: str, known: Iterable[str]) -> None:
        told = ", ".join(sorted(known))
        super().__init__(f"there is no parameter {asked!r} here; {f'there are {told}' if told else 'there are none'}")
        self.asked = asked


class BadToken(errors.BadQuestion):
    """A request asks to know of positions that are none."""


class BadIdempotencyKey(errors.CmfError):
    """A request shows an idempotency key that is none."""


class KeyUsedAgain(errors.CmfError):
    """A request shows the idempotency key of another request."""


class UnsupportedBody(errors.CmfError):
    """A body is of a type or encoding that this route does not take."""


class TooSlow(errors.CmfError):
    """A request did not come in time."""


class NothingKept(errors.CmfError):
    """What is asked for is kept by a server that is set up to keep it, and this one is not."""


class Busy(errors.CmfError):
    """Too many pushes are waiting; the same request may be repeated after `retry_after_seconds`."""

    def __init__(self, problem: str, retry_after_seconds: int = RETRY_AFTER_SECONDS) -> None:
        super().__init__(problem)
        self.retry_after_seconds = retry_after_seconds


STATUSES: Final[dict[type[errors.CmfError], int]] = {
    errors.UnknownKey: 404,
    errors.PrunedKey: 410,
    errors.AmbiguousKey: 409,
    errors.Gap: 409,
    errors.BadRecord: 422,
    errors.ChainBroken: 422,
    errors.InvalidValue: 422,
    errors.BadQuestion: 422,
    errors.StoreUnavailable: 503,
    errors.StoreIncompatible: 503,
    UnknownParameter: 400,
    BadToken: 400,
    BadIdempotencyKey: 400,
    KeyUsedAgain: 422,
    NothingKept: 404,
    TooLarge: 413,
    Unauthorized: 401,
    Forbidden: 403,
    ForeignRequest: 403,
    TokensUnreadable: 503,
    AuditUnwritable: 503,
    UnsupportedBody: 415,
    Busy: 503,
    TooSlow: 408,
}
"""Every error that a route may raise; anything else is a fault of the server and a 500."""

_EXTENSIONS: Final = (
    *("line", "segment", "sequence", "wanted", "asked", "nearest", "candidates", "retry_after_seconds"),
    *("key", "pruned_at"),
)


def problem(status: int, code: str, detail: str, **extensions: Any) -> Response:
    """An error answer. `code` names the error for programs."""
    headers = {}
    if status == 503:
        headers["Retry-After"] = str(extensions.get("retry_after_seconds", RETRY_AFTER_SECONDS))
    if status == 408:
        headers["Connection"] = "close"
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = {"type": f"urn:cmf:error:{code}", "title": code, "status": status, "detail": detail, "code": code}
    if (current := CURRENT.get()) is not None:
        current.code = code
        extensions["request_id"] = current.request
    return Response(encode(body | extensions), status, headers, media_type=PROBLEM)


def install(app: FastAPI) -> None:
    """Make every error of an app such an answer."""
    app.add_exception_handler(errors.CmfError, _known)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _invalid)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, _http)  # type: ignore[arg-type]
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _fault)


def as_problem(error: errors.CmfError) -> Response:
    """The answer that stands for an error."""
    status = next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 500)
    if status == 500:
        _LOG.error("unexpected %s", type(error).__name__, exc_info=error)
    extensions = {name: getattr(error, name) for name in _EXTENSIONS if getattr(error, name, None) is not None}
    code = "BadQuestion" if isinstance(error, BadToken) else type(error).__name__
    return problem(status, code, str(error), **extensions)


async def _known(request: Request, error: errors.CmfError) -> Response:
    told_of(request.scope).code = type(error).__name__
    return as_problem(error)


async def _invalid(request: Request, error: RequestValidationError) -> Response:
    places = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
    told_of(request.scope).code = "BadRequest"
    return problem(422, "BadRequest", "; ".join(places))


async def _http(request: Request, error: HTTPException) -> Response:
    told_of(request.scope).code = "HttpError"
    answer = problem(error.status_code, "HttpError", f"{request.method} {request.url.path}: {error.detail}")
    answer.headers.update(error.headers or {})
    return answer


async def _gone(request: Request, error: Exception) -> Response:
    # Nobody reads it. That a connection breaks is no fault of the server, and nothing for its log.
    return problem(400, "Disconnected", "the connection broke before the request was whole; nothing was taken")


async def _fault(request: Request, error: Exception) -> Response:
    _LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(500, "Fault", "the server failed at this request; its log says why")
