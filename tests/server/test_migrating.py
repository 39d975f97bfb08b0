"""A grown store moves into another of any kind, whole and compared, and its sites push on there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import empty
from generated import stamped
from histories import execution, record, typical
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from server_process import ServerProcess

from cmf import sync
from cmf.core.delta import fold
from cmf.core.operations import Operation, Retract, SetProperty
from cmf.core.records import Stamp, make_stamp
from cmf.core.store import Head, Store
from cmf.remote import Remote
from cmf.stores.memory import MemoryStore
from cmf.stores.sqlite import SqliteStore
from cmf_api.migrating import migrate

EXAMPLES = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
AWAITED: list[tuple[Stamp, Operation]] = [
    (make_stamp("2026-05-04T09:12:31.250001Z", "post", 1), SetProperty(key="use:" + "0" * 32, name="n", value=1)),
    (make_stamp("2026-05-04T09:12:31.250001Z", "post", 2), Retract(key="use:" + "1" * 32, reason="bad")),
]


def heads(store: Store) -> object:
    return {(site, segment): head for site, segment, head in store.all_heads()}


@EXAMPLES
@given(statements=st.lists(stamped, max_size=40))
def test_a_store_is_copied_whole(make_store: Callable[[], Store], statements: list[tuple[Stamp, Operation]]) -> None:
    source, target, back = MemoryStore(), make_store(), MemoryStore()
    source.write(lambda transaction: transaction.merge(fold([*statements, *AWAITED])))
    source.write(lambda transaction: transaction.advance("a", "1", Head(3, "0" * 32, 99)))
    assert not migrate(source, target).differences
    assert (target.state(), heads(target)) == (source.state(), heads(source))
    again = migrate(source, target)
    assert (again.copied, again.differences) == (0, [])
    assert not migrate(target, back).differences
    assert (back.state(), heads(back)) == (source.state(), heads(source))


def test_interrupted_it_goes_on_and_a_push_meanwhile_is_told(tmp_path: Path, store: Store) -> None:
    source = SqliteStore(tmp_path / "source.db", durable=False)
    site = record(tmp_path / "a", typical(300))
    from cmf.segments import show

    show(source, site.segments)

    class Killed(BaseException):
        pass

    def stop(_: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        migrate(source, store, stop)
    assert heads(store) == {}  # so that a push would send all of it

    def meanwhile(_: int) -> None:
        if not site_told:
            site_told.append(True)
            site.record(execution(999, ["x"], ["y"]))
            show(source, site.segments)

    site_told: list[bool] = []
    told = migrate(source, store, meanwhile)
    assert any("run it again" in difference for difference in told.differences), told.differences
    assert told.copied < told.nodes / 500 + 1
    assert not migrate(source, store).differences
    assert (store.state(), heads(store)) == (source.state(), heads(source))
    source.close()


def test_the_command_moves_a_server_and_its_sites_push_on(tmp_path: Path, neo4j_uri: str) -> None:
    from cmf_graph.store import Neo4jStore

    grown, back = f"sqlite:///{tmp_path / 'grown' / 'graph.db'}", f"sqlite:///{tmp_path / 'back' / 'graph.db'}"
    graph = Neo4jStore(neo4j_uri)
    empty(graph)
    site = record(tmp_path / "a", typical(30))
    with ServerProcess(tmp_path, grown) as server:
        sync.push(site, Remote(server.url))
        told = command("--from", grown, "--to", neo4j_uri)  # it may run meanwhile
    assert "hold the same" in told.stdout
    site.record(execution(999, ["x"], ["y"]))
    with ServerProcess(tmp_path, neo4j_uri) as server:
        assert sync.push(site, Remote(server.url)) == (6, 0)
    told = command("--from", grown, "--to", neo4j_uri)
    assert told.returncode == 1 and "do not hold the same" in told.stdout
    told = command("--from", neo4j_uri, "--to", back)
    assert "hold the same" in told.stdout and told.returncode == 0
    copy = SqliteStore(tmp_path / "back" / "graph.db", durable=False)
    assert (copy.state(), heads(copy)) == (graph.state(), heads(graph))
    copy.close()
    graph.close()
    assert "no such store" in command("--from", f"sqlite:///{tmp_path / 'none.db'}", "--to", back).stderr
    assert "same store" in command("--from", back, "--to", back).stderr


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cmf.cli", "server", "migrate", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)
