"""Neo4j goes down, at the start and in the midst of a merge: told plainly, nothing half-merged, nothing lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from histories import as_recorded, record, typical
from neo4j_server import Neo4jServer, neo4j_server_or_skip
from server_process import ServerProcess

from cmf import sync
from cmf.core.errors import ServerProblem, ServerUnreachable
from cmf.remote import Remote
from cmf.repository import Repository
from cmf_graph.store import Neo4jStore


@pytest.fixture(scope="module")
def database() -> Iterator[Neo4jServer]:
    with neo4j_server_or_skip() as server:
        yield server


def ready(server: ServerProcess) -> int:
    return httpx.get(f"{server.url}/readyz", timeout=60).status_code


def wait_until_ready(server: ServerProcess) -> None:
    deadline = time.monotonic() + 60
    while ready(server) != 200:
        assert time.monotonic() < deadline, httpx.get(f"{server.url}/readyz").text
        time.sleep(0.2)


def push_until_it_is_through(repository: Repository, server: ServerProcess) -> None:
    deadline = time.monotonic() + 90
    while True:
        try:
            sync.push(repository, Remote(server.url))
            return
        except ServerProblem:
            assert time.monotonic() < deadline
            time.sleep(0.5)


def test_neo4j_down_at_the_start_and_killed_during_a_merge(
    tmp_path: Path, database: Neo4jServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "CHUNK_RECORDS", 2_000)
    repository = record(tmp_path / "a", typical(2_000))
    database.kill()
    with ServerProcess(tmp_path, database.uri) as server:
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        told = httpx.get(f"{server.url}/readyz", timeout=60)
        assert told.status_code == 503 and told.json()["status"] == "unavailable" and told.json()["detail"]
        with pytest.raises(ServerUnreachable):
            sync.push(repository, Remote(server.url))
        answer = httpx.get(f"{server.url}/v1/stats", timeout=60)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")

        database.restart()
        wait_until_ready(server)
        for kill in (1, 3):
            # Killed while the chunk after that many is under way: in the midst of reading, merging or committing it.
            chunks = iter(range(kill))

            def after_a_chunk(_: int, chunks: Iterator[int] = chunks) -> None:
                if next(chunks, None) is None:
                    threading.Timer(0.05, database.kill).start()

            with pytest.raises(ServerUnreachable):
                sync.push(repository, Remote(server.url), after_a_chunk)
            told = httpx.get(f"{server.url}/v1/journals/{repository.site}", timeout=60)
            assert told.status_code == 503
            assert ready(server) == 503
            database.restart()
            wait_until_ready(server)
        push_until_it_is_through(repository, server)
        assert sync.push(repository, Remote(server.url)) == (0, 0)
        assert "Traceback" not in server.log()
    store = Neo4jStore(database.uri)
    assert store.state() == as_recorded(repository)
    store.close()
