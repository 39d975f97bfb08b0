"""Stores behind the port `cmf.core.store`: memory (the specification) and SQLite; Neo4j is in `cmf_graph`."""
