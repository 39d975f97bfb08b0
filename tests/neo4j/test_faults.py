"""The driver's errors, translated."""

import socket
import time
from collections.abc import Iterator

import pytest
from neo4j import exceptions

from cmf.core.errors import CmfError, StoreUnavailable
from cmf_graph.faults import CODES, FAULTS, fault_of, neo4j_faults
from cmf_graph.store import Neo4jStore

DRIVER_ERRORS = [
    found
    for name in sorted(dir(exceptions))
    if isinstance(found := getattr(exceptions, name), type) and issubclass(found, exceptions.GqlError)
]


@pytest.mark.parametrize("error", DRIVER_ERRORS)
def test_every_error_of_the_driver_is_mapped_itself(error: type[Exception]) -> None:
    if error is not exceptions.GqlError:  # the abstract root, which is never raised
        assert error.__name__ in FAULTS


@pytest.mark.parametrize("fault", [*FAULTS.values(), *CODES.values()])
def test_every_fault_says_what_to_do_next(fault: tuple[type[CmfError], str]) -> None:
    kind, what = fault
    assert issubclass(kind, CmfError)
    assert ";" in what or "," in what


def test_a_timed_out_transaction_is_busy_rather_than_refused() -> None:
    error = exceptions.ClientError("slow")
    error._neo4j_code = "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration"
    assert error.code == "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration"
    assert fault_of(error) == FAULTS["TransientError"]


def test_an_error_of_ours_passes_through() -> None:
    with pytest.raises(KeyError), neo4j_faults("here"):
        raise KeyError


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("scheme", ["neo4j", "bolt"])
def test_a_neo4j_that_is_down_is_noticed_quickly(scheme: str) -> None:
    store = Neo4jStore(f"{scheme}://user:s3cret@127.0.0.1:1")
    began = time.monotonic()
    for ask in (store.check, lambda: store.write(lambda _: None), store.stats):
        with pytest.raises(StoreUnavailable, match=r"127.0.0.1:1.*see that Neo4j runs") as caught:
            ask()
        assert "s3cret" not in str(caught.value)
    assert time.monotonic() - began < 5
    store.close()


def test_a_neo4j_that_does_not_answer_is_given_up(silent_port: int) -> None:
    store = Neo4jStore(f"bolt://127.0.0.1:{silent_port}")
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        store.check()
    assert time.monotonic() - began < 15
    store.close()


def test_an_unknown_database_is_named(neo4j_uri: str) -> None:
    store = Neo4jStore(f"{neo4j_uri}/nowhere")
    with pytest.raises(StoreUnavailable, match=r"nowhere.*no such database"):
        store.check()
    store.close()
