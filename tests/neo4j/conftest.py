"""Stores on a real Neo4j that is empty; `neo4j_uri` is the suite's own."""

from __future__ import annotations

from collections.abc import Iterator

import neo4j
import pytest

from cmf_graph.store import Neo4jStore


@pytest.fixture
def driver(neo4j_uri: str) -> Iterator[neo4j.Driver]:
    with neo4j.GraphDatabase.driver(neo4j_uri, notifications_min_severity="OFF") as driver:
        yield driver


@pytest.fixture
def store(neo4j_uri: str, driver: neo4j.Driver) -> Iterator[Neo4jStore]:
    """An empty store with its schema."""
    driver.execute_query("MATCH (n) WHERE NOT n:Schema DETACH DELETE n")
    store = Neo4jStore(neo4j_uri)
    store.check()
    yield store
    store.close()
