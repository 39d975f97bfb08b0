"""What is Neo4j's own: order of arrival, several writers, walks that must not enumerate paths."""

import threading

import neo4j
import pytest

from cmf.core.delta import fold
from cmf.core.errors import StoreIncompatible, StoreUnavailable
from cmf.core.identity import use_key
from cmf.core.operations import ForeignIdentity, Operation, PutArtifact, PutUse, Retract, SetProperty, put_execution
from cmf.core.records import Stamp, make_stamp
from cmf.core.store import Head, Transaction
from cmf_graph import connection
from cmf_graph.schema import VERSION
from cmf_graph.store import Neo4jStore

EXECUTION = put_execution(ForeignIdentity(source="mlflow", run="1"))
DATA = "md5:" + "a" * 32
USE = use_key(EXECUTION.key, DATA, "input", "data.csv")
PUT_USE = PutUse(execution=EXECUTION.key, artifact=DATA, direction="input", path="data.csv", commit="c")


def at(second: int, operation: Operation) -> tuple[Stamp, Operation]:
    return make_stamp(f"2026-05-04T10:00:{second:02d}.000000Z", "test", 1), operation


def put(store: Neo4jStore, *stamped: tuple[Stamp, Operation]) -> None:
    store.write(lambda transaction: transaction.merge(fold(stamped)))


def number_of(driver: neo4j.Driver, label: str) -> int:
    return driver.execute_query("MATCH (n) WHERE $label IN labels(n) RETURN count(n)", label=label).records[0][0]


def test_what_is_said_of_a_use_waits_for_it(store: Neo4jStore, driver: neo4j.Driver) -> None:
    told = [at(1, SetProperty(key=USE, name="rows", value=3)), at(2, Retract(key=USE, reason="bad")), at(3, PUT_USE)]
    for operation in told[:2]:
        put(store, operation)
    assert number_of(driver, "Pending") == 1
    assert store.state() == fold(told[:2])
    put(store, told[2])
    assert number_of(driver, "Pending") == 0
    assert store.state() == fold(told)
    (edge,) = store.detail(DATA, 10).uses
    assert (edge.retracted, edge.properties, edge.commit) == ("bad", {"rows": 3}, "c")
    assert store.uses([EXECUTION.key], "upstream", None, False) == []


def test_when_a_thing_was_first_held_stays(store: Neo4jStore) -> None:
    put(store, at(1, PUT_USE))
    (before,) = store.nodes([DATA])
    put(store, at(2, PutArtifact(key=DATA, name="data.csv", types=("Dataset",))))
    (after,) = store.nodes([DATA])
    assert before.stub and not after.stub
    assert before.recorded_at == after.recorded_at


def test_merging_again_writes_nothing(store: Neo4jStore, driver: neo4j.Driver) -> None:
    told = [at(1, EXECUTION), at(2, PUT_USE), at(3, SetProperty(key=USE, name="rows", value=3))]
    put(store, *told)
    whole = "MATCH (n:Entity)-[u]->(m) RETURN [x IN [n, u, m] | properties(x)] AS found ORDER BY n.key, m.key"
    before = driver.execute_query(whole).records
    put(store, *told)
    assert driver.execute_query(whole).records == before


def test_a_head_moves_with_what_it_stands_for(store: Neo4jStore) -> None:
    def broken(transaction: Transaction) -> None:
        transaction.merge(fold([at(1, PUT_USE)]))
        transaction.advance("site", "segment", Head(1, "a" * 32, 100))
        assert transaction.head("site", "segment") == Head(1, "a" * 32, 100)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(broken)
    assert not store.heads("site") and not list(store.all_keys())


def test_writers_wait_for_each_other(store: Neo4jStore, neo4j_uri: str) -> None:
    """Four stores, as four workers of a server, each count up one head and one property's register."""

    def count(transaction: Transaction, number: int, i: int) -> None:
        head = transaction.head("site", "segment") or Head(0, "", 0)
        transaction.merge(fold([at(i, SetProperty(key=DATA, name=f"p{number}", value=i)), at(i, PUT_USE)]))
        transaction.advance("site", "segment", Head(head.sequence + 1, "", 0))

    def count_up(own: Neo4jStore, number: int) -> None:
        for i in range(10):
            own.write(lambda transaction, i=i: count(transaction, number, i))  # type: ignore[misc]

    stores = [Neo4jStore(neo4j_uri) for _ in range(4)]
    threads = [threading.Thread(target=count_up, args=(own, n)) for n, own in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for own in stores:
        own.close()
    assert store.heads("site")["segment"].sequence == 40
    (node,) = store.nodes([DATA])
    assert node.properties == {f"p{n}": 9 for n in range(4)}


def test_a_schema_of_another_version_is_refused(neo4j_uri: str, store: Neo4jStore, driver: neo4j.Driver) -> None:
    driver.execute_query("MATCH (s:Schema) SET s.version = 999")
    try:
        with pytest.raises(StoreIncompatible, match="version 999"):
            store.check()
    finally:
        driver.execute_query("MATCH (s:Schema) SET s.version = $version", version=VERSION)
    store.check()


def test_a_write_that_neo4j_puts_off_is_tried_again(store: Neo4jStore) -> None:
    tries = []

    def work(transaction: Transaction) -> str:
        tries.append(1)
        if len(tries) < 3:
            raise neo4j.exceptions.NotALeader("not now")
        return "done"

    assert store.write(work) == "done"


def test_a_write_is_put_off_for_a_bounded_time(store: Neo4jStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "RETRY_SECONDS", 0.2)

    def work(transaction: Transaction) -> None:
        raise neo4j.exceptions.NotALeader("not now")

    with pytest.raises(StoreUnavailable, match="repeat the call"):
        store.write(work)
