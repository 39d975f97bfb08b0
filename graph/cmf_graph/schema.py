"""Constraints and indexes, and the version that says which of them a graph has."""

from __future__ import annotations

import threading

from cmf.core.errors import StoreIncompatible
from cmf_graph.connection import Connection
from cmf_graph.queries import family, load

VERSION = 3
"""Of the graph's shape. A release that changes it says how to rebuild."""


class Schema:
    """The schema of one Neo4j, made on first use, so that a server can start while its Neo4j is down."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._known = False

    def ensure(self) -> None:
        """That the schema is there, asking Neo4j once."""
        if not self._known:
            with self._lock:
                if not self._known:
                    self.check()

    def check(self) -> None:
        """That the schema is there, asking Neo4j each time.

        Raises:
            StoreIncompatible: it is of another version of cmf.
        """
        rows = self._connection.read(load("read/version"))
        version = rows[0][0] if rows else self._make()
        if version != VERSION:
            raise StoreIncompatible(
                f"the Neo4j store at {self._connection.shown} has version {version} of the graph, this cmf writes "
                f"version {VERSION}. Use that version of cmf, or an empty database and push again from every site."
            )
        if rows and not self._known:
            self._define()  # a graph that is older may lack some
        self._known = True

    def _define(self) -> None:
        for definition in family("schema"):
            self._connection.define(definition)

    def _make(self) -> int:
        self._define()
        version: int = self._connection.write(lambda run: run(load("merge/state_version"), version=VERSION))[0][0]
        return version
