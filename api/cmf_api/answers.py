"""Answers: the structs of `cmf.core.model` as JSON, and their schemas in the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from fastapi import Path, Response

from cmf.core.lineage import Question
from cmf.core.model import Lineage, NodeDetail, Page, Series, SeriesList, SeriesOfMany, Stats
from cmf.core.operations import Operation, Time
from cmf.core.series import SeriesQuestion
from cmf.core.values import encode
from cmf.core.wire import Journals, PullQuestion, Received, Resolved, Shown, Sites
from cmf_api.errors import PROBLEM

Name = Annotated[str, Path(pattern=r"^[0-9A-Za-z_.:-]{1,64}$")]
"""A site or a segment, in a path."""

Key = Annotated[str, Path(description="A key, or any unique prefix of one, with or without its kind.")]


class Health(msgspec.Struct, frozen=True):
    """Whether it can be used, and if not, why: each of `checks` is "ok" or says what is wrong."""

    status: str
    detail: str = ""
    checks: dict[str, str] = {}


class Stated(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Operations from a client without a journal, and the time at which they were true.

    With a time, repeating the request changes nothing; without one, each request is a new statement.
    """

    operations: Annotated[tuple[Operation, ...], msgspec.Meta(min_length=1, max_length=10_000)]
    at: Time | None = None


class Taken(msgspec.Struct, frozen=True):
    """How many operations were merged."""

    applied: int


class Problem(msgspec.Struct, frozen=True):
    """An error (RFC 9457). `code` names it for programs; others stand where they apply."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    line: int | None = None
    wanted: int | None = None
    asked: str | None = None
    nearest: list[str] = []
    candidates: list[str] = []
    key: str | None = None
    pruned_at: str | None = None
    request_id: str | None = None


EVERY: Final = (400, 401, 403, 422, 503)
"""The statuses of errors that any route under `/v1` may answer."""

BODY: Final = (408, 413, 415)
"""Those of a route that takes a body, beside them."""

_HEADERS: Final = {
    401: {"WWW-Authenticate": "How to show a token."},
    503: {"Retry-After": "In how many seconds to repeat the request."},
}

PUBLISHED: Final = (
    Lineage,
    NodeDetail,
    Page,
    Series,
    SeriesList,
    SeriesOfMany,
    Stats,
    Journals,
    Resolved,
    Received,
    Shown,
    Sites,
    Health,
    Problem,
    Taken,
)
ASKED: Final = (Question, PullQuestion, SeriesQuestion, Stated)


def answer(value: object, status: int = 200) -> Response:
    """A value as an answer."""
    return Response(encode(value), status, media_type="application/json")


def answers(form: type, *errors: int) -> dict[int | str, dict[str, Any]]:
    """How an OpenAPI document tells of a route's answers."""
    told: dict[int | str, dict[str, Any]] = {
        200: {"description": "OK", "content": {"application/json": {"schema": _reference(form)}}}
    }
    for status in errors if form is Health else sorted({*EVERY, *errors}):
        told[status] = {"description": "An error", "content": {PROBLEM: {"schema": _reference(Problem)}}}
        if headers := _HEADERS.get(status):
            told[status]["headers"] = {
                name: {"description": what, "schema": {"type": "string"}} for name, what in headers.items()
            }
    return told


def asks(form: type) -> dict[str, Any]:
    """How an OpenAPI document tells of a route's body."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": _reference(form)}}}}


def components() -> dict[str, Any]:
    """The schemas of all bodies, for the OpenAPI document."""
    _, found = msgspec.json.schema_components((*PUBLISHED, *ASKED), ref_template="#/components/schemas/{name}")
    return found


def _reference(form: type) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{form.__name__}"}
