"""A grown store copied into another of any kind, in pieces, and compared with it at the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from cmf.core.batches import batches
from cmf.core.delta import Delta, fold, operations
from cmf.core.digests import Digest, digest, holds, pieces
from cmf.core.model import Stats
from cmf.core.pruning import unpack
from cmf.core.store import Head, Store, Transaction

MERGED_AT_ONCE: Final = 5_000
"""Statements of a transaction: what a Neo4j takes well within the time it has."""

HEADS_AT_ONCE: Final = 1_000

Progress = Callable[[int], None]
"""Told how many nodes were dealt with since the last time."""


class Side(NamedTuple):
    """What a store holds, to compare."""

    digest: Digest
    stats: Stats
    heads: int


class Migrated(NamedTuple):
    """What became of a migration. `nodes` were looked at, `copied` of the pieces were not there yet."""

    nodes: int
    copied: int
    source: Side
    target: Side
    differences: list[str]
    """In words; none where both hold the same."""


def migrate(source: Store, target: Store, progress: Progress | None = None) -> Migrated:
    """Copy all of a store into another. It may be interrupted, and done again: what is there is not written again.

    Pushes to either of them may go on meanwhile; then both differ at the end, and doing it again copies the rest.

    Raises:
        StoreUnavailable: one of the two; doing it again goes on.
    """
    # Before the graph: a head must never speak of records that were not copied.
    heads = list(source.all_heads())
    _bury(source, target)
    nodes = copied = 0
    for keys in pieces(source):
        state = source.state(keys)
        if state and not holds(target, keys, state):
            _merge(target, state)
            copied += 1
        nodes += len(keys)
        if progress:
            progress(len(keys))
    for some in batches(iter(heads), HEADS_AT_ONCE):
        target.write(lambda transaction, some=some: _advance(transaction, some))  # type: ignore[misc]
    return _verified(source, target, nodes, copied, {(site, segment): head for site, segment, head in heads})


def _bury(source: Store, target: Store) -> None:
    """Keep away from the target what was pruned, with what was put aside of it."""
    first = ""
    while tombs := source.pruned(first, "\x7f", MERGED_AT_ONCE):
        aside = Delta()
        for tomb in tombs:
            aside.join(unpack(tomb.aside))
        by_time: dict[str, list[str]] = defaultdict(list)
        for tomb in tombs:
            by_time[tomb.at].append(tomb.key)

        def work(transaction: Transaction, by_time: dict[str, list[str]] = by_time, aside: Delta = aside) -> None:
            for at, keys in by_time.items():
                transaction.prune(keys, at)
            transaction.merge(aside)

        target.write(work)
        first = tombs[-1].key + " "  # sorts behind that key, and before every longer one


def _merge(target: Store, state: Delta) -> None:
    for some in batches(operations(state), MERGED_AT_ONCE):
        delta = fold(some)
        target.write(lambda transaction, delta=delta: transaction.merge(delta))  # type: ignore[misc]


def _advance(transaction: Any, heads: list[tuple[str, str, Head]]) -> None:
    for site, segment, head in heads:
        known = transaction.head(site, segment)
        if known is None or known.sequence < head.sequence:
            transaction.advance(site, segment, head)


def _verified(source: Store, target: Store, nodes: int, copied: int, began: dict[tuple[str, str], Head]) -> Migrated:
    ours, theirs = _side(source), _side(target)
    differences = list(_differences(source, target, ours, theirs))
    if differences:
        now = {(site, segment): head for site, segment, head in source.all_heads()}
        if now != began:
            differences.append("somebody pushed to the old store meanwhile: run it again")
    return Migrated(nodes, copied, ours, theirs, differences)


def _differences(source: Store, target: Store, ours: Side, theirs: Side) -> Iterator[str]:
    if ours.digest != theirs.digest:
        yield (
            f"the graphs differ: {ours.digest.facts:,} facts ({ours.digest.sha256[:16]}…) in the old store, "
            f"{theirs.digest.facts:,} ({theirs.digest.sha256[:16]}…) in the new one"
        )
    for name in ("kinds", "types"):
        if (a := getattr(ours.stats, name)) != (b := getattr(theirs.stats, name)):
            yield f"the counts differ: {a} in the old store, {b} in the new one"
    there = {(site, segment): head for site, segment, head in target.all_heads()}
    told = 0
    for site, segment, head in source.all_heads():
        if there.get((site, segment)) != head and told < 10:
            told += 1
            yield f"segment {segment} of site {site} is at {head.sequence} in the old store only"
    if (more := theirs.heads - ours.heads) > 0:
        yield f"the new store has {more} segments more than the old one: it was not empty, or was pushed to"


def _side(store: Store) -> Side:
    return Side(digest(store), store.stats(), sum(1 for _ in store.all_heads()))
