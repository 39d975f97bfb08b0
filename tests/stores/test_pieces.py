"""A graph is read in pieces that join to the whole, with the heads of all sites; a digest tells two apart."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from generated import stamped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmf.core.delta import Delta, fold
from cmf.core.digests import digest, digest_of, lacking, pieces
from cmf.core.operations import Operation
from cmf.core.records import Stamp
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


def test_the_heads_of_all_sites_are_told(store: Store) -> None:
    heads = {("a", "1"): Head(3, "0" * 32, 99), ("a", "2"): Head(0, "1" * 32, 7), ("b.c", "1"): Head(1, "2" * 32, 8)}

    def work(transaction: object) -> None:
        for (site, segment), head in heads.items():
            transaction.advance(site, segment, head)  # type: ignore[attr-defined]

    assert list(store.all_heads()) == []
    store.write(work)
    assert {(site, segment): head for site, segment, head in store.all_heads()} == heads
