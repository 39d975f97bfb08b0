"""Several workers, and several servers, of one store: they share a socket, are replaced, and lose nothing."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from histories import as_recorded, record, typical
from server_process import ServerProcess

from cmf import sync
from cmf.core.errors import ServerUnreachable
from cmf.core.store import Store
from cmf.remote import Remote
from cmf.repository import Repository

SITES = 8


@pytest.fixture
def of_two(tmp_path: Path, store_url: str) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path, store_url, "--workers", "2") as process:
        yield process


def workers(server: ServerProcess) -> list[psutil.Process]:
    return psutil.Process(server.pid).children()


def wait_until(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def push_all(site: Repository, url: str) -> None:
    """Push until it is done, as whoever reads the message would."""
    while True:
        try:
            sync.push(site, Remote(url))
        except ServerUnreachable:
            time.sleep(0.1)
        else:
            return


@contextmanager
def killing(server: ServerProcess) -> Iterator[list[int]]:
    """One worker after the other is killed meanwhile."""
    killed: list[int] = []
    ended = threading.Event()

    def kill() -> None:
        while not ended.wait(0.7):
            living = [worker for worker in workers(server) if worker.pid not in killed]
            if len(living) == 2:
                living[len(killed) % 2].kill()
                killed.append(living[len(killed) % 2].pid)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
        wait_until(lambda: len(killed) > 0, "nothing was killed")
    finally:
        ended.set()
        thread.join()


def test_workers_are_killed_while_sites_push_and_nothing_is_lost(
    tmp_path: Path, of_two: ServerProcess, open_store: Callable[[], Store]
) -> None:
    sites = [record(tmp_path / f"s{n}", typical(200, start=200 * n), at_once=100) for n in range(SITES)]
    with killing(of_two) as killed, ThreadPoolExecutor(SITES) as pool:
        list(pool.map(lambda site: push_all(site, of_two.url), sites))
    wait_until(
        lambda: of_two.log().count("another takes its place") == len(killed) and len(workers(of_two)) == 2,
        "no worker took the place of the one that was killed",
    )
    store = open_store()
    assert store.state() == as_recorded(*sites)
    store.close()
    assert killed
    assert of_two.stop() == 0


def test_all_workers_stop_together(of_two: ServerProcess) -> None:
    started = workers(of_two)
    assert len(started) == 2
    assert httpx.get(f"{of_two.url}/readyz").status_code == 200
    url = of_two.url
    assert of_two.stop() == 0
    assert not [worker for worker in started if worker.is_running()]
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_workers_end_with_a_parent_that_was_killed(of_two: ServerProcess) -> None:
    started = workers(of_two)
    of_two.kill()
    assert psutil.wait_procs(started, timeout=30)[1] == []


def test_a_clock_that_is_off_is_told_by_every_worker(of_two: ServerProcess) -> None:
    body = b'{"cmf":1,"site":"late","segment":"s","tool":"x","at":"2026-05-04T09:12:31.250000Z"}\n'
    date = "Mon, 04 May 2020 09:12:31 GMT"
    with httpx.Client(base_url=of_two.url) as client:
        headers = {"content-type": "application/x-ndjson", "date": date}
        assert client.post("/v1/journals/late/s", content=body, headers=headers).status_code == 200
    for worker in workers(of_two):  # so that each of them answers, the other is stopped meanwhile
        worker.send_signal(signal.SIGSTOP)
        try:
            assert "late" in httpx.get(f"{of_two.url}/v1/stats", timeout=60).json()["clocks"]
        finally:
            worker.send_signal(signal.SIGCONT)


def test_two_servers_of_one_store_take_from_all(
    tmp_path: Path, store_url: str, server: ServerProcess, open_store: Callable[[], Store]
) -> None:
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    sites = [record(tmp_path / f"s{n}", typical(100, start=50 * n), at_once=200) for n in range(SITES)]
    with ServerProcess(other_folder, store_url) as other, ThreadPoolExecutor(SITES) as pool:
        urls = [server.url, other.url]
        pushed = list(pool.map(lambda n: sync.push(sites[n], Remote(urls[n % 2])), range(SITES)))
        # What one has taken the other knows.
        again = list(pool.map(lambda n: sync.push(sites[n], Remote(urls[(n + 1) % 2])), range(SITES)))
        assert Remote(server.url).stats().kinds == Remote(other.url).stats().kinds
    assert all(one.applied > 0 and one.duplicates == 0 for one in pushed)
    assert all(one == (0, 0) for one in again)
    store = open_store()
    assert store.state() == as_recorded(*sites)
    store.close()
    assert " error" not in server.log().lower()
