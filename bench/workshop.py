"""What the measurements share: a temporary folder, journals and stores of each size, servers, a Neo4j."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

import neo4j
from neo4j_server import Neo4jServer  # of the tests, as is the next
from server_process import ServerProcess

from bench import layered
from cmf import sync
from cmf.core.store import Store
from cmf.repository import Repository
from cmf.stores.sqlite import SqliteStore
from cmf_graph.store import Neo4jStore


class Workshop:
    """Makes things when they are first asked for, and clears up at the end of its `with`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()
        self._journals: dict[tuple[int, int], Repository] = {}
        self._stores: dict[int, Path] = {}
        self._ending = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.__exit__(kind, error, trace)

    def new_folder(self, name: str) -> Path:
        """An empty folder."""
        folder = self._folder / f"{next(self._numbers)}-{name}"
        folder.mkdir()
        return folder

    def journal(self, executions: int, seed: int = 1) -> Repository:
        """A clone with a layered history in its journal; only its journal is made, not its view."""
        at = (executions, seed)
        if at not in self._journals:
            history = layered.operations(executions, seed)
            self._journals[at] = layered.write_journal(self.new_folder(f"journal-{executions}"), history)
        return self._journals[at]

    def store_file(self, executions: int) -> Path:
        """A SQLite store that holds a layered history. Whoever changes it copies it first."""
        if executions not in self._stores:
            path = self.new_folder(f"store-{executions}") / "store.db"
            store = SqliteStore(path, durable=False)
            load(store, self.journal(executions))
            store.close()
            self._stores[executions] = path
        return self._stores[executions]

    def keep_store(self, executions: int, path: Path) -> None:
        """Take over a file that a push has filled, instead of filling another."""
        self._stores.setdefault(executions, path)

    @contextmanager
    def server(self, store: str) -> Iterator[ServerProcess]:
        """A real server process."""
        with ServerProcess(self.new_folder("server"), store) as process:
            yield process

    @cached_property
    def neo4j(self) -> Neo4j:
        """A Neo4j of the benchmark's own.

        Raises:
            RuntimeError: there is no Java or Maven here.
        """
        server = self._ending.enter_context(Neo4jServer(heap="1g"))
        driver = neo4j.GraphDatabase.driver(server.uri, notifications_min_severity="OFF")
        return Neo4j(server.uri, self._ending.enter_context(driver))

    def drop(self, folder: Path) -> None:
        """Clear up early what is large."""
        shutil.rmtree(folder)


class Neo4j:
    """A Neo4j that may be emptied."""

    def __init__(self, uri: str, driver: neo4j.Driver) -> None:
        self.uri = uri
        self.driver = driver
        self.version = driver.execute_query("CALL dbms.components() YIELD versions").records[0][0][0]

    def empty(self) -> None:
        """Delete everything but the schema, in pieces."""
        with self.driver.session() as session:
            delete = "MATCH (n) WHERE NOT n:Schema CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS"
            session.run(delete).consume()

    def with_schema(self) -> Neo4jStore:
        """A store over it, its schema made."""
        store = Neo4jStore(self.uri)
        store.check()
        return store


def load(store: Store, repository: Repository) -> None:
    """Merge a clone's journal into a store."""
    repository.show_in(store)


def packets(repository: Repository) -> Iterator[tuple[str, list[bytes]]]:
    """What a push sends: a segment's name, and consecutive lines of it."""
    for segment in repository.segments:
        for lines in sync._chunks(sync.journal.read(segment.path)):
            yield segment.name, lines
