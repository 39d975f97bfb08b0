"""What every store must do, on the real thing each time. The memory store is the specification."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import msgspec
import pytest
from generated import stamped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmf.core.delta import fold
from cmf.core.errors import BadQuestion, UnknownKey
from cmf.core.lineage import Question, lineage
from cmf.core.model import Lineage, Node
from cmf.core.operations import Operation
from cmf.core.records import Stamp
from cmf.core.store import Filters, Head, SiteHeads, Store
from cmf.stores.memory import MemoryStore

Stamped = tuple[Stamp, Operation]
EXAMPLES = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def merge(store: Store, *groups: Sequence[Stamped]) -> None:
    for group in groups:
        store.write(lambda transaction, group=group: transaction.merge(fold(group)))  # type: ignore[misc]


def without_recording_times(answer: Lineage) -> object:
    plain = msgspec.to_builtins(answer)
    for node in plain["nodes"]:
        node.pop("recorded_at", None)
    return plain


def split(statements: list[Stamped], seed: int) -> list[list[Stamped]]:
    """The statements shuffled, some repeated, in groups of any size."""
    chance = random.Random(seed)
    shuffled = statements + chance.sample(statements, chance.randint(0, len(statements)))
    chance.shuffle(shuffled)
    cuts = sorted(chance.randint(0, len(shuffled)) for _ in range(chance.randint(0, 4)))
    return [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]


def test_sites_are_told_by_name_with_segments_and_records(make_store: Callable[[], Store]) -> None:
    store = make_store()
    assert store.sites("", 10) == []
    told = (("b", "x", 3), ("a", "x", 1), ("b", "y", 4), ("B", "x", 0))
    for site, segment, sequence in told:
        head = Head(sequence, "0" * 32, 10)
        store.write(lambda transaction, at=(site, segment, head): transaction.advance(*at))  # type: ignore[misc]
    assert store.sites("", 10) == [SiteHeads("B", 1, 0), SiteHeads("a", 1, 1), SiteHeads("b", 2, 7)]
    assert [of.site for of in store.sites("", 2)] == ["B", "a"]
    assert [of.site for of in store.sites("a", 2)] == ["b"]


@EXAMPLES
@given(statements=st.lists(stamped, max_size=40), seed=st.integers(0, 2**32))
def test_any_order_repetition_and_grouping_gives_the_same_graph(
    make_store: Callable[[], Store], statements: list[Stamped], seed: int
) -> None:
    store = make_store()
    merge(store, *split(statements, seed))
    assert store.state() == fold(statements)


@EXAMPLES
@given(statements=st.lists(stamped, max_size=40), seed=st.integers(0, 2**32), depth=st.sampled_from([None, 0, 1, 2]))
def test_lineage_answers_equal_the_specifications(
    make_store: Callable[[], Store], statements: list[Stamped], seed: int, depth: int | None
) -> None:
    specification, store = MemoryStore(), make_store()
    merge(specification, statements)
    merge(store, *split(statements, seed))
    for root in specification.all_keys():
        for direction in ("upstream", "downstream", "both"):
            for hidden in (False, True):
                question = Question(keys=(root,), direction=direction, depth=depth, include_retracted=hidden)
                assert ask(store, question) == ask(specification, question)


def ask(store: Store, question: Question) -> object:
    try:
        return without_recording_times(lineage(store, question))
    except (UnknownKey, BadQuestion) as exc:
        return str(exc)


@EXAMPLES
@given(statements=st.lists(stamped, max_size=40), seed=st.integers(0, 2**32))
def test_lists_and_details_equal_the_specifications(
    make_store: Callable[[], Store], statements: list[Stamped], seed: int
) -> None:
    specification, store = MemoryStore(), make_store()
    merge(specification, statements)
    merge(store, *split(statements, seed))
    assert list(store.all_keys()) == list(specification.all_keys())
    assert store.stats().kinds == specification.stats().kinds
    assert store.stats().types == specification.stats().types
    for filters in FILTERS:
        for kind in ("artifact", "execution", "pipeline"):
            assert pages(store, kind, filters) == pages(specification, kind, filters), filters
    for key in specification.all_keys():
        ours, theirs = store.detail(key, 100), specification.detail(key, 100)
        assert ours is not None and theirs is not None
        assert told(ours.node) == told(theirs.node)
        assert (ours.uses_total, ours.relations) == (theirs.uses_total, theirs.relations)
        assert sorted(map(repr, ours.uses)) == sorted(map(repr, theirs.uses))
    for path in ("data/a.csv", "model.pkl"):
        assert store.at_path(path) == specification.at_path(path)
    wanted = ([("digits", None), ("digits", "main")], ["évaluer"])
    assert store.members(*wanted) == specification.members(*wanted)
    assert store.members([], ["train"]) == specification.members([], ["train"])


def told(node: Node) -> object:
    return msgspec.structs.replace(node, recorded_at=None)


FILTERS = [
    Filters(),
    Filters(q="TRAIN"),
    Filters(q="É"),
    Filters(q="000"),
    Filters(name="model.pkl"),
    Filters(type="Dataset"),
    Filters(type="Train", status="running"),
    Filters(status="failed"),
    Filters(pipeline="train"),
    Filters(pipeline="train", stage="train"),
    Filters(stage="évaluer"),
    Filters(status="unknown"),
    Filters(project="digits"),
    Filters(name="nightly"),
    Filters(pipeline="évaluer", stage="train", project="digits"),
]


def pages(store: Store, kind: str, filters: Filters) -> list[object]:
    found: list[object] = []
    cursor = None
    while True:
        page = store.list_nodes(kind, filters, 2, cursor)  # type: ignore[arg-type]
        found.append((page.total, [node.key for node in page.items]))
        if page.next is None:
            return found
        cursor = page.next


def test_a_failing_transaction_changes_nothing(store: Store) -> None:
    def work(transaction: object) -> None:
        transaction.advance("site", "segment", Head(1, "a" * 32, 100))  # type: ignore[attr-defined]
        raise ValueError("the work failed")

    with pytest.raises(ValueError, match="the work failed"):
        store.write(work)
    assert store.heads("site") == {}


def test_heads_are_of_one_site_and_move_with_the_graph(store: Store) -> None:
    store.write(lambda transaction: transaction.advance("a", "one", Head(3, "b" * 32, 512)))
    store.write(lambda transaction: transaction.advance("b", "one", Head(9, "c" * 32, 1024)))
    store.write(lambda transaction: transaction.advance("a", "one", Head(4, "d" * 32, 700)))
    assert store.heads("a") == {"one": Head(4, "d" * 32, 700)}
    assert store.write(lambda transaction: transaction.head("b", "one")) == Head(9, "c" * 32, 1024)
    assert store.write(lambda transaction: transaction.head("b", "two")) is None


def test_a_cursor_of_no_list_is_refused(store: Store) -> None:
    with pytest.raises(BadQuestion, match="no cursor"):
        store.list_nodes("execution", Filters(), 10, "!!")
