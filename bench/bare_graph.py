"""The limit of Neo4j: the nodes and relationships that a push left there, written again by the bare driver.

What is written is read back from the graph, so nothing of how the store writes is in it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, LiteralString, NamedTuple

from bench.workshop import Neo4j

Rows = list[dict[str, Any]]

_NODES: LiteralString = """
MATCH (n:Entity) RETURN [label IN labels(n) WHERE label <> 'Entity'] AS labels, properties(n) AS properties"""
_LINKS: LiteralString = """
MATCH (a:Entity)-[r]->(b:Entity)
RETURN type(r) AS type, a.key AS source, b.key AS target, properties(r) AS properties"""
_ENDS: LiteralString = """
UNWIND $rows AS row MATCH (a:Entity {key: row.source}) MATCH (b:Entity {key: row.target})
"""
_SET: LiteralString = " SET r = row.properties"


class Statements(NamedTuple):
    """How nodes are written, and relationships by type: a type cannot be a parameter that is planned well."""

    nodes: LiteralString
    links: dict[str, LiteralString]


MERGE = Statements(
    "UNWIND $rows AS row MERGE (n:Entity {key: row.properties.key}) SET n:$(row.labels), n += row.properties",
    {
        "INPUT": _ENDS + "MERGE (a)-[r:INPUT {key: row.properties.key}]->(b)" + _SET,
        "OUTPUT": _ENDS + "MERGE (a)-[r:OUTPUT {key: row.properties.key}]->(b)" + _SET,
        "RAN": _ENDS + "MERGE (a)-[r:RAN]->(b)" + _SET,
        "HAS_STAGE": _ENDS + "MERGE (a)-[r:HAS_STAGE]->(b)" + _SET,
    },
)
"""For what may be there already."""

CREATE = Statements(
    "UNWIND $rows AS row CREATE (n:Entity:$(row.labels)) SET n = row.properties",
    {
        "INPUT": _ENDS + "CREATE (a)-[r:INPUT]->(b)" + _SET,
        "OUTPUT": _ENDS + "CREATE (a)-[r:OUTPUT]->(b)" + _SET,
        "RAN": _ENDS + "CREATE (a)-[r:RAN]->(b)" + _SET,
        "HAS_STAGE": _ENDS + "CREATE (a)-[r:HAS_STAGE]->(b)" + _SET,
    },
)
"""For what is known to be new."""


class Pieces(NamedTuple):
    """Rows, as many in a piece as a push merges in a transaction."""

    nodes: list[Rows]
    links: list[tuple[str, Rows]]


def read_back(graph: Neo4j, transactions: int) -> Pieces:
    """All that a push left, in pieces for so many transactions."""
    nodes = [record.data() for record in graph.driver.execute_query(_NODES).records]
    by_type: dict[str, Rows] = {}
    for record in graph.driver.execute_query(_LINKS).records:
        by_type.setdefault(record["type"], []).append(record.data())
    links = [(type_, piece) for type_, rows in by_type.items() for piece in _pieces(rows, transactions)]
    return Pieces(list(_pieces(nodes, transactions)), links)


def write(graph: Neo4j, pieces: Pieces, how: Statements) -> float:
    """Write the pieces into an empty graph that has the schema; → seconds."""
    began = time.perf_counter()
    with graph.driver.session() as session:
        for rows in pieces.nodes:
            session.execute_write(lambda tx, rows=rows: tx.run(how.nodes, rows=rows).consume())
        for type_, rows in pieces.links:
            session.execute_write(lambda tx, type_=type_, rows=rows: tx.run(how.links[type_], rows=rows).consume())
    seconds = time.perf_counter() - began
    wanted = sum(map(len, pieces.nodes)), sum(len(rows) for _, rows in pieces.links)
    assert _counts(graph) == wanted, f"{_counts(graph)} nodes and relationships instead of {wanted}"
    return seconds


def _pieces(rows: Rows, count: int) -> Iterator[Rows]:
    size = -(-len(rows) // count)
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _counts(graph: Neo4j) -> tuple[int, int]:
    nodes = graph.driver.execute_query("MATCH (n:Entity) RETURN count(n)").records[0][0]
    links = graph.driver.execute_query("MATCH (:Entity)-[r]->(:Entity) RETURN count(r)").records[0][0]
    return nodes, links
