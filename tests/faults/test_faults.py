"""Whatever fails between sites and server, and however often: the graph is that of all that was recorded, once.

`CMF_TEST_FAULT_SEED=…` repeats what a failing campaign chose (not the moments at which processes met).
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.campaign import Campaign, Strike, Strikes
from faults.disks import full, no_file_grows, small_disk
from neo4j_server import Neo4jServer, neo4j_server_or_skip
from server_process import ServerProcess

from cmf.core.store import Store

Show = Callable[[str], None]


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str]) -> Show:
    """Print past pytest, so that a campaign that hangs has told its seed too."""

    def printed(text: str) -> None:
        with capsys.disabled():
            print(text, flush=True)

    return printed


def test_faults_against_the_embedded_store(tmp_path: Path, show: Show) -> None:
    _against_sqlite(tmp_path, show, seconds=25, faults=150)


def test_faults_against_neo4j(tmp_path: Path, show: Show) -> None:
    _against_neo4j(tmp_path, show, seconds=40, faults=100)


@pytest.mark.soak
@pytest.mark.timeout(1_500)
def test_500_faults_against_the_embedded_store(tmp_path: Path, show: Show) -> None:
    assert _against_sqlite(tmp_path, show, seconds=900, faults=600) >= 500


@pytest.mark.soak
@pytest.mark.timeout(1_500)
def test_500_faults_against_neo4j(tmp_path: Path, show: Show) -> None:
    assert _against_neo4j(tmp_path, show, seconds=900, faults=520) >= 500


def _against_sqlite(folder: Path, show: Show, seconds: float, faults: int) -> int:
    from cmf_api.stores import open_store

    with small_disk(folder / "disk") as is_small:
        file = folder / "disk" / "graph.db"
        url = f"sqlite:///{file}"
        with ServerProcess(folder, url) as server:

            def fill(chance: random.Random) -> None:
                with full(file.parent):
                    time.sleep(chance.uniform(0.3, 1.2))

            def limit(chance: random.Random) -> None:
                with no_file_grows(server.pid, chance.choice([4096, file.stat().st_size])):
                    time.sleep(chance.uniform(0.3, 1.2))

            strikes = _server_strikes(server) | {"server's file limit": Strike(limit, 0.2, is_state=True)}
            if is_small:
                strikes["server's disk full"] = Strike(fill, 0.2, is_state=True)
            return _campaign(folder, server, strikes, lambda: open_store(url), show, seconds, faults)


def _against_neo4j(folder: Path, show: Show, seconds: float, faults: int) -> int:
    from cmf_graph.store import Neo4jStore

    with neo4j_server_or_skip() as database, ServerProcess(folder, database.uri) as server:
        strikes = _server_strikes(server) | {
            "Neo4j killed": Strike(_kills(database), 0.04),
            "Neo4j's disk full": Strike(_fills(database), 0.04, is_state=True),
        }
        return _campaign(folder, server, strikes, lambda: Neo4jStore(database.uri), show, seconds, faults)


def _server_strikes(server: ServerProcess) -> Strikes:
    def kill(_: random.Random) -> None:
        server.kill()
        server.start()

    def stop(_: random.Random) -> None:
        server.stop()
        server.start()

    return {"server killed": Strike(kill, 0.3), "server stopped": Strike(stop, 0.1)}


def _kills(database: Neo4jServer) -> Callable[[random.Random], None]:
    def kill(_: random.Random) -> None:
        database.kill()
        database.restart()

    return kill


def _fills(database: Neo4jServer) -> Callable[[random.Random], None]:
    """A Neo4j that could not write stops taking transactions; whoever looks after it makes room and restarts it."""

    def fill(chance: random.Random) -> None:
        with no_file_grows(database.pid, 4096):
            time.sleep(chance.uniform(0.3, 1.0))
        database.restart()

    return fill


def _campaign(
    folder: Path,
    server: ServerProcess,
    strikes: Strikes,
    open_store: Callable[[], Store],
    show: Show,
    seconds: float,
    faults: int,
) -> int:
    """Rage, calm down, compare; → how many faults struck."""
    seed = int(os.environ.get("CMF_TEST_FAULT_SEED") or random.randrange(2**32))
    show(f"\n{folder.name}: CMF_TEST_FAULT_SEED={seed}")
    with Campaign(folder, server, strikes, seed) as campaign:
        campaign.rage(seconds, faults)
        campaign.calm()
        store = open_store()
        campaign.check(store)
        store.close()
        struck = campaign.struck
    told = ", ".join(f"{count} × {name}" for name, count in struck.most_common())
    statuses = Counter(answer.status for answer in campaign.answers)
    beside = f"{campaign.clocks_off} missions with a clock years off, answers {dict(statuses)}"
    show(f"{struck.total()} faults ({beside}): {told}")
    return struck.total()
