"""A clock that is off by years: the pusher is told, `/v1/stats` tells of it, and the graph is the specification's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from histories import as_recorded
from server_process import ServerProcess

from cmf.core.store import Store
from cmf.remote import Remote
from cmf.repository import Repository

YEAR = 365 * 24 * 3600

PROGRAM = """
import sys, time
real, ahead = time.time_ns, int(sys.argv[2])
time.time_ns = lambda: real() + ahead * 10**9
import cmf
from cmf.cli import main
with cmf.run("digits", "train", root=sys.argv[1]) as run:
    run.input(sys.argv[3], said=ahead)
sys.argv[1:] = ["push"]
sys.exit(main())
"""


def record_and_push(root: Path, server: ServerProcess, ahead_seconds: int) -> str:
    """Do both with a clock that is so far ahead; → what `cmf push` said beside its answer."""
    (root / ".cmf").mkdir(parents=True, exist_ok=True)
    (root / ".cmf" / "config.toml").write_text(f'server = "{server.url}"\n')
    data = root / "data.csv"
    data.write_text("1,2\n")
    command = [sys.executable, "-c", PROGRAM, str(root), str(ahead_seconds), str(data)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    return done.stderr


def clocks(server: ServerProcess) -> dict[str, int]:
    found: dict[str, int] = httpx.get(f"{server.url}/v1/stats").json()["clocks"]
    return found


def test_a_clock_that_is_off_is_told_until_it_is_right(tmp_path: Path, server: ServerProcess) -> None:
    site = Repository.create(tmp_path / "slow").site
    assert "clock is 1,825 days behind" in record_and_push(tmp_path / "slow", server, -5 * YEAR)
    assert abs(clocks(server)[site] + 5 * YEAR) < 60
    assert Remote(server.url).stats().clocks == clocks(server)
    assert "clock" not in record_and_push(tmp_path / "slow", server, 240)
    assert clocks(server) == {}


def test_a_journal_stays_ahead_when_its_clock_was_set_right(tmp_path: Path, server: ServerProcess) -> None:
    site = Repository.create(tmp_path / "fast").site
    assert "1,095 days ahead" in record_and_push(tmp_path / "fast", server, 3 * YEAR)
    assert "1,095 days ahead" in record_and_push(tmp_path / "fast", server, 0)
    assert abs(clocks(server)[site] - 3 * YEAR) < 60
    # A client that says no date, or none that can be read: what it stamped still tells.
    journal = Repository.create(tmp_path / "fast").segments[0]
    for headers in ({}, {"Date": "tomorrow"}, {"Date": "Fri, 31 Dec 9999 99:00:00 GMT"}):
        address = f"{server.url}/v1/journals/{site}/{journal.name}"
        again = httpx.post(
            address, content=journal.path.read_bytes(), headers={"Content-Type": "application/x-ndjson", **headers}
        )
        assert (again.status_code, again.json()["applied"]) == (200, 0)
        assert abs(again.json()["clock_ahead_seconds"] - 3 * YEAR) < 60


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_whose_word_stands_does_not_depend_on_who_came_first(
    tmp_path: Path, server: ServerProcess, open_store: Callable[[], Store], order: tuple[int, ...]
) -> None:
    ahead = [0, 120 * YEAR, -5 * YEAR]
    for number in order:
        record_and_push(tmp_path / f"site-{number}", server, ahead[number])
    repositories = [Repository.create(tmp_path / f"site-{number}") for number in range(3)]
    store = open_store()
    assert store.state() == as_recorded(*repositories)
    (artifact,) = [node for node in store.nodes(store.all_keys()) if node.properties.get("said") is not None]
    assert artifact.properties["said"] == 120 * YEAR
    store.close()
    for repository in repositories:
        repository.close()
