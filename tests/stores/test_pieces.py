"""A graph is read in pieces that join to the whole, with the heads of all sites; a digest tells two apart."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from generated import stamped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmf.core.delta import Delta, fold
from cmf.core.digests import digest, digest_of, lacking, pieces
from cmf.core.operations import NamedIdentity, Operation, PutUse, put_execution
from cmf.core.records import Stamp, make_stamp
from cmf.core.store import Head, Store
from cmf.stores.memory import MemoryStore

Stamped = tuple[Stamp, Operation]
EXAMPLES = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def merge(store: Store, *groups: Sequence[Stamped]) -> None:
    for group in groups:
        store.write(lambda transaction, group=group: transaction.merge(fold(group)))  # type: ignore[misc]


def split(statements: list[Stamped], seed: int) -> list[list[Stamped]]:
    """The statements shuffled, in two groups."""
    chance = random.Random(seed)
    shuffled = chance.sample(statements, len(statements))
    cut = chance.randint(0, len(shuffled))
    return [shuffled[:cut], shuffled[cut:]]


@EXAMPLES
@given(statements=st.lists(stamped, max_size=40), seed=st.integers(0, 2**32), size=st.integers(1, 5))
def test_the_pieces_join_to_the_whole_and_their_digest_is_the_specifications(
    make_store: Callable[[], Store], statements: list[Stamped], seed: int, size: int
) -> None:
    store = make_store()
    merge(store, *split(statements, seed))
    whole = fold(statements)
    joined = Delta()
    for keys in pieces(store, size):
        joined.join(store.state(keys))
    assert joined == whole == store.state()
    assert digest(store) == digest_of(whole)
    specification = MemoryStore()
    merge(specification, statements)
    assert list(store.awaited_uses()) == list(specification.awaited_uses())


@EXAMPLES
@given(statements=st.lists(stamped, min_size=1, max_size=20), seed=st.integers(0, 2**32))
def test_what_one_holds_and_another_does_not_is_found(
    make_store: Callable[[], Store], statements: list[Stamped], seed: int
) -> None:
    store, all_but_one = make_store(), MemoryStore()
    merge(store, *split(statements, seed))
    merge(all_but_one, statements[1:])
    lost = fold(statements) != fold(statements[1:])
    assert bool(list(lacking(store, all_but_one))) == lost
    assert (digest(store) != digest(all_but_one)) == lost
    assert not list(lacking(all_but_one, store))


def test_who_knows_only_of_a_use_holds_no_more_than_who_knows_its_execution(make_store: Callable[[], Store]) -> None:
    began = put_execution(NamedIdentity(pipeline="train", stage="train", name="nightly"))
    used = PutUse(execution=began.key, artifact="md5:" + "0" * 32, direction="input", path="a.csv")
    more, less = make_store(), MemoryStore()
    first, second = (make_stamp("2026-01-01T00:00:00.000000Z", "S", number) for number in (1, 2))
    merge(more, [(first, began), (second, used)])
    merge(less, [(second, used)])
    assert not list(lacking(less, more))
    assert list(lacking(more, less))


def test_the_heads_of_all_sites_are_told(store: Store) -> None:
    heads = {("a", "1"): Head(3, "0" * 32, 99), ("a", "2"): Head(0, "1" * 32, 7), ("b.c", "1"): Head(1, "2" * 32, 8)}

    def work(transaction: object) -> None:
        for (site, segment), head in heads.items():
            transaction.advance(site, segment, head)  # type: ignore[attr-defined]

    assert list(store.all_heads()) == []
    store.write(work)
    assert {(site, segment): head for site, segment, head in store.all_heads()} == heads
