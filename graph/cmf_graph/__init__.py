"""The central graph on Neo4j, behind the port of `cmf.core.store`.

`store.Neo4jStore` is the port; `merge` joins deltas into the graph (`held` → `decide` → `merge`), `shape` says
how facts look as Neo4j's properties, `reading` and `lists` answer, `lineage` walks, `connection` and `faults`
are the edge to the driver. Every statement is a file in `cypher/`, loaded by `queries`.
"""
