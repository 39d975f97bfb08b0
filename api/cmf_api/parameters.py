"""Parameters of a request's address: a route takes those that it declares, and no others."""

from __future__ import annotations

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from cmf_api.errors import UnknownParameter


async def only_declared(request: Request) -> None:
    """That a request to `/v1` has no parameter that its route does not declare: a misspelt filter would filter nothing.

    Raises:
        UnknownParameter: it has one.
    """
    route = request.scope["route"]
    if isinstance(route, APIRoute) and route.path.startswith("/v1/"):
        known = _declared(route.dependant)
        for asked in request.query_params:
            if asked not in known:
                raise UnknownParameter(asked, known)


def _declared(by: Dependant) -> set[str]:
    """The parameters that a route declares, itself or by what it depends on."""
    return {parameter.alias for parameter in by.query_params}.union(*map(_declared, by.dependencies))
