"""Stores on a real Neo4j that is empty. `neo4j_uri` is the suite's own; here only what these tests add to it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import neo4j
import pytest
from cmf_graph.store import Neo4jStore

try:
    from neo4j_server import neo4j_uri_or_skip
except ImportError:  # run alone
    neo4j_uri_or_skip = None


@pytest.fixture(scope="session")
def neo4j_uri() -> Iterator[str]:
    if "CMF_TEST_NEO4J_URI" in os.environ:
        yield os.environ["CMF_TEST_NEO4J_URI"]
        return
    with neo4j_uri_or_skip() as uri:
        yield uri


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
