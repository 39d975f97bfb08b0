"""What is kept stays joined as it was when what lay between is pruned: held against walks over the graph before."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Collection

from histories import BEGIN, artifact, chain, execution
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmf.clock import written
from cmf.core.contraction import COUNT, TYPE
from cmf.core.delta import fold
from cmf.core.identity import kind_of, use_key
from cmf.core.lineage import Question, lineage
from cmf.core.model import Execution
from cmf.core.operations import ForeignIdentity, Operation, PutArtifact, PutRelation, PutUse, Retract, put_execution
from cmf.core.records import make_stamp
from cmf.core.retention import Wanted
from cmf.core.slices import keys_of
from cmf.core.store import Filters, Store
from cmf.core.wire import Slice
from cmf.stores.memory import MemoryStore
from cmf_api.archive import NoArchive
from cmf_api.pruning import Pruned, prepare, prune_prepared

CONTENT = [f"md5:{digit * 32}" for digit in "0123456789"]
RUNS = [put_execution(ForeignIdentity(source="mlmd", run=f"run-{number}")) for number in range(10)]
PLACES = ["a.csv", "b.csv"]

uses = st.builds(
    PutUse,
    execution=st.sampled_from([run.key for run in RUNS]),
    artifact=st.sampled_from(CONTENT),
    direction=st.sampled_from(["input", "output"]),
    path=st.sampled_from(PLACES),
)
others: st.SearchStrategy[Operation] = st.one_of(
    st.builds(PutArtifact, key=st.sampled_from(CONTENT), name=st.just("m"), types=st.just(("Model",))),
    st.builds(Retract, key=st.sampled_from([*CONTENT, *(run.key for run in RUNS)]), reason=st.just("bad")),
    uses.map(lambda use: Retract(key=use_key(use.execution, use.artifact, use.direction, use.path), reason="bad")),
    st.builds(PutRelation, kind=st.just("labels"), source=st.sampled_from(CONTENT), target=st.sampled_from(CONTENT)),
)
graphs = st.tuples(st.lists(uses, min_size=1, max_size=25), st.lists(others, max_size=4))
chosen = st.sets(st.sampled_from([run.key for run in RUNS]), min_size=1, max_size=8)


def held(store: Store, operations: Collection[Operation]) -> Store:
    stamped = [(make_stamp(written(BEGIN + n), "site", n + 1), said) for n, said in enumerate(operations)]
    store.write(lambda transaction: transaction.merge(fold(stamped)))
    return store


def pruned(store: Store, keys: Collection[str], keep: Collection[str] = (), size: int = 500) -> Pruned:
    known = sorted(node.key for node in store.nodes(keys))
    return prune_prepared(store, prepare(store, Wanted(keys=tuple(known)), keep), NoArchive(), size=size)


def ways(store: Store, hidden: bool) -> dict[str, set[str]]:
    """From each node to all that lies downstream of it: walked step by step, over all that was told."""
    whole = store.state()
    gone = {key for key, told in whole.retractions.items() if told.value is not None} if not hidden else set()
    near: dict[str, set[str]] = defaultdict(set)
    for key, use in whole.uses.items():
        if not gone & {key, use.execution, use.artifact}:
            ends = (use.artifact, use.execution)
            source, target = ends if use.direction == "input" else ends[::-1]
            near[source].add(target)
    found: dict[str, set[str]] = {}
    for root in store.all_keys():
        reached: set[str] = set()
        waiting = list(near[root])
        while waiting:
            node = waiting.pop()
            if node not in reached:
                reached.add(node)
                waiting += near[node]
        found[root] = reached - {root}
    return found


def kept(store: Store) -> set[str]:
    """All that is no contraction."""
    stand_ins = {node.key for node in store.list_nodes("execution", Filters(type=TYPE), 1_000, None).items}
    return {key for key in store.all_keys() if kind_of(key) != "context"} - stand_ins


def expect_joined_as_before(store: Store, before: dict[bool, dict[str, set[str]]]) -> None:
    stays = kept(store)
    for hidden in (False, True):
        now = ways(store, hidden)
        assert {key: now[key] & stays for key in stays} == {key: before[hidden][key] & stays for key in stays}


PROPERTY = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@settings(PROPERTY, max_examples=400)
@given(graph=graphs, first=chosen, second=chosen, keep=st.booleans(), size=st.integers(1, 3))
def test_what_stays_is_joined_as_before_and_nothing_else_is(
    graph: tuple[list[PutUse], list[Operation]], first: set[str], second: set[str], keep: bool, size: int
) -> None:
    check_joined(MemoryStore(), graph, first, second, keep, size)


@settings(PROPERTY, max_examples=20)
@given(graph=graphs, first=chosen, second=chosen, keep=st.booleans(), size=st.integers(1, 3))
def test_so_it_is_in_every_store(
    make_store: Callable[[], Store],
    graph: tuple[list[PutUse], list[Operation]],
    first: set[str],
    second: set[str],
    keep: bool,
    size: int,
) -> None:
    check_joined(make_store(), graph, first, second, keep, size)


def check_joined(
    store: Store, graph: tuple[list[PutUse], list[Operation]], first: set[str], second: set[str], keep: bool, size: int
) -> None:
    uses, others = graph
    held(store, [*RUNS, *uses, *others])
    told = store.state()
    for keys in (first, second):
        before = {hidden: ways(store, hidden) for hidden in (False, True)}
        there = keys & set(store.all_keys())
        if not there:
            continue
        pruned(store, there, ["Model"] if keep else [], size)
        assert not there & set(store.all_keys())
        expect_joined_as_before(store, before)
        # Nothing is left that only pruned executions used, unless something keeps it.
        used = {use.artifact for use in store.state().uses.values() if use.execution in kept(store)}
        related = {end for relation in told.relations for end in (relation.source, relation.target)}
        touched = {use.artifact for use in told.uses.values() if use.execution in there}
        for key in touched & set(store.all_keys()) - used - related:
            assert keep and "Model" in told.artifacts[key].types
    # What is pushed again, late and whole, changes nothing.
    after = store.state()
    held(store, [*RUNS, *uses, *others])
    assert store.state().executions == after.executions
    assert store.state().uses == after.uses


def runs(store: Store) -> list[Execution]:
    """The executions, as they started."""
    found = [node for node in store.nodes(store.all_keys()) if isinstance(node, Execution)]
    return sorted(found, key=lambda node: node.started_at or "")


def stand_ins(store: Store) -> list[Execution]:
    found = store.list_nodes("execution", Filters(type=TYPE), 1_000, None).items
    return [node for node in found if isinstance(node, Execution)]


def test_a_chain_is_contracted_once_and_again(store: Store) -> None:
    """chain-0 → 1 → … → 12: executions 2 to 9 go, in two prunes, some at a time."""
    held(store, list(chain(12)))
    begun = {node.key: node.started_at for node in runs(store)}
    in_order = list(begun)
    depth = Question(keys=(artifact("chain-12"),), direction="upstream")
    whole = {node.key for node in lineage(store, depth).nodes}
    pruned(store, in_order[2:6], size=2)
    (one,) = stand_ins(store)
    assert one.properties[COUNT] == 4
    assert one.name == "contracted: 4 executions"
    assert (one.started_at, one.properties["contracted_from"]) == (begun[in_order[2]],) * 2
    assert (one.pipeline, one.project, one.status) == ("chain", "digits", "unknown")
    pruned(store, in_order[6:10], size=3)
    (both,) = stand_ins(store)
    assert both.properties[COUNT] == 8
    left = lineage(store, depth)
    assert {node.key for node in left.nodes} == whole - set(in_order[2:10]) - {
        artifact(f"chain-{number}") for number in range(3, 10)
    } | {both.key}
    # One hop over it: from chain-10 to chain-2.
    near = lineage(store, Question(keys=(artifact("chain-10"),), direction="upstream", depth=1))
    assert [node.key for node in near.nodes] == [artifact("chain-10"), both.key, artifact("chain-2")]
    (output,) = [edge for edge in near.edges if edge.kind == "output"]
    assert output.path == "data/chain-10"
    assert both.key in keys_of(store, Slice(pipelines=("chain",)))


def test_what_would_need_more_to_stand_for_it_than_it_is_stays() -> None:
    """Each step reads the last one and something that stays, and has a result that stays: A(b) grows by one each."""
    steps: list[Operation] = []
    for number in range(100):
        steps += execution(number, [f"step-{number}", f"extra-{number}"], [f"step-{number + 1}", f"result-{number}"])
    for number in range(100):
        steps += execution(1_000 + number, [f"extra-{number}", f"result-{number}"], [])
    steps += execution(2_000, ["extra-0", "step-5"], ["aside"]) + execution(2_001, ["aside"], [])
    store = held(MemoryStore(), steps)
    before = {hidden: ways(store, hidden) for hidden in (False, True)}
    in_order = [node.key for node in runs(store)]
    ready = prepare(store, Wanted(keys=(*in_order[:100], *in_order[-2:])), ())
    assert ready.left == {*in_order[:100], in_order[-2]}  # all that hangs together over what is between
    assert ready.plan.executions == {in_order[-1]}
    prune_prepared(store, ready, NoArchive(), size=1)
    assert set(in_order) - set(store.all_keys()) == {in_order[-1]}
    expect_joined_as_before(store, before)


def test_a_push_that_comes_between_plan_and_prune_is_not_lost(store: Store) -> None:
    held(store, list(chain(6)))
    ready = prepare(store, Wanted(keys=tuple(node.key for node in runs(store)[2:4])), ())
    # Meanwhile somebody reads what was to go.
    held(store, execution(99, ["chain-3"], ["other"]))
    before = {hidden: ways(store, hidden) for hidden in (False, True)}
    prune_prepared(store, ready, NoArchive())
    assert artifact("chain-3") in set(store.all_keys())
    expect_joined_as_before(store, before)


def test_random_rounds_equal_one_round() -> None:
    """However a prune is cut, what stays is the same, as long as nothing is too large to be stood for."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    told = [
        said
        for number in range(60)
        for said in execution(
            number, {f"c-{chance.randint(0, 400)}" for _ in range(2)}, {f"c-{chance.randint(0, 400)}" for _ in range(2)}
        )
    ]
    stays = []
    for size in (1, 7, 500):
        store = held(MemoryStore(), told)
        pruned(store, {node.key for node in random.Random(seed).sample(runs(store), 15)}, size=size)
        stays.append(kept(store))
    assert stays[0] == stays[1] == stays[2], f"seed {seed}"
