"""Runs that other systems recorded are answered, listed and pulled as our own, in every store."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec
import pytest

from cmf.core import foreign
from cmf.core.delta import fold
from cmf.core.identity import pipeline_key, stage_key
from cmf.core.model import Code, Execution
from cmf.core.operations import (
    EndExecution,
    ForeignIdentity,
    Operation,
    PutRelation,
    RunIdentity,
    SetProperty,
    put_context,
    put_execution,
)
from cmf.core.records import make_stamp, parse_stamped
from cmf.core.slices import answer, statements
from cmf.core.store import Filters, Store
from cmf.core.wire import PullQuestion
from cmf.stores.memory import MemoryStore

RUN = put_execution(ForeignIdentity(source="mlflow", run="7"))
OWN = put_execution(
    RunIdentity(pipeline="own", stage="s", type="t", uuid="u", started_at="2026-01-01T00:00:00.000000Z", project="p")
)
STARTED = "2026-01-02T00:00:00.000000Z"

#  nightly/train ←ran_in─ RUN ─ran_in→ weekly (a pipeline, no stage)       own/s ── OWN ─ran_in→ weekly
OPERATIONS: list[Operation] = [
    RUN,
    *foreign.state(
        RUN.key,
        type_="Trainer",
        started_at=STARTED,
        command=("python", "train.py"),
        code=Code(commit="c1", dirty=True),
        project="digits",
        branch="main",
        parameters={"C": 1.0, "layers": [1, 2]},
    ),
    SetProperty(key=RUN.key, name="note", value="kept"),
    SetProperty(key=RUN.key, name="cmf.status", value="of another form"),
    PutRelation(kind="ran_in", source=RUN.key, target=stage_key("nightly", "train", None)),
    PutRelation(kind="ran_in", source=RUN.key, target=pipeline_key("weekly", None)),
    put_context("pipeline", "nightly"),
    put_context("stage", "train", parent=pipeline_key("nightly", None)),
    put_context("pipeline", "weekly"),
    OWN,
    PutRelation(kind="ran_in", source=OWN.key, target=pipeline_key("weekly", None)),
]
END = EndExecution(key=RUN.key, status="failed", ended_at="2026-01-03T00:00:00.000000Z", error="ValueError")


def tell(store: Store, operations: list[Operation], at: int = 0) -> None:
    for number, operation in enumerate(operations, 1):
        stamp = make_stamp("2026-01-01T00:00:00.000000Z", "S", at + number)
        store.write(lambda transaction, told=[(stamp, operation)]: transaction.merge(fold(told)))  # type: ignore[misc]


def shown(store: Store, **filters: str) -> Iterator[Execution]:
    for node in store.list_nodes("execution", Filters(**filters), 10, None).items:
        assert isinstance(node, Execution)
        yield node


@pytest.fixture(params=range(3))
def told(store: Store, request: pytest.FixtureRequest) -> Store:
    """The operations one by one, in different orders: each may be the one that completes an answer."""
    operations = list(OPERATIONS)
    random.Random(request.param).shuffle(operations)
    tell(store, operations)
    return store


def test_a_foreign_run_is_answered_and_listed_as_our_own(told: Store) -> None:
    (run,) = shown(told, pipeline="nightly", stage="train")
    assert (run.name, run.pipeline, run.stage, run.type) == ("train", "nightly", "train", "Trainer")
    assert (run.started_at, run.status) == (STARTED, "unknown")
    assert (run.command, run.code) == (("python", "train.py"), Code(commit="c1", dirty=True))
    assert (run.project, run.branch, run.parameters) == ("digits", "main", {"C": 1.0, "layers": [1, 2]})
    assert run.properties == {"note": "kept", "cmf.status": "of another form"}
    (detail,) = [told.detail(RUN.key, 10)]
    assert detail and detail.node == run
    for filters in (
        {"project": "digits"},
        {"type": "Trainer"},
        {"status": "unknown"},
        {"name": "train"},
        {"q": "TRAI"},
    ):
        assert [node.key for node in shown(told, **filters)] == [RUN.key], filters
    assert [node.key for node in shown(told)] == [RUN.key, OWN.key], "newest first"


def test_it_is_found_under_every_place_that_it_ran_in(told: Store) -> None:
    assert [node.key for node in shown(told, pipeline="weekly")] == [RUN.key], "our own record says where it ran"
    assert list(shown(told, pipeline="weekly", stage="train")) == [], "pipeline and stage of one place"
    assert told.members([], ["weekly"]) == told.members([], ["nightly"]) == [RUN.key]
    assert told.members([("digits", "main")], []) == [RUN.key]
    assert told.members([("digits", "other")], []) == []


def test_how_it_ended_wins_over_what_is_stated(told: Store) -> None:
    tell(told, [SetProperty(key=RUN.key, name="cmf.status", value="running")], at=100)
    assert [node.key for node in shown(told, status="running")] == [OWN.key, RUN.key][::-1]
    tell(told, [END], at=200)
    (run,) = shown(told, status="failed")
    assert (run.ended_at, run.error, run.started_at) == (END.ended_at, "ValueError", STARTED)


def test_a_pull_brings_it_with_the_stages_it_ran_in(told: Store) -> None:
    lines = b"".join(statements(told, answer(told, PullQuestion(pipelines=("nightly",))))).splitlines()[:-1]
    pulled = MemoryStore()
    stated = [parse_stamped(line) for line in lines]
    pulled.write(lambda transaction: transaction.merge(fold([(one.stamp, one.op) for one in stated])))  # type: ignore[misc]
    (there,), (here,) = shown(told, pipeline="nightly"), shown(pulled, pipeline="nightly")
    assert msgspec.structs.replace(there, recorded_at=None) == msgspec.structs.replace(here, recorded_at=None)
    assert [node.key for node in shown(pulled, pipeline="weekly")] == [RUN.key]
