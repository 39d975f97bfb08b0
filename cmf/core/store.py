"""The port to a store: what a store must do itself. What can be derived from it is a function over it.

A store holds the graph that all its merged deltas join to, and a head per segment that says how far each
journal is in it; both change in one transaction. Three stores stand behind this port: `cmf.stores.memory`
(the specification), `cmf.stores.sqlite`, and `cmf_graph.store` on Neo4j.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, TypeVar

import msgspec

from cmf.core.delta import Delta
from cmf.core.model import Edge, Node, NodeDetail, Page, Point, Relation, Stats
from cmf.core.pruning import Taken, Tombstone

T = TypeVar("T")

Step = Literal["upstream", "downstream"]
ListKind = Literal["artifact", "execution", "pipeline"]


class Head(NamedTuple):
    """How far a segment is in a store: the sequence and sum of its last record (0: only its header).

    `offset` is the number of the segment's bytes up to and including that record's line, so that whoever
    writes the segment can go on reading there.
    """

    sequence: int
    sum: str
    offset: int


class Version(NamedTuple):
    """A moment of a store: which store, and a number that every write that is kept makes greater.

    The number is the time in milliseconds, or one more than the last where that is more: so a store that was set
    back to an older copy of itself, and has gone on, does not give a number twice.
    """

    store: str
    number: int

    def __str__(self) -> str:
        return f"{self.store}:{self.number}"


class SiteHeads(NamedTuple):
    """How much of a site is in a store: how many segments, and how many records in all of them."""

    site: str
    segments: int
    records: int


class Filters(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a list is narrowed to. Those that a kind of node has no notion of match nothing.

    `q` matches the start of a key's digest or any part of a name, ignoring case.
    """

    q: str | None = None
    name: str | None = None
    type: str | None = None
    pipeline: str | None = None
    stage: str | None = None
    project: str | None = None
    status: str | None = None


class Transaction(Protocol):
    """The writing side of a store, inside `Store.write`."""

    def head(self, site: str, segment: str) -> Head | None:
        """How far this segment is; no other writer can change it before this transaction ends."""

    def advance(self, site: str, segment: str, head: Head) -> None:
        """State how far this segment is from now on."""

    def merge(self, delta: Delta) -> None:
        """Join a delta into the graph, but for what was pruned; see `cmf.core.pruning`."""

    def prune(self, keys: Collection[str], at: str) -> Taken:
        """Take executions, artifacts and uses away with all that belongs to them, and keep them away from now on.

        Unknown ones too. An artifact that another execution uses stays. `at` is when that was, for people.
        """

    def kept(self, name: str) -> str | None:
        """The note that was kept under this name, unless its time is over. Notes are no part of the graph."""

    def keep(self, name: str, content: str, until: str) -> None:
        """Keep a note until a time; some of those whose time is over go."""


class Store(Protocol):
    """A graph that deltas are merged into and lineage is asked of."""

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Do `work` in one transaction: all of it is kept, or, on any exception of its own, nothing.

        `work` may be called again when the store asks for a retry, so it must not have effects of its own.

        Raises:
            StoreUnavailable: it could not be done. Nothing was kept, or, where the connection was lost during the
                commit, all of it; heads tell which, and merging again is harmless.
        """

    def heads(self, site: str) -> Mapping[str, Head]:
        """How far each segment of a site is in the store."""

    def all_heads(self) -> Iterator[tuple[str, str, Head]]:
        """How far each segment of every site is: site, segment, head, in no order."""

    def sites(self, after: str, limit: int) -> list[SiteHeads]:
        """Up to `limit` sites whose names come behind `after`, by name."""

    def uses(self, roots: Collection[str], step: Step, max_edges: int | None, include_retracted: bool) -> list[Edge]:
        """Every use behind (`upstream`) or after (`downstream`) the nodes within `max_edges` edges of the roots.

        Unless `include_retracted`, neither a retracted use nor one at a retracted node is there, nor walked.
        Edges have no properties. More than asked may be answered, as long as it is part of the closure.
        """

    def nodes(self, keys: Iterable[str]) -> list[Node]:
        """The nodes with these keys, in no order; unknown ones are left out."""

    def detail(self, key: str, limit: int) -> NodeDetail | None:
        """One node whole, with up to `limit` of its uses, or None when it is unknown."""

    def keys(self, first: str, last: str, limit: int) -> list[str]:
        """Up to `limit` keys of nodes (not uses) from `first` up to, not including, `last`, in order."""

    def at_path(self, path: str) -> str | None:
        """The artifact last used under this path."""

    def list_nodes(self, kind: ListKind, filters: Filters, limit: int, cursor: str | None) -> Page:
        """A page of a list: executions and artifacts newest first, pipelines by name.

        Raises:
            BadQuestion: the cursor is not one of this list.
        """

    def members(self, projects: Collection[tuple[str, str | None]], pipelines: Collection[str]) -> list[str]:
        """Keys of the executions of projects (on a branch; None: on any) and of pipelines (by name)."""

    def version(self) -> Version:
        """The version of now: whatever is read after this, all that it had is in it, and maybe more."""

    def newer(self, keys: Collection[str], after: int) -> set[str]:
        """Those of these nodes and uses that are newer than a version.

        A node is as new as the last change of anything that `state` tells of it, its uses and relations included.
        A use is as new as its coming; and all that an execution has is as new as the last change of the projects
        and pipelines that it is a member of.
        """

    def state(self, keys: Collection[str] | None = None, points_after: int = 0) -> Delta:
        """All that the store holds of these nodes, or of everything; of their points, what came after a version.

        A use belongs to its execution and a relation to its source: they are there when that is asked for;
        their other end is named, not told of. A use's own key asks for what was said of it. So a graph can be read
        in pieces that join to the whole: those of `all_keys` and of `awaited_uses`.
        """

    def all_keys(self) -> Iterable[str]:
        """The key of every node, in order."""

    def awaited_uses(self) -> Iterator[str]:
        """The key of every use that something was said of and that has not come itself, in order."""

    def points(self, execution: str, series: str) -> Iterator[Sequence[Point]]:
        """The points of a series of an execution, in pieces, in the order in which they were recorded.

        That is the order of their chunks' numbers, and within a chunk that of its rows. Nothing is left out or
        put together: repeated steps, NaN and points without a step are there as they were told. Forked children
        number their chunks from high blocks at random, so what one process recorded stays together. The pieces
        may be of different moments. An unknown execution or series has none.
        """

    def relations(self, keys: Collection[str]) -> list[Relation]:
        """The relations at either end of these nodes, each once, in no order."""

    def pruned(self, first: str, last: str, limit: int) -> list[Tombstone]:
        """Up to `limit` of what was pruned, with keys from `first` up to, not including, `last`, in order."""

    def stats(self) -> Stats:
        """How much the store holds."""

    def check(self) -> None:
        """That the store can be reached and has the schema of this version.

        Raises:
            StoreUnavailable, StoreIncompatible
        """

    def close(self) -> None:
        """Let go of connections and files."""
