"""The archive: what was accepted is kept as received, and makes the store anew; other servers take it."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from conftest import empty
from histories import as_recorded, execution, record, typical
from server_process import ServerProcess

from cmf import sync
from cmf.core.digests import digest
from cmf.core.operations import SetProperty
from cmf.core.store import Store
from cmf.remote import Remote
from cmf.stores.sqlite import SqliteStore

POSTED = {"operations": [{"is": "SetProperty", "key": "md5:" + "0" * 32, "name": "checked", "value": True}]}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def archiving(tmp_path: Path, store_url: str, home: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path, store_url, "--home", str(home)) as process:
        yield process


def cmf(*arguments: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-m", "cmf.cli", *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done


def kept(home: Path) -> list[dict[str, object]]:
    """The headers of all frames, as `zcat` shows them."""
    files = sorted((home / "archive").glob("*.cmfa*"))
    text = subprocess.run(["zcat", *files], capture_output=True, text=True, check=True).stdout if files else ""
    return [json.loads(line) for line in text.splitlines() if line.startswith('{"kind"')]


def heads(store: Store) -> object:
    return {(site, segment): head for site, segment, head in store.all_heads()}


def test_what_was_accepted_is_kept_once_and_makes_the_store_anew(
    tmp_path: Path, archiving: ServerProcess, home: Path, store_url: str, open_store: Callable[[], Store]
) -> None:
    a, b = record(tmp_path / "a", typical(40)), record(tmp_path / "b", typical(40, start=40))
    for site in (a, b, a):
        sync.push(site, Remote(archiving.url))
    segment = a.segments[0]
    body = segment.path.read_bytes()
    for _ in range(2):  # whole, from a client that asks for no position
        told = httpx.post(
            f"{archiving.url}/v1/journals/{a.site}/{segment.name}",
            content=body,
            headers={"Content-Type": "application/x-ndjson"},
        )
        assert told.json()["applied"] == 0
    assert httpx.post(f"{archiving.url}/v1/operations", json=POSTED).status_code == 200
    a.record(execution(99, ["x"], ["y"]))
    sync.push(a, Remote(archiving.url))
    archiving.kill()
    kinds = [frame["kind"] for frame in kept(home)]
    assert kinds == ["archive", "chunk", "chunk", "statements", "chunk"]
    store = open_store()
    before = (store.state(), heads(store))
    store.close()
    if store_url.startswith("sqlite"):
        assert "in use" not in cmf("server", "rebuild", "--store", store_url, "--home", str(home)).stdout
        store = open_store()
    else:
        refused = cmf("server", "rebuild", "--store", store_url, "--home", str(home), fails=True)
        assert "not empty" in refused.stderr
        to = f"sqlite:///{tmp_path / 'anew.db'}"
        cmf("server", "rebuild", "--store", store_url, "--home", str(home), "--to", to)
        store = SqliteStore(tmp_path / "anew.db", durable=False)
        assert (store.state(), heads(store)) == before
        store.close()
        store = open_store()
        empty(store)
        cmf("server", "rebuild", "--store", store_url, "--home", str(home))
    assert (store.state(), heads(store)) == before
    store.close()
    archiving.start()
    a.record(execution(100, ["y"], ["z"]))
    assert sync.push(a, Remote(archiving.url)) == (6, 0)


def test_a_ring_of_three_servers_converges_and_falls_silent(tmp_path: Path) -> None:
    names = "abc"
    urls = {name: f"sqlite:///{tmp_path / name / 'graph.db'}" for name in names}
    for name in names:
        (tmp_path / name).mkdir()
    servers = {name: ServerProcess(tmp_path / name, urls[name]) for name in names}
    try:
        for server in servers.values():
            server.start()
        sites = {name: record(tmp_path / f"site-{name}", typical(20, start=100 * i)) for i, name in enumerate(names)}
        for name, following in zip(names, "bca", strict=True):
            add = ("server", "upstream", "add", f"from-{following}", servers[following].url, "--every", "1s")
            cmf(*add, "--store", urls[name])
            add = ("server", "upstream", "add", f"back-{name}", servers[name].url, "--every", "1s")
            cmf(*add, "--store", urls[following])
        for name in names:
            sync.push(sites[name], Remote(servers[name].url))
            said = POSTED["operations"][0] | {"name": f"said to {name}"}  # type: ignore[dict-item]
            assert httpx.post(f"{servers[name].url}/v1/operations", json={"operations": [said]}).status_code == 200
        sites["a"].record(execution(999, ["late"], ["later"]))
        sync.push(sites["a"], Remote(servers["b"].url))  # through another server

        def facts() -> set[object]:
            return {json.dumps(httpx.get(f"{s.url}/v1/stats").json()["kinds"]) for s in servers.values()}

        wait_for(lambda: len(facts()) == 1 and "62" not in facts())
        wait_for(lambda: all(len(kept_posts(tmp_path / name / "graph")) == 3 for name in names))
        frames = {name: len(kept(tmp_path / name / "graph")) for name in names}
        time.sleep(3)  # some rounds more
        assert {name: len(kept(tmp_path / name / "graph")) for name in names} == frames
        for server in servers.values():
            told = httpx.get(f"{server.url}/v1/stats").json()["upstreams"]
            assert len(told) == 2
            assert all(one["lag_seconds"] <= 5 and not one.get("problem") for one in told.values()), told
    finally:
        for server in servers.values():
            if server.is_alive:
                server.stop()
    stores = [SqliteStore(tmp_path / name / "graph.db", durable=False) for name in names]
    states = [store.state() for store in stores]
    assert states[0] == states[1] == states[2]
    wanted = as_recorded(*sites.values())
    for key, fact in wanted.executions.items():
        assert states[0].executions[key] == fact
    assert len({name for _, name in states[0].properties}) == 3
    for store in stores:
        store.close()


def kept_posts(home: Path) -> list[object]:
    return [frame for frame in kept(home) if frame["kind"] == "statements"]


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.2)
