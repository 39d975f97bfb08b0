"""Walking the uses, one query a question, each node once.

Neo4j 5.26 plans these queries as `VarLengthExpand(Pruning,BFS,All)`, which visits each node once. It does so
only with a lower bound of 0 or 1, one step of variable length and a bare far node; a test EXPLAINs them all.
"""

from __future__ import annotations

from collections.abc import Collection

from cmf.core.answers import bare_edge
from cmf.core.delta import UseFact
from cmf.core.model import Edge
from cmf.core.records import Stamp
from cmf.core.store import Step
from cmf_graph.connection import Connection
from cmf_graph.held import DIRECTIONS
from cmf_graph.queries import Query, load

BOUNDS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""How far a bounded walk may go. A bound cannot be a parameter in Cypher: a question is rounded up to one of these,
so that Neo4j keeps few plans (none is 1, which it plans otherwise), and `cmf.core.lineage` cuts the answer to size."""

_UNBOUNDED = "*0.."


def uses(
    connection: Connection, roots: Collection[str], step: Step, max_edges: int | None, include_retracted: bool
) -> list[Edge]:
    """Every use behind or after the nodes within reach of the roots; see `Store.uses`."""
    rows = connection.read(query(step, max_edges), keys=sorted(set(roots)), include_retracted=include_retracted)
    return [
        bare_edge(key, UseFact(Stamp(""), execution, artifact, DIRECTIONS[kind], path))
        for key, artifact, execution, kind, path in rows
    ]


def query(step: Step, max_edges: int | None) -> Query:
    """The query that walks at least so far."""
    if max_edges == 0:
        return load(f"lineage/{step}_direct")
    fitting = [bound for bound in BOUNDS if max_edges is not None and bound >= max_edges]
    return bounded(load(f"lineage/{step}"), fitting[0] if fitting else None)


def bounded(walk: Query, bound: int | None) -> Query:
    """A walk that ends after `bound` edges (one of BOUNDS). The files hold it without an end."""
    assert walk.text.count(_UNBOUNDED) == 1
    if bound is None:
        return walk
    assert bound in BOUNDS
    return walk._replace(text=walk.text.replace(_UNBOUNDED, f"{_UNBOUNDED}{bound:d}"))
