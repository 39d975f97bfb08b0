"""Graphs that break lineage elsewhere: ladders, long chains, hubs, cycles. Right, and not by chance in time."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import pytest
from histories import artifact, chain, cycle, hub, ladder

from cmf.core.delta import fold
from cmf.core.lineage import Question, lineage
from cmf.core.operations import Operation
from cmf.core.records import make_stamp
from cmf.core.store import Store


def merge(store: Store, operations: Iterable[Operation], at_once: int = 5_000) -> None:
    stamped = (
        (make_stamp("2026-01-01T00:00:00.000000Z", "S", number), operation)
        for number, operation in enumerate(operations, 1)
    )
    while piece := list(islice(stamped, at_once)):
        delta = fold(piece)
        store.write(lambda transaction, delta=delta: transaction.merge(delta))  # type: ignore[misc]


def test_a_ladder_of_60_rungs_has_241_nodes_and_not_2_to_the_60_paths(store: Store) -> None:
    merge(store, ladder(60))
    for root, direction in (("rung-60", "upstream"), ("rung-0", "downstream")):
        answer = lineage(store, Question(keys=(artifact(root),), direction=direction))  # type: ignore[arg-type]
        # per rung: three executions, two sides, and the next rung; and the first rung
        assert (len(answer.nodes), len(answer.edges), answer.complete) == (60 * 6 + 1, 60 * 7, True)
        assert answer.nodes[-1].distance == 60 * 4
        within = lineage(store, Question(keys=(artifact(root),), direction=direction, depth=2))  # type: ignore[arg-type]
        assert (len(within.nodes), within.nodes[-1].distance) == (7, 4)


def test_a_chain_of_10_000_executions_is_walked_to_its_end(store: Store) -> None:
    merge(store, chain(10_000))
    question = Question(keys=(artifact("chain-10000"),), direction="upstream", limit=100_000)
    answer = lineage(store, question)
    assert (len(answer.nodes), len(answer.edges), answer.complete) == (20_001, 20_000, True)
    assert (answer.nodes[-1].key, answer.nodes[-1].distance) == (artifact("chain-0"), 20_000)
    both = lineage(store, Question(keys=(artifact("chain-5000"),), depth=3))
    assert sorted(node.distance or 0 for node in both.nodes) == sorted([0, *range(1, 7), *range(1, 7)])


@pytest.mark.parametrize("make_store", ["sqlite", "neo4j"], indirect=True)
def test_a_dataset_with_100_000_consumers_is_answered_with_a_limit_or_whole(store: Store) -> None:
    merge(store, hub(100_000), at_once=20_000)
    few = lineage(store, Question(keys=(artifact("hub"),), direction="downstream", limit=50))
    assert (len(few.nodes), few.complete) == (50, False)
    assert few.truncated and (few.truncated.limit, few.truncated.seen) == (50, 101_001)
    whole = lineage(store, Question(keys=(artifact("hub"),), direction="downstream", limit=200_000))
    assert (len(whole.nodes), len(whole.edges), whole.complete) == (101_001, 101_000, True)
    detail = store.detail(artifact("hub"), 10)
    assert detail and (len(detail.uses), detail.uses_total) == (10, 100_000)


def test_a_cycle_is_entered_once(store: Store) -> None:
    merge(store, cycle(5))
    for direction in ("upstream", "downstream", "both"):
        answer = lineage(store, Question(keys=(artifact("cycle-2"),), direction=direction))  # type: ignore[arg-type]
        assert (len(answer.nodes), len(answer.edges)) == (10, 10)
    assert max(node.distance or 0 for node in answer.nodes) == 5
