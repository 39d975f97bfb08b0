"""/readyz tells the truth, each time something else is missing; /healthz says only that the process lives."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
from neo4j_server import neo4j_server_or_skip
from pushed import push, segment
from server_process import ServerProcess

from cmf.core.store import Store


def ready(server: ServerProcess) -> tuple[int, dict[str, Any]]:
    answer = httpx.get(f"{server.url}/readyz", timeout=30)
    assert answer.json()["status"] == ("ready" if answer.status_code == 200 else "unavailable")
    return answer.status_code, answer.json()


def until(server: ServerProcess, status: int) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while (found := ready(server))[0] != status:
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return found[1]


def test_all_is_well(server: ServerProcess, open_store: Callable[[], Store]) -> None:
    told = {"status": "ready", "detail": "", "checks": dict.fromkeys(("store", "write", "writer", "disk"), "ok")}
    assert until(server, 200) == told
    push(server, segment(1))
    before = httpx.get(f"{server.url}/v1/stats").json()
    time.sleep(6)  # until a look begins a transaction of its own
    assert until(server, 200) == told
    assert httpx.get(f"{server.url}/v1/stats").json() == before, "looking changed the graph"


def test_too_little_room_is_told(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'graph.db'}"
    with ServerProcess(tmp_path, store, "--min-free", str(1 << 40)) as server:
        status, told = ready(server)
        assert status == 503 and "MiB left" in told["checks"]["disk"] and told["checks"]["store"] == "ok"
        assert "disk:" in told["detail"] and httpx.get(f"{server.url}/healthz").status_code == 200


def test_a_store_that_is_gone_or_locked_or_of_another_version_is_told(tmp_path: Path) -> None:
    import sqlite3

    file = tmp_path / "graph.db"
    with ServerProcess(tmp_path, f"sqlite:///{file}") as server:
        file.rename(tmp_path / "moved.db")
        assert "is gone" in until(server, 503)["checks"]["store"]
        (tmp_path / "moved.db").rename(file)
        until(server, 200)
        db = sqlite3.connect(file, isolation_level=None)
        db.execute("BEGIN IMMEDIATE")  # somebody holds it and does not let go
        told = until(server, 503)
        assert "locked" in told["detail"] or "has not answered" in told["detail"]
        db.execute("ROLLBACK")
        until(server, 200)
        db.execute("PRAGMA user_version = 99")
        assert "schema 99" in until(server, 503)["checks"]["store"]
        assert "cmf_store_up 0.0" in httpx.get(f"{server.url}/metrics").text
        db.close()


def test_a_neo4j_that_is_down_is_told_and_so_is_that_it_is_back(tmp_path: Path) -> None:
    with neo4j_server_or_skip() as neo4j, ServerProcess(tmp_path, neo4j.uri) as server:
        until(server, 200)  # the first look makes the schema
        neo4j.kill()
        told = until(server, 503)
        assert "write" not in told["checks"] and told["checks"]["writer"] == "ok"
        neo4j.restart()
        until(server, 200)


def test_asking_often_asks_the_store_once_a_second(server: ServerProcess) -> None:
    with httpx.Client(base_url=server.url) as client:
        client.get("/readyz")
        began = time.monotonic()
        seen = {client.get("/readyz").text for _ in range(200)}
        assert len(seen) == 1
        # On the loopback an answer that is kept takes a millisecond or two, one that asks Neo4j twice several.
        assert time.monotonic() - began < 10


def test_a_server_that_is_stopping_is_not_ready(tmp_path: Path) -> None:
    from cmf.stores.memory import MemoryStore
    from cmf_api.app import create_app
    from cmf_api.settings import ServerSettings

    # Who asks a stopping process finds nobody listening: only a connection that is in use hears this.
    app = create_app(ServerSettings(home=tmp_path), MemoryStore())

    async def asked() -> None:
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
        ):
            assert (await client.get("/readyz")).status_code == 200
            app.state.readiness.is_stopping = True
            answer = await client.get("/readyz")
            assert answer.status_code == 503 and answer.json()["checks"] == {"server": "it is stopping"}
            assert "cmf_ready 0.0" in (await client.get("/metrics")).text

    anyio.run(asked)
