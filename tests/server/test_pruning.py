"""`cmf server prune` as real processes: beside a server that runs, killed in the middle, and against late pushes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from histories import artifact, chain, execution, record, typical
from server_process import ServerProcess

import cmf
from cmf import sync
from cmf.clock import now
from cmf.core.delta import fold
from cmf.core.errors import PrunedKey
from cmf.core.identity import kind_of
from cmf.core.model import Execution
from cmf.core.records import make_stamp
from cmf.core.store import Store
from cmf.core.wire import PullQuestion
from cmf.questions import Query, StoreSource
from cmf.remote import Remote
from cmf.repository import Repository

LENGTH = 12
"""Executions of the chain: one a second from 2023-11-14T22:13:20Z on."""


def cli(*arguments: str, code: int = 0) -> str:
    done = subprocess.run([sys.executable, "-m", "cmf.cli", *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == code, (done.stdout, done.stderr)
    return " ".join((done.stdout + done.stderr).split())


def prune(store_url: str, home: Path, *arguments: str, code: int = 0) -> str:
    return cli("server", "prune", "--store", store_url, "--home", str(home), *arguments, code=code)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def served(tmp_path: Path, store_url: str, home: Path) -> ServerProcess:
    return ServerProcess(tmp_path, store_url, "--home", str(home))


def runs(store: Store) -> list[str]:
    """The executions, as they started."""
    found = [node for node in store.nodes(store.all_keys()) if isinstance(node, Execution)]
    return [node.key for node in sorted(found, key=lambda node: node.started_at or "")]


def buried(store: Store) -> list[tuple[str, str]]:
    return [(tomb.key, tomb.at) for tomb in store.pruned("", "~", 10_000)]


def upstream(graph: Query, key: str) -> set[str]:
    return {node.key for node in graph.lineage(key, "upstream").nodes}


def test_old_executions_go_and_late_pushes_do_not_bring_them_back(
    tmp_path: Path, store_url: str, home: Path, served: ServerProcess, open_store: Callable[[], Store]
) -> None:
    site = record(tmp_path / "a", [*chain(LENGTH), *execution(99, ["chain-2"], []), *execution(98, ["chain-8"], [])])
    with served:
        sync.push(site, Remote(served.url))
        store = open_store()
        was = runs(store)
        told = store.version()
        asked = ("--before", "2023-11-14T22:13:28Z", "--pipeline", "chain")
        said = prune(store_url, home, *asked)
        assert "would prune 8 executions of 1 sites and 7 artifacts, with 16 uses" in said
        assert "artifacts at them that stay: 1 that they read, 2 that they wrote" in said
        assert "depend on it and stay: 6 executions and 6 artifacts downstream, of 1 sites" in said
        assert "it depends on: 2 executions" not in said
        assert "nothing was changed" in said
        assert (runs(store), store.version()) == (was, told)

        listed = json.loads(prune(store_url, home, *asked, "--json"))
        assert sorted(listed["executions"]) == sorted(was[:8])
        assert listed["outputs"] == sorted([artifact("chain-2"), artifact("chain-8")])

        pulling = Repository.create(tmp_path / "pulling")
        everything = PullQuestion(artifacts=(artifact(f"chain-{LENGTH}"),))
        sync.pull(pulling, Remote(served.url), everything)
        known = set(pulling.view.all_keys())

        # Beside the server, which goes on.
        assert "pruned 8 executions and 7 artifacts, with 16 uses" in prune(store_url, home, *asked, "--yes")
        assert not set(was[:8]) & set(store.all_keys())
        began, ended = (json.loads(line) for line in (home / "audit.jsonl").read_text().splitlines()[-2:])
        assert (began["method"], began["pipelines"], began["before"][:10]) == ("prune", ["chain"], "2023-11-14")
        assert (ended["name"], ended["executions"], ended["artifacts"]) == (began["name"], 8, 7)
        graph = cmf.query(served.url)
        assert artifact("chain-2") in upstream(graph, artifact(f"chain-{LENGTH}"))
        with pytest.raises(PrunedKey, match="was pruned from this graph at 20"):
            graph.show(was[3])
        answer = httpx.get(f"{served.url}/v1/executions/{was[3]}")
        assert (answer.status_code, answer.json()["code"], answer.json()["key"]) == (410, "PrunedKey", was[3])
        assert "was pruned from this graph at" in cli("show", was[3][:20], "--server", served.url, code=1)

        # The same site again under another name.
        late = record(tmp_path / "late", list(chain(LENGTH)))
        assert sync.push(late, Remote(served.url)).applied
        assert not set(was[:8]) & set(store.all_keys())
        assert artifact("chain-5") not in set(store.all_keys())

        # A clone that pulls gets the contraction as it is, one that pulled before beside what it has.
        new = Repository.create(tmp_path / "new")
        sync.pull(new, Remote(served.url), everything)
        sync.pull(pulling, Remote(served.url), everything)
        local = Query(StoreSource(new.view), new.root)
        assert upstream(local, artifact(f"chain-{LENGTH}")) == upstream(graph, artifact(f"chain-{LENGTH}"))
        assert set(pulling.view.all_keys()) >= known | set(new.view.all_keys())
        new.close()
        pulling.close()

        # Somebody reads old content again: it is back.
        again = record(tmp_path / "again", execution(200, ["chain-5"], ["new"], pipeline="again"))
        sync.push(again, Remote(served.url))
        assert graph.show(artifact("chain-5")).node.name == "chain-5"
        assert prune(store_url, home, *asked, "--yes") == "pruned 0 executions and 0 artifacts, with 0 uses"
        store.close()


def test_what_was_pruned_stays_away_from_a_store_that_is_made_anew(
    tmp_path: Path, store_url: str, home: Path, served: ServerProcess, open_store: Callable[[], Store]
) -> None:
    with served:
        sync.push(record(tmp_path / "a", chain(LENGTH)), Remote(served.url))
        store = open_store()
        was = runs(store)
        prune(store_url, home, *was[2:5], "--yes")
        prune(store_url, home, *was[5:7], "--yes")
        sync.push(record(tmp_path / "late", chain(LENGTH)), Remote(served.url))
        held, tombs, gone = store.state(), buried(store), store.stats().pruned
        store.close()
        # Who follows takes what was pushed here, and keeps it: retention is each server's own.
        follower = ("--store", f"sqlite:///{tmp_path / 'follower.db'}")
        cli("server", "upstream", "add", "here", served.url, *follower, "--every", "0")
        cli("server", "upstream", "pull", "here", *follower)
        from cmf_api.stores import open_store as opened

        with closing(opened(follower[1])) as store:
            assert set(runs(store)) == set(was)
    made = f"sqlite:///{tmp_path / 'made.db'}"
    assert "it holds" in cli("server", "rebuild", "--store", store_url, "--home", str(home), "--to", made)
    with closing(opened(made)) as store:
        assert store.state() == held
        assert store.stats().pruned == gone > 0
    # And so from a copy by migration.
    moved = f"sqlite:///{tmp_path / 'moved.db'}"
    assert "hold the same" in cli("server", "migrate", "--from", store_url, "--to", moved)
    with closing(opened(moved)) as store:
        assert store.state() == held
        assert buried(store) == tombs
    # Where the archive does not know of a prune, nothing is made anew without being told.
    prune(store_url, tmp_path / "elsewhere", was[8], "--yes")
    said = cli("server", "rebuild", "--store", store_url, "--home", str(home), "--to", f"{made}2", code=1)
    assert f"{was[8]} was pruned from the store, and the archive does not say so" in said


def test_killed_in_the_middle_the_same_command_goes_on_while_sites_push(
    tmp_path: Path, store_url: str, home: Path, served: ServerProcess, open_store: Callable[[], Store]
) -> None:
    count = 700
    with served:
        sync.push(record(tmp_path / "a", typical(count)), Remote(served.url))
        store = open_store()
        command = [sys.executable, "-m", "cmf.cli", "server", "prune", "--store", store_url, "--home", str(home)]
        asked = ["--pipeline", "digits", "--before", "2030-01-01", "--yes"]
        process = subprocess.Popen([*command, *asked], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 60
        while store.stats().pruned == 0 and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert store.stats().pruned
        pushing = threading.Thread(
            target=lambda: sync.push(record(tmp_path / "b", chain(50)), Remote(served.url)), daemon=True
        )
        pushing.start()
        prune(store_url, home, *asked)
        pushing.join(60)
        left = [key for key in store.all_keys() if kind_of(key) == "execution"]
        assert len(left) == 50
        assert {node.pipeline for node in store.nodes(left) if isinstance(node, Execution)} == {"chain"}
        assert httpx.get(f"{served.url}/v1/stats").json()["pruned"] > count
        sync.push(record(tmp_path / "late", typical(count)), Remote(served.url))
        assert [key for key in store.all_keys() if kind_of(key) == "execution"] == left
        store.close()


def test_one_at_a_time(store_url: str, home: Path, tmp_path: Path, served: ServerProcess) -> None:
    from cmf_api.pruning import alone

    with served:
        sync.push(record(tmp_path / "a", chain(2)), Remote(served.url))
        with alone(home):
            said = prune(store_url, home, "--status", "failed", "--yes", code=1)
    assert "somebody prunes this store already" in said


@pytest.fixture
def embedded(tmp_path: Path) -> str:
    from cmf.stores.sqlite import SqliteStore

    SqliteStore(tmp_path / "graph.db", durable=False).close()
    return f"sqlite:///{tmp_path / 'graph.db'}"


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        ([], 1, "say what to prune"),
        (["--keep-type", "Model", "--yes"], 1, "say what to prune"),
        (["--before", "yesterday"], 2, "is no time"),
        (["--older-than", "3 days"], 2, "is no span of time"),
        (["--older-than", "0d"], 2, "is no span of time"),
        (["--older-than", "1d", "--before", "2026-01-01"], 2, "say the same"),
        (["--status", "bad"], 2, "is no status"),
        (["md5:" + "0" * 32, "--yes"], 1, "nothing recorded under"),
        (["--status", "failed", "--yes"], 0, "pruned 0 executions"),
        (["--older-than", "999999w"], 0, "nothing to do"),
        (["--before", "0001-01-01"], 0, "nothing to do"),
        (["--before", "2026-01-01T00:00:00+14:00", "--retracted"], 0, "nothing to do"),
    ],
)
def test_what_makes_no_sense_is_told(embedded: str, home: Path, arguments: list[str], code: int, problem: str) -> None:
    assert problem in prune(embedded, home, *arguments, code=code)


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path, home: Path) -> None:
    file = tmp_path / "none.db"
    assert "there is no such store" in prune(f"sqlite:///{file}", home, "--retracted", code=1)
    assert not file.exists()


def test_what_runs_and_what_others_use_is_left_and_said(tmp_path: Path, home: Path) -> None:
    from cmf.core.operations import EndExecution, Retract

    told = [said for said in execution(1, ["in"], ["out"]) if not isinstance(said, EndExecution)]
    told += execution(2, ["out"], ["end"])
    told.append(Retract(key=artifact("out"), reason="bad"))
    clone = record(tmp_path / "a", told)
    url = f"sqlite:///{clone.view.path}"
    was = runs(clone.view)
    said = prune(url, home, "--before", "2030-01-01", "--pipeline", "digits")
    assert "would prune 1 executions" in said
    assert "1 executions that still run are left; --status running means them too" in said
    assert "would prune 1 executions" in prune(url, home, "--status", "running")
    said = prune(url, home, artifact("out"))
    assert f"{artifact('out')} stays, since executions use it that stay" in said
    assert "would prune 2 executions of 1 sites and 3 artifacts" in prune(url, home, *was)
    assert f"{artifact('out')} stays" in prune(url, home, "--retracted")


def test_a_site_that_goes_on_about_what_was_pruned_is_not_held_up() -> None:
    from cmf.core.operations import EndExecution, SetProperty
    from cmf.stores.memory import MemoryStore
    from cmf_api.errors import Forbidden
    from cmf_api.restriction import expect_within
    from cmf_api.tokens import Token

    store = MemoryStore()
    told = execution(1, ["in"], ["out"])
    store.write(lambda transaction: transaction.merge(fold((make_stamp(now(), "s", 1), one) for one in told)))
    (key,) = store.state().executions
    may = Token(id="t", name="t", sha256="", scopes=("push",), created_at="", pipelines=("digits",))
    late = [
        EndExecution(key=key, status="failed", ended_at=now()),
        SetProperty(key=key, name="more", value=1),
        SetProperty(key=next(iter(store.state().uses)), name="more", value=1),
        SetProperty(key=artifact("out"), name="more", value=1),
    ]
    store.write(lambda transaction: transaction.prune([key, artifact("in"), artifact("out")], now()))
    for operation in late:
        expect_within(may, "site", [(1, operation)], store)
    other = EndExecution(key="execution:" + "0" * 32, status="failed", ended_at=now())
    with pytest.raises(Forbidden):
        expect_within(may, "site", [(1, other)], store)


def test_what_pretends_to_stand_for_others_keeps_nothing_and_counts_little(tmp_path: Path, home: Path) -> None:
    from cmf.core.operations import ForeignIdentity, PutUse, SetProperty, put_execution

    false = put_execution(ForeignIdentity(source="cmf", run="mine"))
    told = [
        *chain(2),
        false,
        PutUse(execution=false.key, artifact=artifact("chain-1"), direction="input", path="x"),
        PutUse(execution=false.key, artifact=artifact("kept"), direction="output", path="y"),
        *execution(50, ["kept", "chain-0"], []),
        SetProperty(key=false.key, name="contracted", value=2**53 - 1),
        SetProperty(key=false.key, name="cmf.type", value="contraction"),
    ]
    clone = record(tmp_path / "a", told)
    url = f"sqlite:///{clone.view.path}"
    was = [key for key in runs(clone.view) if key != false.key]
    assert "pruned 2 executions" in prune(url, home, *was[:2], "--yes")
    left = [node for node in clone.view.nodes(clone.view.all_keys()) if isinstance(node, Execution)]
    (stand_in,) = [node for node in left if node.type == "contraction"]
    assert stand_in.properties["contracted"] == 2**53 - 1
    assert artifact("chain-0") in upstream(Query(StoreSource(clone.view), clone.root), artifact("kept"))
    assert "stands for executions that were pruned already" in prune(url, home, stand_in.key, code=1)
    # Interrupted, the same command goes on: what it names is gone already.
    assert prune(url, home, *was[:2], "--yes") == "pruned 0 executions and 0 artifacts, with 0 uses"
