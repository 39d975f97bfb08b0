"""Fixtures that every suite shares: the real Neo4j, and a store of each kind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from neo4j_server import neo4j_uri_or_skip

from cmf.core.store import Store
from cmf.stores.memory import MemoryStore
from cmf.stores.sqlite import SqliteStore


@pytest.fixture(scope="session")
def neo4j_uri() -> Iterator[str]:
    """A real, empty Neo4j; its users empty it before they use it."""
    with neo4j_uri_or_skip() as uri:
        yield uri


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or writes the settings of whoever runs it."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for name in list(os.environ):
        if name.startswith(("CMF_", "XDG_")) and not name.startswith(("CMF_TEST_", "CMF_REQUIRE_")):
            monkeypatch.delenv(name)
    # Most tests are about something else, and count what was recorded; those about environments switch them on.
    monkeypatch.setenv("CMF_ENVIRONMENT", "off")


MakeStore = Callable[[], Store]


@pytest.fixture(params=["memory", "sqlite", "neo4j"])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeStore]:
    """A function that makes an empty store of one kind; each call empties the one before."""
    made: list[Store] = []

    def make() -> Store:
        while made:
            made.pop().close()
        store = _make(request, tmp_path)
        made.append(store)
        return store

    yield make
    while made:
        made.pop().close()


def _make(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    match request.param:
        case "memory":
            return MemoryStore()
        case "sqlite":
            for old in tmp_path.glob("store.db*"):
                old.unlink()
            return SqliteStore(tmp_path / "store.db", durable=False)
        case _:
            from cmf_graph.store import Neo4jStore

            store = Neo4jStore(request.getfixturevalue("neo4j_uri"))
            empty(store)
            return store


def empty(store: Store) -> None:
    """Delete everything in a Neo4j, in pieces so that no transaction grows large."""
    from cmf_graph.store import Neo4jStore

    assert isinstance(store, Neo4jStore)
    with store._connection.driver.session() as session:
        session.run("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS").consume()


@pytest.fixture
def store(make_store: MakeStore) -> Store:
    return make_store()
