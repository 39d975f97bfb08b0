"""A campaign: sites record and push while everything fails, then everyone pushes until done, and it is all there once.

Each round some sites go on a mission side by side, most of them with a fault of their own; in some rounds a fault
strikes all of them. Only what struck is counted: a kill that came after the end was none.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, Self

import msgspec
from faults.network import KINDS, Answered, Network
from faults.site import Done, Mission
from histories import as_recorded
from server_process import ServerProcess

from cmf import sync
from cmf.core.store import Store
from cmf.remote import Remote
from cmf.repository import Repository
from cmf.segments import JournalWarning
from cmf.stores.memory import MemoryStore

YEAR: Final = 365 * 24 * 3600
CLOCKS: Final = (0, 0, 3 * YEAR, -5 * YEAR, 120 * YEAR)
"""How far the clocks of sites are ahead, in seconds; a site's clock may be set between two missions."""

PROGRAM: Final = Path(__file__).with_name("site.py")


class Strike(NamedTuple):
    """A fault that strikes all: `do` returns when it is over. A round without any has the weight 1.

    It begins in the midst of a push. A state that lasts (`is_state`) counts only if it kept some push from its end.
    """

    do: Callable[[random.Random], None]
    weight: float
    is_state: bool = False


Strikes = dict[str, Strike]


class Site:
    """A clone with its process and its own way to the server."""

    def __init__(self, folder: Path, server_port: int) -> None:
        folder.mkdir()
        self.folder = folder
        self.network = Network(server_port)
        self.acknowledged: set[str] = set()
        command = [sys.executable, str(PROGRAM), str(folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def go(self, mission: Mission) -> list[str]:
        """How each life of a mission ended."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(msgspec.json.encode(mission) + b"\n")
        self._process.stdin.flush()
        done = msgspec.json.decode(self._process.stdout.readline(), type=Done)
        self.acknowledged |= set(done.acknowledged)
        for end in done.ends:
            assert end.split(":")[0] in ("pushed", "pulled", "idle", "killed", "unreachable"), end
        return done.ends

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()
        self.network.close()


class Campaign:
    """Sites against one server; `strikes` are the faults of the server and its store."""

    def __init__(self, folder: Path, server: ServerProcess, strikes: Strikes, seed: int) -> None:
        self.sites: list[Site] = []
        self.clocks_off = 0
        self._faults: Counter[str] = Counter()
        self._chance = random.Random(seed)
        self._folder = folder
        self._server = server
        self._strikes = strikes

    def __enter__(self) -> Self:
        port = int(self._server.url.rpartition(":")[2])
        for name in ("north", "south", "east"):
            self.sites.append(Site(self._folder / name, port))
        return self

    def __exit__(self, *_: object) -> None:
        for site in self.sites:
            site.close()

    def rage(self, seconds: float, faults: int) -> None:
        """Let faults strike until so many have, or so many seconds are over."""
        deadline = time.monotonic() + seconds
        with ThreadPoolExecutor(len(self.sites)) as crew:
            while time.monotonic() < deadline and self.struck.total() < faults:
                self._round(crew)

    @property
    def struck(self) -> Counter[str]:
        """How many faults struck, by kind."""
        return sum((site.network.struck for site in self.sites), self._faults)

    @property
    def answers(self) -> list[Answered]:
        """What the server answered to all pushes."""
        return [answer for site in self.sites for answer in site.network.answers]

    def _round(self, crew: ThreadPoolExecutor) -> None:
        chosen = self._chance.sample(self.sites, self._chance.randint(1, len(self.sites)))
        weights = [1.0, *(strike.weight for strike in self._strikes.values())]
        name = self._chance.choices(["", *self._strikes], weights)[0]
        strike = self._strikes.get(name)
        much = strike is not None and strike.is_state
        failed = self._failed
        running = [crew.submit(self._mission, site, self._chance.randrange(2**32), much) for site in chosen]
        if strike:
            self._wait_for_a_push(chosen)
            time.sleep(self._chance.random() * self._chance.choice([0.01, 0.05, 0.3]) * (not strike.is_state))
            strike.do(self._chance)
        for mission in running:
            mission.result()
        if strike and not (strike.is_state and failed == self._failed):
            self._faults[name] += 1

    @property
    def _failed(self) -> int:
        return sum(answer.status == 503 for answer in self.answers)

    def _wait_for_a_push(self, sites: list[Site]) -> None:
        """Wait until something is on its way to the server, so that what strikes next hits it in the midst."""
        before = [site.network.pushes for site in sites]
        deadline = time.monotonic() + 1
        while [site.network.pushes for site in sites] == before and time.monotonic() < deadline:
            time.sleep(0.001)

    def _mission(self, site: Site, seed: int, much: bool) -> None:
        chance = random.Random(seed)
        fault = chance.choice([*KINDS, "site killed", "site killed", "two pushes at once", ""])
        if fault in KINDS:
            site.network.strike(fault, chance.choice([0, 1, 1, 1, 2, 3]), seed)
        clock = chance.choice(CLOCKS)
        mission = Mission(
            url=site.network.url,
            seed=seed,
            size=2 if much else chance.choice([1, 1, 1, 1, 2]),
            clock_seconds=clock,
            pushing=2 if fault == "two pushes at once" else 1,
            kill_seconds=chance.uniform(0, 0.4) if fault == "site killed" else None,
        )
        ends = site.go(mission)
        if fault == "site killed":
            self._faults[fault] += ends.count("killed")
        elif fault == "two pushes at once":
            self._faults[fault] += 1
        self.clocks_off += clock != 0

    def calm(self, seconds: float = 120.0) -> None:
        """Everyone pushes until done, and nothing is under way any more."""
        deadline = time.monotonic() + seconds
        for site in self.sites:
            site.network.heal()
            quiet = Mission(url=site.network.url, seed=0, size=0, clock_seconds=0)
            while (ends := site.go(quiet)) != ["pushed"]:
                assert time.monotonic() < deadline, f"{ends}; the server's log: {self._server.log()}"
                time.sleep(0.5)

    def check(self, store: Store) -> None:
        """That a store holds what was recorded: all of it, once."""
        with _opened(self.sites) as repositories:
            graph = as_recorded(*repositories)
            for repository in repositories:
                recorded = {segment.name: _records(segment.path) for segment in repository.segments}
                heads = {name: head.sequence for name, head in store.heads(repository.site).items()}
                assert heads == recorded, "a segment is not where its file ends"
                assert sync.push(repository, Remote(self._server.url)) == (0, 0)
            records = sum(_records(s.path) for repository in repositories for s in repository.segments)
        lost = set().union(*(site.acknowledged for site in self.sites)) - graph.executions.keys()
        assert not lost, f"acknowledged and not in a journal: {lost}"
        assert store.state() == graph, "the graph is not the specification's"
        specification = MemoryStore()
        specification.write(lambda transaction: transaction.merge(graph))
        assert store.stats().kinds == specification.stats().kinds, "something is there twice"
        assert sum(answer.applied for answer in self.answers) <= records, "something was taken twice"
        # A gap: the chunk before it was lost on its way, and it was under way already.
        refused = [answer for answer in self.answers if answer.status not in (200, 503) and answer.code != "Gap"]
        assert not refused, "a fault is to look like a server that is away, never like a mistake of the site"
        assert "Traceback" not in self._server.log(), self._server.log()


@contextmanager
def _opened(sites: list[Site]) -> Iterator[list[Repository]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", JournalWarning)  # torn last lines of lives that were killed
        repositories = [Repository.create(site.folder) for site in sites]
        yield repositories
        for repository in repositories:
            repository.close()


def _records(segment: Path) -> int:
    return segment.read_bytes().count(b"\n") - 1
