"""What an app tells of itself as it goes: figures of each merge, and of its state every few seconds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from fastapi import FastAPI

from cmf.core.chunks import Chunk, Merged
from cmf.core.errors import StoreUnavailable
from cmf_api.logs import lost_lines
from cmf_api.metrics import Metrics, resident_bytes
from cmf_api.sitebook import SiteBook
from cmf_api.writer import Writer

BEAT_SECONDS: Final = 2.0

_LOG = logging.getLogger("cmf_api")


def count_merged(app: FastAPI, site: str, chunk: Chunk, merged: Merged) -> None:
    """Count a chunk that was merged, or was all known."""
    metrics: Metrics = app.state.metrics
    sites: SiteBook = app.state.sites
    metrics.chunks.labels("applied" if merged.applied or not chunk.records else "duplicate").inc()
    metrics.records.labels("applied").inc(merged.applied)
    metrics.records.labels("duplicate").inc(merged.duplicates)
    lag = sites.pushed(site, chunk.records[-1].at if merged.applied else None)
    if lag is not None:
        metrics.record_age.observe(lag)


def measure(app: FastAPI) -> None:
    """Take the figures that stand still between two requests."""
    metrics: Metrics = app.state.metrics
    writer: Writer = app.state.writer
    metrics.waiting.set(writer.waiting)
    metrics.resident.set(resident_bytes())
    metrics.lost_lines.set(lost_lines())


@asynccontextmanager
async def pulse(app: FastAPI) -> AsyncIterator[None]:
    """Measure, and write the notes of sites, every few seconds and at the end."""
    sites: SiteBook = app.state.sites
    beating = asyncio.ensure_future(_beat(app, sites))
    yield
    beating.cancel()
    with suppress(asyncio.CancelledError):
        await beating
    _flush(sites)
    app.state.metrics.gone()


async def _beat(app: FastAPI, sites: SiteBook) -> None:
    told = False
    while True:
        measure(app)
        failed = not await asyncio.to_thread(_flush, sites, told)
        told = failed
        await asyncio.sleep(BEAT_SECONDS)


def _flush(sites: SiteBook, quiet: bool = False) -> bool:
    """Write the notes; → whether it went well. What goes wrong is said once, until it goes well again."""
    try:
        sites.flush()
    except StoreUnavailable as exc:
        if not quiet:
            _LOG.warning("%s", exc)
        return False
    return True
