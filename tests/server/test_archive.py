"""The archive: what was accepted is kept as received, and makes the store anew; other servers take it."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from conftest import empty
from histories import as_recorded, execution, record, typical
from server_process import ServerProcess

from cmf import sync
from cmf.core.errors import ServerProblem
from cmf.core.store import Store
from cmf.remote import Remote
from cmf.stores.sqlite import SqliteStore
from cmf_api.upstreams import Upstream, add, lags, state_of

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
            follow(tmp_path / name / "graph", f"from-{following}", servers[following])
            follow(tmp_path / following / "graph", f"back-{name}", servers[name])
        for name in names:
            sync.push(sites[name], Remote(servers[name].url))
            said = POSTED["operations"][0] | {"name": f"said to {name}"}  # type: ignore[dict-item]
            assert httpx.post(f"{servers[name].url}/v1/operations", json={"operations": [said]}).status_code == 200
        sites["a"].record(execution(999, ["late"], ["later"]))
        sync.push(sites["a"], Remote(servers["b"].url))  # through another server

        def executions() -> set[int]:
            return {httpx.get(f"{server.url}/v1/stats").json()["kinds"]["execution"] for server in servers.values()}

        wait_for(lambda: executions() == {61})
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


def follow(home: Path, name: str, upstream: ServerProcess, **more: str) -> None:
    add(home, name, Upstream(url=upstream.url, every_seconds=1, **more))  # type: ignore[arg-type]


def kept_posts(home: Path) -> list[object]:
    return [frame for frame in kept(home) if frame["kind"] == "statements"]


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.2)


def test_a_server_killed_in_the_midst_of_pushes_has_in_its_archive_all_that_is_in_its_store(
    tmp_path: Path,
    archiving: ServerProcess,
    home: Path,
    store_url: str,
    open_store: Callable[[], Store],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sites = [record(tmp_path / f"s{number}", typical(60, start=1_000 * number)) for number in range(3)]
    monkeypatch.setattr(sync, "CHUNK_RECORDS", 50)
    chance, done = random.Random(7), [False] * 3

    def push_on(number: int) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not done[number]:
            try:
                sync.push(sites[number], Remote(archiving.url))
                done[number] = True
            except ServerProblem:
                time.sleep(0.1)

    pushers = [threading.Thread(target=push_on, args=(number,)) for number in range(3)]
    archiving.kill()
    for pusher in pushers:
        pusher.start()
    for _ in range(3):
        archiving.start()
        time.sleep(chance.uniform(0.0, 0.4))
        archiving.kill()
    archiving.start()
    for pusher in pushers:
        pusher.join()
    archiving.kill()
    assert all(done)
    cmf("server", "rebuild", "--store", store_url, "--home", str(home), "--to", f"sqlite:///{tmp_path / 'anew.db'}")
    store, made = open_store(), SqliteStore(tmp_path / "anew.db", durable=False)
    assert (made.state(), heads(made)) == (store.state(), heads(store))
    assert made.state() == as_recorded(*sites)
    store.close()
    made.close()


def test_rebuilding_loses_nothing_that_the_archive_lacks(tmp_path: Path) -> None:
    url, file = f"sqlite:///{tmp_path / 'graph.db'}", tmp_path / "graph.db"
    a, b = record(tmp_path / "a", typical(3)), record(tmp_path / "b", typical(3, start=50))
    with ServerProcess(tmp_path, url, "--no-archive") as server:
        sync.push(a, Remote(server.url))
        assert httpx.get(f"{server.url}/v1/archive").status_code == 404
    assert "there is no archive" in cmf("server", "rebuild", "--store", url, fails=True).stderr
    with ServerProcess(tmp_path, url) as server:
        sync.push(b, Remote(server.url))
        assert "in use" in cmf("server", "rebuild", "--store", url, fails=True).stderr
    before = file.read_bytes()
    refused = cmf("server", "rebuild", "--store", url, fails=True)
    assert a.segments[0].name in refused.stderr and b.segments[0].name not in refused.stderr
    assert file.read_bytes()[:100] and not list(tmp_path.glob("*rebuilding*"))
    forced = cmf("server", "rebuild", "--store", url, "--force")
    (kept_file,) = tmp_path.glob("graph.db.before-*")
    assert str(kept_file) in forced.stdout and len(kept_file.read_bytes()) == len(before)
    with ServerProcess(tmp_path, url) as server:
        assert (sync.push(a, Remote(server.url)), sync.push(b, Remote(server.url))) == ((30, 0), (0, 0))
    file.write_bytes(b"no database at all" * 100)
    assert "cannot be read" in cmf("server", "rebuild", "--store", url, fails=True).stderr
    cmf("server", "rebuild", "--store", url, "--force")
    store = SqliteStore(file, durable=False)
    assert store.state() == as_recorded(a, b)
    store.close()


def test_a_backup_of_home_and_store_is_restored_and_sites_and_followers_go_on(tmp_path: Path) -> None:
    """What the page says of backups: copy the store, then the home folder."""
    served = tmp_path / "served"
    served.mkdir()
    url, home = f"sqlite:///{served / 'graph.db'}", served / "graph"
    other = tmp_path / "other"
    other.mkdir()
    a = record(tmp_path / "a", typical(20))
    with (
        ServerProcess(served, url) as server,
        ServerProcess(other, f"sqlite:///{other / 'graph.db'}") as follower,
    ):
        follow(other / "graph", "main", server)
        sync.push(a, Remote(server.url))
        wait_for(lambda: count(follower) == 20)
        backup = tmp_path / "backup"
        backup.mkdir()
        server.stop()
        shutil.copy(served / "graph.db", backup)
        server.start()
        shutil.copytree(home, backup / "graph")
        for number in range(3):
            a.record(execution(500 + number, ["x"], ["y"]))
            sync.push(a, Remote(server.url))
        wait_for(lambda: count(follower) == 23)
        server.stop()
        wait_for(lambda: bool(lags(other / "graph")["main"].problem))
        assert "nothing answers" in httpx.get(f"{follower.url}/v1/stats").json()["upstreams"]["main"]["problem"]
        shutil.rmtree(home)
        for file in served.glob("graph.db*"):
            file.unlink()
        shutil.copytree(backup / "graph", home)
        shutil.copy(backup / "graph.db", served)
        server.start()
        b = record(tmp_path / "b", typical(5, start=900))
        assert sync.push(b, Remote(server.url)).applied == 50
        assert sync.push(a, Remote(server.url)).applied == 18
        wait_for(lambda: count(follower) == 28)
        wait_for(lambda: not lags(other / "graph")["main"].problem)
    stores = [SqliteStore(folder / "graph.db", durable=False) for folder in (served, other)]
    assert stores[0].state() == stores[1].state() == as_recorded(a, b)
    for store in stores:
        store.close()
    cmf("server", "rebuild", "--store", url)


def count(server: ServerProcess) -> int:
    executions: int = httpx.get(f"{server.url}/v1/stats").json()["kinds"]["execution"]
    return executions


def test_an_upstream_that_lacks_records_is_told_and_taken_when_they_came_otherwise(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    url = f"sqlite:///{first / 'graph.db'}"
    site = record(tmp_path / "a", typical(3))
    with ServerProcess(first, url, "--no-archive") as server:
        sync.push(site, Remote(server.url))
    site.record(execution(50, ["x"], ["y"]))
    with ServerProcess(first, url) as server, ServerProcess(second, f"sqlite:///{second / 'graph.db'}") as follower:
        sync.push(site, Remote(server.url))
        follow(second / "graph", "first", server)
        wait_for(lambda: "records are missing" in lags(second / "graph")["first"].problem)
        assert count(follower) == 0
        site_until = {site.segments[0]: site.segments[0].path.stat().st_size // 2}
        sync.push(site, Remote(follower.url), until=site_until)
        sync.push(site, Remote(follower.url))
        wait_for(lambda: count(follower) == 4 and not lags(second / "graph")["first"].problem)


def test_a_token_is_shown_to_an_upstream_and_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret-of-main")
    token.chmod(0o600)
    main, other = tmp_path / "main", tmp_path / "other"
    for folder in (main, other):
        folder.mkdir()
    site = record(tmp_path / "a", typical(3))
    url, home = f"sqlite:///{other / 'graph.db'}", other / "graph"
    with ServerProcess(main, f"sqlite:///{main / 'graph.db'}", "--token-file", str(token)) as server:
        sync.push(site, Remote(server.url, "secret-of-main"))
        cmf("server", "upstream", "add", "main", server.url, "--every", "0", "--store", url)
        refused = cmf("server", "upstream", "pull", "--store", url, fails=True)
        assert "wants a token" in refused.stderr
        cmf("server", "upstream", "add", "main", server.url, "--token-file", str(token), "--every", "0", "--store", url)
        told = cmf("server", "upstream", "pull", "main", "--store", url)
        assert "30 records in 1 frames were news" in told.stdout
        told = cmf("server", "upstream", "pull", "main", "--anew", "--store", url)
        assert "0 records in 0 frames were news, 1 frames known" in told.stdout
    assert "secret-of-main" not in (home / "upstreams.json").read_text()
    assert state_of(home, "main").frames == 1
    assert server.url in cmf("server", "upstream", "list", "--store", url).stdout
    cmf("server", "upstream", "remove", "main", "--store", url)
    for wrong in ("http://user:password@host", "ftp://x", "nonsense"):
        cmf("server", "upstream", "add", "wrong", wrong, "--store", url, fails=True)
    cmf("server", "upstream", "add", "../x", "http://x", "--store", url, fails=True)
    cmf("server", "upstream", "pull", "wrong", "--store", url, fails=True)
