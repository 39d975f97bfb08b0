"""What was pruned stays away, whatever comes of it in whatever order; content that is used again is back."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence

import pytest
from generated import artifacts, execution_keys, stamped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmf.core.delta import Delta, fold, operations
from cmf.core.errors import PrunedKey
from cmf.core.identity import kind_of, use_key
from cmf.core.lineage import Question, lineage
from cmf.core.operations import (
    EndExecution,
    Operation,
    PutArtifact,
    PutExecution,
    PutPoints,
    PutRelation,
    PutUse,
    Retract,
    SetProperty,
)
from cmf.core.pruning import pack, unpack
from cmf.core.records import Stamp, make_stamp
from cmf.core.resolve import resolve
from cmf.core.store import Store
from cmf.stores.memory import MemoryStore

Stamped = tuple[Stamp, Operation]
EXAMPLES = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
AT = "2026-01-01T00:00:00.000000Z"


def merge(store: Store, *groups: Sequence[Stamped]) -> None:
    for group in groups:
        store.write(lambda transaction, group=group: transaction.merge(fold(group)))  # type: ignore[misc]


def prune(store: Store, keys: Collection[str], at: str = AT) -> object:
    return store.write(lambda transaction: transaction.prune(keys, at))


def specified(whole: Delta, pruned: Collection[str]) -> Delta:
    """All that was told, but for pruned executions, and for pruned artifacts that no other execution uses."""
    uses = {key for key, use in whole.uses.items() if use.execution in pruned}
    used = {use.artifact for key, use in whole.uses.items() if key not in uses}
    gone = {key for key in pruned if kind_of(key) == "execution" or key not in used} | uses

    def stays(operation: Operation) -> bool:
        match operation:
            case PutUse():
                of = (operation.execution, operation.artifact, operation.direction, operation.path)
                return use_key(*of) not in gone
            case PutRelation():
                return not gone & {operation.source, operation.target}
            case PutPoints():
                return operation.execution not in gone
            case PutExecution() | EndExecution() | PutArtifact() | SetProperty() | Retract():
                return operation.key not in gone
            case _:
                return True

    return fold((stamp, operation) for stamp, operation in operations(whole) if stays(operation))


@EXAMPLES
@given(
    statements=st.lists(stamped, max_size=40),
    pruned=st.sets(st.one_of(artifacts, execution_keys), max_size=8),
    seed=st.integers(0, 2**32),
)
def test_a_pruned_graph_is_a_function_of_what_was_told_and_of_what_was_pruned(
    make_store: Callable[[], Store], statements: list[Stamped], pruned: set[str], seed: int
) -> None:
    chance = random.Random(seed)
    store, specification = make_store(), MemoryStore()
    late = statements + chance.sample(statements, chance.randint(0, len(statements)))
    chance.shuffle(late)
    cut = chance.randint(0, len(late))
    steps: list[Callable[[Store], object]] = [
        lambda to: merge(to, late[:cut]),
        lambda to: prune(to, pruned),
        lambda to: merge(to, *([one] for one in late[cut : cut + 3]), late[cut + 3 :]),
        *([lambda to: prune(to, pruned)] if chance.random() < 0.5 else []),
    ]
    for to in (store, specification):
        for step in steps:
            step(to)
    assert store.state() == specified(fold(statements), pruned)
    assert store.state() == specification.state()
    assert list(store.all_keys()) == list(specification.all_keys())
    assert list(store.awaited_uses()) == list(specification.awaited_uses())
    assert store.stats().kinds == specification.stats().kinds
    assert store.stats().types == specification.stats().types
    assert store.stats().pruned == specification.stats().pruned
    ours, theirs = store.pruned("", "~", 1_000), specification.pruned("", "~", 1_000)
    assert [tomb.key for tomb in ours] == [tomb.key for tomb in theirs]
    assert [unpack(tomb.aside) for tomb in ours] == [unpack(tomb.aside) for tomb in theirs]
    asked = [*artifacts_told(statements), *fold(statements).executions]
    assert sorted(store.relations(asked)) == sorted(specification.relations(asked))


def artifacts_told(statements: list[Stamped]) -> set[str]:
    return {key for key in fold(statements).keys() if kind_of(key) == "artifact"}  # noqa: SIM118


@EXAMPLES
@given(statements=st.lists(stamped, max_size=30), pruned=st.sets(st.one_of(artifacts, execution_keys), max_size=8))
def test_what_was_taken_is_told(make_store: Callable[[], Store], statements: list[Stamped], pruned: set[str]) -> None:
    store, specification = make_store(), MemoryStore()
    for to in (store, specification):
        merge(to, statements)
    assert prune(store, pruned) == prune(specification, pruned)
    assert prune(store, pruned) == prune(specification, pruned)


def said(number: int, operation: Operation) -> Stamped:
    return make_stamp("2025-01-01T00:00:00.000000Z", "site", number), operation


DATA, MODEL = "md5:" + "d" * 32, "md5:" + "e" * 32
TRAIN, AGAIN = "execution:" + "1" * 32, "execution:" + "2" * 32
TOLD = [
    said(1, PutArtifact(key=DATA, name="data.csv", types=("Dataset",), size_bytes=7)),
    said(2, PutArtifact(key=MODEL, name="model.pkl", types=("Model",))),
    said(3, PutUse(execution=TRAIN, artifact=DATA, direction="input", path="data.csv")),
    said(4, PutUse(execution=TRAIN, artifact=MODEL, direction="output", path="model.pkl")),
    said(5, SetProperty(key=DATA, name="rows", value=9)),
    said(6, Retract(key=DATA, reason="labels are wrong")),
    said(7, PutRelation(kind="derived_from", source=MODEL, target=DATA)),
]


def test_content_that_is_used_again_is_back_with_all_that_was_told_of_it(store: Store) -> None:
    merge(store, TOLD)
    prune(store, [TRAIN, DATA, MODEL])
    assert not list(store.all_keys())
    assert store.stats().pruned == 3
    merge(store, TOLD)
    assert not list(store.all_keys())
    merge(store, [said(8, PutUse(execution=AGAIN, artifact=DATA, direction="input", path="again.csv"))])
    (data,) = store.nodes([DATA])
    assert (data.name, data.retracted, data.properties) == ("data.csv", "labels are wrong", {"rows": 9})
    assert sorted(store.all_keys()) == sorted([AGAIN, DATA])
    assert store.relations([DATA]) == []  # its other end is still away
    merge(store, [said(9, PutUse(execution=AGAIN, artifact=MODEL, direction="output", path="model.pkl"))])
    assert [relation.target for relation in store.relations([MODEL])] == [DATA]
    assert [tomb.key for tomb in store.pruned("a", "u", 10)] == [TRAIN]


def test_whoever_asks_for_what_was_pruned_is_told_when(store: Store) -> None:
    merge(store, TOLD)
    prune(store, [TRAIN, DATA, MODEL])
    for asked in (DATA, DATA[:9], "dddd", TRAIN[:14]):
        with pytest.raises(PrunedKey, match=f"was pruned from this graph at {AT}"):
            resolve(store, asked)
    with pytest.raises(PrunedKey):
        lineage(store, Question(keys=(DATA,)))


def test_what_is_put_aside_comes_back_as_it_was() -> None:
    assert unpack(pack(fold(TOLD))) == fold(TOLD)
    assert pack(Delta()) == "" and unpack("") == Delta()
