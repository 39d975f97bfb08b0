"""The one place that talks to the driver: reads, and transactions that are tried again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from neo4j import READ_ACCESS, WRITE_ACCESS, Driver, GraphDatabase, Transaction
from neo4j import Query as TimedQuery
from neo4j.exceptions import ClientError, DriverError, Neo4jError, ServiceUnavailable, SessionExpired

from cmf_graph.address import parse_url
from cmf_graph.faults import neo4j_faults
from cmf_graph.queries import Query

T = TypeVar("T")
Rows = list[list[Any]]
Run = Callable[..., Rows]
"""Run a query with its parameters, inside a transaction."""

CONNECT_SECONDS = 3.0
"""How long a connection may take to open: a Neo4j that is down is to be noticed quickly."""

STATEMENT_SECONDS = 60.0
"""How long a read, or one try of a write, may take."""

RETRY_SECONDS = 15.0
"""How long a write is begun anew where Neo4j asks for it."""


class Connection:
    """A Neo4j. Opening one connects to nothing yet.

    Raises:
        SettingsProblem: the URL is malformed.
        StoreUnavailable, StoreIncompatible: from every method, for what the driver raises.
    """

    def __init__(self, url: str) -> None:
        address = parse_url(url)
        self.shown = address.shown
        self._database = address.database
        with neo4j_faults(self.shown):
            self.driver: Driver = GraphDatabase.driver(
                address.uri,
                auth=(address.user, address.password) if address.user else None,
                connection_timeout=CONNECT_SECONDS,
                connection_acquisition_timeout=2 * CONNECT_SECONDS,
                liveness_check_timeout=30,
                keep_alive=True,
                notifications_min_severity="OFF",
                telemetry_disabled=True,
                user_agent="cmf",
            )

    def read(self, query: Query, **parameters: object) -> Rows:
        """The rows that a query returns."""
        with neo4j_faults(self.shown):
            return _repeated(lambda: self._read(query, parameters))

    def write(self, work: Callable[[Run], T]) -> T:
        """Do `work` in one transaction; it may be called again."""
        with neo4j_faults(self.shown):
            return _repeated(lambda: self._write(work))

    def define(self, query: Query) -> None:
        """Run a statement that defines a constraint or an index, which has a transaction of its own."""
        with neo4j_faults(self.shown):
            _repeated(lambda: self._define(query))

    def close(self) -> None:
        """Let go of the connections."""
        with neo4j_faults(self.shown):
            self.driver.close()

    def _read(self, query: Query, parameters: dict[str, object]) -> Rows:
        with self.driver.session(
            database=self._database,
            default_access_mode=READ_ACCESS,
            # What this process wrote is read by it, in a cluster too.
            bookmark_manager=self.driver.execute_query_bookmark_manager,
        ) as session:
            return session.run(TimedQuery(query.text, timeout=STATEMENT_SECONDS), parameters).values()

    def _define(self, query: Query) -> None:
        with self.driver.session(database=self._database) as session:
            try:
                session.run(query.text).consume()
            except ClientError as exc:
                # IF NOT EXISTS looks before it waits for others that define the same.
                if exc.code != "Neo.ClientError.Schema.EquivalentSchemaRuleAlreadyExists":
                    raise

    def _write(self, work: Callable[[Run], T]) -> T:
        with (
            self.driver.session(
                database=self._database,
                default_access_mode=WRITE_ACCESS,
                bookmark_manager=self.driver.execute_query_bookmark_manager,
            ) as session,
            session.begin_transaction(timeout=STATEMENT_SECONDS) as transaction,
        ):
            result = work(_runner(transaction))
            transaction.commit()
            return result


def _runner(transaction: Transaction) -> Run:
    def run(query: Query, **parameters: object) -> Rows:
        return transaction.run(query.text, parameters).values()

    return run


def _repeated(attempt: Callable[[], T]) -> T:
    """Try until it is done, for RETRY_SECONDS where Neo4j asks for it; once more where the connection is gone.

    The driver's own `execute_write` would go on for as long when nothing answers at all, and a server whose
    Neo4j is down has to say so at once.
    """
    began = time.monotonic()
    tries = 0
    while True:
        try:
            return attempt()
        except (Neo4jError, DriverError) as exc:
            tries += 1
            gone = isinstance(exc, ServiceUnavailable | SessionExpired)
            patience = CONNECT_SECONDS if gone else RETRY_SECONDS
            if not exc.is_retryable() or (gone and tries > 1) or time.monotonic() - began > patience:
                raise
            time.sleep(random.uniform(0, min(1.0, 0.02 * 2**tries)))  # noqa: S311 (spreads retries; no secret)
