"""Sites that record, push and pull while the network parts them: healed, every view is the server's graph.

What a site pulls while others push is only news, so a statement that was once left out would be missing at the end.
`CMF_TEST_FAULT_SEED=…` repeats what a failing run chose.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest
from conftest import empty
from faults.campaign import CLOCKS, Campaign, Site, Strike, Strikes
from faults.network import KINDS
from faults.site import Mission
from server_process import ServerProcess

from cmf.core.store import Store
from cmf.repository import Repository
from cmf_api.stores import open_store


class Partitions(Campaign):
    """Missions that push and pull, each with a chance that nothing comes through or a request fails."""

    def __init__(self, folder: Path, server: ServerProcess, strikes: Strikes, seed: int) -> None:
        super().__init__(folder, server, strikes, seed)
        self.ended: Counter[str] = Counter()

    def _mission(self, site: Site, seed: int, much: bool) -> None:
        chance = random.Random(seed)
        site.network.parted = chance.random() < 0.3
        if chance.random() < 0.4:
            site.network.strike(chance.choice(KINDS), chance.randrange(4), seed)
        mission = Mission(
            url=site.network.url,
            seed=seed,
            size=chance.choice([0, 1, 1]),
            clock_seconds=chance.choice(CLOCKS),
            pushing=chance.choice([0, 1, 1]),
            kill_seconds=chance.uniform(0, 0.5) if chance.random() < 0.1 else None,
            pulling=chance.random() < 0.7,
        )
        self.ended.update(end.split(":")[0] for end in site.go(mission))
        site.network.parted = False

    def pull_everything(self) -> None:
        """Each site, over a network that is whole again."""
        for site in self.sites:
            mission = Mission(url=site.network.url, seed=0, size=0, clock_seconds=0, pushing=0, pulling=True)
            assert site.go(mission) == ["pulled"]

    def check_views(self, store: Store) -> None:
        """That every site's view is the store's graph, also when it is made anew."""
        graph = store.state()
        for site in self.sites:
            repository = Repository.create(site.folder)
            assert repository.view.state() == graph, f"{site.folder.name} has another graph"
            repository.rebuild()
            assert repository.view.state() == graph, f"{site.folder.name}: rebuilt, it is another graph"
            repository.close()


@pytest.fixture(params=["sqlite", "neo4j"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/graph.db"
    found: str = request.getfixturevalue("neo4j_uri")
    store = open_store(found)
    empty(store)
    store.close()
    return found


def test_sites_that_were_parted_have_one_graph_in_the_end(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _converge(tmp_path, url, 10, capsys)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_sites_that_were_parted_for_five_minutes_have_one_graph_in_the_end(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _converge(tmp_path, url, 300, capsys)


def _converge(folder: Path, url: str, seconds: float, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("CMF_TEST_FAULT_SEED") or random.randrange(2**32))
    began = time.monotonic()
    with ServerProcess(folder, url) as server, Partitions(folder, server, _strikes(server), seed) as campaign:
        campaign.rage(seconds, faults=10**9)
        campaign.calm()
        campaign.pull_everything()
        store = open_store(url)
        campaign.check(store)
        campaign.check_views(store)
        store.close()
        with capsys.disabled():
            told = f"missions {dict(campaign.ended)}, faults {dict(campaign.struck.most_common())}"
            print(f"\nCMF_TEST_FAULT_SEED={seed}: {told}, {time.monotonic() - began:.0f} s")


def _strikes(server: ServerProcess) -> Strikes:
    def kill(_: random.Random) -> None:
        server.kill()
        server.start()

    return {"server killed": Strike(kill, 0.04)}
