"""The app: `create_app` puts a store, its writer and the routes together. Nothing connects at import."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from anyio import CapacityLimiter
from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi

from cmf import __version__
from cmf.core.store import Store
from cmf_api import errors
from cmf_api.answers import components
from cmf_api.archive import open_archive
from cmf_api.audit import AUDIT_FILE, Audited, AuditLog
from cmf_api.auth import Gate, Scopes
from cmf_api.clocks import Clocks
from cmf_api.following import Follower
from cmf_api.freshness import MAX_WAITING, TellBehind
from cmf_api.headers import Headers
from cmf_api.limits import Limited
from cmf_api.metrics import Metrics
from cmf_api.parameters import only_declared
from cmf_api.pulse import pulse
from cmf_api.rates import Rationed
from cmf_api.readiness import Measured, Readiness
from cmf_api.routes import archive, health, journals, lineage, nodes, operations, pull, series, sites, token
from cmf_api.settings import ServerSettings
from cmf_api.sitebook import SiteBook
from cmf_api.tokens import TOKENS_FILE, Tokens
from cmf_api.turns import Turns
from cmf_api.watch import Watch
from cmf_api.writer import Writer


def create_app(settings: ServerSettings, store: Store) -> FastAPI:
    """A server's app over a store, which it closes at its end."""
    recorder = open_archive(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        measured = Measured(store, metrics)
        writer = app.state.writer = Writer(measured, settings.max_waiting, recorder)
        app.state.waiting_reads = CapacityLimiter(MAX_WAITING)
        app.state.turns = Turns(settings.max_receiving, settings.max_waiting, settings.max_waiting_bytes)
        app.state.receiving = CapacityLimiter(settings.max_receiving)
        app.state.readiness = Readiness(
            store, measured, lambda: writer.is_alive, settings.home, settings.min_free_bytes, metrics
        )
        follower = Follower(settings, store, writer)
        follower.start()
        async with pulse(app):
            yield
        follower.stop()
        writer.close()
        recorder.close()
        store.close()

    app = FastAPI(
        title="cmf",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        description="Lineage as one graph.",
    )
    metrics = app.state.metrics = Metrics()
    app.state.sites = SiteBook(settings.home)
    metrics.also(app.state.sites)
    app.state.settings = settings
    app.state.store = store
    app.state.archive = recorder
    app.state.clocks = Clocks(settings.home)
    # The series before the nodes: the route of one execution takes every path below it.
    for room in (health, token, archive, journals, operations, pull, series, nodes, lineage, sites):
        app.include_router(room.router, dependencies=[Depends(only_declared)])
    errors.install(app)
    app.add_middleware(TellBehind)
    app.add_middleware(Limited, limits=settings.limits)
    app.add_middleware(Rationed, limits=settings.limits)
    app.add_middleware(Scopes)
    app.add_middleware(Audited, log=AuditLog(settings.home / AUDIT_FILE))
    app.add_middleware(Gate, tokens=Tokens(settings.home / TOKENS_FILE, settings.token), any_host=settings.any_host)
    app.add_middleware(Watch, metrics=metrics, sites=app.state.sites)
    # The last one added is the outermost.
    app.add_middleware(Headers)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the schemas of the structs that are the bodies."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        document.setdefault("components", {}).setdefault("schemas", {}).update(components())
        app.openapi_schema = document
    return app.openapi_schema
