"""Whether two stores hold the same: a digest over all of a graph, and what one holds that another does not.

Both read a graph in pieces, so that neither is ever held whole. The digest does not depend on how the graph was cut,
nor on the order of the pieces: it is the sum of the SHA-256 of every fact, as a number of 256 bits. So it shows what
went wrong by accident; whoever can choose facts could choose them for their sum.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Final, NamedTuple

import msgspec

from cmf.core.batches import batches
from cmf.core.delta import Delta, operations
from cmf.core.records import Stamped
from cmf.core.store import Store

PIECE: Final = 500
"""How many nodes are read at a time: what bounds the memory. One execution, with its series, is never cut."""

_SIZE: Final = 1 << 256
_LINES = msgspec.json.Encoder(order="sorted")

Progress = Callable[[int], None]
"""Told how many nodes were dealt with since the last time."""


class Digest(NamedTuple):
    """What a graph holds, in short: how many facts, and the digest over them."""

    facts: int
    sha256: str


def digest(store: Store, progress: Progress | None = None) -> Digest:
    """The digest over all that a store holds, but for the heads of segments and when it came to hold each thing."""
    facts = total = 0
    for keys in pieces(store):
        count, part = _sum(store.state(keys))
        facts += count
        total = (total + part) % _SIZE
        if progress:
            progress(len(keys))
    return Digest(facts, f"{total:064x}")


def digest_of(delta: Delta) -> Digest:
    """The digest over a graph that is one delta."""
    facts, total = _sum(delta)
    return Digest(facts, f"{total % _SIZE:064x}")


def pieces(store: Store, size: int = PIECE) -> Iterator[list[str]]:
    """The keys whose states make up the whole, some at a time: of nodes, then of uses that are only spoken of."""
    yield from batches(chain(store.all_keys(), store.awaited_uses()), size)


def lacking(store: Store, other: Store, progress: Progress | None = None) -> Iterator[list[str]]:
    """The keys of what `store` holds and `other` does not, a few that are near each other at a time."""
    for keys in pieces(store):
        if not holds(other, keys, store.state(keys)):
            yield [key for key in keys if not holds(other, [key], store.state([key]))]
        if progress:
            progress(len(keys))


def holds(store: Store, keys: list[str], state: Delta) -> bool:
    """Whether a store holds all of `state`, which is one of these keys."""
    held = store.state(keys)
    if held == state:
        return True
    # An execution tells of its pipeline too, whose key may be in another piece: both sides are joined, so both tell.
    alone, together = Delta(), Delta()
    alone.join(held)
    together.join(held)
    together.join(state)
    return together == alone


def _sum(delta: Delta) -> tuple[int, int]:
    count = total = 0
    for stamp, operation in operations(delta):
        count += 1
        total += int.from_bytes(hashlib.sha256(_LINES.encode(Stamped(stamp, operation))).digest(), "big")
    return count, total
