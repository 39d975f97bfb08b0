"""A follower without a server around it, for the command that takes now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cmf_api.archive import open_archive
from cmf_api.following import Follower
from cmf_api.settings import ServerSettings
from cmf_api.stores import open_store
from cmf_api.writer import Writer


@contextmanager
def follower(settings: ServerSettings, store: str, secret: str | None) -> Iterator[Follower]:
    """A follower that writes into a store, which a server may write into at the same time."""
    opened = open_store(store, secret)
    archive = open_archive(settings)
    writer = Writer(opened, settings.max_waiting, archive)
    try:
        yield Follower(settings, opened, writer)
    finally:
        writer.close()
        archive.close()
        opened.close()
