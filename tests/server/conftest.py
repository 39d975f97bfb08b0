"""A real server over each store that a server can have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import empty
from server_process import ServerProcess

from cmf.core.store import Store


@pytest.fixture(params=["sqlite", "neo4j"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'server' / 'graph.db'}"
    from cmf_graph.store import Neo4jStore

    url: str = request.getfixturevalue("neo4j_uri")
    store = Neo4jStore(url)
    empty(store)
    store.close()
    return url


@pytest.fixture
def open_store(store_url: str) -> Callable[[], Store]:
    """A function that opens the store beside the server, to look into it."""

    def opened() -> Store:
        from cmf_api.stores import open_store

        return open_store(store_url)

    return opened


@pytest.fixture
def server(tmp_path: Path, store_url: str) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path, store_url) as process:
        yield process
