"""Many that begin with one empty Neo4j at the same moment, as the workers of a server do."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import neo4j

from cmf.core.store import Head
from cmf_graph.store import Neo4jStore


def test_many_make_the_schema_at_once(neo4j_uri: str, store: Neo4jStore, driver: neo4j.Driver) -> None:
    for _ in range(3):
        driver.execute_query("MATCH (n) DETACH DELETE n")
        for kind, shown in (("CONSTRAINT", "CONSTRAINTS"), ("INDEX", "INDEXES")):
            for record in driver.execute_query(f"SHOW {shown} YIELD name, type WHERE type <> 'LOOKUP' RETURN name")[0]:
                driver.execute_query(f"DROP {kind} {record['name']} IF EXISTS")
        together = threading.Barrier(8)

        def begin(number: int, together: threading.Barrier = together) -> None:
            opened = Neo4jStore(neo4j_uri)
            together.wait()
            opened.write(lambda transaction: transaction.advance("site", f"s{number}", Head(1, "0" * 32, 10)))
            opened.close()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(begin, range(8)))
        assert len(store.heads("site")) == 8
        assert store.version().number > 0
